"""What engines and sessions do, on a real Postgres and real DuckDB."""
