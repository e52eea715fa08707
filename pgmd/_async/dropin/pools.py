"""psycopg_pool's pools, of pgmd's connections unless told otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import psycopg_pool
from psycopg.rows import TupleRow
from typing_extensions import TypeVar

from .connection import AsyncConnection

Lent = TypeVar("Lent", bound=psycopg.AsyncConnection[Any], default=AsyncConnection[TupleRow])


class AsyncConnectionPool(psycopg_pool.AsyncConnectionPool[Lent]):
    """psycopg_pool's, of pgmd's connections unless told otherwise."""

    __module__ = "pgmd.psycopg_pool"

    if not TYPE_CHECKING:  # the signature is psycopg_pool's

        def __init__(self, conninfo="", *, connection_class=AsyncConnection, **kwargs):
            super().__init__(conninfo, connection_class=connection_class, **kwargs)


class AsyncNullConnectionPool(psycopg_pool.AsyncNullConnectionPool[Lent]):
    """psycopg_pool's, of pgmd's connections unless told otherwise."""

    __module__ = "pgmd.psycopg_pool"

    if not TYPE_CHECKING:  # the signature is psycopg_pool's

        def __init__(self, conninfo="", *, connection_class=AsyncConnection, **kwargs):
            super().__init__(conninfo, connection_class=connection_class, **kwargs)
