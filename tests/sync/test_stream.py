# Generated from tests/async_/test_stream.py by pgmd._tools.unasync. Do not edit.
"""Rows as they come: in bounded memory, on either route, and nothing is held after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb
import psycopg
import pytest
from psycopg.rows import class_row

import pgmd
from pgmd import Engine, Route, Session

from ..fixtures.stands import Stand
from .helpers import engine_on

ROWS = 25_000
ROUTES = ["endpoint", "replica"]


@dataclass
class Thing:
    a: int
    b: str


def things_on(stand: Stand) -> Engine:
    numbers = "generate_series(1, %s) AS t (n)"
    with psycopg.connect(stand.dsn, autocommit=True) as plain:
        plain.execute("CREATE TABLE things (a int, b text)")
        plain.execute(f"INSERT INTO things SELECT n, 'thing ' || n FROM {numbers}", [ROWS])
    return engine_on(stand, 1)


def all_rows(s: Session[Any], query: str, **options: Any) -> tuple[list[Any], Any]:
    with s.stream(query, **options) as rows:
        return [row for row in rows], rows


@pytest.mark.parametrize("route", ROUTES)
def test_all_rows_come_once_and_in_order(stand: Stand, route: Any) -> None:
    with things_on(stand) as engine, engine.session() as s:
        query = "SELECT a, b FROM things ORDER BY a"
        got, stream = all_rows(s, query, route=route)
        whole = s.execute(query, route=route)
        assert got == whole.fetchall()
        assert len(got) == ROWS
        assert stream.description == whole.description
        assert stream.decision.route is Route(route)


@pytest.mark.parametrize("route", ROUTES)
def test_parameters_and_row_factories(stand: Stand, route: Any) -> None:
    with things_on(stand) as engine, engine.session() as s:
        query = "SELECT a, b FROM things WHERE a <= %s ORDER BY a"
        got, _ = all_rows(s, query, params=[2], row_factory=class_row(Thing), route=route)
        assert got == [Thing(1, "thing 1"), Thing(2, "thing 2")]
        assert (all_rows(s, query, params=[0], route=route))[0] == []


@pytest.mark.parametrize("route", ROUTES)
def test_leaving_early_gives_everything_back(stand: Stand, route: Any) -> None:
    with things_on(stand) as engine, engine.session() as s:
        for _ in range(10):
            with s.stream("SELECT a FROM things", route=route) as rows:
                for _ in rows:
                    break
        stats = engine.stats()
        assert stats["replicas"]["pool_available"] == stats["replicas"]["pool_size"]
        assert stats["endpoint"]["pool_available"] == stats["endpoint"]["pool_size"]
        assert (s.execute("SELECT count(*) FROM things", route=route)).fetchall() == [(ROWS,)]


def test_leaving_early_frees_the_rows_that_were_not_read(stand: Stand) -> None:
    with things_on(stand) as engine, engine.session() as s:
        with s.stream("SELECT a FROM things", route="replica") as rows:
            for _ in rows:
                break
            cursor = s._asking.running.slot.cursor  # type: ignore[union-attr]
        with pytest.raises(duckdb.ConnectionException, match="closed"):
            cursor._connection.execute("SELECT 1")


@pytest.mark.parametrize("route", ROUTES)
def test_an_error_ends_it_and_the_session_goes_on(stand: Stand, route: Any) -> None:
    with things_on(stand) as engine, engine.session() as s:
        with pytest.raises(psycopg.errors.UndefinedColumn) as caught:
            all_rows(s, "SELECT nope FROM things", route=route)
        assert caught.value.outcome is pgmd.Outcome.NOT_APPLIED  # type: ignore[attr-defined]
        assert (s.execute("SELECT 1", route=route)).fetchall() == [(1,)]


@pytest.mark.only("local", reason="PostgreSQL raises no such error in the middle")
@pytest.mark.parametrize("route", ROUTES)
def test_an_error_in_the_middle_is_raised_after_the_rows_before_it(
    stand: Stand, route: Any
) -> None:
    with things_on(stand) as engine, engine.session() as s:
        s.execute(
            "CREATE TABLE texts AS SELECT CASE WHEN a < 20000 THEN a ELSE NULL END::VARCHAR v, a FROM things"
        )
        s.execute("UPDATE texts SET v = 'x' WHERE a = 24999")
        engine.publish()
        got = []
        with pytest.raises(psycopg.DataError):
            with s.stream("SELECT v::int FROM texts", route=route) as rows:
                for row in rows:
                    got.append(row)
        assert got == [(n + 1,) for n in range(len(got))]
        assert (s.execute("SELECT 1", route=route)).fetchall() == [(1,)]


def test_what_is_no_read_is_refused_before_anything_is_sent(stand: Stand) -> None:
    with things_on(stand) as engine, engine.session() as s:
        with pytest.raises(pgmd.UsageError, match=r"stream\(\) is for reads"):
            all_rows(s, "DELETE FROM things RETURNING a")
        count = s.execute("SELECT count(*) FROM things", route="endpoint")
        assert count.fetchall() == [(ROWS,)]


def test_the_session_is_busy_meanwhile(stand: Stand) -> None:
    with things_on(stand) as engine, engine.session() as s:
        with s.stream("SELECT a FROM things"):
            with pytest.raises(pgmd.UsageError, match="in use"):
                s.execute("SELECT 1")
        assert (s.execute("SELECT 1")).fetchall() == [(1,)]


def test_in_a_snapshot_and_in_a_transaction(stand: Stand) -> None:
    with things_on(stand) as engine, engine.session() as s:
        with s.snapshot() as snap:
            for _ in range(2):
                got, stream = all_rows(s, "SELECT a FROM things")
                assert (len(got), stream.decision.route) == (ROWS, Route.REPLICA)
            assert (snap.execute("SELECT count(*) FROM things")).fetchall() == [(ROWS,)]
        with s.transaction() as tx:
            tx.execute("DELETE FROM things WHERE a > 5")
            got, stream = all_rows(s, "SELECT a FROM things")
            assert (len(got), stream.decision.route) == (5, Route.ENDPOINT)


@pytest.mark.only("local", reason="PostgreSQL has no such types")
@pytest.mark.parametrize("route", ROUTES)
def test_nested_values_are_read(stand: Stand, route: Any) -> None:
    with things_on(stand) as engine, engine.session() as s:
        query = "SELECT {'a': a, 'l': [[b]]} AS v FROM things ORDER BY a"
        got, _ = all_rows(s, query, route=route)
        assert got[-1] == ({"a": ROWS, "l": [[f"thing {ROWS}"]]},)
        assert got[0] == ({"a": 1, "l": [["thing 1"]]},)
