"""A result: its rows, its shape, and where it came from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, NoReturn, Self

import psycopg
from psycopg.rows import RowFactory
from typing_extensions import TypeVar

from ..errors import ConfigurationError
from ..process.collector import collector_paused
from ..routing.decision import Decision
from ..sql import Fact, Statement
from .columns import Column, Described, Executed, Maker, maker
from .rows import Rows, schema_of

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow as pa

Row = TypeVar("Row", covariant=True, default=tuple[Any, ...])


class Result(Generic[Row]):
    """The complete result of one statement; not for sharing between threads.

    `rows` is None for a statement that returns none. Fetching then raises
    `psycopg.ProgrammingError`, as a psycopg cursor does. A large result of a replica is kept as
    Arrow and becomes Python rows while they are fetched, some thousands at a time.
    """

    __slots__ = ("_batch", "_columns", "_decision", "_make", "_more", "_next", "_rows", "_seconds",
                 "_zone", "rowcount", "statusmessage")  # fmt: skip

    def __init__(
        self,
        rows: Rows | None,
        columns: Described | Sequence[Column],
        decision: Decision,
        *,
        seconds: float,
        rowcount: int,
        statusmessage: str | None,
        zone: str = "UTC",
        row_factory: RowFactory[Any] | None = None,
    ) -> None:
        self._rows = rows
        self._columns = columns
        self._decision = decision
        self._seconds = seconds
        self._zone = zone
        self._more = self.lists()
        self._batch: list[Any] = []
        self._next = 0
        self.rowcount = rowcount
        self.statusmessage = statusmessage
        self._make: Maker | None = None
        if row_factory is not None and rows is not None:
            self._make = maker(row_factory, self.description or ())

    @property
    def decision(self) -> Decision:
        """Where the statement ran, why, how old the data may be and how long it took."""
        return replace(self._decision, seconds=self._seconds)

    def decided(self, decision: Decision) -> Self:
        """This result, of another decision."""
        self._decision = decision
        return self

    @property
    def description(self) -> list[Column] | None:
        """The columns, or None for a statement that returns no rows."""
        if self._rows is None:
            return None
        columns = self._columns
        if not isinstance(columns, Sequence):
            columns = self._columns = [Column.of(column) for column in columns.description or ()]
        return list(columns)

    def fetchone(self) -> Row | None:
        """Return the next row, or None after the last one."""
        while self._next >= len(self._batch):
            if not self._advance():
                return None
        row = self._batch[self._next]
        self._next += 1
        return row  # type: ignore[no-any-return]  # rows are what the driver gave

    def fetchmany(self, size: int = 1) -> list[Row]:
        """Return the next *size* rows, fewer at the end."""
        rows: list[Row] = []
        while len(rows) < size and (self._next < len(self._batch) or self._advance()):
            part = self._batch[self._next : self._next + size - len(rows)]
            self._next += len(part)
            rows += part
        return rows

    def fetchall(self) -> list[Row]:
        """Return all rows that were not fetched yet."""
        rows = self._batch[self._next :]
        while self._advance():
            if rows:
                rows += self._batch
            else:
                rows = self._batch
        self._batch, self._next = [], 0
        return rows

    def __iter__(self) -> Iterator[Row]:
        while (row := self.fetchone()) is not None:
            yield row

    def _advance(self) -> bool:
        """Make the next rows, if there are any."""
        if self._rows is None:
            self._no_rows()
        batch = next(self._more, None)
        if batch is None:
            return False
        if self._make is not None:
            with collector_paused():
                batch = list(map(self._make, batch))
        self._batch, self._next = batch, 0
        return True

    def lists(self) -> Iterator[list[Any]]:
        """The complete result as tuples, some thousands of rows at a time."""
        return self._rows.lists() if self._rows is not None else iter(())

    def copy(self) -> Result[Row]:
        """Another result over the same rows, independent of this one, before its first row."""
        twin = copy(self)
        # Lists of its own: fetchall() hands them out.
        twin._more = map(list, self.lists())
        twin._batch, twin._next = [], 0
        return twin

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The complete result in Arrow, some ten thousands of rows at a time.

        The schema follows from the columns' PostgreSQL types and is the same on both routes; what
        Arrow has no exact type for, and what has no twin there, is a string. Raises
        `psycopg.ProgrammingError` for a statement that returns no rows, `ConfigurationError`
        without pyarrow, `ParityError` for a value that Arrow cannot hold.
        """
        rows = self._rows
        if rows is None:
            self._no_rows()
        columns = self.description or []
        return rows.batches(schema_of(columns, self._zone), [c.type_code for c in columns])

    def arrow(self) -> pa.Table:
        """The complete result as a pyarrow Table; see `batches()`."""
        batches = list(self.batches())
        import pyarrow as pa

        if batches:
            return pa.Table.from_batches(batches)
        return schema_of(self.description or [], self._zone).empty_table()

    def df(self) -> pandas.DataFrame:
        """The complete result as a pandas DataFrame, as pyarrow makes it of `arrow()`."""
        return self.arrow().to_pandas()

    def pl(self) -> polars.DataFrame:
        """The complete result as a polars DataFrame. Raises ConfigurationError without polars."""
        try:
            import polars
        except ImportError:
            raise ConfigurationError("pl() needs polars: pip install polars") from None
        return polars.DataFrame(self.arrow())

    def _no_rows(self) -> NoReturn:
        raise psycopg.ProgrammingError(
            "the last operation didn't produce records "
            f"(command status: {self.statusmessage or 'none'})"
        )

    def __repr__(self) -> str:
        rows = "no rows" if self._rows is None else f"{len(self._rows)} rows"
        return f"<Result {rows}, {self._decision.explain()}>"


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
