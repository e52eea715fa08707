# Generated from pgmd/_async/choosing.py by pgmd._tools.unasync. Do not edit.
"""Which side a statement is to run on, and which replica may serve."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from psycopg.rows import BaseRowFactory

from ..errors import RoutingError
from ..pooling import Slot
from ..process.clock import now
from ..replicas.members import Member
from ..request import Request
from ..routing.affinity import rendezvous
from ..routing.decision import Decision, Reason, Route
from ..routing.router import down, required, stale
from ..settings.engine import Consistency
from ..sql import Fact, analyse
from .core import Core
from .replicas.slots import NoneLeft
from .sides.endpoint import EndpointLent
from .state import Block, ReplicaLent, SessionState


@dataclass(frozen=True, slots=True)
class Needs:
    """What a session asks of a replica, and of its rows."""

    user: str | None = None
    consistency: Consistency = "session"
    max_staleness: float | None = None
    row_factory: BaseRowFactory[Any] | None = None


class Choosing:
    """Chooses for one session, by what it needs and by its state."""

    def __init__(self, core: Core, needs: Needs, state: SessionState) -> None:
        self.core = core
        self.needs = needs
        self.state = state

    # ---------------------------------------------------------------------------------- placing

    def place(self, request: Request, asked: Route | None) -> Decision:
        """Where a statement is to run. Raises `RoutingError` where it may not run."""
        decision = self.held(request)
        if decision is None:
            if asked is Route.ENDPOINT:
                decision = self._stays(request, Reason.ASKED)
            else:
                # Whether a replica is fresh enough is seen when one is borrowed.
                decision = self.core.verdict(request.text)
        if asked is not None and asked is not decision.route:
            raise refusal(decision)
        if decision.route is Route.ENDPOINT and self.core.endpoint is None:
            raise refusal(decision)
        return decision

    def held(self, request: Request) -> Decision | None:
        """The decision about which an open block or a pin leaves no choice."""
        block = self.state.block
        if block is not None and block.is_snapshot:
            return self._in_snapshot(block, request)
        if block is not None:
            return self._stays(request, Reason.TRANSACTION)
        if self.state.ledger.pin:
            return self._stays(request, Reason.PINNED, self.state.ledger.pin)
        return None

    def _stays(self, request: Request, reason: Reason, detail: str = "") -> Decision:
        facts = analyse(request.text).facts
        return Decision(Route.ENDPOINT, reason, detail, facts=facts)

    def _in_snapshot(self, block: Block, request: Request) -> Decision:
        statement, verdict = self.core.resolved(request.text), self.core.verdict(request.text)
        ends = block.by_statement and statement.ends_transaction
        if not (ends or statement.is_read):
            raise refusal(self._stays(request, Reason.NOT_A_READ, statement.why))
        if isinstance(block.lent, EndpointLent):
            return self._stays(request, Reason.SNAPSHOT)
        if not ends and verdict.route is Route.ENDPOINT:
            raise refusal(verdict)
        decision = Decision(Route.REPLICA, Reason.SNAPSHOT, facts=verdict.facts)
        return decision.by(block.lent.name, block.lent.freshness.staleness(now()))

    def explain(self, request: Request) -> Decision:
        """See `Session.explain()`."""
        held = self.held(request)
        if held is not None:
            return held
        verdict = self.core.verdict(request.text)
        if verdict.route is Route.ENDPOINT or self.is_served:
            return verdict
        return self.not_served(verdict.facts)

    # -------------------------------------------------------------------------------- borrowing

    def accepts(self) -> Callable[[Member], bool]:
        """A test whether a replica has seen what this session must see."""
        needed = required(self.needs.consistency, self.state.seen, self.core.log.started)
        bound = self.needs.max_staleness
        moment = now() if bound is not None else 0.0
        # Where there is nothing else, one that is not well may be back.
        last = self.core.endpoint is None
        return lambda m: (m.is_well or last) and m.freshness.serves(needed, bound, moment)

    @property
    def is_served(self) -> bool:
        """Whether a replica would run a read of this session now, or there is nothing else."""
        members = self.core.replicas.members
        return any(map(self.accepts(), members)) or not (members or self.core.endpoint)

    def borrow(self) -> ReplicaLent | None:
        """A cursor of a replica that is fresh enough; None when there is no such replica. In a
        snapshot it is the snapshot's."""
        block = self.state.block
        if block is not None:
            return None if isinstance(block.lent, EndpointLent) else block.lent
        slot = self._slot()
        return None if slot is None else self.core.lent_of(slot)

    def _slot(self) -> Slot[Member] | None:
        accepts, replicas, user = self.accepts(), self.core.replicas, self.needs.user
        slot = replicas.take(accepts) if user is None else None
        if slot is not None:
            return slot
        fresh = [member for member in replicas.members if accepts(member)]
        if not fresh:
            replicas.want()
            if replicas.members or self.core.endpoint is not None:
                return None
        preferred = rendezvous(user, fresh) if fresh and user is not None else None
        try:
            return replicas.lend(accepts, preferred)
        except NoneLeft:
            return None

    def not_served(self, facts: Fact) -> Decision:
        """Why no replica was found: none serves, or none is fresh enough."""
        members = self.core.replicas.serving
        if not members:
            return down(self.core.replicas.trouble, facts)
        moment = now()
        ages = (member.freshness.staleness(moment) for member in members)
        return stale(self.needs.consistency, ages, facts)


def refusal(decision: Decision) -> RoutingError:
    """What is raised where a decision leaves nothing to do."""
    return RoutingError(f"cannot run here: {decision.explain()}", decision)
