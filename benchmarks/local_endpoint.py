"""What the local endpoint costs: ratios of medians to plain DuckDB and to PostgreSQL, one run.

    python benchmarks/local_endpoint.py [--rounds 15] [--calls 200]

The endpoint runs as `pgmd serve` does, in a process of its own, as PostgreSQL does; psycopg is the
client of both. Plain DuckDB is a cursor in this process, which fetches all rows. Rounds are
interleaved, A B C A B C ..., and each figure is the median over rounds. For the result of a million
rows the server's own memory is shown, too.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import duckdb
import psycopg

from pgmd.testing.servers import find_postgres

ACCOUNTS = (
    "CREATE TABLE accounts AS SELECT i::int AS aid, (i % 10)::int AS bid, 0::int AS abalance, "
    "'{}'::text AS filler FROM {} AS t(i)"
)
MIXED = (
    "CREATE TABLE mixed AS SELECT i::int AS a, i::bigint AS b, i * 0.5::double precision AS c, "
    "(i * 0.25)::numeric(12, 2) AS d, 'text ' || i AS e, DATE '2024-01-01' + (i % 300)::int AS f, "
    "TIMESTAMP '2024-01-01 00:00:00' + INTERVAL '1 second' * i AS g, "
    "TIMESTAMPTZ '2024-01-01 00:00:00+00' + INTERVAL '1 second' * i AS h, i % 2 = 0 AS k, "
    "md5(i::text)::uuid AS l FROM {} AS t(i)"
)
INDEX = "CREATE INDEX accounts_aid ON accounts (aid)"
ROWS = 1_000_000
POINT = "SELECT abalance FROM accounts WHERE aid = %s"
RESULTS = {
    "10,000 rows of 4 columns": "SELECT aid, bid, abalance, filler FROM accounts LIMIT 10000",
    "10,000 rows of 10 columns": "SELECT * FROM mixed LIMIT 10000",
    "1,000,000 rows of 4 columns": "SELECT aid, bid, abalance, filler FROM accounts",
}


def fill(execute: Callable[[str], Any], series: str) -> None:
    execute(ACCOUNTS.format(" " * 84, series))
    execute(MIXED.format(series))
    execute(INDEX)


@contextmanager
def serve(file: Path) -> Iterator[tuple[int, str]]:
    """`pgmd serve` in a process of its own: its id and where it listens."""
    command = [sys.executable, "-m", "pgmd", "serve", str(file), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.pid, process.stdout.readline().rpartition(": ")[2].strip()
        finally:
            process.terminate()


def seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def interleave(works: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """The median time of each."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(seconds(work))
    return {name: statistics.median(found) for name, found in times.items()}


def report(what: str, unit: float, medians: dict[str, float]) -> None:
    ours = medians["local"]
    figures = "".join(f"{medians[name] * unit:12.2f}" for name in ("local", "duckdb", "postgres"))
    ratios = f"{ours / medians['duckdb']:10.2f}{ours / medians['postgres']:12.2f}"
    print(f"{what:34}{figures}{ratios}")


def peak(pid: int) -> int:
    """The largest resident memory of a process so far, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) // 1024 for line in status.splitlines() if "VmHWM" in line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=200)
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        file, twin = folder / "served.duckdb", folder / "plain.duckdb"
        for path in (file, twin):
            with duckdb.connect(str(path)) as connection:
                fill(connection.execute, f"range({ROWS})")
        pid, dsn = stack.enter_context(serve(file))
        local = stack.enter_context(psycopg.connect(dsn, autocommit=True, prepare_threshold=None))
        server = stack.enter_context(find_postgres())
        postgres = stack.enter_context(
            psycopg.connect(server.dsn, autocommit=True, prepare_threshold=None)
        )
        plain = stack.enter_context(duckdb.connect(str(twin)))
        postgres.execute("CREATE SCHEMA pgmd_bench")
        stack.callback(postgres.execute, "DROP SCHEMA pgmd_bench CASCADE")
        postgres.execute("SET search_path = pgmd_bench")
        fill(postgres.execute, f"generate_series(0, {ROWS - 1})")
        postgres.execute("VACUUM ANALYZE accounts")
        compare(local, plain, postgres, pid, given)


def compare(
    local: psycopg.Connection[Any],
    plain: duckdb.DuckDBPyConnection,
    postgres: psycopg.Connection[Any],
    pid: int,
    given: argparse.Namespace,
) -> None:
    print(
        f"{'milliseconds':34}{'local':>12}{'duckdb':>12}{'postgres':>12}{'/duckdb':>10}{'/postgres':>12}"
    )

    def points(ask: Callable[[int], Any]) -> Callable[[], None]:
        def work() -> None:
            for n in range(given.calls):
                assert ask(n * 37).fetchall() == [(0,)]

        return work

    asked = POINT.replace("%s", "$1")
    works: dict[str, Callable[..., Any]] = {
        "local": points(lambda n: local.execute(POINT, [n])),
        "duckdb": points(lambda n: plain.execute(asked, [n])),
        "postgres": points(lambda n: postgres.execute(POINT, [n])),
    }
    report("a point read with a parameter", 1e3 / given.calls, interleave(works, given.rounds))
    for what, query in RESULTS.items():
        is_large = what.startswith("1,000,000")
        works = {
            "local": lambda query=query: local.execute(query).fetchall(),
            "duckdb": lambda query=query: plain.execute(query).fetchall(),
            "postgres": lambda query=query: postgres.execute(query).fetchall(),
        }
        before = peak(pid)
        report(what, 1e3, interleave(works, 3 if is_large else given.rounds))
        if is_large:
            size = (
                sum(len(row[3]) + 12 for row in plain.execute(query).fetchmany(1000)) * ROWS / 1000
            )
            print(
                f"the server's memory at most: {before} MiB before, {peak(pid)} MiB after; "
                f"the values of the result are {size / 2**20:.0f} MiB"
            )


if __name__ == "__main__":
    main()
