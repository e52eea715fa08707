"""One answer, whatever the route: values, classes, rows, shapes."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from ipaddress import IPv4Address
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import args_row, class_row, dict_row, kwargs_row, namedtuple_row, scalar_row
from psycopg.types.json import Jsonb
from psycopg.types.numeric import FloatLoader

import pgmd
from pgmd import Route

from ..fixtures.stands import Stand
from .helpers import engine_on

# Names, with the type in SQL and some values.
Types = dict[str, tuple[str, list[Any]]]
TYPES: Types = {
    "int": ("int", [0, -1, 2**31 - 1, None]),
    "small": ("smallint", [7, -7, None]),
    "big": ("bigint", [2**63 - 1, -(2**63), None]),
    "float": ("double precision", [1.1, -0.0, 5e-324, 1e300, None]),
    "numeric": ("numeric(12,2)", [Decimal("1.50"), Decimal("-0.01"), Decimal("0.00"), None]),
    "text": ("text", ["", "é☃𝄞", "it's", "a\nb", None]),
    "varchar": ("varchar(10)", ["x", None]),
    "bool": ("boolean", [True, False, None]),
    "bytes": ("bytea", [b"", b"a\x00\xff", None]),
    "date": ("date", [dt.date(2024, 2, 29), dt.date(1, 1, 2), None]),
    "time": ("time", [dt.time(12, 34, 56, 789012), dt.time(0), None]),
    "timestamp": ("timestamp", [dt.datetime(2024, 1, 1, 12, 0, 0, 123456), None]),
    "timestamptz": (
        "timestamptz",
        [
            dt.datetime(2024, 7, 1, 12, tzinfo=dt.UTC),
            dt.datetime(2024, 10, 27, 0, 30, tzinfo=dt.UTC),
            dt.datetime(2024, 10, 27, 1, 30, tzinfo=dt.UTC),
            None,
        ],
    ),
    "interval": ("interval", [dt.timedelta(days=40, seconds=5, microseconds=6), None]),
    "uuid": ("uuid", [UUID("550e8400-e29b-41d4-a716-446655440000"), None]),
    "json": ("json", [Jsonb({"a": [1, 2.5, None]}), Jsonb("x"), None]),
    "ints": ("int[]", [[1, 2, None], [], None]),
    "texts": ("text[]", [["a", "b c", 'd"e'], None]),
    "numerics": ("numeric(6,2)[]", [[Decimal("1.50")], None]),
}
JSONB: Types = {"jsonb": ("jsonb", [Jsonb({"b": {"c": 1}}), Jsonb(3), None])}
DUCKDB_TYPES: Types = {
    "tiny": ("tinyint", [127, -128, None]),
    "unsigned": ("ubigint", [2**64 - 1, 0, None]),
    "huge": ("hugeint", [2**126, -(2**126), None]),
    "real": ("real", [1.1, 0.1, -3.4e38, None]),
    "enum": ("enum('a', 'b c')", ["a", "b c", None]),
    "seconds": ("timestamp_s", [dt.datetime(2024, 2, 29, 12, 0, 1), None]),
    "nanoseconds": ("timestamp_ns", [dt.datetime(2024, 2, 29, 12, 0, 1, 5), None]),
    "struct": ("struct(a int, b text)", ["{'a': 1, 'b': 'x, y'}", None]),
    "map": ("map(text, int)", ["{k=1}", None]),
    "lists": ("int[][]", ["[[1], [], NULL]", None]),
    "bits": ("bit", ["0101", None]),
}
# What psycopg makes of this is for the endpoint to say.
ENDPOINT_TYPES: Types = {
    "timetz": ("timetz", [dt.time(12, 34, 56, tzinfo=dt.timezone(dt.timedelta(hours=2))), None]),
}


def exact(value: Any) -> Any:
    """The value with its class, zone and fold, all the way down."""
    if isinstance(value, list):
        return [exact(item) for item in value]
    if isinstance(value, dt.datetime):
        return type(value), value.isoformat(), repr(value.tzinfo), value.fold
    return type(value), repr(value)


async def test_a_type_has_the_same_values_on_both_routes(stand: Stand) -> None:
    await _have_the_same_values(stand, TYPES)


@pytest.mark.only("postgres", reason="DuckDB has no such type")
async def test_a_type_of_postgresqls_has_the_same_values_on_both_routes(stand: Stand) -> None:
    await _have_the_same_values(stand, JSONB)


@pytest.mark.only("local", reason="PostgreSQL has no such type")
async def test_a_type_of_duckdbs_has_the_same_values_on_both_routes(stand: Stand) -> None:
    await _have_the_same_values(stand, DUCKDB_TYPES)


@pytest.mark.only("local", reason="PostgreSQL has no such type")
async def test_a_type_that_a_replica_does_not_have_has_the_endpoints_values(stand: Stand) -> None:
    await _have_the_same_values(stand, ENDPOINT_TYPES, route=Route.ENDPOINT)


@pytest.mark.only("postgres", reason="a local endpoint is in UTC until a session says otherwise")
async def test_a_type_has_the_same_values_in_another_time_zone(stand: Stand) -> None:
    with psycopg.connect(stand.dsn, autocommit=True) as plain:
        plain.execute(f"ALTER DATABASE {plain.info.dbname} SET TimeZone = 'Europe/Berlin'")
    names = ("date", "time", "timestamp", "timestamptz", "interval")
    await _have_the_same_values(stand, {name: TYPES[name] for name in names})


async def _have_the_same_values(stand: Stand, types: Types, route: Route = Route.REPLICA) -> None:
    with psycopg.connect(stand.dsn, autocommit=True) as plain:
        for name, (kind, values) in types.items():
            plain.execute(f"CREATE TABLE t_{name} (id int, v {kind})")
            plain.cursor().executemany(
                f"INSERT INTO t_{name} VALUES (%s, %s::{kind})", list(enumerate(values))
            )
    async with await engine_on(stand, 1) as engine, engine.session() as s:
        for name, (kind, values) in types.items():
            query = f"SELECT * FROM t_{name} WHERE id >= %s ORDER BY id"
            routed = await s.execute(query, [0])
            endpoint = await s.endpoint.execute(query, [0])
            # MotherDuck's endpoint changes some lists on the way: those are left to it.
            if stand.is_postgres or not kind.endswith("t[]"):
                assert routed.decision.route is route, name
            assert routed.arrow().equals(endpoint.arrow()), name
            got, wanted = routed.fetchall(), endpoint.fetchall()
            assert [exact(list(row)) for row in got] == [exact(list(row)) for row in wanted], name
            assert len(got) == len(values), name
            assert routed.description == endpoint.description, name
            assert routed.rowcount == endpoint.rowcount, name
            assert routed.statusmessage == endpoint.statusmessage, name


# By the type of the column that they are in.
PARAMETERS: list[tuple[str, Any]] = [
    ("bigint", 7), ("bigint", 2**40), ("bigint", -1), ("float8", 1.5), ("boolean", True), ("text", "é"),
    ("bytea", b"\x00"), ("numeric(5,2)", Decimal("1.50")), ("date", dt.date(2024, 2, 29)),
    ("time", dt.time(1, 2, 3)), ("timestamp", dt.datetime(2024, 1, 1)), ("interval", dt.timedelta(days=3)),
    ("timestamptz", dt.datetime(2024, 1, 1, tzinfo=dt.UTC)), ("uuid", UUID(int=5)),
]  # fmt: skip


async def test_a_parameter_has_the_same_value_on_both_routes(stand: Stand) -> None:
    async with await engine_on(stand, 1) as engine, engine.session() as s:
        for number, (kind, value) in enumerate(PARAMETERS):
            await s.execute(f"CREATE TABLE t{number} (id int, v {kind})")
            await s.execute(f"INSERT INTO t{number} VALUES (1, %s)", [value])
        if not stand.is_live:
            await engine.publish()
        for number, (_, value) in enumerate(PARAMETERS):
            query = f"SELECT id FROM t{number} WHERE v = %s"
            assert (await s.endpoint.execute(query, [value])).fetchall() == [(1,)], value
            assert (await s.replica.execute(query, [value])).fetchall() == [(1,)], value


async def test_what_a_replica_cannot_tell_exactly_comes_from_the_endpoint(stand: Stand) -> None:
    await _are_told_exactly(
        stand,
        ("date", dt.date.max),
        ("timestamp", dt.datetime.min),
        ("double precision", float("inf")),
        ("numeric", Decimal("1E-40")),
        ("interval", dt.timedelta(days=700)),
    )


@pytest.mark.only("postgres", reason="DuckDB has no such types")
async def test_what_only_postgresql_has_comes_from_the_endpoint(stand: Stand) -> None:
    await _are_told_exactly(
        stand,
        ("int[]", [[1, 2], [3, 4]]),
        ("jsonb[]", [Jsonb([1])]),
        ("inet", IPv4Address("10.0.0.1")),
    )


async def _are_told_exactly(stand: Stand, *values: tuple[str, Any]) -> None:
    async with await engine_on(stand, 1) as engine, engine.session() as s:
        for number, (kind, value) in enumerate(values):
            await s.execute(f"CREATE TABLE t{number} (v {kind})")
            await s.execute(f"INSERT INTO t{number} VALUES (%s)", [value])
        if not stand.is_live:
            await engine.publish()
        for number, (kind, _) in enumerate(values):
            got = (await s.execute(f"SELECT * FROM t{number}")).fetchall()
            wanted = (await s.endpoint.execute(f"SELECT * FROM t{number}")).fetchall()
            assert exact(list(got[0])) == exact(list(wanted[0])), kind


async def test_intervals_of_years_have_psycopgs_days(stand: Stand) -> None:
    async with await engine_on(stand, 1) as engine, engine.session() as s:
        await s.execute("CREATE TABLE t (v interval)")
        await s.execute(
            "INSERT INTO t VALUES ('14 months'), ('14 months -400 days'), ('-14 months 25:00'), "
            "('1 year 2 days'), ('11 months')"
        )
        if not stand.is_live:
            await engine.publish()
        got = await s.replica.execute("SELECT v FROM t")
        assert got.fetchall() == (await s.endpoint.execute("SELECT v FROM t")).fetchall()


async def test_a_parameter_in_the_result_is_described_as_the_endpoint_does(stand: Stand) -> None:
    async with await engine_on(stand, 1) as engine, engine.session() as s:
        for value in (5, 70_000, 2**40, 5):
            got = await s.replica.execute("SELECT %s AS v", [value])
            assert (
                got.description == (await s.endpoint.execute("SELECT %s AS v", [value])).description
            )


async def test_infinity_is_what_psycopg_says_it_is(stand: Stand) -> None:
    async with await engine_on(stand, 1) as engine, engine.session() as s:
        await s.execute("CREATE TABLE t AS SELECT 'infinity'::date AS d")
        if not stand.is_live:
            await engine.publish()
        with pytest.raises(psycopg.DataError, match="date too large"):
            await s.execute("SELECT d FROM t")


@dataclass
class Pair:
    a: int
    b: str


FACTORIES: list[Any] = [
    dict_row, namedtuple_row, scalar_row, class_row(Pair),
    args_row(lambda a, b: (b, a)), kwargs_row(lambda **row: sorted(row)),
]  # fmt: skip


async def test_psycopgs_row_factories_work_on_both_routes(stand: Stand) -> None:
    async with await engine_on(stand, 1) as engine, engine.session() as s:
        await s.execute("CREATE TABLE t AS SELECT 1 AS a, 'x' AS b")
        if not stand.is_live:
            await engine.publish()
        query = "SELECT a, b FROM t"
        for factory in FACTORIES:
            replica = await s.replica.execute(query, row_factory=factory)
            endpoint = await s.endpoint.execute(query, row_factory=factory)
            assert [repr(row) for row in replica] == [repr(row) for row in endpoint]


async def test_a_write_whose_rows_cannot_be_read_was_applied(stand: Stand) -> None:
    async with await engine_on(stand, 0) as engine, engine.session() as s:
        await s.execute("CREATE TABLE t (d date)")
        insert = "INSERT INTO t VALUES ('infinity') RETURNING d"
        with pytest.raises(psycopg.DataError) as unloadable:
            await s.execute(insert)
        with pytest.raises(psycopg.Error) as unmade:
            # No named tuple can have a field of this name.
            await s.execute(
                'INSERT INTO t VALUES (NULL) RETURNING d AS "class"', row_factory=namedtuple_row
            )
        for caught in (unloadable, unmade):
            assert caught.value.outcome is pgmd.Outcome.APPLIED  # type: ignore[attr-defined]
        async with s.transaction():
            with pytest.raises(psycopg.DataError) as inside:
                await s.execute(insert)
        assert inside.value.outcome is pgmd.Outcome.NOT_APPLIED  # type: ignore[attr-defined]
        assert (await s.execute("SELECT count(*) FROM t")).fetchone() == (3,)


async def test_fetches_are_pep_249s(stand: Stand) -> None:
    async with await engine_on(stand, 1) as engine, engine.session() as s:
        await s.execute("CREATE TABLE t AS SELECT n FROM generate_series(1, 7) AS g(n)")
        if not stand.is_live:
            await engine.publish()
        for view in (s.replica, s.endpoint):
            result = await view.execute("SELECT n FROM t ORDER BY n")
            assert result.rowcount == 7
            assert result.fetchone() == (1,)
            assert result.fetchmany(2) == [(2,), (3,)]
            assert list(result) == [(4,), (5,), (6,), (7,)]
            assert result.fetchone() is None
            assert result.fetchall() == []
        assert "7 rows, replica-1" in repr(await s.replica.execute("SELECT n FROM t"))
        nothing = await s.execute("CREATE TABLE u (a int)")
        assert nothing.description is None
        with pytest.raises(psycopg.ProgrammingError, match="CREATE TABLE"):
            nothing.fetchone()


async def test_a_large_result_is_complete(stand: Stand) -> None:
    async with await engine_on(stand, 1) as engine, engine.session() as s:
        await s.execute("CREATE TABLE t AS SELECT n FROM generate_series(1, 25001) AS g(n)")
        if not stand.is_live:
            await engine.publish()
        result = await s.replica.execute("SELECT n FROM t ORDER BY n")
        assert [row[0] for row in result] == list(range(1, 25002))


async def test_a_type_that_the_program_loads_in_its_own_way_is_left_to_the_endpoint(
    stand: Stand,
) -> None:
    shipped = psycopg.adapters.get_loader(1700, psycopg.pq.Format.TEXT)
    assert shipped is not None
    psycopg.adapters.register_loader("numeric", FloatLoader)
    try:
        async with await engine_on(stand, 1) as engine, engine.session() as s:
            await s.execute("CREATE TABLE t (n numeric(4,2))")
            await s.execute("INSERT INTO t VALUES (1.50)")
            await engine.publish()
            found = await s.execute("SELECT n FROM t")
            assert (found.decision.route, found.decision.reason) == (
                Route.ENDPOINT,
                pgmd.Reason.RESULT,
            )
            assert repr(found.fetchall()) == "[(1.5,)]"
            assert (await s.execute("SELECT 1 AS i")).decision.route is Route.REPLICA
    finally:
        psycopg.adapters.register_loader("numeric", shipped)


@pytest.mark.only("local", reason="PostgreSQL has no such types")
async def test_a_changed_column_is_seen_at_the_next_answer(stand: Stand) -> None:
    async with await engine_on(stand, 1) as engine, engine.session() as s:
        await s.execute("CREATE TABLE t AS SELECT {'a': 1} AS v")
        for definition, expected in (
            ("{'a': '1'} AS v", {"a": "1"}),
            ("{'b': 1} AS v", {"b": 1}),
            ("{'b': 1} AS w", {"b": 1}),
            ("[[1]] AS w", [[1]]),
        ):
            await s.execute("FROM t", route="endpoint")
            await engine.publish()
            await s.execute("FROM t", route="replica")
            with psycopg.connect(stand.dsn, autocommit=True) as other:
                # As another program does it, for all that the engine knows.
                other.execute(f"CREATE OR REPLACE TABLE t AS SELECT {definition}")
            await engine.publish()
            on_replica = await s.execute("FROM t", route="replica")
            assert on_replica.fetchall() == [(expected,)]
            await s.execute("CREATE OR REPLACE TABLE other (a int)")
            on_endpoint = await s.execute("FROM t", route="endpoint")
            assert on_endpoint.fetchall() == [(expected,)]
            assert on_replica.description == on_endpoint.description
