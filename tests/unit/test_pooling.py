from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pgmd.errors import PoolClosed, PoolFull
from pgmd.pooling import PoolState, Slot


def anyone(_: str) -> bool:
    return True


def pool(**sizes: int) -> PoolState[str, str]:
    state: PoolState[str, str] = PoolState()
    for replica, size in sizes.items():
        state.add(replica, size)
    return state


def test_the_least_loaded_replica_lends() -> None:
    state = pool(a=2, b=2)
    lent = [state.request(f"t{n}", anyone) for n in range(4)]
    assert sorted(slot.replica for slot in lent if slot) == ["a", "a", "b", "b"]
    assert {slot.replica for slot in lent[:2] if slot} == {"a", "b"}


def test_first_come_first_served() -> None:
    state = pool(a=1)
    slot = state.request("first", anyone)
    assert slot is not None
    assert state.request("second", anyone) is None
    assert state.request("third", anyone) is None
    returned = state.give_back(slot)
    assert [ticket for ticket, _ in returned.grants] == ["second"]


def test_a_waiter_for_another_replica_does_not_block_the_queue() -> None:
    state = pool(a=1, b=1)
    a = state.request("1", lambda r: r == "a")
    b = state.request("2", lambda r: r == "b")
    assert a is not None
    assert b is not None
    state.request("wants-b", lambda r: r == "b")
    state.request("wants-a", lambda r: r == "a")
    assert [t for t, _ in state.give_back(a).grants] == ["wants-a"]
    assert [t for t, _ in state.give_back(b).grants] == ["wants-b"]


def test_a_broken_cursor_is_closed_and_its_place_kept() -> None:
    state = pool(a=1)
    slot = state.request("t", anyone)
    assert slot is not None
    slot.cursor = "cursor"
    assert state.give_back(slot, broken=True).doomed == ["cursor"]
    again = state.request("t", anyone)
    assert again is slot
    assert again.cursor is None


def test_a_retired_replica_is_idle_when_its_last_slot_is_back() -> None:
    state = pool(a=2, b=1)
    slot = state.request("t", lambda r: r == "a")
    assert slot is not None
    slot.cursor = "cursor"
    assert state.retire("a").idle == []
    assert state.request("u", lambda r: r == "a") is None
    returned = state.give_back(slot)
    assert (returned.idle, returned.doomed) == (["a"], ["cursor"])


def test_nothing_is_lent_twice_or_returned_twice() -> None:
    state = pool(a=1)
    slot = state.request("t", anyone)
    assert slot is not None
    state.give_back(slot)
    with pytest.raises(ValueError, match="not lent"):
        state.give_back(slot)


def test_max_waiting() -> None:
    state: PoolState[str, str] = PoolState(max_waiting=1)
    state.add("a", 1)
    state.request("t", anyone)
    state.request("waits", anyone)
    with pytest.raises(PoolFull, match="1 callers already wait"):
        state.request("too many", anyone)


def test_close_disappoints_who_waits_and_lends_no_more() -> None:
    state = pool(a=1)
    slot = state.request("t", anyone)
    state.request("waits", anyone)
    assert state.close()[1] == ["waits"]
    with pytest.raises(PoolClosed):
        state.request("late", anyone)
    assert slot is not None
    assert state.give_back(slot).idle == ["a"]
    assert repr(state) == "<0/0 lent, 0 waiting, closed>"


def test_repr_shows_the_state() -> None:
    state = pool(a=2)
    state.request("t", anyone)
    assert repr(state) == "<1/2 lent, 0 waiting, open>"


class Machine(RuleBasedStateMachine):
    """Any order of requests, returns, cancels, additions and retirements."""

    @initialize()
    def start(self) -> None:
        self.state: PoolState[int, int] = PoolState()
        self.sizes: dict[int, int] = {}
        self.lent: list[Slot[int]] = []
        self.waiting: list[int] = []
        self.idle: list[int] = []
        self.retired: set[int] = set()
        self.number = 0

    def _next(self) -> int:
        self.number += 1
        return self.number

    def _settle(self, returned: object) -> None:
        for ticket, slot in returned.grants:  # type: ignore[attr-defined]
            assert ticket == min(self.waiting), "not first come first served"
            self.waiting.remove(ticket)
            self.lent.append(slot)
        self.idle += returned.idle  # type: ignore[attr-defined]

    @rule(size=st.integers(1, 3))
    def add(self, size: int) -> None:
        replica = self._next()
        self.sizes[replica] = size
        self._settle(self.state.add(replica, size))

    @rule()
    def request(self) -> None:
        ticket = self._next()
        slot = self.state.request(ticket, lambda _: True)
        if slot is None:
            self.waiting.append(ticket)
        else:
            assert not self.waiting or slot is not None
            self.lent.append(slot)

    @precondition(lambda self: self.lent)
    @rule(data=st.data(), broken=st.booleans())
    def give_back(self, data: st.DataObject, broken: bool) -> None:
        slot = self.lent.pop(data.draw(st.integers(0, len(self.lent) - 1)))
        self._settle(self.state.give_back(slot, broken=broken))

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        ticket = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))
        assert self.state.cancel(ticket)
        assert not self.state.cancel(ticket)

    @precondition(lambda self: self.state.replicas)
    @rule(data=st.data())
    def retire(self, data: st.DataObject) -> None:
        replica = data.draw(st.sampled_from(self.state.replicas))
        self.retired.add(replica)
        self._settle(self.state.retire(replica))

    @invariant()
    def nothing_is_lost_or_lent_twice(self) -> None:
        if not hasattr(self, "state"):
            return
        assert len({id(slot) for slot in self.lent}) == len(self.lent) == self.state.lent
        assert self.state.waiting == len(self.waiting)
        for replica, size in self.sizes.items():
            out = sum(slot.replica == replica for slot in self.lent)
            assert out <= size
            assert (replica in self.idle) == (replica in self.retired and out == 0)

    @invariant()
    def nobody_waits_beside_a_free_slot(self) -> None:
        if hasattr(self, "state") and self.waiting:
            live_out = sum(slot.replica not in self.retired for slot in self.lent)
            assert live_out == self.state.size


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=150, deadline=None, derandomize=True)


def test_those_whom_no_replica_may_serve_any_more_need_not_wait() -> None:
    state: PoolState[str, str] = PoolState()
    state.add("a", 1)
    state.add("b", 1)
    held = [state.take(lambda _: True) for _ in range(2)]
    well = {"a", "b"}
    assert state.request("for a", lambda r: r == "a" and r in well) is None
    assert state.request("for any", lambda r: r in well) is None
    well.discard("a")
    assert state.reconsider(gives_up=False).hopeless == []
    assert state.reconsider(gives_up=True).hopeless == ["for a"]
    assert state.waiting == 1
    assert [state.lent_of(name) for name in state.replicas] == [1, 1]
    slot = next(slot for slot in held if slot is not None and slot.replica == "b")
    assert [ticket for ticket, _ in state.give_back(slot).grants] == ["for any"]


def test_somebody_who_waits_is_served_by_a_replica_that_is_back() -> None:
    state: PoolState[str, str] = PoolState()
    state.add("a", 1)
    well: set[str] = set()
    assert state.request("x", lambda r: r in well) is None
    well.add("a")
    assert [ticket for ticket, _ in state.reconsider(gives_up=True).grants] == ["x"]


def test_a_closed_pool_takes_no_new_replica() -> None:
    state: PoolState[str, str] = PoolState()
    state.close()
    with pytest.raises(PoolClosed):
        state.add("a", 1)
