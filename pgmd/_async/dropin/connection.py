"""psycopg's connection, with the endpoint's quirks mended and reads on replicas."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Self, overload

import psycopg
from psycopg.abc import AdaptContext, Params, Query
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import AsyncRowFactory, Row
from typing_extensions import TypeVar

from ...dropin.identity import is_addressed, may_wait
from ...dropin.modes import RouteReads, check_route_reads
from ...servers.coping import unsupported
from ...settings.conninfo import check_tls, is_motherduck, motherduck_tls
from ..engine import AsyncEngine
from .attached import engines
from .cursors import AsyncCursor, AsyncServerCursor, routed
from .face import AsyncRouting
from .transactions import AsyncTransacting

Other = TypeVar("Other")


class AsyncConnection(AsyncTransacting[Row]):
    """psycopg's connection. `pgmd` says what is done with its statements."""

    __module__ = "pgmd.psycopg"

    pgmd: AsyncRouting

    def __init__(self, pgconn: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(pgconn, *args, **kwargs)
        self.pgmd = AsyncRouting(self._routing)
        self.cursor_factory = AsyncCursor
        self.server_cursor_factory = AsyncServerCursor

    # ------------------------------------------------------------------------------- connecting

    # The second is for type checkers that take the row of `AsyncConnection` itself for settled.
    @overload  # type: ignore[override]  # libpq has no keywords of these names
    @classmethod
    async def connect(
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
    ) -> Self: ...

    @overload
    @classmethod
    async def connect(
        cls,
        conninfo: str = "",
        *,
        autocommit: bool = False,
        prepare_threshold: int | None = 5,
        context: AdaptContext | None = None,
        row_factory: AsyncRowFactory[Other],
        cursor_factory: type[psycopg.AsyncCursor[Other]] | None = None,
        engine: AsyncEngine | None = None,
        route_reads: RouteReads | None = None,
        lazy: bool | None = None,
        **kwargs: Any,
    ) -> AsyncConnection[Other]: ...

    @classmethod
    async def connect(
        cls,
        conninfo: str = "",
        *,
        autocommit: bool = False,
        prepare_threshold: int | None = 5,
        context: AdaptContext | None = None,
        row_factory: AsyncRowFactory[Any] | None = None,
        cursor_factory: type[psycopg.AsyncCursor[Any]] | None = None,
        engine: AsyncEngine | None = None,
        route_reads: RouteReads | None = None,
        lazy: bool | None = None,
        **kwargs: Any,
    ) -> AsyncConnection[Any]:
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

    # ------------------------------------------------------------------------------- statements

    if TYPE_CHECKING:

        async def execute(
            self,
            query: Query,
            params: Params | None = None,
            *,
            prepare: bool | None = None,
            binary: bool = False,
        ) -> AsyncCursor[Row]: ...

    @overload
    def cursor(self, *, binary: bool = False) -> AsyncCursor[Row]: ...

    @overload
    def cursor(
        self, *, binary: bool = False, row_factory: AsyncRowFactory[Other]
    ) -> AsyncCursor[Other]: ...

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
        row_factory: AsyncRowFactory[Other],
        scrollable: bool | None = None,
        withhold: bool = False,
    ) -> AsyncServerCursor[Other]: ...

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
