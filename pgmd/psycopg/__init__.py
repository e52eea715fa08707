"""psycopg, with MotherDuck's quirks mended and reads routed: `from pgmd import psycopg`.

All of psycopg is here under its own name. `connect`, the connections and the cursors are subclasses
of psycopg's; everything else is psycopg's own. `attach(engine)` has the reads of new connections
run on the engine's replicas, and `connection.pgmd` tells what was done.
"""

from __future__ import annotations

import logging as logging
from typing import Any

import psycopg as _psycopg
from psycopg import BINARY as BINARY
from psycopg import DATETIME as DATETIME
from psycopg import NUMBER as NUMBER
from psycopg import ROWID as ROWID
from psycopg import STRING as STRING
from psycopg import AsyncCopy as AsyncCopy
from psycopg import AsyncPipeline as AsyncPipeline
from psycopg import AsyncTransaction as AsyncTransaction
from psycopg import BaseConnection as BaseConnection
from psycopg import Binary as Binary
from psycopg import Capabilities as Capabilities
from psycopg import Column as Column
from psycopg import ConnectionInfo as ConnectionInfo
from psycopg import Copy as Copy
from psycopg import DatabaseError as DatabaseError
from psycopg import DataError as DataError
from psycopg import Date as Date
from psycopg import DateFromTicks as DateFromTicks
from psycopg import Error as Error
from psycopg import IntegrityError as IntegrityError
from psycopg import InterfaceError as InterfaceError
from psycopg import InternalError as InternalError
from psycopg import IsolationLevel as IsolationLevel
from psycopg import Notify as Notify
from psycopg import NotSupportedError as NotSupportedError
from psycopg import OperationalError as OperationalError
from psycopg import Pipeline as Pipeline
from psycopg import ProgrammingError as ProgrammingError
from psycopg import Rollback as Rollback
from psycopg import Time as Time
from psycopg import TimeFromTicks as TimeFromTicks
from psycopg import Timestamp as Timestamp
from psycopg import TimestampFromTicks as TimestampFromTicks
from psycopg import Transaction as Transaction
from psycopg import Warning as Warning
from psycopg import Xid as Xid

# All of psycopg, name by name: after * a type checker would take its connections for ours. A test
# compares the names.
from psycopg import __all__ as __all__
from psycopg import __version__ as __version__
from psycopg import abc as abc
from psycopg import adapt as adapt
from psycopg import adapters as adapters
from psycopg import apilevel as apilevel
from psycopg import capabilities as capabilities
from psycopg import client_cursor as client_cursor
from psycopg import connection as connection
from psycopg import connection_async as connection_async
from psycopg import conninfo as conninfo
from psycopg import copy as copy
from psycopg import cursor as cursor
from psycopg import cursor_async as cursor_async
from psycopg import dbapi20 as dbapi20
from psycopg import errors as errors
from psycopg import generators as generators
from psycopg import logger as logger
from psycopg import paramstyle as paramstyle
from psycopg import postgres as postgres
from psycopg import pq as pq
from psycopg import raw_cursor as raw_cursor
from psycopg import rows as rows
from psycopg import sql as sql
from psycopg import threadsafety as threadsafety
from psycopg import transaction as transaction
from psycopg import types as types
from psycopg import version as version
from psycopg import waiting as waiting

from .._async.dropin.attached import engines as _async_engines
from .._async.dropin.connection import AsyncConnection as AsyncConnection
from .._async.dropin.cursors import AsyncClientCursor as AsyncClientCursor
from .._async.dropin.cursors import AsyncCursor as AsyncCursor
from .._async.dropin.cursors import AsyncRawCursor as AsyncRawCursor
from .._async.dropin.cursors import AsyncRawServerCursor as AsyncRawServerCursor
from .._async.dropin.cursors import AsyncServerCursor as AsyncServerCursor
from .._async.engine import AsyncEngine
from .._sync.dropin.attached import engines as _engines
from .._sync.dropin.connection import Connection as Connection
from .._sync.dropin.cursors import ClientCursor as ClientCursor
from .._sync.dropin.cursors import Cursor as Cursor
from .._sync.dropin.cursors import RawCursor as RawCursor
from .._sync.dropin.cursors import RawServerCursor as RawServerCursor
from .._sync.dropin.cursors import ServerCursor as ServerCursor
from .._sync.engine import Engine
from ..dropin.alias import install as _install

connect = Connection.connect
_install(__name__, "psycopg")


def __getattr__(name: str) -> Any:
    """What another version of psycopg has besides."""
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(_psycopg, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *(name for name in dir(_psycopg) if not name.startswith("_"))})


def attach(engine: Engine | AsyncEngine) -> None:
    """Have *engine* serve the reads of all new connections to its endpoint in this process, an
    `AsyncEngine` those of `AsyncConnection`. It stays the caller's, to close after them.

    Raises `UsageError` for an engine that is not open, `ConfigurationError` for one without an
    endpoint.
    """
    if isinstance(engine, AsyncEngine):
        _async_engines.attach(engine)
    else:
        _engines.attach(engine)


def detach() -> None:
    """Undo `attach()` for new connections, and close the engines that PGMD_REPLICAS has made; see
    `detach_async()` for those of an event loop."""
    _engines.detach()
    _async_engines.forget()


async def detach_async() -> None:
    """As `detach()`, for the connections of the event loop that runs."""
    await _async_engines.detach()
