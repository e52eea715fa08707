"""Who runs one statement with many parameter sets, in fanout.py's comparison.

A peer is called with the work, the concurrency and what takes each answer by its number. Pools and
cursors stay open from one call to the next; threads and tasks are the call's own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest import mock

import duckdb
from duckdb_sqlalchemy import create_engine_from_paths
from sqlalchemy import text
from sqlalchemy.pool import QueuePool

import pgmd

Params = tuple[Any, ...]
Use = Callable[[int, Any], None]
Peer = Callable[["Work", int, Use], None]

OURS = ("pgmd sync", "pgmd async")
PEERS = ("recipe", "sqlalchemy", "bare", "bare aio")

# Seconds that a read of a distant database waits.
LATENCY = 0.02


@dataclass(frozen=True)
class Work:
    """One statement with `?` for its parameters, the sets of these, and the form of the answers."""

    text: str
    sets: Sequence[Params] = ()
    as_arrow: bool = False

    @cached_property
    def for_pgmd(self) -> str:
        return self.text.replace("?", "%s")

    @cached_property
    def for_sqlalchemy(self) -> Any:
        first, *rest = self.text.split("?")
        return text(first + "".join(f":p{n}{part}" for n, part in enumerate(rest)))


def answer(found: Any, work: Work) -> Any:
    """What a DuckDB connection has executed, fetched."""
    return found.to_arrow_table() if work.as_arrow else found.fetchall()


# pgmd


def pgmd_sync(engine: pgmd.Engine) -> Peer:
    def run(work: Work, concurrency: int, use: Use) -> None:
        with engine.session() as session:
            results = session.map(work.for_pgmd, work.sets, concurrency=concurrency)
            for number, result in enumerate(results):
                use(number, result.arrow() if work.as_arrow else result.fetchall())

    return run


def pgmd_async(engine: pgmd.AsyncEngine, runner: asyncio.Runner) -> Peer:
    async def run(work: Work, concurrency: int, use: Use) -> None:
        async with engine.session() as session:
            number = 0
            async for result in session.map(work.for_pgmd, work.sets, concurrency=concurrency):
                use(number, result.arrow() if work.as_arrow else result.fetchall())
                number += 1

    return lambda work, concurrency, use: runner.run(run(work, concurrency, use))


# What MotherDuck's guide to many connections builds: connections to one or more databases in a
# QueuePool, each job in a thread of an executor, a connection checked out for each job.


def recipe(stack: ExitStack, file: Path, threads: int) -> Peer:
    pools: dict[int, QueuePool] = {}

    def connect() -> Any:
        return duckdb.connect(str(file), read_only=True, config={"threads": threads})

    def run(work: Work, concurrency: int, use: Use) -> None:
        pool = pools.get(concurrency)
        if pool is None:
            # DuckDB refuses a ROLLBACK outside a transaction.
            pool = pools[concurrency] = QueuePool(
                connect, pool_size=concurrency, max_overflow=0, timeout=60, reset_on_return=None
            )
            stack.callback(pool.dispose)

        def job(params: Params) -> Any:
            connection: Any = pool.connect()
            try:
                return answer(connection.execute(work.text, params), work)
            finally:
                connection.close()

        in_threads(job, work, concurrency, use)

    return run


def in_threads(job: Callable[[Params], Any], work: Work, concurrency: int, use: Use) -> None:
    with ThreadPoolExecutor(concurrency) as threads:
        for number, found in enumerate(threads.map(job, work.sets)):
            use(number, found)


# duckdb-sqlalchemy


def sqlalchemy(stack: ExitStack, file: Path, threads: int) -> Peer:
    engines: dict[int, Any] = {}

    def run(work: Work, concurrency: int, use: Use) -> None:
        engine = engines.get(concurrency)
        if engine is None:
            engine = engines[concurrency] = create_engine_from_paths(
                [f"duckdb:///{file}"],
                connect_args={"read_only": True, "config": {"threads": threads}},
                pool_size=concurrency,
                max_overflow=0,
            )
            stack.callback(engine.dispose)

        def job(params: Params) -> Any:
            named = {f"p{n}": value for n, value in enumerate(params)}
            with engine.connect() as connection:
                if work.as_arrow:
                    connection.execution_options(duckdb_arrow=True)
                found: Any = connection.execute(work.for_sqlalchemy, named)
                return found.arrow if work.as_arrow else found.fetchall()

        in_threads(job, work, concurrency, use)

    return run


# Bare cursors: each thread or task has one, and takes the next parameters until there are none.


class Bare:
    def __init__(self, stack: ExitStack, file: Path, threads: int) -> None:
        self._root = duckdb.connect(str(file), read_only=True, config={"threads": threads})
        stack.callback(self._root.close)
        self._cursors: list[Any] = []

    def cursors(self, number: int) -> list[Any]:
        while len(self._cursors) < number:
            self._cursors.append(self._root.cursor())
        return self._cursors[:number]

    def in_threads(self, work: Work, concurrency: int, use: Use) -> None:
        jobs = enumerate(work.sets)
        # Saves parsing it each time.
        (parsed,) = self._root.extract_statements(work.text)

        def loop(cursor: Any) -> None:
            for number, params in jobs:
                use(number, answer(cursor.execute(parsed, params), work))

        with ThreadPoolExecutor(concurrency) as threads:
            list(threads.map(loop, self.cursors(concurrency)))

    async def under_asyncio(self, work: Work, concurrency: int, use: Use) -> None:
        jobs = enumerate(work.sets)
        (parsed,) = self._root.extract_statements(work.text)
        loop = asyncio.get_running_loop()

        def one(cursor: Any, params: Params) -> Any:
            return answer(cursor.execute(parsed, params), work)

        async def task(cursor: Any) -> None:
            for number, params in jobs:
                use(number, await loop.run_in_executor(threads, one, cursor, params))

        with ThreadPoolExecutor(concurrency) as threads:
            await asyncio.gather(*map(task, self.cursors(concurrency)))


# Latency


class Distant:
    """A DuckDB connection whose reads wait before they begin."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def cursor(self) -> Distant:
        return Distant(self._connection.cursor())

    def execute(self, query: Any, parameters: Any = None) -> Any:
        # Only reads have any here; setting a connection up, BEGIN and ROLLBACK have none.
        if parameters:
            time.sleep(LATENCY)
        return self._connection.execute(query, parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@contextmanager
def distant() -> Iterator[None]:
    """Every DuckDB connection made meanwhile is a distant one."""
    connect = duckdb.connect

    def far(*given: Any, **settings: Any) -> Any:
        return Distant(connect(*given, **settings))

    with mock.patch.object(duckdb, "connect", far):
        yield


# All of them


def open_peers(stack: ExitStack, file: Path, threads: int, size: int) -> dict[str, Peer]:
    """The peers by name, each on a path of its own: DuckDB shares an instance by path."""
    paths = {name: link(file, name) for name in (*OURS, *PEERS)}
    replicas = {
        name: [pgmd.Replica(file=paths[name], max_size=size, threads=threads)] for name in OURS
    }
    engine = stack.enter_context(pgmd.Engine(replicas=replicas["pgmd sync"]))
    runner = stack.enter_context(asyncio.Runner())
    async_engine = pgmd.AsyncEngine(replicas=replicas["pgmd async"])
    runner.run(async_engine.open())
    stack.callback(lambda: runner.run(async_engine.close()))
    bare, bare_aio = (Bare(stack, paths[name], threads) for name in ("bare", "bare aio"))
    return {
        "pgmd sync": pgmd_sync(engine),
        "pgmd async": pgmd_async(async_engine, runner),
        "recipe": recipe(stack, paths["recipe"], threads),
        "sqlalchemy": sqlalchemy(stack, paths["sqlalchemy"], threads),
        "bare": bare.in_threads,
        "bare aio": lambda *given: runner.run(bare_aio.under_asyncio(*given)),
    }


def link(file: Path, name: str) -> Path:
    path = file.with_name(f"{name.replace(' ', '-')}.duckdb")
    if not path.exists():
        path.hardlink_to(file)
    return path
