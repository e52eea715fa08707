# Generated from pgmd/_async/replicas.py by pgmd._tools.unasync. Do not edit.
"""The replicas' side: DuckDB instances, who borrows a cursor of which, and how they move on."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from ..clock import now
from ..config import Replica
from ..duck import Cursor, DuckError, Instance, Run, copy_postgres
from ..errors import NotSupportedError, PoolClosed, PoolTimeout, ReplicaError
from ..local.snapshots import newest
from ..parity import Inexact
from ..pooling import PoolState, Returned, Slot
from ..profile import Dialect
from ..redact import Redactor
from ..routing.catalogue import Catalogue
from ..routing.definitions import Definitions
from ..routing.freshness import LIVE, Freshness
from ..runtime import threads as runtime
from ..shape import Loaded, Reading
from ..sources import copy_plan, copy_statements, file_plan, open_plan

_log = logging.getLogger("pgmd.replica")
T = TypeVar("T")

# Below every session's floor: serves nobody.
_IN_DOUBT = Freshness(-1)


@dataclass(slots=True, eq=False)
class _Copy:
    """One columnar snapshot of a Postgres database on disk, gone with its last reader."""

    path: Path
    readers: int = 0


@dataclass(slots=True, eq=False)
class Member:
    """One open replica and what it shows."""

    settings: Replica
    instance: Instance
    freshness: Freshness
    catalogue: Catalogue | None
    definitions: Definitions | None
    copy: _Copy | None = None

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def moves_on(self) -> bool:
        """Whether it shows newer tables and views without being told to."""
        return self.freshness.is_live or self.settings.motherduck is not None


@dataclass(slots=True)
class _Place:
    """What replicas must agree with."""

    time_zone: str = "UTC"
    dialect: Dialect = Dialect.DUCKDB


@dataclass(slots=True)
class _Generation:
    number: int = 0
    folder: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False)


class ReplicaSet:
    """All replicas of one database. `failures` tells, by name, why some could not be opened."""

    def __init__(
        self, settings: Sequence[Replica], redact: Redactor, *, timeout: float, max_waiting: int = 0
    ) -> None:
        self._settings = settings
        self._redact = redact
        self._timeout = timeout
        self._state: PoolState[Member, runtime.Waiter[Slot[Member]]] = PoolState(
            max_waiting=max_waiting
        )
        self._guard = runtime.Guard()
        self._place = _Place()
        self._generation = _Generation()
        self._executor: runtime.Executor | None = None
        self.failures: dict[str, str] = {}

    def open(self, *, time_zone: str, dialect: Dialect) -> None:
        """Open every replica side by side. Those that fail are in `failures`, none is raised."""
        self._place = _Place(time_zone, dialect)
        slots = sum(replica.max_size for replica in self._settings)
        # One more thread a replica: opening and refreshing must not wait for queries.
        self._executor = runtime.Executor(slots + len(self._settings) + 1, "pgmd-replica")
        self._admit()

    def _admit(self) -> None:
        direct = [replica for replica in self._settings if replica.mode == "live"]
        works = [partial(self._open_one, replica) for replica in direct]
        groups = _snapshot_groups(self._settings)
        # A new engine has written nothing yet.
        copies = [partial(self._open_copies, group, 0) for group in groups]
        opened = runtime.run_all(works)
        for replica, member in zip(direct, opened, strict=True):
            self._welcome([replica], [member] if isinstance(member, Member) else member)
        for group, members in zip(groups, runtime.run_all(copies), strict=True):
            self._welcome(group, members)

    def _welcome(self, wanted: Sequence[Replica], opened: list[Member] | BaseException) -> None:
        if isinstance(opened, ReplicaError):
            for replica in wanted:
                self.failures[replica.name] = str(opened)
                _log.warning("replica %s: %s", replica.name, opened)
        elif isinstance(opened, BaseException):
            raise opened
        else:
            for member in opened:
                self.failures.pop(member.name, None)
                self._settle(lambda m=member: self._state.add(m, m.settings.max_size))  # type: ignore[misc]

    def _open_one(self, replica: Replica, position: int = 0) -> Member:
        if replica.local is not None:
            since = now()
            instance = self._blocking(lambda: self._open_newest(replica))
            return Member(replica, instance, Freshness(position, since), None, instance.definitions)
        plan = open_plan(replica, time_zone=self._place.time_zone, dialect=self._place.dialect)
        instance = self._blocking(lambda: Instance(plan, self._redact))
        freshness = Freshness(LIVE if plan.live else 0)
        return Member(replica, instance, freshness, instance.catalogue, instance.definitions)

    def _open_newest(self, replica: Replica) -> Instance:
        """An instance on the newest snapshot of a file that a local endpoint serves."""
        assert replica.local is not None
        file = Path(replica.local)
        while path := newest(file):
            place = self._place
            plan = file_plan(replica, path, time_zone=place.time_zone, dialect=place.dialect)
            try:
                return Instance(plan, self._redact)
            except ReplicaError:
                # It may have been removed meanwhile, in favour of newer ones.
                if path.exists():
                    raise
        raise ReplicaError(
            f"no snapshot of {file} yet: run CREATE SNAPSHOT OF {file.stem} on its local endpoint"
        )

    def _open_copies(self, group: Sequence[Replica], position: int) -> list[Member]:
        """Copy the database once, then open all of *group* on the copy."""
        since = now()
        copy, catalogue = self._blocking(lambda: self._make_copy(group[0]))
        freshness = Freshness(position, since)
        members = []
        try:
            for replica in group:
                plan = file_plan(
                    replica,
                    copy.path,
                    time_zone=self._place.time_zone,
                    dialect=self._place.dialect,
                    schemas=catalogue.schemas,
                )
                instance = self._blocking(lambda p=plan: Instance(p, self._redact))  # type: ignore[misc]
                copy.readers += 1
                members.append(Member(replica, instance, freshness, catalogue, None, copy))
        except BaseException:
            for member in members:
                _close(member)
            copy.path.unlink(missing_ok=True)
            raise
        return members

    def _make_copy(self, replica: Replica) -> tuple[_Copy, Catalogue]:
        generation = self._generation
        if generation.folder is None:
            generation.folder = tempfile.TemporaryDirectory(prefix="pgmd-")
        generation.number += 1
        path = Path(generation.folder.name) / f"snapshot-{generation.number}.duckdb"
        plan = copy_plan(replica, path, time_zone=self._place.time_zone)
        try:
            catalogue = copy_postgres(plan, replica.tables, copy_statements, self._redact)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return _Copy(path), catalogue

    # ------------------------------------------------------------------------------- borrowing

    @property
    def members(self) -> list[Member]:
        """The replicas that take new work."""
        return self._state.replicas

    def lend(
        self, accepts: Callable[[Member], bool], preferred: Member | None = None
    ) -> Slot[Member]:
        """Borrow a cursor of a replica that *accepts*; wait up to the set's time-out.

        *preferred* comes first if it has a free one. Raises PoolTimeout, PoolFull or PoolClosed.
        """
        with self._guard:
            slot = self._state.take(lambda m: m is preferred) if preferred is not None else None
            slot = slot or self._state.take(accepts)
        if slot is not None:
            return slot
        waiter: runtime.Waiter[Slot[Member]] = runtime.Waiter()
        with self._guard:
            slot = self._state.request(waiter, accepts)
        if slot is not None:
            return slot
        try:
            return waiter.wait(self._timeout)
        except BaseException as error:
            self._abandon(waiter)
            if isinstance(error, TimeoutError):
                raise PoolTimeout(
                    f"no replica cursor within {self._timeout:.1f} s {self._state!r}; "
                    "raise replica_max_size or timeout"
                ) from None
            raise

    def give_back(self, slot: Slot[Member]) -> None:
        """Take a cursor back. Never waits, so a cancelled borrower cannot lose it."""
        broken = slot.cursor is not None and slot.cursor.broken
        self._settle(lambda: self._state.give_back(slot, broken=broken))

    def _abandon(self, waiter: runtime.Waiter[Slot[Member]]) -> None:
        with self._guard:
            waited = self._state.cancel(waiter)
        # The grant may have come together with the time-out or cancellation: pass it on.
        slot = None if waited else waiter.granted
        if slot is not None:
            self.give_back(slot)

    def _settle(self, change: Callable[[], Returned[Member, runtime.Waiter[Slot[Member]]]]) -> None:
        with self._guard:
            result = change()
            # Within the guard: a waiter that gives up must see its grant or still be queued.
            for waiter, slot in result.grants:
                waiter.set(slot)
        for cursor in result.doomed:
            cursor.close()
        for member in result.idle:
            _close(member)

    def execute(
        self,
        slot: Slot[Member],
        run: Run,
        text: str,
        values: Sequence[Any],
        reading: Reading,
        before: Sequence[str] = (),
    ) -> Loaded:
        """Run one read on a lent cursor, and load its answer.

        What *before* sets is gone with the cursor when that is given back. Both happen in the
        executor. Cancelling interrupts DuckDB and waits until it has stopped.
        """

        def work() -> Loaded:
            cursor = _cursor(slot)
            try:
                return reading.load(cursor.execute(run, text, values, reading, before))
            except Inexact as error:
                untold = error
            except OverflowError as error:
                # An interval or a date at the end of what Python can hold.
                untold = Inexact(str(error))
            if not reading.wants_arrow():
                raise untold
            return reading.load(cursor.execute(run, text, values, reading))

        return self.on_thread(slot, run, work)

    def open_stream(
        self,
        slot: Slot[Member],
        run: Run,
        text: str,
        values: Sequence[Any],
        reading: Reading,
        before: Sequence[str] = (),
    ) -> Callable[[], Loaded]:
        """Start one read on a lent cursor; what is returned loads the next part, blocking."""

        def work() -> Callable[[], Loaded]:
            part = _cursor(slot).open(run, text, values, reading, before)
            return lambda: reading.load(part())

        return self.on_thread(slot, run, work)

    def on_thread(self, slot: Slot[Member], run: Run, work: Callable[[], T]) -> T:
        """Do blocking *work* on a lent cursor; cancelling interrupts DuckDB."""
        return self._threads.run(work, lambda: interrupt(slot, run))

    def command(self, slot: Slot[Member], run: Run, text: str) -> None:
        """Run one of pgmd's own statements on a lent cursor."""
        self.on_thread(slot, run, lambda: _cursor(slot).command(run, text))

    def begin(self, slot: Slot[Member], before: Sequence[str]) -> None:
        """Begin a read-only transaction on a lent cursor, after the statements *before* it.

        Whatever happens then, the cursor is given back by `end()` only.
        """
        try:
            for setting in before:
                self.command(slot, Run(), setting)
            self.command(slot, Run(), "BEGIN TRANSACTION READ ONLY")
        except BaseException:
            # Cancelled, it may have begun all the same.
            self.end(slot)
            raise
        if before and slot.cursor is not None:
            slot.cursor.broken = True  # for everybody else

    def end(self, slot: Slot[Member]) -> None:
        """End the transaction on a lent cursor and give it back, whatever happens."""
        ended = False
        try:
            self.command(slot, Run(), "ROLLBACK")
            ended = True
        except DuckError as error:
            _log.debug("cursor of %s is closed: %s", slot.replica.name, type(error).__name__)
        finally:
            if not ended and slot.cursor is not None:
                slot.cursor.broken = True
            self.give_back(slot)

    # ------------------------------------------------------------------------------ moving on

    def check_publishable(self) -> None:
        """Raise NotSupportedError if some replica cannot be moved on by pgmd."""
        for member in self.members:
            if member.settings.file is not None:
                raise NotSupportedError(
                    f"replica {member.name!r} reads a file that pgmd does not write; "
                    "write the file anew and open a new engine"
                )

    def publish(self, position: int) -> None:
        """Move every replica on to what the writer has published by now.

        Raises ReplicaError; the replicas then keep what they showed.
        """
        groups = _snapshot_groups([member.settings for member in self.members])
        for group in groups:
            self._replace(group, position)
        for member in self.members:
            if member.settings.local is not None:
                self._reopen(member, position)
            elif member.settings.motherduck is not None:
                since = self._blocking(member.instance.refresh)
                member.definitions = self._blocking(member.instance.read_definitions)
                member.freshness = Freshness(position, since)

    def _reopen(self, old: Member, position: int) -> None:
        new = self._open_one(old.settings, position)
        self._settle(lambda: self._state.add(new, new.settings.max_size))
        self._settle(lambda: self._state.retire(old))

    def _replace(self, group: Sequence[Replica], position: int) -> None:
        names = {replica.name for replica in group}
        old = [member for member in self.members if member.name in names]
        new = self._open_copies(group, position)
        for member in new:
            self._settle(lambda m=member: self._state.add(m, m.settings.max_size))  # type: ignore[misc]
        for member in old:
            self._settle(lambda m=member: self._state.retire(m))  # type: ignore[misc]

    def reread_catalogues(self) -> None:
        """Look again at what the databases hold that change by themselves.

        A MotherDuck replica moves on to newer snapshots on its own.
        """
        for member in self.members:
            if member.settings.motherduck is not None:
                self._reread_definitions(member)
            if member.settings.postgres is None or member.settings.mode != "live":
                continue
            try:
                member.catalogue = self._blocking(member.instance.read_catalogue)
                member.freshness = Freshness(LIVE)
            except DuckError as error:
                member.freshness = _IN_DOUBT
                _log.warning("replica %s: %s", member.name, self._redact(str(error)))

    def _reread_definitions(self, member: Member) -> None:
        try:
            member.definitions = self._blocking(member.instance.read_definitions)
        except DuckError as error:
            _log.warning("replica %s: %s", member.name, self._redact(str(error)))

    def close(self) -> None:
        """Close every replica; waits for what still runs. Callers that wait get PoolClosed."""
        with self._guard:
            result, disappointed = self._state.close()
        for waiter in disappointed:
            waiter.fail(PoolClosed("the engine is closed"))
        if self._executor is not None:
            self._executor.close()
        for cursor in result.doomed:
            cursor.close()
        for member in result.idle:
            _close(member)
        if self._generation.folder is not None:
            self._generation.folder.cleanup()

    def stats(self) -> dict[str, int]:
        """Counters under psycopg_pool's names, where it has one."""
        with self._guard:
            state = self._state
            return {
                "pool_size": state.size,
                "pool_available": state.size - state.lent,
                "requests_waiting": state.waiting,
                "replicas": len(state.replicas),
                "replicas_failed": len(self.failures),
            }

    def _blocking(self, work: Callable[[], T]) -> T:
        return self._threads.run(work, lambda: None)

    @property
    def _threads(self) -> runtime.Executor:
        if self._executor is None:
            raise PoolClosed("the engine is not open")
        return self._executor

    def none_opened(self) -> ReplicaError:
        """What to say when not one replica could be opened."""
        return ReplicaError(f"no replica could be opened: {'; '.join(self.failures.values())}")

    def __repr__(self) -> str:
        return f"<ReplicaSet {[m.name for m in self.members]} {self._state!r}>"


def interrupt(slot: Slot[Member], run: Run) -> None:
    """Stop what *run* does on this slot, now or as soon as it starts."""
    run.cancelled = True
    if slot.cursor is not None:
        slot.cursor.interrupt(run)


def _cursor(slot: Slot[Member]) -> Cursor:
    if slot.cursor is None:
        slot.cursor = slot.replica.instance.cursor()
    return slot.cursor  # type: ignore[no-any-return]


def _close(member: Member) -> None:
    member.instance.close()
    if member.copy is not None:
        member.copy.readers -= 1
        if member.copy.readers == 0:
            member.copy.path.unlink(missing_ok=True)


def _snapshot_groups(replicas: Sequence[Replica]) -> list[list[Replica]]:
    """Replicas that read the same copy."""
    groups: dict[Any, list[Replica]] = {}
    for replica in replicas:
        if replica.mode == "snapshot":
            groups.setdefault((replica.postgres, replica.tables), []).append(replica)
    return list(groups.values())
