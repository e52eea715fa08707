"""The snapshots of a DuckDB file that a local endpoint serves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...errors import ReplicaError
from ...settings.replica import AnyReplica
from ..instance import Instance
from ..members import Kind, Member, Opening
from ..plans import database_of, file_plan
from ..snapshots import newest


@dataclass(frozen=True, kw_only=True)
class Local(AnyReplica):
    """`local` is a DuckDB database file that a local endpoint serves; what is read is its newest
    snapshot."""

    local: str | Path | None = None


def _open(replica: Local, opening: Opening) -> Member:
    file = Path(replica.local or "")
    published = opening.published(_published_as(replica))
    while path := newest(file):
        plan = file_plan(replica, path, database_of(file), opening.terms)
        try:
            instance = Instance(plan, opening.redact)
        except ReplicaError:
            # It may have been removed meanwhile, in favour of newer ones.
            if path.exists():
                raise
            continue
        return Member(KIND, replica, instance, published, instance.holdings)
    raise ReplicaError(
        f"no snapshot of {file} yet: run CREATE SNAPSHOT OF {file.stem} on its local endpoint"
    )


def _published_as(replica: Local) -> str:
    return database_of(replica.local or "")


KIND: Kind[Local] = Kind(
    said="local=",
    source="local",
    takes=frozenset({"refresh"}),
    open=_open,
    never_changes=True,
    reopens=True,
    publishes_as=_published_as,
    opens_published=True,
)
Local.kinds = (KIND,)
