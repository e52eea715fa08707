"""What a session does once it is decided where: its connection, its cursor, its open block."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import psycopg
from psycopg import AsyncCursor
from psycopg.rows import tuple_row

from ..answers.result import Column, Result
from ..answers.rows import ListRows
from ..answers.shape import (
    Done,
    Loaded,
    NotBound,
    NotDescribed,
    status_of_read,
    texts_of,
    uncounted,
    unquoted_json,
)
from ..errors import ParityError, RoutingError
from ..outcome import annotate
from ..parity import Inexact, from_duckdb
from ..pooling import Slot
from ..process.clock import now
from ..process.ending import is_over
from ..replicas.duck import DuckError, Interrupted, NotOneStatement, Run
from ..replicas.members import Member
from ..request import Request
from ..routing.affinity import rendezvous
from ..routing.decision import NO_FACTS, Decision, Route
from ..routing.freshness import Freshness
from ..routing.ledger import Ledger
from ..routing.router import down, required, stale
from ..runtime import aio as runtime
from ..servers.profile import Dialect
from ..settings.config import Consistency
from ..sql import Fact, Statement
from .blocks import Block
from .replicas.set import interrupt, is_wired, wired
from .replicas.slots import NoneLeft
from .sides.endpoint import AsyncPooled
from .stream import STREAMED, AsyncStream, endpoint_parts, replica_parts, taken

if TYPE_CHECKING:
    from .engine import AsyncEngine

_CANCEL_EVERY = 0.05


@dataclass(frozen=True, slots=True)
class Needs:
    """What a session asks of a replica."""

    user: str | None
    consistency: Consistency
    max_staleness: float | None


class AsyncRunner:
    """Runs one session's statements, one at a time, on the side that was decided on.

    `seen` is the position of what the session has seen. What a statement has set is in `ledger`
    and on the connection `kept`, which stays with the session to the end.
    """

    def __init__(self, engine: AsyncEngine, needs: Needs, seen: int) -> None:
        self._engine = engine
        self.needs = needs
        self.seen = seen
        self.block: Block | None = None
        self.kept: AsyncPooled | None = None
        self.ledger = Ledger()
        self.running: tuple[Slot[Member], Run] | AsyncPooled | None = None
        self._cancelling = threading.Lock()

    async def close(self) -> None:
        """End a snapshot that a statement began, and let the kept connection go."""
        block, kept = self.block, self.kept
        self.kept = None
        try:
            if block is not None and block.by_statement:
                self.block = None
                await self.end_snapshot(block)
        finally:
            if kept is not None:
                await self._engine.give_back(kept, discard=True)

    if not runtime.ASYNC:

        def cancel(self) -> None:
            """Stop what another thread runs, if anything; return once it has been stopped."""
            running = self.running
            if running is not None:
                self._stop(running, partial(_cancel, running))

    def interrupt(self, running: tuple[Slot[Member], Run]) -> None:
        """Stop what is *running* on a replica, from another thread; return once it has stopped."""
        self._stop(running, partial(interrupt, *running))

    def _stop(self, running: object, stop: Callable[[], None]) -> None:
        # Repeated: DuckDB forgets an interrupt that comes before the query has begun.
        while self.running is running:
            with self._cancelling:
                if self.running is running:
                    stop()
            time.sleep(_CANCEL_EVERY)
            if is_over():
                # What does not heed it is not waited for any longer.
                return

    # --------------------------------------------------------------------------- on the endpoint

    async def on_endpoint(self, request: Request, decision: Decision) -> Result[Any]:
        engine, block = self._engine, self.block
        statement = engine.analyse(request.text)
        if not statement.is_read:
            engine.check_sendable(statement)
        began = now()
        connection = block.connection if block is not None else await self._connection()
        assert connection is not None
        lent = block is None and connection is not self.kept
        write = self._begin_write(block) if statement.may_write else None
        self.running = connection
        executed = False
        try:
            cursor = await connection.execute(request.query, request.params)
            executed = True
            if statement.pins:
                self._note(statement, block, connection)
            result = await self._fetched(connection, cursor, request, decision, began)
        except psycopg.Error as error:
            self._raise(
                error,
                request.text,
                is_read=statement.is_read,
                lost=connection.broken,
                in_transaction=block is not None,
                executed=executed,
            )
        finally:
            # A connection that is being cancelled must not be handed on before that is over.
            with self._cancelling:
                self.running = None
            if write is not None:
                engine.log.finish(write)
            if not statement.setting:
                # What was read may include every write that has started, acknowledged or not.
                self.seen = max(self.seen, engine.log.started)
            if lent and connection is not self.kept:
                await engine.give_back(connection, discard=statement.pins)
        if statement.changes_schema:
            await self._schema_changed(block)
        engine.count(decision)
        return result

    async def _fetched(
        self,
        connection: AsyncPooled,
        cursor: AsyncCursor[tuple[Any, ...]],
        request: Request,
        decision: Decision,
        began: float,
    ) -> Result[Any]:
        """The result of what has run over a connection. Raises psycopg's errors, ParityError."""
        engine, statement = self._engine, self._engine.analyse(request.text)
        # A cursor without a result set has no row number.
        with unquoted_json():
            rows = await cursor.fetchall() if cursor.rownumber is not None else None
        done = Done(rows, cursor.rowcount, cursor.statusmessage)
        if rows is not None and not statement.is_read:
            done = uncounted(statement, rows, cursor)
        if done.rows and engine.dialect is Dialect.DUCKDB and statement.is_query:
            columns = cursor.description or ()
            read = await engine.read_texts(connection, request, columns, done.rows)
            done = done._replace(rows=read)
        return Result(
            None if done.rows is None else ListRows(done.rows, texts_of(cursor)),
            cursor,
            decision,
            seconds=now() - began,
            rowcount=done.rowcount,
            statusmessage=done.statusmessage,
            zone=engine.zone,
            row_factory=request.row_factory,
        )

    async def _connection(self) -> AsyncPooled:
        """The session's own connection; else a lent one, which a fork makes like its session's."""
        if self.kept is not None:
            return self.kept
        connection = await self._engine.lend()
        try:
            for setting in self.ledger.replay:
                await connection.execute(setting)
                self.kept = connection
        except BaseException:
            self.kept = None
            await self._engine.give_back(connection, discard=True)
            raise
        return connection

    def _raise(self, error: psycopg.Error, text: str | None, **facts: bool) -> NoReturn:
        """Raise what the endpoint said as PostgreSQL would have said it, with its outcome."""
        known = annotate(self._engine.explained(error, text), **facts)
        if known is error:
            raise error
        raise known from error

    def _begin_write(self, block: Block | None) -> int | None:
        if block is None:
            return self._engine.log.begin()
        if block.write is None:
            # In flight until the transaction has ended.
            block.write = self._engine.log.begin()
        return None

    def _note(self, statement: Statement, block: Block | None, connection: AsyncPooled) -> None:
        """Remember what a statement has set, and on which connection."""
        if block is None:
            self.kept = connection
            replays = self._engine.dialect is Dialect.DUCKDB
            self.ledger = self.ledger.after(statement, replays=replays)
        elif statement.outlives_transaction:
            block.keeps_connection = True
            self.ledger = self.ledger.after(statement, replays=False)

    async def _schema_changed(self, block: Block | None) -> None:
        if block is not None:
            block.changed_schema = True
        else:
            await self._engine.schema_changed()

    # ------------------------------------------------------------------------------ on a replica

    def accepts(self) -> Any:
        """A test whether a replica has seen what this session must see."""
        needed = required(self.needs.consistency, self.seen, self._engine.log.started)
        bound = self.needs.max_staleness
        moment = now() if bound is not None else 0.0
        # Where there is nothing else, one that is not well may be back.
        last = self._engine.endpoint is None
        return lambda m: (m.is_well or last) and m.freshness.serves(needed, bound, moment)

    @property
    def is_served(self) -> bool:
        """Whether a replica would run a read of this session now, or there is nothing else."""
        members = self._engine.members
        return any(map(self.accepts(), members)) or not (members or self._engine.endpoint)

    async def on_replica(
        self, request: Request, decision: Decision, asked: Route | None
    ) -> Result[Any] | Decision:
        """Run a confirmed read on a replica, or say why the endpoint must run it after all."""
        engine = self._engine
        slot: Slot[Member] | None = None
        run, began = Run(), now()
        try:
            slot = await self._borrow()
            if slot is None:
                return self._elsewhere(request, self.not_served(decision.facts), asked)
            if is_wired(slot):
                return await self._over_wire(slot, request, decision, asked)
            values = await engine.bind(request)
            shape = await engine.shape(request)
            self.running = (slot, run)
            found = slot.replica.freshness
            loaded = await engine.replicas.execute(
                slot,
                run,
                request.text,
                values,
                engine.reading(request, shape),
                () if self.block is not None else self.ledger.replay,
            )
        except Interrupted as error:
            raise from_duckdb(error, engine.redact) from error
        except (Inexact, NotBound, NotDescribed, NotOneStatement, DuckError) as error:
            _report(slot, error)
            return self._elsewhere(request, engine.setback(request.text, error), asked, error)
        finally:
            self.running = None
            if slot is not None:
                self._return(slot)
        slot.replica.report(None)
        done = self._answered(slot, decision, found)
        return self._result(request, loaded, done, now() - began)

    def _result(
        self, request: Request, loaded: Loaded, decision: Decision, seconds: float
    ) -> Result[Any]:
        engine, count = self._engine, len(loaded.rows)
        return Result(
            loaded.rows,
            loaded.columns,
            decision,
            seconds=seconds,
            rowcount=count,
            statusmessage=status_of_read(engine.analyse(request.text).verb, count),
            zone=engine.zone,
            row_factory=request.row_factory,
        )

    async def together(
        self, requests: Sequence[Request], decision: Decision
    ) -> list[Result[Any]] | None:
        """Run confirmed reads of one text as one query on a replica; None where each is to run by
        itself. So it is, too, when this raises: whose fault it was, if anybody's, shows then."""
        engine = self._engine
        reading = engine.together(requests)
        if reading is None:
            return None
        values = [value for request in requests for value in await engine.bind(request)]
        slot = await self._borrow()
        if slot is None:
            return None
        run, began, found = Run(), now(), slot.replica.freshness
        try:
            if not slot.replica.runs_bundles:
                return None
            self.running = (slot, run)
            loaded = await engine.replicas.execute(
                slot, run, reading.query, values, reading, self.ledger.replay
            )
        finally:
            self.running = None
            self._return(slot)
        slot.replica.report(None)
        done = self._answered(slot, decision, found, len(requests))
        each = (now() - began) / len(requests)
        return [
            self._result(request, one, done, each)
            for request, one in zip(requests, loaded, strict=True)
        ]

    async def _over_wire(
        self, slot: Slot[Member], request: Request, decision: Decision, asked: Route | None
    ) -> Result[Any] | Decision:
        """Run a read on a replica that is reached by a connection."""
        began, found = now(), slot.replica.freshness
        try:
            connection = await self._wired(slot)
            cursor = await connection.execute(request.query, request.params)
            result = await self._fetched(connection, cursor, request, decision, began)
        except ParityError:
            raise
        except psycopg.Error as error:
            return self._unwired(slot, request, asked, error)
        except BaseException:
            # Cancelled: psycopg has stopped the statement, but who knows in time.
            _break(slot)
            raise
        slot.replica.report(None)
        return result.decided(self._answered(slot, decision, found))

    async def _wired(self, slot: Slot[Member]) -> AsyncPooled:
        """The connection of a slot, with what the session has set."""
        in_transaction = self.block is not None
        connection = self.running = await wired(slot, in_transaction=in_transaction)
        for setting in () if self.block is not None else self.ledger.replay:
            _break(slot)  # for everybody else
            await connection.execute(setting)
        return connection

    def _unwired(
        self, slot: Slot[Member], request: Request, asked: Route | None, error: psycopg.Error
    ) -> Decision:
        """What a connection's error means: a read that failed there may run on the endpoint."""
        known = self._engine.explained(error, request.text)
        if isinstance(known, psycopg.errors.QueryCanceled):
            raise known from error
        slot.replica.report(error)
        if slot.cursor is not None and slot.cursor.connection.broken:
            _break(slot)
        decision = self._engine.setback(request.text, error)
        try:
            return self._elsewhere(request, decision, asked, error)
        except RoutingError:
            raise known from error

    def _answered(
        self, slot: Slot[Member], decision: Decision, found: Freshness, times: int = 1
    ) -> Decision:
        """Note what a replica has shown so many *times*, which was as fresh as *found* before."""
        # It may have moved on meanwhile, and a live one shows what the endpoint would show.
        shown, started = slot.replica.freshness, self._engine.log.started
        self.seen = max(self.seen, started if shown.is_live else int(shown.position))
        done = decision.by(slot.replica.name, found.staleness(now()))
        self._engine.count(done, times)
        return done

    # ----------------------------------------------------------------------------------- streams

    @asynccontextmanager
    async def stream(
        self, request: Request, decision: Decision, asked: Route | None
    ) -> AsyncIterator[AsyncStream[Any]]:
        """Run a read and hand its rows on as they come."""
        if decision.route is Route.REPLICA:
            slot, run = await self._borrow(), Run()
            if slot is not None and is_wired(slot):
                async with self._stream_wire(slot, request, decision) as stream:
                    yield stream
                return
            try:
                opened = await self._open_on_replica(slot, run, request, decision, asked)
                if isinstance(opened, AsyncStream):
                    yield opened
                    return
                decision = opened
            finally:
                self._end_stream(slot)
        if decision.is_spill:
            async with self._engine.spilling(), self._stream_endpoint(request, decision) as stream:
                yield stream
        else:
            async with self._stream_endpoint(request, decision) as stream:
                yield stream

    async def _open_on_replica(
        self,
        slot: Slot[Member] | None,
        run: Run,
        request: Request,
        decision: Decision,
        asked: Route | None,
    ) -> AsyncStream[Any] | Decision:
        """Begin to read from a replica, or say why the endpoint must."""
        engine = self._engine
        if slot is None:
            return self._elsewhere(request, self.not_served(decision.facts), asked)
        found = slot.replica.freshness
        before = () if self.block is not None else self.ledger.replay
        self.running = (slot, run)
        try:
            reading = engine.reading(request, await engine.shape(request))
            values = await engine.bind(request)
            load = await engine.replicas.open_stream(
                slot, run, request.text, values, reading, before
            )
            first = await engine.replicas.on_thread(slot, run, load)
        except Interrupted as error:
            raise from_duckdb(error, engine.redact) from error
        except (Inexact, NotBound, NotDescribed, NotOneStatement, DuckError) as error:
            _report(slot, error)
            return self._elsewhere(request, engine.setback(request.text, error), asked, error)
        slot.replica.report(None)
        done = self._answered(slot, decision, found)
        parts = replica_parts(engine, slot, run, first, load)
        return AsyncStream(parts, first.columns, done, request.row_factory)

    @asynccontextmanager
    async def _stream_wire(
        self, slot: Slot[Member], request: Request, decision: Decision
    ) -> AsyncIterator[AsyncStream[Any]]:
        found = slot.replica.freshness
        try:
            connection = await self._wired(slot)
            done = self._answered(slot, decision, found)
            async with self._stream_over(connection, request, done) as stream:
                yield stream
        except psycopg.Error as error:
            slot.replica.report(error)
            self._raise(error, request.text, is_read=True)
        finally:
            self._end_stream(slot)

    def _end_stream(self, slot: Slot[Member] | None) -> None:
        self.running = None
        if slot is None:
            return
        if self.block is None:
            # What was not read of its result would stay in memory.
            _break(slot)
        self._return(slot)

    @asynccontextmanager
    async def _stream_endpoint(
        self, request: Request, decision: Decision
    ) -> AsyncIterator[AsyncStream[Any]]:
        engine, block = self._engine, self.block
        connection = block.connection if block is not None else await self._connection()
        assert connection is not None
        self.running = connection
        try:
            self._engine.count(decision)
            async with self._stream_over(connection, request, decision) as stream:
                yield stream
        except psycopg.Error as error:
            self._raise(error, request.text, is_read=True, lost=connection.broken)
        finally:
            with self._cancelling:
                self.running = None
            self.seen = max(self.seen, engine.log.started)
            if block is None and connection is not self.kept:
                await engine.give_back(connection)

    @asynccontextmanager
    async def _stream_over(
        self, connection: AsyncPooled, request: Request, decision: Decision
    ) -> AsyncIterator[AsyncStream[Any]]:
        cursor = connection.cursor(row_factory=tuple_row)
        rows: Any = cursor.stream(request.query, request.params, size=STREAMED)
        try:
            first = await taken(rows)
            if not first:
                # psycopg drops what a stream without rows says of its columns.
                cursor = await connection.execute(request.query, request.params)
                first = await cursor.fetchall()
            columns = [Column.of(column) for column in cursor.description or ()]
            parts = endpoint_parts(self._engine, request, columns, first, rows)
            yield AsyncStream(parts, columns, decision, request.row_factory)
        finally:
            await rows.aclose()

    async def _borrow(self) -> Slot[Member] | None:
        """A cursor of a replica that is fresh enough; None when there is no such replica."""
        if self.block is not None:
            return self.block.slot
        accepts, replicas, user = self.accepts(), self._engine.replicas, self.needs.user
        slot = replicas.take(accepts) if user is None else None
        if slot is not None:
            return slot
        fresh = [member for member in replicas.members if accepts(member)]
        if not fresh:
            replicas.want()
            if replicas.members or self._engine.endpoint is not None:
                return None
        preferred = rendezvous(user, fresh) if fresh and user is not None else None
        try:
            return await replicas.lend(accepts, preferred)
        except NoneLeft:
            return None

    def not_served(self, facts: Fact) -> Decision:
        """Why no replica was found: none serves, or none is fresh enough."""
        members = self._engine.serving
        if not members:
            return down(self._engine.replicas.trouble, facts)
        moment = now()
        ages = (member.freshness.staleness(moment) for member in members)
        return stale(self.needs.consistency, ages, facts)

    def _return(self, slot: Slot[Member]) -> None:
        if self.block is None:
            self._engine.replicas.give_back(slot)

    def _elsewhere(
        self,
        request: Request,
        decision: Decision,
        asked: Route | None,
        error: Exception | None = None,
    ) -> Decision:
        """Move a read to the endpoint: it had no effect. Raises where it must not move."""
        if asked is not Route.REPLICA and self.block is None and self._engine.endpoint is not None:
            return decision
        if isinstance(error, DuckError):
            raise from_duckdb(error, self._engine.redact, text=request.text) from error
        if isinstance(error, NotDescribed):
            raise error.reason from None
        if isinstance(error, Inexact):
            raise ParityError(str(error)) from None
        raise refusal(decision) from error

    # ------------------------------------------------------------------------------------ blocks

    @asynccontextmanager
    async def committed(self, block: Block) -> AsyncIterator[None]:
        assert block.connection is not None
        committing = False
        try:
            async with block.connection.transaction():
                yield
                committing = True
        except psycopg.Error as error:
            self._raise(error, None, is_read=not committing, lost=block.connection.broken)
        block.ended_well = True

    async def end(self, block: Block) -> None:
        engine = self._engine
        if block.write is not None:
            engine.log.finish(block.write)
        self.seen = max(self.seen, engine.log.started)
        if block.keeps_connection and block.connection is not None and not block.connection.closed:
            self.kept = block.connection
        if block.connection is not None and block.connection is not self.kept:
            # An endpoint that cannot tell its transaction status cannot tell that one is open.
            trusted = block.ended_well or engine.profile.reports_transactions
            await engine.give_back(block.connection, discard=not trusted)
        if block.changed_schema:
            await engine.schema_changed()

    async def open_snapshot(self) -> Block:
        block = await self.open_replica_snapshot()
        if block is not None:
            return block
        if self._engine.endpoint is None:
            raise refusal(self.not_served(NO_FACTS))
        return await self._open_endpoint_snapshot()

    async def open_replica_snapshot(self) -> Block | None:
        """Begin a snapshot on a replica; None if none may serve it."""
        slot = await self._borrow() if self._engine.settings.replicas else None
        if slot is None:
            return None
        await self._engine.replicas.begin(slot, self.ledger.replay)
        return Block(slot=slot, is_snapshot=True)

    async def _open_endpoint_snapshot(self) -> Block:
        block = Block(connection=self.kept or await self._engine.lend(), is_snapshot=True)
        assert block.connection is not None
        try:
            await block.connection.execute(self._engine.profile.begin_snapshot)
        except BaseException:
            if block.connection is not self.kept:
                await self._engine.give_back(block.connection, discard=True)
            raise
        return block

    async def control_snapshot(self, request: Request, decision: Decision) -> Result[Any] | None:
        """Begin or end a snapshot by statement; None for what runs in one."""
        statement = self._engine.analyse(request.text)
        block, began = self.block, now()
        if statement.begins_snapshot and block is None:
            block = self.block = await self.open_snapshot()
            block.by_statement = True
        elif statement.ends_transaction and block is not None and block.by_statement:
            self.block = None
            await self.end_snapshot(block)
        else:
            return None
        if block.slot is not None:
            replica = block.slot.replica
            decision = decision.by(replica.name, replica.freshness.staleness(now()))
        self._engine.count(decision)
        return Result(
            None,
            (),
            decision,
            seconds=now() - began,
            rowcount=-1,
            statusmessage=statement.verb,
            row_factory=request.row_factory,
        )

    async def end_snapshot(self, block: Block) -> None:
        if block.slot is not None:
            await self._engine.replicas.end(block.slot)
        elif block.connection is not None:
            try:
                await block.connection.execute("ROLLBACK")
                block.ended_well = True
            finally:
                await self.end(block)


def _break(slot: Slot[Member]) -> None:
    """Its cursor is for nobody else."""
    if slot.cursor is not None:
        slot.cursor.broken = True


def _report(slot: Slot[Member] | None, error: Exception) -> None:
    if slot is not None and isinstance(error, DuckError):
        slot.replica.report(error)


def refusal(decision: Decision) -> RoutingError:
    """What is raised where a decision leaves nothing to do."""
    return RoutingError(f"cannot run here: {decision.explain()}", decision)


if not runtime.ASYNC:

    def _cancel(running: tuple[Slot[Member], Run] | AsyncPooled) -> None:
        if isinstance(running, tuple):
            interrupt(*running)
        else:
            running.cancel_safe()  # type: ignore[unused-ignore,unused-coroutine]  # this is the threads' half
