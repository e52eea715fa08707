"""What has happened: one event for each statement that has ended, and who is told.

Counters, the log and whatever a program has registered are listeners of the same event.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from .errors import Outcome
from .routing.decision import Decision, Reason, Route
from .sql import Statement

_log = logging.getLogger("pgmd.route")


class Event(NamedTuple):
    """One statement that has ended, well or not. It holds no value of a parameter.

    `statement` is what was asked for, None where only psycopg could read it; `decision` says where
    it ran and why. `waited` is how long (seconds) it waited for a connection or cursor, `ran` for
    the answer, `loaded` how long making Python's values took where that can be told apart. `rows`
    is what the cursor's `rowcount` is. `error` is the class of what was raised, `outcome` whether
    the statement had an effect then.
    """

    statement: Statement | None
    decision: Decision
    waited: float = 0.0
    ran: float = 0.0
    loaded: float = 0.0
    rows: int = -1
    error: type[BaseException] | None = None
    outcome: Outcome | None = None


Listener = Callable[[Event], object]


class Counts:
    """How many statements ended where, and why; *guard* makes a step atomic among threads."""

    def __init__(self, guard: AbstractContextManager[Any]) -> None:
        self._guard = guard
        self._routed: Counter[tuple[Route, Reason]] = Counter()

    def __call__(self, event: Event) -> None:
        self.add(event.decision)

    def add(self, decision: Decision) -> None:
        """One more has ended where this says."""
        with self._guard:
            self._routed[decision.route, decision.reason] += 1

    def routed(self) -> dict[str, int]:
        """By route and reason, such as `{"replica: READ": 3}`."""
        with self._guard:
            counted = list(self._routed.items())
        return {f"{route.value}: {reason.name}": number for (route, reason), number in counted}


def log(event: Event) -> None:
    """Tell the log of pgmd.route."""
    if _log.isEnabledFor(logging.DEBUG):
        _log.debug("%s", event.decision)


class Events:
    """Tells every listener of each statement that has ended, in the thread or task that ran it."""

    def __init__(self, *listeners: Listener) -> None:
        # Replaced as a whole: whoever is telling goes on with the listeners it began with.
        self._listeners = listeners

    def add(self, listener: Listener) -> Callable[[], None]:
        """Tell *listener*, too, from now on; what is returned undoes that."""
        self._listeners = (*self._listeners, listener)

        def remove() -> None:
            self._listeners = tuple(each for each in self._listeners if each is not listener)

        return remove

    def tell(self, event: Event) -> None:
        """A statement has ended. What a listener raises is logged."""
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:  # noqa: BLE001 - the statement is not to blame
                _log.exception("a listener failed: %r", listener)
