# Generated from pgmd/_async/session.py by pgmd._tools.unasync. Do not edit.
"""A session: the unit of consistency. It asks where a statement may run, and runs it there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any, Generic, Literal, Self, overload

import psycopg
from psycopg.rows import BaseRowFactory
from typing_extensions import TypeVar

from ..answers.result import Result
from ..errors import UsageError, annotate
from ..fanout.bundling import Bundling
from ..fanout.options import Errors, Options
from ..request import Params, Query, Sql
from ..routing.decision import Decision, Route
from ..routing.freshness import Bookmark
from ..runtime import threads as runtime
from .asking import Asking
from .fanout.results import FanOut, fan_out
from .fanout.snapshots import SnapshotCrew
from .streaming import Stream, streamed
from .views import (
    EndpointView,
    ReplicaView,
    Snapshot,
    Transaction,
    snapshot,
    transaction,
)

Row = TypeVar("Row", default=tuple[Any, ...])
Other = TypeVar("Other")
RouteName = Literal["endpoint", "replica"]


class Session(Generic[Row]):
    """Runs statements with one view of time: it sees its own writes and never goes back.

    Cheap to make, for one request, user or job. Not for sharing: two threads or tasks in it at
    once get a `UsageError`. Leaving the `with` block closes it.
    """

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

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
        return self._asking.run(query, params, row_factory, _route_called(route))

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
        asking = self._asking
        asking.claim()
        try:
            request = asking.request(query, params, row_factory)
            asked = _route_called(route)
            decision = asking.place(request, asked)
            if not asking.core.resolved(request.text).is_read:
                raise UsageError("stream() is for reads: execute() this statement")
            with streamed(asking, request, decision, asked) as stream:
                yield stream
        except psycopg.Error as error:
            annotate(error, is_read=True)
            raise
        finally:
            asking.release()

    def explain(self, query: Sql, params: Params | None = None) -> Decision:
        """Decide where a statement would run now, and why. Nothing is run.

        A replica may still turn out unable to give exactly what the endpoint would give; the
        statement then runs on the endpoint, and `result.decision` says so.
        """
        self._asking.check_open()
        return self._asking.explain(self._asking.request(query, params))

    @property
    def endpoint(self) -> EndpointView[Row]:
        """The same session, with every statement on the endpoint."""
        return EndpointView(self._asking)

    @property
    def replica(self) -> ReplicaView[Row]:
        """The same session, with every statement on a replica, or refused."""
        return ReplicaView(self._asking)

    @property
    def bookmark(self) -> Bookmark:
        """What this session has seen; `engine.session(after=...)` continues from it anywhere."""
        return Bookmark(self._asking.core.log.epoch, self._asking.state.seen)

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

    def transaction(self) -> AbstractContextManager[Transaction[Row]]:
        """A transaction on one endpoint connection: committed at the end, rolled back on error.

        Statements of the session inside the block take part. A nested one is a savepoint where
        the endpoint has them, else a `NotSupportedError` before anything is sent. A COMMIT whose
        answer was lost raises with `outcome` UNKNOWN. Cancelling rolls back.
        """
        return transaction(self._asking)

    def snapshot(self) -> AbstractContextManager[Snapshot[Row]]:
        """One read-only transaction on one replica: all statements in it see the same state.

        With no replica that is fresh enough it is on the endpoint. A statement in it that is not
        a confirmed read raises `RoutingError`; it cannot be run elsewhere and see the same state.
        """
        return snapshot(self._asking)

    def close(self) -> None:
        """End the session. A connection that it had changed is closed, not handed on."""
        self._asking.close()

    def __enter__(self) -> Self:
        self._asking.check_open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def cancel(self) -> None:
        """Stop the statement that another thread runs in this session, if any.

        That thread gets psycopg.errors.QueryCanceled. Returns once it has been stopped.
        """
        self._asking.cancel()

    # ------------------------------------------------------------------------------ fan-out

    def _bundling(self, query: Sql, options: Options) -> Bundling | None:
        self._asking.check_open()
        if options.query_timeout is not None:
            # Of many as one, none could be told to take too long.
            return None
        if isinstance(query, str):
            return Bundling(options.concurrency, self._asking.core.knowledge.bundle_sizes, query)
        return Bundling(options.concurrency, {}, "")

    def _fan_out(
        self, queries: Iterable[Query], options: Options, bundling: Bundling | None = None
    ) -> FanOut:
        asking = self._asking
        asking.check_open()
        block = asking.state.block
        in_snapshot = block is not None and block.is_snapshot
        if asking.state.ledger.pin or (block is not None and not in_snapshot):
            raise UsageError(
                "map() and gather() use many connections: they cannot run inside transaction(), "
                "nor in a session that an earlier statement pinned"
            )
        crew = SnapshotCrew(asking, block) if block is not None else None
        pairs = ((asking, query) for query in queries)
        found = fan_out(pairs, options, crew, bundling)
        if block is not None:
            block.fan_outs.add(found)
        return found

    def __repr__(self) -> str:
        asking = self._asking
        pin = asking.state.ledger.pin
        pinned = f", pinned by {pin}" if pin else ""
        return f"<{type(self).__name__} {asking.condition}, seen {asking.state.seen}{pinned}>"


def _route_called(name: str | None) -> Route | None:
    try:
        return Route(name) if name is not None else None
    except ValueError:
        raise UsageError(f"route={name!r}: expected 'endpoint' or 'replica'") from None


def _length(items: Iterable[Any]) -> int | None:
    return len(items) if isinstance(items, Sized) else None
