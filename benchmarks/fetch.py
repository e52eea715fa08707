"""What fetching costs on a replica: ratios of medians to bare drivers and sqlspec, one run.

    python benchmarks/fetch.py [--rounds 11] [--rows 1000000]

Peers are in this file: a DuckDB cursor that runs a parsed statement, psycopg (C) in its text and
its binary format on a PostgreSQL of this machine, and sqlspec's duckdb adapter. All read tables
with the same rows of ten mixed columns. Rounds are interleaved, A B C A B C ..., and each figure is
the median over rounds, of which the largest results have few. A result is freed after the clock has
stopped; the garbage collector is on, as in programs.

Then a million rows as a stream: the peak of a process's memory above what it had before; and the
longest time for which a fetch keeps another thread from running.
"""

from __future__ import annotations

import argparse
import datetime as dt
import gc
import multiprocessing
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from itertools import starmap
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import psycopg
import pyarrow as pa
import sqlspec
from psycopg.conninfo import make_conninfo
from psycopg.rows import BaseRowFactory, class_row, dict_row, tuple_row
from sqlspec.adapters.duckdb import DuckDBConfig

import pgmd
from pgmd.testing.servers import embedded_postgres

MIXED = (
    "CREATE TABLE rows_{0} AS SELECT i::int AS a, i::bigint AS b, i * 0.5::double precision AS c, "
    "(i * 0.25)::numeric(12, 2) AS d, 'text ' || i AS e, DATE '2024-01-01' + (i % 300)::int AS f, "
    "TIMESTAMP '2024-01-01 00:00:00' + INTERVAL '1 second' * i AS g, "
    "TIMESTAMPTZ '2024-01-01 00:00:00+00' + INTERVAL '1 second' * i AS h, i % 2 = 0 AS k, "
    "md5(i::text)::uuid AS l FROM {1} AS t(i)"
)
MEDIUM = 10_000
# Calls in a round, by rows.
CALLS = {1: 50, 100: 20, MEDIUM: 1}
# A round of a million rows takes the time of all others.
LARGE_ROUNDS = {"tuples": 3, "dicts": 1, "dataclasses": 1, "Arrow": 5}
PEERS = ("DuckDB", "psycopg text", "psycopg binary", "sqlspec")
MEMORY_AIM = 64
STALL_AIM = 20

Fetch = Callable[[], Any]
# What fetches the result of a query, by the form of the result.
Fetches = Mapping[str, Fetch]


@dataclass(slots=True)
class Mixed:
    a: int
    b: int
    c: float
    d: Decimal
    e: str
    f: dt.date
    g: dt.datetime
    h: dt.datetime
    k: bool
    l: UUID  # noqa: E741 - the last column of ten


def query(rows: int) -> str:
    return f"SELECT * FROM rows_{rows}"


# The peers


@contextmanager
def open_bare(file: Path, zone: str) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as root:
        root.execute(f"SET GLOBAL TimeZone = '{zone}'")
        root.execute(f"ATTACH '{file}' AS bench (READ_ONLY)")
        cursor = root.cursor()
        cursor.execute("USE bench")
        yield cursor


def with_duckdb(cursor: duckdb.DuckDBPyConnection, text: str) -> Fetches:
    # Saves parsing it each time.
    (parsed,) = cursor.extract_statements(text)
    names = [column[0] for column in cursor.execute(parsed).description or ()]

    def tuples() -> list[Any]:
        return cursor.execute(parsed).fetchall()

    def arrow() -> pa.Table:
        done = cursor.execute(parsed)
        # DuckDB 1.4 has no other name for it.
        known = hasattr(done, "to_arrow_table")
        return done.to_arrow_table() if known else done.fetch_arrow_table()

    return {
        "tuples": tuples,
        "dicts": lambda: [dict(zip(names, row, strict=True)) for row in tuples()],
        "dataclasses": lambda: list(starmap(Mixed, tuples())),
        "Arrow": arrow,
    }


