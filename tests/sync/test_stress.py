# Generated from tests/async_/test_stress.py by pgmd._tools.unasync. Do not edit.
"""Many callers, random cancellation: every answer right, nothing lost, pools back at rest."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from typing import Any

import psycopg
import pytest

import pgmd
from pgmd.runtime import threads as runtime

from .helpers import until

WORKERS = 200 if runtime.ASYNC else 64
# Each worker's share of at least 5,000.
SHARE = 25 if runtime.ASYNC else 79
STATEMENTS = WORKERS * SHARE
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
            tx.execute("SELECT pg_backend_pid()")
    else:
        with s.snapshot() as snap:
            first = snap.execute("SELECT count(*) FROM w")
            again = snap.execute("SELECT count(*) FROM w")
            assert first.fetchall() == again.fetchall()
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


def worker(engine: pgmd.Engine, seed: int, tally: Tally) -> None:
    rng = random.Random(seed)
    for _ in range(SHARE):
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
    for result in runtime.run_all(works):
        if isinstance(result, BaseException):
            raise result


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_mixed_statements_with_random_cancellation(dsn: str) -> None:
    tally = Tally()
    settings = {"replicas": 2, "replica_max_size": 4, "max_size": 8, "timeout": 120}
    with pgmd.connect(dsn, **settings) as engine:
        with engine.session() as s:
            s.execute(
                f"CREATE TABLE t AS SELECT n, n * n AS square FROM generate_series(1, {ROWS}) n"
            )
            s.execute("CREATE TABLE w (a int)")
        together([lambda seed=seed: worker(engine, seed, tally) for seed in range(WORKERS)])
        assert sum(tally.counts.values()) == STATEMENTS >= 5000
        until(lambda: at_rest(engine))
        with engine.session() as s:
            written = (s.execute("SELECT count(*) FROM w")).fetchall()[0][0]
            assert tally.written <= written <= tally.written + tally.in_doubt
        stats = engine.stats()
        assert stats["replicas"]["pool_size"] == 8
        assert stats["endpoint"]["pool_size"] <= 8
        assert tally.counts["cancelled"] > 50, tally.counts
        assert stats["routed"]["replica: READ"] > STATEMENTS // 4


def at_rest(engine: pgmd.Engine) -> bool:
    stats = engine.stats()
    return all(
        pool["pool_available"] == pool["pool_size"] and not pool["requests_waiting"]
        for pool in (stats["replicas"], stats["endpoint"])
    )


def test_a_cancelled_query_stops_soon_and_leaves_the_session_usable(dsn: str) -> None:
    with pgmd.connect(dsn, replicas=1) as engine, engine.session() as s:
        s.execute("CREATE TABLE t AS SELECT n FROM generate_series(1, 3000) AS n")
        long = (
            "SELECT count(*) FROM t a JOIN t b ON a.n <> b.n JOIN t c ON b.n <> c.n WHERE a.n > c.n"
        )
        for view in (s.replica, s.endpoint):
            jobs = runtime.Jobs(1)
            job = jobs.start(lambda view=view: view.execute(long), getattr(s, "cancel", print))
            until(lambda: s._running is not None)
            began = asyncio.get_running_loop().time() if runtime.ASYNC else 0.0
            job.stop()
            jobs.close()
            assert (s.execute("SELECT min(n) FROM t")).fetchone() == (1,)
        until(lambda: at_rest(engine))
