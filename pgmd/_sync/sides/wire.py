# Generated from pgmd/_async/sides/wire.py by pgmd._tools.unasync. Do not edit.
"""A replica's side where another server answers: one connection of a replica's own."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg

from ...answers.found import Found, Setback
from ...errors import ParityError
from ...pooling import Slot
from ...replicas.members import Member
from ...replicas.wire import Wire
from ...request import Request
from ...routing.decision import Reason
from ...routing.freshness import Freshness
from ...servers.coping import send_texts
from .connection import OverConnection, stop
from .interface import Parts, Shared
from .pool import Pooled, has_gone

_log = logging.getLogger("pgmd.replica")


class _Wired:
    """A connection in a slot, as the slots know cursors."""

    def __init__(self, connection: Pooled) -> None:
        self.connection = connection
        self.broken = False

    def close(self) -> None:
        """Never waits."""
        self.connection.pgconn.finish()


class WireLent:
    """A connection to a replica, lent to one session."""

    __slots__ = ("_in_transaction", "_over", "_shared", "slot")

    def __init__(self, shared: Shared, over: OverConnection, slot: Slot[Member]) -> None:
        self._shared = shared
        self._over = over
        self._in_transaction = False
        self.slot = slot

    @property
    def name(self) -> str:
        return self.slot.replica.name

    @property
    def freshness(self) -> Freshness:
        return self.slot.replica.freshness

    def run(self, request: Request, before: Sequence[str] = ()) -> Found | Setback:
        """See `Lent.run()`."""
        try:
            connection = self._connection(before)
            cursor = connection.execute(request.query, request.params)
            found = self._over.fetched(connection, cursor, request)
        except ParityError:
            raise
        except psycopg.Error as error:
            return self._setback(request, error)
        except BaseException:
            # Cancelled: psycopg has stopped the statement, but who knows in time.
            self.spoil()
            raise
        self.slot.replica.report(None)
        return found

    def _setback(self, request: Request, error: psycopg.Error) -> Setback:
        """What an error means: a read that failed here may run on the endpoint."""
        known = self._shared.explained(error, request.text)
        if isinstance(known, psycopg.errors.QueryCanceled):
            raise known from error
        self.slot.replica.report(error)
        if self.slot.cursor is not None and self.slot.cursor.connection.broken:
            self.spoil()
        detail = type(error).__name__
        decision = self._shared.setback(request.text, Reason.FAILED, detail, lasting=False)
        return Setback(decision, known, error)

    @contextmanager
    def stream(self, request: Request, before: Sequence[str] = ()) -> Iterator[Parts | Setback]:
        """See `Lent.stream()`."""
        try:
            connection = self._connection(before)
            with self._over.streamed(connection, request) as parts:
                yield parts
        except psycopg.Error as error:
            self.slot.replica.report(error)
            raise

    def _connection(self, before: Sequence[str] = ()) -> Pooled:
        """Its connection, made if there is none or the server has ended it, and set as *before*
        says.

        Raises psycopg's errors; in a transaction also when it has ended, for that has, too.
        """
        slot = self.slot
        if not self._in_transaction and slot.cursor is not None and has_gone(self._connected):
            slot.cursor.close()
            slot.cursor = None
        if slot.cursor is None:
            slot.cursor = _Wired(self._connect())
        connection = self._connected
        for setting in before:
            self.spoil()  # for everybody else
            connection.execute(setting)
        return connection

    def _connect(self) -> Pooled:
        wire = self.slot.replica.instance
        assert isinstance(wire, Wire)
        connection = Pooled.connect(**wire.options, prepare_threshold=None)
        send_texts(connection)
        return connection

    @property
    def _connected(self) -> Pooled:
        return self.slot.cursor.connection  # type: ignore[no-any-return]

    def begin(self, before: Sequence[str] = ()) -> None:
        """See `Lent.begin()`."""
        connection = self._connection(before)
        connection.execute("BEGIN TRANSACTION READ ONLY")
        self._in_transaction = True

    def end(self) -> None:
        """See `Lent.end()`."""
        ended = False
        try:
            if self.slot.cursor is not None:
                self._connected.execute("ROLLBACK")
                ended = True
        except psycopg.Error as error:
            _log.debug("connection to %s is closed: %s", self.name, type(error).__name__)
        finally:
            self.give_back(discard=not ended)

    def spoil(self) -> None:
        """The connection is for nobody else."""
        if self.slot.cursor is not None:
            self.slot.cursor.broken = True

    def cancel(self) -> None:
        """See `Lent.cancel()`."""
        if self.slot.cursor is not None:
            stop(self._connected)

    def give_back(self, *, discard: bool = False) -> None:
        """See `Lent.give_back()`. Never waits, so that no cancellation can lose it."""
        if discard:
            self.spoil()
        self._shared.replicas.give_back(self.slot)
