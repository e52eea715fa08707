"""The columns of a result, as PEP 249 has them and as psycopg's row factories read them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from psycopg import pq
from psycopg.rows import RowFactory

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
    @property
    def pgresult(self) -> pq.abc.PGresult | None: ...


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


def maker(row_factory: RowFactory[Any] | None, columns: Sequence[Column]) -> Maker | None:
    """What makes a row of a tuple; None where the tuple is the row."""
    if row_factory is None:
        return None
    return row_factory(_Shape(columns))  # type: ignore[arg-type]  # a row factory reads only what _Shape has
