# Generated from pgmd/_async/session.py by pgmd._tools.unasync. Do not edit.
"""A session: the unit of consistency. It asks where a statement may run, and runs it there."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, overload

import psycopg
from psycopg.rows import BaseRowFactory
from typing_extensions import TypeVar

from ..answers.result import Result
from ..errors import UsageError
from ..fanout.bundling import Bundling, may_be_bundled
from ..outcome import annotate
from ..process.clock import now
from ..request import Params, Query, Request, Sql
from ..routing.decision import Decision, Reason, Route
from ..routing.freshness import Bookmark
from ..runtime import threads as runtime
from ..servers.coping import unsupported_savepoint
from ..settings.config import Consistency
from .blocks import Block, EndpointView, ReplicaView, Snapshot, Transaction
from .fanout.lanes import SnapshotCrew
from .fanout.results import Errors, FanOut, Options, fan_out
from .runner import Needs, Runner, refusal
from .stream import Stream

if TYPE_CHECKING:
    from .engine import Engine

Row = TypeVar("Row", default=tuple[Any, ...])
Other = TypeVar("Other")
RouteName = Literal["endpoint", "replica"]


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
        self._runner = Runner(engine, Needs(user, consistency, max_staleness), seen)
        self._row_factory = row_factory
        self._busy = threading.Lock()
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
        return self._named(self._run(query, params, row_factory, asked))

    def _named(self, result: Result[Any]) -> Result[Any]:
        database = self._engine.database
        return result.decided(replace(result.decision, database=database)) if database else result

    def run_together(self, queries: Sequence[Query]) -> list[Result[Any]] | None:
        """Run queries of one text and row factory as one on a replica. None where each is to run
        by itself, and so it is when this raises: none has had an effect."""
        self._claim()
        try:
            factory = queries[0].row_factory or self._row_factory
            requests = [Request.read(query.sql, query.params, factory) for query in queries]
            statement = self._engine.resolved(requests[0].text)
            if self._runner.block is not None or not may_be_bundled(statement):
                return None
            decision = self._place(requests[0], None)
            if decision.route is Route.ENDPOINT:
                return None
            results = self._runner.together(requests, decision)
        finally:
            self._busy.release()
        return results and [self._named(result) for result in results]

    def _run(
        self,
        query: Sql,
        params: Params | None,
        row_factory: BaseRowFactory[Any] | None,
        asked: Route | None,
    ) -> Result[Any]:
        self._claim()
        try:
            request = Request.read(query, params, row_factory or self._row_factory)
            decision = self._place(request, asked)
            if decision.reason is Reason.SNAPSHOT:
                answer = self._runner.control_snapshot(request, decision)
                if answer is not None:
                    return answer
            if decision.route is Route.REPLICA:
                result = self._runner.on_replica(request, decision, asked)
                if isinstance(result, Result):
                    return result
                decision = result
            if decision.is_spill:
                with self._engine.spilling():
                    return self._runner.on_endpoint(request, decision)
            return self._runner.on_endpoint(request, decision)
        except psycopg.Error as error:
            # What may have had an effect says so already; the rest was a read or was not sent.
            annotate(error, is_read=True)
            raise
        finally:
            self._busy.release()

    @contextmanager
    def stream(
        self,
        query: Sql,
        params: Params | None = None,
        *,
        row_factory: BaseRowFactory[Any] | None = None,
        route: RouteName | None = None,
    ) -> Iterator[Stream[Any]]:
        """Run one read and take its rows as they come, in bounded memory.

        Until the block ends it holds a replica's cursor or an endpoint connection, and the session
        runs nothing else. Leaving it early stops the statement. It runs where `execute()` would run
        it, and moves to the endpoint only before its first row. Raises as `execute()`, and
        `UsageError` for what is not a confirmed read; cancelling stops the statement.
        """
        self._claim()
        try:
            request = Request.read(query, params, row_factory or self._row_factory)
            asked = _route_called(route)
            decision = self._place(request, asked)
            if not self._engine.resolved(request.text).is_read:
                raise UsageError("stream() is for reads: execute() this statement")
            with self._runner.stream(request, decision, asked) as stream:
                yield stream
        except psycopg.Error as error:
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
        return Bookmark(self._engine.log.epoch, self._runner.seen)

    def map(
        self,
        query: Sql,
        param_sets: Iterable[Params],
        *,
        concurrency: int = 8,
        ordered: bool = True,
        timeout: float | None = None,
        query_timeout: float | None = None,
        errors: Errors = "raise",
        progress: bool = False,
        distinct: bool = False,
        row_factory: BaseRowFactory[Any] | None = None,
    ) -> FanOut:
        """Run one statement with many parameter sets, *concurrency* at a time.

        Results come in order, or with *ordered* False as they are there. At most twice
        *concurrency* statements are begun whose results were not taken: a slow consumer stops the
        rest. Reads with few rows go to a replica up to 16 as one query, where that turns out to be
        faster and there is no *query_timeout*; up to 16 times as many are begun then. *timeout* is
        for all, from the first result asked for, *query_timeout* for each statement, in seconds;
        what takes longer is stopped and raises `StatementTimeout`. The first error stops the rest
        and is raised after the results before it that are there; with *errors* "collect" all run,
        and `FanOutError` is raised at the end. *progress* shows a bar if standard error is a
        terminal. With *distinct*, of equal statements that are begun and not taken one runs for
        all, whatever it does.

        Inside `snapshot()` all see its state: side by side on cursors of one replica if its data
        cannot change, else one after the other; the session runs nothing else meanwhile. Raises
        `UsageError` inside `transaction()` and for a session that is pinned.
        """
        queries = (Query(query, params, row_factory) for params in param_sets)
        options = Options(
            concurrency=concurrency,
            ordered=ordered,
            timeout=timeout,
            query_timeout=query_timeout,
            errors=errors,
            progress=progress,
            distinct=distinct,
            total=_length(param_sets),
        )
        return self._fan_out(queries, options, self._bundling(query, options))

    def gather(
        self,
        queries: Iterable[Query],
        *,
        concurrency: int = 8,
        ordered: bool = True,
        timeout: float | None = None,
        query_timeout: float | None = None,
        errors: Errors = "raise",
        progress: bool = False,
        distinct: bool = False,
        row_factory: BaseRowFactory[Any] | None = None,
    ) -> list[Result[Any]]:
        """Run many statements, *concurrency* at a time; return all results, see `map()`.

        With *distinct*, of equal statements only the first runs. What succeeded is in the
        `results` of a `FanOutError`, by the number of the statement. *row_factory* is for those
        that name none.
        """
        options = Options(
            concurrency=concurrency,
            ordered=ordered,
            timeout=timeout,
            query_timeout=query_timeout,
            errors=errors,
            progress=progress,
            distinct=distinct,
            total=_length(queries),
            remembers=True,
        )
        if row_factory is not None:
            queries = (replace(q, row_factory=q.row_factory or row_factory) for q in queries)
        return self._fan_out(queries, options).gather()

    @contextmanager
    def transaction(self) -> Iterator[Transaction[Row]]:
        """A transaction on one endpoint connection: committed at the end, rolled back on error.

        Statements of the session inside the block take part. A nested one is a savepoint where
        the endpoint has them, else a `NotSupportedError` before anything is sent. A COMMIT whose
        answer was lost raises with `outcome` UNKNOWN. Cancelling rolls back.
        """
        self._check_open()
        outer = self._runner.block
        if outer is not None and outer.is_snapshot:
            raise UsageError("a transaction() cannot start inside a snapshot(), which only reads")
        if outer is not None and not self._engine.profile.has_savepoints:
            raise unsupported_savepoint(self._engine.profile)
        if self._engine.endpoint is None:
            raise UsageError("a transaction() needs an endpoint, and this engine has no endpoint")
        block = outer or Block(connection=self._runner.kept or self._engine.lend())
        self._runner.block = block
        try:
            with self._runner.committed(block):
                yield Transaction(self, block)
        finally:
            self._runner.block = outer
            if outer is None:
                self._runner.end(block)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot[Row]]:
        """One read-only transaction on one replica: all statements in it see the same state.

        With no replica that is fresh enough it is on the endpoint. A statement in it that is not
        a confirmed read raises `RoutingError`; it cannot be run elsewhere and see the same state.
        """
        self._check_open()
        if self._runner.block is not None:
            raise UsageError("a snapshot() cannot start inside a transaction() or snapshot()")
        if self._runner.ledger.pin:
            pin = self._runner.ledger.pin
            raise UsageError(f"a snapshot() needs a session that is not pinned: {pin}")
        block = self._runner.block = self._runner.open_snapshot()
        try:
            yield Snapshot(self, block)
        finally:
            for fan_out in [each for each in block.fan_outs if each.has_begun]:
                fan_out.close()
            self._runner.block = None
            self._runner.end_snapshot(block)

    def close(self) -> None:
        """End the session. A connection that it had changed is closed, not handed on."""
        if self._closed:
            return
        self._closed = True
        self._runner.close()

    def __enter__(self) -> Self:
        self._check_open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def cancel(self) -> None:
        """Stop the statement that another thread runs in this session, if any.

        That thread gets psycopg.errors.QueryCanceled. Returns once it has been stopped.
        """
        self._runner.cancel()

    # ----------------------------------------------------------------------------- placing

    def _place(self, request: Request, asked: Route | None) -> Decision:
        decision = self._held(request)
        if decision is None:
            if asked is Route.ENDPOINT:
                decision = self._stays(request, Reason.ASKED)
            else:
                # Whether a replica is fresh enough is seen when one is borrowed.
                decision = self._engine.verdict(request.text)
        if asked is not None and asked is not decision.route:
            raise refusal(decision)
        if decision.route is Route.ENDPOINT and self._engine.endpoint is None:
            raise refusal(decision)
        return decision

    def _held(self, request: Request) -> Decision | None:
        """The decision about which an open block or a pin leaves no choice."""
        block = self._runner.block
        if block is not None and block.is_snapshot:
            return self._in_snapshot(block, request)
        if block is not None:
            return self._stays(request, Reason.TRANSACTION)
        if self._runner.ledger.pin:
            return self._stays(request, Reason.PINNED, self._runner.ledger.pin)
        return None

    def _stays(self, request: Request, reason: Reason, detail: str = "") -> Decision:
        facts = self._engine.analyse(request.text).facts
        return Decision(Route.ENDPOINT, reason, detail, facts=facts)

    def _in_snapshot(self, block: Block, request: Request) -> Decision:
        statement, verdict = self._engine.resolved(request.text), self._engine.verdict(request.text)
        ends = block.by_statement and statement.ends_transaction
        if not (ends or statement.is_read):
            raise refusal(self._stays(request, Reason.NOT_A_READ, statement.why))
        if block.slot is None:
            return self._stays(request, Reason.SNAPSHOT)
        if not ends and verdict.route is Route.ENDPOINT:
            raise refusal(verdict)
        replica = block.slot.replica
        decision = Decision(Route.REPLICA, Reason.SNAPSHOT, facts=verdict.facts)
        return decision.by(replica.name, replica.freshness.staleness(now()))

    def _route(self, request: Request) -> Decision:
        verdict = self._engine.verdict(request.text)
        if verdict.route is Route.ENDPOINT or self._runner.is_served:
            return verdict
        return self._runner.not_served(verdict.facts)

    # ------------------------------------------------------------------------------ fan-out

    def _bundling(self, query: Sql, options: Options) -> Bundling | None:
        self._check_open()
        if options.query_timeout is not None:
            # Of many as one, none could be told to take too long.
            return None
        if isinstance(query, str):
            return Bundling(options.concurrency, self._engine.bundle_sizes, query)
        return Bundling(options.concurrency, {}, "")

    def _fan_out(
        self, queries: Iterable[Query], options: Options, bundling: Bundling | None = None
    ) -> FanOut:
        self._check_open()
        block = self._runner.block
        in_snapshot = block is not None and block.is_snapshot
        if self._runner.ledger.pin or (block is not None and not in_snapshot):
            raise UsageError(
                "map() and gather() use many connections: they cannot run inside transaction(), "
                "nor in a session that an earlier statement pinned"
            )
        crew = SnapshotCrew(self, block) if block is not None else None
        pairs = ((self, query) for query in queries)
        found = fan_out(pairs, options, crew, bundling)
        if block is not None:
            block.fan_outs.add(found)
        return found

    def fork(self) -> Session[Any]:
        """A session of its own that starts from what this one has seen and set."""
        needs = self._runner.needs
        fork: Session[Any] = Session(
            self._engine,
            user=needs.user,
            seen=self._runner.seen,
            consistency=needs.consistency,
            max_staleness=needs.max_staleness,
            row_factory=self._row_factory,
        )
        fork._runner.ledger = self._runner.ledger
        return fork

    def join(self, other: Session[Any]) -> None:
        """Take over what a fork has seen."""
        self._runner.seen = max(self._runner.seen, other._runner.seen)

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
        pinned = f", pinned by {self._runner.ledger.pin}" if self._runner.ledger.pin else ""
        return f"<{type(self).__name__} {state}, seen {self._runner.seen}{pinned}>"


def _route_called(name: str | None) -> Route | None:
    try:
        return Route(name) if name is not None else None
    except ValueError:
        raise UsageError(f"route={name!r}: expected 'endpoint' or 'replica'") from None


def _length(items: Iterable[Any]) -> int | None:
    return len(items) if isinstance(items, Sized) else None
