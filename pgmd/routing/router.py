"""The rules: what keeps a statement away from the replicas, and what a session must see."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ..config import Consistency
from ..profile import Dialect
from ..sql import Statement
from .catalogue import Catalogue
from .decision import Decision, Reason, Route
from .freshness import LIVE


@dataclass(frozen=True, slots=True)
class Site:
    """What an engine is made of, as far as routing is concerned."""

    has_endpoint: bool
    has_replicas: bool
    replicas_open: bool
    # The endpoint's; replicas always speak DuckDB's.
    dialect: Dialect
    catalogues: tuple[Catalogue, ...] = ()


def objection(statement: Statement, site: Site) -> Decision | None:
    """Why no replica of *site* may ever run this text; None when one may."""
    for rule in _RULES:
        found = rule(statement, site)
        if found is not None:
            return found
    return None


def _no_replicas(_: Statement, site: Site) -> Decision | None:
    if site.replicas_open:
        return None
    return _endpoint(Reason.REPLICAS_DOWN if site.has_replicas else Reason.NO_REPLICAS)


def _not_a_read(statement: Statement, _: Site) -> Decision | None:
    return None if statement.is_read else _endpoint(Reason.NOT_A_READ, statement.why)


def _dialect(statement: Statement, site: Site) -> Decision | None:
    if site.dialect is Dialect.DUCKDB or not statement.unportable:
        return None
    return _endpoint(Reason.DIALECT, statement.unportable)


def _catalogue(statement: Statement, site: Site) -> Decision | None:
    for catalogue in site.catalogues:
        column = catalogue.objection(statement)
        if column:
            return _endpoint(Reason.CATALOGUE, column)
    return None


# What can never be true of a read comes first; with no endpoint there is only one dialect.
_RULES: tuple[Callable[[Statement, Site], Decision | None], ...] = (
    _not_a_read,
    _no_replicas,
    _dialect,
    _catalogue,
)


def _endpoint(reason: Reason, detail: str = "") -> Decision:
    return Decision(Route.ENDPOINT, reason, detail)


def required(consistency: Consistency, seen: int, started: int) -> float:
    """The position that a replica must have reached: *seen* by the session, *started* by anyone."""
    if consistency == "session":
        return seen
    if consistency == "engine":
        return max(seen, started)
    return LIVE if consistency == "strong" else 0


def stale(consistency: Consistency, staleness: Iterable[float | None]) -> Decision:
    """No replica is fresh enough; *staleness* is what they have to offer, in seconds."""
    if consistency == "strong":
        return _endpoint(Reason.STRONG)
    known = [seconds for seconds in staleness if seconds is not None]
    return _endpoint(Reason.STALE, f"the freshest is {min(known):.1f} s old" if known else "")
