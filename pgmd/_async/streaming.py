"""Rows of one statement as they come."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Generic

import psycopg
from psycopg.rows import RowFactory
from typing_extensions import TypeVar

from ..answers.columns import Column, Maker, maker
from ..answers.found import Setback
from ..events import Event
from ..process.clock import now
from ..request import Request
from ..routing.decision import Decision, Route
from ..sql import analyse
from .running import AsyncRunning
from .sides.interface import Parts

Row = TypeVar("Row", covariant=True, default=tuple[Any, ...])


class AsyncStream(Generic[Row]):
    """The rows of one read, some thousands of them in memory at a time; see `stream()`.

    Read once, by `async for`. An error in the middle is raised there: the rows before it have been
    given already. Not for sharing between threads or tasks.
    """

    def __init__(
        self, parts: Parts, decision: Decision, row_factory: RowFactory[Any] | None
    ) -> None:
        self._parts = parts.rows
        self._columns = parts.columns
        self._decision = decision
        self._make: Maker | None = maker(row_factory, parts.columns)
        self.count = 0

    @property
    def decision(self) -> Decision:
        """Where the statement runs, why, and how old the data may be."""
        return self._decision

    @property
    def description(self) -> list[Column]:
        """The columns."""
        return list(self._columns)

    async def __aiter__(self) -> AsyncIterator[Row]:
        make = self._make
        async for part in self._parts:
            for row in part if make is None else map(make, part):
                self.count += 1
                yield row


@asynccontextmanager
async def streamed(
    session: AsyncRunning, request: Request, decision: Decision, asked: Route | None
) -> AsyncIterator[AsyncStream[Any]]:
    """Run a read that has been placed, and hand its rows on as they come; see `stream()`."""
    statement, began = analyse(request.text), now()
    stream: AsyncStream[Any] | None = None
    failure: psycopg.Error | None = None
    try:
        async with _opened(session, request, decision, asked) as stream:
            yield stream
    except psycopg.Error as error:
        failure = error
        raise
    finally:
        done = decision if stream is None else stream.decision
        if failure is not None:
            session.failed(statement, done, began, failure)
        elif stream is not None:
            event = Event(statement, done, ran=now() - began, rows=stream.count)
            session.core.events.tell(event)


@asynccontextmanager
async def _opened(
    session: AsyncRunning, request: Request, decision: Decision, asked: Route | None
) -> AsyncIterator[AsyncStream[Any]]:
    if decision.route is Route.REPLICA:
        async with _from_replica(session, request, decision) as found:
            if isinstance(found, AsyncStream):
                yield found
                return
        decision = session.elsewhere(found, asked)
    if decision.is_spill:
        spilling = session.core.spilling()
        async with spilling, _from_endpoint(session, request, decision) as stream:
            yield stream
    else:
        async with _from_endpoint(session, request, decision) as stream:
            yield stream


@asynccontextmanager
async def _from_replica(
    session: AsyncRunning, request: Request, decision: Decision
) -> AsyncIterator[AsyncStream[Any] | Setback]:
    lent, state = await session.borrow(), session.state
    if lent is None:
        yield Setback(session.not_served(decision.facts))
        return
    fresh = lent.freshness
    session.running = lent
    try:
        async with lent.stream(request, state.before) as parts:
            if isinstance(parts, Setback):
                yield parts
            else:
                done = session.saw(lent, decision, fresh)
                yield AsyncStream(parts, done, request.row_factory)
    except psycopg.Error as error:
        session.raise_(error, request.text, is_read=True)
    finally:
        session.stopped()
        if state.block is None:
            # What was not read of its result would stay in memory.
            await lent.give_back(discard=True)


@asynccontextmanager
async def _from_endpoint(
    session: AsyncRunning, request: Request, decision: Decision
) -> AsyncIterator[AsyncStream[Any]]:
    core, state = session.core, session.state
    lent = await session.connection()
    session.running = lent
    try:
        async with lent.stream(request) as parts:
            yield AsyncStream(parts, decision, request.row_factory)
    except psycopg.Error as error:
        session.raise_(error, request.text, is_read=True, lost=lent.is_lost)
    finally:
        session.stopped()
        state.saw(core.log.started)
        if state.block is None and lent is not state.kept:
            await lent.give_back()
