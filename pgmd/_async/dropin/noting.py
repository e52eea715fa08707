"""What must be remembered of what one connection of the drop-in sends."""

from __future__ import annotations

from typing import Any, NamedTuple

import psycopg
from psycopg import pq

from ...dropin.identity import PLAIN
from ...dropin.modes import RouteReads
from ...errors import Error, UsageError, annotate
from ...events import Counts, Event
from ...parity import from_endpoint
from ...process.clock import now
from ...process.ending import Thread
from ...request import Request
from ...routing.decision import Decision, Reason, Route
from ...runtime import aio as runtime
from ...servers.profile import Profile
from ...sql import Fact, Statement
from ..asking import AsyncAsking
from ..choosing import Needs
from ..engine import AsyncEngine
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


class AsyncNoting:
    """The state of one connection as pgmd sees it: what it may do, has set, and has under way."""

    def __init__(self) -> None:
        # Whether psycopg itself does all that there is to do.
        self.is_plain = True
        self._profile = PLAIN
        self.decision: Decision | None = None
        self.route_reads: RouteReads = "off"
        self._asking: AsyncAsking | None = None
        self.engine: AsyncEngine | None = None
        # What is under way on the endpoint, and what became of it.
        self._sent: _Sent | None = None
        self._error: BaseException | None = None
        self._counts = Counts(runtime.Guard())
        # The position of a write whose transaction is still open.
        self._write: int | None = None
        self._changed_schema = False
        # For a server that does not report it: whether a transaction is open.
        self.in_transaction = False
        # Reads on replicas began what psycopg takes for a transaction; the server knows nothing.
        self.has_begun = False

    @property
    def stats(self) -> dict[str, int]:
        return self._counts.routed()

    def explain(self, query: Query, params: Any) -> Decision:
        if self._asking is None:
            raise UsageError("no engine is attached to this connection; see pgmd.psycopg.attach()")
        return self._asking.explain(Request.read(query, params, None))

    # -------------------------------------------------------------------------- for connections

    def attach(self, engine: AsyncEngine, route_reads: RouteReads) -> None:
        """Run reads on the replicas of *engine*."""
        # A program that is used to PostgreSQL expects to see what its other connections wrote.
        core = engine._core
        level = core.settings.consistency
        needs = Needs(
            consistency="engine" if level == "session" else level,
            max_staleness=core.settings.max_staleness,
        )
        self.engine = engine
        self._asking = AsyncAsking(core, needs, SessionState(0))
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

    async def close(self) -> None:
        asking = self._asking
        if asking is not None and self._write is not None:
            asking.core.log.finish(self._write)
            self._write = None
        if asking is not None:
            await asking.close()

    def cancel(self) -> bool:
        """Stop what runs on a replica; False if nothing does."""
        asking = self._asking
        if asking is None or asking.running is None:
            return False
        Thread(asking.cancel, "pgmd-stop").start()
        return True

    @property
    def in_snapshot(self) -> bool:
        """Whether a read-only transaction is open on a replica."""
        return self._asking is not None and self._asking.state.block is not None

    def _stays(self, reason: Reason, detail: str) -> None:
        self.decision = Decision(Route.ENDPOINT, reason, detail)

    def _count(self, decision: Decision) -> None:
        self.decision = decision
        self._counts.add(decision)

    # --------------------------------------------------------------------------- on the endpoint

    def sent(self, cursor: Any, statement: Statement | None) -> None:
        """A statement is under way on the endpoint."""
        if self._asking is not None:
            self._sent = _Sent(cursor, statement, now())

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

    async def settle(self, connection: Any) -> None:
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
            await asking.core.schema_changed()

    def _tell(self, asking: AsyncAsking) -> None:
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
            asking.core.events.tell(Event(sent.statement, decision, ran=ran, rows=rows))
