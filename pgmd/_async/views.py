"""What a session hands out: open blocks and views of itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Generic, overload

from psycopg.rows import BaseRowFactory
from typing_extensions import TypeVar

from ..answers.result import Result
from ..errors import UsageError
from ..request import Params, Sql
from ..routing.decision import Route
from ..servers.coping import unsupported_savepoint
from .asking import AsyncAsking
from .blocks import committed, end_snapshot, end_transaction, open_snapshot, open_transaction
from .state import Block

Row = TypeVar("Row", default=tuple[Any, ...])
Other = TypeVar("Other")


class _View(Generic[Row]):
    """Executes in its session, on a route."""

    _route: Route | None = None

    def __init__(self, asking: AsyncAsking) -> None:
        self._asking = asking

    @overload
    async def execute(self, query: Sql, params: Params | None = None) -> Result[Row]: ...

    @overload
    async def execute(
        self,
        query: Sql,
        params: Params | None = None,
        *,
        row_factory: BaseRowFactory[Other],
    ) -> Result[Other]: ...

    async def execute(
        self,
        query: Sql,
        params: Params | None = None,
        *,
        row_factory: BaseRowFactory[Any] | None = None,
    ) -> Result[Any]:
        """As the session's `execute()`."""
        self._check()
        return await self._asking.run(query, params, row_factory, self._route)

    def _check(self) -> None:
        pass


class AsyncEndpointView(_View[Row]):
    """A session whose statements all go to the endpoint."""

    _route = Route.ENDPOINT


class AsyncReplicaView(_View[Row]):
    """A session whose statements all go to a replica; `RoutingError` for what may not."""

    _route = Route.REPLICA


class _BlockView(_View[Row]):
    """Executes in an open block of its session."""

    def __init__(self, asking: AsyncAsking, block: Block) -> None:
        super().__init__(asking)
        self._block = block

    def _check(self) -> None:
        if self._asking.state.block is not self._block:
            raise UsageError(f"this {self._what} is over; open a new one")

    _what = "block"


class AsyncTransaction(_BlockView[Row]):
    """An open transaction. Not for sharing between threads or tasks."""

    _what = "transaction"

    def transaction(self) -> AbstractAsyncContextManager[AsyncTransaction[Row]]:
        """A savepoint in this transaction, rolled back to on error."""
        self._check()
        return transaction(self._asking)


class AsyncSnapshot(_BlockView[Row]):
    """An open read-only view of one moment. Not for sharing between threads or tasks."""

    _what = "snapshot"


@asynccontextmanager
async def transaction(asking: AsyncAsking) -> AsyncIterator[AsyncTransaction[Any]]:
    """See `AsyncSession.transaction()`."""
    asking.check_open()
    core, state = asking.core, asking.state
    outer = state.block
    if outer is not None and outer.is_snapshot:
        raise UsageError("a transaction() cannot start inside a snapshot(), which only reads")
    if outer is not None and not core.profile.has_savepoints:
        raise unsupported_savepoint(core.profile)
    if core.endpoint is None:
        raise UsageError("a transaction() needs an endpoint, and this engine has no endpoint")
    block = outer or await open_transaction(asking)
    state.open(block)
    try:
        async with committed(asking, block):
            yield AsyncTransaction(asking, block)
    finally:
        state.open(outer)
        if outer is None:
            await end_transaction(asking, block)


@asynccontextmanager
async def snapshot(asking: AsyncAsking) -> AsyncIterator[AsyncSnapshot[Any]]:
    """See `AsyncSession.snapshot()`."""
    asking.check_open()
    state = asking.state
    if state.block is not None:
        raise UsageError("a snapshot() cannot start inside a transaction() or snapshot()")
    if state.ledger.pin:
        raise UsageError(f"a snapshot() needs a session that is not pinned: {state.ledger.pin}")
    block = await open_snapshot(asking)
    state.open(block)
    try:
        yield AsyncSnapshot(asking, block)
    finally:
        for fan_out in [each for each in block.fan_outs if each.has_begun]:
            await fan_out.aclose()
        state.close()
        await end_snapshot(asking, block)
