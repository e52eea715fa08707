"""What stands in for a connection to the server: before there is one, and while a transaction is
open of which the server knows nothing.

psycopg and its pool keep their books by what a libpq connection says of itself. Whoever wants more
than that gets the real one, which is opened for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, cast

import psycopg
from psycopg import BaseConnection, pq
from psycopg.abc import PQGen, PQGenConn
from psycopg.pq.misc import connection_summary
from psycopg.rows import Row

from . import seam

_OK, _BAD = pq.ConnStatus.OK, pq.ConnStatus.BAD
_IDLE, _OPEN = pq.TransactionStatus.IDLE, pq.TransactionStatus.INTRANS


class StandIn:
    """The libpq connection as psycopg's books want it; `real` is the one behind it, if any.

    Whatever else is asked of it comes from the real one, which *connect* makes, blocking.
    """

    pipeline_status = pq.PipelineStatus.OFF
    error_message = b""
    _encoding = "utf-8"

    def __init__(
        self, params: Mapping[str, Any], connect: Callable[[], Any], real: Any = None
    ) -> None:
        self.params = params
        self.connect = connect
        self.real = real
        # Whether a transaction seems to be open.
        self.is_begun = False
        self.notice_handler: Any = None
        self.notify_handler: Any = None

    @property
    def status(self) -> pq.ConnStatus:
        status: pq.ConnStatus = _OK if self.real is None else self.real.status
        return status

    @property
    def transaction_status(self) -> pq.TransactionStatus:
        if self.is_begun:
            return _OPEN
        status: pq.TransactionStatus = _IDLE if self.real is None else self.real.transaction_status
        return status

    host = property(lambda self: self._known("host"))
    port = property(lambda self: self._known("port"))
    user = property(lambda self: self._known("user"))
    db = property(lambda self: self._known("db", "dbname"))

    def _known(self, name: str, keyword: str | None = None) -> bytes:
        if self.real is not None:
            found: bytes = getattr(self.real, name)
            return found
        return str(self.params.get(keyword or name) or "").encode()

    def finish(self) -> None:
        self.real, self.is_begun = _ended(), False

    def actual(self) -> Any:
        """The connection to the server. Raises what connecting raises."""
        return self.connect() if self.real is None else self.real

    def __getattr__(self, name: str) -> Any:
        return getattr(self.actual(), name)


def _ended() -> Any:
    """A libpq connection that was closed, for who asks for it then."""
    pgconn = pq.PGconn.connect_start(b"host=/dev/null")
    pgconn.finish()
    return pgconn


def is_stand_in(pgconn: object) -> bool:
    """Whether it only stands in for a connection."""
    return isinstance(pgconn, StandIn)


class _Asked:
    """`connection.pgconn` while something stands in for it. It hides behind the attribute of the
    same name, so that a connection as psycopg makes it pays nothing."""

    def __get__(self, connection: Any, _: object = None) -> Any:
        if connection is None or connection._standing_in is None:
            found = None if connection is None else vars(connection).get("pgconn")
            if found is None:
                raise AttributeError("pgconn")
            return found  # another thread has just put it there
        # A pool, which may be another's, looks whether what comes back is idle, and calls nothing
        # before that by which it could be known. To connect for that would wake the server.
        asks = sys._getframe(1).f_globals["__name__"]
        is_pool = asks.startswith("psycopg_pool.")
        return connection._books if is_pool else connection._handed_out()


class Standing(BaseConnection[Row]):
    """A connection for which something may stand in."""

    pgconn: Any = _Asked()
    _standing_in: StandIn | None = None

    def __del__(self, *args: Any) -> None:
        if self._standing_in is not None:
            self.pgconn = self._standing_in
        super().__del__(*args)

    @property
    def _books(self) -> Any:
        """The connection to the server as psycopg's books want it."""
        try:
            return self.__dict__["pgconn"]
        except KeyError:
            # Another thread may just put the one in the place of the other.
            return self._standing_in or self.__dict__["pgconn"]

    @property
    def _is_unopened(self) -> bool:
        return self._standing_in is not None and self._standing_in.real is None

    @property
    def _real(self) -> Any:
        """The connection to the server, opened if need be."""
        books = self._books
        return books.actual() if is_stand_in(books) else books

    def _handed_out(self) -> Any:
        """The connection to the server, in the transaction that it seems to be in."""
        real, connection = self._real, cast("Any", self)
        if connection._routing.forget_begun(self):
            real.exec_(seam.start_command(self))
        return real

    # ------------------------------------------------------- how it comes to stand in, and to go

    def _wait_unopened(self) -> None:
        """What it was made with stands in until it is opened."""
        self._standing_in = self.__dict__.pop("pgconn")

    def _stand_in(self) -> None:
        """Seem to be in a transaction, to psycopg and its pool."""
        if self._standing_in is None:
            self._standing_in = StandIn({}, _never, self.pgconn)
            del self.pgconn
        self._standing_in.is_begun = True

    def _stand_back(self) -> None:
        """Seem to be as the server says."""
        standing_in = self._standing_in
        if standing_in is None:
            return
        standing_in.is_begun = False
        if standing_in.real is not None:
            self.pgconn, self._standing_in = standing_in.real, None

    def _adopt(self, other: BaseConnection[Any]) -> Any:
        """Go on with another's connection to the server."""
        standing_in, real = self._standing_in, other.pgconn
        assert standing_in is not None
        # It would warn that it was not closed.
        other.pgconn = _ended()
        real.notice_handler = standing_in.notice_handler
        real.notify_handler = standing_in.notify_handler
        standing_in.real = real
        if not standing_in.is_begun:
            self._stand_back()
        return real

    # ------------------------------------- psycopg's own, by what stands in: these do not connect

    def __repr__(self) -> str:
        kind = f"{type(self).__module__}.{type(self).__qualname__}"
        return f"<{kind} {connection_summary(self._books)} at 0x{id(self):x}>"

    @property
    def closed(self) -> bool:
        """As psycopg's."""
        return bool(self._books.status == _BAD)

    @property
    def broken(self) -> bool:
        """As psycopg's."""
        return _is_broken(as_booked(self))

    @property
    def info(self) -> psycopg.ConnectionInfo:
        """As psycopg's."""
        return psycopg.ConnectionInfo(self._books)

    def fileno(self) -> int:
        """As psycopg's."""
        return int(self._real.socket)

    def _check_connection_ok(self) -> None:
        if self._books.status != _OK:
            BaseConnection._check_connection_ok(as_booked(self))

    def _check_intrans_gen(self, attribute: str) -> PQGen[None]:
        return BaseConnection._check_intrans_gen(as_booked(self), attribute)

    def _cancel_gen(self, **options: Any) -> PQGenConn[None]:
        return BaseConnection._cancel_gen(as_booked(self), **options)


_is_broken: Callable[[Any], bool] = BaseConnection.broken.fget  # type: ignore[attr-defined]


class _Booked:
    """A connection, to psycopg's own methods; its `pgconn` may be what stands in."""

    # What a new cursor looks at, apart from the rest: there is one for each execute().
    __slots__ = ("_connection", "adapters", "pgconn", "row_factory")

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.pgconn = connection._books
        self.adapters = connection.adapters
        self.row_factory = connection.row_factory

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def as_booked(connection: Any) -> Any:
    """What psycopg's methods take for the connection; to look at its `pgconn` does not connect,
    nor begin what another thread lets seem begun."""
    return _Booked(connection)


def resumed(gen: PQGen[Any], waits_for: Any) -> PQGen[Any]:
    """A generator that has begun, from its first step on."""
    try:
        while True:
            waits_for = gen.send((yield waits_for))
    except StopIteration as done:
        return done.value


def _never() -> Any:
    raise AssertionError("it has a connection")
