"""The shape of a result: names and types of its columns, and how rows get their Python values."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import psycopg

from .cache import Cache
from .duck import Answer
from .parity import Inexact, RowLoader, describe, row_loader
from .query import Request
from .result import Column, Executed
from .sql import Fact, Statement, parenthesised

_MOST = 4096


class NotDescribed(Exception):
    """The endpoint refused to describe a statement; `reason` is its error."""

    def __init__(self, reason: psycopg.Error) -> None:
        super().__init__(str(reason))
        self.reason = reason


class NotBound(Exception):
    """A parameter has no certain twin on a replica."""


class Loaded(NamedTuple):
    rows: list[tuple[Any, ...]]
    columns: Sequence[Column]


@dataclass(frozen=True, slots=True)
class _Entry:
    """How the answers to one statement are read, as long as DuckDB describes them this way."""

    described: list[Any]
    columns: Sequence[Column]
    loader: RowLoader


class Shapes:
    """What the endpoint says a statement returns, and how DuckDB's answer is brought to that.

    PostgreSQL and DuckDB name unnamed columns differently (`count`, `count_star()`) and give some
    expressions another type, so a PostgreSQL endpoint is asked once for each statement; where the
    types cannot agree the statement is not routed. Keyed by text and parameter types.
    """

    def __init__(self, time_zone: dt.tzinfo, *, alone: bool) -> None:
        self._time_zone = time_zone
        # No endpoint to agree with.
        self._alone = alone
        self._columns: Cache[Any, Sequence[Column]] = Cache(_MOST)
        self._parameters: Cache[str, Sequence[int]] = Cache(_MOST)
        self._entries: Cache[Any, _Entry] = Cache(_MOST)

    def known(self, request: Request) -> Sequence[Column] | None:
        return self._columns.get(key(request))

    def learn(self, request: Request, description: Sequence[Any]) -> Sequence[Column]:
        """Keep the columns that the endpoint described."""
        columns = self._columns[key(request)] = [Column.of(column) for column in description]
        return columns

    def known_parameters(self, request: Request) -> Sequence[int] | None:
        return self._parameters.get(request.text)

    def learn_parameters(self, request: Request, oids: Sequence[int]) -> Sequence[int]:
        """Keep the types that the endpoint gives the parameters."""
        self._parameters[request.text] = oids
        return oids

    def load(
        self,
        request: Request,
        answer: Answer,
        shape: Sequence[Column] | None,
    ) -> Loaded:
        """Turn DuckDB's answer into the endpoint's values. Raises Inexact."""
        place = key(request)
        entry = self._entries.get(place)
        if entry is not None and entry.described != answer.description:
            # Somebody has altered a table.
            self._entries.pop(place, None)
            entry = None
            if shape is not None:
                # What the endpoint said of the columns is old too.
                self._columns.pop(place, None)
                raise Inexact("its columns have just changed")
        if entry is None:
            entry = self._entries[place] = self._prepare(answer.description, shape)
        return Loaded(entry.loader(answer.rows), entry.columns)

    def _prepare(self, description: list[Any], shape: Sequence[Column] | None) -> _Entry:
        names = [str(column[0]) for column in description]
        types = [str(column[1]) for column in description]
        oids = None if shape is None else [column.type_code for column in shape]
        wire = shape is None and not self._alone
        loader = row_loader(names, types, oids, self._time_zone, alone=self._alone, wire=wire)
        columns = shape or [
            Column(name, *describe(kind)) for name, kind in zip(names, types, strict=True)
        ]
        return _Entry(description, columns, loader)


class Done(NamedTuple):
    """What a statement on the endpoint came to."""

    rows: list[Any] | None
    rowcount: int
    statusmessage: str | None


def uncounted(statement: Statement, rows: list[Any], cursor: Executed) -> Done:
    """The outcome of a statement that is no query: DuckDB's own result of an UPDATE is a row with
    a count, and a wire server may pass it on (github.com/hrl20/metabase, FIXES.md)."""
    is_query = Fact.READS in statement.facts or "returning" in statement.words
    names = [column.name for column in cursor.description or ()]
    if is_query or len(rows) > 1 or names not in (["Count"], ["Success"]):
        return Done(rows, len(rows), cursor.statusmessage)
    if not rows or names == ["Success"]:
        return Done(None, -1, cursor.statusmessage)
    count = rows[0][0]
    # The server may have counted the row that it sent.
    verb = re.sub(r" \d+$", f" {count}", cursor.statusmessage or "")
    return Done(None, count, verb)


def status_of_read(verb: str, count: int) -> str:
    """The command tag with which PostgreSQL would end a read of *count* rows."""
    return verb if verb in ("EXPLAIN", "SHOW") else f"SELECT {count}"


def key(request: Request) -> Any:
    """What the shape of a result depends on."""
    if not request.values:
        return request.text
    return request.text, tuple(map(_kind, request.values))


def _kind(value: Any) -> Any:
    # psycopg declares an int by its size, and so does the result that it becomes.
    if type(value) is int:
        return 2 if -(2**15) <= value < 2**15 else 4 if -(2**31) <= value < 2**31 else 8
    return type(value)


def asking_for_parameters(text: str) -> str:
    """Statements of which the second returns the types that the parameters of *text* have."""
    return (
        f"PREPARE pgmd_parameters AS {parenthesised(text)}; "
        "SELECT parameter_types::oid[] FROM pg_prepared_statements "
        "WHERE name = 'pgmd_parameters'; DEALLOCATE pgmd_parameters"
    )


def describing(query: str) -> str:
    """A query that returns the columns of *query* and no rows."""
    return f"SELECT * FROM {parenthesised(query)} AS pgmd_shape LIMIT 0"
