"""What DuckDB's postgres extension is asked: what a database holds, and to copy it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb

from ..errors import ReplicaError
from ..routing.catalogue import QUERY, SCHEMAS_QUERY, Catalogue
from ..sql.quoting import literal
from .plans import ALIAS, Plan


def copy_postgres(
    plan: Plan,
    wanted: Sequence[str],
    statements: Callable[[Any], list[str]],
    redact: Callable[[str], str],
) -> Catalogue:
    """Copy tables of the attached Postgres database into the attached file, in one transaction.

    Returns the catalogue of what was copied. Raises `ReplicaError`, without secrets.
    """
    root = duckdb.connect(plan.database, config=dict(plan.config))
    try:
        load_postgres(root)
        for statement in plan.setup:
            root.execute(statement)
        catalogue = read_catalogue(root).only(wanted)
        root.execute("BEGIN")
        for statement in statements((t.schema, t.name, t.columns) for t in catalogue.tables):
            root.execute(statement)
        root.execute("COMMIT")
    except (duckdb.Error, LookupError) as error:
        raise ReplicaError(f"the snapshot cannot be copied: {redact(str(error))}") from None
    else:
        return catalogue
    finally:
        root.close()


def read_catalogue(connection: duckdb.DuckDBPyConnection) -> Catalogue:
    schemas = [row[0] for row in _ask_postgres(connection, SCHEMAS_QUERY)]
    return Catalogue.read(schemas, _ask_postgres(connection, QUERY))


def _ask_postgres(connection: duckdb.DuckDBPyConnection, query: str) -> list[Any]:
    return connection.execute(
        f"SELECT * FROM postgres_query({literal(ALIAS)}, {literal(query)})"
    ).fetchall()


def load_postgres(connection: duckdb.DuckDBPyConnection) -> None:
    wheel = _postgres_wheel()
    if wheel is not None:
        connection.execute(f"LOAD {literal(str(wheel))}")
        return
    try:
        connection.execute("INSTALL postgres")
        connection.execute("LOAD postgres")
    except duckdb.Error as error:
        raise ReplicaError(
            "DuckDB's postgres extension cannot be loaded; where the network is closed: "
            f"pip install duckdb-extension-postgres-scanner=={duckdb.__version__} ({error})"
        ) from None


def _postgres_wheel() -> Path | None:
    """The extension from its PyPI wheel, which must match DuckDB's version exactly."""
    spec = importlib.util.find_spec("duckdb_extension_postgres_scanner")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "extensions" / f"v{duckdb.__version__}"
    path = folder / "postgres_scanner.duckdb_extension"
    return path if path.exists() else None
