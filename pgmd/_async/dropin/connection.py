"""psycopg's connection, with the endpoint's quirks mended and reads on replicas."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Self, overload
from weakref import ref

import psycopg
from psycopg.abc import AdaptContext, PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import AsyncRowFactory, Row
from typing_extensions import TypeVar

from ...dropin import seam
from ...dropin.adapters import leaves_texts_open
from ...dropin.identity import is_addressed, known_profile, may_wait, probe_gen
from ...dropin.modes import RouteReads, check_route_reads
from ...dropin.standin import StandIn, as_booked, resumed
from ...errors import NotSupportedError
from ...runtime import aio as runtime
from ...servers.coping import send_texts, unsupported, unsupported_savepoint
from ...settings.conninfo import check_tls, is_motherduck, motherduck_tls
from ..engine import AsyncEngine
from .attached import engines
from .cursors import AsyncCursor, AsyncServerCursor, routed
from .face import AsyncRouting
from .fitting import AsyncFitting
from .placing import AsyncPlacing
from .waiting import AsyncWaitingTransaction

CursorRow = TypeVar("CursorRow")
_IDLE = psycopg.pq.TransactionStatus.IDLE


class AsyncConnection(AsyncFitting[Row]):
    """psycopg's connection. `pgmd` says what is done with its statements."""

    __module__ = "pgmd.psycopg"

    pgmd: AsyncRouting

    def __init__(self, pgconn: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(pgconn, *args, **kwargs)
        self._routing = AsyncPlacing()
        self.pgmd = AsyncRouting(self._routing)
        self.cursor_factory = AsyncCursor
        self.server_cursor_factory = AsyncServerCursor
        self._opening = runtime.Lock()

    # ------------------------------------------------------------------------------- connecting

    @classmethod
    async def connect(  # type: ignore[override]  # libpq has no keywords of these names
        cls,
        conninfo: str = "",
        *,
        autocommit: bool = False,
        prepare_threshold: int | None = 5,
        context: AdaptContext | None = None,
        row_factory: AsyncRowFactory[Row] | None = None,
        cursor_factory: type[psycopg.AsyncCursor[Row]] | None = None,
        engine: AsyncEngine | None = None,
        route_reads: RouteReads | None = None,
        lazy: bool | None = None,
        **kwargs: Any,
    ) -> Self:
        """As psycopg's; with an *engine*, or one that is attached, reads run on its replicas.

        Without any address it connects to the engine's own endpoint. *route_reads* is when, see
        `pgmd.route_reads`; by default the environment's PGMD_ROUTE_READS, or "autocommit". With
        *lazy*, the default where there is an engine, the endpoint is connected to when it is first
        needed, and only then says that it refuses.

        Raises what psycopg raises, `ConfigurationError` for an engine of another server or a
        `route_reads` that is not known, and `UsageError` for an engine that is not open.
        """
        reads = check_route_reads(route_reads or os.environ.get("PGMD_ROUTE_READS", "autocommit"))
        params: dict[str, Any] = dict(conninfo_to_dict(conninfo, **kwargs))
        if engine is not None and engine.endpoint is not None and not is_addressed(params):
            params = {**engine.endpoint._settings.params, **params}
        if is_motherduck(params):
            check_tls(params)
            params = {**motherduck_tls(), **params}
        engine = await engines.serving(params, engine)
        arguments: dict[str, Any] = {
            "autocommit": autocommit,
            "prepare_threshold": prepare_threshold,
            "context": context,
            "row_factory": row_factory,
            "cursor_factory": cursor_factory,
        }
        if engine is not None and lazy is not False and may_wait(params):
            connection = cls._unopened(params)
            connection._routing.attach(engine, reads)
            await connection._set_up(**arguments)
        else:
            connection = await super().connect(make_conninfo(**params), **arguments)
            if engine is not None:
                connection._routing.attach(engine, reads)
            else:
                await connection._find_profile()
        connection._fit()
        return connection

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

    async def _find_profile(self) -> None:
        """Find out what the server can do, once for each server."""
        profile = known_profile(self.pgconn)
        if profile is None:
            async with self.lock:
                profile = await self.wait(probe_gen(self))
        self._routing.profile = profile

    def _fit(self) -> None:
        """Leave out what the server does not understand."""
        profile = self._routing.profile
        if profile.prepare_threshold is None:
            self.prepare_threshold = None
        if not profile.infers_parameters and leaves_texts_open(self.adapters):
            send_texts(self)

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
        if not self._routing.cancel() and not self._is_unopened:
            psycopg.AsyncConnection.cancel(as_booked(self))

    async def cancel_safe(self, *, timeout: float = 30.0) -> None:
        """As psycopg's, also of what runs on a replica."""
        if not self._routing.cancel() and not self._is_unopened:
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

    # ------------------------------------------------------------------------------- statements

    @overload
    def cursor(self, *, binary: bool = False) -> AsyncCursor[Row]: ...

    @overload
    def cursor(
        self, *, binary: bool = False, row_factory: AsyncRowFactory[CursorRow]
    ) -> AsyncCursor[CursorRow]: ...

    @overload
    def cursor(
        self,
        name: str,
        *,
        binary: bool = False,
        scrollable: bool | None = None,
        withhold: bool = False,
    ) -> AsyncServerCursor[Row]: ...

    @overload
    def cursor(
        self,
        name: str,
        *,
        binary: bool = False,
        row_factory: AsyncRowFactory[CursorRow],
        scrollable: bool | None = None,
        withhold: bool = False,
    ) -> AsyncServerCursor[CursorRow]: ...

    def cursor(self, name: str = "", **kwargs: Any) -> Any:
        """As psycopg's. Raises `NotSupportedError` for a *name* where there are no cursors on the
        server."""
        if self._routing.is_plain:
            return super().cursor(name, **kwargs)
        if name and not self._routing.profile.has_named_cursors:
            raise unsupported(
                self._routing.profile,
                "cursors with a name",
                "execute() the query, or stream() its rows",
            )
        self.cursor_factory = routed(self.cursor_factory)
        return super().cursor(name, **kwargs)

    async def commit(self) -> None:
        """As psycopg's."""
        await self._ending(super().commit, b"COMMIT")

    async def rollback(self) -> None:
        """As psycopg's."""
        await self._ending(super().rollback, b"ROLLBACK")

    async def _ending(self, end: Any, command: bytes) -> None:
        if self._routing.is_plain:
            await end()
            return
        try:
            if seam.nesting(self):
                await end()  # psycopg refuses
            else:
                self._routing.forget_begun(self)
                await self._routing.end_snapshot(self)
                await self._end(end, command)
        except psycopg.Error as error:
            raise self._routing.explained(error, lost=self.broken) from error.__cause__
        finally:
            await self._routing.settle(self)

    async def _end(self, end: Any, command: bytes) -> None:
        if self._routing.in_transaction:
            # The server says "idle", and psycopg would send nothing.
            self._routing.in_transaction = False
            async with self.lock:
                await self.wait(seam.command(self, command))
        elif not self._is_unopened:
            await end()

    @asynccontextmanager
    async def transaction(
        self,
        savepoint_name: str | None = None,
        force_rollback: bool = False,  # noqa: FBT001, FBT002 - psycopg's signature
    ) -> AsyncIterator[psycopg.AsyncTransaction]:
        """As psycopg's. Raises `NotSupportedError` for one inside another where there are no
        savepoints."""
        if self._routing.is_plain:
            async with super().transaction(savepoint_name, force_rollback) as transaction:
                yield transaction
            return
        if not savepoint_name and self._routing.may_wait(self):
            async with self._waiting(force_rollback) as transaction:
                yield transaction
            return
        has_begun = self._routing.has_begun
        await self._open()
        if has_begun:
            async with self.lock:
                await self.wait(seam.start(self))
        self._check_nesting(savepoint_name)
        raised: BaseException | None = None
        try:
            async with super().transaction(savepoint_name, force_rollback) as transaction:
                self._routing.in_transaction = not self._routing.profile.reports_transactions
                try:
                    yield transaction
                except BaseException as error:
                    raised = error
                    raise
        except psycopg.Error as error:
            if error is raised:
                raise
            raise self._routing.explained(error, lost=self.broken) from error.__cause__
        finally:
            self._routing.in_transaction = False
            await self._routing.settle(self)

    @asynccontextmanager
    async def _waiting(self, force_rollback: bool) -> AsyncIterator[psycopg.AsyncTransaction]:  # noqa: FBT001 - psycopg's
        """A transaction() that the endpoint hears of when a statement needs it."""
        is_outer = not self._routing.seems_begun
        waiting = AsyncWaitingTransaction(self, force_rollback, is_outer=is_outer)
        try:
            async with waiting as transaction:
                self._routing.seem_begun(self)
                yield transaction
        except psycopg.Error as error:
            raise self._routing.explained(error, lost=self.broken) from error.__cause__
        finally:
            if is_outer:
                self._routing.forget_begun(self)
                await self._routing.end_snapshot(self)
            await self._routing.settle(self)

    def _check_nesting(self, savepoint_name: str | None) -> None:
        if self._routing.profile.has_savepoints:
            return
        is_open = self._books.transaction_status != _IDLE or self._routing.in_transaction
        if is_open or seam.nesting(self) or savepoint_name:
            raise unsupported_savepoint(self._routing.profile)

    @asynccontextmanager
    async def pipeline(self) -> AsyncIterator[psycopg.AsyncPipeline]:
        """As psycopg's."""
        if self._routing.in_snapshot:
            await self._routing.leave_snapshot(self, None)
        await self._open()
        try:
            async with super().pipeline() as pipeline:
                yield pipeline
        finally:
            await self._routing.settle(self)

    def _start_query(self) -> PQGen[None]:
        has_begun = self._routing.forget_begun(self)
        if self._routing.in_snapshot:
            raise NotSupportedError("this needs the endpoint, and the transaction is on a replica")
        if self._routing.in_transaction:
            return  # psycopg would begin it again on a server that says "idle" in a transaction
        if has_begun and self.autocommit:
            # A transaction() that has waited for it.
            yield from seam.command(self, seam.start_command(self))
        yield from super()._start_query()
        if not self.autocommit and not self._routing.profile.reports_transactions:
            self._routing.in_transaction = True


def _open_now(wanted: ref[AsyncConnection[Any]]) -> Any:
    """Open a connection in the midst of reading an attribute, where nothing can be awaited."""
    connection = wanted()
    if connection is None:
        return _nothing()
    standing_in = connection._standing_in
    assert standing_in is not None
    return connection._adopt(psycopg.Connection.connect(make_conninfo(**standing_in.params)))


def _nothing() -> Any:
    raise psycopg.OperationalError("the connection is closed")
