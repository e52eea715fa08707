"""asyncpg against the local endpoint. It describes each statement before it runs it."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest

from pgmd.local import LocalEndpoint
from tests.local.samples import ID, MOMENT, SCALARS, TEXTS, TIMETZ, UTC, Sample

asyncpg = pytest.importorskip("asyncpg")


@asynccontextmanager
async def connected(endpoint: LocalEndpoint, **options: Any) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(
        host="127.0.0.1",
        port=endpoint.port,
        user="postgres",
        database=endpoint.database,
        ssl=False,
        **options,
    )
    try:
        yield connection
    finally:
        await connection.close(timeout=10)


async def test_a_query_and_its_facts(local: LocalEndpoint) -> None:
    async with connected(local) as connection:
        assert await connection.fetchval("SELECT 1") == 1
        rows = await connection.fetch("SELECT i, i * 2 AS d FROM (VALUES (1), (2)) v(i)")
        assert [dict(row) for row in rows] == [{"i": 1, "d": 2}, {"i": 2, "d": 4}]
        assert dict(await connection.fetchrow("SELECT 'a' AS x, NULL AS y")) == {
            "x": "a",
            "y": None,
        }
        assert await connection.fetchrow("SELECT 1 WHERE false") is None
        assert connection.get_server_version()[:2] == (16, 0)
        assert connection.get_settings().TimeZone == "UTC"


async def test_a_password(locked: LocalEndpoint) -> None:
    async with connected(locked, password="corréct horse") as connection:
        assert await connection.fetchval("SELECT 1") == 1
    with pytest.raises(asyncpg.InvalidPasswordError, match="password authentication failed"):
        async with connected(locked, password="wrong"):
            pass


async def test_a_value_of_each_type(plain: LocalEndpoint) -> None:
    async with connected(plain) as connection:
        for sample in [*SCALARS, TIMETZ]:
            value, nothing = await connection.fetchrow(
                f"SELECT {sample.sql} AS x, NULL::{sample.type} AS y"
            )
            assert _read(sample, value) == sample.value, sample
            assert nothing is None


def _read(sample: Sample, value: Any) -> Any:
    return json.loads(value) if sample.type == "JSON" else value


async def test_a_type_without_a_twin_is_text(local: LocalEndpoint) -> None:
    async with connected(local) as connection:
        for expression, text in TEXTS.items():
            assert await connection.fetchval(f"SELECT {expression}") == text


async def test_infinity(local: LocalEndpoint) -> None:
    async with connected(local) as connection:
        found = await connection.fetchrow(
            "SELECT DATE 'infinity' AS a, DATE '-infinity' AS b, TIMESTAMP 'infinity' AS c"
        )
        assert tuple(found) == (dt.date.max, dt.date.min, dt.datetime.max)
        query = "SELECT isinf($1::DATE) AND isinf($2::TIMESTAMP)"
        assert await connection.fetchval(query, dt.date.max, dt.datetime.min) is True
        assert await connection.fetchval("SELECT $1::DATE", dt.date.max) == dt.date.max


async def test_a_list(local: LocalEndpoint) -> None:
    async with connected(local) as connection:
        texts = ["a", None, 'b"', "", "NULL"]
        assert await connection.fetchval("SELECT $1::VARCHAR[]", texts) == texts
        # Of other lists asyncpg asks the catalogue for things that DuckDB does not have.
        with pytest.raises(asyncpg.PostgresError):
            await connection.fetchval("SELECT [1, 2]")
        assert await connection.fetchval("SELECT 1") == 1


PARAMETERS = [
    ("BOOLEAN", True),
    ("SMALLINT", -(2**15)),
    ("INT", 1),
    ("BIGINT", 2**40),
    ("FLOAT", 1.5),
    ("DOUBLE PRECISION", 0.1),
    ("DECIMAL(5,2)", Decimal("1.25")),
    ("VARCHAR", "é ' \\"),
    ("BLOB", b"\x00\xff"),
    ("DATE", dt.date(2024, 2, 29)),
    ("TIME", dt.time(1, 2, 3, 4)),
    ("TIMESTAMP", MOMENT),
    ("TIMESTAMP WITH TIME ZONE", MOMENT.replace(tzinfo=UTC)),
    ("INTERVAL", dt.timedelta(-1, 2, 3)),
    ("UUID", ID),
    ("JSON", '{"a": 1}'),
]


async def test_a_parameter_of_each_type(local: LocalEndpoint) -> None:
    async with connected(local) as connection:
        for kind, value in PARAMETERS:
            assert await connection.fetchval(f"SELECT $1::{kind}", value) == value, kind
            assert await connection.fetchval(f"SELECT CAST($1 AS {kind})", value) == value, kind
            assert await connection.fetchval(f"SELECT $1::{kind}", None) is None
        nan = await connection.fetchval("SELECT $1::DOUBLE", float("nan"))
        assert repr(nan) == "nan"


async def test_a_parameter_without_a_cast_is_text(local: LocalEndpoint, table: str) -> None:
    async with connected(local) as connection:
        await connection.execute(f"CREATE TABLE {table} (id int, v text)")
        with pytest.raises(asyncpg.DataError, match="expected str, got int"):
            await connection.execute(f"INSERT INTO {table} VALUES ($1, $2)", 1, "a")
        done = await connection.execute(f"INSERT INTO {table} VALUES ($1, $2)", "1", "a")
        assert done == "INSERT 0 1"
        assert [tuple(r) for r in await connection.fetch(f"FROM {table}")] == [(1, "a")]


async def test_statements_and_what_they_tell(plain: LocalEndpoint, table: str) -> None:
    async with connected(plain) as connection:
        assert await connection.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, v text)") == (
            "CREATE TABLE"
        )
        await connection.executemany(
            f"INSERT INTO {table} VALUES ($1::int, $2::text)", [(i, str(i)) for i in range(5)]
        )
        update = f"UPDATE {table} SET v = $1::text WHERE id < $2::int"
        assert await connection.execute(update, "x", 2) == "UPDATE 2"
        returned = await connection.fetch(f"DELETE FROM {table} WHERE id = 4 RETURNING id, v")
        assert [tuple(row) for row in returned] == [(4, "4")]
        several = f"DELETE FROM {table} WHERE id = 3; SELECT 1; SELECT 2"
        assert await connection.execute(several) == "SELECT 1"
        rows = await connection.fetch(f"SELECT v FROM {table} ORDER BY id")
        assert [row["v"] for row in rows] == ["x", "x", "2"]


async def test_a_prepared_statement(local: LocalEndpoint) -> None:
    async with connected(local) as connection:
        statement = await connection.prepare("SELECT $1::int + 1 AS n, $2::text AS t")
        assert [p.name for p in statement.get_parameters()] == ["int4", "text"]
        told = [(a.name, a.type.name) for a in statement.get_attributes()]
        assert told == [("n", "int4"), ("t", "text")]
        for i in range(3):
            assert tuple(await statement.fetchrow(i, "x")) == (i + 1, "x")
        assert [tuple(row) for row in await statement.fetch(7, None)] == [(8, None)]
        assert statement.get_statusmsg() == "SELECT 1"


async def test_a_transaction(local: LocalEndpoint, table: str) -> None:
    async with connected(local) as connection:
        await connection.execute(f"CREATE TABLE {table} (id int)")
        async with connection.transaction():
            await connection.execute(f"INSERT INTO {table} VALUES (1)")
            assert connection.is_in_transaction()
        with pytest.raises(ZeroDivisionError):
            async with connection.transaction():
                await connection.execute(f"INSERT INTO {table} VALUES (2)")
                raise ZeroDivisionError
        assert not connection.is_in_transaction()
        assert await connection.fetch(f"FROM {table}") == [(1,)]
        with pytest.raises(asyncpg.PostgresError, match="SAVEPOINT"):
            async with connection.transaction():
                async with connection.transaction():
                    pass
        assert not connection.is_in_transaction()


async def test_a_cursor_takes_a_few_rows_at_a_time(local: LocalEndpoint, table: str) -> None:
    async with connected(local) as connection:
        await connection.execute(f"CREATE TABLE {table} AS SELECT * FROM range(25) r(id)")
        query = f"SELECT id FROM {table} ORDER BY id"
        async with connection.transaction():
            found = [row["id"] async for row in connection.cursor(query, prefetch=7)]
            assert found == list(range(25))
            one = await connection.cursor(query)
            other = await connection.cursor(f"{query} DESC")
            assert [r["id"] for r in await one.fetch(3)] == [0, 1, 2]
            assert [r["id"] for r in await other.fetch(2)] == [24, 23]
            # Between the portions of a portal other statements may run.
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 25
            assert (await one.fetchrow())["id"] == 3
            assert [r["id"] for r in await one.fetch(100)] == list(range(4, 25))
            assert await one.fetch(5) == []
            assert [r["id"] for r in await other.fetch(1)] == [22]


async def test_errors(local: LocalEndpoint, plain: LocalEndpoint, table: str) -> None:
    async with connected(plain) as connection:
        with pytest.raises(asyncpg.UndefinedTableError, match="nope"):
            await connection.fetch("SELECT * FROM nope")
        await connection.execute(f"CREATE TABLE {table} (id int PRIMARY KEY)")
        await connection.execute(f"INSERT INTO {table} VALUES (1)")
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.execute(f"INSERT INTO {table} VALUES ($1::int)", 1)
        with pytest.raises(asyncpg.PostgresSyntaxError):
            await connection.fetch("SELEC 1")
        assert await connection.fetchval("SELECT 1") == 1
    async with connected(local) as connection:
        with pytest.raises(asyncpg.PostgresError, match="nope") as caught:
            await connection.fetch("SELECT nope")
        assert caught.value.sqlstate == "XXUUU"
        with pytest.raises(asyncpg.PostgresError, match="cannot be described before it runs"):
            await connection.fetch("SELECT * FROM range(3)")
        # It runs in the simple protocol.
        assert await connection.execute("SELECT * FROM range(3)") == "SELECT 3"


async def test_a_timeout_cancels(local: LocalEndpoint) -> None:
    endless = (
        "WITH RECURSIVE x(a) AS (SELECT 1::bigint UNION ALL SELECT a + 1 FROM x) "
        "SELECT max(a) FROM x"
    )
    async with connected(local) as connection:
        with pytest.raises(TimeoutError):
            await connection.fetch(endless, timeout=0.2)
        assert await connection.fetchval("SELECT 1") == 1


async def test_copy_out(local: LocalEndpoint, table: str) -> None:
    data = bytearray()

    async def take(part: bytes) -> None:
        data.extend(part)

    async with connected(local) as connection:
        await connection.execute(f"CREATE TABLE {table} AS SELECT 1 AS id, 'a,b' AS v")
        assert await connection.copy_from_table(table, output=take, format="csv") == "COPY 1"
    assert bytes(data) == b'1,"a,b"\n'


async def test_a_query_where_a_sync_was_to_come(local: LocalEndpoint, table: str) -> None:
    async with connected(local) as connection:
        await connection.execute(f"CREATE TABLE {table} AS SELECT 1 AS id")
        # It describes the table without a Sync, and goes on with a COPY as a simple query.
        with pytest.raises(asyncpg.PostgresError, match="COPY FROM STDIN is not supported"):
            await connection.copy_records_to_table(table, records=[])
        # The data that it sends before it hears of the refusal is not a violation.
        assert await connection.fetchval("SELECT 1") == 1


async def test_a_pool_needs_another_reset(local: LocalEndpoint) -> None:
    async def nothing(_: Any) -> None:
        """DuckDB cannot parse what asyncpg would send: CLOSE ALL, RESET ALL."""

    async with asyncpg.create_pool(
        host="127.0.0.1", port=local.port, user="postgres", database=local.database, ssl=False,
        min_size=1, max_size=2, reset=nothing,
    ) as pool:  # fmt: skip
        for i in range(5):
            assert await pool.fetchval("SELECT $1::int", i) == i
