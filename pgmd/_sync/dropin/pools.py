# Generated from pgmd/_async/dropin/pools.py by pgmd._tools.unasync. Do not edit.
"""psycopg_pool's pools, of pgmd's connections unless told otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypedDict, overload

import psycopg
import psycopg_pool
from psycopg.rows import TupleRow
from typing_extensions import TypeVar, Unpack

from .connection import Connection

if TYPE_CHECKING:
    from psycopg_pool.abc import (
        ConnectFailedCB,
        ConnectionCB,
        ConninfoParam,
        KwargsParam,
    )

Lent = TypeVar("Lent", bound=psycopg.Connection[Any], default=Connection[TupleRow])


class Options(TypedDict, Generic[Lent], total=False):
    """What psycopg_pool's pools take, for type checkers."""

    kwargs: KwargsParam | None
    min_size: int
    max_size: int | None
    open: bool | None
    configure: ConnectionCB[Lent] | None
    check: ConnectionCB[Lent] | None
    reset: ConnectionCB[Lent] | None
    name: str | None
    close_returns: bool
    timeout: float
    max_waiting: int
    max_lifetime: float
    max_idle: float
    reconnect_timeout: float
    reconnect_failed: ConnectFailedCB | None
    num_workers: int


class ConnectionPool(psycopg_pool.ConnectionPool[Lent]):
    """psycopg_pool's, of pgmd's connections unless told otherwise."""

    __module__ = "pgmd.psycopg_pool"

    @overload
    def __init__(
        self: ConnectionPool[Connection[TupleRow]],
        conninfo: ConninfoParam = "",
        **options: Unpack[Options[Connection[TupleRow]]],
    ) -> None: ...

    @overload
    def __init__(
        self,
        conninfo: ConninfoParam = "",
        *,
        connection_class: type[Lent],
        **options: Unpack[Options[Lent]],
    ) -> None: ...

    def __init__(
        self, conninfo: Any = "", *, connection_class: Any = Connection, **options: Any
    ) -> None:
        super().__init__(conninfo, connection_class=connection_class, **options)


class NullConnectionPool(psycopg_pool.NullConnectionPool[Lent]):
    """psycopg_pool's, of pgmd's connections unless told otherwise."""

    __module__ = "pgmd.psycopg_pool"

    @overload
    def __init__(
        self: NullConnectionPool[Connection[TupleRow]],
        conninfo: ConninfoParam = "",
        **options: Unpack[Options[Connection[TupleRow]]],
    ) -> None: ...

    @overload
    def __init__(
        self,
        conninfo: ConninfoParam = "",
        *,
        connection_class: type[Lent],
        **options: Unpack[Options[Lent]],
    ) -> None: ...

    def __init__(
        self, conninfo: Any = "", *, connection_class: Any = Connection, **options: Any
    ) -> None:
        super().__init__(conninfo, connection_class=connection_class, **options)
