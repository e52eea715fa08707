"""One value, whatever the route: between DuckDB's Python values and psycopg's."""

from .dump import dump
from .errors import from_duckdb, is_write_refusal
from .load import Inexact, RowLoader, row_loader
from .types import describe

__all__ = [
    "Inexact",
    "RowLoader",
    "describe",
    "dump",
    "from_duckdb",
    "is_write_refusal",
    "row_loader",
]
