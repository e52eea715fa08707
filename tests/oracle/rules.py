"""What the oracle holds against the effects: whether a statement may run on a replica."""

from __future__ import annotations

from collections.abc import Callable

import duckdb

from pgmd.routing.definitions import QUERY, Definitions
from pgmd.sql import Statement, analyse


def routing(connection: duckdb.DuckDBPyConnection) -> Callable[[str], Statement]:
    """Look at the catalogue once; what this returns judges a text as an engine would."""
    known = Definitions.read(connection.execute(QUERY).fetchall())
    return lambda sql: known.resolve(analyse(sql))


def routable(sql: str, connection: duckdb.DuckDBPyConnection) -> bool:
    return routing(connection)(sql).is_read