def with_pgmd(session: pgmd.Session, text: str) -> Fetches:
    def rows(factory: BaseRowFactory[Any] | None = None) -> Fetch:
        options: Any = {"row_factory": factory, "route": "replica"}
        return lambda: session.execute(text, **options).fetchall()

    return {
        "tuples": rows(),
        "dicts": rows(dict_row),
        "dataclasses": rows(class_row(Mixed)),
        "Arrow": lambda: session.execute(text, route="replica").arrow(),
    }


def with_psycopg(connection: psycopg.Connection[Any], text: str, *, binary: bool) -> Fetches:
    def rows(factory: BaseRowFactory[Any]) -> Fetch:
        def fetch() -> list[Any]:
            with connection.cursor(row_factory=factory, binary=binary) as cursor:
                return cursor.execute(text).fetchall()

        return fetch

    return {
        "tuples": rows(tuple_row),
        "dicts": rows(dict_row),
        "dataclasses": rows(class_row(Mixed)),
    }


@contextmanager
def open_sqlspec(file: Path, zone: str) -> Iterator[Any]:
    config = DuckDBConfig(connection_config={"database": str(file), "read_only": True})
    try:
        with config.provide_session() as driver:
            driver.connection.execute(f"SET TimeZone = '{zone}'")
            yield driver
    finally:
        config.close_pool()


def with_sqlspec(driver: Any, text: str) -> Fetches:
    return {
        "dicts": lambda: driver.select(text),
        "dataclasses": lambda: driver.select(text, schema_type=Mixed),
        "Arrow": lambda: driver.select_to_arrow(text).get_data(),
    }


class Bench:
    """All peers, in one time zone."""

    def __init__(self, stack: ExitStack, engine: pgmd.Engine, file: Path, dsn: str, zone: str):
        stack.enter_context(engine)
        self.session = stack.enter_context(engine.session())
        self._bare = stack.enter_context(open_bare(file, zone))
        self._psycopg = stack.enter_context(psycopg.connect(dsn, autocommit=True))
        self._sqlspec = stack.enter_context(open_sqlspec(file, zone))

    def fetches(self, text: str) -> dict[str, Fetches]:
        return {
            "pgmd": with_pgmd(self.session, text),
            "DuckDB": with_duckdb(self._bare, text),
            "psycopg text": with_psycopg(self._psycopg, text, binary=False),
            "psycopg binary": with_psycopg(self._psycopg, text, binary=True),
            "sqlspec": with_sqlspec(self._sqlspec, text),
        }

    def check(self, text: str) -> None:
        """They fetch the same."""
        found = self.fetches(text)
        for form in ("tuples", "dicts", "dataclasses"):
            ours, theirs = (found[name][form]() for name in ("pgmd", "psycopg text"))
            assert ours == theirs, form
            assert [repr(row) for row in ours] == [repr(row) for row in theirs], form
        tables = [found[name]["Arrow"]() for name in ("pgmd", "DuckDB", "sqlspec")]
        assert tables[0] == tables[1] == tables[2]


# Times


def seconds(fetch: Fetch, calls: int) -> float:
    """The time of a call. What it returns is freed later."""
    kept = []
    began = time.perf_counter()
    for _ in range(calls):
        kept.append(fetch())
    return (time.perf_counter() - began) / calls


