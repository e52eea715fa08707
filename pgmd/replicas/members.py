"""Opening replicas, blocking: DuckDB instances, and the copies of Postgres that some read."""

from __future__ import annotations

import itertools
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ReplicaError
from ..process.clock import now
from ..process.forking import remove_at_end
from ..routing.catalogue import Catalogue
from ..routing.definitions import Definitions
from ..routing.freshness import LIVE, Freshness
from ..servers.profile import Dialect
from ..settings.redact import Redactor
from ..settings.replica import Replica
from .instance import Instance
from .plans import copy_plan, copy_statements, file_plan, open_plan
from .postgres import copy_postgres
from .snapshots import newest
from .wire import Wire

# DuckDB's cache of instances goes by path: one number for each that this process ever opens.
_numbers = itertools.count(1)


@dataclass(slots=True, eq=False)
class _Copy:
    """One columnar snapshot of a Postgres database on disk, gone with its last reader; whoever
    opens next counts as one for as long as it is the newest."""

    path: Path
    catalogue: Catalogue
    freshness: Freshness
    readers: int = 1


@dataclass(slots=True, eq=False)
class Member:
    """One open replica and what it shows.

    `is_well` is False while it is not to be used, `used` the moment when it last was.
    """

    settings: Replica
    instance: Instance | Wire
    freshness: Freshness
    catalogue: Catalogue | None
    definitions: Definitions | None
    copy: _Copy | None = None
    token: str | None = field(default=None, repr=False)
    is_well: bool = True
    used: float = field(default_factory=now)
    # Is told how each statement ended, and with which of DuckDB's errors.
    report: Callable[[Exception | None], None] = field(default=lambda _: None, repr=False)

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def runs_bundles(self) -> bool:
        """Whether many reads may go there as one query. Where DuckDB reads a live PostgreSQL, that
        would open a connection for each."""
        is_live_postgres = self.settings.postgres is not None and self.copy is None
        return isinstance(self.instance, Instance) and not is_live_postgres


