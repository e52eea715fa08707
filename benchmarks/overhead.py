"""What a Session costs: ratios of medians to the bare drivers, both colours, one run.

    python benchmarks/overhead.py [--rounds 40] [--calls 50]

Peers are in this file: a bare DuckDB cursor, and a bare psycopg_pool with the settings that pgmd's
pool has (autocommit, a check on checkout). Under asyncio a bare DuckDB cursor runs in a thread, as
it has to. Rounds are interleaved, A B A B ..., and each figure is the median over rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
from psycopg_pool import AsyncConnectionPool, ConnectionPool

import pgmd
from pgmd.testing.servers import find_postgres

SQL_42 = "SELECT 42 AS a"
POINT = "SELECT a, b FROM t WHERE a = {}"
AGGREGATE = "SELECT b, count(*) AS n FROM t GROUP BY b ORDER BY b"
ROWS = 100_000


def make_file(path: Path) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            f"CREATE TABLE t AS SELECT range AS a, range % 10 AS b FROM range({ROWS})"
        )


def per_call(work: Callable[[int], Any], calls: int) -> float:
    began = time.perf_counter()
    for n in range(calls):
        work(n)
    return (time.perf_counter() - began) / calls * 1e6


async def per_call_async(work: Callable[[int], Awaitable[Any]], calls: int) -> float:
    began = time.perf_counter()
    for n in range(calls):
        await work(n)
    return (time.perf_counter() - began) / calls * 1e6


def report(name: str, ours: list[float], peer: list[float], aim: float) -> None:
    ratio = statistics.median(ours) / statistics.median(peer)
    print(
        f"{name:44} {statistics.median(ours):9.1f} {statistics.median(peer):9.1f} "
        f"{ratio:6.2f}   {aim:.2f}"
    )


def bare_cursor(path: Path) -> duckdb.DuckDBPyConnection:
    root = duckdb.connect(":memory:")
    root.execute(f"ATTACH '{path}' AS flights (READ_ONLY)")
    cursor = root.cursor()
    cursor.execute("USE flights")
    return cursor


READS: dict[str, tuple[str, Callable[[int], list[Any] | None]]] = {
    "SELECT 42": (SQL_42, lambda _: None),
    "point read, one parameter": (POINT, lambda n: [n]),
    f"aggregate over {ROWS:,} rows": (AGGREGATE, lambda _: None),
}


def replica_threads(path: Path, rounds: int, calls: int) -> None:
    cursor = bare_cursor(path)
    with pgmd.Engine(replicas=[pgmd.Replica(file=path)]) as engine, engine.session() as s:
        for name, (sql, params) in READS.items():
            ours, theirs = sql.format("%s"), sql.format("$1")
            mine: list[float] = []
            peer: list[float] = []
            for _ in range(rounds):
                mine.append(per_call(lambda n: s.execute(ours, params(n)).fetchall(), calls))
                peer.append(per_call(lambda n: cursor.execute(theirs, params(n)).fetchall(), calls))
            report(f"threads: replica, {name}", mine, peer, 1.10)


async def replica_aio(path: Path, rounds: int, calls: int) -> None:
    cursor = bare_cursor(path)
    loop, threads = asyncio.get_running_loop(), ThreadPoolExecutor(4)
    engine = pgmd.AsyncEngine(replicas=[pgmd.Replica(file=path)])
    async with engine, engine.session() as s:
        for name, (sql, params) in READS.items():
            ours, theirs = sql.format("%s"), sql.format("$1")

            async def through_pgmd(n: int) -> Any:
                return (await s.execute(ours, params(n))).fetchall()

            async def bare(n: int) -> Any:
                return await loop.run_in_executor(
                    threads, lambda: cursor.execute(theirs, params(n)).fetchall()
                )

            mine: list[float] = []
            peer: list[float] = []
            for _ in range(rounds):
                mine.append(await per_call_async(through_pgmd, calls))
                peer.append(await per_call_async(bare, calls))
            report(f"asyncio: replica, {name}", mine, peer, 1.10)


STATEMENTS: dict[str, tuple[str, Callable[[int], list[Any] | None]]] = {
    "SELECT 42": (SQL_42, lambda _: None),
    "point read, one parameter": (POINT.format("%s"), lambda n: [n]),
    "UPDATE of one row": ("UPDATE t SET b = 0 WHERE a = %s", lambda n: [n]),
}


def endpoint_threads(dsn: str, rounds: int, calls: int) -> None:
    pool = ConnectionPool(
        dsn, min_size=1, max_size=4, kwargs={"autocommit": True}, open=False,
        check=lambda connection: None,
    )  # fmt: skip
    with pool, pgmd.connect(dsn, max_size=4) as engine, engine.session() as s:
        for name, (sql, params) in STATEMENTS.items():

            def through_pgmd(n: int) -> Any:
                result = s.endpoint.execute(sql, params(n))
                return result.fetchall() if sql.startswith("SELECT") else result.rowcount

            def bare(n: int) -> Any:
                with pool.connection() as connection:
                    cursor = connection.execute(sql, params(n))
                    return cursor.fetchall() if sql.startswith("SELECT") else cursor.rowcount

            mine: list[float] = []
            peer: list[float] = []
            for _ in range(rounds):
                mine.append(per_call(through_pgmd, calls))
                peer.append(per_call(bare, calls))
            report(f"threads: endpoint, {name}", mine, peer, 1.05)


async def endpoint_aio(dsn: str, rounds: int, calls: int) -> None:
    async def check(connection: Any) -> None:
        pass

    pool = AsyncConnectionPool(
        dsn, min_size=1, max_size=4, kwargs={"autocommit": True}, open=False, check=check
    )
    async with pool, await pgmd.connect_async(dsn, max_size=4) as engine, engine.session() as s:
        for name, (sql, params) in STATEMENTS.items():

            async def through_pgmd(n: int) -> Any:
                result = await s.endpoint.execute(sql, params(n))
                return result.fetchall() if sql.startswith("SELECT") else result.rowcount

            async def bare(n: int) -> Any:
                async with pool.connection() as connection:
                    cursor = await connection.execute(sql, params(n))
                    return await cursor.fetchall() if sql.startswith("SELECT") else cursor.rowcount

            mine: list[float] = []
            peer: list[float] = []
            for _ in range(rounds):
                mine.append(await per_call_async(through_pgmd, calls))
                peer.append(await per_call_async(bare, calls))
            report(f"asyncio: endpoint, {name}", mine, peer, 1.05)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--calls", type=int, default=50)
    options = parser.parse_args()
    print(f"{'median us per call':44} {'pgmd':>9} {'peer':>9} {'ratio':>6}   aim")
    with tempfile.TemporaryDirectory() as folder, find_postgres() as server:
        path = Path(folder) / "flights.duckdb"
        make_file(path)
        with pgmd.connect(server.dsn) as engine, engine.session() as s:
            s.execute("DROP TABLE IF EXISTS t")
            s.execute(
                f"CREATE TABLE t AS SELECT n AS a, n % 10 AS b FROM generate_series(0, {ROWS}) n"
            )
            s.execute("CREATE INDEX ON t (a)")
        replica_threads(path, options.rounds, options.calls)
        asyncio.run(replica_aio(path, options.rounds, options.calls))
        endpoint_threads(server.dsn, options.rounds, options.calls)
        asyncio.run(endpoint_aio(server.dsn, options.rounds, options.calls))
        with pgmd.connect(server.dsn) as engine, engine.session() as s:
            s.execute("DROP TABLE t")
        print(f"endpoint: {server.description}")


if __name__ == "__main__":
    main()
