"""In what the workers of a fan-out run that was begun in a snapshot()."""

from __future__ import annotations

from typing import TypeGuard

from ...errors import PoolClosed, UsageError
from ...replicas.members import Member
from ..asking import AsyncAsking
from ..sides.endpoint import AsyncEndpointLent
from ..sides.instance import AsyncInstanceLent
from ..sides.interface import AsyncLent
from ..state import AsyncReplicaLent, Block
from .forkable import AsyncForkable
from .lanes import Crew, Lane


class SnapshotCrew(Crew):
    """Workers in an open snapshot: on what the snapshot holds, and where the data of its replica
    never change, on free cursors of that too. Meanwhile the session is in use."""

    def __init__(self, session: AsyncAsking, block: Block) -> None:
        self._session = session
        self._block = block
        self._lanes = 0

    def open(self) -> None:
        if self._session.state.block is not self._block:
            raise UsageError("the snapshot() of this fan-out is over")
        self._session.claim()

    def lane(self) -> Lane | None:
        lent = self._block.lent
        self._lanes += 1
        if self._lanes == 1:
            return _SnapshotLane(self._session, lent, is_own=True)
        if not _never_changes(lent):
            return None
        borrowed = _free_cursor(self._session, lent.slot.replica)
        if borrowed is None:
            return None
        return _SnapshotLane(self._session, borrowed, is_own=False)

    def close(self) -> None:
        self._session.release()


class _SnapshotLane(Lane):
    """A worker on the snapshot's own cursor or connection, or on a borrowed cursor."""

    def __init__(
        self, session: AsyncAsking, lent: AsyncEndpointLent | AsyncReplicaLent, *, is_own: bool
    ) -> None:
        super().__init__()
        self._session = session
        self._lent = lent
        self._is_own = is_own
        self._has_begun = is_own

    async def at(self, session: AsyncForkable) -> AsyncForkable:  # noqa: ARG002 - it is always one
        fork = self._fork
        if fork is None:
            await self._begin()
            fork = self._fork = self._forked()
        await self._mend()
        return fork

    def _forked(self) -> AsyncAsking:
        fork = self._session.fork()
        fork.state.open(Block(self._lent, is_snapshot=True))
        return fork

    async def _begin(self) -> None:
        if not self._has_begun:
            # Cancelled, it may have begun all the same.
            self._has_begun = True
            await self._lent.begin(self._session.state.ledger.replay)

    async def _mend(self) -> None:
        """After a failure go on in a new transaction, where that sees the same."""
        spoiled, self.spoiled = self.spoiled, False
        if spoiled and _never_changes(self._lent):
            await self._lent.begin_anew(self._session.state.ledger.replay)

    async def leave(self) -> None:
        fork, self._fork = self._fork, None
        if fork is not None:
            # Of the block, which is not the fork's to end, it knows that no statement began it.
            await fork.close()
        if self._is_own:
            await self._mend()
        elif self._has_begun:
            await self._lent.end()
        else:
            await self._lent.give_back()


def _never_changes(lent: AsyncLent) -> TypeGuard[AsyncInstanceLent]:
    """Whether all cursors of what it is on see the same for as long as that is open."""
    return isinstance(lent, AsyncInstanceLent) and lent.slot.replica.kind.never_changes


def _free_cursor(session: AsyncAsking, member: Member) -> AsyncReplicaLent | None:
    core = session.core
    try:
        slot = core.replicas.take(lambda other: other is member)
    except PoolClosed:
        return None
    return None if slot is None else core.lent_of(slot)
