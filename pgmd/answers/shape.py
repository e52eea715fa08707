"""The shape of a result: names and types of its columns, and how rows get their Python values."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from json import JSONDecodeError
from typing import Any, NamedTuple, Protocol, TypeVar

import psycopg

from ..errors import ParityError
from ..fanout.bundling import bundled
from ..parity import Inexact, arrow, declared
from ..parity.load import RowLoader, column_label, has_own_loader, row_loader
from ..parity.steps import text_column
from ..parity.types import describe, parse
from ..process.cache import Cache
from ..replicas import duck
from ..replicas.duck import Answer
from ..request import Request
from ..sql import Fact, Statement, parenthesised
from .result import Column, Executed
from .rows import ArrowRows, ListRows, Rows, Texts

_MOST = 4096
# Rows above which the next answer to the same statement is fetched as Arrow.
_SMALL = 1000
# Rows in a batch of Arrow. For each the GIL is given away and taken back, which takes long where
# many threads want it. For each column DuckDB reserves memory for as many: so much that the system
# has to give it anew each time takes longer than a small answer does.
_BATCH = 28_672
_LARGE_BATCH = 61_440
# Rows up to which several answers may be fetched at once.
_TINY = 100


Found = TypeVar("Found", covariant=True)


class Fetching(duck.Reading, Protocol[Found]):
    """How DuckDB's answer to one query is fetched, and what is made of it."""

    def load(self, answer: Answer) -> Found:
        """Raises Inexact, psycopg.DataError."""
        ...

    def wants_arrow(self) -> bool:
        """Whether Arrow could tell what the rows did not, and is now to be used."""
        ...


class NotDescribed(Exception):
    """The endpoint refused to describe a statement; `reason` is its error."""

    def __init__(self, reason: psycopg.Error) -> None:
        super().__init__(str(reason))
        self.reason = reason


class NotBound(Exception):
    """A parameter has no certain twin on a replica."""


class Loaded(NamedTuple):
    rows: Rows
    columns: Sequence[Column]


@dataclass(slots=True)
class _Entry:
    """How the answers to one statement are read, as long as DuckDB describes them this way."""

    described: list[Any]
    columns: Sequence[Column]
    oids: frozenset[int]
    is_nested: bool
    loader: RowLoader
    # The query to run instead, by `as_arrow`.
    queries: tuple[str | None, str | None]
    # How many rows the last answer had. Threads may overwrite each other's: it is only a guess.
    count: int | None = None
    is_columnar: bool = False

    def expect_arrow(self) -> None:
        """Somebody wants the answers in Arrow."""
        self.is_columnar = True

    def prefers_arrow(self) -> bool:
        """Arrow takes 30 us a query more, and less for each row; it also needs fewer casts."""
        if not arrow.is_there():
            return False
        plain, columnar = self.queries
        needs_casts = columnar is None and plain is not None
        return self.is_columnar or needs_casts or not self.has_at_most(_SMALL)

    def has_at_most(self, rows: int) -> bool:
        """Whether the last answer had at most so many rows."""
        return self.count is not None and self.count <= rows

    def batch(self) -> int:
        """How many rows a batch of Arrow should have."""
        is_large = self.count is not None and self.count > _BATCH
        return _LARGE_BATCH if is_large else _BATCH

    def load(self, found: list[tuple[Any, ...]]) -> Loaded:
        """Raises Inexact, psycopg.DataError."""
        loaded = self.loader(found)
        kept = found if arrow.is_there() else []
        self.count = len(loaded)
        rows = ListRows(loaded, lambda index: _texts(kept, index), self.expect_arrow)
        return Loaded(rows, self.columns)

    def may_join(self, other: _Entry) -> bool:
        """Whether its answers may come with those of *other*: few rows, and the same columns."""
        alike = self is other or (
            self.described == other.described and self.queries[False] == other.queries[False]
        )
        return alike and self.has_at_most(_TINY) and not self.prefers_arrow()


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

    def reading(self, request: Request, shape: Sequence[Column] | None) -> Reading:
        """How a replica's answer becomes what the endpoint would return, for one execution."""
        return Reading(self, request, shape)

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

    def entry(self, request: Request) -> _Entry | None:
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
    ) -> _Entry:
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
        entry = _Entry(description, columns, types_of, is_nested, loader, queries)
        self._entries[key(request)] = entry
        return entry


