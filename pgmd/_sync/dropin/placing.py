# Generated from pgmd/_async/dropin/placing.py by pgmd._tools.unasync. Do not edit.
"""What is done for one connection of the drop-in: where its statements run, and why."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import psycopg
from psycopg import pq

from ...answers.columns import Column
from ...dropin import seam
from ...dropin.adapters import is_client, own_loader, same_dumpers
from ...dropin.identity import PLAIN
from ...dropin.modes import RouteReads, reads_only, sees_one_moment
from ...dropin.shown import Shown
from ...errors import Error, NotSupportedError, UsageError, annotate
from ...events import Event
from ...parity import from_endpoint
from ...process.clock import now
from ...request import Request
from ...routing.decision import Decision, Reason, Route
from ...servers.coping import check_sendable
from ...servers.profile import Profile
from ...sql import Fact, Statement, analyse
from ..asking import Asking
from ..blocks import end_snapshot, open_replica_snapshot
from ..choosing import Needs
from ..engine import Engine
from ..running import Answered
from ..state import SessionState

Query = Any
_IDLE = pq.TransactionStatus.IDLE
_NO_PIPELINE = pq.PipelineStatus.OFF


# What psycopg's other ways of sending a statement are.
_UNASKED = Decision(Route.ENDPOINT, Reason.ASKED, "executemany(), stream() or copy()")


class _Sent(NamedTuple):
    """What is under way on the endpoint, since *began* on the monotonic clock."""

    cursor: Any
    statement: Statement | None
    began: float


class Placing:
    """Where the statements of one connection run, and what must be remembered for that."""

    def __init__(self) -> None:
        # Whether psycopg itself does all that there is to do.
        self.is_plain = True
        self._profile = PLAIN
        self.decision: Decision | None = None
        self.route_reads: RouteReads = "off"
        self._asking: Asking | None = None
        self.engine: Engine | None = None
        # What is under way on the endpoint, and what became of it.
        self._sent: _Sent | None = None
        self._error: BaseException | None = None
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
    def stats(self) -> dict[str, int]:
        return {f"{route.value}: {why.name}": n for (route, why), n in self._counts.items()}

    def explain(self, query: Query, params: Any) -> Decision:
        if self._asking is None:
            raise UsageError("no engine is attached to this connection; see pgmd.psycopg.attach()")
        return self._asking.explain(Request.read(query, params, None))

    # -------------------------------------------------------------------------- for connections

    def attach(self, engine: Engine, route_reads: RouteReads) -> None:
        """Run reads on the replicas of *engine*."""
        # A program that is used to PostgreSQL expects to see what its other connections wrote.
        core = engine._core
        level = core.settings.consistency
        needs = Needs(
            consistency="engine" if level == "session" else level,
            max_staleness=core.settings.max_staleness,
        )
        self.engine = engine
        self._asking = Asking(core, needs, SessionState(0))
        self.profile = core.profile
        self.route_reads = route_reads

    @property
    def profile(self) -> Profile:
        return self._profile

    @profile.setter
    def profile(self, profile: Profile) -> None:
        self._profile = profile
        # Looked at for every statement.
        self.is_plain = self._asking is None and not profile.needs_coping

    def close(self) -> None:
        asking = self._asking
        if asking is not None and self._write is not None:
            asking.core.log.finish(self._write)
            self._write = None
        if asking is not None:
            asking.close()

    def cancel(self) -> bool:
        """Stop what runs on a replica; False if nothing does."""
        asking = self._asking
        if asking is None or asking.running is None:
            return False
        threading.Thread(target=asking.cancel, name="pgmd-stop", daemon=True).start()
        return True

    # -------------------------------------------------------------------------------- statements

    def may_read(self, cursor: Any, request: Request | None, form: pq.Format) -> bool:
        """Whether a replica may run this now; if not it is known why."""
        asking = self._asking
        if asking is None:
            return False
        self.decision = self._place(asking, cursor, request, form)
        return self.decision.route is Route.REPLICA

    def read(self, cursor: Any, request: Request, form: pq.Format) -> Shown | None:
        """A replica's answer to what `may_read()`; None where the connection is to run it."""
        asking = self._asking
        assert asking is not None
        decision = asking.core.verdict(request.text)
        obstacle = self._obstacle(cursor)
        if obstacle is not None:
            # Another thread has begun a transaction meanwhile.
            self._stays(*obstacle)
            return None
        connection, begins = cursor.connection, not self.in_snapshot
        found = self._run(asking, connection, request, decision)
        shown = self._shown(asking, found, cursor, request, form)
        if shown is None and begins and self.in_snapshot:
            self._retreat(connection)
        if shown is not None and not connection.autocommit:
            self.seem_begun(connection)
        return shown

    def _run(
        self, asking: Asking, connection: Any, request: Request, decision: Decision
    ) -> Answered | Decision:
        """Run a read on a replica, or say why the endpoint must run it."""
        began = now()
        begins = reads_only(connection) and not self.in_snapshot
        if begins:
            self._open_snapshot(asking, connection)
        try:
            return asking.read(request, decision)
        except psycopg.Error as error:
            is_stopped = isinstance(error, psycopg.errors.QueryCanceled)
            if begins and not is_stopped:
                return Decision(Route.ENDPOINT, Reason.FAILED, type(error).__name__)
            if begins:
                self._retreat(connection)
            self._count(decision)
            asking.failed(analyse(request.text), decision, began, error)
            raise

    def _place(
        self, asking: Asking, cursor: Any, request: Request | None, form: pq.Format
    ) -> Decision:
        if request is None:
            return Decision(Route.ENDPOINT, Reason.PARAMETERS, "only psycopg can read it")
        verdict = asking.core.verdict(request.text)
        if verdict.route is Route.ENDPOINT:
            return verdict
        obstacle = self._obstacle(cursor)
        if obstacle is not None:
            return Decision(Route.ENDPOINT, obstacle[0], obstacle[1])
        if asking.state.ledger.pin:
            return Decision(Route.ENDPOINT, Reason.PINNED, asking.state.ledger.pin)
        if request.values and not same_dumpers(cursor.adapters, request.values):
            return Decision(Route.ENDPOINT, Reason.PARAMETERS, "the cursor has a dumper for it")
        if form == pq.Format.BINARY and is_client(cursor):
            return Decision(Route.ENDPOINT, Reason.RESULT, "binary results for a client cursor")
        expected = asking.core.knowledge.shapes.expected(request)
        change = self._change(expected, cursor, request, form)
        return Decision(Route.ENDPOINT, Reason.RESULT, change) if change else verdict

    def _obstacle(self, cursor: Any) -> tuple[Reason, str] | None:
        """What keeps every read of this connection from a replica at the moment."""
        connection = cursor.connection
        if connection.closed or cursor.closed:
            return Reason.FAILED, "closed"
        if self.route_reads == "off":
            return Reason.ASKED, "route_reads is off"
        if connection._books.pipeline_status != _NO_PIPELINE:
            return Reason.TRANSACTION, "a pipeline"
        if self.seems_begun:
            return None
        if connection._books.transaction_status != _IDLE or self.in_transaction:
            return Reason.TRANSACTION, ""
        waits = self.route_reads == "lazy-begin" or connection.read_only
        if not connection.autocommit and not waits:
            return Reason.TRANSACTION, "not in autocommit mode"
        return None

    def _is_nested(self, request: Request) -> bool:
        asking = self._asking
        if asking is None or not self.profile.sends_nested_as_text:
            return False
        return asking.core.knowledge.shapes.is_nested(request)

    def _change(
        self, columns: Sequence[Column], cursor: Any, request: Request, form: pq.Format
    ) -> str:
        """What psycopg would load in another way than a replica's answer has it, or ""."""
        column = own_loader(cursor.adapters, columns, form)
        if column:
            return f"the cursor has a loader for {column}"
        return "psycopg returns a text" if self._is_nested(request) else ""

    def _shown(
        self,
        asking: Asking,
        found: Answered | Decision,
        cursor: Any,
        request: Request,
        form: pq.Format,
    ) -> Shown | None:
        """What the cursor gets of a replica's answer."""
        if isinstance(found, Decision):
            self.decision = found
            return None
        change = self._change(found.found.description, cursor, request, form)
        if change:
            self._stays(Reason.RESULT, change)
            return None
        result = asking.done(request, found)
        self._count(result.decision)
        return Shown.of_result(result, cursor.adapters, form)

    def _stays(self, reason: Reason, detail: str) -> None:
        self.decision = Decision(Route.ENDPOINT, reason, detail)

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
        return self._asking is not None and self._asking.state.block is not None

    def _open_snapshot(self, asking: Asking, connection: Any) -> None:
        """Begin a read-only transaction on a replica, if one may serve it."""
        block = open_replica_snapshot(asking)
        asking.state.open(block)
        if block is not None:
            self.has_begun = False
            connection._stand_in()

    def may_wait(self, connection: Any) -> bool:
        """Whether a transaction() can wait for its first statement: it may be a replica's."""
        is_idle = connection._books.transaction_status == _IDLE and not self.in_transaction
        routes = self._asking is not None and self.route_reads != "off"
        return bool(connection.read_only and routes and (is_idle or self.seems_begun))

    def end_snapshot(self, connection: Any) -> None:
        """End the read-only transaction on a replica, if one is open."""
        asking = self._asking
        block = asking.state.close() if asking is not None else None
        if asking is not None and block is not None:
            connection._stand_back()
            end_snapshot(asking, block)

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
        except BaseException as error:
            self.broke(error)
            raise
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
        if self._asking is not None:
            self._sent = _Sent(cursor, statement, now())
        return statement

    def _begin_write(self, statement: Statement | None) -> None:
        """Others may see something new from now on."""
        asking = self._asking
        if asking is None or (statement is not None and not statement.may_write):
            return
        if self._write is None:
            self._write = asking.core.log.begin()
        self._changed_schema |= statement is None or statement.changes_schema

    def note(self, connection: Any, statement: Statement | None) -> None:
        """Remember what a statement has set."""
        if statement is None:
            return
        if not self.profile.reports_transactions and Fact.TRANSACTION in statement.facts:
            self.in_transaction = statement.verb in ("BEGIN", "START")
        if self._asking is None or not statement.outlives_transaction:
            return
        is_idle = connection._books.transaction_status == _IDLE and not self.in_transaction
        self._asking.state.has_set(statement, replays=self.profile.shares_settings and is_idle)

    def explained(
        self, error: psycopg.Error, statement: Statement | None = None, *, lost: bool = False
    ) -> psycopg.Error:
        """The error that PostgreSQL would have given, with its outcome."""
        text = statement.text if statement is not None else None
        known = error
        if not self.profile.tells_sqlstates and not isinstance(error, Error):
            known = from_endpoint(error, text=text)
        is_read = statement is not None and statement.is_read
        self._error = annotate(known, is_read=is_read, lost=lost)
        return self._error

    def broke(self, error: BaseException) -> None:
        """What was under way on the endpoint was stopped by *error*."""
        self._error = error

    def settle(self, connection: Any) -> None:
        """A statement has ended, or a transaction may have: look what follows from that."""
        asking = self._asking
        if asking is None:
            return
        self._tell(asking)
        log = asking.core.log
        asking.state.saw(log.started)
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
            asking.core.schema_changed()

    def _tell(self, asking: Asking) -> None:
        """Everybody is told of what ran on the endpoint, if anything did."""
        sent, self._sent = self._sent, None
        error, self._error = self._error, None
        if sent is None:
            return
        decision = self.decision
        if decision is None or decision.route is Route.REPLICA:
            decision = _UNASKED
        self._count(decision)
        if error is not None:
            asking.failed(sent.statement, decision, sent.began, error)
        else:
            ran, rows = now() - sent.began, sent.cursor.rowcount
            asking.core.tell(Event(sent.statement, decision, ran=ran, rows=rows))
