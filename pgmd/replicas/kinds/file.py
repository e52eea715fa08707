"""A DuckDB database file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...routing.freshness import Freshness
from ...settings.replica import AnyReplica
from ..instance import Instance
from ..members import Kind, Member, Opening
from ..plans import Plan, Terms, alias_of, file_plan


@dataclass(frozen=True, kw_only=True)
class File(AnyReplica):
    """`file` is a DuckDB database file, attached read-only."""

    file: str | Path | None = None


def plan(replica: File, terms: Terms) -> Plan:
    """Plan how to read the file."""
    path = Path(replica.file or "")
    return file_plan(replica, path, alias_of(path), terms)


def _open(replica: File, opening: Opening) -> Member:
    instance = Instance(plan(replica, opening.terms), opening.redact)
    return Member(KIND, replica, instance, Freshness(0), instance.holdings)


KIND: Kind[File] = Kind(
    said="file=",
    source="file",
    open=_open,
    never_changes=True,
    cannot_publish="reads a file that pgmd does not write; "
    "write the file anew, then engine.recycle()",
)
File.kinds = (KIND,)