class Opener:
    """Opens the replicas of one engine, for an endpoint of this time zone and dialect.

    Any number of threads may use it. Every method blocks and raises `ReplicaError`, without
    secrets.
    """

    def __init__(
        self, redact: Redactor, time_zone: str, dialect: Dialect, published: Freshness
    ) -> None:
        """*published* is what a snapshot shows that is opened now."""
        self._redact = redact
        self._time_zone = time_zone
        self._dialect = dialect
        self._published = published
        self._lock = threading.Lock()
        self._copying = threading.Lock()
        self._copies: dict[Any, _Copy] = {}
        self._folder = ""
        self._clean_up: Callable[[], object] = lambda: None

    def open(self, replica: Replica) -> Member:
        """Open a replica on the newest that it can show."""
        if replica.mode == "snapshot":
            return self._open_copy(replica)
        if replica.local is not None:
            return self._open_local(replica)
        if replica.motherduck is not None or replica.wire is not None:
            return self._open_duckling(replica)
        plan = open_plan(replica, time_zone=self._time_zone, dialect=self._dialect)
        instance = Instance(plan, self._redact)
        freshness = Freshness(LIVE if plan.live else 0)
        return Member(replica, instance, freshness, instance.catalogue, instance.definitions)

    def _open_duckling(self, replica: Replica) -> Member:
        token = replica.current_token()
        self._redact.learn(token)
        published = self._published
        instance = self._reach(replica, token)
        freshness = Freshness(0)
        if published.position:
            # A new connection may be shown an older snapshot than the last one was.
            instance.refresh()
            freshness = published
        definitions = instance.definitions
        return Member(replica, instance, freshness, None, definitions, token=token)

    def _reach(self, replica: Replica, token: str) -> Instance | Wire:
        if replica.wire is not None:
            if self._dialect is not Dialect.DUCKDB:
                raise ReplicaError("a wire= replica needs an endpoint that speaks DuckDB's SQL")
            return Wire(replica, token, self._redact)
        plan = open_plan(
            replica,
            time_zone=self._time_zone,
            dialect=self._dialect,
            token=token,
            number=next(_numbers),
        )
        return Instance(plan, self._redact)

    def _open_local(self, replica: Replica) -> Member:
        """On the newest snapshot of a file that a local endpoint serves."""
        assert replica.local is not None
        file = Path(replica.local)
        published = self._published
        while path := newest(file):
            plan = file_plan(replica, path, time_zone=self._time_zone, dialect=self._dialect)
            try:
                instance = Instance(plan, self._redact)
            except ReplicaError:
                # It may have been removed meanwhile, in favour of newer ones.
                if path.exists():
                    raise
                continue
            return Member(replica, instance, published, None, instance.definitions)
        raise ReplicaError(
            f"no snapshot of {file} yet: run CREATE SNAPSHOT OF {file.stem} on its local endpoint"
        )

    def _open_copy(self, replica: Replica) -> Member:
        copy = self._take_copy(replica)
        plan = file_plan(
            replica,
            copy.path,
            time_zone=self._time_zone,
            dialect=self._dialect,
            schemas=copy.catalogue.schemas,
        )
        try:
            instance = Instance(plan, self._redact)
        except BaseException:
            self._release(copy)
            raise
        return Member(replica, instance, copy.freshness, copy.catalogue, None, copy)

    def _take_copy(self, replica: Replica) -> _Copy:
        """The newest copy, made if there is none yet; the replicas that read it share it."""
        with self._copying:
            copy = self._copies.get(_source(replica))
            if copy is None:
                # A new engine has written nothing yet.
                copy = self._copies[_source(replica)] = self._make_copy(replica, 0)
            with self._lock:
                copy.readers += 1
            return copy

    def _make_copy(self, replica: Replica, position: float) -> _Copy:
        if not self._folder:
            self._folder = tempfile.mkdtemp(prefix="pgmd-")
            self._clean_up = remove_at_end(self, self._folder)
        path = Path(self._folder) / f"snapshot-{next(_numbers)}.duckdb"
        plan = copy_plan(replica, path, time_zone=self._time_zone)
        since = now()
        try:
            catalogue = copy_postgres(plan, replica.tables, copy_statements, self._redact)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return _Copy(path, catalogue, Freshness(position, since))

    def renew(self, replica: Replica, position: float) -> None:
        """Copy the database of a snapshot replica anew, for those that open from now on."""
        with self._copying:
            new = self._make_copy(replica, position)
            old, self._copies[_source(replica)] = self._copies.get(_source(replica)), new
        if old is not None:
            self._release(old)

    def publish(self, published: Freshness) -> None:
        """What is opened from now on shows this."""
        self._published = published

    def close(self, member: Member) -> None:
        """Close a replica that nobody uses any more."""
        member.instance.close()
        if member.copy is not None:
            self._release(member.copy)

    def _release(self, copy: _Copy) -> None:
        with self._lock:
            copy.readers -= 1
            is_idle = copy.readers == 0
        if is_idle:
            copy.path.unlink(missing_ok=True)

    def clean_up(self) -> None:
        """Remove all copies; nothing is opened any more."""
        self._clean_up()


def moves_on(replica: Replica) -> bool:
    """Whether it shows newer tables and views without being told to."""
    is_live = replica.postgres is not None and replica.mode == "live"
    return is_live or is_duckling(replica)


def reads_snapshots(replica: Replica) -> bool:
    """Whether it shows something newer when it is opened anew after `publish()`."""
    return replica.local is not None or replica.mode == "snapshot"


def is_duckling(replica: Replica) -> bool:
    """Whether it is read through a read-scaling token."""
    return replica.motherduck is not None or replica.wire is not None


def same_copy(replicas: list[Replica]) -> list[list[Replica]]:
    """Snapshot replicas by the copy that they share."""
    groups: dict[Any, list[Replica]] = {}
    for replica in replicas:
        if replica.mode == "snapshot":
            groups.setdefault(_source(replica), []).append(replica)
    return list(groups.values())


def _source(replica: Replica) -> Any:
    return replica.postgres, replica.tables
