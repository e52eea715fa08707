"""What is alike on the sides that are reached by a connection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from psycopg import AsyncCursor, capabilities
from psycopg.rows import tuple_row

from ...answers.columns import Column
from ...answers.found import Found
from ...answers.nested import unquoted_json
from ...answers.result import Done, uncounted
from ...answers.rows import ListRows, texts_of
from ...process.clock import now
from ...request import Request
from ...runtime import aio as runtime
from ...servers.profile import Profile
from ...sql import analyse
from .describing import AsyncDescribing
from .interface import Parts
from .pool import AsyncPooled

# How many rows libpq hands over together, where it can.
_STREAMED = 1_000 if capabilities.has_stream_chunked() else 1
# How many rows are in memory at a time.
_PART = 10_000


class AsyncOverConnection:
    """Runs statements over connections to servers of one profile."""

    def __init__(self, profile: Profile, describing: AsyncDescribing) -> None:
        self._reads_texts = profile.sends_nested_as_text
        self._describing = describing

    async def fetched(self, connection: AsyncPooled, cursor: Any, request: Request) -> Found:
        """The answer to what *cursor* has run. Raises psycopg's errors, ParityError."""
        ran, statement = now(), analyse(request.text)
        # A cursor without a result set has no row number.
        with unquoted_json():
            rows = await cursor.fetchall() if cursor.rownumber is not None else None
        done = Done(rows, cursor.rowcount, cursor.statusmessage)
        if rows is not None and not statement.is_read:
            done = uncounted(statement, rows, cursor)
        if done.rows and self._reads_texts and statement.is_query:
            read = await self._describing.read_texts(
                connection, request, cursor.description or (), done.rows
            )
            done = done._replace(rows=read)
        return Found(
            None if done.rows is None else ListRows(done.rows, texts_of(cursor)),
            cursor,
            done.rowcount,
            done.statusmessage,
            now() - ran,
        )

    @asynccontextmanager
    async def streamed(self, connection: AsyncPooled, request: Request) -> AsyncIterator[Parts]:
        """The rows of one read as they come."""
        cursor: AsyncCursor[tuple[Any, ...]] = connection.cursor(row_factory=tuple_row)
        rows: Any = cursor.stream(request.query, request.params, size=_STREAMED)
        try:
            first = await _taken(rows)
            if not first:
                # psycopg drops what a stream without rows says of its columns.
                cursor = await connection.execute(request.query, request.params)
                first = await cursor.fetchall()
            columns = [Column.of(column) for column in cursor.description or ()]
            yield Parts(columns, self._parts(request, columns, first, rows))
        finally:
            await rows.aclose()

    async def _parts(
        self,
        request: Request,
        columns: Sequence[Column],
        first: list[Any],
        rows: AsyncIterator[Any],
    ) -> AsyncIterator[Sequence[Any]]:
        part = first
        while part:
            yield await self._describing.read_streamed(request, columns, part)
            part = await _taken(rows)


async def _taken(rows: AsyncIterator[Any]) -> list[Any]:
    """The next rows, fewer at the end."""
    some: list[Any] = []
    with unquoted_json():
        async for row in rows:
            some.append(row)
            if len(some) == _PART:
                break
    return some


def stop(connection: AsyncPooled) -> None:
    """Ask the server to stop what a connection runs, blocking."""
    # Not by cancel(), which keeps every other thread from running until the server has answered.
    runtime.complete(connection.cancel_safe)
