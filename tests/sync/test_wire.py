# Generated from tests/async_/test_wire.py by pgmd._tools.unasync. Do not edit.
"""Replicas that are reached over the Postgres wire of a read-scaling token."""

from __future__ import annotations

import secrets
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def wired(folder: Path, count: int = 1, **settings: Any) -> Iterator[pgmd.Engine]:
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
        with pgmd.Engine(pgmd.Endpoint(local.dsn, max_size=4), replicas) as engine:
            engine.wait()
            yield engine


def at_rest(engine: pgmd.Engine) -> bool:
    replicas = engine.stats()["replicas"]
    return bool(replicas["pool_available"] == replicas["pool_size"])


def test_a_value_of_each_type_is_the_endpoints(tmp_path: Path) -> None:
    compared = 0
    with wired(tmp_path) as engine, engine.session() as s:
        for name, given in TYPES.items():
            rows = ", ".join(f"(({value})::{name})" for value in given["values"])
            query = f"SELECT v, v AS again FROM (VALUES {rows}, (NULL)) AS t(v)"
            try:
                wanted = s.endpoint.execute(query)
            except psycopg.Error:
                continue  # this DuckDB has no such type
            found = s.execute(query, route="replica")
            assert found.decision.route is Route.REPLICA
            assert found.description == wanted.description
            left, right = found.fetchall(), wanted.fetchall()
            assert same(left, right), name
            compared += len(left)
    assert compared > 150


def test_parameters_errors_names_and_arrow_are_the_endpoints(tmp_path: Path) -> None:
    with wired(tmp_path) as engine, engine.session() as s:
        for view in (s.endpoint, s.replica):
            result = view.execute(
                "SELECT %s AS a, %(b)s::int AS b".replace("%s", "%(a)s"), {"a": "x", "b": 2}
            )
            assert result.fetchall() == [("x", 2)]
            named = view.execute("SELECT 1 AS a", row_factory=dict_row)
            assert named.arrow().to_pylist() == [{"a": 1}]
            assert named.fetchall() == [{"a": 1}]
            with pytest.raises(psycopg.errors.InvalidTextRepresentation) as caught:
                view.execute("SELECT 'x'::int")
            assert caught.value.outcome is pgmd.Outcome.NOT_APPLIED  # type: ignore[attr-defined]
        # The endpoint decides about what failed on a replica.
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            s.execute("SELECT 'x'::int")
        # The one that failed there ran there, too.
        assert engine.stats()["routed"]["replica: READ"] == 3
        assert engine._core.replicas.failures == {}


def test_it_shows_what_was_published(tmp_path: Path) -> None:
    with wired(tmp_path, 2) as engine, engine.session() as s:
        s.execute("CREATE TABLE t AS SELECT 1 AS a")
        assert (s.execute("SELECT a FROM t")).decision.reason is Reason.STALE
        engine.publish()
        result = s.execute("SELECT a FROM t")
        assert (result.decision.route, result.fetchall()) == (Route.REPLICA, [(1,)])
        s.execute("UPDATE t SET a = 2")
        assert (s.execute("SELECT a FROM t")).fetchone() == (2,)
        engine.publish()
        for _ in range(4):
            result = s.execute("SELECT a FROM t")
            assert (result.decision.route, result.fetchall()) == (Route.REPLICA, [(2,)])


def test_a_snapshot_stays_at_its_moment(tmp_path: Path) -> None:
    with wired(tmp_path) as engine, engine.session() as s, engine.session() as other:
        s.execute("CREATE TABLE t AS SELECT 1 AS a")
        engine.publish()
        with s.snapshot() as snapshot:
            assert (snapshot.execute("SELECT a FROM t")).fetchone() == (1,)
            other.execute("UPDATE t SET a = 2")
            engine.publish()
            result = snapshot.execute("SELECT a FROM t")
            assert (result.decision.route, result.fetchone()) == (Route.REPLICA, (1,))
        assert (s.execute("SELECT a FROM t")).fetchone() == (2,)
        assert at_rest(engine)


def test_what_the_session_has_set_is_set_for_it_only(tmp_path: Path) -> None:
    with wired(tmp_path, max_size=1) as engine:
        with engine.session() as s:
            s.execute("SET VARIABLE x = 41")
            result = s.execute("SELECT getvariable('x') + 1 AS a", route="replica")
            assert result.fetchone() == (42,)
        with engine.session() as other:
            result = other.execute("SELECT getvariable('x') IS NULL AS a", route="replica")
            assert result.fetchone() == (True,)


