# Generated from tests/async_/test_stress.py by pgmd._tools.unasync. Do not edit.
"""Many callers, random cancellation: every answer right, nothing lost, pools back at rest."""

from __future__ import annotations

import asyncio
import math
import os
import random
import threading
from collections import Counter
from functools import partial
from typing import Any

import psycopg
import pytest

import pgmd
from pgmd import Route
from pgmd.runtime import threads as runtime

from ..fixtures.stands import Stand
from .helpers import engine_on, until

# So many in each run of the suite, and 5,000 when pools or cancelling have changed.
STATEMENTS = int(os.environ.get("PGMD_TEST_STATEMENTS", "2000"))
WORKERS = 200 if runtime.ASYNC else 64
# Each worker's share.
SHARE = math.ceil(STATEMENTS / WORKERS)
ROWS = 500


class Tally:
    """What happened, and what is certain of the writes."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        self.written = 0
        self.in_doubt = 0

    def add(self, what: str) -> None:
        with self.lock:
            self.counts[what] += 1

    def wrote(self, *, certain: bool) -> None:
        with self.lock:
            self.written += certain
            self.in_doubt += not certain


def one(s: pgmd.Session[Any], rng: random.Random, tally: Tally) -> None:
    """A statement whose answer is known, or a write that is counted."""
    n = rng.randrange(1, ROWS)
    kind = rng.choice(
        ["point", "point", "aggregate", "endpoint", "write", "transaction", "snapshot"]
    )
    if kind == "point":
        result = s.execute("SELECT n, square FROM t WHERE n = %s", [n])
        assert result.fetchall() == [(n, n * n)]
    elif kind == "aggregate":
        result = s.execute("SELECT count(*), sum(n) FROM t WHERE n <= %s", [n])
        assert result.fetchall() == [(n, n * (n + 1) // 2)]
    elif kind == "endpoint":
        result = s.endpoint.execute("SELECT %s::int + 1", [n])
        assert result.fetchall() == [(n + 1,)]
    elif kind == "write":
        write(s, tally)
    elif kind == "transaction":
        with s.transaction() as tx:
            assert (tx.execute("SELECT square FROM t WHERE n = %s", [n])).fetchone() == (n * n,)
            tx.execute("INSERT INTO pairs VALUES (1)")
            tx.execute("INSERT INTO pairs VALUES (2)")
    else:
        with s.snapshot() as snap:
            first = snap.execute("SELECT count(*) FROM w")
            again = snap.execute("SELECT count(*) FROM w")
            assert first.fetchall() == again.fetchall()
            assert (snap.execute("SELECT count(*) FROM pairs")).fetchall()[0][0] % 2 == 0
    tally.add(kind)


def write(s: pgmd.Session[Any], tally: Tally) -> None:
    certain = False
    try:
        s.execute("INSERT INTO w VALUES (1)")
        certain = True
    except psycopg.errors.QueryCanceled:
        certain = False
        raise
    finally:
        tally.wrote(certain=certain)


def share_on(stand: Stand) -> int:
    # In a container each takes some 40 ms of a small machine, ten times as long as elsewhere.
    return math.ceil(SHARE / 10) if stand.kind == "server" else SHARE


def worker(engine: pgmd.Engine, seed: int, tally: Tally, share: int) -> None:
    rng = random.Random(seed)
    for _ in range(share):
        with engine.session() as s:
            if rng.random() < 0.2:
                cancelled(s, rng, tally)
            else:
                one(s, rng, tally)


def cancelled(s: pgmd.Session[Any], rng: random.Random, tally: Tally) -> None:
    """Cancel a statement from another thread at a random moment, until it has ended."""
    ended = threading.Event()

    def cancel() -> None:
        while not ended.wait(rng.random() * 0.005):
            s.cancel()

    canceller = threading.Thread(target=cancel)
    canceller.start()
    try:
        one(s, rng, tally)
    except psycopg.errors.QueryCanceled:
        tally.add("cancelled")
    finally:
        ended.set()
        canceller.join()


def together(works: list[Any]) -> None:
    results: Any = runtime.run_all(works)
    for result in results:
        if isinstance(result, BaseException):
            raise result


@pytest.mark.slow
@pytest.mark.timeout(120 + STATEMENTS // 10)
def test_mixed_statements_with_random_cancellation(stand: Stand) -> None:
    _mixed_statements(stand)


@pytest.mark.slow
@pytest.mark.timeout(120 + STATEMENTS // 10)
def test_mixed_statements_at_an_endpoint_that_always_says_idle(idle_stand: Stand) -> None:
    _mixed_statements(idle_stand)


def _mixed_statements(stand: Stand) -> None:
    tally, share = Tally(), share_on(stand)
    statements = WORKERS * share
    each: dict[str, Any] = {"max_size": 4}
    if not stand.is_live:
        # Replicas are exchanged, and writers held up for a snapshot, in the midst of it all.
        each["refresh"] = 0.25
    settings = {"max_size": 8, "timeout": 120}
    with engine_on(stand, 2, each=each, **settings) as engine:
        with engine.session() as s:
            s.execute(
                "CREATE TABLE t AS SELECT n, n * n AS square "
                f"FROM generate_series(1, {ROWS}) AS g(n)"
            )
            s.execute("CREATE TABLE w (a int)")
            s.execute("CREATE TABLE pairs (a int)")
        engine.publish()
        together([lambda seed=seed: worker(engine, seed, tally, share) for seed in range(WORKERS)])
        assert sum(tally.counts.values()) == statements
        with engine.session() as s:
            written = (s.endpoint.execute("SELECT count(*) FROM w")).fetchall()[0][0]
            assert tally.written <= written <= tally.written + tally.in_doubt
            pairs = s.endpoint.execute("SELECT a, count(*) FROM pairs GROUP BY a")
            assert len({number for _, number in pairs}) == 1
            engine.publish()
            seen = s.replica.execute("SELECT count(*) FROM w")
            assert seen.fetchone() == (written,)
        until(lambda: at_rest(engine) and engine.stats()["replicas"]["pool_size"] == 8)
        stats = engine.stats()
        assert stats["replicas"]["replicas_failed"] == 0
        assert stats["endpoint"]["pool_size"] <= 8
        assert tally.counts["cancelled"] > statements // 100, tally.counts
        # On a loaded machine replicas are sometimes found unwell, and the endpoint reads.
        assert stats["routed"]["replica: READ"] > statements // 10


def at_rest(engine: pgmd.Engine) -> bool:
    stats = engine.stats()
    return all(
        pool["pool_available"] == pool["pool_size"] and not pool["requests_waiting"]
        for pool in (stats["replicas"], stats["endpoint"])
    )


def test_a_cancelled_query_stops_soon_and_leaves_the_session_usable(stand: Stand) -> None:
    with engine_on(stand, 1) as engine, engine.session() as s:
        s.execute("CREATE TABLE t AS SELECT n FROM generate_series(1, 3000) AS g(n)")
        if not stand.is_live:
            engine.publish()
        long = (
            "SELECT count(*) FROM t a JOIN t b ON a.n <> b.n JOIN t c ON b.n <> c.n WHERE a.n > c.n"
        )
        for view in (s.replica, s.endpoint):
            jobs = runtime.Jobs(1)
            job = jobs.start(partial(view.execute, long), getattr(s, "cancel", print))
            until(lambda: s._asking.running is not None)
            began = asyncio.get_running_loop().time() if runtime.ASYNC else 0.0
            job.stop()
            jobs.close()
            seen = view.execute("SELECT min(n) FROM t")
            assert seen.fetchone() == (1,)
        until(lambda: at_rest(engine))


@pytest.mark.parametrize("route", Route)
def test_a_write_that_is_cancelled_has_not_happened(stand: Stand, route: Route) -> None:
    with engine_on(stand, 1) as engine, engine.session() as s:
        s.execute("CREATE TABLE t (n bigint)")
        work = "INSERT INTO t SELECT 1 FROM pg_sleep(60)"
        if not stand.is_postgres:
            work = f"INSERT INTO t {stand.long_query}"
        jobs = runtime.Jobs(1)
        job = jobs.start(lambda: s.execute(work), getattr(s, "cancel", print))
        until(lambda: s._asking.running is not None)
        job.stop()
        jobs.close()
        engine.publish()
        view = s.replica if route is Route.REPLICA else s.endpoint
        assert (view.execute("SELECT count(*) FROM t")).fetchone() == (0,)
        until(lambda: at_rest(engine))
