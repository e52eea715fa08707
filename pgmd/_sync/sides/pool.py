# Generated from pgmd/_async/sides/pool.py by pgmd._tools.unasync. Do not edit.
"""The endpoint's side: a psycopg_pool, configured for what the server turned out to be."""

from __future__ import annotations

import contextlib
import logging
import select
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import psycopg_pool
from psycopg import Connection
from psycopg.pq import TransactionStatus
from psycopg_pool import ConnectionPool

from ...errors import PoolClosed, PoolTimeout
from ...local.opening import make_local
from ...pooling import Slot
from ...process.clock import now
from ...process.forking import disconnect, hold
from ...runtime import threads as runtime
from ...servers.coping import send_texts
from ...servers.profile import PROBE, Profile, recognise
from ...settings.endpoint import Endpoint
from ...settings.redact import Redactor
from ..replicas.slots import Slots

if TYPE_CHECKING:
    from ...local import LocalEndpoint

_log = logging.getLogger("pgmd.pool")

# A connection that rested this long (seconds) is asked whether it still answers.
_CHECK_AFTER = 30.0
# While somebody waits for a connection, a failed attempt to make one is repeated after so long.
_AGAIN_AFTER = 0.5
# How long (seconds) the pool is asked for one then: to be asked is what has it connect.
_ASKED_FOR = 0.01


class Pooled(Connection[tuple[Any, ...]]):
    """A connection of the pool; `rested_since` is when it came back, `place` what its
    borrower holds where waiting is bounded."""

    rested_since: float = 0.0
    place: Slot[str] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        hold(self)

    def abandon(self) -> None:
        """It belongs to the parent of this process."""
        if not self.closed:
            disconnect(self.pgconn.socket)


