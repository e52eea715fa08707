"""What DuckDB's postgres extension is told: to attach a database, to say what it holds, to copy."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import duckdb

from ..errors import ReplicaError
from ..process.ending import Inside
from ..routing.catalogue import QUERY, SCHEMAS_QUERY, Catalogue
from ..settings.conninfo import libpq_defaults
from ..sql.quoting import identifier, literal
from .extensions import load
from .holdings import Holdings
from .plans import Plan

EXTENSION = "postgres_scanner"
ALIAS = "pgmd_source"
PROBE = f"SELECT * FROM postgres_query({literal(ALIAS)}, 'SELECT 1')"
# The keys of a DuckDB secret of type postgres, by libpq keyword; the rest goes into the path.
_SECRET_KEYS = {"host": "HOST", "port": "PORT", "user": "USER", "dbname": "DATABASE"}


def secret_and_path(options: Mapping[str, Any], password: str | None) -> tuple[str, str]:
    """The statement that makes the secret `pgmd`, and the path that goes with it.

    The password goes into a secret: the extension prints its connection string in errors, and
    `duckdb_databases()` shows it.
    """
    left = {**libpq_defaults(), "application_name": "pgmd-replica", **options}
    parts = [f"{_SECRET_KEYS[k]} {literal(str(left.pop(k)))}" for k in _SECRET_KEYS if k in left]
    if password:
        parts.append(f"PASSWORD {literal(password)}")
    path = " ".join(f"{k}={_libpq_value(str(v))}" for k, v in left.items())
    return f"CREATE SECRET pgmd ({', '.join(['TYPE postgres', *parts])})", path


def attach(options: Mapping[str, Any], password: str | None) -> tuple[str, ...]:
    """The statements that attach a Postgres database read-only as ALIAS."""
    secret, path = secret_and_path(options, password)
    return (secret, f"ATTACH {literal(path)} AS {ALIAS} (TYPE postgres, READ_ONLY, SECRET pgmd)")


def catalogue_of(connection: duckdb.DuckDBPyConnection) -> Holdings:
    """What the attached database holds now. Raises duckdb's errors."""
    # The extension's own check of its cache does not see a column that was renamed.
    connection.execute("CALL pg_clear_cache()")
    return Holdings(_read_catalogue(connection))


def _read_catalogue(connection: duckdb.DuckDBPyConnection) -> Catalogue:
    schemas = [row[0] for row in _ask(connection, SCHEMAS_QUERY)]
    return Catalogue.read(schemas, _ask(connection, QUERY))


def _ask(connection: duckdb.DuckDBPyConnection, query: str) -> list[Any]:
    return connection.execute(
        f"SELECT * FROM postgres_query({literal(ALIAS)}, {literal(query)})"
    ).fetchall()


def copy_tables(plan: Plan, wanted: Sequence[str], redact: Callable[[str], str]) -> Holdings:
    """Copy tables of the attached Postgres database into the attached file, in one transaction.

    Returns the catalogue of what was copied. Raises `ReplicaError`, without secrets.
    """
    root = duckdb.connect(plan.database, config=dict(plan.config))
    try:
        with Inside(root.interrupt):
            return Holdings(_copy(root, plan, wanted))
    except (duckdb.Error, LookupError) as error:
        raise ReplicaError(f"the snapshot cannot be copied: {redact(str(error))}") from None
    finally:
        root.close()


def _copy(root: duckdb.DuckDBPyConnection, plan: Plan, wanted: Sequence[str]) -> Catalogue:
    for extension in plan.extensions:
        load(root, extension)
    for statement in plan.setup:
        root.execute(statement)
    catalogue = _read_catalogue(root).only(wanted)
    root.execute("BEGIN")
    try:
        for statement in copy_statements((t.schema, t.name, t.columns) for t in catalogue.tables):
            root.execute(statement)
    except duckdb.Error:
        # The extension throws where nobody can catch it, and so ends the process, when it has to
        # roll back over a connection that is lost as the instance is closed.
        with suppress(duckdb.Error):
            root.execute("ROLLBACK")
        raise
    root.execute("COMMIT")
    return catalogue


def copy_statements(tables: Iterable[tuple[str, str, Iterable[tuple[str, str]]]]) -> list[str]:
    """The statements that copy tables, given as (schema, name, (column, type) pairs).

    They run in one transaction, which the extension reads in one REPEATABLE READ snapshot.
    """
    statements = []
    for schema, name, columns in tables:
        target = f"copy.{identifier(schema)}"
        create = f"CREATE SCHEMA IF NOT EXISTS {target}"
        if create not in statements:
            statements.append(create)
        # json arrives as text; in a DuckDB file it can keep its type.
        selected = ", ".join(
            f"{identifier(c)}::JSON AS {identifier(c)}" if t in ("json", "jsonb") else identifier(c)
            for c, t in columns
        )
        statements.append(
            f"CREATE TABLE {target}.{identifier(name)} AS "
            f"SELECT {selected} FROM {ALIAS}.{identifier(schema)}.{identifier(name)}"
        )
    return statements


def _libpq_value(text: str) -> str:
    return "'" + re.sub(r"(['\\])", r"\\\1", text) + "'"
