# Generated from pgmd/_async/replicas/set.py by pgmd._tools.unasync. Do not edit.
"""The replicas' side: who borrows a cursor of which, what runs on it, and how they move on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import psycopg

from ...answers.shape import Fetching, Loaded, Reading
from ...errors import NotSupportedError, PoolClosed, PoolTimeout, ReplicaError
from ...parity import Inexact
from ...pooling import Slot
from ...process.clock import now
from ...replicas.duck import Cursor, DuckError, Instance, Run
from ...replicas.members import Member, Opener, same_copy
from ...replicas.wire import Wire
from ...routing.freshness import Freshness
from ...runtime import threads as runtime
from ...servers.coping import send_texts
from ...servers.profile import Dialect
from ...settings.config import Replica
from ...settings.redact import Redactor
from ..sides.endpoint import Pooled, has_gone
from .keeper import Keeper, Keeping
from .slots import Slots

_log = logging.getLogger("pgmd.replica")
T = TypeVar("T")


class ReplicaSet:
    """All replicas of one database, each with a keeper."""

    def __init__(
        self,
        settings: Sequence[Replica],
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
            self._ended,
            timeout=timeout,
            max_waiting=max_waiting,
            what="replica cursor",
            advice="raise replica_max_size",
            gives_up=has_endpoint,
        )
        self._executor: runtime.Executor | None = None
        self._opener: Opener | None = None
        self._keeping: Keeping | None = None
        self._keepers: list[Keeper] = []
        self._one_tried = runtime.Gate()
        self._all_tried = runtime.Gate()

    def open(self, *, time_zone: str, dialect: Dialect, published: Freshness) -> None:
        """Begin to open every replica; return when one is open, or none could be.

        *published* is what a snapshot shows that exists now.
        """
        if not self._settings:
            return
        self._opener = Opener(self._redact, time_zone, dialect, published)
        slots = sum(replica.max_size for replica in self._settings)
        # Twice as many threads: statements may go on on what has been replaced meanwhile.
        self._executor = runtime.Executor(2 * slots + 1, "pgmd-replica")
        keeping = self._keeping = Keeping(
            self._opener, self._slots, self._redact, self._stir, turn=runtime.Lock()
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

    def _ended(self, member: Member) -> None:
        assert self._opener is not None
        self._opener.close(member)

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

    def execute(
        self,
        slot: Slot[Member],
        run: Run,
        text: str,
        values: Sequence[Any],
        reading: Fetching[T],
        before: Sequence[str] = (),
    ) -> T:
        """Run one read on a lent cursor, and load its answer.

        What *before* sets is gone with the cursor when that is given back. Both happen in the
        executor. Cancelling interrupts DuckDB and waits until it has stopped.
        """

        def work() -> T:
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
        """Run one of pgmd's own statements on a lent cursor or connection."""
        if is_wired(slot):
            connection = wired(slot, in_transaction=text == "ROLLBACK")
            connection.execute(text.encode())
            return
        self.on_thread(slot, run, lambda: _cursor(slot).command(run, text))

    def begin(self, slot: Slot[Member], before: Sequence[str]) -> None:
        """Begin a read-only transaction on a lent cursor, after the statements *before* it.

        Whatever happens then, the cursor is given back by `end()` only.
        """
        try:
            self._start(slot, before)
        except BaseException:
            # Cancelled, it may have begun all the same.
            self.end(slot)
            raise

    def _start(self, slot: Slot[Member], before: Sequence[str]) -> None:
        for setting in before:
            self.command(slot, Run(), setting)
        self.command(slot, Run(), "BEGIN TRANSACTION READ ONLY")
        if before and slot.cursor is not None:
            slot.cursor.broken = True  # for everybody else

    def begin_anew(self, slot: Slot[Member], before: Sequence[str]) -> None:
        """As `begin()`, on a new cursor in the same slot, which stays lent.

        A statement has failed in the old one's transaction, in which DuckDB runs nothing more; an
        interrupt that came late may still be about to hit the next.
        """
        if slot.cursor is not None:
            slot.cursor.close()
            slot.cursor = None
        self._start(slot, before)

    def end(self, slot: Slot[Member]) -> None:
        """End the transaction on a lent cursor and give it back, whatever happens."""
        ended = False
        try:
            self.command(slot, Run(), "ROLLBACK")
            ended = True
        except (DuckError, psycopg.Error) as error:
            _log.debug("cursor of %s is closed: %s", slot.replica.name, type(error).__name__)
        finally:
            if not ended and slot.cursor is not None:
                slot.cursor.broken = True
            self.give_back(slot)

    # ------------------------------------------------------------------------------ moving on

    def check_publishable(self) -> None:
        """Raise NotSupportedError if some replica cannot be moved on by pgmd."""
        for replica in self._settings:
            if replica.file is not None:
                raise NotSupportedError(
                    f"replica {replica.name!r} reads a file that pgmd does not write; "
                    "write the file anew, then engine.recycle()"
                )

    def publish(self, published: Freshness) -> None:
        """Move every replica on to what the writer has published by now.

        Raises ReplicaError; the replicas then keep what they showed.
        """
        opener = self._opener
        if opener is None:
            return
        opener.publish(published)
        for group in same_copy(list(self._settings)):
            self._blocking(lambda g=group: opener.renew(g[0], published.position))  # type: ignore[misc]
        for keeper in self._keepers:
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
        if self._opener is not None:
            self._opener.clean_up()

    def stats(self) -> dict[str, int]:
        """Counters under psycopg_pool's names, where it has one."""
        return {
            **self._slots.stats(),
            "replicas": len(self.members),
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
        return ReplicaError(f"no replica could be opened: {self._told()}")

    def _told(self) -> str:
        return "; ".join(f"{name}: {why}" for name, why in self.failures.items()) or "still opening"

    def __repr__(self) -> str:
        return f"<ReplicaSet {[m.name for m in self.members]} {self._slots!r}>"


def interrupt(slot: Slot[Member], run: Run) -> None:
    """Stop what *run* does on this slot, now or as soon as it starts."""
    run.cancelled = True
    if slot.cursor is not None:
        slot.cursor.interrupt(run)


def _cursor(slot: Slot[Member]) -> Cursor:
    if slot.cursor is None:
        assert isinstance(slot.replica.instance, Instance)
        slot.cursor = slot.replica.instance.cursor()
    return slot.cursor  # type: ignore[no-any-return]


class _Wired:
    """A connection in a slot, as the slots know cursors."""

    def __init__(self, connection: Pooled) -> None:
        self.connection = connection
        self.broken = False

    def close(self) -> None:
        """Never waits."""
        self.connection.pgconn.finish()


def is_wired(slot: Slot[Member]) -> bool:
    """Whether what is lent is a connection."""
    return isinstance(slot.replica.instance, Wire)


def wired(slot: Slot[Member], *, in_transaction: bool = False) -> Pooled:
    """The connection of a slot, made if there is none or the server has ended it.

    Raises psycopg's errors; *in_transaction* also when it has ended, for the transaction has, too.
    """
    wire = slot.replica.instance
    assert isinstance(wire, Wire)
    if not in_transaction and slot.cursor is not None and has_gone(slot.cursor.connection):
        slot.cursor.close()
        slot.cursor = None
    if slot.cursor is None:
        connection = Pooled.connect(**wire.options, prepare_threshold=None)
        send_texts(connection)
        slot.cursor = _Wired(connection)
    return slot.cursor.connection  # type: ignore[no-any-return]
