"""The same values, parameters and errors whichever side ran a statement.

PostgreSQL and psycopg are the measure. What DuckDB cannot give exactly is refused with `Inexact`,
and the endpoint runs the statement instead.
"""

from .dump import declared, dump, is_untyped
from .errors import from_duckdb, from_endpoint, is_write_refusal
from .load import (
    SHIPPED,
    RowLoader,
    collector_paused,
    column_label,
    has_own_loader,
    row_loader,
    text_column,
)
from .types import Inexact, describe

__all__ = [
    "SHIPPED",
    "Inexact",
    "RowLoader",
    "collector_paused",
    "column_label",
    "declared",
    "describe",
    "dump",
    "from_duckdb",
    "from_endpoint",
    "has_own_loader",
    "is_untyped",
    "is_write_refusal",
    "row_loader",
    "text_column",
]
