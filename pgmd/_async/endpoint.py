"""The endpoint's side: a psycopg_pool, configured for what the server turned out to be."""

from __future__ import annotations

import contextlib
import logging
import select
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import psycopg_pool
from psycopg import AsyncConnection
from psycopg.pq import TransactionStatus
from psycopg.types.string import StrDumper
from psycopg_pool import AsyncConnectionPool

from ..clock import now
from ..config import Endpoint
from ..errors import NotSupportedError, PoolClosed, PoolFull, PoolTimeout
from ..forking import disconnect, hold
from ..profile import PROBE, Dialect, Profile, recognise
from ..redact import Redactor
from ..runtime import aio as runtime
from ..serving import make_local
from ..sql import Statement

if TYPE_CHECKING:
    from ..local import LocalEndpoint

_log = logging.getLogger("pgmd.pool")

# A connection that rested this long (seconds) is asked whether it still answers.
_CHECK_AFTER = 30.0
# While somebody waits for a connection, a failed attempt to make one is repeated after so long.
_AGAIN_AFTER = 0.5


class AsyncPooled(AsyncConnection[tuple[Any, ...]]):
    """A connection of the pool; `rested_since` is when it came back."""

    rested_since: float = 0.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        hold(self)

    def abandon(self) -> None:
        """It belongs to the parent of this process."""
        if not self.closed:
            disconnect(self.pgconn.socket)