class Reading:
    """Fetches one answer; see `duck.Reading`."""

    __slots__ = ("_as_arrow", "_entry", "_ran", "_request", "_shape", "_shapes", "query")

    def __init__(self, shapes: Shapes, request: Request, shape: Sequence[Column] | None) -> None:
        self._shapes = shapes
        self._request = request
        self._shape = shape
        self._as_arrow = False
        self._begin(shapes.entry(request))

    def _begin(self, entry: _Entry | None) -> None:
        """Set out to run the query by which its answers are fetched, or itself if none is known."""
        self._entry = entry
        if entry is not None:
            self._as_arrow = entry.prefers_arrow()
        self.query = self._ran = entry.queries[self._as_arrow] if entry is not None else None

    @property
    def batch(self) -> int:
        return self._entry.batch() if self._as_arrow and self._entry is not None else 0

    def next(self, description: list[Any]) -> str | None:
        entry, ran = self._entry, self._ran
        if entry is None:
            self._begin(self._shapes.prepare(self._request, description, self._shape))
            return self.query
        if ran is None:
            is_still = entry.described == description
        else:
            is_still = entry.loader.is_still(entry.described, description, as_arrow=self._as_arrow)
        if not is_still:
            self._shapes.forget(self._request)
            if self._shape is not None:
                raise Inexact("its columns have just changed")
            self._begin(None)
            return self._request.text if ran is not None else self.next(description)
        return None

    def load(self, answer: Answer) -> Loaded:
        """Turn DuckDB's answer into the endpoint's values. Raises Inexact, psycopg.DataError."""
        entry = self._entry
        assert entry is not None
        if answer.batches is None:
            return entry.load(answer.rows)
        rows = ArrowRows(entry.loader, answer.batches)
        entry.count = len(rows)
        return Loaded(rows, entry.columns)

    def wants_arrow(self) -> bool:
        """Whether Arrow could tell what the rows did not, and is now to be used."""
        if self._as_arrow or self._entry is None or not arrow.is_there():
            return False
        self._entry.count = None
        self._begin(self._entry)
        return True


class Together:
    """Fetches the answers to several requests by one query; see `duck.Reading`."""

    batch = 0

    def __init__(self, query: str, entries: Sequence[_Entry]) -> None:
        self.query = query
        self._entries = entries

    def next(self, description: list[Any]) -> None:
        """Raises Inexact when the columns are not those that each had."""
        _, *columns = description
        entry = self._entries[0]
        if entry.queries[False] is None:
            is_still = columns == entry.described
        else:
            is_still = entry.loader.is_still(entry.described, columns, as_arrow=False)
        if not is_still:
            raise Inexact("together they have other columns")

    def load(self, answer: Answer) -> list[Loaded]:
        """The answer to each. Raises as `Reading.load()`."""
        parts: list[list[tuple[Any, ...]]] = [[] for _ in self._entries]
        for turn, *row in answer.rows:
            parts[turn].append(tuple(row))
        return [entry.load(part) for entry, part in zip(self._entries, parts, strict=True)]

    def wants_arrow(self) -> bool:
        return False


def _texts(rows: Sequence[Sequence[Any]], index: int) -> list[str | None]:
    return [None if row[index] is None else str(row[index]) for row in rows]


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


def texts_of(cursor: Executed) -> Texts:
    """What the wire carried for each column."""

    def texts(index: int) -> list[str | None]:
        answer = cursor.pgresult
        assert answer is not None
        found = (answer.get_value(row, index) for row in range(answer.ntuples))
        return [None if value is None else value.decode() for value in found]

    return texts


def may_be_nested(description: Sequence[Any], rows: Sequence[Sequence[Any]]) -> bool:
    """Whether a DuckDB behind a wire may have sent nested values: it calls them text."""
    indexes = [n for n, column in enumerate(description) if column.type_code in _AS_TEXT]
    texts = (row[n] for n in indexes for row in rows)
    return any(type(text) is str and text.startswith(("{", "[", "(")) for text in texts)


def with_nested(
    description: Sequence[Any], types: Sequence[str], rows: list[Any], time_zone: dt.tzinfo
) -> list[Any]:
    """The same rows, with the nested values read from their text. Raises ParityError."""
    loaders = {}
    for index, (column, name) in enumerate(zip(description, types, strict=True)):
        kind = parse(name)
        if column.type_code in _AS_TEXT and kind is not None and kind.fields:
            label = column_label(index, column.name)
            try:
                loaders[index] = text_column(label, kind, time_zone)
            except ValueError as error:
                raise ParityError(f"{label}: {error}") from None
    if not loaders:
        return rows
    columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
    for index, load in loaders.items():
        columns[index] = load(columns[index])
    return list(zip(*columns, strict=True))


def asking_for_types(query: str, width: int) -> str:
    """A query that returns the DuckDB types of the *width* columns of *query*, in one row; unlike
    DESCRIBE, it may have parameters."""
    names = [f"c{n}" for n in range(width)]
    types = ", ".join(f"typeof(any_value({name}))" for name in names)
    return f"SELECT {types} FROM {parenthesised(query)} AS q({', '.join(names)}) WHERE false"


@contextmanager
def unquoted_json() -> Iterator[None]:
    """Where psycopg loads what a DuckDB behind a wire sent: it may have sent lists unquoted."""
    try:
        yield
    except JSONDecodeError as error:
        raise ParityError(f"a list of JSON arrived without quotes: {error}") from None


# How the types without a twin arrive; a list of lists has an OID of its own.
_AS_TEXT = (25, 17000)


def status_of_read(verb: str, count: int) -> str:
    """The command tag with which PostgreSQL would end a read of *count* rows."""
    return verb if verb in ("EXPLAIN", "SHOW") else f"SELECT {count}"


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
