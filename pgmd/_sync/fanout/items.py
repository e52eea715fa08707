# Generated from pgmd/_async/fanout/items.py by pgmd._tools.unasync. Do not edit.
"""The statements of a fan-out, each with what became of it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ...answers.result import Result
from ...errors import Outcome, StatementTimeout
from ...fanout.options import Options
from ...request import Query
from ...routing.decision import Route
from .forkable import Forkable

# A statement and the session that it is for. It runs in a fork of that.
Pair: TypeAlias = tuple[Forkable, Query]


@dataclass(slots=True, eq=False)
class Item:
    """One statement of a fan-out. One with an `origin` does not run, but ends as that ends."""

    index: int
    session: Forkable
    query: Query
    key: Hashable = None
    origin: Item | None = None
    twins: list[Item] = field(default_factory=list)
    # The session that it runs in, once it has begun.
    fork: Forkable | None = None
    ended: bool = False
    result: Result[Any] | None = None
    error: Exception | None = None

    @property
    def has_run(self) -> bool:
        """Whether it has, well or not; of a bundle that was halted, some have not."""
        return self.result is not None or self.error is not None

    @property
    def is_read(self) -> bool:
        return self.session.is_read(self.query)

    @property
    def was_read_on_replica(self) -> bool:
        return self.result is not None and self.result.decision.route is Route.REPLICA

    def join(self) -> None:
        """Its session has seen from now on what the statement has."""
        if self.fork is not None:
            self.session.join(self.fork)


@dataclass(slots=True, eq=False)
class Bundle:
    """Statements that one worker runs, as one query if there are several: these have one text."""

    statements: list[Item]
    # How long that took; None if they had to be run one by one.
    seconds: float | None = None


def too_long(statement: Item, options: Options) -> StatementTimeout:
    """What a statement ends with that took longer than it might."""
    seconds, number = options.query_timeout, statement.index
    outcome = Outcome.NOT_APPLIED if statement.is_read else Outcome.UNKNOWN
    return StatementTimeout(
        f"query_timeout={seconds}: statement {number} took longer than these seconds", outcome
    )


def all_too_long(stopped: list[Item], options: Options) -> StatementTimeout:
    """What a fan-out ends with that took longer than it might; these were *stopped*."""
    outcome = Outcome.NOT_APPLIED if all(s.is_read for s in stopped) else Outcome.UNKNOWN
    return StatementTimeout(
        f"timeout={options.timeout}: not all statements ended in these seconds", outcome
    )
