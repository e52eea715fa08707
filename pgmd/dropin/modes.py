"""When reads may run on replicas, and what the transactions of a connection promise."""

from __future__ import annotations

from typing import Any, Literal, get_args

from psycopg import IsolationLevel

from ..errors import ConfigurationError
from ..servers.profile import Profile
from . import seam

RouteReads = Literal["autocommit", "lazy-begin", "off"]


def check_route_reads(value: str) -> RouteReads:
    """Raise `ConfigurationError` unless it says when reads may leave the endpoint."""
    for known in get_args(RouteReads):
        if value == known:
            return known  # type: ignore[no-any-return]
    raise ConfigurationError(f"route_reads={value!r}: {', '.join(get_args(RouteReads))}")


def reads_only(connection: Any) -> bool:
    """Whether a statement is in a read-only transaction, or begins one."""
    is_block = not connection.autocommit or seam.nesting(connection)
    return bool(connection.read_only and is_block)


def sees_one_moment(connection: Any, profile: Profile) -> bool:
    """Whether all statements of its transaction must see the same state."""
    is_committed = connection.isolation_level in (None, *_COMMITTED)
    is_blocked = seam.nesting(connection) > 0
    return is_blocked or not is_committed or not profile.has_isolation_levels


_COMMITTED = (IsolationLevel.READ_COMMITTED, IsolationLevel.READ_UNCOMMITTED)
