# Generated from pgmd/_async/replicas/set.py by pgmd._tools.unasync. Do not edit.
"""The replicas' side: who borrows a cursor of which, what runs on it, and how they move on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from ...errors import NotSupportedError, PoolClosed, PoolTimeout, ReplicaError
from ...pooling import Slot
from ...process.clock import now
from ...replicas.kinds import kind_of
from ...replicas.members import Kind, Member, Opening
from ...replicas.plans import Terms
from ...routing.freshness import Freshness
from ...runtime import threads as runtime
from ...settings.redact import Redactor
from ...settings.replica import AnyReplica
from .keeper import Keeper, Keeping
from .slots import Slots

_log = logging.getLogger("pgmd.replica")
T = TypeVar("T")


class ReplicaSet:
    """All replicas of one database, each with a keeper."""

    def __init__(
        self,
        settings: Sequence[AnyReplica],
        redact: Redactor,
        changed: Callable[[], None],
        *,
        timeout: float,
        max_waiting: int = 0,
        has_endpoint: bool,
    ) -> None:
        """*changed* is called when other replicas serve than before."""
        self._settings = settings
        self._redact = redact
        self._changed = changed
        self._has_endpoint = has_endpoint
        self._slots: Slots[Member] = Slots(
            Member.close,
            timeout=timeout,
            max_waiting=max_waiting,
            what="replica cursor",
            advice="raise replica_max_size",
            gives_up=has_endpoint,
        )
        self._executor: runtime.Executor | None = None
        self._opening: Opening | None = None
        self._keeping: Keeping | None = None
        self._keepers: list[Keeper] = []
        self._one_tried = runtime.Gate()
        self._all_tried = runtime.Gate()

    def open(self, terms: Terms, published: Freshness, settled: Callable[[], float]) -> None:
        """Begin to open every replica; return when one is open, or none could be.

        *published* is what a snapshot shows that exists now, *settled* tells the position up to
        which all writes have been acknowledged.
        """
        if not self._settings:
            return
        self._opening = Opening(self._redact, terms, published, settled)
        slots = sum(replica.max_size for replica in self._settings)
        # Twice as many threads: statements may go on on what has been replaced meanwhile.
        self._executor = runtime.Executor(2 * slots + 1, "pgmd-replica")
        keeping = self._keeping = Keeping(
            self._opening, self._slots, self._redact, self._stir, turn=runtime.Lock()
        )
        self._keepers = [Keeper(replica, keeping) for replica in self._settings]
        self._stir()
        self._one_tried.wait(max(replica.open_timeout for replica in self._settings) + 1)

    def wait(self, timeout: float) -> None:
        """Wait until each replica has been opened. Raises PoolTimeout."""
        if self._keepers and not self._all_tried.wait(timeout):
            raise PoolTimeout(f"not all replicas open within {timeout:.1f} s: {self._told()}")
        if self.failures:
            raise PoolTimeout(f"not all replicas could be opened: {self._told()}")

    def _stir(self) -> None:
        """Something has changed: look who could go on now."""
        keepers = self._keepers
        if len(keepers) < len(self._settings):
            return  # they are being made
        tried = [keeper.attempts > 0 for keeper in keepers]
        if all(tried):
            self._all_tried.open()
        if all(tried) or any(keeper.member is not None for keeper in keepers):
            self._one_tried.open()
        self._slots.reconsider()
        self._changed()

    # ------------------------------------------------------------------------------- borrowing

    @property
    def members(self) -> list[Member]:
        """The replicas that are open, well or not."""
        return self._slots.members

    @property
    def serving(self) -> list[Member]:
        """The replicas that may take new work. Where there is no other, that is also one that
        is not well: it may be back."""
        members = self._slots.members
        return [m for m in members if m.is_well or not self._has_endpoint]

    @property
    def failures(self) -> dict[str, str]:
        """Why some do not serve, by name."""
        return {k.settings.name: k.failure for k in self._keepers if k.failure}

    @property
    def trouble(self) -> str:
        """Which replicas do not serve, for people."""
        told = [f"{keeper.settings.name} {keeper.trouble}" for keeper in self._keepers]
        return ", ".join(line for line in told if not line.endswith(" "))

    def want(self) -> None:
        """Somebody would use a replica: wake those that sleep."""
        for keeper in self._keepers:
            keeper.want()

    def take(self, accepts: Callable[[Member], bool]) -> Slot[Member] | None:
        """Borrow a cursor if one is free. Raises PoolClosed."""
        slot = self._slots.take(accepts)
        if slot is not None:
            slot.replica.used = now()
        return slot

    def lend(
        self, accepts: Callable[[Member], bool], preferred: Member | None = None
    ) -> Slot[Member]:
        """Borrow a cursor, see `Slots.lend()`."""
        slot = self._slots.lend(accepts, preferred)
        slot.replica.used = now()
        return slot

    def give_back(self, slot: Slot[Member]) -> None:
        """Take a cursor back. Never waits, so a cancelled borrower cannot lose it."""
        self._slots.give_back(slot)

    def blocking(self, work: Callable[[], T], interrupt: Callable[[], None]) -> T:
        """Do blocking *work* in the replicas' threads; cancelling interrupts it until it ends."""
        return self._threads.run(work, interrupt)

    # ------------------------------------------------------------------------------ moving on

    def check_publishable(self) -> None:
        """Raise NotSupportedError if some replica cannot be moved on by pgmd."""
        for replica in self._settings:
            why = kind_of(replica).cannot_publish
            if why:
                raise NotSupportedError(f"replica {replica.name!r} {why}")

    def publish(self, published: Freshness, replicas: Sequence[AnyReplica]) -> None:
        """Move these replicas on to what the writer has published by now.

        Raises ReplicaError; the replicas then keep what they showed.
        """
        opening = self._opening
        if opening is None:
            return
        for kind, some in _by_kind(replicas):
            opening.publish(map(kind.publishes_as, some), published)
            if kind.prepare is not None:
                self.blocking(partial(kind.prepare, some, opening), _nothing)
        for keeper in self._keepers:
            if keeper.settings in replicas:
                keeper.move_on(published)

    def recycle(self) -> None:
        """Replace every replica by a new one, one after the other. Raises ReplicaError."""
        for keeper in self._keepers:
            if keeper.member is not None:
                keeper.replace()

    def reread_catalogues(self) -> None:
        """Look again at what the databases hold that change by themselves.

        A MotherDuck replica moves on to newer snapshots on its own.
        """
        if self._keeping is not None:
            self._keeping.schema += 1
        for result in runtime.run_all(keeper.reread for keeper in self._keepers):
            if isinstance(result, BaseException):
                raise result

    def close(self) -> None:
        """Close every replica; waits for what still runs. Callers that wait get PoolClosed."""
        for keeper in self._keepers:
            keeper.stop()
        for keeper in self._keepers:
            keeper.close()
        end = self._slots.close()
        if self._executor is not None:
            self._executor.close()
        end()
        if self._opening is not None:
            self._opening.copies.clean_up()

    def stats(self) -> dict[str, int]:
        """Counters under psycopg_pool's names, where it has one."""
        return {
            **self._slots.stats(),
            "replicas": len(self.members),
            "replicas_failed": len(self.failures),
        }

    @property
    def _threads(self) -> runtime.Executor:
        if self._executor is None:
            raise PoolClosed("the engine is not open")
        return self._executor

    def none_opened(self) -> ReplicaError:
        """What to say when not one replica could be opened."""
        return ReplicaError(f"no replica could be opened: {self._told()}")

    def _told(self) -> str:
        return "; ".join(f"{name}: {why}" for name, why in self.failures.items()) or "still opening"

    def __repr__(self) -> str:
        return f"<ReplicaSet {[m.name for m in self.members]} {self._slots!r}>"


def _by_kind(
    replicas: Sequence[AnyReplica],
) -> Iterator[tuple[Kind[Any], list[AnyReplica]]]:
    for kind in dict.fromkeys(map(kind_of, replicas)):
        yield kind, [replica for replica in replicas if kind_of(replica) is kind]


def _nothing() -> None:
    """A copy that is being made is not stopped."""
