"""A decision: where a statement runs, and the one reason why."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Route(enum.Enum):
    """The two places where a statement can run."""

    ENDPOINT = "endpoint"
    REPLICA = "replica"


class Reason(enum.Enum):
    """Why a statement runs where it runs; the value is a sentence for people."""

    READ = "a confirmed read, and a replica has seen what this session has seen"
    SNAPSHOT = "runs in the open snapshot(), on its replica"
    NO_ENDPOINT = "a confirmed read, and the engine has no endpoint"
    NOT_A_READ = "not confirmed to be a read"
    TRANSACTION = "runs in the open transaction()"
    PINNED = "an earlier statement of this session tied it to one endpoint connection"
    ASKED = "the caller named the route"
    NO_REPLICAS = "the engine has no replicas"
    REPLICAS_DOWN = "no replica could be opened"
    STALE = "no replica is known to have seen what this session has seen"
    STRONG = "strong consistency was asked for, and no replica reads live"
    DIALECT = "uses a construct about which PostgreSQL and DuckDB disagree"
    CATALOGUE = "names a column that a replica cannot read or order exactly as PostgreSQL does"
    PARAMETERS = "a parameter has no exact twin on a replica"
    RESULT = "a result column could not have the same type on a replica"
    REFUSED = "a replica refused it as a write"
    FAILED = "a replica could not run it, so the endpoint decides"


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a statement runs (or ran) and why.

    `detail` names the word, column or replica error behind the reason. `staleness` is an upper
    bound in seconds on how old the data may be: 0.0 for the endpoint and for live replicas, None
    when unknown. `seconds` is how long the statement took, None when nothing was run.
    """

    route: Route
    reason: Reason
    detail: str = ""
    replica: str | None = None
    staleness: float | None = 0.0
    seconds: float | None = None

    def explain(self) -> str:
        """One line for people."""
        where = self.replica or self.route.value
        detail = f" ({self.detail})" if self.detail else ""
        return f"{where}: {self.reason.value}{detail}"
