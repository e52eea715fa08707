"""What a connection tells of what was done, as `connection.pgmd`."""

from __future__ import annotations

from typing import Any

from ...dropin.modes import RouteReads, check_route_reads
from ...routing.decision import Decision
from ...servers.profile import Profile
from ..engine import AsyncEngine
from .placing import AsyncPlacing


class AsyncRouting:
    """What pgmd does for one connection, as `connection.pgmd`."""

    __slots__ = ("_placing",)

    def __init__(self, placing: AsyncPlacing) -> None:
        self._placing = placing

    @property
    def engine(self) -> AsyncEngine | None:
        """The engine on whose replicas reads run."""
        return self._placing.engine

    @property
    def profile(self) -> Profile:
        """What the server can do."""
        return self._placing.profile

    @property
    def decision(self) -> Decision | None:
        """Where the last statement ran and why; None before the first, or without an engine."""
        return self._placing.decision

    @property
    def stats(self) -> dict[str, int]:
        """How many statements ran where and why, such as `{"replica: READ": 3}`."""
        return self._placing.stats

    @property
    def route_reads(self) -> RouteReads:
        """When reads run on replicas: in "autocommit" mode, also before the first statement that
        is no read of a transaction that has not begun ("lazy-begin"), or never ("off").

        Setting it to anything else raises `ConfigurationError`.
        """
        return self._placing.route_reads

    @route_reads.setter
    def route_reads(self, value: RouteReads) -> None:
        self._placing.route_reads = check_route_reads(value)

    def explain(self, query: Any, params: Any = None) -> Decision:
        """Decide where a statement would run in autocommit mode, and why; nothing is run.

        Raises `UsageError` without an engine.
        """
        return self._placing.explain(query, params)

    def __repr__(self) -> str:
        return f"<pgmd routing, route_reads={self.route_reads!r}: {self.stats}>"
