"""MotherDuck's behaviour on one machine: a Postgres wire server over an embedded DuckDB.

For development and tests, never for production. Needs `pip install 'pgmd[local]'`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .quirks import Quirks
    from .server import LocalEndpoint

__all__ = ["LocalEndpoint", "Quirks"]


def __getattr__(name: str) -> Any:
    # Replicas read the snapshots of a server in another process: without its dependencies.
    if name == "LocalEndpoint":
        from .server import LocalEndpoint

        return LocalEndpoint
    if name == "Quirks":
        from .quirks import Quirks

        return Quirks
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
