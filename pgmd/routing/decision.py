"""A decision: where a statement runs, and the one reason why."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from ..sql import Fact


class Route(enum.Enum):
    """The two places where a statement can run."""

    ENDPOINT = "endpoint"
    REPLICA = "replica"

    # Enum's own is written in Python, and every statement is counted by these.
    __hash__ = object.__hash__


class Reason(enum.Enum):
    """Why a statement runs where it runs; the value is a sentence for people.

    Each is given by one rule. `remedy` says what would have a replica run the statement.
    """

    READ = "a confirmed read, and a replica has seen what this session has seen"
    SNAPSHOT = "runs in the open snapshot(), on its replica"
    NO_ENDPOINT = "a confirmed read, and the engine has no endpoint"
    NOT_A_READ = "not confirmed to be a read"
    TRANSACTION = "runs in the open transaction()"
    PINNED = "an earlier statement of this session tied it to one endpoint connection"
    ASKED = "the caller named the route"
    NO_REPLICAS = "the engine has no replicas"
    REPLICAS_DOWN = "no replica serves at the moment"
    STALE = "no replica is known to have seen what this session has seen"
    STRONG = "strong consistency was asked for, and no replica reads live"
    DIALECT = "uses a construct about which PostgreSQL and DuckDB disagree"
    CATALOGUE = "names a column that a replica cannot read or order exactly as PostgreSQL does"
    PARAMETERS = "a parameter has no exact twin on a replica"
    RESULT = "a result column could not have the same type on a replica"
    REFUSED = "a replica refused it as a write"
    FAILED = "a replica could not run it, so the endpoint decides"

    __hash__ = object.__hash__

    @property
    def remedy(self) -> str:
        """What would have a replica run the statement; "" where one does."""
        return _REMEDIES[self]


_REMEDIES = {
    Reason.READ: "",
    Reason.SNAPSHOT: "",
    Reason.NO_ENDPOINT: "",
    Reason.NOT_A_READ: "depends on what it does, see its facts",
    Reason.TRANSACTION: "run it outside of the transaction, or use snapshot() for reads only",
    Reason.PINNED: "use another session for it: sessions are cheap",
    Reason.ASKED: "leave the route, or the comment that names it, out",
    Reason.NO_REPLICAS: "give the engine replicas",
    Reason.REPLICAS_DOWN: "see engine.stats() and the log of pgmd.replica for what went wrong",
    Reason.STALE: "engine.publish() after the writes that it must see, or consistency='eventual'",
    Reason.STRONG: "a lower consistency, or replicas that read live",
    Reason.DIALECT: "write it with what both understand alike, such as an explicit cast",
    Reason.CATALOGUE: "leave that column out, or give it a type or collation that both have",
    Reason.PARAMETERS: "pass another type of value, or cast the placeholder",
    Reason.RESULT: "cast the column in the query",
    Reason.REFUSED: "nothing: it writes",
    Reason.FAILED: "see why with session.replica.execute(), which raises the replica's error",
}

_KNOWN_NAMES = "use only functions, views, macros and tables that the replicas know"
# The first that applies.
_FACT_REMEDIES = (
    (Fact.SEVERAL, "execute its statements one by one"),
    (Fact.WRITES, "nothing: it writes"),
    (Fact.TRANSACTION, "use transaction() and snapshot() instead of statements"),
    (Fact.SESSION, "nothing: it changes, or depends on, the state of one connection"),
    (Fact.TEMPORARY, "nothing: a temporary object lives in one connection"),
    (Fact.LOCAL_FILES, "load the file into a table first: replicas reach no files"),
    (Fact.REMOTE_FILES, "load the file into a table first: replicas reach no files"),
    (Fact.EXTERNAL, "nothing: it acts outside of the database"),
    (Fact.ASKS_SESSION, "nothing: it asks about the server or connection that runs it"),
    (Fact.UNKNOWN, _KNOWN_NAMES),
    (Fact.READS, _KNOWN_NAMES),
)


NO_FACTS = Fact(0)


@dataclass(frozen=True, slots=True)
class Decision:
    """Where a statement runs (or ran) and why.

    `detail` names the word, column, earlier statement or replica error behind the reason; it holds
    no values. `facts` is what the statement does. `staleness` is an upper bound in seconds on how
    old the data may be: 0.0 for the endpoint and for live replicas, None when unknown. `seconds`
    is how long the statement took, or its share of the query that it was a part of, None when
    nothing was run. `database` is set where an engine has several.
    """

    route: Route
    reason: Reason
    detail: str = ""
    replica: str | None = None
    staleness: float | None = 0.0
    seconds: float | None = None
    facts: Fact = NO_FACTS
    database: str | None = None

    @property
    def remedy(self) -> str:
        """What would have a replica run the statement; "" where one does."""
        if self.reason is Reason.NOT_A_READ:
            return next((text for fact, text in _FACT_REMEDIES if fact & self.facts), "")
        return self.reason.remedy

    @property
    def is_spill(self) -> bool:
        """Whether a replica would have run it, had one served."""
        return self.reason in (Reason.REPLICAS_DOWN, Reason.FAILED)

    def by(self, replica: str, staleness: float | None) -> Decision:
        """The same, carried out by this replica."""
        return Decision(
            Route.REPLICA, self.reason, replica=replica, staleness=staleness, facts=self.facts
        )

    def within(self, database: str) -> Decision:
        """The same, of an engine that has several databases."""
        return replace(self, database=database)

    def explain(self) -> str:
        """One line for people."""
        where = self.replica or self.route.value
        detail = f" ({self.detail})" if self.detail else ""
        return f"{where}: {self.reason.value}{detail}"

    def report(self) -> str:
        """All of it for people, a line each: the decision, its rule, the facts, the remedy."""
        facts = ", ".join(fact.name.lower().replace("_", " ") for fact in self.facts if fact.name)
        lines = [self.explain(), f"  rule:   {self.reason.name}", f"  facts:  {facts or 'none'}"]
        if self.remedy:
            lines.append(f"  remedy: {self.remedy}")
        return "\n".join(lines)
