"""Time: the one module that reads the clock."""

from __future__ import annotations

import time
from dataclasses import dataclass

now = time.monotonic
sleep = time.sleep


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point on the monotonic clock, passed down so that nested waits share one time-out."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        return cls(now() + seconds)

    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at - now())
