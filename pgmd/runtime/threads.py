"""Waiting in threads. `aio` has the same names for asyncio."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import Any, Final, Generic, TypeVar

from ..process.clock import now
from ..process.ending import Thread, end
from ..process.forking import hold
from ..process.workers import Workers, fill
from .late import Hands, hand_over
from .late import Stopped as Stopped

T = TypeVar("T")

ASYNC: Final = False
_STOP_EVERY = 0.05


class _Process:
    """Weakly referred to by what belongs to it."""


_PROCESS = _Process()
Guard = threading.Lock
Lock = threading.Lock


class Waiter(Generic[T]):
    """One caller that waits for one value."""

    def __init__(self) -> None:
        self._future: Future[T] = Future()

    def set(self, value: T) -> None:
        self._future.set_result(value)

    def fail(self, error: Exception) -> None:
        self._future.set_exception(error)

    def wait(self, timeout: float) -> T:
        """Return the value. Raises TimeoutError after *timeout* seconds."""
        return self._future.result(timeout)

    @property
    def granted(self) -> T | None:
        """The value that was set, if any."""
        done = self._future.done()
        return self._future.result() if done and self._future.exception() is None else None


class Executor:
    """The caller's own thread is the one that blocks."""

    def __init__(self, size: int, name: str) -> None:
        pass

    def run(
        self,
        work: Callable[[], T],
        interrupt: Callable[[], None],  # noqa: ARG002 - only another thread can interrupt
    ) -> T:
        """Run *work* here."""
        return work()

    def close(self) -> None:
        pass


# Values from one side to another, in order; `get` waits for one.
Channel = SimpleQueue


class Job(Generic[T]):
    """Something that runs beside its caller, in a thread that does not outlive the program."""

    def __init__(self, work: Callable[[], T], cancel: Callable[[], None]) -> None:
        self._future: Future[T] = Future()
        self._work = work
        self._cancel = cancel

    def start(self) -> None:
        Thread(partial(fill, self._future, self._work), "pgmd-job", self._cancel).start()

    def result(self) -> T:
        return self._future.result()

    def stop(self) -> None:
        """Cancel it and wait until it has ended, whatever it ended with."""
        while not self._future.done():
            self._cancel()
            with contextlib.suppress(TimeoutError):
                self._future.exception(_STOP_EVERY)


class Jobs:
    """Runs jobs side by side; the caller bounds how many."""

    def __init__(self, size: int) -> None:  # noqa: ARG002 - as in asyncio
        self._running: set[Job[Any]] = set()
        hold(self)

    def abandon(self) -> None:
        """They belong to the parent of this process, and so do their threads."""
        self._running = set()

    def start(self, work: Callable[[], T], cancel: Callable[[], None]) -> Job[T]:
        job = Job(work, cancel)
        self._running.add(job)
        job.start()
        return job

    def result(self, job: Job[T]) -> T:
        """Wait for *job* and forget it."""
        result = job.result()
        self._running.discard(job)
        return result

    def cancel(self) -> None:
        """Cancel what still runs, without waiting for its end."""
        for job in list(self._running):
            if not job._future.done():
                # A thread each: to cancel one can take as long as the network does.
                Thread(job.stop, "pgmd-stop").start()

    def close(self) -> None:
        """Cancel what still runs and wait for its end, also when interrupted meanwhile."""
        self.cancel()
        kept: KeyboardInterrupt | None = None
        futures = [job._future for job in self._running]
        while not all(future.done() for future in futures):
            try:
                wait(futures)
            except KeyboardInterrupt as error:
                kept = error
        self._running.clear()
        if kept is not None:
            raise kept


class Overdue(Exception):
    """A watchdog has stopped what raises this."""


@dataclass(slots=True, eq=False)
class _Watched:
    until: float
    cancel: Callable[[], None]
    over: threading.Event = field(default_factory=threading.Event)
    stopper: Thread | None = None

    def stop(self) -> None:
        while not self.over.is_set():
            self.cancel()
            self.over.wait(_STOP_EVERY)


