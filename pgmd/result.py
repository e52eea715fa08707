"""A result: its rows, its shape, and where it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Generic, NamedTuple, NoReturn, Protocol

import psycopg
from psycopg import pq
from psycopg.rows import RowFactory
from typing_extensions import TypeVar

from .routing.decision import Decision

Row = TypeVar("Row", covariant=True, default=tuple[Any, ...])
Maker = Callable[[Sequence[Any]], Any]


class Column(NamedTuple):
    """A column as PEP 249 describes it; `type_code` is a PostgreSQL OID on both routes."""

    name: str
    type_code: int
    display_size: int | None = None
    internal_size: int | None = None
    precision: int | None = None
    scale: int | None = None
    null_ok: bool | None = None

    @classmethod
    def of(cls, column: Any) -> Column:
        """The same as a driver's column has it."""
        # By name: psycopg's columns work each item out anew, and slowly when taken by number.
        return cls(
            column.name,
            column.type_code,
            column.display_size,
            column.internal_size,
            column.precision,
            column.scale,
            column.null_ok,
        )


class Described(Protocol):
    """A driver's cursor: its columns cost time, so they are looked at when asked for."""

    @property
    def description(self) -> list[Any] | None: ...


class Executed(Described, Protocol):
    """A driver's cursor after a statement."""

    @property
    def statusmessage(self) -> str | None: ...


class _Shape:
    """What a psycopg row factory reads of a cursor: here its cursor and its result in one."""

    status = pq.ExecStatus.TUPLES_OK
    _encoding = "utf-8"

    def __init__(self, columns: Sequence[Column]) -> None:
        self.description = columns
        self.nfields = len(columns)

    @property
    def pgresult(self) -> _Shape:
        return self

    def fname(self, index: int) -> bytes:
        return self.description[index].name.encode()


class Result(Generic[Row]):
    """The complete result of one statement, fetched already; not for sharing between threads.

    `rows` is None for a statement that returns none. Fetching then raises
    `psycopg.ProgrammingError`, as a psycopg cursor does.
    """

    __slots__ = ("_columns", "_decision", "_make", "_next", "_rows", "_seconds", "rowcount",
                 "statusmessage")  # fmt: skip

    def __init__(
        self,
        rows: list[Any] | None,
        columns: Described | Sequence[Column],
        decision: Decision,
        *,
        seconds: float,
        rowcount: int,
        statusmessage: str | None,
        row_factory: RowFactory[Any] | None = None,
    ) -> None:
        self._rows = rows
        self._columns = columns
        self._decision = decision
        self._seconds = seconds
        self._next = 0
        self._make: Maker | None = None
        self.rowcount = rowcount
        self.statusmessage = statusmessage
        if row_factory is not None and rows is not None:
            self._make = row_factory(_Shape(self.description or ()))  # type: ignore[arg-type]  # a row factory reads only what _Shape has

    @property
    def decision(self) -> Decision:
        """Where the statement ran, why, how old the data may be and how long it took."""
        return replace(self._decision, seconds=self._seconds)

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
        rows = self._fetchable()
        if self._next >= len(rows):
            return None
        row = rows[self._next]
        self._next += 1
        return self._make(row) if self._make else row  # type: ignore[no-any-return]  # rows are what the driver gave

    def fetchmany(self, size: int = 1) -> list[Row]:
        """Return the next *size* rows, fewer at the end."""
        rows = self._fetchable()[self._next : self._next + size]
        self._next += len(rows)
        return [self._make(row) for row in rows] if self._make else rows

    def fetchall(self) -> list[Row]:
        """Return all rows that were not fetched yet."""
        rows = self._fetchable()
        if self._next:
            rows = rows[self._next :]
        self._next += len(rows)
        return [self._make(row) for row in rows] if self._make else rows

    def __iter__(self) -> Iterator[Row]:
        while (row := self.fetchone()) is not None:
            yield row

    def _fetchable(self) -> list[Any]:
        if self._rows is None:
            self._no_rows()
        return self._rows

    def _no_rows(self) -> NoReturn:
        raise psycopg.ProgrammingError(
            "the last operation didn't produce records "
            f"(command status: {self.statusmessage or 'none'})"
        )

    def __repr__(self) -> str:
        rows = "no rows" if self._rows is None else f"{len(self._rows)} rows"
        return f"<Result {rows}, {self._decision.explain()}>"
