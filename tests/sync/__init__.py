# Generated from tests/async_/__init__.py by pgmd._tools.unasync. Do not edit.
"""What engines and sessions do, on a real Postgres and real DuckDB."""
