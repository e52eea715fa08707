"""What a fan-out costs: `session.map()` beside what people build by hand, one run.

    python benchmarks/fanout.py [--rounds 5] [--quick] [--plot] [--sets 1000000] [--threads 2]

Peers are in fanout_peers.py: the pool and the threads of MotherDuck's guide, duckdb-sqlalchemy's
engine in threads, and bare DuckDB cursors in threads or under asyncio, which are the limit. All
read one file of TPC-H's tables, with the same DuckDB settings. Rounds are interleaved,
A B C A B C ..., and each figure is the median over rounds. Pools are filled before.

Under latency every read waits 20 ms in the thread that runs it, before DuckDB begins, as it would
for a server far away: what `duckdb.connect()` returns is wrapped, for all peers alike. pgmd sends
several small reads as one query, which then waits once; it finds out during each run how many.

Then the peak of a process's memory while `map()` reads many parameter sets, and with --plot the
throughput by concurrency, in fanout.svg beside this file.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import gc
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import duckdb_extension_tpch
from fanout_peers import LATENCY, OURS, PEERS, Peer, Work, distant, open_peers

import pgmd

SCALE = 0.1
ROWS = 100_000
ORDERS = 150_000
CONCURRENCY = 8
DISTANT_CONCURRENCY = 64
STEPS = (1, 2, 4, 8, 16, 32, 64)
PLOTTED_READS = 2_000
FEW_SETS = 10_000

POINT = Work(
    "SELECT o_orderkey, o_custkey, o_totalprice, o_orderdate, o_orderpriority "
    "FROM orders WHERE o_orderkey = ?"
)
AGGREGATE = Work(
    "SELECT l_returnflag, l_linestatus, sum(l_quantity), sum(l_extendedprice * (1 - l_discount)), "
    "avg(l_discount), count(*) FROM lineitem WHERE l_shipdate BETWEEN ? AND ? "
    "GROUP BY ALL ORDER BY ALL"
)
LARGE = Work(
    "SELECT n, l_orderkey, l_partkey, l_quantity, l_extendedprice, l_shipdate "
    "FROM lines WHERE n BETWEEN ? AND ?",
    as_arrow=True,
)

NUMBER = "SELECT %s::int"

# Ratios of a peer's time to pgmd's, by load.
LIMIT_AIMS = {"bare": 0.95, "bare aio": 0.95}
POINT_AIMS = {"recipe": 1.3, "sqlalchemy": 1.5, **LIMIT_AIMS}
IDEAL_AIM = 0.95
MEMORY_AIM = 1.5
# Less than this, in MiB, is chance.
LEAST_MEMORY = 1.0


@dataclass(frozen=True, slots=True)
class Load:
    """So many executions of a statement, and what is aimed at."""

    name: str
    work: Work
    concurrency: int
    aims: Mapping[str, float]
    is_distant: bool = False

    @property
    def ideal(self) -> float:
        """The wall time in seconds if nothing but the latency took any."""
        return len(self.work.sets) * LATENCY / self.concurrency


# The data


def fill(file: Path) -> None:
    folder = Path(duckdb_extension_tpch.__file__).parent / f"extensions/v{duckdb.__version__}"
    with duckdb.connect(str(file)) as writer:
        writer.execute(f"LOAD '{folder / 'tpch.duckdb_extension'}'")
        writer.execute(f"CALL dbgen(sf = {SCALE})")
        writer.execute("ALTER TABLE orders ADD PRIMARY KEY (o_orderkey)")
        writer.execute("CREATE TABLE lines AS SELECT row_number() OVER () AS n, * FROM lineitem")


def points(number: int) -> list[tuple[Any, ...]]:
    # All over the table; TPC-H uses 8 of 32 keys.
    orders = (n * 7919 % ORDERS + 1 for n in range(number))
    return [(order // 8 * 32 + order % 8,) for order in orders]


def periods(number: int) -> list[tuple[Any, ...]]:
    starts = (dt.date(1992, 1, 2) + dt.timedelta(days=n * 5 % 2000) for n in range(number))
    return [(start, start + dt.timedelta(days=365)) for start in starts]


def slices(number: int) -> list[tuple[Any, ...]]:
    starts = (n * 2_500 % 500_000 + 1 for n in range(number))
    return [(start, start + ROWS - 1) for start in starts]


def loads(reads: int, aggregates: int, results: int, concurrency: int) -> list[Load]:
    point = replace(POINT, sets=points(reads))
    return [
        Load(f"{reads:,} point reads", point, concurrency, POINT_AIMS),
        Load(
            f"{aggregates:,} aggregates",
            replace(AGGREGATE, sets=periods(aggregates)),
            concurrency,
            LIMIT_AIMS,
        ),
        Load(
            f"{results:,} x {ROWS:,} rows to Arrow",
            replace(LARGE, sets=slices(results)),
            concurrency,
            LIMIT_AIMS,
        ),
        Load(
            f"{reads:,} point reads + {LATENCY * 1e3:.0f} ms",
            point,
            DISTANT_CONCURRENCY,
            LIMIT_AIMS,
            is_distant=True,
        ),
    ]


# Times


def forget(number: int, answer: Any) -> None:
    pass


class Times(NamedTuple):
    """In seconds; `cpu` is that of all threads."""

    wall: float
    cpu: float


def measure(peer: Peer, work: Work, concurrency: int) -> Times:
    wall, cpu = time.perf_counter(), time.process_time()
    peer(work, concurrency, forget)
    return Times(time.perf_counter() - wall, time.process_time() - cpu)


def interleave(
    peers: Mapping[str, Peer], work: Work, concurrency: int, rounds: int
) -> dict[str, Times]:
    """The median times of each."""
    found: dict[str, list[Times]] = {name: [] for name in peers}
    for _ in range(rounds):
        for name, peer in peers.items():
            gc.collect()
            found[name].append(measure(peer, work, concurrency))
    return {
        name: Times(*map(statistics.median, zip(*times, strict=True)))
        for name, times in found.items()
    }


def check(peers: Mapping[str, Peer], work: Work, concurrency: int) -> None:
    """They return the same. It fills their pools, too."""
    some = replace(work, sets=work.sets[: 4 * concurrency])
    found = {name: answers(peer, some, concurrency) for name, peer in peers.items()}
    expected = found["bare"]
    assert len(expected) == len(some.sets)
    assert {len(answer) for answer in expected} == {ROWS} if work.as_arrow else all(expected)
    for name, given in found.items():
        assert given == expected, name


def answers(peer: Peer, work: Work, concurrency: int) -> list[Any]:
    found: dict[int, Any] = {}
    peer(work, concurrency, found.__setitem__)
    return [found[number] for number in range(len(found))]


def compare(peers: Mapping[str, Peer], load: Load, rounds: int) -> None:
    check(peers, load.work, load.concurrency)
    medians = interleave(peers, load.work, load.concurrency, rounds)
    for name in OURS:
        report(load, name, rounds, {peer: times.wall for peer, times in medians.items()})
    each = len(load.work.sets) / 1e6
    spent = (f"{name} {times.cpu / each:.0f}" for name, times in medians.items())
    print(f"{'':6}CPU, us each: {', '.join(spent)}", flush=True)


def report(load: Load, name: str, rounds: int, medians: Mapping[str, float]) -> None:
    ours = medians[name]
    what = f"{load.name}, {name.removeprefix('pgmd ')}"
    line = f"{what:38}{load.concurrency:5}{rounds:7}{ours:9.3f}"
    for peer in PEERS:
        line += against(medians[peer] / ours, load.aims.get(peer))
    if load.is_distant:
        line += against(load.ideal / ours, IDEAL_AIM)
    print(line.rstrip(), flush=True)


def against(ratio: float, aim: float | None) -> str:
    note = "" if aim is None else f" ({aim:.2f})" + ("!" if ratio < aim else "")
    return f"{ratio:8.2f}{note:9}"


# Memory


def memory(key: str) -> int:
    """A figure of this process in KiB; VmRSS is now, VmHWM the peak."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(key))


