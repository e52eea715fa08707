"""A DuckLake: a catalogue in a DuckDB, SQLite or Postgres database, and data in a folder.

DuckLake numbers its snapshots upwards. An open replica shows one of them, whatever is committed
meanwhile, and is opened anew when there is a newer one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ...settings.checks import require
from ...settings.conninfo import parse_conninfo, sealed_conninfo
from ...settings.replica import AnyReplica
from ...settings.secret import Secret, revealed, sealed
from ...sql.quoting import identifier, literal
from ..holdings import definitions_of, nothing
from ..instance import Instance, ask_once
from ..members import Kind, Member, Opening
from ..plans import SELF_CONTAINED, Plan, Terms, alias_of, resources, session_defaults
from ..postgres import EXTENSION as POSTGRES
from ..postgres import secret_and_path

# What reads a catalogue, by the prefix that DuckLake's own ATTACH knows it by.
_EXTENSIONS = {"duckdb": (), "sqlite": ("sqlite_scanner",), "postgres": (POSTGRES,)}
_PREFIX = re.compile(r"([a-z]\w+):(?!//)")


@dataclass(frozen=True, kw_only=True)
class DuckLake(AnyReplica):
    """`ducklake` names the catalogue as in `ATTACH 'ducklake:…'`, with that prefix or without it: a
    DuckDB file, `sqlite:` and a file, or `postgres:` and a libpq keyword string, of which
    `password` may be the password. `data_path` is where the data are now, if that is not where the
    catalogue says."""

    ducklake: str | Path | Secret | None = None
    data_path: str | Path | None = None
    password: str | Secret | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "password", sealed(self.password))
        kind, where = catalogue(self)
        if kind == "postgres":
            object.__setattr__(self, "ducklake", sealed_conninfo(where, "postgres:"))


class Shown(NamedTuple):
    """A snapshot of a lake, and the folder of its data."""

    snapshot: int
    data_path: str


def catalogue(replica: DuckLake) -> tuple[str, str]:
    """What the catalogue is in, and where that is."""
    given = replica.ducklake
    text = revealed(given) if isinstance(given, Secret) else str(given or "")
    text = text.removeprefix("ducklake:")
    if text.startswith(("postgres://", "postgresql://")):
        return "postgres", text
    prefix = _PREFIX.match(text)
    return (prefix[1], text[prefix.end() :]) if prefix else ("duckdb", text)


def _check(replica: DuckLake) -> None:
    kind, where = catalogue(replica)
    require(
        kind in _EXTENSIONS and bool(where),
        "ducklake: expected a file, sqlite:<file> or postgres:<conninfo>",
    )
    given = parse_conninfo(where).get("password") if kind == "postgres" else None
    require(
        replica.password is None or (kind == "postgres" and not given),
        "password: for a catalogue in Postgres, given once",
    )


def alias(replica: DuckLake) -> str:
    """What the lake is called in its instance."""
    kind, where = catalogue(replica)
    if kind == "postgres":
        return str(parse_conninfo(where).get("dbname") or "lake")
    return alias_of(Path(where))


def attached(replica: DuckLake, snapshot: int | None = None) -> tuple[str, ...]:
    """The statements that attach a lake read-only, at one of its snapshots or at the newest."""
    kind, where = catalogue(replica)
    options = ["READ_ONLY"]
    before: tuple[str, ...] = ()
    if kind == "postgres":
        keywords = parse_conninfo(where)
        given = keywords.pop("password", None)
        secret, where = secret_and_path(keywords, revealed(replica.password) or given)
        before = (secret,)
        options.append("META_SECRET pgmd")
    if replica.data_path is not None:
        options += [f"DATA_PATH {literal(str(replica.data_path))}", "OVERRIDE_DATA_PATH true"]
    if snapshot is not None:
        options.append(f"SNAPSHOT_VERSION {snapshot}")
    path = where if kind == "duckdb" else f"{kind}:{where}"
    attach = f"ATTACH {literal(f'ducklake:{path}')} AS {identifier(alias(replica))}"
    return (*before, f"{attach} ({', '.join(options)})")


def newest_plan(replica: DuckLake) -> Plan:
    """Plan the instance that is asked for the newest snapshot."""
    return Plan(
        ":memory:",
        SELF_CONTAINED,
        extensions=("ducklake", *_EXTENSIONS[catalogue(replica)[0]]),
        setup=attached(replica),
        look=nothing,
        alias=alias(replica),
    )


def plan(replica: DuckLake, terms: Terms, shown: Shown) -> Plan:
    """Plan how to read a snapshot of a lake."""
    lake = literal(alias(replica))
    return Plan(
        ":memory:",
        {**SELF_CONTAINED, **resources(replica)},
        extensions=("ducklake", *_EXTENSIONS[catalogue(replica)[0]]),
        setup=(*session_defaults(terms), *attached(replica, shown.snapshot)),
        look=definitions_of,
        # Its files are opened as they are needed. DuckDB would write there, too, and its sqlite
        # extension heeds no lock: that nothing but reads of tables runs is up to routing.
        lock_down=(
            f"SET allowed_directories = [{literal(shown.data_path)}]",
            "SET enable_external_access = false",
            "SET lock_configuration = true",
        ),
        alias=alias(replica),
        is_behind=f"SELECT max(snapshot_id) > {shown.snapshot} FROM ducklake_snapshots({lake})",
        # Fails when the snapshot has expired.
        probe=f"SELECT id FROM ducklake_current_snapshot({lake})",
    )


def _open(replica: DuckLake, opening: Opening) -> Member:
    committed = opening.committed()
    lake = literal(alias(replica))
    newest = ask_once(
        newest_plan(replica),
        opening.redact,
        f"SELECT id, tags['data_path'] FROM ducklake_current_snapshot({lake}), duckdb_databases() "
        f"WHERE database_name = {lake}",
    )
    instance = Instance(plan(replica, opening.terms, Shown(*newest)), opening.redact)
    return Member(KIND, replica, instance, committed, instance.holdings)


KIND: Kind[DuckLake] = Kind(
    said="ducklake=",
    source="ducklake",
    takes=frozenset({"data_path", "password", "refresh"}),
    check=_check,
    open=_open,
    never_changes=True,
    reopens=True,
)
DuckLake.kinds = (KIND,)
