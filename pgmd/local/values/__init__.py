"""Values on the wire: DuckDB's as PostgreSQL's types, and back."""
