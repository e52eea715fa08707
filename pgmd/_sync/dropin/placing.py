# Generated from pgmd/_async/dropin/placing.py by pgmd._tools.unasync. Do not edit.
"""What is done for one connection of the drop-in: where its statements run, and why."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import pq

from ...answers.result import Column, Result
from ...dropin import seam
from ...dropin.adapters import is_client, own_loader, same_dumpers
from ...dropin.identity import PLAIN
from ...dropin.modes import RouteReads, reads_only, sees_one_moment
from ...dropin.shown import Shown
from ...errors import Error, NotSupportedError, UsageError
from ...outcome import annotate
from ...parity import from_endpoint
from ...request import Request
from ...routing.decision import Decision, Reason, Route
from ...servers.coping import check_sendable
from ...servers.profile import Profile
from ...sql import Fact, Statement, analyse
from ..engine import Engine

if TYPE_CHECKING:
    from ..session import Session

Query = Any
_IDLE = pq.TransactionStatus.IDLE
_NO_PIPELINE = pq.PipelineStatus.OFF
_BAD = pq.ConnStatus.BAD


class Placing:
    """Where the statements of one connection run, and what must be remembered for that."""

    def __init__(self) -> None:
        # Whether psycopg itself does all that there is to do.
        self.is_plain = True
        self._profile = PLAIN
        self.decision: Decision | None = None
        self.route_reads: RouteReads = "off"
        self._session: Session[Any] | None = None
        self._counts: Counter[tuple[Route, Reason]] = Counter()
        # The position of a write whose transaction is still open.
        self._write: int | None = None
        self._changed_schema = False
        # For a server that does not report it: whether a transaction is open.
        self.in_transaction = False
        # Reads on replicas began what psycopg takes for a transaction; the server knows nothing.
        self.has_begun = False

    # ------------------------------------------------------------------------------ for the face

    @property
    def engine(self) -> Engine | None:
        return self._session._engine if self._session is not None else None

    @property
    def stats(self) -> dict[str, int]:
        return {f"{route.value}: {why.name}": n for (route, why), n in self._counts.items()}

    def explain(self, query: Query, params: Any) -> Decision:
        if self._session is None:
            raise UsageError("no engine is attached to this connection; see pgmd.psycopg.attach()")
        return self._session.explain(query, params)

    # -------------------------------------------------------------------------- for connections

    def attach(self, engine: Engine, route_reads: RouteReads) -> None:
        """Run reads on the replicas of *engine*."""
        # A program that is used to PostgreSQL expects to see what its other connections wrote.
        level = engine.settings.consistency
        self._session = engine.session(consistency="engine" if level == "session" else level)
        self.profile = engine.profile
        self.route_reads = route_reads

    @property
    def profile(self) -> Profile:
        return self._profile

    @profile.setter
    def profile(self, profile: Profile) -> None:
        self._profile = profile
        # Looked at for every statement.
        self.is_plain = self._session is None and not profile.needs_coping

    def close(self) -> None:
        session = self._session
        if session is not None and self._write is not None:
            session._engine.log.finish(self._write)
            self._write = None
        if session is not None:
            session.close()

    def cancel(self) -> bool:
        """Stop what runs on a replica; False if nothing does."""
        if self._session is None:
            return False
        runner = self._session._runner
        running = runner.running
        if running is None:
            return False
        if isinstance(running, tuple):
            stop = partial(runner.interrupt, running)
            threading.Thread(target=stop, name="pgmd-stop", daemon=True).start()
        else:
            running.cancel()
        return True

    # -------------------------------------------------------------------------------- statements

    def may_read(self, cursor: Any, request: Request | None, form: pq.Format) -> bool:
        """Whether a replica may run this now; if not it is known, and counted, why."""
        session = self._session
        if session is None:
            return False
        if request is None:
            decision = Decision(Route.ENDPOINT, Reason.PARAMETERS, "only psycopg can read it")
        else:
            decision = self._place(session, cursor, request, form)
        if decision.route is Route.ENDPOINT:
            self._count(decision)
        return decision.route is Route.REPLICA

    def read(self, cursor: Any, request: Request, form: pq.Format) -> Shown | None:
        """A replica's answer to what `may_read()`; None where the connection is to run it."""
        session = self._session
        assert session is not None
        decision = session._engine.verdict(request.text)
        obstacle = self._obstacle(cursor)
        if obstacle is not None:
            # Another thread has begun a transaction meanwhile.
            self._stays(*obstacle)
            return None
        connection, begins = cursor.connection, not self.in_snapshot
        found = self._run(session, connection, request, decision)
        shown = self._shown(found, cursor, request, form)
        if shown is None and begins and self.in_snapshot:
            self._retreat(connection)
        if shown is not None and not connection.autocommit:
            self.seem_begun(connection)
        return shown

    def _run(
        self, session: Session[Any], connection: Any, request: Request, decision: Decision
    ) -> Result[Any] | Decision:
        """Run a read on a replica, or say why the endpoint must run it."""
        if not reads_only(connection) or self.in_snapshot:
            return session._runner.on_replica(request, decision, None)
        self._open_snapshot(session, connection)
        try:
            return session._runner.on_replica(request, decision, None)
        except psycopg.errors.QueryCanceled:
            self._retreat(connection)
            raise
        except psycopg.Error as error:
            return Decision(Route.ENDPOINT, Reason.FAILED, type(error).__name__)

    def _place(
        self, session: Session[Any], cursor: Any, request: Request, form: pq.Format
    ) -> Decision:
        verdict = session._engine.verdict(request.text)
        if verdict.route is Route.ENDPOINT:
            return verdict
        obstacle = self._obstacle(cursor)
        if obstacle is not None:
            return Decision(Route.ENDPOINT, obstacle[0], obstacle[1])
        if session._runner.ledger.pin:
            return Decision(Route.ENDPOINT, Reason.PINNED, session._runner.ledger.pin)
        if request.values and not same_dumpers(cursor.adapters, request.values):
            return Decision(Route.ENDPOINT, Reason.PARAMETERS, "the cursor has a dumper for it")
        if form == pq.Format.BINARY and is_client(cursor):
            return Decision(Route.ENDPOINT, Reason.RESULT, "binary results for a client cursor")
        expected = session._engine._knowledge.shapes.expected(request)
        change = self._change(expected, cursor, request, form)
        return Decision(Route.ENDPOINT, Reason.RESULT, change) if change else verdict

    def _obstacle(self, cursor: Any) -> tuple[Reason, str] | None:
        """What keeps every read of this connection from a replica at the moment."""
        connection = cursor.connection
        books = connection._books
        if books.status == _BAD or cursor.closed:
            return Reason.FAILED, "closed"
        if self.route_reads == "off":
            return Reason.ASKED, "route_reads is off"
        if books.pipeline_status != _NO_PIPELINE:
            return Reason.TRANSACTION, "a pipeline"
        if self.seems_begun:
            return None
        if books.transaction_status != _IDLE or self.in_transaction:
            return Reason.TRANSACTION, ""
        waits = self.route_reads == "lazy-begin" or connection.read_only
        if not connection.autocommit and not waits:
            return Reason.TRANSACTION, "not in autocommit mode"
        return None

    def _is_nested(self, request: Request) -> bool:
        session = self._session
        if session is None or not self.profile.sends_nested_as_text:
            return False
        return session._engine._knowledge.shapes.is_nested(request)

    def _change(
        self, columns: Sequence[Column], cursor: Any, request: Request, form: pq.Format
    ) -> str:
        """What psycopg would load in another way than a replica's answer has it, or ""."""
        column = own_loader(cursor.adapters, columns, form)
        if column:
            return f"the cursor has a loader for {column}"
        return "psycopg returns a text" if self._is_nested(request) else ""

    def _shown(
        self, found: Result[Any] | Decision, cursor: Any, request: Request, form: pq.Format
    ) -> Shown | None:
        """What the cursor gets of a replica's answer."""
        if isinstance(found, Decision):
            self._count(found)
            return None
        change = self._change(found.description or (), cursor, request, form)
        if change:
            self._stays(Reason.RESULT, change)
            return None
        self._count(found.decision)
        return Shown.of_result(found, cursor.adapters, form)

    def _stays(self, reason: Reason, detail: str) -> None:
        self._count(Decision(Route.ENDPOINT, reason, detail))

    def _count(self, decision: Decision) -> None:
        self.decision = decision
        self._counts[decision.route, decision.reason] += 1

    # ----------------------------------------------------------- transactions that wait to begin

    def seem_begun(self, connection: Any) -> None:
        """To psycopg and its pool the connection is in a transaction."""
        if not self.seems_begun:
            self.has_begun = True
            connection._stand_in()

    @property
    def seems_begun(self) -> bool:
        """Whether a transaction is open of which the server knows nothing."""
        return self.has_begun or self.in_snapshot

    def forget_begun(self, connection: Any) -> bool:
        """Stop seeming to be in a transaction that was not begun; whether it did."""
        has_begun, self.has_begun = self.has_begun, False
        if has_begun:
            connection._stand_back()
        return has_begun

    # --------------------------------------------------------------- read-only transactions

    @property
    def in_snapshot(self) -> bool:
        """Whether a read-only transaction is open on a replica."""
        return self._session is not None and self._session._runner.block is not None

    def _open_snapshot(self, session: Session[Any], connection: Any) -> None:
        """Begin a read-only transaction on a replica, if one may serve it."""
        block = session._runner.block = session._runner.open_replica_snapshot()
        if block is not None:
            self.has_begun = False
            connection._stand_in()

    def may_wait(self, connection: Any) -> bool:
        """Whether a transaction() can wait for its first statement: it may be a replica's."""
        is_idle = connection._books.transaction_status == _IDLE and not self.in_transaction
        routes = self._session is not None and self.route_reads != "off"
        return bool(connection.read_only and routes and (is_idle or self.seems_begun))

    def end_snapshot(self, connection: Any) -> None:
        """End the read-only transaction on a replica, if one is open."""
        session = self._session
        if session is None or session._runner.block is None:
            return
        block, session._runner.block = session._runner.block, None
        connection._stand_back()
        session._runner.end_snapshot(block)

    def _retreat(self, connection: Any) -> None:
        """The first statement of a transaction needs the endpoint: nothing was seen so far."""
        self.end_snapshot(connection)
        if seam.nesting(connection):
            self.seem_begun(connection)

    def leave_snapshot(self, connection: Any, statement: Statement | None) -> None:
        """The endpoint goes on with what began on a replica, where it may see another moment."""
        writes = statement is not None and statement.facts & (Fact.WRITES | Fact.DDL)
        if writes and self.profile.fails_transactions:
            # It refuses, in its own words, and everything after it.
            self._retreat(connection)
            return
        if statement is not None and writes:
            raise psycopg.errors.ReadOnlySqlTransaction(
                f"cannot execute {statement.verb or 'this'} in a read-only transaction"
            )
        ends = statement is not None and statement.ends_transaction
        if not ends and sees_one_moment(connection, self.profile):
            raise NotSupportedError(
                "this read-only transaction is on a replica, which cannot run this: run it in one "
                "of its own, or set connection.pgmd.route_reads to 'off' before the transaction"
            )
        self.end_snapshot(connection)

    # --------------------------------------------------------------------------- on the endpoint

    @contextmanager
    def sending(self, cursor: Any, request: Request | None) -> Iterator[None]:
        """While the connection runs a statement; see `begin()`."""
        connection, statement = cursor.connection, self.begin(cursor, request)
        try:
            yield
            self.note(connection, statement)
        except psycopg.Error as error:
            raise self.explained(error, statement, lost=connection.broken) from error.__cause__
        finally:
            self.settle(connection)

    def begin(self, cursor: Any, request: Request | None) -> Statement | None:
        """The endpoint is about to run a statement. Raises `NotSupportedError` for what the server
        is known to lack, before it is sent."""
        connection = cursor.connection
        seam.check_open(connection)
        statement = analyse(request.text) if request is not None else None
        if statement is not None and not statement.is_read:
            check_sendable(self.profile, statement)
        if self.in_snapshot:
            self.leave_snapshot(connection, statement)
        cursor._connect()
        self._begin_write(statement)
        return statement

    def _begin_write(self, statement: Statement | None) -> None:
        """Others may see something new from now on."""
        session = self._session
        if session is None or (statement is not None and not statement.may_write):
            return
        if self._write is None:
            self._write = session._engine.log.begin()
        self._changed_schema |= statement is None or statement.changes_schema

    def note(self, connection: Any, statement: Statement | None) -> None:
        """Remember what a statement has set."""
        if statement is None:
            return
        if not self.profile.reports_transactions and Fact.TRANSACTION in statement.facts:
            self.in_transaction = statement.verb in ("BEGIN", "START")
        if self._session is None or not statement.outlives_transaction:
            return
        is_idle = connection._books.transaction_status == _IDLE and not self.in_transaction
        runner = self._session._runner
        replays = self.profile.shares_settings and is_idle
        runner.ledger = runner.ledger.after(statement, replays=replays)

    def explained(
        self, error: psycopg.Error, statement: Statement | None = None, *, lost: bool = False
    ) -> psycopg.Error:
        """The error that PostgreSQL would have given, with its outcome."""
        text = statement.text if statement is not None else None
        known = error
        if not self.profile.tells_sqlstates and not isinstance(error, Error):
            known = from_endpoint(error, text=text)
        is_read = statement is not None and statement.is_read
        return annotate(known, is_read=is_read, lost=lost)

    def settle(self, connection: Any) -> None:
        """Look whether the transaction with the connection's writes has ended."""
        session = self._session
        if session is None:
            return
        runner, log = session._runner, session._engine.log
        runner.seen = max(runner.seen, log.started)
        if self._write is None or self.in_transaction:
            return
        if connection._books.pipeline_status != _NO_PIPELINE:
            return
        if connection._books.transaction_status != _IDLE and not connection.closed:
            return
        write, self._write = self._write, None
        log.finish(write)
        changed, self._changed_schema = self._changed_schema, False
        if changed:
            session._engine.schema_changed()
