"""Writers and snapshots keep out of each other's way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# How often a wait looks whether it was cancelled, in seconds.
_LOOK = 0.02


class Stopped(Exception):
    """A wait was cancelled."""


class Gate:
    """Writers pass side by side; a snapshot waits until they have left and keeps others out."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._writers = 0
        self._closed = False

    def enter(self, is_stopped: Callable[[], bool]) -> None:
        """Become a writer. Waits while the gate is closed; raises Stopped."""
        with self._changed:
            self._wait(lambda: not self._closed, is_stopped)
            self._writers += 1

    def leave(self) -> None:
        with self._changed:
            self._writers -= 1
            self._changed.notify_all()

    @contextmanager
    def closed(self, is_stopped: Callable[[], bool]) -> Iterator[None]:
        """Nobody writes inside the block. Waits for writers; raises Stopped."""
        with self._changed:
            self._wait(lambda: not self._closed, is_stopped)
            self._closed = True
        try:
            with self._changed:
                self._wait(lambda: self._writers == 0, is_stopped)
            yield
        finally:
            with self._changed:
                self._closed = False
                self._changed.notify_all()

    @property
    def is_busy(self) -> bool:
        return self._writers > 0 or self._closed

    def _wait(self, is_ready: Callable[[], bool], is_stopped: Callable[[], bool]) -> None:
        while not self._changed.wait_for(is_ready, _LOOK):
            if is_stopped():
                raise Stopped
