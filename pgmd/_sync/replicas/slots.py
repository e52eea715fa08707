# Generated from pgmd/_async/replicas/slots.py by pgmd._tools.unasync. Do not edit.
"""Borrowing: the state of a pool, with waiting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from ...errors import PoolClosed, PoolTimeout
from ...pooling import PoolState, Returned, Slot
from ...runtime import threads as runtime

R = TypeVar("R")


class NoneLeft(Exception):
    """Of all members none may serve any more."""


class Slots(Generic[R]):
    """Lends the slots of things of one kind; *ended* is told of each that is retired and idle.

    A caller waits up to *timeout* seconds for *what*; *advice* is what could have helped then.
    With *gives_up*, who cannot be served by any does not wait but gets NoneLeft.
    """

    def __init__(
        self,
        ended: Callable[[R], None],
        *,
        timeout: float,
        max_waiting: int,
        what: str,
        advice: str,
        gives_up: bool = False,
    ) -> None:
        self._state: PoolState[R, runtime.Waiter[Slot[R]]] = PoolState(
            max_waiting=max_waiting, advice=advice
        )
        self._guard = runtime.Guard()
        self._ended = ended
        self._timeout = timeout
        self._what = what
        self._gives_up = gives_up
        self._advice = advice

    @property
    def members(self) -> list[R]:
        """Those that take new work."""
        return self._state.replicas

    def lend(self, accepts: Callable[[R], bool], preferred: R | None = None) -> Slot[R]:
        """Borrow a slot of one that is accepted, and of *preferred* first if it has a free one.

        Raises PoolTimeout, PoolFull, PoolClosed or NoneLeft.
        """
        slot = self.take(accepts, preferred)
        if slot is not None:
            return slot
        waiter: runtime.Waiter[Slot[R]] = runtime.Waiter()
        with self._guard:
            # The last that would have served may have been withdrawn since the caller looked.
            if self._gives_up and not any(map(accepts, self._state.replicas)):
                raise NoneLeft
            slot = self._state.request(waiter, accepts)
        if slot is not None:
            return slot
        try:
            return waiter.wait(self._timeout)
        except BaseException as error:
            self._abandon(waiter)
            if isinstance(error, TimeoutError):
                raise PoolTimeout(
                    f"no {self._what} within {self._timeout:.1f} s {self._state!r}; "
                    f"{self._advice} or timeout"
                ) from None
            raise

    def take(self, accepts: Callable[[R], bool], preferred: R | None = None) -> Slot[R] | None:
        """Borrow a slot if one is free."""
        with self._guard:
            slot = self._state.take(lambda m: m is preferred) if preferred is not None else None
            return slot or self._state.take(accepts)

    def give_back(self, slot: Slot[R]) -> None:
        """Take a slot back. Never waits, so a cancelled borrower cannot lose it."""
        broken = slot.cursor is not None and slot.cursor.broken
        self._settle(lambda: self._state.give_back(slot, broken=broken))

    def add(self, member: R, size: int) -> None:
        """*member* takes part from now on, with *size* slots."""
        self._settle(lambda: self._state.add(member, size))

    def retire(self, member: R) -> None:
        """No new work for *member*; it has ended when its last slot has come back."""
        self._settle(lambda: self._state.retire(member))

    def reconsider(self) -> None:
        """What members may serve has changed: somebody who waits may be served now."""
        self._settle(lambda: self._state.reconsider(gives_up=self._gives_up))

    def lent_of(self, member: R) -> int:
        """How many slots of *member* are lent, 0 once it is retired."""
        with self._guard:
            return self._state.lent_of(member) if member in self._state.replicas else 0

    def _abandon(self, waiter: runtime.Waiter[Slot[R]]) -> None:
        with self._guard:
            waited = self._state.cancel(waiter)
        # The grant may have come together with the time-out or cancellation: pass it on.
        slot = None if waited else waiter.granted
        if slot is not None:
            self.give_back(slot)

    def _settle(self, change: Callable[[], Returned[R, runtime.Waiter[Slot[R]]]]) -> None:
        with self._guard:
            result = change()
            # Within the guard: a waiter that gives up must see its grant or still be queued.
            for waiter, slot in result.grants:
                waiter.set(slot)
        for waiter in result.hopeless:
            waiter.fail(NoneLeft())
        self._end(result)

    def _end(self, result: Returned[R, runtime.Waiter[Slot[R]]]) -> None:
        for cursor in result.doomed:
            cursor.close()
        for member in result.idle:
            self._ended(member)

    def close(self) -> Callable[[], None]:
        """Lend nothing more; callers that wait get PoolClosed. Call what it returns to end those
        that are idle."""
        with self._guard:
            result, disappointed = self._state.close()
        for waiter in disappointed:
            waiter.fail(PoolClosed("the engine is closed"))
        return lambda: self._end(result)

    def stats(self) -> dict[str, int]:
        """Counters under psycopg_pool's names."""
        with self._guard:
            state = self._state
            return {
                "pool_size": state.size,
                "pool_available": state.size - state.lent,
                "requests_waiting": state.waiting,
            }

    def __repr__(self) -> str:
        return repr(self._state)
