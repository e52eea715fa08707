"""Waiting under asyncio. `threads` has the same names for threads."""

from __future__ import annotations

import asyncio
import contextlib
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from functools import partial
from typing import Any, Final, Generic, TypeVar

from ..process.workers import Workers
from .late import Hands, hand_over
from .late import Stopped as Stopped  # for the name; a task is cancelled instead

T = TypeVar("T")

ASYNC: Final = True
_INTERRUPT_EVERY = 0.05
_CANCEL_EVERY = 1.0
# A year would not fit into what the operating system waits with.
_LONGEST_PAUSE = 3600.0

# State changes between two awaits cannot be interleaved.
Guard = contextlib.nullcontext
Lock = asyncio.Lock


class Waiter(Generic[T]):
    """One caller that waits for one value."""

    def __init__(self) -> None:
        self._future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def set(self, value: T) -> None:
        self._future.set_result(value)

    def fail(self, error: Exception) -> None:
        self._future.set_exception(error)

    async def wait(self, timeout: float) -> T:
        """Return the value. Raises TimeoutError after *timeout* seconds."""
        async with asyncio.timeout(timeout):
            # The shield keeps a value that arrives together with a cancellation: see `granted`.
            return await asyncio.shield(self._future)

    @property
    def granted(self) -> T | None:
        """The value that was set, if any."""
        done = self._future.done() and not self._future.cancelled()
        return self._future.result() if done and self._future.exception() is None else None


class Executor:
    """Threads of its own in which a blocking driver runs; asyncio's default ones are shared."""

    def __init__(self, size: int, name: str) -> None:
        self._threads = Workers(size, name)

    async def run(self, work: Callable[[], T], interrupt: Callable[[], None]) -> T:
        """Run *work* in a thread. When cancelled, *interrupt* it and wait until it has ended."""
        future = asyncio.get_running_loop().run_in_executor(self._threads, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            # Repeated: a query that has not started yet forgets an interrupt.
            await _ended(future, interrupt, _INTERRUPT_EVERY)
            raise

    async def close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown)


async def _ended(
    future: asyncio.Future[Any],
    nudge: Callable[[], None] = lambda: None,
    every: float | None = None,
) -> None:
    """Wait until *future* has ended, whatever with; *nudge* it *every* so many seconds.

    What it uses is in use until then, so a cancellation of the caller does not end the wait; it
    is raised afterwards.
    """
    kept: asyncio.CancelledError | None = None
    while not future.done():
        nudge()
        try:
            await asyncio.wait([future], timeout=every)
        except asyncio.CancelledError as error:
            kept = error
    if not future.cancelled():
        future.exception()
    if kept is not None:
        raise kept


class Channel(Generic[T]):
    """Values from one side to another, in order; `get` waits for one."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[T] = asyncio.Queue()
        self.put = self._queue.put_nowait
        self.get = self._queue.get
        self.get_nowait = self._queue.get_nowait
        self.empty = self._queue.empty


class Job(Generic[T]):
    """Something that runs beside its caller."""

    def __init__(self, task: asyncio.Task[T]) -> None:
        self._task = task

    async def result(self) -> T:
        return await asyncio.shield(self._task)

    async def stop(self) -> None:
        """Cancel it and wait until it has ended, whatever it ended with."""
        self._task.cancel()
        await _ended(self._task)


class Jobs:
    """Runs jobs side by side; the caller bounds how many."""

    def __init__(self, size: int) -> None:  # noqa: ARG002 - threads need to know it
        self._running: set[Job[Any]] = set()

    def start(
        self,
        work: Callable[[], Coroutine[Any, Any, T]],
        cancel: Callable[[], None],  # noqa: ARG002 - a task can be cancelled as it is
    ) -> Job[T]:
        job = Job(asyncio.get_running_loop().create_task(work()))
        self._running.add(job)
        return job

    async def result(self, job: Job[T]) -> T:
        """Wait for *job* and forget it."""
        result = await job.result()
        self._running.discard(job)
        return result

    def cancel(self) -> None:
        """Cancel what still runs, without waiting for its end."""
        for job in self._running:
            # Once: a second time would hit what follows from the first.
            if not job._task.cancelling():
                job._task.cancel()

    async def close(self) -> None:
        """Cancel what still runs and wait for its end."""
        self.cancel()
        tasks = [job._task for job in self._running]
        self._running.clear()
        clock = asyncio.get_running_loop().time
        again = clock() + _CANCEL_EVERY

        def insist() -> None:
            # Before Python 3.12 wait_for() loses a cancellation that comes with its result.
            nonlocal again
            if clock() >= again:
                again = clock() + _CANCEL_EVERY
                for task in tasks:
                    task.cancel()

        await _ended(asyncio.gather(*tasks, return_exceptions=True), insist, _CANCEL_EVERY)


class Overdue(Exception):
    """A watchdog has stopped what raises this."""


class Watchdog:
    """Stops each work that takes longer than *seconds*."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def run(
        self,
        work: Callable[[], Awaitable[T]],
        cancel: Callable[[], None],  # noqa: ARG002 - a task can be cancelled as it is
    ) -> T:
        """Do *work*. Raises `Overdue` if it took too long and was cancelled."""
        try:
            async with asyncio.timeout(self._seconds) as scope:
                return await work()
        except TimeoutError as error:
            if scope.expired():
                raise Overdue from error
            raise

    def close(self) -> None:
        pass


