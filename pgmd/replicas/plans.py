"""How a replica's instance is opened: paths, settings and SQL text, nothing is run here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..servers.profile import Dialect
from ..settings.replica import AnyReplica
from ..sql.quoting import identifier, literal
from .holdings import Holdings, definitions_of

# What every instance is opened with: a table name must never resolve to a variable of the calling
# program.
COMMON = {"python_enable_replacements": "false"}
# Whatever a replica needs is loaded on purpose while it opens; the secrets that somebody keeps in
# the home folder are not for it. Nothing is spilled: the folder would be open to every query.
SELF_CONTAINED = {
    **COMMON,
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_persistent_secrets": "false",
    "temp_directory": "",
}
# Without external access a COPY could still overwrite the attached file and its WAL: DuckDB allows
# their paths. It has them open by now and needs no files any more.
LOCK_DOWN = (
    "SET enable_external_access = false",
    "SET disabled_filesystems = 'LocalFileSystem'",
    "SET lock_configuration = true",
)


# What DuckDB calls databases of its own.
_TAKEN = ("memory", "system", "temp")


@dataclass(frozen=True, slots=True)
class Terms:
    """In what a replica agrees with its endpoint."""

    time_zone: str = "UTC"
    dialect: Dialect = Dialect.DUCKDB


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps that open one replica, in order."""

    database: str
    config: Mapping[str, str] = field(repr=False)
    extensions: tuple[str, ...] = ()
    # May hold a password.
    setup: tuple[str, ...] = field(default=(), repr=False)
    # Views and macros of a database may stand in statements.
    look: Callable[[Any], Holdings] = definitions_of
    lock_down: tuple[str, ...] = LOCK_DOWN
    # In what plain names are looked for, unless a catalogue says in which schemas.
    alias: str = ""
    schemas: tuple[str, ...] = ("main",)
    # Run when the writer has published, to pick the newest snapshot up.
    refresh: str | None = None
    # Says whether there is something newer to be opened; there may be if nothing says so.
    is_behind: str = "SELECT true"
    check: str = "SELECT readonly FROM duckdb_databases() WHERE database_name = current_database()"
    # Answered only if what is behind the instance answers.
    probe: str = "SELECT 1"

    def cursor_setup(self, holdings: Holdings) -> tuple[str, ...]:
        """What runs on each new cursor: DuckDB starts every cursor in the default catalog."""
        catalogue = holdings.catalogue
        schemas = self.schemas if catalogue is None else catalogue.schemas
        return search_path(self.alias, schemas) if self.alias else ()


def file_plan(
    replica: AnyReplica, path: Path, alias: str, terms: Terms, schemas: Iterable[str] = ("main",)
) -> Plan:
    """Plan how to read a DuckDB file. Instances share a file only when each attaches it: opening
    the same path twice in one process would give the same instance."""
    return Plan(
        ":memory:",
        {**SELF_CONTAINED, **resources(replica)},
        setup=(
            *session_defaults(terms),
            f"ATTACH {literal(str(path))} AS {identifier(alias)} (READ_ONLY)",
        ),
        alias=alias,
        schemas=tuple(schemas),
    )


def alias_of(path: Path) -> str:
    """What the database in a file is attached as."""
    return path.stem if path.stem not in _TAKEN else f"{path.stem}_file"


def database_of(file: str | Path) -> str:
    """What DuckDB calls the database in a file."""
    return Path(file).stem


def search_path(alias: str, schemas: Iterable[str]) -> tuple[str, ...]:
    """The statement that makes unqualified names of a new cursor mean these schemas."""
    path = ",".join(f"{identifier(alias)}.{identifier(schema)}" for schema in schemas)
    return (f"SET search_path = {literal(path)}",)


def session_defaults(terms: Terms) -> tuple[str, ...]:
    """The statements that have an instance answer as the endpoint does."""
    zone = f"SET GLOBAL TimeZone = {literal(terms.time_zone)}"
    if terms.dialect is Dialect.DUCKDB:
        return (zone,)
    return (zone, "SET GLOBAL default_null_order = 'nulls_last_on_asc_first_on_desc'")


def resources(replica: AnyReplica) -> dict[str, str]:
    """What a replica may use of the machine, as DuckDB's settings."""
    given: dict[str, Any] = {"threads": replica.threads, "memory_limit": replica.memory_limit}
    return {k: str(v) for k, v in given.items() if v is not None}
