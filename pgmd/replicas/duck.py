"""How the answer to a query is fetched."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol


class Run:
    """One execution: cancelling it cannot hit the next one on the same cursor."""

    __slots__ = ("cancelled",)

    def __init__(self) -> None:
        self.cancelled = False


class Answer(NamedTuple):
    """What DuckDB returned: its own description, and its own values in rows or Arrow batches."""

    description: list[Any]
    rows: list[tuple[Any, ...]]
    batches: list[Any] | None = None


class Reading(Protocol):
    """Decides how the answer to one query is fetched, once for each execution."""

    @property
    def query(self) -> str | None:
        """What to run in place of the query, if that is known already."""
        ...

    def next(self, description: list[Any]) -> str | None:
        """What to run instead of what has just run and returns these columns; None when that is
        what was wanted. Raises whatever stops it."""
        ...

    @property
    def batch(self) -> int:
        """How many rows the Arrow batches of what has run are to have; 0 to fetch it as rows."""
        ...


class _AsItIs:
    query = None
    batch = 0

    def next(self, description: list[Any]) -> None: ...


AS_IT_IS: Reading = _AsItIs()
