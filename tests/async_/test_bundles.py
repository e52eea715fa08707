"""A fan-out's small reads that run several to a query."""

from __future__ import annotations

import datetime as dt
import importlib
import random
import threading
from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import psycopg
import pytest

import pgmd
from pgmd import Reason, Route
from pgmd.fanout import bundling
from pgmd.process.clock import now
from pgmd.runtime import aio as runtime

from ..fixtures.stands import Stand
from .helpers import engine_on, until
from .test_fanout import at_rest, squares_on

SQUARE = "SELECT square FROM t WHERE n = %s"


# Of this colour.
_package = pgmd.AsyncSession.__module__.rpartition(".")[0]
_asking: Any = importlib.import_module(f"{_package}.asking")


@pytest.fixture
def bundles(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of how many statements each bundle was. All of a fan-out are of 16, from its beginning."""
    found = []
    asking = _asking.AsyncAsking
    run = asking.run_together

    async def counted(self: Any, queries: Any) -> Any:
        results = await run(self, queries)
        if results is not None:
            found.append(len(queries))
        return results

    monkeypatch.setattr(asking, "run_together", counted)
    monkeypatch.setattr(bundling, "_SIZES", (16,))
    return found


async def copied_on(stand: Stand, **settings: Any) -> pgmd.AsyncEngine:
    """As `squares_on()`, with replicas on a copy of it."""
    await (await squares_on(stand)).close()
    mode = {"mode": "snapshot"} if stand.is_postgres else {}
    return await engine_on(stand, 2, each=mode, timeout=20, **settings)


def told(result: pgmd.Result[Any]) -> Any:
    """All that a result tells of its answer."""
    rows = result.fetchall()
    shape = result.description, result.rowcount, result.statusmessage
    return rows, [[*map(type, row)] for row in rows], shape, result.decision.route


async def alike(session: pgmd.AsyncSession[Any], sql: str, sets: Sequence[Any]) -> None:
    """Each answer is the one that its statement has alone."""
    alone = [told(await session.execute(sql, params)) for params in sets]
    together = [told(result) async for result in session.map(sql, sets, concurrency=2)]
    assert together == alone


async def test_each_has_the_answer_that_it_has_alone(stand: Stand, bundles: list[int]) -> None:
    async with await copied_on(stand) as engine, engine.session() as s:
        await alike(s, SQUARE, [[n] for n in range(1, 101)])
        assert sorted(bundles) == [4] + [16] * 6
        assert engine.stats()["routed"] == {"replica: READ": 200}
        began = now()
        results = [r async for r in s.map(SQUARE, [[2], [3]] * 8, ordered=False, concurrency=1)]
        # Each says how long its share took.
        assert 0 < sum(r.decision.seconds or 0 for r in results) <= now() - began
        assert sorted(result.fetchall() for result in results) == [[(4,)]] * 8 + [[(9,)]] * 8
        assert bundles[7:] == [16]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A database with something of everything."""
    path = tmp_path / "all.duckdb"
    with duckdb.connect(str(path)) as writer:
        writer.execute(
            "CREATE TABLE t AS SELECT n, n * n AS square, 'text ' || n AS s, n / 7 AS f, "
            "(n / 4)::DECIMAL(9, 2) AS d, DATE '2024-01-01' + n::INT AS day, "
            "TIMESTAMPTZ '2024-01-01 12:00:00+00' + to_hours(n::INT) AS moment, "
            "INTERVAL (n) MINUTE AS i, {'a': n, 'b': ['x', s]} AS nested, [n, NULL] AS list, "
            "MAP {n: s} AS m, ('{\"a\": ' || n || '}')::JSON AS j, n::VARCHAR::BLOB AS b, "
            "md5(n::VARCHAR)::UUID AS u, (['low', 'high'])[1 + n % 2]::ENUM('low', 'high') AS e, "
            "n::HUGEINT * 10 ** 20::HUGEINT AS h, n % 2 = 0 AS even "
            "FROM range(1, 201) AS r(n)"
        )
    return path


def reading(file: Path) -> pgmd.AsyncEngine:
    return pgmd.AsyncEngine(replicas=[pgmd.Replica(file=file, max_size=2)])


def one_of(number: int, rng: random.Random) -> Any:
    return rng.choice([number, str(number), float(number), Decimal(number), number * 10**9])


SMALL = [[n] for n in range(20)]
NUMBERS = [[n] for n in (1, 2, 199, 40_000, 3_000_000_000, 0, -5, 200)]


@pytest.mark.parametrize(
    ("sql", "sets"),
    [
        ("SELECT * FROM t WHERE n = %s", NUMBERS),
        ("SELECT * FROM t WHERE n %% 50 = %s ORDER BY n DESC LIMIT 3", NUMBERS),
        ("SELECT n, s FROM t WHERE n > %s AND n < 100 ORDER BY s DESC, n", [[n] for n in range(50)]),
        ("SELECT count(*), sum(d), avg(f), max(moment), list(n ORDER BY n) FROM t WHERE n < %s", NUMBERS),
        ("SELECT even, sum(n) FROM t WHERE n < %s GROUP BY ALL ORDER BY ALL", NUMBERS),
        ("WITH a AS (SELECT * FROM t WHERE n <= %s) SELECT a.n, b.s FROM a JOIN t AS b USING (n) "
         "WHERE n < 9 ORDER BY a.n DESC", NUMBERS),
        ("FROM t SELECT nested, list, m WHERE n = %s", NUMBERS),
        ("VALUES (%s, 'a'), (2, 'b')", SMALL),
        ("SELECT %(a)s + n, %(b)s || s FROM t WHERE n = %(a)s", [{"a": n, "b": "ü"} for n in (1, 2, 3)]),
        ("SELECT '$1', $$ $1 $$, %s -- $1", SMALL),
        ("SELECT %s ;", SMALL),
        ("SELECT 1 AS a, n FROM t WHERE n = %s OFFSET 0", NUMBERS),
        ("SELECT day, moment FROM t WHERE day > %s AND day < '2024-02-01'",
         [[dt.date(2024, 1, d)] for d in (1, 9, 30)]),
        ("SELECT n FROM t WHERE u = %s", [[UUID(int=n)] for n in range(3)]),
        ("SELECT NULL, %s", SMALL),
        ("SELECT n FROM t WHERE n IN (SELECT unnest(%s)) ORDER BY n", [[[1, 2]], [[3]], [[70000, 4]]]),
        ("SELECT row_number() OVER (ORDER BY n DESC) AS r, n FROM t WHERE n < %s QUALIFY r < 3", NUMBERS),
        ("SELECT DISTINCT ON (even) even, n FROM t WHERE n > %s ORDER BY even, n", NUMBERS),
        ("SELECT n FROM t WHERE n < %s UNION SELECT 0 ORDER BY 1 LIMIT 5", NUMBERS),
        ("SELECT 42", [[]] * 5),
    ],
)  # fmt: skip
async def test_whatever_they_return(
    file: Path, bundles: list[int], sql: str, sets: list[Any]
) -> None:
    async with reading(file) as engine, engine.session() as s:
        await alike(s, sql, sets)
        assert sum(bundles) == len(sets)


async def test_parameters_of_several_types(file: Path, bundles: list[int]) -> None:
    rng = random.Random(7)
    sets = [[one_of(rng.randrange(1, 201), rng)] for _ in range(200)]
    async with reading(file) as engine, engine.session() as s:
        await alike(s, "SELECT n, s FROM t WHERE n = %s", sets)
        # The columns have the same types whatever the parameter is, so they may go together.
        assert sum(bundles) == 200
        bundles.clear()
        # Here they have not.
        await alike(s, "SELECT %s AS a", sets)
        assert sum(bundles) < 200


async def test_columns_with_one_name_are_read_one_by_one(file: Path, bundles: list[int]) -> None:
    async with reading(file) as engine, engine.session() as s:
        await alike(s, "SELECT n AS a, square AS a FROM t WHERE n = %s", NUMBERS)
        assert not bundles


async def test_only_the_statement_that_fails_fails(
    file: Path, bundles: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "pgmd.fanout")
    sql, sets = "SELECT s::INT FROM (SELECT %s AS s)", [[str(n)] for n in range(48)]
    sets[20] = ["x"]
    async with reading(file) as engine, engine.session() as s:
        await s.execute(sql, ["1"])
        results, found = s.map(sql, sets, concurrency=2, errors="collect"), []
        with pytest.raises(pgmd.FanOutError) as caught:
            async for result in results:
                found.append(result.fetchone())
        assert found == [(n,) for n in range(48) if n != 20]
        assert [index for index, _ in caught.value.failures] == [20]
        assert bundles == [16, 16]
        # The log has the class of what was wrong with the bundle, and no value.
        assert any(m.startswith("16 statements run one by one: ") for m in caplog.messages)
        assert "'x'" not in caplog.text
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            [result async for result in s.map(sql, sets, concurrency=2)]
        assert engine.stats()["replicas"]["replicas_failed"] == 0
        await until(lambda: at_rest(engine))


async def test_parameters_that_do_not_fit_fail_one_by_one(file: Path, bundles: list[int]) -> None:
    async with reading(file) as engine, engine.session() as s:
        await s.execute("SELECT s FROM t WHERE n = %s", [1])
        sets: list[Any] = [[1], [2, 3], [4], [object()]]
        with pytest.raises(pgmd.FanOutError) as caught:
            await s.map("SELECT s FROM t WHERE n = %s", sets, errors="collect").gather()
        assert [index for index, _ in caught.value.failures] == [1, 3]
        assert {n: r.fetchone() for n, r in caught.value.results.items()} == {
            0: ("text 1",),
            2: ("text 4",),
        }
        assert not bundles


@pytest.mark.parametrize(
    ("sql", "options"),
    [
        # Another answer each time.
        ("SELECT n, random() FROM t WHERE n = %s", {}),
        # What takes too long could not be told.
        ("SELECT n FROM t WHERE n = %s", {"query_timeout": 60}),
        # Too many rows to fetch at once.
        ("SELECT n FROM t WHERE n > %s LIMIT 101", {}),
    ],
)
async def test_what_runs_by_itself(
    file: Path, bundles: list[int], sql: str, options: dict[str, Any]
) -> None:
    async with reading(file) as engine, engine.session() as s:
        await s.execute(sql, [1])
        rows = [
            r.fetchall()[0][0] async for r in s.map(sql, [[n] for n in range(1, 33)], **options)
        ]
        assert len(rows) == 32
        assert not bundles


async def test_a_snapshot_runs_each_by_itself(file: Path, bundles: list[int]) -> None:
    # An error would end the transaction for all of them.
    async with reading(file) as engine, engine.session() as s:
        async with s.snapshot():
            await alike(s, "SELECT s FROM t WHERE n = %s", NUMBERS)
        assert not bundles


@pytest.mark.only("postgres", reason="of a PostgreSQL that DuckDB reads live")
async def test_a_live_postgres_is_not_asked_by_many_connections_at_once(
    stand: Stand, bundles: list[int]
) -> None:
    async with await squares_on(stand) as engine, engine.session() as s:
        await alike(s, SQUARE, [[n] for n in range(1, 33)])
        assert not bundles


async def test_what_no_replica_may_run_goes_to_the_endpoint(
    stand: Stand, bundles: list[int]
) -> None:
    async with await copied_on(stand) as engine, engine.session() as s:
        await s.execute(SQUARE, [1])
        await s.execute("INSERT INTO t VALUES (1000, 0)")
        results = [r async for r in s.map(SQUARE, [[n] for n in range(985, 1001)])]
        assert [r.fetchone() for r in results] == [None] * 15 + [(0,)]
        assert {(r.decision.route, r.decision.reason) for r in results} == {
            (Route.ENDPOINT, Reason.STALE)
        }
        inserts = [[n, n] for n in range(2000, 2020)]
        assert len([r async for r in s.map("INSERT INTO t VALUES (%s, %s)", inserts)]) == 20
        counted = await s.execute("SELECT count(*) FROM t WHERE n >= 2000")
        assert counted.fetchone() == (20,)
        assert not bundles


@pytest.mark.only("local", reason="DuckDB's dialect, in which an untyped NULL stays there")
async def test_what_a_replica_cannot_be_given_goes_to_the_endpoint(
    stand: Stand, bundles: list[int]
) -> None:
    async with await copied_on(stand) as engine, engine.session() as s:
        await s.execute(SQUARE, [1])
        sets = [[None if n == 20 else n] for n in range(1, 49)]
        results = [r async for r in s.map(SQUARE, sets, concurrency=2)]
        assert [r.fetchone() for r in results] == [
            None if n == 20 else (n * n,) for n in range(1, 49)
        ]
        routes = [r.decision.route for r in results]
        assert [n for n, route in enumerate(routes, 1) if route is Route.ENDPOINT] == [20]
        assert bundles == [16, 16]


@pytest.mark.only("local", reason="DuckDB's dialect, in which replicas can be told what is set")
async def test_a_bundle_sees_what_its_session_has_set(stand: Stand, bundles: list[int]) -> None:
    async with await copied_on(stand) as engine, engine.session() as s:
        await s.execute("CREATE SCHEMA other")
        await s.execute("CREATE TABLE other.t AS SELECT n, -n AS square FROM range(200) AS r(n)")
        await engine.publish()
        await s.execute("SET schema = 'other'")
        await s.execute(SQUARE, [1])
        results = [r.fetchone() async for r in s.map(SQUARE, [[n] for n in range(32)])]
        assert results == [(-n,) for n in range(32)]
        assert bundles == [16, 16]


async def test_only_map_knows_that_texts_are_equal(file: Path, bundles: list[int]) -> None:
    sql = "SELECT s FROM t WHERE n = %s"
    async with reading(file) as engine, engine.session() as s:
        await s.execute(sql, [1])
        queries = [pgmd.Query(sql, [1]), pgmd.Query("SELECT 1"), *[pgmd.Query(sql, [2])] * 20]
        results = [r.fetchone() for r in await s.gather(queries)]
        assert results == [("text 1",), (1,), *[("text 2",)] * 20]
        assert not bundles


async def test_what_a_fan_out_has_found_out_serves_the_next(
    file: Path, bundles: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundling, "_SIZES", (1, 4, 16))
    # Whatever the machine does meanwhile, each size is found better than the one before.
    monkeypatch.setattr(bundling, "_WORTH_IT", 0.0)
    monkeypatch.setattr(bundling, "_HUNGRY", -1.0)
    monkeypatch.setattr(bundling, "_LONGEST", 60.0)
    sql = "SELECT s FROM t WHERE n = %s"
    async with reading(file) as engine, engine.session() as s:
        sets = [[n % 200 + 1] for n in range(1000)]
        texts = [r.fetchone() async for r in s.map(sql, sets, concurrency=1)]
        assert texts == [(f"text {n}",) for (n,) in sets]
        assert list(dict.fromkeys(bundles[:-1])) == [4, 16]
        bundles.clear()
        # Whose text is made for each has nothing to be known by.
        results = s.map(psycopg.sql.SQL(sql), sets, concurrency=1)
        assert [r.fetchone() async for r in results] == texts
        assert list(dict.fromkeys(bundles[:-1])) == [4, 16]
        bundles.clear()
        results = s.map(sql, sets[:32], concurrency=1)
        assert [r.fetchone() async for r in results] == texts[:32]
        assert bundles == [16, 16]


async def test_a_bundle_names_its_database(file: Path, bundles: list[int]) -> None:
    databases = {"a": pgmd.Database(replicas=[pgmd.Replica(file=file, max_size=2)])}
    async with pgmd.AsyncEngine(databases=databases) as engine, engine.session(database="a") as s:
        await s.execute("SELECT s FROM t WHERE n = %s", [1])
        results = [r async for r in s.map("SELECT s FROM t WHERE n = %s", SMALL, concurrency=1)]
        assert {result.decision.database for result in results} == {"a"}
        assert bundles == [16, 4]


async def test_replicas_are_replaced_under_bundles(stand: Stand, bundles: list[int]) -> None:
    async with await copied_on(stand) as engine, engine.session() as s:
        await s.execute(SQUARE, [1])
        taken = []
        async for result in s.map(SQUARE, [[n % 200 + 1] for n in range(640)], concurrency=4):
            taken.append(result.fetchone())
            if len(taken) % 100 == 0:
                await engine.recycle()
        assert taken == [((n % 200 + 1) ** 2,) for n in range(640)]
        assert sum(bundles) == 640
        assert set(engine.stats()["routed"]) == {"replica: READ"}
        await until(lambda: at_rest(engine))


async def test_a_bundle_is_stopped_with_its_fan_out(file: Path, bundles: list[int]) -> None:
    sql = "SELECT count(*) FROM range(%s::BIGINT * %s * %s) AS r(n) WHERE n %% 7 = 1"
    quick, long = [2, 2, 2], [30_000, 30_000, 30_000]
    async with reading(file) as engine, engine.session() as s:
        await s.execute(sql, quick)
        results, taken = s.map(sql, [quick] * 16 + [long] * 32, concurrency=2), 0
        async with results:
            async for _ in results:
                taken += 1
                if taken == 16:
                    break
        await until(lambda: at_rest(engine))
        assert bundles == [16]
        with pytest.raises(pgmd.StatementTimeout):
            await s.map(sql, [long] * 16, timeout=0.1).gather()
        await until(lambda: at_rest(engine))
        assert (await s.execute(sql, quick)).fetchone() == (1,)


if not runtime.ASYNC:

    def test_what_a_halted_bundle_did_not_run_is_no_result(file: Path, bundles: list[int]) -> None:
        long = 30_000
        sql = "SELECT count(*) FROM range(%s::BIGINT * %s * %s) AS r(n) WHERE n %% 7 = %s::INT"

        def source() -> Iterator[list[Any]]:
            # As one query it fails at once; the second then runs until all are stopped.
            yield [2, 2, 2, "x"]
            yield from [[long, long, long, "1"]] * 15
            until(lambda: all(thread.name != "pgmd-job" for thread in threading.enumerate()))
            yield [2, 2, 2, "1"]

        with pgmd.Engine(replicas=[pgmd.Replica(file=file)]) as engine, engine.session() as s:
            s.execute(sql, [2, 2, 2, "1"])
            with pytest.raises(pgmd.StatementTimeout):
                s.map(sql, source(), concurrency=1, timeout=0.5, errors="collect").gather()
            assert not bundles
            assert at_rest(engine)
