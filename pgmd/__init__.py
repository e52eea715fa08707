"""pgmd: one `Session` over MotherDuck's Postgres endpoint and read-scaling DuckDB replicas."""
# ruff: noqa: F403, F405

from __future__ import annotations

from typing import TYPE_CHECKING

from ._version import __version__

if TYPE_CHECKING:
    from ._public import *

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
    "__version__",
    "connect",
    "connect_async",
]

if not TYPE_CHECKING:  # where a type checker saw it, every misspelt name would be one

    def __getattr__(name: str) -> object:
        # Both drivers come with them, which `pgmd --version` and a shell's completion do without.
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from . import _public

        globals().update((public, getattr(_public, public)) for public in _public.__all__)
        return globals()[name]

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
