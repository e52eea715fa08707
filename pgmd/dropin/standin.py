"""What stands in for a connection to the server: before there is one, and while a transaction is
open of which the server knows nothing.

psycopg keeps its books by what a libpq connection says of itself. Whoever wants more than that gets
the real one, which is opened for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, cast

from psycopg import BaseConnection, pq
from psycopg._cursor_base import BaseCursor

_OK = pq.ConnStatus.OK
_IDLE, _OPEN = pq.TransactionStatus.IDLE, pq.TransactionStatus.INTRANS


class StandIn:
    """The libpq connection as psycopg's books want it; `real` is the one behind it, if any.

    Whatever else is asked of it comes from the real one, which *connect* makes, blocking.
    """

    pipeline_status = pq.PipelineStatus.OFF
    error_message = b""
    _encoding = "utf-8"

    def __init__(self, params: Mapping[str, Any], connect: Callable[[], Any]) -> None:
        self.params = params
        self.connect = connect
        self.real: Any = None
        self.transaction_status = _IDLE
        self.notice_handler: Any = None
        self.notify_handler: Any = None

    @property
    def status(self) -> pq.ConnStatus:
        status: pq.ConnStatus = _OK if self.real is None else self.real.status
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
        self.real = _ended()
        self.transaction_status = pq.TransactionStatus.UNKNOWN

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


class _Asked:
    """`connection.pgconn` while something stands in for it. It hides behind the attribute of the
    same name, so that a connection as psycopg makes it pays nothing."""

    def __get__(self, connection: Any, _: object = None) -> Any:
        standing_in = None if connection is None else connection._standing_in
        if standing_in is None:
            raise AttributeError("pgconn")
        return standing_in if _keeps_books(sys._getframe(1)) else connection._handed_out()


_BOOKS = ("psycopg._connection_base", "psycopg.connection", "psycopg.transaction", "psycopg_pool.")


def _keeps_books(frame: FrameType) -> bool:
    """Whether it is psycopg's own state that is looked after, or ours."""
    name: str = frame.f_globals["__name__"]
    if frame.f_code is _MAKES_CURSOR:
        # Ours looks for its connection again before it sends anything.
        return hasattr(frame.f_locals["self"], "_connect")
    return name.startswith(("pgmd.", *_BOOKS))


_MAKES_CURSOR = BaseCursor.__init__.__code__


class Standing:
    """A connection for which something may stand in."""

    pgconn: Any = _Asked()
    _standing_in: StandIn | None = None

    @property
    def _is_unopened(self) -> bool:
        return self._standing_in is not None and self._standing_in.real is None

    @property
    def _real(self) -> Any:
        """The connection to the server, opened if need be."""
        return self.pgconn if self._standing_in is None else self._standing_in.actual()

    def _handed_out(self) -> Any:
        """The connection to the server, in the transaction that it seems to be in."""
        real, connection = self._real, cast("Any", self)
        if connection.pgmd.forget_begun(self):
            real.exec_(connection._get_tx_start_command())
        return real

    def _wait_unopened(self) -> None:
        """What it was made with stands in until it is opened."""
        self._standing_in = self.__dict__.pop("pgconn")

    def _stand_in(self) -> None:
        """Seem to be in a transaction, to psycopg and its pool."""
        if self._standing_in is None:
            self._standing_in = StandIn({}, _never)
            self._standing_in.real = self.__dict__.pop("pgconn")
        self._standing_in.transaction_status = _OPEN

    def _stand_back(self) -> None:
        """Seem to be as the server says."""
        standing_in = self._standing_in
        if standing_in is None:
            return
        standing_in.transaction_status = _IDLE
        if standing_in.real is not None:
            self._standing_in, self.pgconn = None, standing_in.real

    def _adopt(self, other: BaseConnection[Any]) -> Any:
        """Go on with another's connection to the server."""
        standing_in, real = self._standing_in, other.pgconn
        assert standing_in is not None
        real.notice_handler = standing_in.notice_handler
        real.notify_handler = standing_in.notify_handler
        standing_in.real = real
        # It would warn that it was not closed.
        other._pool = None
        if standing_in.transaction_status == _IDLE:
            self._stand_back()
        return real


def _never() -> Any:
    raise AssertionError("it has a connection")


def is_stand_in(pgconn: object) -> bool:
    """Whether it only stands in for a connection."""
    return isinstance(pgconn, StandIn)
