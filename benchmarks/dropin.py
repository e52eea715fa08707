"""What the drop-in costs and saves: ratios of medians to plain psycopg, both colours, one run.

    python benchmarks/dropin.py [--rounds 40] [--calls 50]

The peer is in this file: the same calls on psycopg and psycopg_pool. The endpoint is a PostgreSQL of
this machine, and the engine has one replica, a columnar copy of the table. Rounds are interleaved,
A B C A B C ..., and each figure is the median over rounds. A ratio is pgmd's time to psycopg's: for
a statement on the endpoint it shall be small, and below 0.5 for a large routed fetch.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from types import ModuleType
from typing import Any

import psycopg
import psycopg_pool

import pgmd
import pgmd.psycopg
import pgmd.psycopg_pool
from pgmd.testing.servers import embedded_postgres

ROWS = 100_000
TABLE = (
    "CREATE TABLE t AS SELECT n AS a, n % 10 AS b, n * 0.25::float8 AS c, 'text ' || n AS d, "
    f"DATE '2024-01-01' + n % 300 AS e, n % 2 = 0 AS f FROM generate_series(1, {ROWS}) AS s(n)"
)
SQL_42 = "SELECT 42"
# A comment that psycopg's server ignores.
STAYS = "/*+ pgmd: endpoint */ SELECT 42"
UPDATE = "UPDATE changed SET b = %s WHERE a = 1"
POINT = "SELECT a, b, d FROM t WHERE a = %s"
ALL = "SELECT * FROM t"
TASKS, SIZE = 200, 8

PLAIN, FIXES, ROUTED = "psycopg", "pgmd", "pgmd, engine"
Call = Callable[[int], Any]
AsyncCall = Callable[[int], Awaitable[Any]]


def modules(name: str) -> tuple[ModuleType, ModuleType]:
    if name == PLAIN:
        return psycopg, psycopg_pool
    return pgmd.psycopg, pgmd.psycopg_pool


def keywords(name: str, engine: Any) -> dict[str, Any]:
    return {"autocommit": True, **({"engine": engine} if name == ROUTED else {})}


# Rounds


def per_call(work: Call, calls: int) -> float:
    """Seconds. What is returned is freed later."""
    kept = []
    began = time.perf_counter()
    for n in range(calls):
        kept.append(work(n))
    return (time.perf_counter() - began) / calls


async def per_call_async(work: AsyncCall, calls: int) -> float:
    kept = []
    began = time.perf_counter()
    for n in range(calls):
        kept.append(await work(n))
    return (time.perf_counter() - began) / calls


def interleave(works: Mapping[str, Call], rounds: int, calls: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        per_call(work, calls)
    for _ in range(rounds):
        for name, work in works.items():
            gc.collect()
            times[name].append(per_call(work, calls))
    return {name: statistics.median(found) for name, found in times.items()}


async def interleave_async(
    works: Mapping[str, AsyncCall], rounds: int, calls: int
) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        await per_call_async(work, calls)
    for _ in range(rounds):
        for name, work in works.items():
            gc.collect()
            times[name].append(await per_call_async(work, calls))
    return {name: statistics.median(found) for name, found in times.items()}


def report(what: str, medians: Mapping[str, float], aims: Mapping[str, float]) -> None:
    line = f"{what:42}{medians[PLAIN] * 1e6:12.1f}"
    for name in (FIXES, ROUTED):
        if name not in medians:
            line += f"{'-':>10}{'':9}"
            continue
        ratio = medians[name] / medians[PLAIN]
        aim = ""
        if name in aims:
            aim = f" ({aims[name]:.2f})" + ("!" if ratio > aims[name] else "")
        line += f"{ratio:10.3f}{aim:9}"
    print(line.rstrip(), flush=True)


ENDPOINT = {FIXES: 1.03, ROUTED: 1.03}
LARGE = {ROUTED: 0.5}


# Statements: what is measured, its query, its parameters, how many calls a round has, the aims.
Measured = tuple[str, str, Callable[[int], list[Any] | None], int, Mapping[str, float]]


def statements(calls: int) -> list[Measured]:
    return [
        ("endpoint, SELECT 42", STAYS, lambda n: None, calls, ENDPOINT),
        ("routed, SELECT 42", SQL_42, lambda n: None, calls, {FIXES: 1.03}),
        ("routed, point read", POINT, lambda n: [n + 1], calls, {FIXES: 1.03}),
        (f"routed, {ROWS:,} rows", ALL, lambda n: None, 1, {FIXES: 1.03, **LARGE}),
        # Last: the copy is behind from here on.
        ("endpoint, UPDATE of one row", UPDATE, lambda n: [n], calls, ENDPOINT),
    ]


def measure_statements(dsn: str, rounds: int, calls: int) -> None:
    with ExitStack() as stack:
        engine = stack.enter_context(engine_on(dsn))
        connections = {
            name: stack.enter_context(modules(name)[0].connect(dsn, **keywords(name, engine)))
            for name in (PLAIN, FIXES, ROUTED)
        }
        for what, query, params, some, aims in statements(calls):

            def work(connection: Any) -> Call:
                def call(n: int) -> Any:
                    cursor = connection.execute(query, params(n))
                    return cursor.fetchall() if cursor.description else cursor.rowcount

                return call

            works = {name: work(connection) for name, connection in connections.items()}
            report(f"threads: {what}", interleave(works, rounds, some), aims)
        check_routes_of(connections[ROUTED])


async def measure_statements_async(dsn: str, rounds: int, calls: int) -> None:
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(async_engine_on(dsn))
        connections = {}
        for name in (PLAIN, FIXES, ROUTED):
            kind = modules(name)[0].AsyncConnection
            opened = await kind.connect(dsn, **keywords(name, engine))
            connections[name] = await stack.enter_async_context(opened)
        for what, query, params, some, aims in statements(calls):

            def work(connection: Any) -> AsyncCall:
                async def call(n: int) -> Any:
                    cursor = await connection.execute(query, params(n))
                    return await cursor.fetchall() if cursor.description else cursor.rowcount

                return call

            works = {name: work(connection) for name, connection in connections.items()}
            report(f"asyncio: {what}", await interleave_async(works, rounds, some), aims)
        check_routes_of(connections[ROUTED])


def check_routes_of(connection: Any) -> None:
    """It measures nothing unless what is to be routed is."""
    routed = sum(n for why, n in connection.pgmd.stats.items() if why.startswith("replica"))
    assert routed > 0.4 * sum(connection.pgmd.stats.values()), connection.pgmd.stats


# Pools


def measure_pool(dsn: str, rounds: int, calls: int) -> None:
    with ExitStack() as stack:
        engine = stack.enter_context(engine_on(dsn))

        def checkout(pool: Any) -> Call:
            def call(n: int) -> None:
                with pool.connection():
                    pass

            return call

        works = {}
        for name in (PLAIN, FIXES, ROUTED):
            given = {"min_size": 1, "kwargs": keywords(name, engine), "open": False}
            pool = stack.enter_context(modules(name)[1].ConnectionPool(dsn, **given))
            pool.wait()
            works[name] = checkout(pool)
        report("threads: pool checkout", interleave(works, rounds, calls), ENDPOINT)


async def measure_tasks(dsn: str, rounds: int, calls: int) -> None:
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(async_engine_on(dsn))
        pools = {}
        for name in (PLAIN, FIXES, ROUTED):
            given = {
                "min_size": SIZE, "max_size": SIZE, "kwargs": keywords(name, engine), "open": False,
            }  # fmt: skip
            pool = modules(name)[1].AsyncConnectionPool(dsn, **given)
            pools[name] = await stack.enter_async_context(pool)
            await pool.wait()

        def checkout(pool: Any) -> AsyncCall:
            async def call(n: int) -> None:
                async with pool.connection():
                    pass

            return call

        works = {name: checkout(pool) for name, pool in pools.items()}
        medians = await interleave_async(works, rounds, calls)
        report("asyncio: pool checkout", medians, ENDPOINT)
        for what, query in (("endpoint read", STAYS), ("routed point read", POINT)):

            def tasks(pool: Any) -> AsyncCall:
                async def one(n: int) -> Any:
                    async with pool.connection() as connection:
                        params = [n + 1] if query is POINT else None
                        return await (await connection.execute(query, params)).fetchall()

                async def all_of_them(_: int) -> Any:
                    return await asyncio.gather(*map(one, range(TASKS)))

                return all_of_them

            works = {name: tasks(pool) for name, pool in pools.items()}
            medians = await interleave_async(works, rounds, 1)
            aims = ENDPOINT if query is STAYS else {FIXES: 1.03}
            report(f"asyncio: {TASKS} tasks on {SIZE}, {what}", medians, aims)


# The engine


def settings(dsn: str) -> dict[str, Any]:
    return {
        "endpoint": pgmd.Endpoint(dsn),
        "replicas": [pgmd.Replica(postgres=dsn, mode="snapshot", tables=("t",))],
    }


@contextmanager
def engine_on(dsn: str) -> Iterator[pgmd.Engine]:
    with pgmd.Engine(**settings(dsn)) as engine:
        engine.wait()
        yield engine


@asynccontextmanager
async def async_engine_on(dsn: str) -> AsyncIterator[pgmd.AsyncEngine]:
    async with pgmd.AsyncEngine(**settings(dsn)) as engine:
        await engine.wait()
        yield engine


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--calls", type=int, default=50)
    options = parser.parse_args()
    rounds, calls = options.rounds, options.calls
    with embedded_postgres() as server:
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute(TABLE)
            connection.execute("CREATE UNIQUE INDEX ON t (a)")
            connection.execute("CREATE TABLE changed AS SELECT 1 AS a, 1 AS b")
        print(f"{'':42}{PLAIN + ' us':>12}{'pgmd':>10}{' (aim)':9}{'engine':>10}{' (aim)':9}")
        measure_statements(server.dsn, rounds, calls)
        asyncio.run(measure_statements_async(server.dsn, rounds, calls))
        measure_pool(server.dsn, rounds, calls)
        asyncio.run(measure_tasks(server.dsn, rounds, calls))
        print(f"endpoint: {server.description}")


if __name__ == "__main__":
    main()
