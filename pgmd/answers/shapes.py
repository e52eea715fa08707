"""The shapes of results: what is known of names and types of columns, by statement."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import psycopg

from ..parity import declared
from ..parity.load import has_own_loader, row_loader
from ..parity.types import describe, parse
from ..process.cache import Cache
from ..request import Request
from ..sql import parenthesised
from ..sql.bundles import bundled
from .columns import Column
from .fetching import Entry, Fetching, Loaded, Single, Together

_MOST = 4096


class NotDescribed(Exception):
    """The endpoint refused to describe a statement; `reason` is its error."""

    def __init__(self, reason: psycopg.Error) -> None:
        super().__init__(str(reason))
        self.reason = reason


class NotBound(Exception):
    """A parameter has no certain twin on a replica."""


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
        self._entries: Cache[Any, Entry] = Cache(_MOST)
        self._types: Cache[Any, Sequence[str]] = Cache(_MOST)
        self._bundles: Cache[Any, str | None] = Cache(_MOST)

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

    def known_types(self, request: Request) -> Sequence[str] | None:
        return self._types.get(key(request))

    def expected(self, request: Request) -> Sequence[Column]:
        """The columns that an answer had before; none where that is not known."""
        entry = self.entry(request)
        return entry.columns if entry is not None else ()

    def is_nested(self, request: Request) -> bool:
        """Whether an answer is known to have values that a DuckDB behind a wire sends as text."""
        entry = self.entry(request)
        return entry is not None and entry.is_nested

    def forget_columns(self) -> None:
        """Tables may have changed, and with them names and types of columns."""
        self._types.clear()
        self._entries.clear()

    def learn_types(self, request: Request, types: Sequence[str]) -> Sequence[str]:
        """Keep the DuckDB types of the columns."""
        self._types[key(request)] = types
        return types

    def reading(self, request: Request, shape: Sequence[Column] | None) -> Fetching[Loaded]:
        """How a replica's answer becomes what the endpoint would return, for one execution."""
        return Single(self, request, shape)

    def together(self, requests: Sequence[Request]) -> Together | None:
        """How the answers to requests of one text are fetched by one query; None where that is
        not to be done: one is not known yet, has many rows, or they differ in their columns."""
        entries = [self.entry(request) for request in requests]
        first = entries[0]
        if first is None:
            return None
        alike = [entry for entry in entries if entry is not None and entry.may_join(first)]
        if len(alike) < len(entries):
            return None
        query = first.queries[False] or requests[0].text
        name = query, len(requests)
        if name not in self._bundles:
            self._bundles[name] = bundled(query, len(requests[0].values), len(requests))
        union = self._bundles.get(name)
        return Together(union, alike) if union is not None else None

    def entry(self, request: Request) -> Entry | None:
        entry = self._entries.get(key(request))
        # The program may have registered a loader since.
        if entry is None or self._alone or not any(has_own_loader(oid) for oid in entry.oids):
            return entry
        return None

    def forget(self, request: Request) -> None:
        """Somebody has altered a table: what the endpoint said of the columns is old, too."""
        self._entries.pop(key(request), None)
        self._columns.pop(key(request), None)

    def prepare(
        self, request: Request, description: list[Any], shape: Sequence[Column] | None
    ) -> Entry:
        """Raises Inexact."""
        names = [str(column[0]) for column in description]
        types = [str(column[1]) for column in description]
        oids = None if shape is None else [column.type_code for column in shape]
        wire = shape is None and not self._alone
        loader = row_loader(names, types, oids, self._time_zone, wire=wire)
        columns = shape or [
            Column(name, *describe(kind)) for name, kind in zip(names, types, strict=True)
        ]
        query = parenthesised(request.text)
        queries = loader.select(query, as_arrow=False), loader.select(query, as_arrow=True)
        types_of = frozenset(column.type_code for column in columns)
        is_nested = any(kind is not None and kind.fields for kind in map(parse, types))
        entry = Entry(description, columns, types_of, is_nested, loader, queries)
        self._entries[key(request)] = entry
        return entry


def key(request: Request) -> Any:
    """What the shape of a result depends on."""
    if not request.values:
        return request.text
    return request.text, request.formats, tuple(map(declared, request.values))


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
