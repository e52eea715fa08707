"""psycopg_pool's pools, of pgmd's connections unless told otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypedDict, overload

import psycopg
import psycopg_pool
from psycopg.rows import TupleRow
from typing_extensions import TypeVar, Unpack

from .connection import AsyncConnection

if TYPE_CHECKING:
    from psycopg_pool.abc import (
        AsyncConnectFailedCB,
        AsyncConnectionCB,
        AsyncConninfoParam,
        AsyncKwargsParam,
    )

Lent = TypeVar("Lent", bound=psycopg.AsyncConnection[Any], default=AsyncConnection[TupleRow])


class Options(TypedDict, Generic[Lent], total=False):
    """What psycopg_pool's pools take, for type checkers."""

    kwargs: AsyncKwargsParam | None
    min_size: int
    max_size: int | None
    open: bool | None
    configure: AsyncConnectionCB[Lent] | None
    check: AsyncConnectionCB[Lent] | None
    reset: AsyncConnectionCB[Lent] | None
    name: str | None
    close_returns: bool
    timeout: float
    max_waiting: int
    max_lifetime: float
    max_idle: float
    reconnect_timeout: float
    reconnect_failed: AsyncConnectFailedCB | None
    num_workers: int


class AsyncConnectionPool(psycopg_pool.AsyncConnectionPool[Lent]):
    """psycopg_pool's, of pgmd's connections unless told otherwise."""

    __module__ = "pgmd.psycopg_pool"

    @overload
    def __init__(
        self: AsyncConnectionPool[AsyncConnection[TupleRow]],
        conninfo: AsyncConninfoParam = "",
        **options: Unpack[Options[AsyncConnection[TupleRow]]],
    ) -> None: ...

    @overload
    def __init__(
        self,
        conninfo: AsyncConninfoParam = "",
        *,
        connection_class: type[Lent],
        **options: Unpack[Options[Lent]],
    ) -> None: ...

    def __init__(
        self, conninfo: Any = "", *, connection_class: Any = AsyncConnection, **options: Any
    ) -> None:
        super().__init__(conninfo, connection_class=connection_class, **options)


class AsyncNullConnectionPool(psycopg_pool.AsyncNullConnectionPool[Lent]):
    """psycopg_pool's, of pgmd's connections unless told otherwise."""

    __module__ = "pgmd.psycopg_pool"

    @overload
    def __init__(
        self: AsyncNullConnectionPool[AsyncConnection[TupleRow]],
        conninfo: AsyncConninfoParam = "",
        **options: Unpack[Options[AsyncConnection[TupleRow]]],
    ) -> None: ...

    @overload
    def __init__(
        self,
        conninfo: AsyncConninfoParam = "",
        *,
        connection_class: type[Lent],
        **options: Unpack[Options[Lent]],
    ) -> None: ...

    def __init__(
        self, conninfo: Any = "", *, connection_class: Any = AsyncConnection, **options: Any
    ) -> None:
        super().__init__(conninfo, connection_class=connection_class, **options)
