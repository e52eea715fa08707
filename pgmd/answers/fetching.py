"""How DuckDB's answer to a query is fetched, and what is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

from ..parity import Inexact, arrow
from ..parity.load import RowLoader
from ..request import Request
from .columns import Column
from .rows import ArrowRows, ListRows, Rows

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


class Answer(NamedTuple):
    """What DuckDB returned: its own description, and its own values in rows or Arrow batches."""

    description: list[Any]
    rows: list[tuple[Any, ...]]
    batches: list[Any] | None = None


class Reading(Protocol):
    """Decides how the answer to one query is fetched, once for each execution."""

    @property
    def query(self) -> str | None:
        """What to run in place of the query, if that is known already."""
        ...

    def next(self, description: list[Any]) -> str | None:
        """What to run instead of what has just run and returns these columns; None when that is
        what was wanted. Raises whatever stops it."""
        ...

    @property
    def batch(self) -> int:
        """How many rows the Arrow batches of what has run are to have; 0 to fetch it as rows."""
        ...


class Fetching(Reading, Protocol[Found]):
    """How DuckDB's answer to one query is fetched, and what is made of it."""

    def load(self, answer: Answer) -> Found:
        """Raises Inexact, psycopg.DataError."""
        ...

    def wants_arrow(self) -> bool:
        """Whether Arrow could tell what the rows did not, and is now to be used."""
        ...


class Loaded(NamedTuple):
    rows: Rows
    columns: Sequence[Column]


@dataclass(slots=True)
class Entry:
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

    def may_join(self, other: Entry) -> bool:
        """Whether its answers may come with those of *other*: few rows, and the same columns."""
        alike = self is other or (
            self.described == other.described and self.queries[False] == other.queries[False]
        )
        return alike and self.has_at_most(_TINY) and not self.prefers_arrow()


class Entries(Protocol):
    """What is known of how answers are read."""

    def entry(self, request: Request) -> Entry | None:
        """What holds for the answers to *request*, if that is known."""
        ...

    def prepare(
        self, request: Request, description: list[Any], shape: Sequence[Column] | None
    ) -> Entry:
        """Find it out from what DuckDB returns. Raises Inexact."""
        ...

    def forget(self, request: Request) -> None: ...


class Single:
    """Fetches the answer to one request; see `Fetching`."""

    __slots__ = ("_as_arrow", "_entries", "_entry", "_ran", "_request", "_shape", "query")

    def __init__(self, entries: Entries, request: Request, shape: Sequence[Column] | None) -> None:
        self._entries = entries
        self._request = request
        self._shape = shape
        self._as_arrow = False
        self._begin(entries.entry(request))

    def _begin(self, entry: Entry | None) -> None:
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
            self._begin(self._entries.prepare(self._request, description, self._shape))
            return self.query
        if ran is None:
            is_still = entry.described == description
        else:
            is_still = entry.loader.is_still(entry.described, description, as_arrow=self._as_arrow)
        if not is_still:
            self._entries.forget(self._request)
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
    """Fetches the answers to several requests by one query; see `Fetching`."""

    batch = 0

    def __init__(self, query: str, entries: Sequence[Entry]) -> None:
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
        """The answer to each. Raises as `Single.load()`."""
        parts: list[list[tuple[Any, ...]]] = [[] for _ in self._entries]
        for turn, *row in answer.rows:
            parts[turn].append(tuple(row))
        return [entry.load(part) for entry, part in zip(self._entries, parts, strict=True)]

    def wants_arrow(self) -> bool:
        return False


def _texts(rows: Sequence[Sequence[Any]], index: int) -> list[str | None]:
    return [None if row[index] is None else str(row[index]) for row in rows]
