"""A Postgres database: live, through DuckDB's postgres extension, or from columnar copies."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

from ...routing.freshness import LIVE, Freshness
from ...settings.checks import require
from ...settings.conninfo import parse_conninfo, sealed_conninfo
from ...settings.replica import AnyReplica
from ...settings.secret import Secret, revealed, sealed
from ...sql.quoting import literal
from ..holdings import Holdings, nothing
from ..instance import Instance
from ..members import Kind, Member, Opening
from ..plans import SELF_CONTAINED, Plan, Terms, file_plan, resources, session_defaults
from ..postgres import ALIAS, EXTENSION, PROBE, attach, catalogue_of, copy_tables

ReplicaMode = Literal["live", "snapshot"]

# For ORDER BY x DESC LIMIT n, DuckDB 1.5.5 hands the postgres extension the filter "x IS NULL OR
# <what the Top-N has so far>", and the extension keeps "x IS NULL" of it: rows are missing.
_NO_TOP_N = "SET GLOBAL disabled_optimizers = 'top_n'"
# 0.07 ms a query; without it a column that somebody adds is missing until the cache is cleared.
_SEE_NEW_COLUMNS = "SET GLOBAL pg_staleness_query_enabled = true"


@dataclass(frozen=True, kw_only=True)
class Postgres(AnyReplica):
    """`postgres` is a libpq URL or keyword string. `mode="live"` reads it through DuckDB's
    `postgres` extension, always fresh; `mode="snapshot"` reads a columnar copy of `tables` (all
    tables when empty)."""

    postgres: str | Secret | None = field(default=None, repr=False)
    password: str | Secret | None = field(default=None, repr=False)
    mode: ReplicaMode = "live"
    tables: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "tables", tuple(self.tables))
        object.__setattr__(self, "password", sealed(self.password))
        if self.postgres is not None:
            object.__setattr__(self, "postgres", sealed_conninfo(self.postgres))


def _check(replica: Postgres) -> None:
    require(replica.mode in ("live", "snapshot"), f"mode={replica.mode!r}: 'live' or 'snapshot'")


def attached(replica: Postgres) -> tuple[str, ...]:
    """The statements that attach the database."""
    options = parse_conninfo(replica.postgres)
    given = options.pop("password", None)
    return attach(options, revealed(replica.password) or given)


def live_plan(replica: Postgres, terms: Terms) -> Plan:
    """Plan how to read the database itself."""
    return Plan(
        ":memory:",
        {**SELF_CONTAINED, **resources(replica)},
        extensions=(EXTENSION,),
        setup=(*session_defaults(terms), _NO_TOP_N, _SEE_NEW_COLUMNS, *attached(replica)),
        look=catalogue_of,
        alias=ALIAS,
        probe=PROBE,
    )


def copy_plan(replica: Postgres, path: Path, terms: Terms) -> Plan:
    """Plan the instance that copies the database into the DuckDB file *path*."""
    return Plan(
        ":memory:",
        {**SELF_CONTAINED, "temp_directory": f"{path}.tmp"},
        extensions=(EXTENSION,),
        setup=(
            f"SET GLOBAL TimeZone = {literal(terms.time_zone)}",
            *attached(replica),
            f"ATTACH {literal(str(path))} AS copy",
        ),
    )


def _open_live(replica: Postgres, opening: Opening) -> Member:
    instance = Instance(live_plan(replica, opening.terms), opening.redact)
    return Member(LIVE_READ, replica, instance, Freshness(LIVE), instance.holdings)


def _open_copy(replica: Postgres, opening: Opening) -> Member:
    copies = opening.copies
    copy = copies.take(_source(replica), partial(_copy, replica, opening))
    catalogue = copy.holdings.catalogue
    assert catalogue is not None
    plan = file_plan(replica, copy.path, ALIAS, opening.terms, catalogue.schemas)
    try:
        # The copy holds tables only: there are no views or macros to know of.
        instance = Instance(replace(plan, look=nothing), opening.redact)
    except BaseException:
        copies.release(copy)
        raise
    closed = partial(copies.release, copy)
    return Member(COPIED, replica, instance, copy.freshness, copy.holdings, closed=closed)


def _copy(replica: Postgres, opening: Opening, path: Path) -> tuple[Holdings, Freshness]:
    committed = opening.committed()
    plan = copy_plan(replica, path, opening.terms)
    return copy_tables(plan, replica.tables, opening.redact), committed


def _copy_anew(replicas: Sequence[Postgres], opening: Opening) -> None:
    for source, replica in {_source(replica): replica for replica in replicas}.items():
        opening.copies.renew(source, partial(_copy, replica, opening))


def _source(replica: Postgres) -> Hashable:
    return replica.postgres, replica.tables


LIVE_READ: Kind[Postgres] = Kind(
    said="postgres=",
    source="postgres",
    takes=frozenset({"password", "mode"}),
    is_meant=lambda replica: replica.mode != "snapshot",
    check=_check,
    open=_open_live,
    moves_on=True,
    # Each read of a bundle would open a connection.
    bundles=False,
)
COPIED: Kind[Postgres] = Kind(
    said="mode='snapshot'",
    source="postgres",
    takes=frozenset({"password", "mode", "tables", "refresh"}),
    is_meant=lambda replica: replica.mode == "snapshot",
    check=_check,
    open=_open_copy,
    never_changes=True,
    reopens=True,
    prepare=_copy_anew,
)
Postgres.kinds = (LIVE_READ, COPIED)
