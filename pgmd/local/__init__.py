"""MotherDuck's behaviour on one machine: a Postgres wire server over an embedded DuckDB.

For development and tests, never for production. Needs `pip install 'pgmd[local]'`.
"""

from .quirks import Quirks
from .server import LocalEndpoint

__all__ = ["LocalEndpoint", "Quirks"]
