"""psycopg's cursors, with reads on replicas."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any, Self, cast
from weakref import WeakKeyDictionary

import psycopg
from psycopg import pq
from psycopg.rows import Row

from ...answers.result import uncounted
from ...dropin.shown import Shown, Unconverted, miscounted
from ...dropin.standin import is_stand_in
from ...request import Request
from ...servers.profile import Dialect
from ...sql import Statement
from .placing import AsyncRouting

Query = Any


class AsyncCursor(psycopg.AsyncCursor[Row]):
    """psycopg's cursor. A confirmed read may run on a replica, and looks as if psycopg ran it."""

    __module__ = "pgmd.psycopg"
    __slots__ = ()

    async def execute(
        self,
        query: Query,
        params: Any = None,
        *,
        prepare: bool | None = None,
        binary: bool | None = None,
    ) -> Self:
        """As psycopg's, on a replica where that gives the same; see `connection.pgmd`."""
        connection: Any = self._conn
        routing = connection.pgmd
        if routing.is_plain:
            return await super().execute(query, params, prepare=prepare, binary=binary)
        request = routing.request(self, query, params)
        form = self.format if binary is None else pq.Format(bool(binary))
        # What is to be prepared is to be there, too.
        if (
            not prepare
            and routing.may_read(self, request, form)
            and await self._read(request, form)
        ):
            converted = Unconverted(self._query_cls, query, params, self._adapters)
            self._query = cast("Any", converted)
            return self
        # Not by sending(): its generator would cost as much as all of the rest.
        statement = await routing.begin(self, request)
        try:
            await super().execute(query, params, prepare=prepare, binary=binary)
            routing.note(connection, statement)
            self._uncount(routing, statement)
        except psycopg.Error as error:
            raise routing.explained(error, statement, lost=connection.broken) from error.__cause__
        except BaseException as error:
            routing.broke(error)
            raise
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
    async def copy(self, statement: Query, params: Any = None, **kwargs: Any) -> AsyncIterator[Any]:
        """As psycopg's, where the server has COPY."""
        async with self._sending(statement), super().copy(statement, params, **kwargs) as copy:
            yield copy

    def __repr__(self) -> str:
        standing_in = cast("Any", self._conn)._standing_in
        if standing_in is None:
            return super().__repr__()
        real, self._pgconn = self._pgconn, standing_in
        try:
            return super().__repr__()
        finally:
            self._pgconn = real

    # ------------------------------------------------------------------------------------ ours

    @asynccontextmanager
    async def _sending(self, query: Query) -> AsyncIterator[None]:
        connection: Any = self._conn
        routing = connection.pgmd
        async with routing.sending(self, routing.request(self, query, None)):
            yield

    async def _connect(self) -> None:
        """Have a connection to the server."""
        connection: Any = self._conn
        if is_stand_in(self._pgconn) or connection._standing_in is not None:
            await connection._open()
            self._pgconn = connection._real

    async def _read(self, request: Request, form: pq.Format) -> bool:
        """Take the answer of a replica, if one may give it."""
        connection: Any = self._conn
        async with connection.lock:
            shown = await connection.pgmd.read(self, request, form)
            if shown is not None:
                self._show(shown)
        return shown is not None

    def _show(self, shown: Shown) -> None:
        self._reset()
        # Else psycopg would go on with its transformer for an equal query.
        self._last_query = None
        self._results = cast("Any", [shown])
        self._select_current_result(0)

    def _select_current_result(self, i: int, format: pq.Format | None = None) -> None:
        shown: Any = self._results[i]
        if not isinstance(shown, Shown):
            super()._select_current_result(i, format)
            return
        self._iresult, self._pos = i, 0
        self.pgresult = cast("Any", shown)
        self._tx = cast("Any", shown)
        self._rowcount = shown.ntuples if shown.nfields else -1
        if shown.status == pq.ExecStatus.COMMAND_OK:
            self._rowcount = -1 if shown.command_tuples is None else shown.command_tuples
        with suppress(AttributeError):  # psycopg 3.2 asks the result for it
            self._statusmessage = shown.command_status
        self._make_row = self._make_row_maker()

    @classmethod
    def _loaders_changed(cls, wself: Any, oid: int, loader: Any) -> None:
        cursor = wself()
        if cursor is not None and isinstance(cursor.pgresult, Shown):
            cursor.pgresult.reload(cursor._adapters)
        else:
            super()._loaders_changed(wself, oid, loader)

    def _set_results(self, results: Any) -> None:
        super()._set_results(results)
        dialect = cast("Any", self._conn).pgmd.profile.dialect
        if self._execmany_returning is False and dialect is Dialect.DUCKDB:
            self._rowcount += miscounted(results)

    def _uncount(self, routing: AsyncRouting, statement: Statement | None) -> None:
        """DuckDB's own result of an UPDATE is a row with a count."""
        if routing.profile.dialect is Dialect.POSTGRES or statement is None or statement.is_read:
            return
        answer = self.pgresult
        if answer is None or answer.nfields != 1 or answer.ntuples > 1 or len(self._results) > 1:
            return
        rows: Any = self._tx.load_rows(0, answer.ntuples, tuple)
        done = uncounted(statement, rows, cast("Any", self))
        if done.rows is None:
            self._show(Shown.of_command(done, self._adapters))


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
        connection: Any = self._conn
        await connection._open()
        self._pgconn = connection._real
        return await super().execute(query, params, **kwargs)


class AsyncServerCursor(_OnServer[Row]):
    """psycopg's cursor on the server, which is never routed."""

    __module__ = "pgmd.psycopg"


class AsyncRawServerCursor(psycopg.AsyncRawServerCursor[Row], _OnServer[Row]):
    """psycopg's cursor on the server with PostgreSQL's placeholders, which is never routed."""

    __module__ = "pgmd.psycopg"
