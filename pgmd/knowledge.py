"""What an engine has learned about statements, valid as long as its site is what it is.

Read and written by many threads without a lock: each entry is independent and may be lost. When
the site changes the whole object is replaced, so nothing decided for the old one survives.
"""

from __future__ import annotations

import datetime as dt

from .cache import Cache
from .routing.decision import Decision
from .routing.router import Site, objection
from .shape import Shapes
from .sql import analyse

_MOST = 4096


class Knowledge:
    """Verdicts and result shapes by statement text."""

    def __init__(self, site: Site, time_zone: dt.tzinfo) -> None:
        self.site = site
        self.shapes = Shapes(time_zone, alone=not site.has_endpoint)
        self._verdicts: Cache[str, Decision | None] = Cache(_MOST)

    def objection(self, text: str) -> Decision | None:
        """Why this text may never run on a replica; None when it may."""
        try:
            return self._verdicts[text]
        except KeyError:
            return self.remember(text, objection(analyse(text), self.site))

    def remember(self, text: str, verdict: Decision | None) -> Decision | None:
        """Decide so from now on."""
        self._verdicts[text] = verdict
        return verdict
