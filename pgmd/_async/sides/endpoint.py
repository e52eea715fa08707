"""The endpoint's side: one connection of its pool."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

import psycopg

from ...answers.found import Found
from ...request import Request
from ...routing.freshness import LIVE, Freshness
from .connection import AsyncOverConnection, stop
from .interface import Parts
from .pool import AsyncEndpointPool, AsyncPooled

_log = logging.getLogger("pgmd.pool")

_NOW = Freshness(LIVE)


class AsyncEndpointLent:
    """A connection to the endpoint, lent to one session.

    `executed` says whether the last statement has run, even where its rows could not be fetched.
    """

    __slots__ = ("_over", "_pool", "connection", "executed")

    name = None
    freshness = _NOW

    def __init__(
        self, pool: AsyncEndpointPool, over: AsyncOverConnection, connection: AsyncPooled
    ) -> None:
        self._pool = pool
        self._over = over
        self.connection = connection
        self.executed = False

    @property
    def is_lost(self) -> bool:
        """Whether the connection broke."""
        return self.connection.broken

    async def run(self, request: Request, before: Sequence[str] = ()) -> Found:
        """See `AsyncLent.run()`. What it raises may have had an effect."""
        self.executed = False
        await self.set(before)
        cursor = await self.connection.execute(request.query, request.params)
        self.executed = True
        return await self._over.fetched(self.connection, cursor, request)

    def stream(
        self,
        request: Request,
        before: Sequence[str] = (),  # noqa: ARG002 - the connection is set already
    ) -> AbstractAsyncContextManager[Parts]:
        """See `AsyncLent.stream()`."""
        return self._over.streamed(self.connection, request)

    async def begin(self, before: Sequence[str] = ()) -> None:
        """See `AsyncLent.begin()`."""
        await self.set(before)
        await self.connection.execute(self._pool.profile.begin_snapshot)

    async def end(self) -> None:
        """See `AsyncLent.end()`."""
        discard = True
        try:
            await self.rollback()
            discard = False
        except psycopg.Error as error:
            _log.debug("a connection to the endpoint is closed: %s", type(error).__name__)
        finally:
            await self.give_back(discard=discard)

    async def rollback(self) -> None:
        """End the transaction and keep the connection. Raises psycopg's errors."""
        await self.connection.execute("ROLLBACK")

    async def set(self, settings: Sequence[str]) -> None:
        """Run these statements of pgmd's or of the session's."""
        for setting in settings:
            await self.connection.execute(setting)

    def cancel(self) -> None:
        """See `AsyncLent.cancel()`."""
        stop(self.connection)

    async def give_back(self, *, discard: bool = False) -> None:
        """See `AsyncLent.give_back()`."""
        await self._pool.give_back(self.connection, discard=discard)
