# Generated from tests/async_/helpers.py by pgmd._tools.unasync. Do not edit.
"""What several test modules need, in both colours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from pgmd.runtime import threads as runtime


def pause() -> None:
    """Let others run."""
    time.sleep(0.001)


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until *condition* holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        pause()
