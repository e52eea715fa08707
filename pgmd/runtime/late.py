"""Blocking work whose caller may not wait to its end."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from ..errors import PoolClosed

T = TypeVar("T")


class Stopped(PoolClosed):
    """A background is being closed: its work ends here."""


def fill(done: Future[T], work: Callable[[], T]) -> None:
    """Do *work* here; *done* gets what it returns or raises. It can be cancelled before only."""
    if not done.set_running_or_notify_cancel():
        return
    try:
        value = work()
    except BaseException as error:  # noqa: BLE001 - the waiting caller raises it
        done.set_exception(error)
    else:
        done.set_result(value)


def hand_over(late: Callable[[T], object], done: Future[T]) -> None:
    """Give what came too late to somebody who disposes of it."""
    if not done.cancelled() and done.exception() is None:
        late(done.result())
