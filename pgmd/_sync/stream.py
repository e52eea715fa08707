# Generated from pgmd/_async/stream.py by pgmd._tools.unasync. Do not edit.
"""Rows of one statement as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic

from psycopg import capabilities
from psycopg.rows import RowFactory
from typing_extensions import TypeVar

from ..answers.result import Column, Maker, maker
from ..answers.shape import Loaded, unquoted_json
from ..errors import ParityError
from ..parity import Inexact, from_duckdb
from ..pooling import Slot
from ..replicas.cursor import DuckError
from ..replicas.duck import Run
from ..replicas.members import Member
from ..request import Request
from ..routing.decision import Decision

if TYPE_CHECKING:
    from .engine import Engine

# How many rows libpq hands over together, where it can.
STREAMED = 1_000 if capabilities.has_stream_chunked() else 1
# How many of an endpoint's rows are in memory at a time.
_PART = 10_000

Row = TypeVar("Row", covariant=True, default=tuple[Any, ...])


class Stream(Generic[Row]):
    """The rows of one read, some thousands of them in memory at a time; see `stream()`.

    Read once, by `for`. An error in the middle is raised there: the rows before it have been
    given already. Not for sharing between threads or tasks.
    """

    def __init__(
        self,
        parts: Iterator[Sequence[Any]],
        columns: Sequence[Column],
        decision: Decision,
        row_factory: RowFactory[Any] | None,
    ) -> None:
        self._parts = parts
        self._columns = columns
        self._decision = decision
        self._make: Maker | None = maker(row_factory, columns)

    @property
    def decision(self) -> Decision:
        """Where the statement runs, why, and how old the data may be."""
        return self._decision

    @property
    def description(self) -> list[Column]:
        """The columns."""
        return list(self._columns)

    def __iter__(self) -> Iterator[Row]:
        make = self._make
        for part in self._parts:
            for row in part if make is None else map(make, part):
                yield row


def replica_parts(
    engine: Engine,
    slot: Slot[Member],
    run: Run,
    first: Loaded,
    load: Callable[[], Loaded],
) -> Iterator[Sequence[Any]]:
    """The rows of what runs on a lent cursor: *first*, and what *load* finds until it is empty."""

    def rows_of(loaded: Loaded) -> list[Any]:
        return [row for part in loaded.rows.lists() for row in part]

    try:
        rows = engine.replicas.on_thread(slot, run, lambda: rows_of(first))
        while rows:
            yield rows
            rows = engine.replicas.on_thread(slot, run, lambda: rows_of(load()))
    except Inexact as error:
        raise ParityError(str(error)) from None
    except DuckError as error:
        raise from_duckdb(error, engine.redact) from error


def endpoint_parts(
    engine: Engine,
    request: Request,
    columns: Sequence[Column],
    first: list[Any],
    rows: Iterator[Any],
) -> Iterator[Sequence[Any]]:
    """The rows of what runs on the endpoint, of which *first* are read already."""
    part = first
    while part:
        yield engine.read_streamed(request, columns, part)
        part = taken(rows)


def taken(rows: Iterator[Any]) -> list[Any]:
    """The next rows, fewer at the end."""
    some: list[Any] = []
    with unquoted_json():
        for row in rows:
            some.append(row)
            if len(some) == _PART:
                break
    return some
