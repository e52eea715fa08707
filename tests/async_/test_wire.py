"""Replicas that are reached over the Postgres wire of a read-scaling token."""

from __future__ import annotations

import secrets
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row

import pgmd
from pgmd import Reason, Route
from pgmd._async.sides.pool import has_gone
from pgmd.local import LocalEndpoint

from ..fixtures.proxy import Proxy, proxy_to
from ..fixtures.stands import Stand
from ..parity.support import same
from .helpers import until

TYPES = tomllib.loads((Path(__file__).parents[1] / "corpora" / "types.toml").read_text())
TOKEN = "tok-rs-7c1"


@asynccontextmanager
async def wired(folder: Path, count: int = 1, **settings: Any) -> AsyncIterator[pgmd.AsyncEngine]:
    """An engine whose replicas are ducklings behind a local endpoint."""
    with LocalEndpoint(
        folder / "app.duckdb",
        auth="password",
        password=secrets.token_hex(8),
        read_scaling_token=TOKEN,
        snapshot_every=None,
    ) as local:
        address = make_conninfo("", **{**conninfo_to_dict(local.dsn), "password": None})
        given = {"wire": address, "token": TOKEN, **settings}
        replicas = [pgmd.Replica(**given) for _ in range(count)]
        async with pgmd.AsyncEngine(pgmd.Endpoint(local.dsn, max_size=4), replicas) as engine:
            await engine.wait()
            yield engine


def at_rest(engine: pgmd.AsyncEngine) -> bool:
    replicas = engine.stats()["replicas"]
    return bool(replicas["pool_available"] == replicas["pool_size"])


async def test_a_value_of_each_type_is_the_endpoints(tmp_path: Path) -> None:
    compared = 0
    async with wired(tmp_path) as engine, engine.session() as s:
        for name, given in TYPES.items():
            rows = ", ".join(f"(({value})::{name})" for value in given["values"])
            query = f"SELECT v, v AS again FROM (VALUES {rows}, (NULL)) AS t(v)"
            try:
                wanted = await s.endpoint.execute(query)
            except psycopg.Error:
                continue  # this DuckDB has no such type
            found = await s.execute(query, route="replica")
            assert found.decision.route is Route.REPLICA
            assert found.description == wanted.description
            left, right = found.fetchall(), wanted.fetchall()
            assert same(left, right), name
            compared += len(left)
    assert compared > 150


async def test_parameters_errors_names_and_arrow_are_the_endpoints(tmp_path: Path) -> None:
    async with wired(tmp_path) as engine, engine.session() as s:
        for view in (s.endpoint, s.replica):
            result = await view.execute(
                "SELECT %s AS a, %(b)s::int AS b".replace("%s", "%(a)s"), {"a": "x", "b": 2}
            )
            assert result.fetchall() == [("x", 2)]
            named = await view.execute("SELECT 1 AS a", row_factory=dict_row)
            assert named.arrow().to_pylist() == [{"a": 1}]
            assert named.fetchall() == [{"a": 1}]
            with pytest.raises(psycopg.errors.InvalidTextRepresentation) as caught:
                await view.execute("SELECT 'x'::int")
            assert caught.value.outcome is pgmd.Outcome.NOT_APPLIED  # type: ignore[attr-defined]
        # The endpoint decides about what failed on a replica.
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            await s.execute("SELECT 'x'::int")
        # The one that failed there ran there, too.
        assert engine.stats()["routed"]["replica: READ"] == 3
        assert engine._core.replicas.failures == {}


async def test_it_shows_what_was_published(tmp_path: Path) -> None:
    async with wired(tmp_path, 2) as engine, engine.session() as s:
        await s.execute("CREATE TABLE t AS SELECT 1 AS a")
        assert (await s.execute("SELECT a FROM t")).decision.reason is Reason.STALE
        await engine.publish()
        result = await s.execute("SELECT a FROM t")
        assert (result.decision.route, result.fetchall()) == (Route.REPLICA, [(1,)])
        await s.execute("UPDATE t SET a = 2")
        assert (await s.execute("SELECT a FROM t")).fetchone() == (2,)
        await engine.publish()
        for _ in range(4):
            result = await s.execute("SELECT a FROM t")
            assert (result.decision.route, result.fetchall()) == (Route.REPLICA, [(2,)])


async def test_a_snapshot_stays_at_its_moment(tmp_path: Path) -> None:
    async with wired(tmp_path) as engine, engine.session() as s, engine.session() as other:
        await s.execute("CREATE TABLE t AS SELECT 1 AS a")
        await engine.publish()
        async with s.snapshot() as snapshot:
            assert (await snapshot.execute("SELECT a FROM t")).fetchone() == (1,)
            await other.execute("UPDATE t SET a = 2")
            await engine.publish()
            result = await snapshot.execute("SELECT a FROM t")
            assert (result.decision.route, result.fetchone()) == (Route.REPLICA, (1,))
        assert (await s.execute("SELECT a FROM t")).fetchone() == (2,)
        assert at_rest(engine)


