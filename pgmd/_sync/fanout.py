# Generated from pgmd/_async/fanout.py by pgmd._tools.unasync. Do not edit.
"""Many statements side by side, each in a session of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from ..query import Query
from ..result import Result
from ..runtime import threads as runtime

if TYPE_CHECKING:
    from .session import Session


def fan_out(
    session: Session[Any], queries: Iterable[Query], concurrency: int
) -> Iterator[Result[Any]]:
    """Yield results in order with at most *concurrency* statements begun and not yet yielded.

    Whatever ends the loop, statements that still run are stopped first.
    """
    jobs = runtime.Jobs(concurrency)
    window: deque[tuple[runtime.Job[Result[Any]], Session[Any]]] = deque()
    try:
        for query in queries:
            if len(window) == concurrency:
                yield _next(jobs, session, window)
            fork = session.fork()
            work = partial(fork.run, query.sql, query.params, query.row_factory)
            window.append((jobs.start(work, getattr(fork, "cancel", _nothing)), fork))
        while window:
            yield _next(jobs, session, window)
    finally:
        jobs.close()
        for _, fork in window:
            _leave(session, fork)


def _next(
    jobs: runtime.Jobs,
    session: Session[Any],
    window: deque[tuple[runtime.Job[Result[Any]], Session[Any]]],
) -> Result[Any]:
    job, fork = window[0]
    result = jobs.result(job)
    window.popleft()
    _leave(session, fork)
    return result


def _leave(session: Session[Any], fork: Session[Any]) -> None:
    fork.close()
    session.join(fork)


def _nothing() -> None:
    pass
