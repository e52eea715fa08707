"""PostgreSQL's system catalogue over DuckDB's, for psql's backslash commands and for ORMs."""
