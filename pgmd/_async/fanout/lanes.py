"""In what the workers of a fan-out run their statements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import PoolClosed, UsageError
from ...pooling import Slot
from ...replicas.members import Member
from ..blocks import Block

if TYPE_CHECKING:
    from ..session import AsyncSession


class Lane:
    """One worker's session, kept for as long as statements leave it as they found it."""

    def __init__(self) -> None:
        self._home: AsyncSession[Any] | None = None
        self._fork: AsyncSession[Any] | None = None
        # The last statement failed or was stopped.
        self.spoiled = False

    async def at(self, session: AsyncSession[Any]) -> AsyncSession[Any]:
        """A session that is set as *session* is, and has seen what that has seen."""
        fork = self._fork
        if fork is None or self._home is not session or _has_changed(fork, session):
            await self.leave()
            fork = self._fork = session.fork()
            self._home = session
        fork.join(session)
        return fork

    async def leave(self) -> None:
        """End the worker's session."""
        fork, self._fork = self._fork, None
        if fork is not None:
            await fork.close()

    def cancel(self) -> None:
        """Stop what runs; for threads only, as a task can be cancelled as it is."""
        if self._fork is not None:
            getattr(self._fork, "cancel", _nothing)()


def _has_changed(fork: AsyncSession[Any], session: AsyncSession[Any]) -> bool:
    ours, theirs = fork._runner, session._runner
    return ours.block is not None or ours.ledger is not theirs.ledger


def _nothing() -> None:
    pass


class Crew:
    """Says in what the workers of a fan-out run."""

    def open(self) -> None:
        """The fan-out begins. Raises `UsageError` if it may not."""

    def lane(self) -> Lane | None:
        """What one more worker runs in; None if there cannot be one more."""
        return Lane()

    def close(self) -> None:
        """All workers have ended."""


class SnapshotCrew(Crew):
    """Workers in an open snapshot: on what the snapshot holds, and where the data of its replica
    never change, on free cursors of that too. Meanwhile the session is in use."""

    def __init__(self, session: AsyncSession[Any], block: Block) -> None:
        self._session = session
        self._block = block
        self._lanes = 0

    def open(self) -> None:
        if self._session._runner.block is not self._block:
            raise UsageError("the snapshot() of this fan-out is over")
        self._session._claim()

    def lane(self) -> Lane | None:
        slot = self._block.slot
        self._lanes += 1
        if self._lanes == 1:
            return _SnapshotLane(self._session, Block(self._block.connection, slot, True), None)  # noqa: FBT003
        if slot is None or not slot.replica.kind.never_changes:
            return None
        borrowed = _free_cursor(self._session, slot.replica)
        if borrowed is None:
            return None
        return _SnapshotLane(self._session, Block(slot=borrowed, is_snapshot=True), borrowed)

    def close(self) -> None:
        self._session._busy.release()


class _SnapshotLane(Lane):
    """A worker on the snapshot's own cursor or connection, or on a *borrowed* cursor."""

    def __init__(
        self, session: AsyncSession[Any], block: Block, borrowed: Slot[Member] | None
    ) -> None:
        super().__init__()
        self._session = session
        self._block = block
        self._borrowed = borrowed

    async def at(self, session: AsyncSession[Any]) -> AsyncSession[Any]:
        fork = self._fork
        if fork is None:
            await self._begin()
            fork = self._fork = session.fork()
            fork._runner.block = self._block
        await self._mend()
        return fork

    async def _begin(self) -> None:
        slot, self._borrowed = self._borrowed, None
        if slot is not None:
            # It gives the cursor back itself when it fails.
            await self._session._engine.replicas.begin(slot, self._session._runner.ledger.replay)
            self._borrowed = slot

    async def _mend(self) -> None:
        """After a failure go on in a new transaction, where that sees the same."""
        slot, spoiled = self._block.slot, self.spoiled
        self.spoiled = False
        if spoiled and slot is not None and slot.replica.kind.never_changes:
            replicas = self._session._engine.replicas
            await replicas.begin_anew(slot, self._session._runner.ledger.replay)

    async def leave(self) -> None:
        fork, self._fork = self._fork, None
        slot, self._borrowed = self._borrowed, None
        if fork is not None:
            # The block is not the fork's to end.
            fork._runner.block = None
            await fork.close()
        if slot is None:
            await self._mend()
        elif fork is None:
            self._session._engine.replicas.give_back(slot)
        else:
            await self._session._engine.replicas.end(slot)


def _free_cursor(session: AsyncSession[Any], member: Member) -> Slot[Member] | None:
    try:
        return session._engine.replicas.take(lambda other: other is member)
    except PoolClosed:
        return None
