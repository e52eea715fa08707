"""Who gets the next cursor: the state of a replica set's cursors, without locks or I/O.

Every method changes the state and returns what is to be done; the caller does it afterwards. A
*slot* is a cursor's place on one replica, a *ticket* is whatever a caller waits with.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from .errors import PoolClosed, PoolFull

R = TypeVar("R")
T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Slot(Generic[R]):
    """A cursor's place on a replica; `cursor` is made by its first borrower."""

    replica: R
    cursor: Any = None
    lent: bool = False


@dataclass(slots=True, eq=False)
class _Member(Generic[R]):
    replica: R
    size: int
    free: list[Slot[R]]
    lent: int = 0
    retired: bool = False


@dataclass(slots=True)
class Returned(Generic[R, T]):
    """What follows a change: tickets that now hold a slot, tickets for which there is nothing left
    to wait for, cursors to close, replicas now idle."""

    grants: list[tuple[T, Slot[R]]] = field(default_factory=list)
    hopeless: list[T] = field(default_factory=list)
    doomed: list[Any] = field(default_factory=list)
    idle: list[R] = field(default_factory=list)


class PoolState(Generic[R, T]):
    """The cursors of all replicas of one set, and who waits for one, first come first served."""

    def __init__(self, *, max_waiting: int = 0, advice: str = "raise max_size") -> None:
        self._members: list[_Member[R]] = []
        self._retiring: list[_Member[R]] = []
        self._waiting: deque[tuple[T, Callable[[R], bool]]] = deque()
        self._max_waiting = max_waiting
        self._advice = advice
        self.closed = False

    @property
    def replicas(self) -> list[R]:
        """The replicas that take new work."""
        return [member.replica for member in self._members]

    @property
    def size(self) -> int:
        return sum(member.size for member in self._members)

    @property
    def lent(self) -> int:
        return sum(member.lent for member in (*self._members, *self._retiring))

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def request(self, ticket: T, accepts: Callable[[R], bool]) -> Slot[R] | None:
        """Lend a slot of the least loaded replica that *accepts*, or queue the ticket: None."""
        slot = self.take(accepts)
        if slot is None:
            if self._max_waiting and len(self._waiting) >= self._max_waiting:
                raise PoolFull(
                    f"{len(self._waiting)} callers already wait; {self._advice} or max_waiting"
                )
            self._waiting.append((ticket, accepts))
        return slot

    def cancel(self, ticket: T) -> bool:
        """Forget a waiting ticket; False when it was not waiting, so it may hold a grant."""
        for entry in self._waiting:
            if entry[0] is ticket:
                self._waiting.remove(entry)
                return True
        return False

    def give_back(self, slot: Slot[R], *, broken: bool = False) -> Returned[R, T]:
        """Take a slot back; a *broken* one loses its cursor. Raises ValueError if not lent."""
        if not slot.lent:
            raise ValueError("the slot is not lent")
        member = self._member(slot.replica)
        slot.lent = False
        member.lent -= 1
        result: Returned[R, T] = Returned()
        if broken or member.retired or self.closed:
            self._doom(slot, result)
        if not member.retired:
            member.free.append(slot)
        elif member.lent == 0:
            self._retiring.remove(member)
            result.idle.append(member.replica)
        return self._grant(result)

    def add(self, replica: R, size: int) -> Returned[R, T]:
        """A replica with *size* slots takes part from now on. Raises PoolClosed."""
        if self.closed:
            raise PoolClosed("the engine is closed")
        slots = [Slot(replica) for _ in range(size)]
        self._members.append(_Member(replica, size, slots))
        return self._grant(Returned())

    def retire(self, replica: R) -> Returned[R, T]:
        """No new work for *replica*; it is idle once its last slot comes back."""
        member = self._member(replica)
        self._members.remove(member)
        member.retired = True
        result: Returned[R, T] = Returned()
        for slot in member.free:
            self._doom(slot, result)
        member.free.clear()
        if member.lent:
            self._retiring.append(member)
        else:
            result.idle.append(replica)
        return result

    def reconsider(self, *, gives_up: bool) -> Returned[R, T]:
        """What replicas may serve has changed. With *gives_up*, nobody waits on whom none may."""
        result = self._grant(Returned())
        if gives_up:
            replicas = self.replicas
            result.hopeless = [t for t, accepts in self._waiting if not any(map(accepts, replicas))]
            for ticket in result.hopeless:
                self.cancel(ticket)
        return result

    def lent_of(self, replica: R) -> int:
        """How many slots of *replica* are lent."""
        return self._member(replica).lent

    def close(self) -> tuple[Returned[R, T], list[T]]:
        """Retire everything; also return the tickets that wait in vain."""
        self.closed = True
        result: Returned[R, T] = Returned()
        for replica in self.replicas:
            retired = self.retire(replica)
            result.doomed += retired.doomed
            result.idle += retired.idle
        disappointed = [ticket for ticket, _ in self._waiting]
        self._waiting.clear()
        return result, disappointed

    def take(self, accepts: Callable[[R], bool]) -> Slot[R] | None:
        """Lend a slot of the least loaded replica that *accepts*, if one is free."""
        if self.closed:
            raise PoolClosed("the engine is closed")
        best: _Member[R] | None = None
        for member in self._members:
            if (
                member.free
                and (best is None or member.lent < best.lent)
                and accepts(member.replica)
            ):
                best = member
        if best is None:
            return None
        # The most recently used cursor: the others may stay cold.
        slot = best.free.pop()
        slot.lent = True
        best.lent += 1
        return slot

    def _grant(self, result: Returned[R, T]) -> Returned[R, T]:
        for entry in () if self.closed else list(self._waiting):
            slot = self.take(entry[1])
            if slot is not None:
                self._waiting.remove(entry)
                result.grants.append((entry[0], slot))
        return result

    def _doom(self, slot: Slot[R], result: Returned[R, T]) -> None:
        if slot.cursor is not None:
            result.doomed.append(slot.cursor)
            slot.cursor = None

    def _member(self, replica: R) -> _Member[R]:
        for member in (*self._members, *self._retiring):
            if member.replica is replica:
                return member
        raise ValueError("the replica is not a member of the set")

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        return f"<{self.lent}/{self.size} lent, {self.waiting} waiting, {state}>"
