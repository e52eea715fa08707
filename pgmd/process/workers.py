"""A pool of threads that does not keep the process."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar

from .ending import Thread, is_over

P = ParamSpec("P")
T = TypeVar("T")

_Item = tuple[Future[Any], Callable[[], Any]]


class Workers(Executor):
    """Up to *size* threads, made when they are needed.

    concurrent.futures' own refuse work as soon as the main thread has ended, when other threads
    may still go on, and the process then waits for what theirs do, however long it takes.
    """

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._todo: SimpleQueue[_Item | None] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._threads: list[Thread] = []
        self._changing = threading.Lock()
        self._is_shut = False
        # Who forgets it ends its threads.
        weakref.finalize(self, self._todo.put, None).atexit = False

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have *work* done in a thread. Raises RuntimeError after `shutdown()`."""
        done: Future[T] = Future()
        with self._changing:
            if self._is_shut:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._todo.put((done, partial(work, *args, **kwargs)))
            self._hire()
        if is_over() or not self._threads:
            # At exit threads end, and Python makes no more: the caller does it.
            self._do_all()
        return done

    def _hire(self) -> None:
        if self._idle.acquire(blocking=False) or len(self._threads) == self._size:
            return
        work = partial(_serve, self._todo, self._idle)
        thread = Thread(work, f"{self._name}_{len(self._threads)}", partial(self._todo.put, None))
        with contextlib.suppress(RuntimeError):
            thread.start()
            self._threads.append(thread)

    def _do_all(self) -> None:
        with contextlib.suppress(Empty):
            while True:
                item = self._todo.get_nowait()
                if item is not None:
                    fill(*item)
        self._todo.put(None)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 - as in Executor
        """Let the threads end when all is done, and *wait* for that."""
        with self._changing:
            self._is_shut = True
            self._todo.put(None)
        for thread in self._threads if wait else ():
            thread.join()


def _serve(todo: SimpleQueue[_Item | None], idle: threading.Semaphore) -> None:
    while (item := todo.get()) is not None:
        fill(*item)
        # Or what it was about would live until the next comes.
        del item
        idle.release()
    # For the next one.
    todo.put(None)


def fill(done: Future[T], work: Callable[[], T]) -> None:
    """Do *work* here; *done* gets what it returns or raises. It can be cancelled before only."""
    if not done.set_running_or_notify_cancel():
        return
    try:
        value = work()
    except BaseException as error:  # noqa: BLE001 - the waiting caller raises it
        done.set_exception(error)
        # Or the error's traceback and the future would keep each other.
        del done
    else:
        done.set_result(value)