def interleave(
    works: Mapping[str, Fetch], rounds: int, calls: int, *, collects: bool = False
) -> dict[str, float]:
    """The median time of a call of each; *collects* garbage before."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, fetch in works.items():
            if collects:
                gc.collect()
            times[name].append(seconds(fetch, calls))
    return {name: statistics.median(found) for name, found in times.items()}


def aims(form: str, rows: int) -> dict[str, float]:
    """How many times as fast as each peer pgmd shall be."""
    if form == "Arrow":
        return {"DuckDB": 1 / 1.03}
    if rows == 1:
        return {"DuckDB": 1 / 1.05}
    if rows < MEDIUM:
        return {}
    return {"DuckDB": 2.0, "psycopg text": 1.3, "psycopg binary": 1.3}


def compare(bench: Bench, rows: int, rounds: int, note: str = "") -> None:
    found = bench.fetches(query(rows))
    is_large = rows > MEDIUM
    for form, large_rounds in LARGE_ROUNDS.items():
        works = {name: fetches[form] for name, fetches in found.items() if form in fetches}
        some = min(rounds, large_rounds) if is_large else rounds
        if not is_large:
            interleave(works, 1, 3)
        medians = interleave(works, some, CALLS.get(rows, 1), collects=is_large)
        report(f"{rows:,} as {form}{note}", some, medians, aims(form, rows))


def report(
    what: str, rounds: int, medians: Mapping[str, float], wanted: Mapping[str, float]
) -> None:
    line = f"{what:31}{rounds:6}{medians['pgmd'] * 1e3:10.3f}"
    for name in PEERS:
        if name not in medians:
            line += f"{'-':>8}{'':8}"
            continue
        ratio = medians[name] / medians["pgmd"]
        aim = ""
        if name in wanted:
            aim = f" ({wanted[name]:.2f})" + ("!" if ratio < wanted[name] else "")
        line += f"{ratio:8.2f}{aim:8}"
    print(line.rstrip(), flush=True)


# Memory


def memory(key: str) -> int:
    """A figure of this process in KiB; VmRSS is now, VmHWM the peak."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(key))


def peak_above(warm_up: Fetch, work: Fetch) -> float:
    """How much more memory *work* takes at its peak than there was before it, in MiB."""
    warm_up()
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now
    before = memory("VmRSS")
    work()
    return (memory("VmHWM") - before) / 1024


def exhaust(rows: Iterator[Any]) -> None:
    for _ in rows:
        pass


def read_stream(session: pgmd.Session, rows: int) -> None:
    with session.stream(query(rows), route="replica") as found:
        exhaust(iter(found))


def stream_pgmd(file: Path, dsn: str, rows: int) -> float:
    with file_engine(file) as engine, engine.session() as session:
        return peak_above(lambda: read_stream(session, MEDIUM), lambda: read_stream(session, rows))


def stream_psycopg(file: Path, dsn: str, rows: int) -> float:
    def stream(text: str) -> None:
        with connection.cursor() as cursor:
            exhaust(cursor.stream(text, size=1000))

    with psycopg.connect(dsn, autocommit=True) as connection:
        return peak_above(lambda: stream(query(MEDIUM)), lambda: stream(query(rows)))


def stream_duckdb(file: Path, dsn: str, rows: int) -> float:
    def stream(text: str) -> None:
        cursor.execute(text)
        while part := cursor.fetchmany(MEDIUM):
            exhaust(iter(part))

    with open_bare(file, "UTC") as cursor:
        return peak_above(lambda: stream(query(MEDIUM)), lambda: stream(query(rows)))


STREAMS = {
    "pgmd, session.stream()": stream_pgmd,
    "DuckDB, fetchmany() in a loop": stream_duckdb,
    "psycopg, cursor.stream(size=1000)": stream_psycopg,
}


def compare_memory(file: Path, dsn: str, rows: int) -> None:
    head(f"peak memory of a stream of {rows:,} rows", "MiB above idle")
    context = multiprocessing.get_context("spawn")
    for name, stream in STREAMS.items():
        with ProcessPoolExecutor(1, mp_context=context) as process:
            peak = process.submit(stream, file, dsn, rows).result()
        against(MEMORY_AIM, name, peak)


# Stalls


def longest_gap(work: Fetch) -> float:
    """The longest time between two ticks of another thread while *work* runs, in milliseconds."""
    ended = threading.Event()
    longest = 0.0

    def tick() -> None:
        nonlocal longest
        last = time.perf_counter()
        while not ended.is_set():
            time.sleep(0.0005)
            now = time.perf_counter()
            longest, last = max(longest, now - last), now

    ticker = threading.Thread(target=tick)
    ticker.start()
    kept = work()
    ended.set()
    ticker.join()
    # Freeing a million rows is a stall of its own.
    del kept
    gc.collect()
    return longest * 1e3


