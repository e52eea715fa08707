"""psycopg's cursors, with reads on replicas."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Self, cast
from weakref import WeakKeyDictionary

import psycopg
from psycopg import pq
from psycopg.rows import Row

from ...answers.shape import uncounted
from ...dropin import seam
from ...dropin.adapters import Unconverted, request_of
from ...dropin.shown import Shown
from ...dropin.standin import as_booked, is_stand_in
from ...request import Request
from ...servers.coping import miscounted
from ...sql import Statement
from .placing import AsyncPlacing

Query = Any


class AsyncCursor(psycopg.AsyncCursor[Row]):
    """psycopg's cursor. A confirmed read may run on a replica, and looks as if psycopg ran it."""

    __module__ = "pgmd.psycopg"
    __slots__ = ()

    def __init__(self, connection: Any, *args: Any, **kwargs: Any) -> None:
        if connection._routing.is_plain:
            super().__init__(connection, *args, **kwargs)
        else:
            super().__init__(as_booked(connection), *args, **kwargs)
            seam.belong(self, connection)

    async def execute(
        self,
        query: Query,
        params: Any = None,
        *,
        prepare: bool | None = None,
        binary: bool | None = None,
    ) -> Self:
        """As psycopg's, on a replica where that gives the same; see `connection.pgmd`."""
        connection: Any = self.connection
        routing: AsyncPlacing = connection._routing
        if routing.is_plain:
            return await super().execute(query, params, prepare=prepare, binary=binary)
        request = request_of(self, query, params)
        form = self.format if binary is None else pq.Format(bool(binary))
        # What is to be prepared is to be there, too.
        if (
            not prepare
            and routing.may_read(self, request, form)
            and await self._read(request, form)
        ):
            given = Unconverted(seam.converter(self), query, params, self.adapters)
            seam.keep_query(self, given)
            return self
        # Not by sending(): its generator would cost as much as all of the rest.
        statement = await routing.begin(self, request)
        try:
            await super().execute(query, params, prepare=prepare, binary=binary)
            routing.note(connection, statement)
            self._uncount(routing, statement)
        except psycopg.Error as error:
            raise routing.explained(error, statement, lost=connection.broken) from error.__cause__
        finally:
            await routing.settle(connection)
        return self

    async def executemany(
        self, query: Query, params_seq: Iterable[Any], *, returning: bool = False
    ) -> None:
        """As psycopg's."""
        async with self._sending(query):
            await super().executemany(query, params_seq, returning=returning)

    async def stream(
        self, query: Query, params: Any = None, *, binary: bool | None = None, size: int = 1
    ) -> AsyncIterator[Row]:
        """As psycopg's, on the endpoint."""
        async with self._sending(query):
            rows = super().stream(query, params, binary=binary, size=size)
            try:
                async for row in rows:
                    yield row
            finally:
                await cast("Any", rows).aclose()

    @asynccontextmanager
    async def copy(
        self, statement: Query, params: Any = None, **kwargs: Any
    ) -> AsyncIterator[psycopg.AsyncCopy]:
        """As psycopg's, where the server has COPY."""
        async with self._sending(statement), super().copy(statement, params, **kwargs) as copy:
            yield copy

    # ------------------------------------------------------------------------------------ ours

    @asynccontextmanager
    async def _sending(self, query: Query) -> AsyncIterator[None]:
        connection: Any = self.connection
        async with connection._routing.sending(self, request_of(self, query, None)):
            yield

    async def _connect(self) -> None:
        """Have a connection to the server."""
        connection: Any = self.connection
        if is_stand_in(seam.channel(self)) or connection._standing_in is not None:
            await connection._open()
            seam.send_through(self, connection._real)

    async def _read(self, request: Request | None, form: pq.Format) -> bool:
        """Take the answer of a replica, if one may give it."""
        connection: Any = self.connection
        async with connection.lock:
            shown = await connection._routing.read(self, request, form)
            if shown is not None:
                seam.show(self, shown)
                # It shows the transaction that seems to be open.
                seam.send_through(self, connection._books)
        return shown is not None

    @classmethod
    def _loaders_changed(cls, wself: Any, oid: int, loader: Any) -> None:
        cursor = wself()
        if cursor is not None and isinstance(cursor.pgresult, Shown):
            cursor.pgresult.reload(cursor.adapters)
        else:
            super()._loaders_changed(wself, oid, loader)

    def _set_results(self, results: Any) -> None:
        super()._set_results(results)
        connection: Any = self.connection
        # Only executemany() without returning selects none of them.
        if self.pgresult is None and not connection._routing.profile.counts_in_tags:
            seam.count_more(self, miscounted(results))

    def _uncount(self, routing: AsyncPlacing, statement: Statement | None) -> None:
        """DuckDB's own result of an UPDATE is a row with a count."""
        if routing.profile.counts_in_tags or statement is None or statement.is_read:
            return
        answer = self.pgresult
        if answer is None or answer.nfields != 1 or answer.ntuples > 1:
            return
        if not seam.has_one_result(self):
            return
        done = uncounted(statement, seam.all_rows(self), cast("Any", self))
        if done.rows is None:
            seam.show(self, Shown.of_command(done, self.adapters))


def routed(cursor_class: type[Any]) -> type[Any]:
    """The same kind of cursor, routed; frameworks bring their own subclasses of psycopg's."""
    if issubclass(cursor_class, AsyncCursor):
        return cursor_class
    known = _routed.get(cursor_class)
    if known is None:
        bases = (cursor_class, AsyncCursor)
        known = type(cursor_class.__name__, bases, {"__module__": cursor_class.__module__})
        _routed[cursor_class] = known
    return known


_routed: WeakKeyDictionary[type[Any], type[Any]] = WeakKeyDictionary()


class AsyncClientCursor(psycopg.AsyncClientCursor[Row], AsyncCursor[Row]):
    """psycopg's cursor that binds on the client."""

    __module__ = "pgmd.psycopg"


class AsyncRawCursor(psycopg.AsyncRawCursor[Row], AsyncCursor[Row]):
    """psycopg's cursor with PostgreSQL's placeholders; with parameters it is not routed."""

    __module__ = "pgmd.psycopg"


class _OnServer(psycopg.AsyncServerCursor[Row]):
    async def execute(self, query: Query, params: Any = None, **kwargs: Any) -> Self:
        """As psycopg's."""
        connection: Any = self.connection
        await connection._open()
        seam.send_through(self, connection._real)
        return await super().execute(query, params, **kwargs)


class AsyncServerCursor(_OnServer[Row]):
    """psycopg's cursor on the server, which is never routed."""

    __module__ = "pgmd.psycopg"


class AsyncRawServerCursor(psycopg.AsyncRawServerCursor[Row], _OnServer[Row]):
    """psycopg's cursor on the server with PostgreSQL's placeholders, which is never routed."""

    __module__ = "pgmd.psycopg"
