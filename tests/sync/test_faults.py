# Generated from tests/async_/test_faults.py by pgmd._tools.unasync. Do not edit.
"""Servers that die, hang or come back. Each test has a server of its own."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import psycopg
import pytest

import pgmd
from pgmd import Route
from pgmd.runtime import threads as runtime
from pgmd.testing.servers import Container, Server

from ..fixtures.stands import local_stand
from .helpers import engine_on, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def machine_of(server: Server) -> Container:
    assert server.container is not None
    return server.container


def test_a_lost_answer_to_a_write_is_in_doubt(container: Server) -> None:
    with pgmd.connect(container.dsn) as engine, engine.session() as s:
        s.execute("CREATE TABLE t (n int)")
        jobs = runtime.Jobs(1)
        work = "INSERT INTO t SELECT 1 FROM pg_sleep(60)"
        job = jobs.start(lambda: s.execute(work), print)
        with psycopg.connect(container.dsn, autocommit=True) as other:
            sleeping = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
            until(lambda: other.execute(sleeping).fetchone() is not None)
        machine_of(container).kill()
        with pytest.raises(psycopg.OperationalError) as caught:
            job.result()
        jobs.close()
        assert caught.value.outcome is pgmd.Outcome.UNKNOWN  # type: ignore[attr-defined]
        assert not caught.value.retryable  # type: ignore[attr-defined]


def test_work_goes_on_after_a_restart(container: Server) -> None:
    settings: dict[str, Any] = {"replicas": 1, "timeout": 30}
    with pgmd.connect(container.dsn, **settings) as engine, engine.session() as s:
        s.execute("CREATE TABLE t AS SELECT 1 AS n")
        assert (s.execute("SELECT n FROM t")).fetchone() == (1,)
        with psycopg.connect(container.dsn, autocommit=True) as admin:
            others = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL"
            admin.execute(f"SELECT pg_terminate_backend(pid) {others}")
            until(lambda: admin.execute(f"SELECT 1 {others}").fetchone() is None)
        # Resting connections were closed by the server: nobody is handed one of those.
        for _ in range(5):
            s.execute("INSERT INTO t VALUES (2)")
            assert (s.endpoint.execute("SELECT count(*) > 1 FROM t")).fetchone() == (True,)
        assert (s.execute("SELECT count(*) FROM t")).fetchone() == (6,)


def test_a_server_that_hangs_gives_a_time_out_not_a_wait_for_ever(container: Server) -> None:
    settings: dict[str, Any] = {"max_size": 1, "timeout": 1.0, "connect_timeout": 2}
    with pgmd.connect(container.dsn, **settings) as engine:
        with engine.session() as s:
            s.execute("CREATE TABLE t (n int)")
        machine_of(container).pause()
        try:
            with engine.session() as holder, engine.session() as waiter:
                jobs = runtime.Jobs(1)
                job = jobs.start(
                    lambda: holder.execute("SELECT count(*) FROM t"),
                    getattr(holder, "cancel", print),
                )
                until(lambda: holder._asking.running is not None)
                with pytest.raises(pgmd.PoolTimeout):
                    waiter.execute("SELECT count(*) FROM t")
                machine_of(container).unpause()
                assert (job.result()).fetchone() == (0,)
                jobs.close()
        except BaseException:
            machine_of(container).unpause()
            raise


def test_snapshot_replicas_answer_while_the_endpoint_is_down(container: Server) -> None:
    settings: dict[str, Any] = {"replicas": 1, "replica_mode": "snapshot"}
    settings |= {"timeout": 2.0, "connect_timeout": 2}
    with pgmd.connect(container.dsn) as first, first.session() as s:
        s.execute("CREATE TABLE t AS SELECT 1 AS n")
    with pgmd.connect(container.dsn, **settings) as engine:
        with engine.session() as s:
            assert (s.execute("SELECT n FROM t")).fetchone() == (1,)
            machine_of(container).kill()
            assert (s.execute("SELECT n FROM t")).fetchone() == (1,)
            with pytest.raises(psycopg.OperationalError):
                s.execute("INSERT INTO t VALUES (2)")
            until(lambda: engine.stats()["replicas"]["pool_available"] == 4)


def test_replicas_answer_while_a_local_endpoint_is_down_and_work_goes_on_after(
    tmp_path: Path, unused_port: int
) -> None:
    same = {"port": unused_port, "password": secrets.token_hex(8)}
    with local_stand(tmp_path, **same) as stand:
        engine = engine_on(stand, 1, timeout=2.0, connect_timeout=2)
        with engine.session() as s:
            s.execute("CREATE TABLE t AS SELECT 1 AS n")
        engine.publish()
    with engine, engine.session() as s:
        seen = s.execute("SELECT n FROM t")
        assert (seen.fetchone(), seen.decision.route) == ((1,), Route.REPLICA)
        with pytest.raises(psycopg.OperationalError) as caught:
            s.execute("INSERT INTO t VALUES (2)")
        assert caught.value.outcome is pgmd.Outcome.NOT_APPLIED  # type: ignore[attr-defined]
        with local_stand(tmp_path, **same):
            # Resting connections were closed by the server: nobody is handed one of those.
            for _ in range(5):
                s.execute("INSERT INTO t VALUES (2)")
                assert (s.execute("SELECT count(*) > 1 FROM t")).fetchone() == (True,)
            engine.publish()
            seen = s.execute("SELECT count(*) FROM t")
            assert (seen.fetchone(), seen.decision.route) == ((6,), Route.REPLICA)


def test_a_write_under_way_when_a_local_endpoint_stops(tmp_path: Path, unused_port: int) -> None:
    same = {"port": unused_port, "password": secrets.token_hex(8)}
    jobs = runtime.Jobs(1)
    with local_stand(tmp_path, **same) as stand:
        engine = engine_on(stand, 0, timeout=20.0)
        s = engine.session()
        s.execute("CREATE TABLE t AS SELECT 1 AS n")
        work = f"INSERT INTO t {stand.long_query}"
        job = jobs.start(lambda: s.execute(work), print)
        until(lambda: s._asking.running is not None)
    with pytest.raises(psycopg.Error) as caught:
        job.result()
    jobs.close()
    # Stopped and rolled back, but a client that has no answer cannot know.
    assert caught.value.outcome is not pgmd.Outcome.APPLIED  # type: ignore[attr-defined]
    assert not caught.value.retryable  # type: ignore[attr-defined]
    with local_stand(tmp_path, **same):
        assert (s.execute("SELECT count(*) FROM t")).fetchone() == (1,)
        s.close()
        engine.close()
