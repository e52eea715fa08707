"""A replica's answer, as psycopg's cursors know an answer of the server.

They read a result through a few attributes of a libpq result and of a transformer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import psycopg
from psycopg import pq
from psycopg.adapt import AdaptersMap, PyFormat, Transformer

from ..answers.columns import Column
from ..answers.result import Done, Result
from ..errors import NotSupportedError
from ..process.collector import collector_paused


class Shown:
    """A replica's answer, as psycopg's cursors know a libpq result and a transformer."""

    error_message = ""
    nparams = 0

    def __init__(
        self,
        columns: Sequence[Column] | None,
        rows: Iterator[list[Any]],
        done: Done,
        adapters: AdaptersMap,
        form: pq.Format = pq.Format.TEXT,
    ) -> None:
        self._columns = columns
        self._rows: list[Any] = []
        self._more = rows
        self._given = AdaptersMap(adapters)
        self._format = form
        self._loads: list[Callable[[Any], Any] | None] = []
        count = done.rowcount
        self.status = pq.ExecStatus.COMMAND_OK if columns is None else pq.ExecStatus.TUPLES_OK
        self.nfields = len(columns or ())
        self.ntuples = 0 if columns is None else count
        self.command_tuples = None if count < 0 else count
        self.command_status = (done.statusmessage or "").encode() or None
        self.binary_tuples = int(form)

    @classmethod
    def of_result(cls, result: Result[Any], adapters: AdaptersMap, form: pq.Format) -> Shown:
        """What a replica answered."""
        done = Done(None, result.rowcount, result.statusmessage)
        return cls(result.description, result.lists(), done, adapters, form)

    @classmethod
    def of_command(cls, done: Done, adapters: AdaptersMap) -> Shown:
        """What a statement without rows has done."""
        return cls(None, iter(()), done, adapters)

    # -------------------------------------------------------------------------- a libpq result

    def fname(self, index: int) -> bytes | None:
        return self._column(index).name.encode()

    def ftype(self, index: int) -> int:
        return self._column(index).type_code

    def fmod(self, index: int) -> int:
        return modifier(self._column(index))

    def fsize(self, index: int) -> int:
        size = self._column(index).internal_size
        return -1 if size is None else size

    def fformat(self, index: int) -> pq.Format:  # noqa: ARG002 - all have the same
        return self._format

    def ftable(self, index: int) -> int:  # noqa: ARG002 - nothing tells
        return 0

    ftablecol = ftable

    def get_value(self, row: int, index: int) -> bytes | None:
        """The value as psycopg would send it, in text."""
        self._load(row + 1)
        return self._written(self._rows[row][index])

    def get_error_message(self, encoding: str = "utf-8") -> str:  # noqa: ARG002
        return ""

    def clear(self) -> None:
        self._rows = []

    def _column(self, index: int) -> Column:
        assert self._columns is not None
        return self._columns[index]

    # -------------------------------------------------------------------------- a transformer

    def set_pgresult(self, result: Any, **_: Any) -> None:
        """It is its own result."""

    def load_row(self, row: int, make_row: Callable[[Sequence[Any]], Any]) -> Any:
        if row >= self.ntuples:
            return None
        self._load(row + 1)
        found = self._rows[row]
        return found if make_row is tuple else make_row(found)

    def load_rows(
        self, first: int, end: int, make_row: Callable[[Sequence[Any]], Any]
    ) -> list[Any]:
        if not 0 <= first <= end <= self.ntuples:
            raise psycopg.InterfaceError(f"rows must be included between 0 and {self.ntuples}")
        self._load(end)
        rows = self._rows[first:end]
        return rows if make_row is tuple else list(map(make_row, rows))

    def _load(self, end: int) -> None:
        if len(self._rows) < end:
            with collector_paused():
                self._load_parts(end)

    def _load_parts(self, end: int) -> None:
        while len(self._rows) < end:
            part = next(self._more)
            if self._loads:
                part = [self._reloaded(row) for row in part]
            if self._rows:
                self._rows += part
            else:
                self._rows = part

    # ------------------------------------------------------------- loaders that came afterwards

    def reload(self, adapters: AdaptersMap) -> None:
        """Load the values anew, through loaders that were registered after they had come."""
        self._load(self.ntuples)
        self._loads = [self._loader(adapters, column) for column in self._columns or ()]
        self._rows = [self._reloaded(row) for row in self._rows]

    def _loader(self, adapters: AdaptersMap, column: Column) -> Callable[[Any], Any] | None:
        oid = column.type_code
        found = adapters.get_loader(oid, self._format)
        if found is self._given.get_loader(oid, self._format):
            return None
        if found is None or oid not in _REWRITABLE or self._format != pq.Format.TEXT:
            raise NotSupportedError(
                f"column {column.name!r} came from a replica: register its loader before "
                "executing, or begin the query with /*+ pgmd: endpoint */"
            )
        return found(oid, None).load

    def _reloaded(self, row: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(
            value if load is None or value is None else load(self._written(value))
            for value, load in zip(row, self._loads, strict=True)
        )

    @cached_property
    def _writer(self) -> Any:
        return Transformer(self._given)

    def _written(self, value: Any) -> bytes | None:
        if value is None:
            return None
        written = self._writer.get_dumper(value, PyFormat.TEXT).dump(value)
        return None if written is None else bytes(written)


# bool, integers, text, numeric, uuid, date: psycopg writes them as PostgreSQL does.
_REWRITABLE = frozenset({16, 20, 21, 23, 25, 1043, 1700, 2950, 1082})
_HEADER = 4
_LENGTHS = frozenset({1042, 1043, 1014, 1015})


def modifier(column: Column) -> int:
    """The libpq type modifier from which psycopg works out a column's sizes."""
    if column.scale is not None and column.precision is not None:
        return (column.precision << 16 | column.scale & 0x7FF) + _HEADER
    if column.precision is not None:
        return column.precision
    if column.display_size is not None:
        return column.display_size + (_HEADER if column.type_code in _LENGTHS else 0)
    return -1
