"""What a session has seen, and which replica has seen it too.

Positions number the writes made through one engine, in the order in which they were started; no
clock is involved. `epoch` names the engine that counts: positions of two engines cannot be
compared.
"""

from __future__ import annotations

import math
import re
import secrets
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import total_ordering
from typing import Any

LIVE = math.inf
_BOOKMARK = re.compile(r"pgmd1:([0-9a-f]{16}):(\d{1,18})")


@total_ordering
@dataclass(frozen=True, slots=True)
class Bookmark:
    """Proof of "I have seen the database up to here"; `str()` and `parse()` carry it elsewhere."""

    epoch: str
    position: int

    def __str__(self) -> str:
        return f"pgmd1:{self.epoch}:{self.position}"

    @classmethod
    def parse(cls, text: str) -> Bookmark:
        """Read what `str()` wrote. Raises ValueError for anything else."""
        match = _BOOKMARK.fullmatch(text)
        if match is None:
            raise ValueError("not a pgmd bookmark")
        return cls(match[1], int(match[2]))

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Bookmark):
            return NotImplemented
        if self.epoch != other.epoch:
            raise ValueError("bookmarks of two engines cannot be compared")
        return self.position < other.position


class WriteLog:
    """Numbers the writes of one engine. *guard* makes each step atomic where threads share it."""

    def __init__(self, guard: AbstractContextManager[Any]) -> None:
        self.epoch = secrets.token_hex(8)
        self.started = 0
        self._in_flight: set[int] = set()
        self._guard = guard

    def begin(self) -> int:
        """A write is about to be sent; return its position."""
        with self._guard:
            self.started += 1
            self._in_flight.add(self.started)
            return self.started

    def finish(self, position: int) -> None:
        """The write was acknowledged, failed, or nobody waits for it any more."""
        with self._guard:
            self._in_flight.discard(position)

    @property
    def settled(self) -> int:
        """Everything up to here is acknowledged: a snapshot that starts now contains it.

        A reader of the endpoint may see a write that is committed but not acknowledged yet, so
        what *it* has seen is `started`, never `settled`.
        """
        with self._guard:
            return min(self._in_flight) - 1 if self._in_flight else self.started

    def floor(self, bookmark: Bookmark | None) -> int:
        """The position a session starts from.

        Another engine's bookmark cannot be placed in this order, but its writes are acknowledged
        by now: whatever is published from here on contains them.
        """
        if bookmark is None:
            return 0
        if bookmark.epoch == self.epoch:
            return bookmark.position
        position = self.begin()
        self.finish(position)
        return position


@dataclass(frozen=True, slots=True)
class Freshness:
    """What a replica shows: everything up to `position`, as of `since` on the monotonic clock."""

    position: float = 0
    since: float | None = None

    @property
    def is_live(self) -> bool:
        return self.position == LIVE

    def staleness(self, now: float) -> float | None:
        """Upper bound in seconds on the age of what is shown; None when unknown."""
        if self.is_live:
            return 0.0
        return None if self.since is None else max(0.0, now - self.since)

    def serves(self, floor: float, max_staleness: float | None, now: float) -> bool:
        """Whether a read that must see *floor* may be answered from here."""
        if self.position < floor:
            return False
        if max_staleness is None or self.is_live:
            return True
        age = self.staleness(now)
        return age is not None and age <= max_staleness