async def test_what_the_session_has_set_is_set_for_it_only(tmp_path: Path) -> None:
    async with wired(tmp_path, max_size=1) as engine:
        async with engine.session() as s:
            await s.execute("SET VARIABLE x = 41")
            result = await s.execute("SELECT getvariable('x') + 1 AS a", route="replica")
            assert result.fetchone() == (42,)
        async with engine.session() as other:
            result = await other.execute("SELECT getvariable('x') IS NULL AS a", route="replica")
            assert result.fetchone() == (True,)


async def test_a_stream_runs_on_it(tmp_path: Path) -> None:
    async with wired(tmp_path) as engine, engine.session() as s:
        await s.execute("CREATE TABLE t AS SELECT n FROM range(25000) AS t(n)")
        await engine.publish()
        async with s.stream("SELECT n FROM t", route="replica") as stream:
            assert stream.decision.route is Route.REPLICA
            assert sum([n async for (n,) in stream]) == 312_487_500
        assert at_rest(engine)
        async with s.stream("SELECT n FROM t") as stream:
            async for _ in stream:
                break
        assert at_rest(engine)
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            async with s.stream("SELECT 'x'::int AS a", route="replica"):
                pass
        assert at_rest(engine)


async def test_a_write_is_not_sent_to_it(tmp_path: Path) -> None:
    async with wired(tmp_path) as engine, engine.session() as s:
        with pytest.raises(pgmd.RoutingError):
            await s.replica.execute("CREATE TABLE t (a int)")
        # Nor would it run there.
        member = engine._core.replicas.members[0]
        with (
            psycopg.connect(**member.instance.options) as connection,  # type: ignore[union-attr]  # it is a Wire
            pytest.raises(psycopg.Error, match="read-only"),
        ):
            connection.execute("CREATE TABLE t (a int)")


async def test_a_token_that_could_write_is_refused(tmp_path: Path) -> None:
    with LocalEndpoint(tmp_path / "app.duckdb", auth="password", password="tok-rw") as local:
        address = make_conninfo("", **{**conninfo_to_dict(local.dsn), "password": None})
        replica = pgmd.Replica(wire=address, token="tok-rw")
        async with pgmd.AsyncEngine(pgmd.Endpoint(local.dsn), [replica]) as engine:
            assert "needs a read-scaling token" in engine._core.replicas.failures["replica-1"]


@pytest.mark.only("postgres", reason="its SQL is not DuckDB's")
async def test_an_endpoint_of_another_dialect_has_no_such_replicas(stand: Stand) -> None:
    replica = pgmd.Replica(wire="host=127.0.0.1 port=1", token=TOKEN)
    async with pgmd.AsyncEngine(stand.endpoint(), [replica]) as engine:
        assert "speaks DuckDB's SQL" in engine._core.replicas.failures["replica-1"]


@asynccontextmanager
async def distant(folder: Path) -> AsyncIterator[tuple[pgmd.AsyncEngine, Proxy]]:
    """An engine with one replica behind a proxy."""
    with (
        LocalEndpoint(
            folder / "app.duckdb", auth="password", password="tok-rw", read_scaling_token=TOKEN
        ) as local,
        proxy_to(("127.0.0.1", local.port)) as proxy,
    ):
        address = f"host=127.0.0.1 port={proxy.port} user=postgres dbname=app"
        replica = pgmd.Replica(wire=address, token=TOKEN)
        async with pgmd.AsyncEngine(pgmd.Endpoint(local.dsn), [replica]) as engine:
            yield engine, proxy


async def test_a_snapshot_whose_connection_has_gone_is_over(tmp_path: Path) -> None:
    async with distant(tmp_path) as (engine, proxy), engine.session() as s:
        async with s.snapshot() as snapshot:
            assert (await snapshot.execute("SELECT 1 AS a")).fetchone() == (1,)
            proxy.cut()
            with pytest.raises(psycopg.OperationalError):
                await snapshot.execute("SELECT 2 AS a")
        assert at_rest(engine)
        assert (await s.execute("SELECT 3 AS a")).fetchone() == (3,)


async def test_a_connection_that_has_gone_is_made_anew(tmp_path: Path) -> None:
    async with distant(tmp_path) as (engine, proxy):
        async with engine.session() as s:
            for _ in range(3):
                result = await s.execute("SELECT 1 AS a", route="replica")
                assert result.fetchone() == (1,)
                proxy.cut()
                # What has been cut is seen on the socket.
                cursors = [slot.cursor for slot in slots(engine) if slot.cursor is not None]
                await until(lambda cursors=cursors: all(map(has_ended, cursors)))  # type: ignore[misc]
            assert engine._core.replicas.failures == {}


def slots(engine: pgmd.AsyncEngine) -> list[Any]:
    return [slot for member in engine._core.replicas._slots._state._members for slot in member.free]


def has_ended(cursor: Any) -> bool:
    return has_gone(cursor.connection)
