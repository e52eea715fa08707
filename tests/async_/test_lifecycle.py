"""How replicas are opened, replaced, put to sleep and woken, on real ones."""

from __future__ import annotations

import asyncio
import secrets
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import pgmd
from pgmd import Reason, Route
from pgmd.local import LocalEndpoint
from pgmd.runtime import aio as runtime

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


def names(engine: pgmd.AsyncEngine) -> set[str]:
    return {member.name for member in engine._core.replicas.serving}


# -------------------------------------------------------------------------------------- opening


async def test_an_engine_is_ready_as_soon_as_one_replica_is(deaf: str, tmp_path: Path) -> None:
    file = make_file(tmp_path / "a.duckdb")
    slow = pgmd.Replica(postgres=deaf, name="slow", open_timeout=60)
    async with pgmd.AsyncEngine(replicas=[slow, pgmd.Replica(file=file, name="fast")]) as engine:
        assert names(engine) == {"fast"}
        async with engine.session() as s:
            assert (await s.execute("SELECT answer FROM t")).fetchone() == (42,)
        with pytest.raises(pgmd.PoolTimeout, match=r"not all replicas open within 0\.2 s"):
            await engine.wait(0.2)


async def test_an_open_that_takes_too_long_counts_as_failed(deaf: str, stand: Stand) -> None:
    slow = pgmd.Replica(postgres=deaf, open_timeout=0.3)
    async with pgmd.AsyncEngine(stand.endpoint(), [slow]) as engine, engine.session() as s:
        with pytest.raises(pgmd.PoolTimeout, match=r"replica-1: it did not open within 0\.3 s"):
            await engine.wait()
        decision = (await s.execute("SELECT 1 AS a")).decision
        assert (decision.route, decision.reason) == (Route.ENDPOINT, Reason.REPLICAS_DOWN)


async def test_a_replica_that_could_not_be_opened_is_tried_again(
    tmp_path: Path, stand: Stand
) -> None:
    file = tmp_path / "late.duckdb"
    async with pgmd.AsyncEngine(stand.endpoint(), [pgmd.Replica(file=file)]) as engine:
        assert engine.stats()["replicas"]["replicas_failed"] == 1
        make_file(file)
        await until(lambda: names(engine) == {"replica-1"})
        await engine.wait()
        assert engine.stats()["replicas"]["replicas_failed"] == 0


async def test_an_engine_without_an_endpoint_waits_for_its_replicas(tmp_path: Path) -> None:
    file = make_file(tmp_path / "a.duckdb")
    replica = pgmd.Replica(file=file, min_size=0, max_idle=0.05)
    async with pgmd.AsyncEngine(replicas=[replica]) as engine, engine.session() as s:
        for _ in range(2):
            await until(lambda: not engine._core.replicas.members)
            assert (await s.execute("SELECT answer FROM t")).fetchone() == (42,)


# ------------------------------------------------------------------------------------ replacing


async def test_no_statement_fails_or_waits_while_replicas_are_replaced(stand: Stand) -> None:
    callers, rounds = (4, 2) if stand.is_postgres else (32, 10)
    async with await engine_on(stand, 2, each={"max_size": 16}, timeout=60) as engine:
        await engine.wait()
        async with engine.session() as s:
            await s.execute("CREATE TABLE t AS SELECT 42 AS answer")
            await engine.publish()
            bookmark = s.bookmark
        first = engine._core.replicas.members
        async with load(engine, bookmark, callers=callers) as counts:
            for _ in range(rounds):
                before = counts["answers"]
                await engine.recycle()
                await until(lambda before=before: counts["answers"] >= before + callers)  # type: ignore[misc]
        assert counts["failures"] == 0
        assert counts["elsewhere"] == 0
        assert not any(member in first for member in engine._core.replicas.members)
        replicas = engine.stats()["replicas"]
        assert replicas["pool_available"] == replicas["pool_size"] == 32


