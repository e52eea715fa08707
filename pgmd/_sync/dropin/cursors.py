# Generated from pgmd/_async/dropin/cursors.py by pgmd._tools.unasync. Do not edit.
"""psycopg's cursors, with reads on replicas."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
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
from .placing import Routing

Query = Any


class Cursor(psycopg.Cursor[Row]):
    """psycopg's cursor. A confirmed read may run on a replica, and looks as if psycopg ran it."""

    __module__ = "pgmd.psycopg"
    __slots__ = ()

    def execute(
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
            return super().execute(query, params, prepare=prepare, binary=binary)
        request = routing.request(self, query, params)
        form = self.format if binary is None else pq.Format(bool(binary))
        # What is to be prepared is to be there, too.
        if not prepare and routing.may_read(self, request, form) and self._read(request, form):
            converted = Unconverted(self._query_cls, query, params, self._adapters)
            self._query = cast("Any", converted)
            return self
        # Not by sending(): its generator would cost as much as all of the rest.
        statement = routing.begin(self, request)
        try:
            super().execute(query, params, prepare=prepare, binary=binary)
            routing.note(connection, statement)
            self._uncount(routing, statement)
        except psycopg.Error as error:
            raise routing.explained(error, statement, lost=connection.broken) from error.__cause__
        except BaseException as error:
            routing.broke(error)
            raise
        finally:
            routing.settle(connection)
        return self

    def executemany(
        self, query: Query, params_seq: Iterable[Any], *, returning: bool = False
    ) -> None:
        """As psycopg's."""
        with self._sending(query):
            super().executemany(query, params_seq, returning=returning)

    def stream(
        self, query: Query, params: Any = None, *, binary: bool | None = None, size: int = 1
    ) -> Iterator[Row]:
        """As psycopg's, on the endpoint."""
        with self._sending(query):
            rows = super().stream(query, params, binary=binary, size=size)
            try:
                for row in rows:
                    yield row
            finally:
                cast("Any", rows).close()

    @contextmanager
    def copy(self, statement: Query, params: Any = None, **kwargs: Any) -> Iterator[Any]:
        """As psycopg's, where the server has COPY."""
        with self._sending(statement), super().copy(statement, params, **kwargs) as copy:
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

    @contextmanager
    def _sending(self, query: Query) -> Iterator[None]:
        connection: Any = self._conn
        routing = connection.pgmd
        with routing.sending(self, routing.request(self, query, None)):
            yield

    def _connect(self) -> None:
        """Have a connection to the server."""
        connection: Any = self._conn
        if is_stand_in(self._pgconn) or connection._standing_in is not None:
            connection._open()
            self._pgconn = connection._real

    def _read(self, request: Request, form: pq.Format) -> bool:
        """Take the answer of a replica, if one may give it."""
        connection: Any = self._conn
        with connection.lock:
            shown = connection.pgmd.read(self, request, form)
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

    def _uncount(self, routing: Routing, statement: Statement | None) -> None:
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
    if issubclass(cursor_class, Cursor):
        return cursor_class
    known = _routed.get(cursor_class)
    if known is None:
        bases = (cursor_class, Cursor)
        known = type(cursor_class.__name__, bases, {"__module__": cursor_class.__module__})
        _routed[cursor_class] = known
    return known


_routed: WeakKeyDictionary[type[Any], type[Any]] = WeakKeyDictionary()


class ClientCursor(psycopg.ClientCursor[Row], Cursor[Row]):
    """psycopg's cursor that binds on the client."""

    __module__ = "pgmd.psycopg"


class RawCursor(psycopg.RawCursor[Row], Cursor[Row]):
    """psycopg's cursor with PostgreSQL's placeholders; with parameters it is not routed."""

    __module__ = "pgmd.psycopg"


class _OnServer(psycopg.ServerCursor[Row]):
    def execute(self, query: Query, params: Any = None, **kwargs: Any) -> Self:
        """As psycopg's."""
        connection: Any = self._conn
        connection._open()
        self._pgconn = connection._real
        return super().execute(query, params, **kwargs)


class ServerCursor(_OnServer[Row]):
    """psycopg's cursor on the server, which is never routed."""

    __module__ = "pgmd.psycopg"


class RawServerCursor(psycopg.RawServerCursor[Row], _OnServer[Row]):
    """psycopg's cursor on the server with PostgreSQL's placeholders, which is never routed."""

    __module__ = "pgmd.psycopg"
