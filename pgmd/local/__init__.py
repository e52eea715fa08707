"""MotherDuck's behaviour on one machine: a Postgres wire server over an embedded DuckDB.

For development and tests, never for production. Needs `pip install 'pgmd[local]'`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .endpoint import LocalEndpoint
    from .quirks import Quirks

__all__ = ["LocalEndpoint", "Quirks"]


def __getattr__(name: str) -> Any:
    # Engines import `.opening` whether or not the server's dependencies are installed.
    if name == "LocalEndpoint":
        from .endpoint import LocalEndpoint

        return LocalEndpoint
    if name == "Quirks":
        from .quirks import Quirks

        return Quirks
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