class Watchdog:
    """Stops each work that takes longer than *seconds*."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._guard = threading.Lock()
        # In the order of their ends, as all have the same time.
        self._watched: dict[_Watched, None] = {}
        self._closing = threading.Event()
        Thread(self._run, "pgmd-watchdog", self.close).start()

    def run(self, work: Callable[[], T], cancel: Callable[[], None]) -> T:
        """Do *work*; *cancel* is called from another thread if it takes too long.

        Raises `Overdue` if that has stopped it.
        """
        watched = _Watched(now() + self._seconds, cancel)
        with self._guard:
            self._watched[watched] = None
        try:
            return work()
        except Exception as error:
            if self._end(watched):
                raise Overdue from error
            raise
        finally:
            self._end(watched)

    def _end(self, watched: _Watched) -> bool:
        """Whether it was stopped; what does that must not reach what comes next."""
        watched.over.set()
        with self._guard:
            self._watched.pop(watched, None)
        if watched.stopper is not None:
            watched.stopper.join()
        return watched.stopper is not None

    def _run(self) -> None:
        pause = self._seconds
        while not self._closing.wait(pause):
            with self._guard:
                due = [one for one in self._watched if one.until <= now()]
                for one in due:
                    del self._watched[one]
                    one.stopper = Thread(one.stop, "pgmd-stop")
                    one.stopper.start()
                first = next(iter(self._watched), None)
            # What has not begun yet has the whole time.
            pause = self._seconds if first is None else max(0.0, first.until - now())

    def close(self) -> None:
        self._closing.set()


class Alarm:
    """Calls *work* in *seconds*, in another thread, unless closed before."""

    def __init__(self, seconds: float, work: Callable[[], None]) -> None:
        self._seconds = seconds
        self._work = work
        self._closing = threading.Event()
        Thread(self._run, "pgmd-alarm", self.close).start()

    def _run(self) -> None:
        if not self._closing.wait(self._seconds):
            self._work()

    def close(self) -> None:
        self._closing.set()


class Ticker:
    """Calls *work* every *seconds* until closed; what it raises goes to *failed*."""

    def __init__(
        self, seconds: float, work: Callable[[], Any], failed: Callable[[Exception], None]
    ) -> None:
        self._closing = threading.Event()
        work_on = partial(self._run, seconds, work, failed)
        self._thread = Thread(work_on, "pgmd-ticker", self._closing.set)
        self._thread.start()

    def _run(
        self, seconds: float, work: Callable[[], Any], failed: Callable[[Exception], None]
    ) -> None:
        while not self._closing.wait(seconds):
            try:
                work()
            except Exception as error:  # noqa: BLE001 - the ticker outlives a failed round
                if not self._closing.is_set():
                    failed(error)

    def close(self) -> None:
        end([self._thread])


class Background:
    """Runs *work* beside the callers until closed; it is given this object to wait with."""

    def __init__(self, work: Callable[[Background], None], name: str) -> None:
        self._work = work
        self._news = threading.Event()
        self.stopped: Future[None] = Future()
        self.hands = Hands()
        self._thread = Thread(self._run, name, self.stop)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(Stopped):
            self._work(self)

    def pause(self, seconds: float) -> None:
        """Wait so long, or until `wake()`. Raises Stopped."""
        self._news.wait(min(seconds, threading.TIMEOUT_MAX))
        self._news.clear()
        if self.stopped.done():
            raise Stopped("the engine is closed")

    def wake(self) -> None:
        self._news.set()

    def stop(self) -> None:
        """Begin to end it."""
        if not self.stopped.done():
            self.stopped.set_result(None)
        self._news.set()
        self.hands.tell()

    def close(self) -> None:
        """Stop it and wait until it has ended, for a bounded time."""
        self.stop()
        end([self._thread])
        self.hands.end()


def bounded(
    work: Callable[[], T],
    seconds: float,
    late: Callable[[T], object],
    within: Background,
) -> T:
    """Run blocking *work* in a thread of its own; raises TimeoutError after so many seconds, and
    Stopped when the background *within* which it runs is being closed.

    What it returns after that goes to *late*.
    """
    done = within.hands.start(work)
    ends: list[Future[Any]] = [done, within.stopped]
    wait(ends, seconds, FIRST_COMPLETED)
    if done.done() and not within.stopped.done():
        return done.result()
    done.add_done_callback(partial(hand_over, late))
    if within.stopped.done():
        raise Stopped("the engine is closed")
    raise TimeoutError


class Gate:
    """Closed until it is opened, once and for all."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def open(self) -> None:
        self._event.set()

    def wait(self, seconds: float) -> bool:
        """Wait until it is open; False when that takes longer."""
        return self._event.wait(seconds)


def complete(work: Callable[[], T]) -> T:
    """Do *work*, blocking."""
    return work()


def home() -> object:
    """To what the things made here belong: the process, whichever thread it is."""
    return _PROCESS


def run_all(works: Iterable[Callable[[], T]]) -> list[T | BaseException]:
    """Run all side by side; an exception takes the place of the result it prevented."""
    works = list(works)
    with Workers(len(works), "pgmd-open") as threads:
        futures = [threads.submit(work) for work in works]
    return [future.exception() or future.result() for future in futures]
