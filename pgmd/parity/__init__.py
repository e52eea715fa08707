"""The same values, parameters and errors whichever side ran a statement.

PostgreSQL and psycopg are the measure. What DuckDB cannot give exactly is refused with `Inexact`,
and the endpoint runs the statement instead.
"""

from .dump import declared, dump, is_untyped
from .errors import from_duckdb, from_endpoint, is_write_refusal
from .types import Inexact

__all__ = [
    "Inexact",
    "declared",
    "dump",
    "from_duckdb",
    "from_endpoint",
    "is_untyped",
    "is_write_refusal",
]
