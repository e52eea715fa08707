"""psycopg's connection, opened when it is needed."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Self
from weakref import ref

import psycopg
from psycopg.abc import AdaptContext
from psycopg.conninfo import make_conninfo
from psycopg.rows import Row

from ...dropin import seam
from ...dropin.standin import StandIn, Standing, as_booked, resumed
from ...runtime import aio as runtime
from .placing import AsyncPlacing


class AsyncOpening(Standing[Row], psycopg.AsyncConnection[Row]):
    """psycopg's connection, for which something may stand in until it is needed."""

    def __init__(self, pgconn: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(pgconn, *args, **kwargs)
        self._routing = AsyncPlacing()
        self._opening = runtime.Lock()

    @classmethod
    def _unopened(cls, params: Mapping[str, Any]) -> Self:
        standing_in = StandIn(params, _nothing)
        connection = cls(standing_in)
        standing_in.connect = partial(_open_now, ref(connection))
        connection._wait_unopened()
        return connection

    async def _set_up(
        self,
        *,
        autocommit: bool,
        prepare_threshold: int | None,
        context: AdaptContext | None,
        row_factory: Any,
        cursor_factory: Any,
    ) -> None:
        """As psycopg does when it has connected."""
        self.prepare_threshold = prepare_threshold
        if row_factory:
            self.row_factory = row_factory
        if cursor_factory:
            self.cursor_factory = cursor_factory
        if context:
            seam.adapt(self, context.adapters)
        if autocommit:
            await self.set_autocommit(True)

    async def _open(self) -> None:
        """Have a connection to the server. Raises what connecting raises."""
        seam.check_open(self)
        async with self._opening:
            waits = self._standing_in
            if waits is not None and waits.real is None:
                self._adopt(await psycopg.AsyncConnection.connect(make_conninfo(**waits.params)))

    async def close(self) -> None:
        """As psycopg's."""
        ends = not self.closed and not seam.returns_to_pool(self)
        if ends:
            self._routing.forget_begun(self)
            await self._routing.end_snapshot(self)
            await self._routing.close()
        never_opened = ends and self._is_unopened
        if never_opened:
            self.pgconn = self._standing_in
        await super().close()
        if never_opened:
            self._stand_back()

    def cancel(self) -> None:
        """As psycopg's, also of what runs on a replica."""
        if not self._routing.cancel() and self._standing_in is None:
            psycopg.AsyncConnection.cancel(as_booked(self))

    async def cancel_safe(self, *, timeout: float = 30.0) -> None:
        """As psycopg's, also of what runs on a replica."""
        if not self._routing.cancel() and self._standing_in is None:
            await psycopg.AsyncConnection.cancel_safe(as_booked(self), timeout=timeout)

    async def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
        """As psycopg's; much that is asked of an idle connection sends nothing."""
        if self.closed:
            raise psycopg.OperationalError("the connection is closed")
        if self._routing.is_plain:
            return await super().wait(gen, *args, **options)
        if self._standing_in is not None:
            try:
                gen = resumed(gen, next(gen))
            except StopIteration as done:
                return done.value
        return await psycopg.AsyncConnection.wait(as_booked(self), gen, *args, **options)


def _open_now(wanted: ref[AsyncOpening[Any]]) -> Any:
    """Open a connection in the midst of reading an attribute, where nothing can be awaited."""
    connection = wanted()
    if connection is None:
        return _nothing()
    standing_in = connection._standing_in
    assert standing_in is not None
    return connection._adopt(psycopg.Connection.connect(make_conninfo(**standing_in.params)))


def _nothing() -> Any:
    raise psycopg.OperationalError("the connection is closed")
