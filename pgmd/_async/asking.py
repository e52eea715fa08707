"""The door of a session, a fan-out's worker and a drop-in connection: what they ask goes here.

A statement's way: decide (`choosing`), lend and run (`running`, on a side), note (`state`), tell
(the core's events). Blocks and streams are next to it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.rows import BaseRowFactory

from ..answers.result import Result
from ..errors import UsageError, annotate
from ..fanout.bundling import may_be_bundled
from ..process.clock import now
from ..request import Params, Query, Request, Sql
from ..routing.decision import Decision, Reason, Route
from ..sql import analyse
from .blocks import control_snapshot, end_snapshot
from .choosing import Needs
from .core import AsyncCore
from .running import AsyncRunning
from .state import SessionState


class AsyncAsking(AsyncRunning):
    """Takes one statement at a time and has it run."""

    def __init__(self, core: AsyncCore, needs: Needs, state: SessionState) -> None:
        super().__init__(core, needs, state)
        # Two threads or tasks in one session at once get an error, and do not wait.
        self._busy = threading.Lock()
        self._closed = False

    async def close(self) -> None:
        """End a snapshot that a statement began, and let the kept connection go."""
        if self._closed:
            return
        self._closed = True
        block = self.state.block
        try:
            if block is not None and block.by_statement:
                self.state.close()
                await end_snapshot(self, block)
        finally:
            kept = self.state.release()
            if kept is not None:
                await kept.give_back(discard=True)

    # -------------------------------------------------------------------------------- statements

    async def run(
        self,
        query: Sql,
        params: Params | None = None,
        row_factory: BaseRowFactory[Any] | None = None,
        asked: Route | None = None,
    ) -> Result[Any]:
        """Run one statement, on the route that was *asked* for, if any; see `execute()`."""
        self.claim()
        try:
            request = self.request(query, params, row_factory)
            decision = self.place(request, asked)
            if decision.reason is Reason.SNAPSHOT:
                answer = await control_snapshot(self, request, decision)
                if answer is not None:
                    return answer
            return await self.ask(request, decision, asked)
        except psycopg.Error as error:
            # What may have had an effect says so already; the rest was a read or was not sent.
            annotate(error, is_read=True)
            raise
        finally:
            self.release()

    def request(
        self,
        query: Sql,
        params: Params | None = None,
        row_factory: BaseRowFactory[Any] | None = None,
    ) -> Request:
        """What is asked for, with the session's row factory unless another is given."""
        return Request.read(query, params, row_factory or self.needs.row_factory)

    async def ask(
        self, request: Request, decision: Decision, asked: Route | None = None
    ) -> Result[Any]:
        """Run what has been placed; the one who tells of what failed."""
        began = now()
        try:
            if decision.route is Route.REPLICA:
                read = await self.read(request, decision, asked)
                if not isinstance(read, Decision):
                    return self.done(request, read)
                decision = read
            if decision.is_spill:
                async with self.core.spilling():
                    return await self.on_endpoint(request, decision)
            return await self.on_endpoint(request, decision)
        except BaseException as error:
            self.failed(analyse(request.text), decision, began, error)
            raise

    async def run_together(self, queries: Sequence[Query]) -> list[Result[Any]] | None:
        """Run queries of one text and row factory as one on a replica. None where each is to run
        by itself, and so it is when this raises: none has had an effect, and whose fault it was,
        if anybody's, shows then."""
        self.claim()
        try:
            factory = queries[0].row_factory
            requests = [self.request(query.sql, query.params, factory) for query in queries]
            statement = self.core.resolved(requests[0].text)
            if self.state.block is not None or not may_be_bundled(statement):
                return None
            decision = self.place(requests[0], None)
            if decision.route is Route.ENDPOINT:
                return None
            return await self.together(requests, decision)
        finally:
            self.release()

    # ---------------------------------------------------------------------------------- forking

    def fork(self) -> AsyncAsking:
        """One of its own that starts from what this one has seen and set."""
        return AsyncAsking(self.core, self.needs, SessionState(self.state.seen, self.state.ledger))

    def join(self, other: AsyncAsking) -> None:
        """Take over what a fork has seen."""
        self.state.saw(other.state.seen)

    def is_set_as(self, other: AsyncAsking) -> bool:
        """Whether a statement runs here as it would in a new fork of *other*."""
        return self.state.block is None and self.state.ledger is other.state.ledger

    def is_read(self, query: Query) -> bool:
        """Whether it is a confirmed read."""
        return self.core.resolved(self.request(query.sql, query.params).text).is_read

    # ----------------------------------------------------------------------------------- checks

    def claim(self) -> None:
        """Take the session for one statement. Raises `UsageError` when another has it."""
        self.check_open()
        if not self._busy.acquire(blocking=False):
            raise UsageError(
                "this session is in use: give every thread and task a session of its own, "
                "they are cheap"
            )

    def release(self) -> None:
        """The statement has ended."""
        self._busy.release()

    @property
    def condition(self) -> str:
        """For people."""
        return "closed" if self._closed else "in use" if self._busy.locked() else "idle"

    def check_alive(self) -> None:
        """Raise `UsageError` unless the engine is open, in this process."""
        self.core.check_open()

    def check_open(self) -> None:
        """Raise `UsageError` unless it and the engine are open, in this process."""
        if self._closed:
            raise UsageError("the session is closed; make a new one with engine.session()")
        self.core.check_open()
