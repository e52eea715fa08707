"""What an engine has learned about statements, valid as long as its site is what it is.

Read and written by many threads without a lock: each entry is independent and may be lost. When
the site changes the whole object is replaced, so nothing decided for the old one survives.
"""

from __future__ import annotations

import datetime as dt

from .answers.shapes import Shapes
from .process.cache import Cache
from .routing.decision import Decision
from .routing.router import Site, decide
from .sql import Statement, analyse

_MOST = 4096


class Knowledge:
    """By text: verdicts, result shapes, and how many executions are worth a query."""

    def __init__(self, site: Site, time_zone: dt.tzinfo) -> None:
        self.site = site
        self.shapes = Shapes(time_zone, alone=not site.has_endpoint)
        self.bundle_sizes: Cache[str, int] = Cache(_MOST)
        self._verdicts: Cache[str, Decision] = Cache(_MOST)

    def statement(self, text: str) -> Statement:
        """The facts of a text, with the replicas' views and macros looked through."""
        return self.site.resolve(analyse(text))

    def verdict(self, text: str) -> Decision:
        """Where this text may run, freshness aside."""
        try:
            return self._verdicts[text]
        except KeyError:
            return self.remember(text, decide(self.statement(text), self.site))

    def remember(self, text: str, verdict: Decision) -> Decision:
        """Decide so from now on."""
        self._verdicts[text] = verdict
        return verdict
