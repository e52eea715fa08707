# Generated from pgmd/_async/fanout/across.py by pgmd._tools.unasync. Do not edit.
"""The same statement over many databases of one engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg.rows import BaseRowFactory

from ...fanout.options import Errors, Options
from ...request import Params, Query, Sql
from .forkable import Forkable
from .results import FanOut, fan_out


class Across:
    """Runs statements in every one of some databases, each in a session of its own."""

    def __init__(self, sessions: Sequence[Forkable]) -> None:
        self._sessions = sessions

    def execute(
        self,
        query: Sql,
        params: Params | None = None,
        *,
        concurrency: int = 8,
        ordered: bool = True,
        timeout: float | None = None,
        query_timeout: float | None = None,
        errors: Errors = "raise",
        progress: bool = False,
        row_factory: BaseRowFactory[Any] | None = None,
    ) -> FanOut:
        """The results of one statement, in the order of the databases; see `session.map()`.

        `result.decision.database` tells whose a result is.
        """
        options = Options(
            concurrency=concurrency,
            ordered=ordered,
            timeout=timeout,
            query_timeout=query_timeout,
            errors=errors,
            progress=progress,
            total=len(self._sessions),
        )
        asked = Query(query, params, row_factory)
        return fan_out(((session, asked) for session in self._sessions), options)
