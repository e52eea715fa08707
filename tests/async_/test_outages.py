"""The endpoint is gone for a while: who waits for a connection, and for how long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg_pool
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import pgmd
from pgmd.runtime import aio as runtime

from ..fixtures.proxy import Proxy, proxy_to
from ..fixtures.stands import local_stand
from .helpers import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

# Within so many seconds of its return whoever waits has got a connection.
SOON = 3.0
Open = Callable[..., pgmd.AsyncEngine]


@pytest.fixture
def way(tmp_path: Path) -> Iterator[tuple[Proxy, str]]:
    """The way to an endpoint, and the conninfo that takes it."""
    with local_stand(tmp_path) as stand:
        where = conninfo_to_dict(stand.dsn)
        with proxy_to((str(where["host"]), int(str(where["port"])))) as proxy:
            yield proxy, make_conninfo(stand.dsn, port=proxy.port)


@pytest.fixture
def proxy(way: tuple[Proxy, str]) -> Proxy:
    return way[0]


@pytest.fixture
def engine(way: tuple[Proxy, str]) -> Open:
    def new(**settings: Any) -> pgmd.AsyncEngine:
        return pgmd.AsyncEngine(pgmd.Endpoint(way[1], connect_timeout=2, **settings))

    return new


class Askers:
    """Callers who each ask the endpoint once."""

    def __init__(self, engine: pgmd.AsyncEngine, count: int) -> None:
        self._jobs = runtime.Jobs(count)
        self._asking = [self._jobs.start(lambda: ask(engine), print) for _ in range(count)]

    async def answers(self) -> list[int | Exception]:
        answers = [await self._jobs.result(job) for job in self._asking]
        await self._jobs.close()
        return answers


async def ask(engine: pgmd.AsyncEngine) -> int | Exception:
    try:
        async with engine.session() as s:
            row = (await s.execute("SELECT 42")).fetchone()
            assert row is not None
            return int(row[0])
    except pgmd.PoolTimeout as error:
        return error


def waiting(engine: pgmd.AsyncEngine) -> int:
    return int(engine.stats()["endpoint"]["requests_waiting"])


async def fail(engine: pgmd.AsyncEngine, times: int) -> None:
    """Wait until so many more attempts to connect have failed."""
    stats = engine.stats
    enough = stats()["endpoint"].get("connections_errors", 0) + times
    await until(lambda: stats()["endpoint"].get("connections_errors", 0) >= enough)


async def is_soon_served(askers: Askers, proxy: Proxy) -> None:
    proxy.heal()
    back = time.monotonic()
    assert set(await askers.answers()) == {42}
    assert time.monotonic() - back < SOON


@pytest.mark.parametrize("count", [1, 20])
async def test_all_who_wait_are_served_soon_after_it_is_back(
    engine: Open, proxy: Proxy, count: int
) -> None:
    async with engine(max_size=count, timeout=60.0) as e:
        # Every connection of the pool is open when the endpoint goes.
        lent = [await e._core.lend() for _ in range(count)]
        for connection in lent:
            await connection.give_back()
        proxy.kill()
        askers = Askers(e, count)
        await until(lambda: waiting(e) == count)
        await fail(e, 10)
        await is_soon_served(askers, proxy)


async def test_an_attempt_that_begins_late_is_not_the_last(
    engine: Open, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine the time to ask may be over before the pool has looked."""
    late = 0
    get = psycopg_pool.AsyncConnectionPool.getconn

    async def getconn(self: Any, timeout: float) -> Any:
        nonlocal late
        if timeout < 1.0:
            late += 1
            if late % 2:
                return await get(self, 0.0)
        return await get(self, timeout)

    monkeypatch.setattr(psycopg_pool.AsyncConnectionPool, "getconn", getconn)
    async with engine(max_size=1, timeout=60.0) as e:
        proxy.kill()
        askers = Askers(e, 1)
        await until(lambda: late >= 5)
        await is_soon_served(askers, proxy)


async def test_those_who_have_waited_in_vain_leave_room_for_others(
    engine: Open, proxy: Proxy
) -> None:
    async with engine(max_size=1, max_waiting=2, timeout=1.0) as e:
        proxy.kill()
        for _ in range(2):
            askers = Askers(e, 3)
            await until(lambda: waiting(e) >= 2)
            assert all(isinstance(error, pgmd.PoolTimeout) for error in await askers.answers())
        proxy.heal()
        assert await ask(e) == 42


async def test_no_more_wait_than_may(engine: Open, proxy: Proxy) -> None:
    async with engine(max_size=1, max_waiting=2, timeout=60.0) as e:
        async with e.session() as s, s.transaction():
            await s.execute("SELECT 1")
            askers = Askers(e, 2)
            await until(lambda: waiting(e) == 2)
            with pytest.raises(pgmd.PoolFull, match="raise max_size or max_waiting"):
                await ask(e)
        assert await askers.answers() == [42, 42]
        assert waiting(e) == 0


async def test_nobody_who_waits_means_no_more_attempts(engine: Open, proxy: Proxy) -> None:
    async with engine(max_size=1, timeout=1.0) as e:
        proxy.kill()
        assert isinstance(await ask(e), pgmd.PoolTimeout)
        assert waiting(e) == 0
        endpoint: Any = e._core.endpoint
        await until(lambda: not endpoint._is_insisting)
        proxy.heal()
        assert await ask(e) == 42


async def test_an_engine_can_be_closed_while_somebody_waits(engine: Open, proxy: Proxy) -> None:
    async with engine(max_size=1, timeout=60.0) as e:
        proxy.kill()
        jobs = runtime.Jobs(1)
        job = jobs.start(lambda: ask(e), print)
        await fail(e, 4)
        assert waiting(e) == 1
    with pytest.raises(pgmd.PoolClosed):
        await jobs.result(job)
    await jobs.close()
