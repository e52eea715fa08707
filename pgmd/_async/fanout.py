"""Many statements side by side, each in a session of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from ..query import Query
from ..result import Result
from ..runtime import aio as runtime

if TYPE_CHECKING:
    from .session import AsyncSession


async def fan_out(
    session: AsyncSession[Any], queries: Iterable[Query], concurrency: int
) -> AsyncIterator[Result[Any]]:
    """Yield results in order with at most *concurrency* statements begun and not yet yielded.

    Whatever ends the loop, statements that still run are stopped first.
    """
    jobs = runtime.Jobs(concurrency)
    window: deque[tuple[runtime.Job[Result[Any]], AsyncSession[Any]]] = deque()
    try:
        for query in queries:
            if len(window) == concurrency:
                yield await _next(jobs, session, window)
            fork = session.fork()
            work = partial(fork.run, query.sql, query.params, query.row_factory)
            window.append((jobs.start(work, getattr(fork, "cancel", _nothing)), fork))
        while window:
            yield await _next(jobs, session, window)
    finally:
        await jobs.close()
        for _, fork in window:
            await _leave(session, fork)


async def _next(
    jobs: runtime.Jobs,
    session: AsyncSession[Any],
    window: deque[tuple[runtime.Job[Result[Any]], AsyncSession[Any]]],
) -> Result[Any]:
    job, fork = window[0]
    result = await jobs.result(job)
    window.popleft()
    await _leave(session, fork)
    return result


async def _leave(session: AsyncSession[Any], fork: AsyncSession[Any]) -> None:
    await fork.close()
    session.join(fork)


def _nothing() -> None:
    pass
