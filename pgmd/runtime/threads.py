"""Waiting in threads. `aio` has the same names for asyncio."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

ASYNC: Final = False
_STOP_EVERY = 0.05

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


class Job(Generic[T]):
    """Something that runs beside its caller."""

    def __init__(self, future: Future[T], cancel: Callable[[], None]) -> None:
        self._future = future
        self._cancel = cancel

    def result(self) -> T:
        return self._future.result()

    def stop(self) -> None:
        """Cancel it and wait until it has ended, whatever it ended with."""
        self._future.cancel()
        while not self._future.done():
            self._cancel()
            try:
                self._future.exception(_STOP_EVERY)
            except (TimeoutError, CancelledError):
                continue


class Jobs:
    """Runs jobs side by side; the caller bounds how many."""

    def __init__(self, size: int) -> None:
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="pgmd-jobs")
        self._running: set[Job[Any]] = set()

    def start(self, work: Callable[[], T], cancel: Callable[[], None]) -> Job[T]:
        job = Job(self._threads.submit(work), cancel)
        self._running.add(job)
        return job

    def result(self, job: Job[T]) -> T:
        """Wait for *job* and forget it."""
        result = job.result()
        self._running.discard(job)
        return result

    def close(self) -> None:
        """Cancel what still runs and wait for its end."""
        for job in self._running:
            job._future.cancel()
        while self._running:
            self._running.pop().stop()
        self._threads.shutdown()


class Ticker:
    """Calls *work* every *seconds* until closed; what it raises goes to *failed*."""

    def __init__(
        self, seconds: float, work: Callable[[], Any], failed: Callable[[Exception], None]
    ) -> None:
        self._closing = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(seconds, work, failed), name="pgmd-ticker", daemon=True
        )
        self._thread.start()

    def _run(
        self, seconds: float, work: Callable[[], Any], failed: Callable[[Exception], None]
    ) -> None:
        while not self._closing.wait(seconds):
            try:
                work()
            except Exception as error:  # noqa: BLE001 - the ticker outlives a failed round
                failed(error)

    def close(self) -> None:
        self._closing.set()
        self._thread.join()


def run_all(works: Iterable[Callable[[], T]]) -> list[T | BaseException]:
    """Run all side by side; an exception takes the place of the result it prevented."""
    works = list(works)
    with ThreadPoolExecutor(max(1, len(works)), thread_name_prefix="pgmd-open") as threads:
        futures = [threads.submit(work) for work in works]
    return [future.exception() or future.result() for future in futures]
