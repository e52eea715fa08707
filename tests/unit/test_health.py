"""The breaker and the upkeep of a replica, as plain values."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pgmd.routing.health import CLOSED, Breaker, Condition, Step, lifetime, next_step

CHANCES = st.floats(0, 1)


def test_three_failures_in_a_row_open_a_breaker() -> None:
    breaker = CLOSED.failed(10.0, 0.0).failed(10.0, 0.0)
    assert breaker.is_closed
    assert breaker.answered() == CLOSED
    assert not breaker.failed(10.0, 0.0).is_closed


def test_a_suspicion_asks_for_a_probe_and_never_opens() -> None:
    breaker = CLOSED
    for _ in range(10):
        breaker = breaker.suspected()
    assert breaker.is_closed
    condition = Condition(is_open=True, is_wanted=True, breaker=breaker, used=5.0, probed=6.0)
    step, due = next_step(condition)
    assert step is Step.PROBE
    assert due < 7.0


@given(st.integers(0, 5000), CHANCES, st.floats(0, 1e9))
def test_the_pause_grows_and_stays_below_what_recovery_may_take(
    trips: int, chance: float, now: float
) -> None:
    breaker = Breaker(trips=trips).tripped(now, chance)
    pause = breaker.until - now
    assert pause + 1e-6 >= 0.1
    assert pause <= 3.0 + 1e-6
    assert Breaker(trips=trips + 1).tripped(now, chance).until >= breaker.until - 1e-6


def test_replicas_that_failed_together_are_not_tried_together() -> None:
    pauses = {Breaker(trips=9).tripped(0.0, chance / 10).until for chance in range(11)}
    assert len(pauses) == 11
    assert (min(pauses), max(pauses)) == (1.5, 3.0)


class _Replica(RuleBasedStateMachine):
    """Random histories of one replica: what its breaker says must follow from them."""

    @initialize()
    def begin(self) -> None:
        self.breaker = CLOSED
        self.now = 100.0
        self.in_a_row = 0

    @rule(seconds=st.floats(0.01, 5))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def answer(self) -> None:
        was_closed = self.breaker.is_closed
        self.breaker = self.breaker.answered()
        # A statement that was under way never closes an open breaker.
        assert self.breaker.is_closed == was_closed
        self.in_a_row = 0

    @rule(chance=CHANCES)
    def fail(self, chance: float) -> None:
        before = self.breaker
        self.breaker = before.failed(self.now, chance)
        if before.is_closed:
            self.in_a_row += 1
            assert self.breaker.is_closed == (self.in_a_row < 3)
        else:
            assert self.breaker == before

    @precondition(lambda self: self.breaker.is_due(self.now))
    @rule(is_back=st.booleans(), chance=CHANCES)
    def try_again(self, is_back: bool, chance: float) -> None:
        self.breaker = CLOSED if is_back else self.breaker.tripped(self.now, chance)
        self.in_a_row = 0

    @invariant()
    def it_is_tried_again_within_three_seconds(self) -> None:
        assert self.breaker.is_closed or self.breaker.until <= self.now + 3.0
        step, due = next_step(
            Condition(is_open=True, is_wanted=True, breaker=self.breaker, used=self.now)
        )
        assert (step is Step.REPLACE) == (not self.breaker.is_closed)
        assert due < math.inf


_Replica.TestCase.settings = settings(max_examples=200, derandomize=True, deadline=None)
TestReplica = _Replica.TestCase


@pytest.mark.parametrize(
    ("changes", "step", "due"),
    [
        ({"is_open": False}, Step.OPEN, 0.0),
        ({"is_open": False, "is_wanted": False}, Step.OPEN, math.inf),
        ({"is_open": False, "breaker": Breaker(3, 1, 42.0)}, Step.OPEN, 42.0),
        ({"breaker": Breaker(3, 1, 42.0)}, Step.REPLACE, 42.0),
        ({"expires": 50.0}, Step.REPLACE, 50.0),
        # Unused since its last probe: left alone.
        ({"used": 9.0, "probed": 9.0}, Step.REPLACE, math.inf),
        ({"used": 9.5, "probed": 9.0}, Step.PROBE, 12.0),
        ({"used": 9.0, "probed": 9.0, "rests_after": 60.0}, Step.SLEEP, 69.0),
        ({"used": 9.0, "probed": 9.0, "rests_after": 60.0, "lent": 1}, Step.REPLACE, math.inf),
        ({"used": 9.5, "probed": 9.0, "rests_after": 1.0}, Step.SLEEP, 10.5),
    ],
)
def test_what_upkeep_does_next(changes: dict[str, object], step: Step, due: float) -> None:
    plain = {"is_open": True, "is_wanted": True, "breaker": CLOSED, "expires": math.inf}
    assert next_step(Condition(**{**plain, **changes})) == (step, due)  # type: ignore[arg-type]


@given(st.floats(1, 1e6), CHANCES)
def test_replicas_do_not_all_end_together_and_none_lives_too_long(
    longest: float, chance: float
) -> None:
    assert 0.949 * longest <= lifetime(longest, chance) <= longest
