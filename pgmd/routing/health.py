"""When a replica may serve, and what its upkeep asks for next: plain values, no clock.

Times are seconds on the monotonic clock, given by the caller; *chance* is a random number from 0
to 1, so that replicas which failed together are not tried again together.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, replace

# Failures in a row that take a replica out of service.
_FAILURES = 3
# The first pause before it is tried again; it doubles up to the longest.
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 3.0
# How often a replica in use is asked whether it still answers, and how soon after a failure.
PROBE_EVERY = 3.0
_PROBE_AGAIN = 0.5


@dataclass(frozen=True, slots=True)
class Breaker:
    """Counts a replica's failures. Closed, it serves; open, it does not until a trial succeeds.

    `until` is when the next trial is due: before, the breaker is open, from then on half-open.
    """

    failures: int = 0
    trips: int = 0
    until: float = 0.0

    @property
    def is_closed(self) -> bool:
        return self.trips == 0

    def is_due(self, now: float) -> bool:
        """Whether it is half-open: one trial may find out whether the replica is back."""
        return not self.is_closed and now >= self.until

    def failed(self, now: float, chance: float) -> Breaker:
        """A statement failed in a way that says something of the replica."""
        if not self.is_closed:
            # It was under way when the breaker opened: no news.
            return self
        counted = replace(self, failures=self.failures + 1)
        return counted.tripped(now, chance) if counted.failures >= _FAILURES else counted

    def suspected(self) -> Breaker:
        """A statement failed in a way that may say something of the replica: a probe will tell."""
        return replace(self, failures=max(self.failures, 1))

    def answered(self) -> Breaker:
        """A statement succeeded; one that was under way does not close an open breaker."""
        return CLOSED if self.is_closed else self

    def tripped(self, now: float, chance: float) -> Breaker:
        """A trial failed: out of service, until a later one."""
        # Doubled further it would overflow.
        pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(self.trips, 10))
        return Breaker(self.failures, self.trips + 1, now + pause * (1 - chance / 2))


CLOSED = Breaker()


class Step(enum.Enum):
    """What upkeep does to one replica."""

    OPEN = "open it"
    REPLACE = "open a new one in its place, then close it"
    PROBE = "ask whether it answers"
    SLEEP = "close it until it is wanted"


@dataclass(frozen=True, slots=True)
class Condition:
    """One replica as its keeper sees it.

    `expires` is when it is old, `used` when a cursor of it was last lent, `probed` when it last
    answered a probe. `rests_after` is how long it may be unused before it is closed, None for ever.
    """

    is_open: bool
    is_wanted: bool
    breaker: Breaker
    expires: float = math.inf
    used: float = 0.0
    probed: float = 0.0
    lent: int = 0
    rests_after: float | None = None


def next_step(condition: Condition) -> tuple[Step, float]:
    """What is to be done next, and when."""
    breaker = condition.breaker
    if not condition.is_open:
        return Step.OPEN, breaker.until if condition.is_wanted else math.inf
    if not breaker.is_closed:
        return Step.REPLACE, breaker.until
    steps = [(Step.REPLACE, condition.expires), (Step.PROBE, _probe_at(condition))]
    if condition.rests_after is not None and condition.lent == 0:
        steps.append((Step.SLEEP, condition.used + condition.rests_after))
    return min(steps, key=lambda step: step[1])


def _probe_at(condition: Condition) -> float:
    if condition.breaker.failures:
        return condition.probed + _PROBE_AGAIN
    # One that nobody uses may sleep, which is cheaper where time is billed.
    return condition.probed + PROBE_EVERY if condition.used > condition.probed else math.inf


def lifetime(longest: float, chance: float) -> float:
    """How long a replica lives: up to 5 % less than *longest*, so that not all end together."""
    return longest * (1 - 0.05 * chance)
