"""How a replica of each kind is opened: paths, settings and SQL text, nothing is run here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .._version import __version__
from ..servers.profile import Dialect
from ..settings.conninfo import libpq_defaults
from ..settings.replica import Replica
from ..sql.quoting import identifier, literal

ALIAS = "pgmd_source"
# Whatever a replica needs is loaded on purpose while it opens; the secrets that somebody keeps in
# the home folder are not for it. Nothing is spilled: the folder would be open to every query.
_SELF_CONTAINED = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_persistent_secrets": "false",
    "temp_directory": "",
}
# A table name must never resolve to a variable of the calling program.
_COMMON = {"python_enable_replacements": "false"}
# Without external access a COPY could still overwrite the attached file and its WAL: DuckDB allows
# their paths. It has them open by now and needs no files any more.
_LOCK_DOWN = (
    "SET enable_external_access = false",
    "SET disabled_filesystems = 'LocalFileSystem'",
    "SET lock_configuration = true",
)
# The id of a read-scaling duckling ends in `.rs.<n>`, that of the writer in `.rw`: a read-write
# token would otherwise go unnoticed. Undocumented; used by MotherDuck's own MCP server
# (github.com/motherduckdb/mcp-server-motherduck).
IS_READ_SCALING = (
    "SELECT regexp_matches(__md_duckling_id::VARCHAR, '\\.rs\\.\\d+$') "
    "FROM __md_duckling_id() AS t(__md_duckling_id)"
)
# For ORDER BY x DESC LIMIT n, DuckDB 1.5.5 hands the postgres extension the filter "x IS NULL OR
# <what the Top-N has so far>", and the extension keeps "x IS NULL" of it: rows are missing.
_NO_TOP_N = "SET GLOBAL disabled_optimizers = 'top_n'"
# 0.07 ms a query; without it a column that somebody adds is missing until the cache is cleared.
_SEE_NEW_COLUMNS = "SET GLOBAL pg_staleness_query_enabled = true"
# The keys of a DuckDB secret of type postgres, by libpq keyword; the rest goes into the path.
_SECRET_KEYS = {"host": "HOST", "port": "PORT", "user": "USER", "dbname": "DATABASE"}


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps that open one replica, in order."""

    database: str
    config: Mapping[str, str] = field(repr=False)
    needs_postgres: bool = False
    # May hold a password.
    setup: tuple[str, ...] = field(default=(), repr=False)
    lock_down: tuple[str, ...] = ()
    # Run on each new cursor: DuckDB starts every cursor in the default catalog.
    cursor_setup: tuple[str, ...] = ()
    live: bool = False
    # Views and macros of the database may stand in statements; a copy holds tables only.
    reads_definitions: bool = False
    # Run when the writer has published, to pick the newest snapshot up.
    refresh: str | None = None
    check: str = "SELECT readonly FROM duckdb_databases() WHERE database_name = current_database()"
    # Answered only if what is behind the instance answers.
    probe: str = "SELECT 1"


def open_plan(
    replica: Replica, *, time_zone: str, dialect: Dialect, token: str = "", number: int = 0
) -> Plan:
    """Plan how to open *replica* so that it answers like an endpoint of this zone and dialect.

    *token* and *number*, one that no other instance of this process has, are for MotherDuck.
    """
    if replica.motherduck is not None:
        return _motherduck(replica, time_zone, token, number)
    if replica.file is not None:
        return file_plan(replica, Path(replica.file), time_zone=time_zone, dialect=dialect)
    return _live_postgres(replica, time_zone, dialect)


def motherduck_path(replica: Replica, number: int) -> str:
    """The `md:` path of a replica. Values are read literally by the service, so `&`, `=` and `%`
    are escaped; the token is not in it, since paths end up in error messages.

    DuckDB gives the same instance to all who open the same path, in one configuration, for as
    long as it is cached: with its *number* no path is opened twice, so a new token is heeded.
    """
    parameters = {
        "user": str(number),
        "session_name": replica.session_name,
        # Without it the catalog of every attached database is resolved at each open.
        "attach_mode": "single",
        # No local files, no extensions, no other databases.
        "saas_mode": "true",
        "access_mode": "read_only",
        # Nobody will open it again once it is closed.
        "dbinstance_inactivity_ttl": replica.inactivity_ttl or "0s",
    }
    query = "&".join(f"{k}={quote(v, safe='')}" for k, v in parameters.items() if v is not None)
    return f"md:{quote(replica.motherduck or '', safe='')}?{query}"


def _motherduck(replica: Replica, time_zone: str, token: str, number: int) -> Plan:
    config = {
        **_COMMON,
        **_resources(replica),
        "motherduck_token": token,
        "custom_user_agent": f"pgmd/{__version__}",
    }
    return Plan(
        motherduck_path(replica, number),
        config,
        setup=(f"SET GLOBAL TimeZone = {literal(time_zone)}",),
        lock_down=("SET lock_configuration = true",),
        reads_definitions=True,
        refresh=refresh_statement(replica.motherduck),
        check=IS_READ_SCALING,
        probe=IS_READ_SCALING,
    )


