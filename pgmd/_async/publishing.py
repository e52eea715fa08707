"""How replicas move on: rounds of snapshots and refreshes, on demand and by the clock."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from ..process.clock import now
from ..replicas.members import moves_on
from ..replicas.plans import publish_statement, published_as
from ..routing.freshness import Freshness, WriteLog
from ..runtime import aio as runtime
from ..settings.config import Replica
from ..settings.redact import Redactor
from .replicas.set import AsyncReplicaSet
from .sides.pool import AsyncEndpointPool

_log = logging.getLogger("pgmd.route")

# How often (seconds) live replicas look for schema changes made elsewhere.
_REREAD_EVERY = 30.0


class AsyncPublishing:
    """Makes what the endpoint has acknowledged visible to the replicas."""

    def __init__(
        self,
        endpoint: AsyncEndpointPool | None,
        replicas: AsyncReplicaSet,
        settings: Sequence[Replica],
        log: WriteLog,
        redact: Redactor,
        changed: Callable[[], None],
    ) -> None:
        """*changed* is called when the replicas show another moment than before."""
        self._endpoint = endpoint
        self._replicas = replicas
        self._settings = settings
        self._log = log
        self._redact = redact
        self._changed = changed
        self._turn = runtime.Lock()
        self._rounds_begun = 0
        self._rounds_done = 0
        self._tickers: list[runtime.Ticker] = []

    def start(self, reread: Callable[[], Any]) -> None:
        """Begin to move on by the clock; *reread* looks for schema changes made elsewhere."""
        every = [replica.refresh for replica in self._settings if replica.refresh is not None]
        if every:
            self._tickers.append(runtime.Ticker(min(every), self.publish, self._failed))
        if any(moves_on(replica) for replica in self._settings):
            self._tickers.append(runtime.Ticker(_REREAD_EVERY, reread, self._failed))

    async def publish(self) -> None:
        """Move every replica on to all that is acknowledged by now. Calls at the same time share
        one round. Raises as `AsyncEngine.publish()`."""
        self._replicas.check_publishable()
        # A round that runs already may have begun before the writes that are meant.
        wanted = self._rounds_begun + 1
        async with self._turn:
            if self._rounds_done < wanted:
                self._rounds_begun += 1
                await self._publish()
                self._rounds_done = self._rounds_begun

    async def _publish(self) -> None:
        published = Freshness(self._log.settled, now())
        await self.take_snapshots(self._settings)
        await self._replicas.publish(published)
        self._changed()

    async def take_snapshots(self, replicas: Sequence[Replica]) -> None:
        """Have the writer make what these replicas show next."""
        if self._endpoint is None:
            return
        for database in sorted({name for r in replicas if (name := published_as(r)) is not None}):
            connection = await self._endpoint.lend()
            try:
                await connection.execute(publish_statement(database))
            finally:
                await self._endpoint.give_back(connection)

    def _failed(self, error: Exception) -> None:
        _log.warning("background refresh failed: %s", self._redact(str(error)))

    async def close(self) -> None:
        """Stop moving on by the clock."""
        for ticker in self._tickers:
            await ticker.close()
