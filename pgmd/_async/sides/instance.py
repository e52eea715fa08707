"""A replica's side where DuckDB runs in this process: one cursor of an instance."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import psycopg

from ...answers.fetching import Fetching, Loaded, Together
from ...answers.found import Found, Setback
from ...answers.result import status_of_read
from ...answers.shapes import NotBound, NotDescribed
from ...errors import ParityError
from ...parity import Inexact, from_duckdb, is_write_refusal
from ...pooling import Slot
from ...process.clock import now
from ...replicas.cursor import Cursor, DuckError, Interrupted, NotOneStatement, Run
from ...replicas.instance import Instance
from ...replicas.members import Member
from ...request import Request
from ...routing.decision import Reason
from ...routing.freshness import Freshness
from ...sql import analyse
from .interface import AsyncShared, Parts

_log = logging.getLogger("pgmd.replica")
T = TypeVar("T")

_SETBACKS = (Inexact, NotBound, NotDescribed, NotOneStatement, DuckError)


class AsyncInstanceLent:
    """A cursor of a replica, lent to one session."""

    __slots__ = ("_run", "_shared", "slot")

    def __init__(self, shared: AsyncShared, slot: Slot[Member]) -> None:
        self._shared = shared
        self._run: Run | None = None
        self.slot = slot

    @property
    def name(self) -> str:
        return self.slot.replica.name

    @property
    def freshness(self) -> Freshness:
        return self.slot.replica.freshness

    # ------------------------------------------------------------------------------ statements

    async def run(self, request: Request, before: Sequence[str] = ()) -> Found | Setback:
        """See `AsyncLent.run()`."""
        shared, run = self._shared, Run()
        self._run = run
        try:
            values = await shared.describing.bind(request)
            shape = await shared.describing.shape(request)
            reading = shared.knowledge.shapes.reading(request, shape)
            loaded = await self._execute(run, request.text, values, reading, before)
        except Interrupted as error:
            raise from_duckdb(error, shared.redact) from error
        except _SETBACKS as error:
            return self._setback(request, error)
        self.slot.replica.report(None)
        return _found(request, loaded, now() - run.ended)

    async def run_together(
        self, requests: Sequence[Request], together: Together, before: Sequence[str] = ()
    ) -> list[Found]:
        """Run reads of one text as one query. Raises whatever stops that."""
        run = self._run = Run()
        bind = self._shared.describing.bind
        values = [value for request in requests for value in await bind(request)]
        loaded = await self._execute(run, together.query, values, together, before)
        self.slot.replica.report(None)
        seconds = (now() - run.ended) / len(requests)
        return [
            _found(request, one, seconds) for request, one in zip(requests, loaded, strict=True)
        ]

    @asynccontextmanager
    async def stream(
        self, request: Request, before: Sequence[str] = ()
    ) -> AsyncIterator[Parts | Setback]:
        """See `AsyncLent.stream()`."""
        shared, run = self._shared, Run()
        self._run = run
        try:
            reading = shared.knowledge.shapes.reading(
                request, await shared.describing.shape(request)
            )
            values = await shared.describing.bind(request)
            load = await self._open(run, request.text, values, reading, before)
            first = await self._on_thread(run, load)
        except Interrupted as error:
            raise from_duckdb(error, shared.redact) from error
        except _SETBACKS as error:
            yield self._setback(request, error)
            return
        self.slot.replica.report(None)
        yield Parts(first.columns, self._parts(run, first, load))

    async def _parts(
        self, run: Run, first: Loaded, load: Callable[[], Loaded]
    ) -> AsyncIterator[Sequence[object]]:
        """The rows of *first*, and of what *load* finds until that is empty."""
        try:
            rows = await self._on_thread(run, lambda: _rows_of(first))
            while rows:
                yield rows
                rows = await self._on_thread(run, lambda: _rows_of(load()))
        except Inexact as error:
            raise ParityError(str(error)) from None
        except DuckError as error:
            raise from_duckdb(error, self._shared.redact) from error

    async def _execute(
        self,
        run: Run,
        text: str,
        values: Sequence[object],
        reading: Fetching[T],
        before: Sequence[str],
    ) -> T:
        """Run one read and load its answer, both in the executor.

        What *before* sets is gone with the cursor when that is given back.
        """

        def work() -> T:
            cursor = self._cursor()
            try:
                answer = cursor.execute(run, text, values, reading, before)
                run.ended = now()
                return reading.load(answer)
            except Inexact as error:
                untold = error
            except OverflowError as error:
                # An interval or a date at the end of what Python can hold.
                untold = Inexact(str(error))
            if not reading.wants_arrow():
                raise untold
            answer = cursor.execute(run, text, values, reading)
            run.ended = now()
            return reading.load(answer)

        return await self._on_thread(run, work)

    async def _open(
        self,
        run: Run,
        text: str,
        values: Sequence[object],
        reading: Fetching[Loaded],
        before: Sequence[str],
    ) -> Callable[[], Loaded]:
        """Start one read; what is returned loads the next part, blocking."""

        def work() -> Callable[[], Loaded]:
            part = self._cursor().open(run, text, values, reading, before)
            return lambda: reading.load(part())

        return await self._on_thread(run, work)

    async def _on_thread(self, run: Run, work: Callable[[], T]) -> T:
        """Do blocking *work* on the cursor; cancelling interrupts DuckDB."""
        return await self._shared.replicas.blocking(work, lambda: self._interrupt(run))

    def _setback(self, request: Request, error: Exception) -> Setback:
        if isinstance(error, DuckError):
            self.slot.replica.report(error)
        reason, detail, lasting = _why(error)
        decision = self._shared.setback(request.text, reason, detail, lasting=lasting)
        return Setback(decision, self._untold(request, error), error)

    def _untold(self, request: Request, error: Exception) -> psycopg.Error | None:
        """What the caller gets where the read must not move."""
        if isinstance(error, DuckError):
            return from_duckdb(error, self._shared.redact, text=request.text)
        if isinstance(error, NotDescribed):
            return error.reason
        return ParityError(str(error)) if isinstance(error, Inexact) else None

    # ----------------------------------------------------------------------------- transactions

    async def begin(self, before: Sequence[str] = ()) -> None:
        """See `AsyncLent.begin()`."""
        for setting in before:
            await self._command(setting)
        await self._command("BEGIN TRANSACTION READ ONLY")
        if before:
            self.spoil()

    async def begin_anew(self, before: Sequence[str] = ()) -> None:
        """As `begin()`, on a new cursor in the same slot, which stays lent.

        A statement has failed in the old one's transaction, in which DuckDB runs nothing more; an
        interrupt that came late may still be about to hit the next.
        """
        if self.slot.cursor is not None:
            self.slot.cursor.close()
            self.slot.cursor = None
        await self.begin(before)

    async def end(self) -> None:
        """See `AsyncLent.end()`."""
        ended = False
        try:
            await self._command("ROLLBACK")
            ended = True
        except DuckError as error:
            _log.debug("cursor of %s is closed: %s", self.name, type(error).__name__)
        finally:
            await self.give_back(discard=not ended)

    async def _command(self, text: str) -> None:
        """Run one of pgmd's own statements, or one that a session has set something with."""
        run = Run()
        await self._on_thread(run, lambda: self._cursor().command(run, text))

    # --------------------------------------------------------------------------------- lending

    def spoil(self) -> None:
        """The cursor is for nobody else."""
        if self.slot.cursor is not None:
            self.slot.cursor.broken = True

    def cancel(self) -> None:
        """See `AsyncLent.cancel()`."""
        if self._run is not None:
            self._interrupt(self._run)

    def _interrupt(self, run: Run) -> None:
        """Stop what *run* does, now or as soon as it starts."""
        run.cancelled = True
        if self.slot.cursor is not None:
            self.slot.cursor.interrupt(run)

    async def give_back(self, *, discard: bool = False) -> None:
        """See `AsyncLent.give_back()`. Never waits, so that no cancellation can lose it."""
        if discard:
            self.spoil()
        self._shared.replicas.give_back(self.slot)

    def _cursor(self) -> Cursor:
        slot = self.slot
        if slot.cursor is None:
            assert isinstance(slot.replica.instance, Instance)
            slot.cursor = slot.replica.instance.cursor()
        return slot.cursor  # type: ignore[no-any-return]


def _found(request: Request, loaded: Loaded, seconds: float) -> Found:
    count = len(loaded.rows)
    status = status_of_read(analyse(request.text).verb, count)
    return Found(loaded.rows, loaded.columns, count, status, seconds)


def _rows_of(loaded: Loaded) -> list[object]:
    return [row for part in loaded.rows.lists() for row in part]


def _why(error: Exception) -> tuple[Reason, str, bool]:
    """Why a replica did not answer, and whether it never will."""
    if isinstance(error, NotBound):
        return Reason.PARAMETERS, str(error), False
    if isinstance(error, Inexact):
        return Reason.RESULT, str(error), error.lasting
    if isinstance(error, DuckError) and is_write_refusal(error):
        return Reason.REFUSED, "", True
    return Reason.FAILED, type(error).__name__, False