def compare_stalls(bench: Bench, rows: int) -> None:
    head(f"longest stall of another thread, {rows:,} rows", "ms above idle")
    found = bench.fetches(query(rows))
    works: dict[str, Fetch] = {
        "pgmd, fetchall()": found["pgmd"]["tuples"],
        "pgmd, arrow()": found["pgmd"]["Arrow"],
        "pgmd, session.stream()": partial(read_stream, bench.session, rows),
        "DuckDB, fetchall()": found["DuckDB"]["tuples"],
        "DuckDB, to_arrow_table()": found["DuckDB"]["Arrow"],
        "psycopg, fetchall()": found["psycopg text"]["tuples"],
    }
    for name in ("pgmd, fetchall()", "DuckDB, fetchall()"):
        works[f"{name} without garbage collection"] = partial(uncollected, works[name])
    gc.collect()
    # What the peers have imported is no part of a fetch: a full collection of it takes 50 ms.
    gc.freeze()
    idle = longest_gap(partial(time.sleep, 1))
    for name, work in works.items():
        against(STALL_AIM, name, longest_gap(work) - idle)
    gc.unfreeze()


def uncollected(work: Fetch) -> Any:
    gc.disable()
    try:
        return work()
    finally:
        gc.enable()


def head(what: str, unit: str) -> None:
    print(f"\n{what:52}{unit:>14}  (aim: below)")


def against(aim: float, name: str, figure: float) -> None:
    """Print a figure, and the aim if it is one of pgmd's."""
    note = f"({aim})" + ("!" if figure >= aim else "") if name.startswith("pgmd") else ""
    print(f"{name:52}{figure:14.1f}  {note}".rstrip(), flush=True)


# All of it


def file_engine(file: Path) -> pgmd.Engine:
    return pgmd.Engine(replicas=[pgmd.Replica(file=file)])


def copy_engine(dsn: str, table: str) -> pgmd.Engine:
    replica = pgmd.Replica(postgres=dsn, mode="snapshot", tables=(table,))
    return pgmd.Engine(pgmd.Endpoint(dsn), [replica])


def fill(file: Path, dsn: str, sizes: list[int]) -> None:
    with (
        duckdb.connect(str(file)) as plain,
        psycopg.connect(dsn, autocommit=True) as postgres,
    ):
        plain.execute("SET TimeZone = 'UTC'")
        for rows in sizes:
            plain.execute(MIXED.format(rows, f"range({rows})"))
            postgres.execute(MIXED.format(rows, f"generate_series(0, {rows - 1})"))
            postgres.execute(f"VACUUM ANALYZE rows_{rows}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the largest result")
    given = parser.parse_args()
    sizes = [*CALLS, given.rows]
    began = time.perf_counter()
    with ExitStack() as stack:
        file = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "bench.duckdb"
        server = stack.enter_context(embedded_postgres())
        utc, berlin = (
            make_conninfo(server.dsn, options=f"-c TimeZone={zone}")
            for zone in ("UTC", "Europe/Berlin")
        )
        fill(file, utc, sizes)
        bench = Bench(stack, file_engine(file), file, utc, "UTC")
        away = Bench(stack, copy_engine(berlin, f"rows_{MEDIUM}"), file, berlin, "Europe/Berlin")
        print(
            f"duckdb {duckdb.__version__}, psycopg {psycopg.__version__} "
            f"({psycopg.pq.__impl__}), sqlspec {sqlspec.__version__}, {server.description}"
        )
        for each in (bench, away):
            each.check(query(MEDIUM))
        print("how many times as fast as a peer pgmd is (aim, ! where it is missed)\n")
        print(
            f"{'rows of 10 columns':31}{'rounds':>6}{'pgmd ms':>10}"
            + "".join(f"{name:>16}" for name in PEERS)
        )
        for rows in sizes:
            compare(bench, rows, given.rounds)
            if rows == MEDIUM:
                compare(away, rows, given.rounds, ", Berlin")
        compare_stalls(bench, given.rows)
        compare_memory(file, utc, given.rows)
    print(f"\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
