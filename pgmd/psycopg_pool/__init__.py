"""psycopg_pool, with pools of pgmd's connections: `from pgmd import psycopg_pool`.

The pools' `kwargs` take what `pgmd.psycopg.connect()` takes: `engine`, `route_reads`, `lazy`.
"""

from __future__ import annotations

from psycopg_pool import PoolClosed as PoolClosed
from psycopg_pool import PoolTimeout as PoolTimeout
from psycopg_pool import TooManyRequests as TooManyRequests

# All of psycopg_pool, name by name; a test compares them.
from psycopg_pool import __all__ as __all__
from psycopg_pool import __version__ as __version__
from psycopg_pool import abc as abc
from psycopg_pool import base as base
from psycopg_pool import base_null_pool as base_null_pool
from psycopg_pool import errors as errors
from psycopg_pool import null_pool as null_pool
from psycopg_pool import null_pool_async as null_pool_async
from psycopg_pool import pool as pool
from psycopg_pool import pool_async as pool_async
from psycopg_pool import sched as sched
from psycopg_pool import sched_async as sched_async
from psycopg_pool import version as version

from .._async.dropin.pools import AsyncConnectionPool as AsyncConnectionPool
from .._async.dropin.pools import AsyncNullConnectionPool as AsyncNullConnectionPool
from .._sync.dropin.pools import ConnectionPool as ConnectionPool
from .._sync.dropin.pools import NullConnectionPool as NullConnectionPool
from ..dropin.alias import install as _install

_install(__name__, "psycopg_pool")
