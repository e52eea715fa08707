"""What one session has seen, set and opened."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from weakref import WeakSet

from ..routing.ledger import Ledger
from ..runtime import aio as runtime
from ..sql import Statement
from .sides.endpoint import AsyncEndpointLent
from .sides.instance import AsyncInstanceLent
from .sides.wire import AsyncWireLent

AsyncReplicaLent = AsyncInstanceLent | AsyncWireLent


@dataclass(slots=True, eq=False)
class Block:
    """An open transaction or snapshot, and what it holds until it ends."""

    lent: AsyncEndpointLent | AsyncReplicaLent
    is_snapshot: bool = False
    # The position of the first write in it.
    write: int | None = None
    changed_schema: bool = False
    # A statement in it set something that is still there after it.
    keeps_connection: bool = False
    # Begun by BEGIN TRANSACTION READ ONLY, and ended by COMMIT or ROLLBACK.
    by_statement: bool = False
    ended_well: bool = False
    # The fan-outs begun in it. One that is dropped ends there and then in threads only.
    fan_outs: Any = field(default_factory=set if runtime.ASYNC else WeakSet)


class SessionState:
    """Written by these verbs only, in the thread or task that the session is in.

    `seen` is the position of what the session has seen. What a statement has set is in `ledger`
    and on the connection `kept`, which stays with the session to the end.
    """

    __slots__ = ("block", "kept", "ledger", "seen")

    def __init__(self, seen: int, ledger: Ledger | None = None) -> None:
        self.seen = seen
        self.ledger = ledger or Ledger()
        self.block: Block | None = None
        self.kept: AsyncEndpointLent | None = None

    def saw(self, position: int) -> None:
        """The session has seen everything up to *position*."""
        if position > self.seen:
            self.seen = position

    def open(self, block: Block | None) -> None:
        """Statements run in *block* from now on."""
        self.block = block

    def close(self) -> Block | None:
        """No block is open any more; the one that was is the caller's to end."""
        block, self.block = self.block, None
        return block

    def keep(self, lent: AsyncEndpointLent) -> None:
        """This connection is the session's own, for what is set on it."""
        self.kept = lent

    def release(self) -> AsyncEndpointLent | None:
        """The session has no connection of its own any more; it is the caller's to give back."""
        kept, self.kept = self.kept, None
        return kept

    def has_set(self, statement: Statement, *, replays: bool) -> None:
        """*statement* has set something, see `Ledger.after()`."""
        self.ledger = self.ledger.after(statement, replays=replays)

    @property
    def before(self) -> tuple[str, ...]:
        """What is to run first on a replica's cursor; a block's has it done already."""
        return () if self.block is not None else self.ledger.replay