def test_a_stream_runs_on_it(tmp_path: Path) -> None:
    with wired(tmp_path) as engine, engine.session() as s:
        s.execute("CREATE TABLE t AS SELECT n FROM range(25000) AS t(n)")
        engine.publish()
        with s.stream("SELECT n FROM t", route="replica") as stream:
            assert stream.decision.route is Route.REPLICA
            assert sum([n for (n,) in stream]) == 312_487_500
        assert at_rest(engine)
        with s.stream("SELECT n FROM t") as stream:
            for _ in stream:
                break
        assert at_rest(engine)
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            with s.stream("SELECT 'x'::int AS a", route="replica"):
                pass
        assert at_rest(engine)


def test_a_write_is_not_sent_to_it(tmp_path: Path) -> None:
    with wired(tmp_path) as engine, engine.session() as s:
        with pytest.raises(pgmd.RoutingError):
            s.replica.execute("CREATE TABLE t (a int)")
        # Nor would it run there.
        member = engine._core.replicas.members[0]
        with (
            psycopg.connect(**member.instance.options) as connection,  # type: ignore[union-attr]  # it is a Wire
            pytest.raises(psycopg.Error, match="read-only"),
        ):
            connection.execute("CREATE TABLE t (a int)")


def test_a_token_that_could_write_is_refused(tmp_path: Path) -> None:
    with LocalEndpoint(tmp_path / "app.duckdb", auth="password", password="tok-rw") as local:
        address = make_conninfo("", **{**conninfo_to_dict(local.dsn), "password": None})
        replica = pgmd.Replica(wire=address, token="tok-rw")
        with pgmd.Engine(pgmd.Endpoint(local.dsn), [replica]) as engine:
            assert "needs a read-scaling token" in engine._core.replicas.failures["replica-1"]


@pytest.mark.only("postgres", reason="its SQL is not DuckDB's")
def test_an_endpoint_of_another_dialect_has_no_such_replicas(stand: Stand) -> None:
    replica = pgmd.Replica(wire="host=127.0.0.1 port=1", token=TOKEN)
    with pgmd.Engine(stand.endpoint(), [replica]) as engine:
        assert "speaks DuckDB's SQL" in engine._core.replicas.failures["replica-1"]


@contextmanager
def distant(folder: Path) -> Iterator[tuple[pgmd.Engine, Proxy]]:
    """An engine with one replica behind a proxy."""
    with (
        LocalEndpoint(
            folder / "app.duckdb", auth="password", password="tok-rw", read_scaling_token=TOKEN
        ) as local,
        proxy_to(("127.0.0.1", local.port)) as proxy,
    ):
        address = f"host=127.0.0.1 port={proxy.port} user=postgres dbname=app"
        replica = pgmd.Replica(wire=address, token=TOKEN)
        with pgmd.Engine(pgmd.Endpoint(local.dsn), [replica]) as engine:
            yield engine, proxy


def test_a_snapshot_whose_connection_has_gone_is_over(tmp_path: Path) -> None:
    with distant(tmp_path) as (engine, proxy), engine.session() as s:
        with s.snapshot() as snapshot:
            assert (snapshot.execute("SELECT 1 AS a")).fetchone() == (1,)
            proxy.cut()
            with pytest.raises(psycopg.OperationalError):
                snapshot.execute("SELECT 2 AS a")
        assert at_rest(engine)
        assert (s.execute("SELECT 3 AS a")).fetchone() == (3,)


def test_a_connection_that_has_gone_is_made_anew(tmp_path: Path) -> None:
    with distant(tmp_path) as (engine, proxy):
        with engine.session() as s:
            for _ in range(3):
                result = s.execute("SELECT 1 AS a", route="replica")
                assert result.fetchone() == (1,)
                proxy.cut()
                # What has been cut is seen on the socket.
                cursors = [slot.cursor for slot in slots(engine) if slot.cursor is not None]
                until(lambda cursors=cursors: all(map(has_ended, cursors)))  # type: ignore[misc]
            assert engine._core.replicas.failures == {}


def slots(engine: pgmd.Engine) -> list[Any]:
    return [slot for member in engine._core.replicas._slots._state._members for slot in member.free]


def has_ended(cursor: Any) -> bool:
    return has_gone(cursor.connection)
