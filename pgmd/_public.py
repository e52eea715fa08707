"""The public names. `pgmd` imports this when the first of them is asked for."""

from __future__ import annotations

from ._async.engine import AsyncEngine, connect_async
from ._async.session import AsyncSession
from ._sync.engine import Engine, connect
from ._sync.session import Session
from .answers.columns import Column
from .answers.result import Result
from .errors import (
    ConfigurationError,
    Error,
    FanOutError,
    LocalError,
    NotSupportedError,
    Outcome,
    ParityError,
    PoolClosed,
    PoolFull,
    PoolTimeout,
    ReplicaError,
    RoutingError,
    StatementTimeout,
    UsageError,
)
from .replicas.kinds import Replica
from .request import Query
from .routing.decision import Decision, Reason, Route
from .routing.freshness import Bookmark
from .settings.endpoint import Endpoint
from .settings.engine import Database
from .sql import Fact

__all__ = [
    "AsyncEngine",
    "AsyncSession",
    "Bookmark",
    "Column",
    "ConfigurationError",
    "Database",
    "Decision",
    "Endpoint",
    "Engine",
    "Error",
    "Fact",
    "FanOutError",
    "LocalError",
    "NotSupportedError",
    "Outcome",
    "ParityError",
    "PoolClosed",
    "PoolFull",
    "PoolTimeout",
    "Query",
    "Reason",
    "Replica",
    "ReplicaError",
    "Result",
    "Route",
    "RoutingError",
    "Session",
    "StatementTimeout",
    "UsageError",
    "connect",
    "connect_async",
]
