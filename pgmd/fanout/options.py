"""How a fan-out runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..errors import UsageError
from .progress import check_bar

Errors = Literal["raise", "collect"]


@dataclass(frozen=True, slots=True)
class Options:
    """How a fan-out runs, see `session.map()`. Raises `UsageError`, or `ConfigurationError`."""

    concurrency: int = 8
    ordered: bool = True
    timeout: float | None = None
    query_timeout: float | None = None
    errors: Errors = "raise"
    progress: bool = False
    distinct: bool = False
    # How many statements there are, if that is known.
    total: int | None = None
    # Which equal statements it knows: all, or those in its window.
    remembers: bool = False

    def __post_init__(self) -> None:
        if self.concurrency < 1:
            raise UsageError(f"concurrency={self.concurrency}: must be at least 1")
        for name in ("timeout", "query_timeout"):
            seconds = getattr(self, name)
            if seconds is not None and not seconds > 0:
                raise UsageError(f"{name}={seconds}: must be a number of seconds above 0")
        if self.errors not in ("raise", "collect"):
            raise UsageError(f"errors={self.errors!r}: expected 'raise' or 'collect'")
        if self.progress:
            check_bar()