class EndpointPool:
    """Lends connections to the endpoint, each in autocommit mode and fit for its profile."""

    def __init__(self, settings: Endpoint, redact: Redactor) -> None:
        self._settings = settings
        self._local: LocalEndpoint | None = None
        self._redact = redact
        self._pool: ConnectionPool[Pooled] | None = None
        self._profile: Profile | None = None
        # psycopg_pool's own bound counts those who have waited in vain until it next has a
        # connection: after an outage it may refuse everybody, and so never connect again.
        self._places = _places(settings) if settings.max_waiting else None
        self._changing = runtime.Guard()
        self._callers = 0
        self._is_insisting = False
        self._insisting: runtime.Background | None = None

    @property
    def profile(self) -> Profile:
        assert self._profile is not None
        return self._profile

    @property
    def options(self) -> Mapping[str, Any]:
        """The libpq keywords that name the server, once it is open."""
        return self._settings.options

    @property
    def params(self) -> Mapping[str, Any]:
        """All that a connection needs, the password, too."""
        return self._settings.params

    def open(self) -> None:
        """Find the profile out and open the pool.

        Raises psycopg.OperationalError when the server cannot be reached or refuses.
        """
        if self._settings.file is not None:
            self._serve(self._settings.file)
        self._profile = self._probe()
        settings = self._settings
        pool = ConnectionPool(
            kwargs=self._connect_options(),
            connection_class=Pooled,
            min_size=settings.min_size,
            max_size=settings.max_size,
            max_lifetime=settings.max_lifetime,
            max_idle=settings.max_idle,
            # Its further attempts would come ever more seldom, and long after the server is back.
            reconnect_timeout=0.0,
            reconnect_failed=self._gave_up,
            configure=self._configure,
            check=_check,
            open=False,
            name="pgmd-endpoint",
        )
        pool.open()
        self._pool = pool

    def _serve(self, file: str | Path) -> None:
        """Start the endpoint of a file; it ends with the pool."""
        settings = self._settings
        self._local = make_local(file, settings.secret, settings.file_options)
        self._local.__enter__()
        self._settings = settings.served_at(self._local.dsn)

    def lend(self) -> Pooled:
        """Borrow a connection.

        Raises PoolTimeout, PoolFull or PoolClosed: in all cases nothing was sent.
        """
        until = now() + self._settings.timeout
        if self._places is None:
            return self._connected(until)
        place = self._places.lend(lambda _: True)
        try:
            connection = self._connected(until)
        except BaseException:
            self._places.give_back(place)
            raise
        connection.place = place
        return connection

    def _connected(self, until: float) -> Pooled:
        if self._pool is None:
            raise PoolClosed("the engine is closed")
        self._count(1)
        try:
            return self._pool.getconn(until - now())
        except psycopg_pool.PoolTimeout:
            raise PoolTimeout(self._timed_out()) from None
        except psycopg_pool.PoolClosed:
            raise PoolClosed("the engine is closed") from None
        finally:
            self._count(-1)

    def _count(self, change: int) -> None:
        with self._changing:
            self._callers += change

    def _gave_up(self, pool: ConnectionPool[Pooled]) -> None:
        """The pool could not connect, and does not try again by itself."""
        with self._changing:
            if not self._is_insisting:
                self._is_insisting = True
                # Beside the pool's own few workers: they are to connect meanwhile.
                work = partial(self._insist, pool)
                self._insisting = runtime.Background(work, "pgmd-reconnect")

    def _insist(self, pool: ConnectionPool[Pooled], background: runtime.Background) -> None:
        """Have the pool try again as long as somebody waits."""
        while True:
            background.pause(_AGAIN_AFTER)
            with self._changing:
                # Who comes later has the pool try; when that fails, this begins anew.
                self._is_insisting = self._callers > 0
                if not self._is_insisting:
                    return
            with contextlib.suppress(psycopg_pool.PoolTimeout, psycopg_pool.PoolClosed):
                pool.putconn(pool.getconn(_ASKED_FOR))

    def give_back(self, connection: Pooled, *, discard: bool = False) -> None:
        """Take a connection back. One that is in use or in a transaction is replaced; one whose
        session state must not go on to others, to *discard*, is reset or replaced."""
        assert self._pool is not None
        connection.rested_since = now()
        place, connection.place = connection.place, None
        try:
            if discard:
                self._reset(connection)
        finally:
            try:
                self._put_back(connection)
            finally:
                if self._places is not None and place is not None:
                    self._places.give_back(place)

    def _reset(self, connection: Pooled) -> None:
        if not self.profile.can_reset:
            connection.close()
            return
        try:
            if connection.pgconn.transaction_status != TransactionStatus.IDLE:
                connection.execute("ROLLBACK")
            connection.execute("DISCARD ALL")
        except psycopg.Error:
            connection.close()

    def _put_back(self, connection: Pooled) -> None:
        assert self._pool is not None
        if connection.pgconn.transaction_status != TransactionStatus.IDLE:
            connection.close()
        # A borrower that is cancelled here must not lose the connection half way back.
        self._pool.putconn(connection)  # type: ignore[unused-ignore,unused-coroutine]  # no await in threads

    def close(self) -> None:
        if self._places is not None:
            self._places.close()
        if self._pool is not None:
            self._pool.close()
        if self._insisting is not None:
            self._insisting.close()
        local, self._local = self._local, None
        if local is not None:
            local.__exit__(None, None, None)

    def stats(self) -> dict[str, int]:
        """psycopg_pool's own counters."""
        if self._pool is None:
            return {}
        stats = dict(self._pool.get_stats())
        # The pool counts those who have given up, too, until it next has a connection.
        stats["requests_waiting"] = min(stats["requests_waiting"], self._callers)
        if self._places is not None:
            stats["requests_waiting"] += self._places.stats()["requests_waiting"]
        return stats

    def _probe(self) -> Profile:
        try:
            connection = Connection.connect(**self._connect_options(), prepare_threshold=None)
        except psycopg.OperationalError as error:
            # Without the cause: it is the same error, and could show what was redacted.
            raise type(error)(f"the endpoint refused: {self._redact(str(error))}") from None
        try:
            row = (connection.execute(PROBE)).fetchone()
            connection.execute("BEGIN")
            status = connection.pgconn.transaction_status
            connection.execute("ROLLBACK")
        finally:
            connection.close()
        return recognise(
            row,
            is_motherduck=self._settings.is_motherduck,
            reports_transactions=status == TransactionStatus.INTRANS,
        )

    def _connect_options(self) -> dict[str, Any]:
        return {**self.params, "autocommit": True}

    def _configure(self, connection: Pooled) -> None:
        connection.prepare_threshold = self.profile.prepare_threshold
        if not self.profile.infers_parameters:
            send_texts(connection)
        connection.rested_since = now()

    def _timed_out(self) -> str:
        stats = self.stats()
        lent = stats["pool_size"] - stats["pool_available"]
        return (
            f"no connection to the endpoint within {self._settings.timeout:.1f} s ({lent} lent, "
            f"{stats['requests_waiting']} waiting); raise max_size or timeout"
        )

    def __repr__(self) -> str:
        return f"<EndpointPool {self._settings!r}>"


def _places(settings: Endpoint) -> Slots[str]:
    """As many as there may be connections."""
    places: Slots[str] = Slots(
        lambda _: None,
        timeout=settings.timeout,
        max_waiting=settings.max_waiting,
        what="connection to the endpoint",
        advice="raise max_size",
    )
    places.add("endpoint", settings.max_size)
    return places


def _check(connection: Pooled) -> None:
    """Raise if the server has gone: seen on the socket, or asked after a long rest."""
    if now() - connection.rested_since > _CHECK_AFTER:
        ConnectionPool.check_connection(connection)
        return
    if has_gone(connection):
        ConnectionPool.check_connection(connection)


def has_gone(connection: Pooled) -> bool:
    """Whether the server has ended a connection that rests, as far as the socket tells."""
    # Nothing is expected on it: something to read is the server's farewell.
    return connection.closed or _has_news(connection.pgconn.socket)


def _has_news(socket: int) -> bool:
    if not hasattr(select, "poll"):
        return bool(select.select([socket], [], [], 0)[0])
    # select() refuses descriptors above 1023.
    poll = select.poll()
    poll.register(socket, select.POLLIN)
    return bool(poll.poll(0))
