"""What a replica would return, from a bare connection; and when two values are the same."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import duckdb

from pgmd.answers.columns import Column
from pgmd.answers.fetching import Fetching, Loaded
from pgmd.answers.shapes import Shapes
from pgmd.replicas.cursor import Cursor, Run, Statements
from pgmd.request import Request


def replica_rows(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    values: Sequence[Any] = (),
    *,
    oids: Sequence[int] | None = None,
    zone: dt.tzinfo = dt.UTC,
) -> list[tuple[Any, ...]]:
    """The rows of *query* as a replica returns them where the endpoint declares *oids*.

    Raises what makes the endpoint run it: Inexact, or DuckDB's errors.
    """
    shape = None if oids is None else [Column("", oid) for oid in oids]
    request = Request(query, None, query, values, None)
    reading = Shapes(zone, alone=oids is None).reading(request, shape)
    return rows_of(Cursor(connection, Statements()), request, reading)


def rows_of(cursor: Cursor, request: Request, reading: Fetching[Loaded]) -> list[tuple[Any, ...]]:
    answer = cursor.execute(Run(), request.text, request.values, reading)
    return [row for part in reading.load(answer).rows.lists() for row in part]


def same(left: Any, right: Any) -> bool:
    """Whether nothing tells two values apart, class, zone, fold and scale included."""
    if type(left) is not type(right):
        return False
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return same(list(left.items()), list(right.items()))
    if isinstance(left, float):
        return (math.isnan(left) and math.isnan(right)) or repr(left) == repr(right)
    if isinstance(left, dt.datetime):
        if (left.tzinfo, left.fold, left.utcoffset()) != (
            right.tzinfo, right.fold, right.utcoffset(),
        ):  # fmt: skip
            return False
        return bool(left.replace(tzinfo=None) == right.replace(tzinfo=None))
    if isinstance(left, dt.time):
        return (left, left.utcoffset()) == (right, right.utcoffset())
    return bool(left == right) and (not isinstance(left, Decimal) or str(left) == str(right))