class AsyncEndpointPool:
    """Lends connections to the endpoint, each in autocommit mode and fit for its profile."""

    def __init__(self, settings: Endpoint, redact: Redactor) -> None:
        self._settings = settings
        self._local: LocalEndpoint | None = None
        self._redact = redact
        self._pool: AsyncConnectionPool[AsyncPooled] | None = None
        self._profile: Profile | None = None

    @property
    def profile(self) -> Profile:
        assert self._profile is not None
        return self._profile

    async def open(self) -> None:
        """Find the profile out and open the pool.

        Raises psycopg.OperationalError when the server cannot be reached or refuses.
        """
        if self._settings.file is not None:
            await self._serve(self._settings.file)
        self._profile = await self._probe()
        settings = self._settings
        pool = AsyncConnectionPool(
            kwargs=self._connect_options(),
            connection_class=AsyncPooled,
            min_size=settings.min_size,
            max_size=settings.max_size,
            timeout=settings.timeout,
            max_waiting=settings.max_waiting,
            max_lifetime=settings.max_lifetime,
            max_idle=settings.max_idle,
            # Its further attempts would come ever more seldom, and long after the server is back.
            reconnect_timeout=0.0,
            reconnect_failed=self._insist,
            configure=self._configure,
            check=_check,
            open=False,
            name="pgmd-endpoint",
        )
        await pool.open()
        self._pool = pool

    async def _serve(self, file: str | Path) -> None:
        """Start the endpoint of a file; it ends with the pool."""
        settings = self._settings
        self._local = make_local(file, settings.password, settings.file_options)
        await self._local.__aenter__()
        self._settings = settings.served_at(self._local.dsn)

    async def lend(self, timeout: float | None = None) -> AsyncPooled:
        """Borrow a connection; wait up to *timeout* seconds.

        Raises PoolTimeout, PoolFull or PoolClosed: in all cases nothing was sent.
        """
        if self._pool is None:
            raise PoolClosed("the engine is closed")
        try:
            return await self._pool.getconn(timeout)
        except psycopg_pool.PoolTimeout:
            raise PoolTimeout(self._timed_out(timeout)) from None
        except psycopg_pool.TooManyRequests as error:
            raise PoolFull(f"{error}; raise max_waiting or max_size") from None
        except psycopg_pool.PoolClosed:
            raise PoolClosed("the engine is closed") from None

    async def _insist(self, pool: AsyncConnectionPool[AsyncPooled]) -> None:
        """The pool could not connect, and has given up."""
        await runtime.Gate().wait(_AGAIN_AFTER)
        if not pool.get_stats().get("requests_waiting"):
            return  # the next who asks has it try again
        with contextlib.suppress(psycopg_pool.PoolTimeout, psycopg_pool.PoolClosed):
            # It is asking that has the pool connect.
            await pool.putconn(await pool.getconn(timeout=0.001))

    async def give_back(self, connection: AsyncPooled, *, discard: bool = False) -> None:
        """Take a connection back. One that is in use or in a transaction is replaced; one whose
        session state must not go on to others, to *discard*, is reset or replaced."""
        assert self._pool is not None
        connection.rested_since = now()
        try:
            if discard:
                await self._reset(connection)
        finally:
            await self._put_back(connection)

    async def _reset(self, connection: AsyncPooled) -> None:
        if not self.profile.can_reset:
            await connection.close()
            return
        try:
            if connection.pgconn.transaction_status != TransactionStatus.IDLE:
                await connection.execute("ROLLBACK")
            await connection.execute("DISCARD ALL")
        except psycopg.Error:
            await connection.close()

    async def _put_back(self, connection: AsyncPooled) -> None:
        assert self._pool is not None
        if connection.pgconn.transaction_status != TransactionStatus.IDLE:
            await connection.close()
        # A borrower that is cancelled here must not lose the connection half way back.
        if runtime.ASYNC:
            await runtime.finish(self._pool.putconn(connection))
        else:
            self._pool.putconn(connection)  # type: ignore[unused-ignore,unused-coroutine]  # no await in threads

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.close()
        local, self._local = self._local, None
        if local is not None:
            await local.__aexit__(None, None, None)

    def stats(self) -> dict[str, int]:
        """psycopg_pool's own counters."""
        return dict(self._pool.get_stats()) if self._pool is not None else {}

    async def _probe(self) -> Profile:
        try:
            connection = await AsyncConnection.connect(
                **self._connect_options(), prepare_threshold=None
            )
        except psycopg.OperationalError as error:
            # Without the cause: it is the same error, and could show what was redacted.
            raise type(error)(f"the endpoint refused: {self._redact(str(error))}") from None
        try:
            row = await (await connection.execute(PROBE)).fetchone()
            await connection.execute("BEGIN")
            status = connection.pgconn.transaction_status
            await connection.execute("ROLLBACK")
        finally:
            await connection.close()
        return recognise(
            row,
            is_motherduck=self._settings.is_motherduck,
            reports_transactions=status == TransactionStatus.INTRANS,
        )

    def _connect_options(self) -> dict[str, Any]:
        return {**self._settings.params, "autocommit": True}

    async def _configure(self, connection: AsyncPooled) -> None:
        connection.prepare_threshold = self.profile.prepare_threshold
        if self.profile.dialect is Dialect.DUCKDB:
            send_texts(connection)
        connection.rested_since = now()

    def _timed_out(self, timeout: float | None) -> str:
        stats = self.stats()
        lent = stats.get("pool_size", 0) - stats.get("pool_available", 0)
        seconds = self._settings.timeout if timeout is None else timeout
        return (
            f"no connection to the endpoint within {seconds:.1f} s ({lent} lent, "
            f"{stats.get('requests_waiting', 0)} waiting); raise max_size or timeout"
        )

    def __repr__(self) -> str:
        return f"<EndpointPool {self._settings!r}>"


def send_texts(connection: AsyncPooled) -> None:
    """Have a str sent as text."""
    # psycopg leaves its type open, and a parameter without a type that decides a result column is
    # "ambiguous" to MotherDuck (github.com/hrl20/metabase, FIXES.md).
    connection.adapters.register_dumper(str, StrDumper)


async def _check(connection: AsyncPooled) -> None:
    """Raise if the server has gone: seen on the socket, or asked after a long rest."""
    if now() - connection.rested_since > _CHECK_AFTER:
        await AsyncConnectionPool.check_connection(connection)
        return
    if has_gone(connection):
        await AsyncConnectionPool.check_connection(connection)


def has_gone(connection: AsyncPooled) -> bool:
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


def check_sendable(profile: Profile, statement: Statement) -> None:
    """Raise `NotSupportedError` for what the endpoint is known to lack."""
    reason = profile.refusal(statement.why, statement.words)
    if reason is not None:
        raise NotSupportedError(f"a {profile.name} endpoint has no {reason}")


def unsupported_savepoint(profile: Profile) -> NotSupportedError:
    """What a nested transaction() meets where there is no SAVEPOINT."""
    return NotSupportedError(
        f"a nested transaction() needs SAVEPOINT, which a {profile.name} endpoint does not have; "
        "use one transaction() for all of it"
    )
