# Generated from pgmd/_async/session.py by pgmd._tools.unasync. Do not edit.
"""A session: the unit of consistency. It asks where a statement may run, and runs it there."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, Self, overload

import psycopg
from psycopg.rows import BaseRowFactory
from typing_extensions import TypeVar

from ..clock import now
from ..config import Consistency
from ..duck import DuckError, Interrupted, NotOneStatement, Run
from ..errors import RoutingError, UsageError
from ..outcome import annotate
from ..parity import Inexact, from_duckdb
from ..pooling import Slot
from ..profile import Dialect
from ..query import Params, Query, Request, Sql
from ..result import Result
from ..routing.affinity import rendezvous
from ..routing.decision import Decision, Reason, Route
from ..routing.freshness import Bookmark, Freshness
from ..routing.ledger import Ledger
from ..routing.router import required, stale
from ..runtime import threads as runtime
from ..shape import Done, NotBound, NotDescribed, status_of_read, uncounted
from ..sql import Statement
from .blocks import Block, EndpointView, ReplicaView, Snapshot, Transaction
from .endpoint import Pooled, unsupported_savepoint
from .fanout import fan_out
from .replicas import Member, interrupt

if TYPE_CHECKING:
    from .engine import Engine

Row = TypeVar("Row", default=tuple[Any, ...])
Other = TypeVar("Other")
RouteName = Literal["endpoint", "replica"]

_CANCEL_EVERY = 0.05


class Session(Generic[Row]):
    """Runs statements with one view of time: it sees its own writes and never goes back.

    Cheap to make, for one request, user or job. Not for sharing: two threads or tasks in it at
    once get a `UsageError`. Leaving the `with` block closes it.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        user: str | None = None,
        seen: int = 0,
        consistency: Consistency = "session",
        max_staleness: float | None = None,
        row_factory: BaseRowFactory[Any] | None = None,
    ) -> None:
        self._engine = engine
        self._user = user
        self._seen = seen
        self._consistency = consistency
        self._max_staleness = max_staleness
        self._row_factory = row_factory
        self._busy = threading.Lock()
        self._block: Block | None = None
        # What a statement has set stays with the connection, so that is kept to the end.
        self._kept: Pooled | None = None
        self._ledger = Ledger()
        self._running: tuple[Slot[Member], Run] | Pooled | None = None
        self._cancelling = threading.Lock()
        self._closed = False

    # ------------------------------------------------------------------------------ public

    @overload
    def execute(
        self, query: Sql, params: Params | None = None, *, route: RouteName | None = None
    ) -> Result[Row]: ...

    @overload
    def execute(
        self,
        query: Sql,
        params: Params | None = None,
        *,
        row_factory: BaseRowFactory[Other],
        route: RouteName | None = None,
    ) -> Result[Other]: ...

    def execute(
        self,
        query: Sql,
        params: Params | None = None,
        *,
        row_factory: BaseRowFactory[Any] | None = None,
        route: RouteName | None = None,
    ) -> Result[Any]:
        """Run one statement where it may run, and fetch its complete result.

        Inside `transaction()` or `snapshot()` it takes part in that. Placeholders and parameters
        are psycopg's. *route* says where, as a leading comment `/*+ pgmd: endpoint */` does; what
        may not run on a "replica" is refused there with `RoutingError`. Raises psycopg's classes
        whichever side ran it, each with `outcome` and `retryable`; `UsageError` when the session
        is closed or in use elsewhere. Cancelling stops the statement on its side and leaves the
        session usable.
        """
        return self.run(query, params, row_factory, _route_called(route))

    def run(
        self,
        query: Sql,
        params: Params | None,
        row_factory: BaseRowFactory[Any] | None,
        asked: Route | None = None,
    ) -> Result[Any]:
        """`execute()`, on the route that was *asked* for, if any."""
        self._claim()
        try:
            request = Request.read(query, params, row_factory or self._row_factory)
            decision = self._place(request, asked)
            if decision.reason is Reason.SNAPSHOT:
                answer = self._control_snapshot(request, decision)
                if answer is not None:
                    return answer
            if decision.route is Route.REPLICA:
                result = self._on_replica(request, decision, asked)
                if isinstance(result, Result):
                    return result
                decision = result
            return self._on_endpoint(request, decision)
        except psycopg.Error as error:
            # What may have had an effect says so already; the rest was a read or was not sent.
            annotate(error, is_read=True)
            raise
        finally:
            self._busy.release()

    def explain(self, query: Sql, params: Params | None = None) -> Decision:
        """Decide where a statement would run now, and why. Nothing is run.

        A replica may still turn out unable to give exactly what the endpoint would give; the
        statement then runs on the endpoint, and `result.decision` says so.
        """
        self._check_open()
        request = Request.read(query, params, None)
        return self._held(request) or self._route(request)

    @property
    def endpoint(self) -> EndpointView[Row]:
        """The same session, with every statement on the endpoint."""
        return EndpointView(self)

    @property
    def replica(self) -> ReplicaView[Row]:
        """The same session, with every statement on a replica, or refused."""
        return ReplicaView(self)

    @property
    def bookmark(self) -> Bookmark:
        """What this session has seen; `engine.session(after=...)` continues from it anywhere."""
        return Bookmark(self._engine.log.epoch, self._seen)

    def map(
        self,
        query: Sql,
        param_sets: Iterable[Params],
        *,
        concurrency: int = 8,
        row_factory: BaseRowFactory[Any] | None = None,
    ) -> Iterator[Result[Any]]:
        """Run one statement with many parameter sets, *concurrency* at a time.

        Results come in order; parameter sets are read and results kept only *concurrency* ahead.
        The first error stops the rest and is raised. Closing the iterator stops the rest too: a
        loop that may be left early wants `contextlib.aclosing` around it under asyncio.
        """
        queries = (Query(query, params, row_factory) for params in param_sets)
        return self._fan_out(queries, concurrency)

    def gather(self, queries: Iterable[Query], *, concurrency: int = 8) -> list[Result[Any]]:
        """Run many statements, *concurrency* at a time; return their results in order.

        The first error stops the rest and is raised.
        """
        return [result for result in self._fan_out(queries, concurrency)]

    @contextmanager
    def transaction(self) -> Iterator[Transaction[Row]]:
        """A transaction on one endpoint connection: committed at the end, rolled back on error.

        Statements of the session inside the block take part. A nested one is a savepoint where
        the endpoint has them, else a `NotSupportedError` before anything is sent. A COMMIT whose
        answer was lost raises with `outcome` UNKNOWN. Cancelling rolls back.
        """
        self._check_open()
        outer = self._block
        if outer is not None and outer.is_snapshot:
            raise UsageError("a transaction() cannot start inside a snapshot(), which only reads")
        if outer is not None and not self._engine.profile.has_savepoints:
            raise unsupported_savepoint(self._engine.profile)
        if self._engine.endpoint is None:
            raise UsageError("a transaction() needs an endpoint, and this engine has no endpoint")
        block = outer or Block(connection=self._kept or self._engine.lend())
        self._block = block
        try:
            with self._committed(block):
                yield Transaction(self, block)
        finally:
            self._block = outer
            if outer is None:
                self._end(block)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot[Row]]:
        """One read-only transaction on one replica: all statements in it see the same state.

        With no replica that is fresh enough it is on the endpoint. A statement in it that is not
        a confirmed read raises `RoutingError`; it cannot be run elsewhere and see the same state.
        """
        self._check_open()
        if self._block is not None:
            raise UsageError("a snapshot() cannot start inside a transaction() or snapshot()")
        if self._ledger.pin:
            raise UsageError(f"a snapshot() needs a session that is not pinned: {self._ledger.pin}")
        block = self._block = self._open_snapshot()
        try:
            yield Snapshot(self, block)
        finally:
            self._block = None
            self._end_snapshot(block)

    def close(self) -> None:
        """End the session. A connection that it had changed is closed, not handed on."""
        if self._closed:
            return
        self._closed = True
        block, self._block = self._block, None
        kept, self._kept = self._kept, None
        try:
            if block is not None and block.by_statement:
                self._end_snapshot(block)
        finally:
            if kept is not None:
                self._engine.give_back(kept, discard=True)

    def __enter__(self) -> Self:
        self._check_open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def cancel(self) -> None:
        """Stop the statement that another thread runs in this session, if any.

        That thread gets psycopg.errors.QueryCanceled. Returns once it has been stopped.
        """
        running = self._running
        while running is not None and self._running is running:
            with self._cancelling:
                if self._running is running:
                    _cancel(running)
            time.sleep(_CANCEL_EVERY)

    # ----------------------------------------------------------------------------- placing

    def _place(self, request: Request, asked: Route | None) -> Decision:
        decision = self._held(request)
        if decision is None:
            if asked is Route.ENDPOINT:
                decision = self._stays(request, Reason.ASKED)
            else:
                decision = self._route(request)
        if asked is not None and asked is not decision.route:
            raise _refusal(decision)
        if decision.route is Route.ENDPOINT and self._engine.endpoint is None:
            raise _refusal(decision)
        return decision

    def _held(self, request: Request) -> Decision | None:
        """The decision about which an open block or a pin leaves no choice."""
        block = self._block
        if block is not None and block.is_snapshot:
            return self._in_snapshot(block, request)
        if block is not None:
            return self._stays(request, Reason.TRANSACTION)
        if self._ledger.pin:
            return self._stays(request, Reason.PINNED, self._ledger.pin)
        return None

    def _stays(self, request: Request, reason: Reason, detail: str = "") -> Decision:
        facts = self._engine.analyse(request.text).facts
        return Decision(Route.ENDPOINT, reason, detail, facts=facts)

    def _in_snapshot(self, block: Block, request: Request) -> Decision:
        statement, verdict = self._engine.resolved(request.text), self._engine.verdict(request.text)
        ends = block.by_statement and statement.ends_transaction
        if not (ends or statement.is_read):
            raise _refusal(self._stays(request, Reason.NOT_A_READ, statement.why))
        if block.slot is None:
            return self._stays(request, Reason.SNAPSHOT)
        if not ends and verdict.route is Route.ENDPOINT:
            raise _refusal(verdict)
        return _on(block.slot.replica, replace(verdict, reason=Reason.SNAPSHOT))

    def _route(self, request: Request) -> Decision:
        verdict = self._engine.verdict(request.text)
        if verdict.route is Route.ENDPOINT:
            return verdict
        accepts, members = self._accepts(), self._engine.members
        if any(map(accepts, members)):
            return verdict
        moment = now()
        ages = (member.freshness.staleness(moment) for member in members)
        return stale(self._consistency, ages, verdict.facts)

    def _accepts(self) -> Any:
        """A test whether a replica has seen what this session must see."""
        needed = required(self._consistency, self._seen, self._engine.log.started)
        bound, moment = self._max_staleness, now()
        return lambda member: member.freshness.serves(needed, bound, moment)

    # ---------------------------------------------------------------------- on the endpoint

    def _on_endpoint(self, request: Request, decision: Decision) -> Result[Any]:
        engine, block = self._engine, self._block
        statement = engine.analyse(request.text)
        if not statement.is_read:
            engine.check_sendable(statement)
        began = now()
        connection = block.connection if block is not None else self._connection()
        assert connection is not None
        lent = block is None and connection is not self._kept
        write = self._begin_write(block) if statement.may_write else None
        self._running = connection
        executed = False
        try:
            cursor = connection.execute(request.query, request.params)
            executed = True
            # A cursor without a result set has no row number.
            rows = cursor.fetchall() if cursor.rownumber is not None else None
            if statement.pins:
                self._note(statement, block, connection)
            done = Done(rows, cursor.rowcount, cursor.statusmessage)
            if rows is not None and not statement.is_read:
                done = uncounted(statement, rows, cursor)
            result: Result[Any] = Result(
                done.rows,
                cursor,
                decision,
                seconds=now() - began,
                rowcount=done.rowcount,
                statusmessage=done.statusmessage,
                row_factory=request.row_factory,
            )
        except psycopg.Error as error:
            self._raise(
                error,
                is_read=statement.is_read,
                lost=connection.broken,
                in_transaction=block is not None,
                executed=executed,
            )
        finally:
            # A connection that is being cancelled must not be handed on before that is over.
            with self._cancelling:
                self._running = None
            if write is not None:
                engine.log.finish(write)
            if not statement.setting:
                # What was read may include every write that has started, acknowledged or not.
                self._seen = max(self._seen, engine.log.started)
            if lent and connection is not self._kept:
                engine.give_back(connection, discard=statement.pins)
        if statement.changes_schema:
            self._schema_changed(block)
        engine.count(decision)
        return result

    def _connection(self) -> Pooled:
        """The session's own connection; else a lent one, which a fork makes like its session's."""
        if self._kept is not None:
            return self._kept
        connection = self._engine.lend()
        try:
            for setting in self._ledger.replay:
                connection.execute(setting)
                self._kept = connection
        except BaseException:
            self._kept = None
            self._engine.give_back(connection, discard=True)
            raise
        return connection

    def _raise(self, error: psycopg.Error, **facts: bool) -> NoReturn:
        """Raise what the endpoint said as PostgreSQL would have said it, with its outcome."""
        known = annotate(self._engine.explained(error), **facts)
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

    def _note(self, statement: Statement, block: Block | None, connection: Pooled) -> None:
        """Remember what a statement has set, and on which connection."""
        if block is None:
            self._kept = connection
            replays = self._engine.dialect is Dialect.DUCKDB
            self._ledger = self._ledger.after(statement, replays=replays)
        elif statement.outlives_transaction:
            block.keeps_connection = True
            self._ledger = self._ledger.after(statement, replays=False)

    def _schema_changed(self, block: Block | None) -> None:
        if block is not None:
            block.changed_schema = True
        else:
            self._engine.schema_changed()

    # ------------------------------------------------------------------------ on a replica

    def _on_replica(
        self, request: Request, decision: Decision, asked: Route | None
    ) -> Result[Any] | Decision:
        """Run a confirmed read on a replica, or say why the endpoint must run it after all."""
        engine = self._engine
        slot: Slot[Member] | None = None
        run, began = Run(), now()
        try:
            values = engine.bind(request)
            shape = engine.shape(request)
            slot = self._borrow()
            if slot is None:
                return self._elsewhere(Decision(Route.ENDPOINT, Reason.STALE), asked)
            self._running = (slot, run)
            found = slot.replica.freshness
            loaded = engine.replicas.execute(
                slot,
                run,
                request.text,
                values,
                lambda answer: engine.load(request, answer, shape),
                () if self._block is not None else self._ledger.replay,
            )
        except Interrupted as error:
            raise from_duckdb(error, engine.redact) from None
        except (Inexact, NotBound, NotDescribed, NotOneStatement, DuckError) as error:
            return self._elsewhere(engine.setback(request.text, error), asked, error)
        finally:
            self._running = None
            if slot is not None:
                self._return(slot)
        # It may have moved on meanwhile, and a live one shows what the endpoint would show.
        shown = slot.replica.freshness
        self._seen = max(self._seen, engine.log.started if shown.is_live else int(shown.position))
        done = _on(slot.replica, decision, found)
        engine.count(done)
        return Result(
            loaded.rows,
            loaded.columns,
            done,
            seconds=now() - began,
            rowcount=len(loaded.rows),
            statusmessage=status_of_read(engine.analyse(request.text).verb, len(loaded.rows)),
            row_factory=request.row_factory,
        )

    def _borrow(self) -> Slot[Member] | None:
        """A cursor of a replica that is fresh enough; None when there is no such replica."""
        if self._block is not None:
            return self._block.slot
        accepts = self._accepts()
        fresh = [member for member in self._engine.members if accepts(member)]
        if not fresh:
            return None
        preferred = rendezvous(self._user, fresh) if self._user is not None else None
        return self._engine.replicas.lend(accepts, preferred)

    def _return(self, slot: Slot[Member]) -> None:
        if self._block is None:
            self._engine.replicas.give_back(slot)

    def _elsewhere(
        self, decision: Decision, asked: Route | None, error: Exception | None = None
    ) -> Decision:
        """Move a read to the endpoint: it had no effect. Raises where it must not move."""
        if asked is not Route.REPLICA and self._block is None and self._engine.endpoint is not None:
            return decision
        if isinstance(error, DuckError):
            raise from_duckdb(error, self._engine.redact) from None
        if isinstance(error, NotDescribed):
            raise error.reason from None
        raise _refusal(decision) from error

    # ------------------------------------------------------------------------------- blocks

    @contextmanager
    def _committed(self, block: Block) -> Iterator[None]:
        assert block.connection is not None
        committing = False
        try:
            with block.connection.transaction():
                yield
                committing = True
        except psycopg.Error as error:
            self._raise(error, is_read=not committing, lost=block.connection.broken)
        block.ended_well = True

    def _end(self, block: Block) -> None:
        engine = self._engine
        if block.write is not None:
            engine.log.finish(block.write)
        self._seen = max(self._seen, engine.log.started)
        if block.keeps_connection and block.connection is not None and not block.connection.closed:
            self._kept = block.connection
        if block.connection is not None and block.connection is not self._kept:
            # An endpoint that cannot tell its transaction status cannot tell that one is open.
            trusted = block.ended_well or engine.profile.reports_transactions
            engine.give_back(block.connection, discard=not trusted)
        if block.changed_schema:
            engine.schema_changed()

    def _open_snapshot(self) -> Block:
        slot = self._borrow() if self._engine.members else None
        if slot is None:
            return self._open_endpoint_snapshot()
        self._engine.replicas.begin(slot, self._ledger.replay)
        return Block(slot=slot, is_snapshot=True)

    def _open_endpoint_snapshot(self) -> Block:
        block = Block(connection=self._kept or self._engine.lend(), is_snapshot=True)
        assert block.connection is not None
        try:
            block.connection.execute(self._engine.profile.begin_snapshot)
        except BaseException:
            if block.connection is not self._kept:
                self._engine.give_back(block.connection, discard=True)
            raise
        return block

    def _control_snapshot(self, request: Request, decision: Decision) -> Result[Any] | None:
        """Begin or end a snapshot by statement; None for what runs in one."""
        statement = self._engine.analyse(request.text)
        block, began = self._block, now()
        if statement.begins_snapshot and block is None:
            block = self._block = self._open_snapshot()
            block.by_statement = True
        elif statement.ends_transaction and block is not None and block.by_statement:
            self._block = None
            self._end_snapshot(block)
        else:
            return None
        if block.slot is not None:
            decision = _on(block.slot.replica, decision)
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

    def _end_snapshot(self, block: Block) -> None:
        if block.slot is not None:
            self._engine.replicas.end(block.slot)
        elif block.connection is not None:
            try:
                block.connection.execute("ROLLBACK")
                block.ended_well = True
            finally:
                self._end(block)

    # ------------------------------------------------------------------------------ fan-out

    def _fan_out(self, queries: Iterable[Query], concurrency: int) -> Iterator[Result[Any]]:
        self._check_open()
        if concurrency < 1:
            raise UsageError(f"concurrency={concurrency}: must be at least 1")
        if self._block is not None or self._ledger.pin:
            raise UsageError(
                "map() and gather() use many connections: they cannot run inside transaction() "
                "or snapshot(), nor in a session that an earlier statement pinned"
            )
        return fan_out(self, queries, concurrency)

    def fork(self) -> Session[Any]:
        """A session of its own that starts from what this one has seen and set."""
        fork: Session[Any] = Session(
            self._engine,
            user=self._user,
            seen=self._seen,
            consistency=self._consistency,
            max_staleness=self._max_staleness,
            row_factory=self._row_factory,
        )
        fork._ledger = self._ledger
        return fork

    def join(self, other: Session[Any]) -> None:
        """Take over what a fork has seen."""
        self._seen = max(self._seen, other._seen)

    # ------------------------------------------------------------------------------- checks

    def _claim(self) -> None:
        self._check_open()
        if not self._busy.acquire(blocking=False):
            raise UsageError(
                "this session is in use: give every thread and task a session of its own, "
                "they are cheap"
            )

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError("the session is closed; make a new one with engine.session()")
        self._engine.check_open()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "in use" if self._busy.locked() else "idle"
        pinned = f", pinned by {self._ledger.pin}" if self._ledger.pin else ""
        return f"<{type(self).__name__} {state}, seen {self._seen}{pinned}>"


def _on(member: Member, decision: Decision, shown: Freshness | None = None) -> Decision:
    """*decision*, carried out by a replica that showed this."""
    staleness = (shown or member.freshness).staleness(now())
    return Decision(
        Route.REPLICA,
        decision.reason,
        replica=member.name,
        staleness=staleness,
        facts=decision.facts,
    )


def _route_called(name: str | None) -> Route | None:
    try:
        return Route(name) if name is not None else None
    except ValueError:
        raise UsageError(f"route={name!r}: expected 'endpoint' or 'replica'") from None


def _refusal(decision: Decision) -> RoutingError:
    return RoutingError(f"cannot run here: {decision.explain()}", decision)


def _cancel(running: tuple[Slot[Member], Run] | Pooled) -> None:
    if isinstance(running, tuple):
        interrupt(*running)
    else:
        running.cancel_safe()  # type: ignore[unused-ignore,unused-coroutine]  # this is the threads' half
