"""Servers that die, hang or come back. Each test has a server of its own."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import psycopg
import pytest

import pgmd
from pgmd import Route
from pgmd.runtime import aio as runtime
from pgmd.testing.servers import Container, Server

from ..fixtures.stands import local_stand
from .helpers import engine_on, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def machine_of(server: Server) -> Container:
    assert server.container is not None
    return server.container


async def test_a_lost_answer_to_a_write_is_in_doubt(container: Server) -> None:
    async with await pgmd.connect_async(container.dsn) as engine, engine.session() as s:
        await s.execute("CREATE TABLE t (n int)")
        jobs = runtime.Jobs(1)
        work = "INSERT INTO t SELECT 1 FROM pg_sleep(60)"
        job = jobs.start(lambda: s.execute(work), print)
        with psycopg.connect(container.dsn, autocommit=True) as other:
            sleeping = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
            await until(lambda: other.execute(sleeping).fetchone() is not None)
        machine_of(container).kill()
        with pytest.raises(psycopg.OperationalError) as caught:
            await job.result()
        await jobs.close()
        assert caught.value.outcome is pgmd.Outcome.UNKNOWN  # type: ignore[attr-defined]
        assert not caught.value.retryable  # type: ignore[attr-defined]


async def test_work_goes_on_after_a_restart(container: Server) -> None:
    settings: dict[str, Any] = {"replicas": 1, "timeout": 30}
    async with await pgmd.connect_async(container.dsn, **settings) as engine, engine.session() as s:
        await s.execute("CREATE TABLE t AS SELECT 1 AS n")
        assert (await s.execute("SELECT n FROM t")).fetchone() == (1,)
        with psycopg.connect(container.dsn, autocommit=True) as admin:
            others = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL"
            admin.execute(f"SELECT pg_terminate_backend(pid) {others}")
            await until(lambda: admin.execute(f"SELECT 1 {others}").fetchone() is None)
        # Resting connections were closed by the server: nobody is handed one of those.
        for _ in range(5):
            await s.execute("INSERT INTO t VALUES (2)")
            assert (await s.endpoint.execute("SELECT count(*) > 1 FROM t")).fetchone() == (True,)
        assert (await s.execute("SELECT count(*) FROM t")).fetchone() == (6,)


async def test_a_server_that_hangs_gives_a_time_out_not_a_wait_for_ever(container: Server) -> None:
    settings: dict[str, Any] = {"max_size": 1, "timeout": 1.0, "connect_timeout": 2}
    async with await pgmd.connect_async(container.dsn, **settings) as engine:
        async with engine.session() as s:
            await s.execute("CREATE TABLE t (n int)")
        machine_of(container).pause()
        try:
            async with engine.session() as holder, engine.session() as waiter:
                jobs = runtime.Jobs(1)
                job = jobs.start(
                    lambda: holder.execute("SELECT count(*) FROM t"),
                    getattr(holder, "cancel", print),
                )
                await until(lambda: holder._asking.running is not None)
                with pytest.raises(pgmd.PoolTimeout):
                    await waiter.execute("SELECT count(*) FROM t")
                machine_of(container).unpause()
                assert (await job.result()).fetchone() == (0,)
                await jobs.close()
        except BaseException:
            machine_of(container).unpause()
            raise


async def test_snapshot_replicas_answer_while_the_endpoint_is_down(container: Server) -> None:
    settings: dict[str, Any] = {"replicas": 1, "replica_mode": "snapshot"}
    settings |= {"timeout": 2.0, "connect_timeout": 2}
    async with await pgmd.connect_async(container.dsn) as first, first.session() as s:
        await s.execute("CREATE TABLE t AS SELECT 1 AS n")
    async with await pgmd.connect_async(container.dsn, **settings) as engine:
        async with engine.session() as s:
            assert (await s.execute("SELECT n FROM t")).fetchone() == (1,)
            machine_of(container).kill()
            assert (await s.execute("SELECT n FROM t")).fetchone() == (1,)
            with pytest.raises(psycopg.OperationalError):
                await s.execute("INSERT INTO t VALUES (2)")
            await until(lambda: engine.stats()["replicas"]["pool_available"] == 4)


async def test_replicas_answer_while_a_local_endpoint_is_down_and_work_goes_on_after(
    tmp_path: Path, unused_port: int
) -> None:
    same = {"port": unused_port, "password": secrets.token_hex(8)}
    with local_stand(tmp_path, **same) as stand:
        engine = await engine_on(stand, 1, timeout=2.0, connect_timeout=2)
        async with engine.session() as s:
            await s.execute("CREATE TABLE t AS SELECT 1 AS n")
        await engine.publish()
    async with engine, engine.session() as s:
        seen = await s.execute("SELECT n FROM t")
        assert (seen.fetchone(), seen.decision.route) == ((1,), Route.REPLICA)
        with pytest.raises(psycopg.OperationalError) as caught:
            await s.execute("INSERT INTO t VALUES (2)")
        assert caught.value.outcome is pgmd.Outcome.NOT_APPLIED  # type: ignore[attr-defined]
        with local_stand(tmp_path, **same):
            # Resting connections were closed by the server: nobody is handed one of those.
            for _ in range(5):
                await s.execute("INSERT INTO t VALUES (2)")
                assert (await s.execute("SELECT count(*) > 1 FROM t")).fetchone() == (True,)
            await engine.publish()
            seen = await s.execute("SELECT count(*) FROM t")
            assert (seen.fetchone(), seen.decision.route) == ((6,), Route.REPLICA)


async def test_a_write_under_way_when_a_local_endpoint_stops(
    tmp_path: Path, unused_port: int
) -> None:
    same = {"port": unused_port, "password": secrets.token_hex(8)}
    jobs = runtime.Jobs(1)
    with local_stand(tmp_path, **same) as stand:
        engine = await engine_on(stand, 0, timeout=20.0)
        s = engine.session()
        await s.execute("CREATE TABLE t AS SELECT 1 AS n")
        work = f"INSERT INTO t {stand.long_query}"
        job = jobs.start(lambda: s.execute(work), print)
        await until(lambda: s._asking.running is not None)
    with pytest.raises(psycopg.Error) as caught:
        await job.result()
    await jobs.close()
    # Stopped and rolled back, but a client that has no answer cannot know.
    assert caught.value.outcome is not pgmd.Outcome.APPLIED  # type: ignore[attr-defined]
    assert not caught.value.retryable  # type: ignore[attr-defined]
    with local_stand(tmp_path, **same):
        assert (await s.execute("SELECT count(*) FROM t")).fetchone() == (1,)
        await s.close()
        await engine.close()
