"""What an engine needs to know, frozen and checked when it is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

from .checks import require
from .endpoint import Endpoint
from .replica import AnyReplica

Consistency = Literal["eventual", "session", "engine", "strong"]

R = TypeVar("R", bound=AnyReplica)

CONSISTENCIES = ("eventual", "session", "engine", "strong")


@dataclass(frozen=True, slots=True)
class Database:
    """One of several databases of an engine: on one account or on another, with its own tokens."""

    endpoint: Endpoint | None = None
    replicas: Sequence[AnyReplica] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "replicas", tuple(self.replicas))
        require(
            self.endpoint is not None or bool(self.replicas),
            "a database has an endpoint, replicas or both",
        )


@dataclass(frozen=True, slots=True)
class Settings:
    """All an engine needs to know."""

    endpoint: Endpoint | None = None
    replicas: tuple[AnyReplica, ...] = ()
    consistency: Consistency = "session"
    max_staleness: float | None = None
    endpoint_spill: int | None = None
    databases: Mapping[str, Database] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require(
            self.endpoint_spill is None or self.endpoint_spill >= 1,
            f"endpoint_spill={self.endpoint_spill}: must be at least 1",
        )
        require(
            self.endpoint is not None or bool(self.replicas) or bool(self.databases),
            "nothing to connect to: give a URL, an endpoint or replicas, or set PGMD_ENDPOINT",
        )
        check_consistency(self.consistency, self.max_staleness)
        databases = {
            name: replace(each, replicas=named(tuple(each.replicas), name))
            for name, each in self.databases.items()
        }
        object.__setattr__(self, "databases", databases)
        replicas = [*self.replicas, *(r for each in databases.values() for r in each.replicas)]
        names = sorted(replica.name for replica in replicas)
        require(len(set(names)) == len(names), f"name: two replicas are called the same, {names}")

    @property
    def spill(self) -> int:
        """How many reads may run on the endpoint at once because no replica serves."""
        if self.endpoint_spill is not None or self.endpoint is None:
            return self.endpoint_spill or 1
        return max(1, self.endpoint.max_size // 2)

    @property
    def secrets(self) -> list[str]:
        """Every password and token in here."""
        sides: list[Endpoint | AnyReplica | None] = [self.endpoint, *self.replicas]
        for each in self.databases.values():
            sides += [each.endpoint, *each.replicas]
        return [secret for side in sides if side is not None for secret in side.secrets]


def check_consistency(consistency: str, max_staleness: float | None) -> None:
    """Raise `ConfigurationError` for a consistency level or a bound that does not exist."""
    require(
        consistency in CONSISTENCIES,
        f"consistency={consistency!r}: expected one of {', '.join(CONSISTENCIES)}",
    )
    require(
        max_staleness is None or max_staleness >= 0,
        f"max_staleness={max_staleness}: must be a number of seconds, 0 or more",
    )


def named(replicas: tuple[R, ...], database: str = "") -> tuple[R, ...]:
    """Give every replica without a name one: `replica-1`, or with a database `sales/replica-1`."""
    prefix = f"{database}/" if database else ""
    return tuple(
        r if r.name else replace(r, name=f"{prefix}replica-{n}")
        for n, r in enumerate(replicas, start=1)
    )
