"""In what the workers of a fan-out run that was begun in a snapshot()."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import PoolClosed, UsageError
from ...pooling import Slot
from ...replicas.members import Member
from ..blocks import Block
from .forkable import AsyncForkable
from .lanes import Crew, Lane

if TYPE_CHECKING:
    from ..session import AsyncSession


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
        if slot is None or not _never_changes(slot.replica):
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

    async def at(self, session: AsyncForkable) -> AsyncForkable:  # noqa: ARG002 - it is always one
        fork = self._fork
        if fork is None:
            await self._begin()
            fork = self._fork = self._forked()
        await self._mend()
        return fork

    def _forked(self) -> AsyncSession[Any]:
        fork = self._session.fork()
        fork._runner.block = self._block
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
        if spoiled and slot is not None and _never_changes(slot.replica):
            replicas = self._session._engine.replicas
            await replicas.begin_anew(slot, self._session._runner.ledger.replay)

    async def leave(self) -> None:
        fork, self._fork = self._fork, None
        slot, self._borrowed = self._borrowed, None
        if fork is not None:
            await fork.close()
        if slot is None:
            await self._mend()
        elif fork is None:
            self._session._engine.replicas.give_back(slot)
        else:
            await self._session._engine.replicas.end(slot)


def _never_changes(member: Member) -> bool:
    """Whether all cursors of a replica see the same for as long as it is open."""
    settings = member.settings
    return settings.file is not None or settings.local is not None or settings.mode == "snapshot"


def _free_cursor(session: AsyncSession[Any], member: Member) -> Slot[Member] | None:
    try:
        return session._engine.replicas.take(lambda other: other is member)
    except PoolClosed:
        return None