@asynccontextmanager
async def load(
    engine: pgmd.AsyncEngine, bookmark: pgmd.Bookmark, callers: int
) -> AsyncIterator[dict[str, int]]:
    """Callers that read without a pause; what became of their statements."""
    counts = {"answers": 0, "failures": 0, "elsewhere": 0}
    ended = threading.Event()

    async def call() -> None:
        async with engine.session(after=bookmark) as s:
            while not ended.is_set():
                try:
                    result = await s.execute("SELECT answer FROM t")
                    assert result.fetchone() == (42,)
                except Exception:
                    counts["failures"] += 1
                else:
                    counts["answers"] += 1
                    counts["elsewhere"] += result.decision.route is not Route.REPLICA

    async with crowd([call] * callers):
        try:
            yield counts
        finally:
            ended.set()


@asynccontextmanager
async def crowd(works: list[Callable[[], Any]]) -> AsyncIterator[None]:
    if runtime.ASYNC:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work())
            yield
    else:
        threads = [threading.Thread(target=work) for work in works]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            for thread in threads:
                thread.join()


async def test_what_runs_on_a_replaced_replica_ends_there(stand: Stand) -> None:
    async with await engine_on(stand, 1) as engine, engine.session() as s:
        old = engine._core.replicas.members[0]
        async with s.snapshot() as snapshot:
            await snapshot.execute("SELECT 1 AS a")
            await engine.recycle()
            assert engine._core.replicas.members[0] is not old
            assert (await snapshot.execute("SELECT 2 AS a")).fetchone() == (2,)
        # With its last cursor it is closed.
        with pytest.raises(duckdb.ConnectionException):
            old.instance.cursor()  # type: ignore[union-attr]  # it has an instance


async def test_a_replica_is_replaced_before_it_is_too_old(tmp_path: Path) -> None:
    file = make_file(tmp_path / "a.duckdb")
    replicas = [pgmd.Replica(file=file, max_lifetime=0.2)]
    async with pgmd.AsyncEngine(replicas=replicas) as engine:
        first = engine._core.replicas.members[0]
        await until(
            lambda: (
                bool(engine._core.replicas.members)
                and engine._core.replicas.members[0] is not first
            )
        )


async def test_a_replacement_that_fails_leaves_the_old_one_serving(tmp_path: Path) -> None:
    file = make_file(tmp_path / "a.duckdb")
    async with (
        pgmd.AsyncEngine(replicas=[pgmd.Replica(file=file)]) as engine,
        engine.session() as s,
    ):
        file.rename(tmp_path / "gone.duckdb")
        with pytest.raises(pgmd.ReplicaError, match="cannot be set up"):
            await engine.recycle()
        assert (await s.execute("SELECT answer FROM t")).fetchone() == (42,)
        assert names(engine) == {"replica-1"}


# -------------------------------------------------------------------------------------- sleeping


async def test_an_idle_replica_sleeps_and_is_woken_by_a_read(stand: Stand) -> None:
    each = {"min_size": 0, "max_idle": 0.1}
    async with pgmd.AsyncEngine(stand.endpoint(), stand.replicas(1, **each)) as engine:
        await until(lambda: not engine._core.replicas.members)
        assert engine.stats()["replicas"]["replicas_failed"] == 0
        async with engine.session() as s:
            decision = (await s.execute("SELECT 1 AS a")).decision
            assert decision.reason is Reason.REPLICAS_DOWN
            assert decision.detail == "replica-1 is being opened"
            # It may fall asleep again before it is asked.
            while (await s.execute("SELECT 1 AS a")).decision.route is not Route.REPLICA:
                await pause()


async def test_explaining_wakes_nobody(tmp_path: Path, stand: Stand) -> None:
    replica = pgmd.Replica(file=make_file(tmp_path / "a.duckdb"), min_size=0, max_idle=0.05)
    async with pgmd.AsyncEngine(stand.endpoint(), [replica]) as engine, engine.session() as s:
        await until(lambda: not engine._core.replicas.members)
        assert s.explain("SELECT 1 AS a").reason is Reason.REPLICAS_DOWN
        assert not engine._core.replicas.members
        assert engine._core.replicas.trouble == "replica-1 sleeps"


async def test_what_was_published_during_its_sleep_is_seen_after_it(tmp_path: Path) -> None:
    with scaling(tmp_path) as local:
        replica = pgmd.Replica(local=tmp_path / "app.duckdb", min_size=0, max_idle=0.3)
        async with (
            pgmd.AsyncEngine(pgmd.Endpoint(local.dsn), [replica]) as engine,
            engine.session() as s,
        ):
            await until(lambda: not engine._core.replicas.members)
            await s.execute("CREATE TABLE t AS SELECT 42 AS answer")
            await engine.publish()
            while (result := await s.execute("SELECT answer FROM t")).decision.replica is None:
                assert result.fetchone() == (42,)
                await pause()
            assert result.fetchone() == (42,)


