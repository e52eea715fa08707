# Generated from pgmd/_async/dropin/pools.py by pgmd._tools.unasync. Do not edit.
"""psycopg_pool's pools, of pgmd's connections unless told otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import psycopg_pool
from psycopg.rows import TupleRow
from typing_extensions import TypeVar

from .connection import Connection

Lent = TypeVar("Lent", bound=psycopg.Connection[Any], default=Connection[TupleRow])


class ConnectionPool(psycopg_pool.ConnectionPool[Lent]):
    """psycopg_pool's, of pgmd's connections unless told otherwise."""

    __module__ = "pgmd.psycopg_pool"

    if not TYPE_CHECKING:  # the signature is psycopg_pool's

        def __init__(self, conninfo="", *, connection_class=Connection, **kwargs):
            super().__init__(conninfo, connection_class=connection_class, **kwargs)


class NullConnectionPool(psycopg_pool.NullConnectionPool[Lent]):
    """psycopg_pool's, of pgmd's connections unless told otherwise."""

    __module__ = "pgmd.psycopg_pool"

    if not TYPE_CHECKING:  # the signature is psycopg_pool's

        def __init__(self, conninfo="", *, connection_class=Connection, **kwargs):
            super().__init__(conninfo, connection_class=connection_class, **kwargs)