def memory_now() -> int:
    """In KiB; the peak is this from now on."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def peak_above(before: int) -> float:
    """How much more memory was taken since *before*, in MiB."""
    return (memory("VmHWM") - before) / 1024


def numbers(sets: int) -> Iterator[list[int]]:
    return ([n] for n in range(sets))


def map_in_threads(file: Path, sets: int) -> float:
    with pgmd.Engine(replicas=[replica(file)]) as engine, engine.session() as session:
        # The first statement imports pyarrow, which takes more than all the rest.
        session.execute(NUMBER, [0])
        before = memory_now()
        for n, result in enumerate(session.map(NUMBER, numbers(sets))):
            assert result.fetchall() == [(n,)]
        return peak_above(before)


def map_under_asyncio(file: Path, sets: int) -> float:
    async def work() -> float:
        engine = pgmd.AsyncEngine(replicas=[replica(file)])
        async with engine, engine.session() as session:
            await session.execute(NUMBER, [0])
            before = memory_now()
            n = 0
            async for result in session.map(NUMBER, numbers(sets)):
                assert result.fetchall() == [(n,)]
                n += 1
            return peak_above(before)

    return asyncio.run(work())


def replica(file: Path) -> pgmd.Replica:
    return pgmd.Replica(file=file, max_size=CONCURRENCY)


def compare_memory(file: Path, sets: int) -> None:
    print(
        f"\n{'peak memory of map(), by parameter sets':42}{FEW_SETS:10,}{sets:12,}  MiB above idle"
    )
    context = multiprocessing.get_context("spawn")
    for name, work in (("pgmd sync", map_in_threads), ("pgmd async", map_under_asyncio)):
        peaks = []
        for number in (FEW_SETS, sets):
            with ProcessPoolExecutor(1, mp_context=context) as process:
                peaks.append(process.submit(work, file, number).result())
        few, many = (max(peak, LEAST_MEMORY) for peak in peaks)
        note = f"{many / few:6.2f} ({MEMORY_AIM})" + ("!" if many / few > MEMORY_AIM else "")
        print(f"{name:42}{peaks[0]:10.1f}{peaks[1]:12.1f}{note}", flush=True)


# The plot


def plot(peers: Mapping[str, Peer], rounds: int) -> None:
    from matplotlib import pyplot

    work = replace(POINT, sets=points(PLOTTED_READS))
    print(f"\n{'point reads a second, by concurrency':36}" + "".join(f"{n:8}" for n in STEPS))
    rates: dict[str, list[float]] = {name: [] for name in peers}
    for concurrency in STEPS:
        check(peers, work, concurrency)
        for name, median in interleave(peers, work, concurrency, rounds).items():
            rates[name].append(PLOTTED_READS / median.wall)
    pyplot.rcParams["svg.fonttype"] = "none"
    figure, axes = pyplot.subplots(figsize=(7, 4))
    for name, found in rates.items():
        print(f"{name:36}" + "".join(f"{rate:8.0f}" for rate in found), flush=True)
        axes.plot(STEPS, found, marker="o", markersize=3, label=name)
    axes.set(xscale="log", xlabel="concurrency", ylabel="point reads a second", ylim=(0, None))
    axes.set_xticks(STEPS, [str(step) for step in STEPS])
    axes.minorticks_off()
    axes.legend(fontsize="small", frameon=False)
    figure.tight_layout()
    figure.savefig(Path(__file__).with_suffix(".svg"), metadata={"Date": None})


# All of it


def run(file: Path, given: argparse.Namespace) -> None:
    sizes = (1_000, 50, 20) if given.quick else (10_000, 500, 200)
    print(
        f"DuckDB {duckdb.__version__}, {given.threads} threads an instance, {os.cpu_count()} cores"
    )
    head = "".join(f"{name:17}" for name in (*PEERS, "ideal"))
    print(f"{'load':38}{'at':>5}{'rounds':>7}{'s':>9}    {head}".rstrip())
    print(f"{'':63}times as fast as each (aim)")
    for is_distant in (False, True):
        with ExitStack() as stack:
            if is_distant:
                stack.enter_context(distant())
            peers = open_peers(stack, file, given.threads, max(STEPS))
            for load in loads(*sizes, given.concurrency):
                if load.is_distant is is_distant:
                    compare(peers, load, given.rounds)
    if given.plot:
        with ExitStack() as stack:
            peers = open_peers(stack, file, given.threads, max(STEPS))
            plot(peers, given.rounds)
    compare_memory(file, given.sets)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything, 3 rounds")
    parser.add_argument("--plot", action="store_true", help="write fanout.svg")
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count(), help="of each DuckDB instance"
    )
    parser.add_argument("--concurrency", type=int, default=CONCURRENCY, help="without latency")
    parser.add_argument("--sets", type=int, help="parameter sets whose memory is measured")
    given = parser.parse_args()
    given.rounds = given.rounds or (3 if given.quick else 5)
    given.sets = given.sets or (200_000 if given.quick else 1_000_000)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tpch.duckdb"
        fill(file)
        run(file, given)
    print(f"took {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
