"""Uses each public name; checked by mypy --strict and pyright, not run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, assert_type

from psycopg.rows import class_row, dict_row

import pgmd
from pgmd import (
    AsyncEngine,
    AsyncSession,
    Bookmark,
    Column,
    ConfigurationError,
    Database,
    Decision,
    Endpoint,
    Engine,
    Error,
    FanOutError,
    LocalError,
    NotSupportedError,
    Outcome,
    ParityError,
    PoolClosed,
    PoolFull,
    PoolTimeout,
    Query,
    Reason,
    Replica,
    ReplicaError,
    Result,
    Route,
    RoutingError,
    Session,
    StatementTimeout,
    UsageError,
)


@dataclass
class Flight:
    carrier: str


def engines() -> None:
    assert_type(pgmd.connect("postgresql://u@h/db", replicas=2), Engine)
    Engine(Endpoint("postgresql://u@h/db"), [Replica(postgres="postgresql://u@h/db")])
    Engine(replicas=[Replica(file="x.duckdb", max_size=3, name="one")], consistency="engine")
    Engine(replicas=[Replica(ducklake="sqlite:x.sqlite", data_path="x", refresh=1.5)])
    Endpoint.motherduck("analytics", region="us-east-1", token="t")


def sessions(engine: Engine) -> None:
    with engine, engine.session(user="alice") as s:
        assert_type(s, Session[tuple[Any, ...]])
        res = s.execute("SELECT * FROM flights WHERE origin = %s", ["JFK"])
        assert_type(res, Result[tuple[Any, ...]])
        assert_type(res.fetchall(), list[tuple[Any, ...]])
        assert_type(res.fetchone(), tuple[Any, ...] | None)
        assert_type(res.description, list[Column] | None)
        assert_type(res.rowcount, int)
        for row in res:
            assert_type(row, tuple[Any, ...])
        decision = res.decision
        assert_type(decision, Decision)
        assert_type(decision.route, Route)
        assert_type(decision.reason, Reason)
        assert_type(s.execute("SELECT 1", row_factory=class_row(Flight)).fetchall(), list[Flight])
        with s.transaction() as tx:
            tx.execute("UPDATE flights SET carrier = 'AA'")
            with tx.transaction() as inner:
                inner.execute("SELECT 1")
        with s.snapshot() as snap:
            snap.execute("SELECT 1").fetchall()
        for one in s.map("SELECT %s", [[1], [2]], concurrency=16):
            one.fetchall()
        s.gather([Query("SELECT 1"), Query("SELECT %s", [1])])
        assert_type(s.explain("SELECT 1"), Decision)
        assert_type(s.bookmark, Bookmark)
        engine.session(after=s.bookmark, consistency="strong", max_staleness=1.5)
        s.endpoint.execute("SELECT 1")
        s.replica.execute("SELECT 1")
        s.cancel()
    with engine.session(row_factory=dict_row) as d:
        assert_type(d.execute("SELECT 1").fetchall(), list[dict[str, Any]])
    engine.publish()
    engine.stats()
    engine.close()


async def the_same_with_await() -> None:
    engine = await pgmd.connect_async()
    assert_type(engine, AsyncEngine)
    async with engine, engine.session() as s:
        assert_type(s, AsyncSession[tuple[Any, ...]])
        res = await s.execute("SELECT %(a)s", {"a": 1})
        assert_type(res.fetchall(), list[tuple[Any, ...]])
        async with s.transaction() as tx:
            await tx.execute("SELECT 1")
        async with s.snapshot() as snap:
            await snap.execute("SELECT 1")
        async for one in s.map("SELECT %s", [[1]]):
            one.fetchone()
        await s.gather([Query("SELECT 1")])
        await engine.publish()


def several() -> None:
    engine = Engine(databases={"a": Database(replicas=[Replica(file="a.duckdb")])})
    engine.wait(1.0)
    with engine.session(database="a") as s:
        assert_type(s.execute("SELECT 1").fetchone(), tuple[Any, ...] | None)
        with s.map("SELECT %s", [[1]], errors="collect", timeout=1) as found:
            # pyarrow has no types.
            found.arrow()  # pyright: ignore[reportUnknownMemberType]
    for one in engine.across(["a"]).execute("SELECT 1"):
        one.fetchone()
    engine.recycle()


def errors(engine: Engine) -> None:
    try:
        engine.session()
    except (StatementTimeout, FanOutError) as error:
        assert_type(error.outcome, Outcome)
        if isinstance(error, FanOutError):
            assert_type(
                [r.decision.route is Route.REPLICA for r in error.results.values()], list[bool]
            )
    except RoutingError as error:
        assert_type(error.decision.reason is Reason.STALE, bool)
        assert_type(error.decision.explain(), str)
    except (ConfigurationError, UsageError, NotSupportedError, ParityError):
        pass
    except (PoolTimeout, PoolFull, PoolClosed, ReplicaError, LocalError) as error:
        assert_type(error.outcome, Outcome)
    except Error as error:
        assert_type(error.retryable, bool)
