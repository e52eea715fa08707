"""What replicas have in common that a read-scaling token leads to a duckling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from ...errors import ReplicaError
from ...routing.freshness import Freshness
from ...settings.replica import AnyReplica
from ...settings.secret import Secret, revealed, sealed
from ..instance import Instance
from ..members import Kind, Member, Opening
from ..wire import Wire

D = TypeVar("D", bound="Duckling")


@dataclass(frozen=True, kw_only=True)
class Duckling(AnyReplica):
    """What a replica takes that is read through a read-scaling `token`.

    `session_name` keeps its connections on one duckling.

    A `token` may be a function that returns it, called in a thread each time a replica is opened
    and from time to time: when it returns another one the replica is replaced.
    """

    token: str | Secret | Callable[[], str] | None = field(default=None, repr=False)
    session_name: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "token", sealed(self.token))

    def current_token(self) -> str:
        """The token, from its function if it has one. Raises ReplicaError when that fails."""
        if not callable(self.token):
            return revealed(self.token)
        try:
            token = self.token()
        except Exception as error:
            # Its text may hold a secret.
            raise ReplicaError(f"its token function raised {type(error).__name__}") from error
        if not isinstance(token, str) or not token:
            raise ReplicaError("its token function did not return a token")
        return token


def open_duckling(
    kind: Kind[D],
    replica: D,
    opening: Opening,
    reach: Callable[[str], Instance | Wire],
) -> Member:
    """Open a replica that *reach* connects to with a token."""
    token = replica.current_token()
    opening.redact.learn(token)
    published = opening.published(kind.publishes_as(replica))
    instance = reach(token)
    freshness, holdings = Freshness(0), instance.holdings
    if published.position:
        # A new connection may be shown an older snapshot than the last one was.
        instance.refresh()
        freshness, holdings = published, instance.look()
    is_outdated = partial(_has_another_token, replica, token) if callable(replica.token) else None
    return Member(kind, replica, instance, freshness, holdings, is_outdated)


def _has_another_token(replica: Duckling, token: str) -> bool:
    return replica.current_token() != token
