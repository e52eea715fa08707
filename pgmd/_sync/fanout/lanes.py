# Generated from pgmd/_async/fanout/lanes.py by pgmd._tools.unasync. Do not edit.
"""In what the workers of a fan-out run their statements."""

from __future__ import annotations

from typing import TypeGuard

from ...errors import PoolClosed, UsageError
from ...replicas.members import Member
from ..asking import Asking
from ..sides.endpoint import EndpointLent
from ..sides.instance import InstanceLent
from ..sides.interface import Lent
from ..state import Block, ReplicaLent


class Lane:
    """One worker's session, kept for as long as statements leave it as they found it."""

    def __init__(self) -> None:
        self._home: Asking | None = None
        self._fork: Asking | None = None
        # The last statement failed or was stopped.
        self.spoiled = False

    def at(self, session: Asking) -> Asking:
        """A session that is set as *session* is, and has seen what that has seen."""
        fork = self._fork
        if fork is None or self._home is not session or _has_changed(fork, session):
            self.leave()
            fork = self._fork = session.fork()
            self._home = session
        fork.join(session)
        return fork

    def leave(self) -> None:
        """End the worker's session."""
        fork, self._fork = self._fork, None
        if fork is not None:
            fork.close()

    def cancel(self) -> None:
        """Stop what runs; for threads only, as a task can be cancelled as it is."""
        if self._fork is not None:
            self._fork.cancel()


def _has_changed(fork: Asking, session: Asking) -> bool:
    ours, theirs = fork.state, session.state
    return ours.block is not None or ours.ledger is not theirs.ledger


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

    def __init__(self, session: Asking, block: Block) -> None:
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

    def __init__(self, session: Asking, lent: EndpointLent | ReplicaLent, *, is_own: bool) -> None:
        super().__init__()
        self._session = session
        self._lent = lent
        self._is_own = is_own
        self._has_begun = is_own

    def at(self, session: Asking) -> Asking:
        fork = self._fork
        if fork is None:
            self._begin()
            fork = self._fork = session.fork()
            fork.state.open(Block(self._lent, is_snapshot=True))
        self._mend()
        return fork

    def _begin(self) -> None:
        if not self._has_begun:
            # Cancelled, it may have begun all the same.
            self._has_begun = True
            self._lent.begin(self._session.state.ledger.replay)

    def _mend(self) -> None:
        """After a failure go on in a new transaction, where that sees the same."""
        spoiled, self.spoiled = self.spoiled, False
        if spoiled and _never_changes(self._lent):
            self._lent.begin_anew(self._session.state.ledger.replay)

    def leave(self) -> None:
        fork, self._fork = self._fork, None
        if fork is not None:
            # The block is not the fork's to end.
            fork.state.close()
            fork.close()
        if self._is_own:
            self._mend()
        elif self._has_begun:
            self._lent.end()
        else:
            self._lent.give_back()


def _never_changes(lent: Lent) -> TypeGuard[InstanceLent]:
    """Whether all cursors of what it is on see the same for as long as that is open."""
    if not isinstance(lent, InstanceLent):
        return False
    settings = lent.slot.replica.settings
    return settings.file is not None or settings.local is not None or settings.mode == "snapshot"


def _free_cursor(session: Asking, member: Member) -> ReplicaLent | None:
    core = session.core
    try:
        slot = core.replicas.take(lambda other: other is member)
    except PoolClosed:
        return None
    return None if slot is None else core.lent_of(slot)
