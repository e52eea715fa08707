"""What comes of a statement: a result, or a refusal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..values.columns import TEXT, Column
from ..values.rows import row_writer

# Rows that leave DuckDB at once: one of its vectors.
SLICE = 2048
# PostgreSQL tells no number of rows for these.
_UNCOUNTED = ("EXPLAIN", "SHOW")


class Refused(Exception):
    """The server itself refuses a statement; *code* is the SQLSTATE for it."""

    def __init__(self, message: str, code: str = "0A000") -> None:
        super().__init__(message)
        self.code = code


class QueryResult:
    """The result of one statement. Rows are there already, or are taken from DuckDB as they are
    fetched."""

    def __init__(
        self,
        tag: str,
        columns: Sequence[Column] | None = None,
        *,
        fetch: Callable[[int], list[Any]] | None = None,
        rows: list[Any] | None = None,
        formats: Sequence[int] = (),
        cast: bool = False,
        count: int | None = None,
    ) -> None:
        self.columns = columns
        self._tag = tag
        self._fetch = fetch
        self._count = count
        self.fetched = 0  # rows since somebody set it to 0
        self._buffer = rows
        self._write = row_writer(columns, formats, cast=cast) if columns is not None else None

    def rows(self, size: int) -> bytearray:
        """The next rows as DataRow messages; empty at the end."""
        assert self._write is not None
        found = self.values(size)
        self.fetched += len(found)
        return self._write(found)

    def values(self, size: int) -> list[Any]:
        """The next rows as they came from DuckDB."""
        if self._buffer is not None:
            found = self._buffer[:size]
            del self._buffer[:size]
            return found
        return self._fetch(size) if self._fetch is not None else []

    def take_all(self) -> None:
        """Keep what is left, so that the cursor is free for the next statement."""
        if self._fetch is None or self._buffer is not None:
            return
        found: list[Any] = []
        while part := self._fetch(SLICE):
            found += part
        self._buffer = found

    @property
    def tag(self) -> str:
        """What CommandComplete says."""
        count = self.fetched if self.columns is not None and self._count is None else self._count
        if self._tag in _UNCOUNTED:
            return self._tag
        return self._tag if count is None else f"{self._tag} {count}"


def spread(formats: Sequence[int], count: int) -> Sequence[int]:
    """The format of each column: none given is text, one is for all. Raises Refused."""
    if len(formats) == 1:
        return [formats[0]] * count
    if formats and len(formats) != count:
        raise Refused(f"{len(formats)} result formats for {count} columns", "08P01")
    return formats or [TEXT] * count
