"""What a fan-out needs of a session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, Self

from psycopg.rows import BaseRowFactory

from ...answers.result import Result
from ...request import Params, Query, Sql


class AsyncForkable(Protocol):
    """A session that a fan-out was begun in, or the fork of one that a worker runs in."""

    def fork(self) -> Self:
        """One of its own that starts from what this one has seen and set."""
        ...

    def join(self, other: Self) -> None:
        """Take over what a fork has seen."""
        ...

    def is_set_as(self, other: Self) -> bool:
        """Whether a statement runs here as it would in a new fork of *other*."""
        ...

    def is_read(self, query: Query) -> bool:
        """Whether it is a confirmed read."""
        ...

    def check_alive(self) -> None:
        """Raise `UsageError` unless the engine is open, in this process."""
        ...

    async def run(
        self, query: Sql, params: Params | None, row_factory: BaseRowFactory[Any] | None
    ) -> Result[Any]:
        """As `session.execute()`."""
        ...

    async def run_together(self, queries: Sequence[Query]) -> list[Result[Any]] | None:
        """Run queries of one text and row factory as one on a replica. None where each is to run
        by itself, and so it is when this raises: none has had an effect."""
        ...

    async def close(self) -> None: ...

    def cancel(self) -> None:
        """Stop what another thread runs here, if anything; return once it has stopped."""
        ...
