"""Open replicas, and what sets their kinds apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from ..process.clock import now
from ..routing.freshness import Freshness
from ..settings.redact import Redactor
from ..settings.replica import AnyReplica
from .copies import Copies
from .holdings import Holdings
from .instance import Instance
from .plans import Terms
from .wire import Wire

R = TypeVar("R", bound=AnyReplica)
# What a replica lends: cursors of a DuckDB instance, or connections.
Side = Literal["instance", "wire"]


@dataclass(slots=True, eq=False)
class Member:
    """One open replica and what it shows.

    `is_well` is False while it is not to be used, `used` the moment when it last was. Whoever keeps
    it looks from time to time whether it `is_outdated`, and has it opened anew then.
    """

    kind: Kind[Any]
    settings: AnyReplica
    instance: Instance | Wire
    freshness: Freshness
    holdings: Holdings
    is_outdated: Callable[[], bool] | None = field(default=None, repr=False)
    # What is left to be done when it has been closed.
    closed: Callable[[], None] = field(default=lambda: None, repr=False)
    is_well: bool = True
    used: float = field(default_factory=now)
    # Is told how each statement ended, and with which of the driver's errors.
    report: Callable[[Exception | None], None] = field(default=lambda _: None, repr=False)

    @property
    def name(self) -> str:
        return self.settings.name

    def close(self) -> None:
        """Close it; nobody uses it any more."""
        self.instance.close()
        self.closed()


class Opening:
    """What the replicas of one engine are opened with.

    Any number of threads may use it.
    """

    def __init__(
        self, redact: Redactor, terms: Terms, published: Freshness, settled: Callable[[], float]
    ) -> None:
        """*published* is what a snapshot shows that is opened now, *settled* tells the position up
        to which all writes have been acknowledged."""
        self.redact = redact
        self.terms = terms
        self.copies = Copies()
        self._settled = settled
        self._at_first = published
        self._published: dict[str | None, Freshness] = {}

    def published(self, database: str | None) -> Freshness:
        """What a snapshot of a database shows that is opened now."""
        return self._published.get(database, self._at_first)

    def publish(self, databases: Iterable[str | None], published: Freshness) -> None:
        """What is opened from now on of these databases shows this."""
        self._published |= dict.fromkeys(databases, published)

    def committed(self) -> Freshness:
        """What everybody sees who now opens what the endpoint writes to."""
        return Freshness(self._settled(), now())


def _as_it_is(_: Any) -> None:
    """Nothing to say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[R]):
    """What sets the replicas of one kind apart: all that anybody may ask of it.

    Its replicas have the setting `source`, and may have those that it `takes`; other kinds may not.
    `open` blocks and raises `ReplicaError`, without secrets.
    """

    # As a message calls them: "file=", "mode='snapshot'".
    said: str
    source: str
    open: Callable[[R, Opening], Member]
    takes: frozenset[str] = frozenset()
    # Of several kinds that read one source, whether this one is meant.
    is_meant: Callable[[R], bool] = lambda _: True
    # Raises `ConfigurationError`.
    check: Callable[[R], None] = _as_it_is

    side: Side = "instance"
    # Shows newer tables and views without being told to.
    moves_on: bool = False
    # All its cursors see the same for as long as it is open.
    never_changes: bool = False
    # Many reads may go there as one query.
    bundles: bool = True

    # Shows what has been published when it is refreshed, or when it is opened anew.
    refreshes: bool = False
    reopens: bool = False
    # The database of which the endpoint has to take a snapshot before; "" is the default one.
    publishes_as: Callable[[R], str | None] = _as_it_is
    # There is nothing to open until one has been taken.
    opens_published: bool = False
    # Done once for all its replicas before they are opened anew.
    prepare: Callable[[Sequence[R], Opening], None] | None = None
    # Why pgmd cannot move it on.
    cannot_publish: str = ""