# ---------------------------------------------------------------------------------------- tokens


async def test_a_new_token_replaces_the_replica(tmp_path: Path) -> None:
    tokens = [TOKEN]
    with scaling(tmp_path, read_scaling_token=(TOKEN, "tok-rs-new")) as local:
        replica = wire(local, token=lambda: tokens[-1])
        async with (
            pgmd.AsyncEngine(pgmd.Endpoint(local.dsn), [replica]) as engine,
            engine.session() as s,
        ):
            assert wire_of(engine._core.replicas.members[0]).options["password"] == TOKEN
            tokens.append("tok-rs-new")

            async def is_replaced() -> bool:
                await s.execute("SELECT 1 AS a", route="replica")
                member = engine._core.replicas.members[0]
                return bool(wire_of(member).options["password"] == "tok-rs-new")

            while not await is_replaced():
                await pause()
            assert engine._core.replicas.failures == {}


async def test_a_token_that_is_no_longer_valid_is_asked_for_anew(tmp_path: Path) -> None:
    tokens = [TOKEN]
    with scaling(tmp_path) as local:
        dsn, port = local.dsn, local.port
        replica = wire(local, token=lambda: tokens[-1])
        engine = pgmd.AsyncEngine(pgmd.Endpoint(dsn), [replica])
        await engine.open()
        password = conninfo_to_dict(dsn)["password"]
    tokens.append("tok-rs-new")
    with scaling(tmp_path, port=port, password=password, read_scaling_token="tok-rs-new"):
        async with engine, engine.session() as s:
            first = engine._core.replicas.members[0]

            async def is_back() -> bool:
                assert (await s.execute("SELECT 1 AS a")).fetchone() == (1,)
                return (
                    bool(engine._core.replicas.serving)
                    and engine._core.replicas.members[-1] is not first
                )

            while not await is_back():
                await pause()
            member = engine._core.replicas.members[-1]
            assert wire_of(member).options["password"] == "tok-rs-new"


async def test_a_token_function_that_fails_is_named_and_shows_nothing(tmp_path: Path) -> None:
    def broken() -> str:
        raise RuntimeError(TOKEN)

    with scaling(tmp_path) as local:
        replicas = [wire(local, token=broken), wire(local, token=lambda: "")]
        async with pgmd.AsyncEngine(pgmd.Endpoint(local.dsn), replicas) as engine:
            assert engine._core.replicas.failures == {
                "replica-1": "its token function raised RuntimeError",
                "replica-2": "its token function did not return a token",
            }


# ----------------------------------------------------------------------------------------- spill


async def test_reads_that_no_replica_serves_do_not_take_all_of_the_endpoint(
    tmp_path: Path, stand: Stand
) -> None:
    missing = pgmd.Replica(file=tmp_path / "missing.duckdb")
    engine = pgmd.AsyncEngine(stand.endpoint(timeout=0.5, max_size=4), [missing], endpoint_spill=1)
    async with engine, engine.session() as one, engine.session() as two:
        async with one.stream("SELECT 1 AS a"):
            with pytest.raises(
                pgmd.PoolTimeout, match=r"no replica serves.* within 0\.5 s.*endpoint_spill"
            ):
                await two.execute("SELECT 2 AS a")
            # What belongs on the endpoint is not held up.
            assert (await two.endpoint.execute("SELECT 3 AS a")).fetchone() == (3,)
        assert (await two.execute("SELECT 2 AS a")).fetchone() == (2,)


async def test_half_of_the_endpoints_connections_may_be_spilled_to() -> None:
    settings = pgmd.AsyncEngine(pgmd.Endpoint("host=h", max_size=9))._core.settings
    assert settings.spill == 4
    assert pgmd.AsyncEngine(pgmd.Endpoint("host=h", max_size=1))._core.settings.spill == 1
    with pytest.raises(pgmd.ConfigurationError, match="endpoint_spill=0"):
        pgmd.AsyncEngine(pgmd.Endpoint("host=h"), endpoint_spill=0)