def file_plan(
    replica: Replica,
    path: Path,
    *,
    time_zone: str,
    dialect: Dialect,
    schemas: Iterable[str] = (),
) -> Plan:
    """Plan how to read a DuckDB file. Instances share a file only when each attaches it: opening
    the same path twice in one process would give the same instance."""
    alias = path.stem if path.stem not in ("memory", "system", "temp") else f"{path.stem}_file"
    if replica.local is not None:
        alias = database_of(replica.local)
    if schemas:
        alias = ALIAS
    return Plan(
        ":memory:",
        {**_COMMON, **_SELF_CONTAINED, **_resources(replica)},
        setup=(
            *_session_defaults(time_zone, dialect),
            f"ATTACH {literal(str(path))} AS {identifier(alias)} (READ_ONLY)",
        ),
        lock_down=_LOCK_DOWN,
        reads_definitions=not schemas,
        cursor_setup=search_path(alias, schemas or ["main"]),
    )


def _live_postgres(replica: Replica, time_zone: str, dialect: Dialect) -> Plan:
    return Plan(
        ":memory:",
        {**_COMMON, **_SELF_CONTAINED, **_resources(replica)},
        needs_postgres=True,
        setup=(
            *_session_defaults(time_zone, dialect),
            _NO_TOP_N,
            _SEE_NEW_COLUMNS,
            *attach_postgres(replica),
        ),
        lock_down=_LOCK_DOWN,
        live=True,
        probe=f"SELECT * FROM postgres_query({literal(ALIAS)}, 'SELECT 1')",
    )


def attach_postgres(replica: Replica) -> tuple[str, ...]:
    """The statements that attach the Postgres database read-only as ALIAS.

    The password goes into a secret: the extension prints its connection string in errors, and
    `duckdb_databases()` shows it.
    """
    options = {
        **libpq_defaults(),
        "application_name": "pgmd-replica",
        **replica.postgres_options,
    }
    secret = [
        f"{_SECRET_KEYS[k]} {literal(str(options.pop(k)))}" for k in _SECRET_KEYS if k in options
    ]
    if replica.secret:
        secret.append(f"PASSWORD {literal(replica.secret)}")
    rest = " ".join(f"{k}={_libpq_value(str(v))}" for k, v in options.items())
    return (
        f"CREATE SECRET pgmd ({', '.join(['TYPE postgres', *secret])})",
        f"ATTACH {literal(rest)} AS {ALIAS} (TYPE postgres, READ_ONLY, SECRET pgmd)",
    )


def copy_plan(replica: Replica, path: Path, *, time_zone: str) -> Plan:
    """Plan the instance that copies a Postgres database into the DuckDB file *path*."""
    return Plan(
        ":memory:",
        {**_COMMON, **_SELF_CONTAINED, "temp_directory": f"{path}.tmp"},
        needs_postgres=True,
        setup=(
            f"SET GLOBAL TimeZone = {literal(time_zone)}",
            *attach_postgres(replica),
            f"ATTACH {literal(str(path))} AS copy",
        ),
    )


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


def search_path(alias: str, schemas: Iterable[str]) -> tuple[str, ...]:
    """The statement that makes unqualified names of a new cursor mean these schemas."""
    path = ",".join(f"{identifier(alias)}.{identifier(schema)}" for schema in schemas)
    return (f"SET search_path = {literal(path)}",)


def database_of(file: str | Path) -> str:
    """What DuckDB calls the database in a file."""
    return Path(file).stem


def published_as(replica: Replica) -> str | None:
    """The database whose snapshots a replica reads; None when it does not read any."""
    if replica.wire is not None:
        return replica.wire_database
    return database_of(replica.local) if replica.local is not None else replica.motherduck


def refresh_statement(database: str | None) -> str:
    """What makes a duckling pick the newest snapshot up."""
    return f"REFRESH DATABASE {identifier(database)}" if database else "REFRESH DATABASES"


def publish_statement(database: str | None) -> str:
    """What makes a MotherDuck writer publish; it waits for running writes and blocks new ones."""
    return f"CREATE SNAPSHOT OF {identifier(database or 'my_db')}"


def _session_defaults(time_zone: str, dialect: Dialect) -> tuple[str, ...]:
    zone = (f"SET GLOBAL TimeZone = {literal(time_zone)}",)
    if dialect is Dialect.DUCKDB:
        return zone
    return (*zone, "SET GLOBAL default_null_order = 'nulls_last_on_asc_first_on_desc'")


def _resources(replica: Replica) -> dict[str, str]:
    given: dict[str, Any] = {"threads": replica.threads, "memory_limit": replica.memory_limit}
    return {k: str(v) for k, v in given.items() if v is not None}


def _libpq_value(text: str) -> str:
    return "'" + re.sub(r"(['\\])", r"\\\1", text) + "'"
