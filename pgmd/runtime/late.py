"""Blocking work whose caller may not wait to its end."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from ..errors import PoolClosed
from ..process.ending import Thread, end, tell
from ..process.workers import fill

T = TypeVar("T")


class Stopped(PoolClosed):
    """A background is being closed: its work ends here."""


class Hands:
    """The threads that do the blocking work of one background, each for one piece of it."""

    def __init__(self) -> None:
        self._threads: set[Thread] = set()

    def start(self, work: Callable[[], T]) -> Future[T]:
        done: Future[T] = Future()

        def do() -> None:
            fill(done, work)
            self._threads.discard(thread)

        thread = Thread(do, "pgmd-bounded")
        self._threads.add(thread)
        thread.start()
        return done

    def tell(self) -> None:
        """Begin to end them, those too whose result nobody waits for any more."""
        for thread in list(self._threads):
            tell(thread)

    def end(self) -> None:
        """End them and wait for it, for a bounded time."""
        end(list(self._threads))


def hand_over(late: Callable[[T], object], done: Future[T]) -> None:
    """Give what came too late to somebody who disposes of it."""
    if not done.cancelled() and done.exception() is None:
        late(done.result())
