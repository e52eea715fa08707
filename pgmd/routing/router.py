"""The rules: what keeps a statement away from the replicas, and what a session must see."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..servers.profile import Dialect
from ..settings.engine import Consistency
from ..sql import Fact, Statement
from .catalogue import Catalogue
from .decision import Decision, Reason, Route
from .definitions import Definitions
from .freshness import LIVE

HINT = "endpoint"


@dataclass(frozen=True, slots=True)
class Site:
    """What an engine is made of, as far as routing is concerned."""

    has_endpoint: bool
    has_replicas: bool
    # The endpoint's; replicas always speak DuckDB's.
    dialect: Dialect
    catalogues: tuple[Catalogue, ...] = ()
    definitions: tuple[Definitions, ...] = ()

    @classmethod
    def imagined(cls, dialect: Dialect) -> Site:
        """An endpoint of *dialect* and replicas of which no more is known."""
        return cls(has_endpoint=True, has_replicas=True, dialect=dialect)

    def resolve(self, statement: Statement) -> Statement:
        """*statement* with its views and macros looked through, in each of the replicas."""
        for definitions in self.definitions:
            statement = definitions.resolve(statement)
        return statement


def decide(statement: Statement, site: Site) -> Decision:
    """Where *site* may run this text, freshness aside. *statement* is resolved already."""
    if statement.begins_snapshot and site.has_replicas and site.dialect is Dialect.DUCKDB:
        return Decision(Route.REPLICA, Reason.SNAPSHOT, facts=statement.facts)
    found = objection(statement, site)
    if found is not None:
        return found
    reason = Reason.READ if site.has_endpoint else Reason.NO_ENDPOINT
    return Decision(Route.REPLICA, reason, facts=statement.facts)


def objection(statement: Statement, site: Site) -> Decision | None:
    """Why no replica of *site* may ever run this text; None when one may."""
    for rule in _RULES:
        found = rule(statement, site)
        if found is not None:
            reason, detail = found
            return Decision(Route.ENDPOINT, reason, detail, facts=statement.facts)
    return None


# What a rule objects with, and the detail of it.
_Objection = tuple[Reason, str] | None


def _asked(statement: Statement, _: Site) -> _Objection:
    if not statement.hint:
        return None
    known = statement.hint == HINT
    note = "" if known else f", which is not known: only {HINT!r} is"
    return Reason.ASKED, f"/*+ pgmd: {statement.hint[:40]} */{note}"


def _not_a_read(statement: Statement, _: Site) -> _Objection:
    return None if statement.is_read else (Reason.NOT_A_READ, statement.why)


def _no_replicas(_: Statement, site: Site) -> _Objection:
    return None if site.has_replicas else (Reason.NO_REPLICAS, "")


def _dialect(statement: Statement, site: Site) -> _Objection:
    if site.dialect is Dialect.DUCKDB:
        return None
    unportable = statement.unportable
    return (Reason.DIALECT, unportable) if unportable else None


def _catalogue(statement: Statement, site: Site) -> _Objection:
    for catalogue in site.catalogues:
        column = catalogue.objection(statement)
        if column:
            return Reason.CATALOGUE, column
    return None


# What can never be true of a read comes first; with no endpoint there is only one dialect.
_RULES: tuple[Callable[[Statement, Site], _Objection], ...] = (
    _not_a_read,
    _asked,
    _no_replicas,
    _dialect,
    _catalogue,
)


def required(consistency: Consistency, seen: int, started: int) -> float:
    """The position that a replica must have reached: *seen* by the session, *started* by anyone."""
    if consistency == "session":
        return seen
    if consistency == "engine":
        return max(seen, started)
    return LIVE if consistency == "strong" else 0


def down(detail: str, facts: Fact) -> Decision:
    """No replica serves."""
    return Decision(Route.ENDPOINT, Reason.REPLICAS_DOWN, detail, facts=facts)


def stale(consistency: Consistency, staleness: Iterable[float | None], facts: Fact) -> Decision:
    """No replica is fresh enough; *staleness* is what they have to offer, in seconds."""
    if consistency == "strong":
        return Decision(Route.ENDPOINT, Reason.STRONG, facts=facts)
    known = [seconds for seconds in staleness if seconds is not None]
    detail = f"the freshest is {min(known):.1f} s old" if known else ""
    return Decision(Route.ENDPOINT, Reason.STALE, detail, facts=facts)
