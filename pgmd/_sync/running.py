# Generated from pgmd/_async/running.py by pgmd._tools.unasync. Do not edit.
"""How a statement gets its answer: lend, run, note, tell."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import psycopg

from ..answers.found import Found, Setback
from ..answers.result import Result
from ..errors import annotate
from ..events import Event
from ..process.clock import now, sleep
from ..process.ending import is_over
from ..request import Request
from ..routing.decision import Decision, Route
from ..routing.freshness import Freshness
from ..servers.coping import check_sendable
from ..sql import Statement, analyse
from .choosing import Choosing, Needs, refusal
from .core import Core
from .sides.endpoint import EndpointLent
from .sides.instance import InstanceLent
from .sides.interface import Lent
from .state import Block, ReplicaLent, SessionState

_CANCEL_EVERY = 0.05


class Answered(NamedTuple):
    """What a side has answered, from when (on the monotonic clock) it was asked for and lent.
    `share` is how long (seconds) it took of a query that was for several."""

    decision: Decision
    found: Found
    began: float
    lent_at: float
    share: float | None = None


class Running(Choosing):
    """Runs one session's statements, one at a time, on the side that is decided on."""

    def __init__(self, core: Core, needs: Needs, state: SessionState) -> None:
        super().__init__(core, needs, state)
        self.running: Lent | None = None
        self._cancelling = threading.Lock()

    def on_endpoint(self, request: Request, decision: Decision) -> Result[Any]:
        """Run a statement on the endpoint. Raises what that raises, with its outcome."""
        core, state, block = self.core, self.state, self.state.block
        statement = analyse(request.text)
        if not statement.is_read:
            check_sendable(core.profile, statement)
        began = now()
        lent = self.connection()
        lent_at = now()
        write = self._begin_write(block) if statement.may_write else None
        self.running = lent
        try:
            found = lent.run(request)
            # Also when its rows cannot be made it has run.
            result, event = self._made(request, Answered(decision, found, began, lent_at))
        except psycopg.Error as error:
            self.raise_(
                error,
                request.text,
                is_read=statement.is_read,
                lost=lent.is_lost,
                in_transaction=block is not None,
                executed=lent.executed,
            )
        finally:
            if statement.pins and lent.executed:
                self._note(statement, lent)
            self.stopped()
            if write is not None:
                core.log.finish(write)
            if not statement.setting:
                # What was read may include every write that has started, acknowledged or not.
                state.saw(core.log.started)
            if block is None and lent is not state.kept:
                lent.give_back(discard=statement.pins)
        if statement.changes_schema:
            self._schema_changed(block)
        core.events.tell(event)
        return result

    def connection(self) -> EndpointLent:
        """The block's or the session's own connection; else a lent one, which a fork makes like
        its session's."""
        block, state = self.state.block, self.state
        if block is not None:
            assert isinstance(block.lent, EndpointLent)
            return block.lent
        if state.kept is not None:
            return state.kept
        lent = self.core.lend()
        if state.ledger.replay:
            try:
                lent.set(state.ledger.replay)
            except BaseException:
                lent.give_back(discard=True)
                raise
            state.keep(lent)
        return lent

    def raise_(self, error: psycopg.Error, text: str | None, **facts: bool) -> NoReturn:
        """Raise what the endpoint said as PostgreSQL would have said it, with its outcome."""
        known = annotate(self.core.explained(error, text), **facts)
        if known is error:
            raise error
        raise known from error

    def _begin_write(self, block: Block | None) -> int | None:
        if block is None:
            return self.core.log.begin()
        if block.write is None:
            # In flight until the transaction has ended.
            block.write = self.core.log.begin()
        return None

    def _note(self, statement: Statement, lent: EndpointLent) -> None:
        """Remember what a statement has set, and on which connection."""
        block = self.state.block
        if block is None:
            self.state.keep(lent)
            self.state.has_set(statement, replays=self.core.profile.shares_settings)
        elif statement.outlives_transaction:
            block.keeps_connection = True
            self.state.has_set(statement, replays=False)

    def _schema_changed(self, block: Block | None) -> None:
        if block is not None:
            block.changed_schema = True
        else:
            self.core.schema_changed()

    def read(
        self, request: Request, decision: Decision, asked: Route | None = None
    ) -> Answered | Decision:
        """Run a confirmed read on a replica, or say why the endpoint must run it after all."""
        began = now()
        lent = self.borrow()
        if lent is None:
            return self.elsewhere(Setback(self.not_served(decision.facts)), asked)
        lent_at, fresh = now(), lent.freshness
        self.running = lent
        try:
            found = lent.run(request, self.state.before)
        finally:
            self.stopped()
            if self.state.block is None:
                lent.give_back()
        if isinstance(found, Setback):
            return self.elsewhere(found, asked)
        return Answered(self.saw(lent, decision, fresh), found, began, lent_at)

    def together(self, requests: Sequence[Request], decision: Decision) -> list[Result[Any]] | None:
        """Run confirmed reads of one text as one query on a replica; None where each is to run by
        itself. So it is, too, when this raises: whose fault it was, if anybody's, shows then."""
        together = self.core.knowledge.shapes.together(requests)
        if together is None:
            return None
        began = now()
        lent = self.borrow()
        if lent is None:
            return None
        lent_at, fresh = now(), lent.freshness
        try:
            if not (isinstance(lent, InstanceLent) and lent.slot.replica.kind.bundles):
                return None
            self.running = lent
            found = lent.run_together(requests, together, self.state.before)
        finally:
            self.stopped()
            lent.give_back()
        done = self.saw(lent, decision, fresh)
        share = (now() - lent_at) / len(requests)
        return [
            self.done(request, Answered(done, one, began, lent_at, share))
            for request, one in zip(requests, found, strict=True)
        ]

    def elsewhere(self, setback: Setback, asked: Route | None) -> Decision:
        """Move a read to the endpoint: it had no effect. Raises where it must not move."""
        core = self.core
        may_move = asked is not Route.REPLICA and self.state.block is None
        if may_move and core.endpoint is not None:
            return setback.decision
        if setback.error is not None:
            raise setback.error from setback.cause
        raise refusal(setback.decision) from setback.cause

    def saw(self, lent: ReplicaLent, decision: Decision, before: Freshness) -> Decision:
        """Note what a replica has shown, which was as fresh as *before* when it began."""
        # It may have moved on meanwhile, and a live one shows what the endpoint would show.
        shown = lent.freshness
        self.state.saw(self.core.log.started if shown.is_live else int(shown.position))
        return decision.by(lent.name, before.staleness(now()))

    def done(self, request: Request, answered: Answered) -> Result[Any]:
        """The result of a statement, of which everybody is told."""
        result, event = self._made(request, answered)
        self.core.events.tell(event)
        return result

    def _made(self, request: Request, answered: Answered) -> tuple[Result[Any], Event]:
        core, ended = self.core, now()
        decision, found, began, lent_at, share = answered
        if core.database:
            decision = decision.within(core.database)
        ran = (ended - lent_at if share is None else share) - found.loaded
        result: Result[Any] = Result(
            found.rows,
            found.columns,
            decision,
            seconds=ended - began if share is None else share,
            rowcount=found.rowcount,
            statusmessage=found.statusmessage,
            zone=core.zone,
            row_factory=request.row_factory,
        )
        statement, waited = analyse(request.text), lent_at - began
        return result, Event(statement, decision, waited, ran, found.loaded, found.rowcount)

    def failed(
        self, statement: Statement | None, decision: Decision, began: float, error: BaseException
    ) -> None:
        """Tell of a statement that raised *error*."""
        if isinstance(error, psycopg.Error):
            annotate(error, is_read=True)
        outcome = getattr(error, "outcome", None)
        ran = now() - began
        event = Event(statement, decision, ran=ran, error=type(error), outcome=outcome)
        self.core.events.tell(event)

    # --------------------------------------------------------------------------------- cancelling

    def stopped(self) -> None:
        """What was running has ended."""
        # A connection that is being cancelled must not be handed on before that is over: the next
        # borrower's statement would be hit.
        with self._cancelling:
            self.running = None

    def cancel(self) -> None:
        """Stop what another thread runs, if anything; return once it has been stopped."""
        running = self.running
        # Repeated: DuckDB forgets an interrupt that comes before the query has begun.
        while running is not None and self.running is running:
            with self._cancelling:
                if self.running is running:
                    running.cancel()
            sleep(_CANCEL_EVERY)
            if is_over():
                # What does not heed it is not waited for any longer.
                return