class Alarm:
    """Calls *work* in *seconds*, unless closed before."""

    def __init__(self, seconds: float, work: Callable[[], None]) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, work)

    def close(self) -> None:
        self._timer.cancel()


class Ticker:
    """Calls *work* every *seconds* until closed; what it raises goes to *failed*."""

    def __init__(
        self,
        seconds: float,
        work: Callable[[], Awaitable[Any]],
        failed: Callable[[Exception], None],
    ) -> None:
        self._work = work
        self._failed = failed
        self._job = Job(asyncio.get_running_loop().create_task(self._run(seconds)))

    async def _run(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await self._work()
            except Exception as error:  # noqa: BLE001 - the ticker outlives a failed round
                self._failed(error)

    async def close(self) -> None:
        await self._job.stop()


class Background:
    """Runs *work* beside the callers until closed; it is given this object to wait with."""

    def __init__(
        self,
        work: Callable[[Background], Coroutine[Any, Any, None]],
        name: str,  # noqa: ARG002 - threads have one
    ) -> None:
        self.hands = Hands()
        self._news = asyncio.Event()
        self._job = Job(asyncio.get_running_loop().create_task(work(self)))

    async def pause(self, seconds: float) -> None:
        """Wait so long, or until `wake()`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(seconds, _LONGEST_PAUSE)):
                await self._news.wait()
        self._news.clear()

    def wake(self) -> None:
        self._news.set()

    def stop(self) -> None:
        """Begin to end it."""
        self._job._task.cancel()
        self.hands.tell()

    async def close(self) -> None:
        """Stop it and wait until it has ended; for what its hands still do, a bounded time."""
        await self._job.stop()
        await asyncio.to_thread(self.hands.end)


async def bounded(
    work: Callable[[], T],
    seconds: float,
    late: Callable[[T], object],
    within: Background,
) -> T:
    """Run blocking *work* in a thread of its own; raises TimeoutError after so many seconds.

    What it returns after that, or after a cancellation, goes to *late*.
    """
    done = within.hands.start(work)
    try:
        async with asyncio.timeout(seconds):
            return await asyncio.wrap_future(done)
    except BaseException:
        done.add_done_callback(partial(hand_over, late))
        raise


class Gate:
    """Closed until it is opened, once and for all."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def open(self) -> None:
        self._event.set()

    async def wait(self, seconds: float) -> bool:
        """Wait until it is open; False when that takes longer."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
        return self._event.is_set()


async def run_all(works: Iterable[Callable[[], Awaitable[T]]]) -> list[T | BaseException]:
    """Run all side by side; an exception takes the place of the result it prevented."""
    return await asyncio.gather(*(work() for work in works), return_exceptions=True)


def home() -> asyncio.AbstractEventLoop:
    """To what the things made here belong, and with what they end."""
    return asyncio.get_running_loop()


def complete(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Do *work* in a thread that has no loop, blocking."""
    return asyncio.run(work())


async def finish(work: Coroutine[Any, Any, None]) -> None:
    """Run *work* to its end, even when the caller is cancelled meanwhile."""
    try:
        waits_for = work.send(None)
    except StopIteration:
        # As a rule it has nothing to wait for, and needs no task of its own.
        return
    await asyncio.shield(asyncio.get_running_loop().create_task(_resume(work, waits_for)))


@types.coroutine
def _resume(work: Coroutine[Any, Any, None], waits_for: Any) -> Generator[Any, Any, None]:
    """Go on with a coroutine that has yielded what it waits for."""
    while True:
        try:
            sent = yield waits_for
        except BaseException as error:  # noqa: BLE001 - the coroutine is the one to handle it
            step = partial(work.throw, error)
        else:
            step = partial(work.send, sent)
        try:
            waits_for = step()
        except StopIteration:
            return
