# Generated from tests/async_/test_lifecycle.py by pgmd._tools.unasync. Do not edit.
"""How replicas are opened, replaced, put to sleep and woken, on real ones."""

from __future__ import annotations

import asyncio
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import pgmd
from pgmd import Reason, Route
from pgmd.local import LocalEndpoint
from pgmd.runtime import threads as runtime

from ..fixtures.stands import Stand
from .helpers import engine_on, pause, until, wire_of

TOKEN = "tok-rs-7c1"


@pytest.fixture
def deaf() -> Iterator[str]:
    """A server that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"host=127.0.0.1 port={listener.getsockname()[1]} connect_timeout=5"


def make_file(path: Path) -> Path:
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE t AS SELECT 42 AS answer")
    return path


@contextmanager
def scaling(folder: Path, **options: Any) -> Iterator[LocalEndpoint]:
    """A local endpoint that can be read with a read-scaling token."""
    settings = {"password": secrets.token_hex(8), "read_scaling_token": TOKEN, **options}
    with LocalEndpoint(
        folder / "app.duckdb", auth="password", snapshot_every=None, **settings
    ) as endpoint:
        yield endpoint


def wire(endpoint: LocalEndpoint, **settings: Any) -> pgmd.Replica:
    options = conninfo_to_dict(endpoint.read_scaling_dsn)
    token = options.pop("password")
    return pgmd.Replica(wire=make_conninfo("", **options), **{"token": token, **settings})


def names(engine: pgmd.Engine) -> set[str]:
    return {member.name for member in engine._core.replicas.serving}


# -------------------------------------------------------------------------------------- opening


def test_an_engine_is_ready_as_soon_as_one_replica_is(deaf: str, tmp_path: Path) -> None:
    file = make_file(tmp_path / "a.duckdb")
    slow = pgmd.Replica(postgres=deaf, name="slow", open_timeout=60)
    with pgmd.Engine(replicas=[slow, pgmd.Replica(file=file, name="fast")]) as engine:
        assert names(engine) == {"fast"}
        with engine.session() as s:
            assert (s.execute("SELECT answer FROM t")).fetchone() == (42,)
        with pytest.raises(pgmd.PoolTimeout, match=r"not all replicas open within 0\.2 s"):
            engine.wait(0.2)


def test_an_open_that_takes_too_long_counts_as_failed(deaf: str, stand: Stand) -> None:
    slow = pgmd.Replica(postgres=deaf, open_timeout=0.3)
    with pgmd.Engine(stand.endpoint(), [slow]) as engine, engine.session() as s:
        with pytest.raises(pgmd.PoolTimeout, match=r"replica-1: it did not open within 0\.3 s"):
            engine.wait()
        decision = (s.execute("SELECT 1 AS a")).decision
        assert (decision.route, decision.reason) == (Route.ENDPOINT, Reason.REPLICAS_DOWN)


def test_a_replica_that_could_not_be_opened_is_tried_again(tmp_path: Path, stand: Stand) -> None:
    file = tmp_path / "late.duckdb"
    with pgmd.Engine(stand.endpoint(), [pgmd.Replica(file=file)]) as engine:
        assert engine.stats()["replicas"]["replicas_failed"] == 1
        make_file(file)
        until(lambda: names(engine) == {"replica-1"})
        engine.wait()
        assert engine.stats()["replicas"]["replicas_failed"] == 0


def test_an_engine_without_an_endpoint_waits_for_its_replicas(tmp_path: Path) -> None:
    file = make_file(tmp_path / "a.duckdb")
    replica = pgmd.Replica(file=file, min_size=0, max_idle=0.05)
    with pgmd.Engine(replicas=[replica]) as engine, engine.session() as s:
        for _ in range(2):
            until(lambda: not engine._core.replicas.members)
            assert (s.execute("SELECT answer FROM t")).fetchone() == (42,)


# ------------------------------------------------------------------------------------ replacing


def test_no_statement_fails_or_waits_while_replicas_are_replaced(stand: Stand) -> None:
    callers, rounds = (4, 2) if stand.is_postgres else (32, 10)
    with engine_on(stand, 2, each={"max_size": 16}, timeout=60) as engine:
        engine.wait()
        with engine.session() as s:
            s.execute("CREATE TABLE t AS SELECT 42 AS answer")
            engine.publish()
            bookmark = s.bookmark
        first = engine._core.replicas.members
        with load(engine, bookmark, callers=callers) as counts:
            for _ in range(rounds):
                before = counts["answers"]
                engine.recycle()
                until(lambda before=before: counts["answers"] >= before + callers)  # type: ignore[misc]
        assert counts["failures"] == 0
        assert counts["elsewhere"] == 0
        assert not any(member in first for member in engine._core.replicas.members)
        replicas = engine.stats()["replicas"]
        assert replicas["pool_available"] == replicas["pool_size"] == 32


@contextmanager
def load(engine: pgmd.Engine, bookmark: pgmd.Bookmark, callers: int) -> Iterator[dict[str, int]]:
    """Callers that read without a pause; what became of their statements."""
    counts = {"answers": 0, "failures": 0, "elsewhere": 0}
    ended = threading.Event()

    def call() -> None:
        with engine.session(after=bookmark) as s:
            while not ended.is_set():
                try:
                    result = s.execute("SELECT answer FROM t")
                    assert result.fetchone() == (42,)
                except Exception:
                    counts["failures"] += 1
                else:
                    counts["answers"] += 1
                    counts["elsewhere"] += result.decision.route is not Route.REPLICA

    with crowd([call] * callers):
        try:
            yield counts
        finally:
            ended.set()


@contextmanager
def crowd(works: list[Callable[[], Any]]) -> Iterator[None]:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join()


def test_what_runs_on_a_replaced_replica_ends_there(stand: Stand) -> None:
    with engine_on(stand, 1) as engine, engine.session() as s:
        old = engine._core.replicas.members[0]
        with s.snapshot() as snapshot:
            snapshot.execute("SELECT 1 AS a")
            engine.recycle()
            assert engine._core.replicas.members[0] is not old
            assert (snapshot.execute("SELECT 2 AS a")).fetchone() == (2,)
        # With its last cursor it is closed.
        with pytest.raises(duckdb.ConnectionException):
            old.instance.cursor()  # type: ignore[union-attr]  # it has an instance


def test_a_replica_is_replaced_before_it_is_too_old(tmp_path: Path) -> None:
    file = make_file(tmp_path / "a.duckdb")
    replicas = [pgmd.Replica(file=file, max_lifetime=0.2)]
    with pgmd.Engine(replicas=replicas) as engine:
        first = engine._core.replicas.members[0]
        until(
            lambda: (
                bool(engine._core.replicas.members)
                and engine._core.replicas.members[0] is not first
            )
        )


def test_a_replacement_that_fails_leaves_the_old_one_serving(tmp_path: Path) -> None:
    file = make_file(tmp_path / "a.duckdb")
    with (
        pgmd.Engine(replicas=[pgmd.Replica(file=file)]) as engine,
        engine.session() as s,
    ):
        file.rename(tmp_path / "gone.duckdb")
        with pytest.raises(pgmd.ReplicaError, match="cannot be set up"):
            engine.recycle()
        assert (s.execute("SELECT answer FROM t")).fetchone() == (42,)
        assert names(engine) == {"replica-1"}


# -------------------------------------------------------------------------------------- sleeping


def test_an_idle_replica_sleeps_and_is_woken_by_a_read(stand: Stand) -> None:
    each = {"min_size": 0, "max_idle": 0.1}
    with pgmd.Engine(stand.endpoint(), stand.replicas(1, **each)) as engine:
        until(lambda: not engine._core.replicas.members)
        assert engine.stats()["replicas"]["replicas_failed"] == 0
        with engine.session() as s:
            decision = (s.execute("SELECT 1 AS a")).decision
            assert decision.reason is Reason.REPLICAS_DOWN
            assert decision.detail == "replica-1 is being opened"
            # It may fall asleep again before it is asked.
            while (s.execute("SELECT 1 AS a")).decision.route is not Route.REPLICA:
                pause()


def test_explaining_wakes_nobody(tmp_path: Path, stand: Stand) -> None:
    replica = pgmd.Replica(file=make_file(tmp_path / "a.duckdb"), min_size=0, max_idle=0.05)
    with pgmd.Engine(stand.endpoint(), [replica]) as engine, engine.session() as s:
        until(lambda: not engine._core.replicas.members)
        assert s.explain("SELECT 1 AS a").reason is Reason.REPLICAS_DOWN
        assert not engine._core.replicas.members
        assert engine._core.replicas.trouble == "replica-1 sleeps"


def test_what_was_published_during_its_sleep_is_seen_after_it(tmp_path: Path) -> None:
    with scaling(tmp_path) as local:
        replica = pgmd.Replica(local=tmp_path / "app.duckdb", min_size=0, max_idle=0.3)
        with (
            pgmd.Engine(pgmd.Endpoint(local.dsn), [replica]) as engine,
            engine.session() as s,
        ):
            until(lambda: not engine._core.replicas.members)
            s.execute("CREATE TABLE t AS SELECT 42 AS answer")
            engine.publish()
            while (result := s.execute("SELECT answer FROM t")).decision.replica is None:
                assert result.fetchone() == (42,)
                pause()
            assert result.fetchone() == (42,)


# ---------------------------------------------------------------------------------------- tokens


def test_a_new_token_replaces_the_replica(tmp_path: Path) -> None:
    tokens = [TOKEN]
    with scaling(tmp_path, read_scaling_token=(TOKEN, "tok-rs-new")) as local:
        replica = wire(local, token=lambda: tokens[-1])
        with (
            pgmd.Engine(pgmd.Endpoint(local.dsn), [replica]) as engine,
            engine.session() as s,
        ):
            assert wire_of(engine._core.replicas.members[0]).options["password"] == TOKEN
            tokens.append("tok-rs-new")

            def is_replaced() -> bool:
                s.execute("SELECT 1 AS a", route="replica")
                member = engine._core.replicas.members[0]
                return bool(wire_of(member).options["password"] == "tok-rs-new")

            while not is_replaced():
                pause()
            assert engine._core.replicas.failures == {}


def test_a_token_that_is_no_longer_valid_is_asked_for_anew(tmp_path: Path) -> None:
    tokens = [TOKEN]
    with scaling(tmp_path) as local:
        dsn, port = local.dsn, local.port
        replica = wire(local, token=lambda: tokens[-1])
        engine = pgmd.Engine(pgmd.Endpoint(dsn), [replica])
        engine.open()
        password = conninfo_to_dict(dsn)["password"]
    tokens.append("tok-rs-new")
    with scaling(tmp_path, port=port, password=password, read_scaling_token="tok-rs-new"):
        with engine, engine.session() as s:
            first = engine._core.replicas.members[0]

            def is_back() -> bool:
                assert (s.execute("SELECT 1 AS a")).fetchone() == (1,)
                return (
                    bool(engine._core.replicas.serving)
                    and engine._core.replicas.members[-1] is not first
                )

            while not is_back():
                pause()
            member = engine._core.replicas.members[-1]
            assert wire_of(member).options["password"] == "tok-rs-new"


def test_a_token_function_that_fails_is_named_and_shows_nothing(tmp_path: Path) -> None:
    def broken() -> str:
        raise RuntimeError(TOKEN)

    with scaling(tmp_path) as local:
        replicas = [wire(local, token=broken), wire(local, token=lambda: "")]
        with pgmd.Engine(pgmd.Endpoint(local.dsn), replicas) as engine:
            assert engine._core.replicas.failures == {
                "replica-1": "its token function raised RuntimeError",
                "replica-2": "its token function did not return a token",
            }


# ----------------------------------------------------------------------------------------- spill


def test_reads_that_no_replica_serves_do_not_take_all_of_the_endpoint(
    tmp_path: Path, stand: Stand
) -> None:
    missing = pgmd.Replica(file=tmp_path / "missing.duckdb")
    engine = pgmd.Engine(stand.endpoint(timeout=0.5, max_size=4), [missing], endpoint_spill=1)
    with engine, engine.session() as one, engine.session() as two:
        with one.stream("SELECT 1 AS a"):
            with pytest.raises(
                pgmd.PoolTimeout, match=r"no replica serves.* within 0\.5 s.*endpoint_spill"
            ):
                two.execute("SELECT 2 AS a")
            # What belongs on the endpoint is not held up.
            assert (two.endpoint.execute("SELECT 3 AS a")).fetchone() == (3,)
        assert (two.execute("SELECT 2 AS a")).fetchone() == (2,)


def test_half_of_the_endpoints_connections_may_be_spilled_to() -> None:
    settings = pgmd.Engine(pgmd.Endpoint("host=h", max_size=9))._core.settings
    assert settings.spill == 4
    assert pgmd.Engine(pgmd.Endpoint("host=h", max_size=1))._core.settings.spill == 1
    with pytest.raises(pgmd.ConfigurationError, match="endpoint_spill=0"):
        pgmd.Engine(pgmd.Endpoint("host=h"), endpoint_spill=0)
