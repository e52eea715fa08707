"""psycopg_pool, with pools of pgmd's connections: `from pgmd import psycopg_pool`.

The pools' `kwargs` take what `pgmd.psycopg.connect()` takes: `engine`, `route_reads`, `lazy`.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import psycopg_pool as _theirs

# All of psycopg_pool: a test compares the names.
from psycopg_pool import *  # noqa: F403
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
from psycopg_pool.abc import ACT, CT

from ..psycopg import AsyncConnection, Connection

sys.modules.update(
    {
        f"{__name__}.{name.removeprefix('psycopg_pool.')}": module
        for name, module in list(sys.modules.items())
        if name.startswith("psycopg_pool.")
    }
)

if TYPE_CHECKING:
    # The same classes to a type checker: only the default of connection_class is another.
    from psycopg_pool import (
        AsyncConnectionPool,
        AsyncNullConnectionPool,
        ConnectionPool,
        NullConnectionPool,
    )
else:

    class ConnectionPool(_theirs.ConnectionPool[CT]):
        """psycopg_pool's, of pgmd's connections unless told otherwise."""

        def __init__(
            self, conninfo: Any = "", *, connection_class: Any = Connection, **kwargs: Any
        ):
            super().__init__(conninfo, connection_class=connection_class, **kwargs)

    class AsyncConnectionPool(_theirs.AsyncConnectionPool[ACT]):
        """psycopg_pool's, of pgmd's connections unless told otherwise."""

        def __init__(
            self, conninfo: Any = "", *, connection_class: Any = AsyncConnection, **kwargs: Any
        ):
            super().__init__(conninfo, connection_class=connection_class, **kwargs)

    class NullConnectionPool(_theirs.NullConnectionPool[CT]):
        """psycopg_pool's, of pgmd's connections unless told otherwise."""

        def __init__(
            self, conninfo: Any = "", *, connection_class: Any = Connection, **kwargs: Any
        ):
            super().__init__(conninfo, connection_class=connection_class, **kwargs)

    class AsyncNullConnectionPool(_theirs.AsyncNullConnectionPool[ACT]):
        """psycopg_pool's, of pgmd's connections unless told otherwise."""

        def __init__(
            self, conninfo: Any = "", *, connection_class: Any = AsyncConnection, **kwargs: Any
        ):
            super().__init__(conninfo, connection_class=connection_class, **kwargs)
