"""How the process ends: nothing of ours is inside DuckDB when the interpreter goes.

Python ends a thread that comes back to it from C++ by then, and C++ answers that with abort(). So
all threads of ours are of one class, and at exit they are told to stop and waited for. They are
daemons all the same: for others Python waits as long as it takes, also for one that hangs.

It is `atexit` that calls, which is after the program's own threads have ended: they may use an
engine when the main thread has nothing left to do.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import threading
from collections.abc import Callable, Iterable
from math import inf
from weakref import WeakKeyDictionary

from .clock import now

# How long (seconds) a thread is waited for since it was first told to stop.
_PATIENCE = 5.0
_TELL_EVERY = 0.05

_inside: dict[threading.Thread, Callable[[], object]] = {}
_until: WeakKeyDictionary[threading.Thread, float] = WeakKeyDictionary()
_is_over = False


def _nothing() -> None:
    """It ends by itself."""


class Thread(threading.Thread):
    """Does *work*; *stop* makes it end soon, and may be called often and from anywhere."""

    def __init__(
        self, work: Callable[[], object], name: str, stop: Callable[[], object] = _nothing
    ) -> None:
        super().__init__(target=work, name=name, daemon=True)
        self.stop = stop


class Inside:
    """While the calling thread is inside DuckDB, from where *interrupt* may bring it back.

    At exit a thread of the program's stays where it comes in, or where it comes out: what it was
    interrupted by is for nobody to see.
    """

    __slots__ = ("_interrupt", "_outer", "_thread")

    def __init__(self, interrupt: Callable[[], object] = _nothing) -> None:
        self._interrupt = interrupt

    def __enter__(self) -> None:
        thread = self._thread = threading.current_thread()
        self._outer = _inside.get(thread)
        _inside[thread] = self._interrupt
        # After it has been noted: whoever ends the process sees it, or it sees that.
        if _is_over and _is_foreign(thread):
            self.__exit__()

    def __exit__(self, *_: object) -> None:
        stays = _is_over and _is_foreign(self._thread)
        if self._outer is None or stays:
            _inside.pop(self._thread, None)
        else:
            _inside[self._thread] = self._outer
        if stays:
            threading.Event().wait()


def _is_foreign(thread: threading.Thread) -> bool:
    return not (isinstance(thread, Thread) or thread is threading.main_thread())


def is_over() -> bool:
    """Whether the program has ended, and its process is about to."""
    return _is_over


def tell(thread: threading.Thread) -> None:
    """Tell a thread to stop, without waiting for it."""
    _until.setdefault(thread, now() + _PATIENCE)
    stops = [_inside.get(thread, _nothing)]
    if isinstance(thread, Thread):
        stops.append(thread.stop)
    for stop in stops:
        with contextlib.suppress(Exception):
            stop()


def end(threads: Iterable[threading.Thread]) -> bool:
    """Have threads of ours end, and others leave DuckDB; False if some do not in time."""
    threads = list(threads)
    while waiting := [t for t in threads if _is_busy(t) and now() < _until.get(t, inf)]:
        # Again and again: DuckDB forgets an interrupt that comes before its query has begun.
        for thread in waiting:
            tell(thread)
        waiting[0].join(_TELL_EVERY)
    return not any(map(_is_busy, threads))


def _is_busy(thread: threading.Thread) -> bool:
    return thread.is_alive() if isinstance(thread, Thread) else thread in _inside


@atexit.register
def _end_all() -> None:
    global _is_over
    _is_over = True
    threads = {thread for thread in threading.enumerate() if isinstance(thread, Thread)}
    has_ended = False
    try:
        has_ended = end(threads | _inside.keys() - {threading.current_thread()})
    finally:
        if not has_ended:
            _hold_back()


def _hold_back() -> None:
    """Have who comes back from C++ all the same wait there for the end of the process."""
    with contextlib.suppress(OSError, AttributeError):
        # std::set_terminate(pause)
        ctypes.CDLL("libstdc++.so.6")._ZSt13set_terminatePFvvE(ctypes.CDLL(None).pause)


if hasattr(os, "register_at_fork"):
    # The other threads are the parent's.
    os.register_at_fork(after_in_child=_inside.clear)
