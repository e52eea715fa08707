"""What several test modules need, in both colours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pgmd
from pgmd.replicas.instance import Instance
from pgmd.replicas.members import Member
from pgmd.replicas.wire import Wire
from pgmd.runtime import aio as runtime

from ..fixtures.stands import Stand

# What connect() calls the settings of a replica that share their name with one of the endpoint.
_IN_A_URL = {"mode": "replica_mode", "max_size": "replica_max_size"}


async def engine_on(
    stand: Stand,
    replicas: int = 2,
    *,
    each: dict[str, Any] | None = None,
    **settings: Any,
) -> pgmd.AsyncEngine:
    """Open an engine and all of its replicas; *each* has settings of these, the rest are the
    endpoint's."""
    if stand.kind == "dsn":
        named = {_IN_A_URL.get(name, name): value for name, value in (each or {}).items()}
        engine = await pgmd.connect_async(stand.dsn, replicas=replicas, **named, **settings)
    else:
        given = stand.replicas(replicas, **(each or {}))
        engine = pgmd.AsyncEngine(stand.endpoint(**settings), given)
        await engine.open()
    try:
        await engine.wait()
    except BaseException:
        await engine.close()
        raise
    return engine


def instance_of(member: Member) -> Instance:
    """The DuckDB instance of a replica that has one."""
    assert isinstance(member.instance, Instance)
    return member.instance


def wire_of(member: Member) -> Wire:
    """The connection's side of a replica that has no instance."""
    assert isinstance(member.instance, Wire)
    return member.instance


async def pause(seconds: float = 0.001) -> None:
    """Let others run."""
    if runtime.ASYNC:
        await asyncio.sleep(seconds)
    else:
        time.sleep(seconds)


async def until(condition: Callable[[], bool], seconds: float = 40.0) -> None:
    """Wait until *condition* holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        await pause()
