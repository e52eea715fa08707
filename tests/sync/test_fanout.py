# Generated from tests/async_/test_fanout.py by pgmd._tools.unasync. Do not edit.
"""map() and gather()."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

import pgmd
from pgmd import Query, Route
from pgmd.runtime import threads as runtime

from ..fixtures.stands import Stand
from .helpers import engine_on, until


def squares_on(stand: Stand) -> pgmd.Engine:
    """An engine on a database that holds squares, which replicas see."""
    engine = engine_on(stand, 2, timeout=20)
    with engine.session() as s:
        s.execute(
            "CREATE TABLE t AS SELECT n, n * n AS square FROM generate_series(1, 200) AS g(n)"
        )
    engine.publish()
    return engine


def test_map_returns_results_in_order(stand: Stand) -> None:
    with squares_on(stand) as engine, engine.session() as s:
        params = [[n] for n in range(1, 101)]
        results = s.map("SELECT square FROM t WHERE n = %s", params, concurrency=4)
        squares = [result.fetchone() for result in results]
        assert squares == [(n * n,) for n in range(1, 101)]
        assert engine.stats()["routed"]["replica: READ"] == 100


def test_map_reads_parameters_only_as_far_ahead_as_it_works(stand: Stand) -> None:
    taken = []

    def endless() -> Any:
        n = 0
        while True:
            n += 1
            taken.append(n)
            yield [n % 200 + 1]

    with squares_on(stand) as engine, engine.session() as s:
        results = s.map("SELECT square FROM t WHERE n = %s", endless(), concurrency=3)
        for _ in results:
            if len(taken) >= 10:
                break
        results.close()  # type: ignore[attr-defined]
        assert len(taken) <= 14
        until(lambda: at_rest(engine))


def at_rest(engine: pgmd.Engine) -> bool:
    replicas = engine.stats()["replicas"]
    return replicas["pool_available"] == replicas["pool_size"] and not replicas["requests_waiting"]


def test_gather_mixes_routes_and_carries_writes_into_the_session(stand: Stand) -> None:
    with squares_on(stand) as engine, engine.session() as s:
        before = s.bookmark
        results = s.gather(
            [
                Query("SELECT square FROM t WHERE n = %s", [3]),
                Query("INSERT INTO t VALUES (999, 0)"),
                Query("SELECT 1 AS one", row_factory=psycopg.rows.dict_row),
            ]
        )
        assert [r.decision.route for r in results] == [Route.REPLICA, Route.ENDPOINT, Route.REPLICA]
        assert results[0].fetchone() == (9,)
        assert results[2].fetchone() == {"one": 1}
        assert s.bookmark > before
        seen = s.execute("SELECT square FROM t WHERE n = 999")
        assert seen.fetchone() == (0,)
        assert seen.decision.route is (Route.REPLICA if stand.is_live else Route.ENDPOINT)


def test_the_first_error_stops_the_rest(stand: Stand) -> None:
    with squares_on(stand) as engine, engine.session() as s:
        queries = [Query(stand.long_query), Query("SELECT * FROM missing")]
        with pytest.raises(psycopg.errors.UndefinedTable):
            # The sleeping one is first in line: its result is waited for, the error is not.
            s.gather(queries[::-1] + queries[:1], concurrency=3)
        until(lambda: at_rest(engine))
        assert (s.execute("SELECT count(*) FROM t")).fetchone() == (200,)


def test_fan_out_needs_a_session_without_an_open_block(stand: Stand) -> None:
    with squares_on(stand) as engine, engine.session() as s:
        with s.transaction():
            with pytest.raises(pgmd.UsageError, match=r"map\(\) and gather\(\)"):
                s.gather([Query("SELECT 1")])
        with pytest.raises(pgmd.UsageError, match="concurrency=0"):
            s.map("SELECT 1", [], concurrency=0)
        s.execute("SET TIME ZONE 'UTC'")
        with pytest.raises(pgmd.UsageError, match="pinned"):
            s.gather([Query("SELECT 1")])
