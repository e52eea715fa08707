"""What several test modules need, in both colours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from pgmd.runtime import aio as runtime


async def pause() -> None:
    """Let others run."""
    if runtime.ASYNC:
        await asyncio.sleep(0.001)
    else:
        time.sleep(0.001)


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until *condition* holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        await pause()
