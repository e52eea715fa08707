"""What a replica's database holds, as far as routing depends on it."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..routing import definitions
from ..routing.catalogue import Catalogue
from ..routing.definitions import Definitions


class Holdings(NamedTuple):
    """The catalogue of a Postgres database, or the tables, views and macros of a DuckDB's."""

    catalogue: Catalogue | None = None
    definitions: Definitions | None = None


def definitions_of(connection: Any) -> Holdings:
    """What a DuckDB holds that is reached by this connection, DuckDB's or psycopg's."""
    return Holdings(definitions=Definitions.read(connection.execute(definitions.QUERY).fetchall()))


def nothing(_: Any) -> Holdings:
    """For what is known from elsewhere."""
    return Holdings()
