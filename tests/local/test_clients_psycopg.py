"""psycopg 3 and psycopg_pool, sync and async, against the local endpoint."""

from __future__ import annotations

import asyncio
import datetime as dt
import enum
import ipaddress
import os
import struct
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import errors, rows
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.types.json import Json, Jsonb
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from pgmd.local import LocalEndpoint, Quirks
from pgmd.parity.types import TWINS
from tests.local.samples import ID, MOMENT, NESTED, SCALARS, TEXTS, TIMETZ, UTC, Sample

FORMATS = pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
ENDLESS = "SELECT count(*) FROM range(10000000000000) a"
_IS_NESTED = "PGMD_TEST_PURE" in os.environ


@pytest.fixture
def connection(local: LocalEndpoint) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(local.dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
def free(plain: LocalEndpoint) -> Iterator[psycopg.Connection[Any]]:
    """A connection to the endpoint without quirks."""
    with psycopg.connect(plain.dsn, autocommit=True) as connection:
        yield connection


@pytest.mark.skipif(_IS_NESTED, reason="this is the run with the Python implementation")
def test_the_pure_python_implementation_passes_the_same_tests() -> None:
    environment = {**os.environ, "PSYCOPG_IMPL": "python", "PGMD_TEST_PURE": "1"}
    found = subprocess.run(
        [sys.executable, "-c", "import psycopg; print(psycopg.pq.__impl__)"],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "libpq library not found" in found.stderr:
        pytest.skip("psycopg's Python implementation needs libpq: apt-get install libpq5")
    assert (found.stdout, found.stderr) == ("python\n", "")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider",
         __file__],
        env=environment, capture_output=True, text=True, check=False,
        cwd=Path(__file__).parents[2], timeout=55,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr


# ------------------------------------------------------------------------------------- results


def test_each_twin_has_a_sample() -> None:
    twins = {name for name, twin in TWINS.items() if twin.array_oid is not None}
    assert {sample.twin for sample in [*SCALARS, TIMETZ]} == twins


@FORMATS
@pytest.mark.parametrize("sample", SCALARS, ids=lambda s: f"{s.type} {s.literal}")
def test_a_value_of_each_type(
    connection: psycopg.Connection[Any], sample: Sample, binary: bool
) -> None:
    cursor = connection.execute(
        f"SELECT {sample.sql}, NULL::{sample.type}, [{sample.sql}, NULL]", binary=binary
    )
    assert [d.type_code for d in cursor.description or ()] == [
        sample.oid, sample.oid, sample.array_oid,
    ]  # fmt: skip
    query = f"SELECT {sample.sql}, NULL::{sample.type}"
    assert connection.execute(query, binary=binary).fetchone() == (sample.value, None)


def _first(connection: psycopg.Connection[Any], query: str, binary: bool, *values: Any) -> Any:
    row = connection.execute(query, values or None, binary=binary).fetchone()
    assert row is not None
    return row[0]


@FORMATS
@pytest.mark.parametrize("sample", [*SCALARS, TIMETZ], ids=lambda s: f"{s.type} {s.literal}")
def test_a_list_of_each_type(free: psycopg.Connection[Any], sample: Sample, binary: bool) -> None:
    cursor = free.execute(f"SELECT [{sample.sql}, NULL, {sample.sql}]", binary=binary)
    assert cursor.fetchone() == ([sample.value, None, sample.value],)
    assert cursor.description is not None
    assert cursor.description[0].type_code == sample.array_oid
    assert _first(free, f"SELECT []::{sample.type}[]", binary) == []
    assert _first(free, f"SELECT NULL::{sample.type}[]", binary) is None
    assert _first(free, f"SELECT [{sample.sql}]::{sample.type}[1]", binary) == [sample.value]


@FORMATS
@pytest.mark.parametrize("sample", SCALARS, ids=lambda s: f"{s.type} {s.literal}")
def test_what_an_insert_returns_is_what_a_query_does(
    free: psycopg.Connection[Any], table: str, sample: Sample, binary: bool
) -> None:
    kind = sample.type
    if sample.twin == "ENUM":
        free.execute(f"CREATE TYPE {table}_kind AS {kind}")
        kind = f"{table}_kind"
    free.execute(f"CREATE TABLE {table} (x {kind}, xs {kind}[])")
    literal = sample.literal
    insert = f"INSERT INTO {table} VALUES ({literal}, [{literal}]), (NULL, NULL) RETURNING x, xs"
    returned = free.execute(insert, binary=binary)
    assert returned.fetchall() == [(sample.value, [sample.value]), (None, None)]
    assert [d.type_code for d in returned.description or ()] == [sample.oid, sample.array_oid]


@FORMATS
@pytest.mark.parametrize("expression", TEXTS)
def test_a_type_without_a_twin_is_text(
    connection: psycopg.Connection[Any], table: str, expression: str, binary: bool
) -> None:
    cursor = connection.execute(f"SELECT {expression} AS x", binary=binary)
    assert cursor.description is not None
    assert cursor.description[0].type_code == 25
    assert cursor.fetchone() == (TEXTS[expression],)
    connection.execute(f"CREATE TABLE {table} AS SELECT {expression} AS x LIMIT 0")
    insert = f"INSERT INTO {table} VALUES ({expression}) RETURNING x"
    assert connection.execute(insert, binary=binary).fetchone() == (TEXTS[expression],)


@FORMATS
@pytest.mark.parametrize("expression", NESTED)
def test_a_list_of_lists_has_a_type_of_its_own(
    connection: psycopg.Connection[Any], expression: str, binary: bool
) -> None:
    cursor = connection.execute(f"SELECT {expression}", binary=binary)
    assert cursor.description is not None
    assert cursor.description[0].type_code == 17000
    assert cursor.pgresult is not None
    assert cursor.pgresult.get_value(0, 0) == NESTED[expression].encode()


@FORMATS
def test_the_offset_of_a_time_is_lost_by_default(
    connection: psycopg.Connection[Any], free: psycopg.Connection[Any], binary: bool
) -> None:
    query = f"SELECT {TIMETZ.sql}, [{TIMETZ.sql}]"
    without = TIMETZ.value.replace(tzinfo=None)
    assert connection.execute(query, binary=binary).fetchone() == (without, [without])
    assert free.execute(query, binary=binary).fetchone() == (TIMETZ.value, [TIMETZ.value])


def test_texts_in_a_list_are_quoted_only_without_the_quirk(
    connection: psycopg.Connection[Any], free: psycopg.Connection[Any]
) -> None:
    query = """SELECT ['a b', 'c,d', '"', NULL, 'NULL', '', '\\']"""
    expected = ["a b", "c,d", '"', None, "NULL", "", "\\"]
    assert free.execute(query).fetchone() == (expected,)
    assert free.execute(query, binary=True).fetchone() == (expected,)
    assert connection.execute(query, binary=True).fetchone() == (expected,)
    cursor = connection.execute(query)
    assert cursor.pgresult is not None
    assert cursor.pgresult.get_value(0, 0) == b'{a b,c,d,",NULL,NULL,,\\}'


_LEAST, _MOST = -(2**31), 2**31 - 1
_SOONEST, _LATEST = -(2**63), 2**63 - 1


@pytest.mark.parametrize(
    ("literal", "text", "code", "number"),
    [
        ("DATE 'infinity'", "infinity", "!i", _MOST),
        ("DATE '-infinity'", "-infinity", "!i", _LEAST),
        ("DATE '0044-03-15 (BC)'", "0044-03-15 BC", "!i", -746117),
        ("DATE '20240-02-29'", "20240-02-29", "!i", 6662082),
        ("TIMESTAMP 'infinity'", "infinity", "!q", _LATEST),
        ("TIMESTAMP '-infinity'", "-infinity", "!q", _SOONEST),
        (
            "TIMESTAMP '0044-03-15 (BC) 01:02:03'",
            "0044-03-15 01:02:03 BC",
            "!q",
            (-746117 * 86400 + 3723) * 1_000_000,
        ),
        ("TIMESTAMPTZ 'infinity'", "infinity", "!q", _LATEST),
        ("TIMESTAMPTZ '-infinity'", "-infinity", "!q", _SOONEST),
        ("TIMESTAMP_S 'infinity'", "infinity", "!q", _LATEST),
        ("TIMESTAMP_MS '-infinity'", "-infinity", "!q", _SOONEST),
    ],
)
def test_dates_that_python_does_not_have(
    free: psycopg.Connection[Any], table: str, literal: str, text: str, code: str, number: int
) -> None:
    raw = struct.pack(code, number)
    in_list = struct.pack("!iiiii", 1, 1, _element(literal), 2, 1)
    in_list += struct.pack("!i", len(raw)) + raw + b"\xff\xff\xff\xff"
    quoted = f'{{"{text}",NULL}}'.encode()
    query = f"SELECT {literal} AS x, [{literal}, NULL] AS xs"
    assert _raw(free, query, False) == [text.encode(), quoted]
    assert _raw(free, query, True) == [raw, in_list]
    free.execute(f"CREATE TABLE {table} AS {query}")
    update = f"UPDATE {table} SET x = x RETURNING x, xs"
    assert _raw(free, update, False) == [text.encode(), quoted]
    assert _raw(free, update, True) == [raw, in_list]


def _element(literal: str) -> int:
    return {"DATE": 1082, "TIMESTAMPTZ": 1184}.get(literal.partition(" ")[0], 1114)


def _raw(connection: psycopg.Connection[Any], query: str, binary: bool) -> list[bytes | None]:
    result = connection.execute(query, binary=binary).pgresult
    assert result is not None
    return [result.get_value(0, n) for n in range(result.nfields)]


def test_the_months_of_an_interval(free: psycopg.Connection[Any]) -> None:
    query = "SELECT x, [x] FROM (SELECT INTERVAL '1 year 2 months -3 days 04:05:06.789' AS x)"
    micros = ((4 * 60 + 5) * 60 + 6) * 1_000_000 + 789_000
    raw = struct.pack("!qii", micros, -3, 14)
    assert _raw(free, query, True) == [raw, struct.pack("!iiiiii", 1, 0, 1186, 1, 1, 16) + raw]
    text = b"1 year 2 mons -3 days 04:05:06.789"
    assert _raw(free, query, False) == [text, b'{"' + text + b'"}']


@FORMATS
def test_nan(connection: psycopg.Connection[Any], binary: bool) -> None:
    query = "SELECT 'nan'::FLOAT, ['nan'::FLOAT, NULL], 'nan'::DOUBLE"
    assert repr(connection.execute(query, binary=binary).fetchone()) == "(nan, [nan, None], nan)"


@FORMATS
def test_many_rows_arrive_in_order(free: psycopg.Connection[Any], binary: bool) -> None:
    query = (
        "SELECT i::INTEGER, i::VARCHAR, CASE WHEN i % 3 = 0 THEN NULL "
        "ELSE DATE '2000-01-01' + i::INTEGER END FROM range(10000) r(i) ORDER BY i"
    )
    first = dt.date(2000, 1, 1)
    assert free.execute(query, binary=binary).fetchall() == [
        (i, str(i), None if i % 3 == 0 else first + dt.timedelta(i)) for i in range(10000)
    ]


@FORMATS
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("(SELECT 1 AS a) UNION ALL (SELECT 2) ORDER BY a", [(1,), (2,)]),
        ("(SELECT DATE '2024-02-29')", [(dt.date(2024, 2, 29),)]),
        ("VALUES (1, 'a'), (2, NULL)", [(1, "a"), (2, None)]),
        ("WITH x AS (SELECT 1 AS a) FROM x", [(1,)]),
        ("SELECT 1 AS a, 2 AS a", [(1, 2)]),
        ("SELECT 1 -- a comment", [(1,)]),
        ("/* before */ SELECT 1;", [(1,)]),
    ],
)
def test_the_shapes_of_a_query(
    connection: psycopg.Connection[Any], query: str, expected: list[Any], binary: bool
) -> None:
    cursor = connection.execute(query, binary=binary)
    assert cursor.fetchall() == expected
    assert cursor.statusmessage == f"SELECT {len(expected)}"


def test_dml_after_with(free: psycopg.Connection[Any], table: str) -> None:
    free.execute(f"CREATE TABLE {table} (id int, made date)")
    insert = free.execute(
        f"WITH x AS (SELECT 1 AS id) INSERT INTO {table} SELECT id, '2024-02-29' FROM x"
    )
    assert insert.statusmessage == "INSERT 0 1"
    update = free.execute(
        f"WITH x AS (SELECT %s::int AS n) UPDATE {table} SET id = n FROM x RETURNING made", (5,)
    )
    assert update.fetchall() == [(dt.date(2024, 2, 29),)]
    assert free.execute(f"FROM {table}").fetchall() == [(5, dt.date(2024, 2, 29))]


def test_a_pivot(free: psycopg.Connection[Any], table: str) -> None:
    free.execute(f"CREATE TABLE {table} AS SELECT 'a' AS k, {{'x': 1}} AS v, 5 AS n")
    found = free.execute(f"PIVOT {table} ON k USING sum(n) GROUP BY v")
    assert [d.name for d in found.description or ()] == ["v", "a"]
    assert found.fetchall() == [("{'x': 1}", Decimal(5))]


# ---------------------------------------------------------------------------------- parameters


class _Colour(enum.Enum):
    RED = "r"


_LONG_AGO = dt.datetime(1, 1, 1)
PARAMETERS: list[tuple[Any, str, Any]] = [
    (True, "BOOLEAN", True),
    (1, "SMALLINT", 1),
    (-1, "INTEGER", -1),
    (2**31, "BIGINT", 2**31),
    (2**63 - 1, "BIGINT", 2**63 - 1),
    (2**70, "HUGEINT", Decimal(2**70)),
    (1.5, "DOUBLE", 1.5),
    (float("inf"), "FLOAT", float("inf")),
    (Decimal("-1.25"), "DECIMAL(10,2)", Decimal("-1.25")),
    ("héllo \\ '", "VARCHAR", "héllo \\ '"),
    ("", "VARCHAR", ""),
    ("5", "INTEGER", 5),
    (b"\x00\xff\\", "BLOB", b"\x00\xff\\"),
    (bytearray(b"ab"), "BLOB", b"ab"),
    (memoryview(b"ab"), "BLOB", b"ab"),
    (None, "INTEGER", None),
    (dt.date(2024, 2, 29), "DATE", dt.date(2024, 2, 29)),
    (dt.date.max, "DATE", dt.date.max),
    (dt.time(1, 2, 3, 4), "TIME", dt.time(1, 2, 3, 4)),
    (TIMETZ.value, "TIMETZ", TIMETZ.value),
    (MOMENT, "TIMESTAMP", MOMENT),
    (_LONG_AGO, "TIMESTAMP", _LONG_AGO),
    (MOMENT.replace(tzinfo=UTC), "TIMESTAMPTZ", MOMENT.replace(tzinfo=UTC)),
    (dt.timedelta(-1, 2, 3), "INTERVAL", dt.timedelta(-1, 2, 3)),
    (ID, "UUID", ID),
    (Json({"a": [1, None]}), "JSON", {"a": [1, None]}),
    (Jsonb([1]), "JSON", [1]),
    ([1, 2, None], "INTEGER[]", [1, 2, None]),
    ([1, 2**40], "BIGINT[]", [1, 2**40]),
    ([], "INTEGER[]", []),
    (["a", 'b,"c', None, "", "NULL"], "VARCHAR[]", ["a", 'b,"c', None, "", "NULL"]),
    ([1.5, None], "DOUBLE[]", [1.5, None]),
    ([True, False], "BOOLEAN[]", [True, False]),
    ([Decimal("1.5")], "DECIMAL(5,2)[]", [Decimal("1.50")]),
    ([b"\x01"], "BLOB[]", [b"\x01"]),
    ([dt.date(2024, 2, 29)], "DATE[]", [dt.date(2024, 2, 29)]),
    ([MOMENT], "TIMESTAMP[]", [MOMENT]),
    ([dt.timedelta(1)], "INTERVAL[]", [dt.timedelta(1)]),
    ([dt.time(1)], "TIME[]", [dt.time(1)]),
    ([ID], "UUID[]", [ID]),
    ([Json({"a": 1})], "JSON[]", [{"a": 1}]),
    (_Colour.RED, "VARCHAR", "RED"),
]


@FORMATS
@pytest.mark.parametrize("mark", ["%s", "%t", "%b"])
@pytest.mark.parametrize(
    ("value", "kind", "expected"), PARAMETERS, ids=lambda v: repr(v).split(" at 0x")[0]
)
def test_a_parameter_of_each_type(
    free: psycopg.Connection[Any], value: Any, kind: str, expected: Any, mark: str, binary: bool
) -> None:
    assert _first(free, f"SELECT {mark}::{kind}", binary, value) == expected
    assert _first(free, f"SELECT CAST({mark} AS {kind})", binary, value) == expected


@FORMATS
@pytest.mark.parametrize("mark", ["%s", "%t", "%b"])
def test_a_nan_is_not_null(free: psycopg.Connection[Any], mark: str, binary: bool) -> None:
    nan = float("nan")
    assert repr(_first(free, f"SELECT {mark}::DOUBLE", binary, nan)) == "nan"
    assert repr(_first(free, f"SELECT {mark}::DOUBLE[]", binary, [nan, 1.0])) == "[nan, 1.0]"


def test_a_parameter_of_a_type_that_duckdb_does_not_have(free: psycopg.Connection[Any]) -> None:
    address = ipaddress.ip_address("1.2.3.4")
    assert free.execute("SELECT %t::VARCHAR", (address,)).fetchone() == ("1.2.3.4",)
    with pytest.raises(errors.InvalidTextRepresentation, match="the type 869 is not known"):
        free.execute("SELECT %b::VARCHAR", (address,))


@pytest.mark.parametrize("value", ["x", "1.5.5", ""])
def test_a_parameter_that_is_no_number(connection: psycopg.Connection[Any], value: str) -> None:
    with pytest.raises(psycopg.Error):
        connection.execute("SELECT %s::int", (value,))
    assert connection.execute("SELECT 1").fetchone() == (1,)


_DECIMALS = st.decimals(-(10**15), 10**15, places=10, allow_nan=False, allow_infinity=False)
_LETTERS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
_INTS = {
    "SMALLINT": st.integers(-(2**15), 2**15 - 1),
    "INTEGER": st.integers(-(2**31), 2**31 - 1),
    "BIGINT": st.integers(-(2**63), 2**63 - 1),
}
_VALUES: dict[str, st.SearchStrategy[Any]] = {
    **_INTS,
    "BOOLEAN": st.booleans(),
    "DOUBLE": st.floats(),
    "DECIMAL(38,10)": _DECIMALS,
    "VARCHAR": _LETTERS,
    "BLOB": st.binary(max_size=30),
    "DATE": st.dates(),
    "TIME": st.times(),
    "TIMESTAMP": st.datetimes(),
    "TIMESTAMPTZ": st.datetimes(
        dt.datetime(1, 1, 3), dt.datetime(9999, 12, 29), timezones=st.just(UTC)
    ),
    "INTERVAL": st.timedeltas(dt.timedelta(-100_000), dt.timedelta(100_000)),
    "UUID": st.uuids(),
}
_CASES = st.one_of(
    [st.tuples(st.just(kind), st.none() | values) for kind, values in _VALUES.items()]
    + [
        st.tuples(st.just(f"{kind}[]"), st.lists(st.none() | values, min_size=1, max_size=4))
        for kind, values in _VALUES.items()
    ]
)


@FORMATS
def test_what_goes_in_comes_out(plain: LocalEndpoint, binary: bool) -> None:
    with psycopg.connect(plain.dsn, autocommit=True, prepare_threshold=None) as free:

        @settings(max_examples=200, deadline=None, derandomize=True, database=None)
        @given(_CASES, st.sampled_from(["%s", "%b", "%t"]))
        def check(case: tuple[str, Any], mark: str) -> None:
            kind, value = case
            if isinstance(value, list) and all(item is None for item in value):
                # psycopg would say that these are texts.
                mark = "%t"
            found = _first(free, f"SELECT {mark}::{kind}", binary, value)
            assert repr(found) == repr(value) or found == value

        check()


# ----------------------------------------------------------------------------------- protocols


def test_statements_have_tags_and_counts(free: psycopg.Connection[Any], table: str) -> None:
    def told(query: str) -> tuple[str | None, int]:
        cursor = free.execute(query)
        return cursor.statusmessage, cursor.rowcount

    assert told(f"CREATE TABLE {table} (id int PRIMARY KEY, v text)") == ("CREATE TABLE", -1)
    assert told(f"INSERT INTO {table} VALUES (1, 'a'), (2, 'b')") == ("INSERT 0 2", 2)
    assert told(f"UPDATE {table} SET v = 'c' WHERE id = 1") == ("UPDATE 1", 1)
    assert told(f"DELETE FROM {table} WHERE id > 5") == ("DELETE 0", 0)
    assert told(f"SELECT * FROM {table}") == ("SELECT 2", 2)
    assert told(f"DROP TABLE {table}") == ("DROP TABLE", -1)


def test_several_results(connection: psycopg.Connection[Any]) -> None:
    cursor = connection.execute("SELECT 1; SELECT 2, 'b'; SELECT 3 WHERE false")
    assert cursor.fetchall() == [(1,)]
    assert cursor.nextset() is True
    assert cursor.fetchall() == [(2, "b")]
    assert cursor.nextset() is True
    assert cursor.fetchall() == []
    assert cursor.nextset() is None


def test_nothing_at_all(connection: psycopg.Connection[Any]) -> None:
    for query in ("", " -- nothing", ";"):
        cursor = connection.execute(query)
        assert cursor.pgresult is not None
        assert cursor.pgresult.status == ExecStatus.EMPTY_QUERY


def test_row_factories(connection: psycopg.Connection[Any]) -> None:
    query = "SELECT 1 AS id, 'a' AS name"
    with connection.cursor(row_factory=rows.dict_row) as cursor:
        assert cursor.execute(query).fetchone() == {"id": 1, "name": "a"}
    with connection.cursor(row_factory=rows.namedtuple_row) as named:
        assert named.execute(query).fetchone() == (1, "a")
    with connection.cursor(row_factory=rows.scalar_row) as scalar:
        assert scalar.execute(query).fetchone() == 1


def test_executemany(free: psycopg.Connection[Any], table: str) -> None:
    free.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, v text)")
    with free.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {table} VALUES (%s, %s)", [(i, f"v{i}") for i in range(9)])
        assert cursor.rowcount == 9
        cursor.executemany(
            f"UPDATE {table} SET v = %s WHERE id = %s RETURNING v",
            [("x", 1), ("y", 2)],
            returning=True,
        )
        assert cursor.fetchall() == [("x",)]
        assert cursor.nextset() is True
        assert cursor.fetchall() == [("y",)]
    query = f"SELECT v FROM {table} WHERE id < 4 ORDER BY id"
    assert free.execute(query).fetchall() == [("v0",), ("x",), ("y",), ("v3",)]


def test_executemany_of_a_counted_statement(
    connection: psycopg.Connection[Any], table: str
) -> None:
    connection.execute(f"CREATE TABLE {table} AS SELECT 1 AS id, 0 AS v")
    with connection.cursor() as cursor:
        cursor.executemany(f"UPDATE {table} SET v = %s WHERE id = %s", [(7, 1), (8, 2)])
    assert connection.execute(f"FROM {table}").fetchall() == [(1, 7)]


@FORMATS
def test_stream(connection: psycopg.Connection[Any], binary: bool) -> None:
    query = "WITH RECURSIVE x(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM x WHERE a < 5000) FROM x"
    sizes = (1, 100) if psycopg.capabilities.has_stream_chunked() else (1,)
    for size in sizes:
        with connection.cursor() as cursor:
            found = [a for (a,) in cursor.stream(query, binary=binary, size=size)]
        assert found == list(range(1, 5001))
    with connection.cursor() as cursor:
        for (a,) in cursor.stream(query):
            if a == 10:
                break
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_pipeline(connection: psycopg.Connection[Any], table: str) -> None:
    connection.execute(f"CREATE TABLE {table} (id int PRIMARY KEY)")
    with connection.pipeline() as pipeline:
        cursors = [connection.execute("SELECT %s::int * 2", (i,)) for i in range(50)]
        inserted = connection.execute(f"INSERT INTO {table} VALUES (%s)", (1,))
        pipeline.sync()
        counted = connection.execute(f"SELECT count(*) FROM {table}")
    assert [cursor.fetchone() for cursor in cursors] == [(i * 2,) for i in range(50)]
    assert inserted.rowcount == 1
    assert counted.fetchone() == (1,)


def test_an_error_in_a_pipeline_skips_to_the_next_sync(
    connection: psycopg.Connection[Any], table: str
) -> None:
    connection.execute(f"CREATE TABLE {table} (id int)")
    with pytest.raises(psycopg.Error, match="nope"), connection.pipeline():
        connection.execute("SELECT 1")
        connection.execute("SELECT nope")
        connection.execute(f"INSERT INTO {table} VALUES (1)")
    with connection.pipeline():
        found = connection.execute(f"SELECT count(*) FROM {table}")
    assert found.fetchone() == (0,)
    assert connection.info.transaction_status == TransactionStatus.IDLE


def test_prepared_statements(connection: psycopg.Connection[Any], table: str) -> None:
    connection.execute(f"CREATE TABLE {table} AS SELECT 1 AS id, 'a' AS v")
    query = f"SELECT v FROM {table} WHERE id = %s"
    for _ in range(8):
        assert connection.execute(query, (1,), prepare=True).fetchone() == ("a",)
        assert connection.execute(query, (2,), prepare=True).fetchone() is None
    # Other columns since: the statement is still good.
    connection.execute(f"DROP TABLE {table}")
    connection.execute(f"CREATE TABLE {table} AS SELECT 1 AS id, DATE '2024-02-29' AS v")
    found = connection.execute(query, (1,), prepare=True).fetchone()
    assert found == (dt.date(2024, 2, 29),)


def test_prepared_statements_that_make_room(local: LocalEndpoint) -> None:
    with psycopg.connect(local.dsn, autocommit=True, prepare_threshold=0) as connection:
        connection.prepared_max = 2
        for i in range(6):
            assert connection.execute(f"SELECT %s::int + {i}", (1,)).fetchone() == (1 + i,)
            assert connection.execute(f"SELECT %s::int + {i}", (2,)).fetchone() == (2 + i,)


def test_a_server_side_cursor_needs_declare(connection: psycopg.Connection[Any]) -> None:
    with pytest.raises(psycopg.Error, match="DECLARE"), connection.cursor("c") as cursor:
        cursor.execute("SELECT 1")


# -------------------------------------------------------------------------------- transactions


def test_commit_and_rollback(local: LocalEndpoint, table: str) -> None:
    with (
        psycopg.connect(local.dsn, prepare_threshold=None) as writer,
        psycopg.connect(local.dsn, autocommit=True) as reader,
    ):
        writer.execute(f"CREATE TABLE {table} (id int)")
        writer.commit()
        writer.execute(f"INSERT INTO {table} VALUES (1)")
        assert writer.info.transaction_status == TransactionStatus.INTRANS
        assert reader.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
        writer.commit()
        assert writer.info.transaction_status == TransactionStatus.IDLE
        assert reader.execute(f"SELECT count(*) FROM {table}").fetchone() == (1,)
        writer.execute(f"INSERT INTO {table} VALUES (2)")
        writer.rollback()
        assert writer.info.transaction_status == TransactionStatus.IDLE
        assert reader.execute(f"FROM {table}").fetchall() == [(1,)]


def test_a_transaction_block(connection: psycopg.Connection[Any], table: str) -> None:
    connection.execute(f"CREATE TABLE {table} (id int)")
    with connection.transaction():
        connection.execute(f"INSERT INTO {table} VALUES (1)")
    with connection.transaction(force_rollback=True):
        connection.execute(f"INSERT INTO {table} VALUES (2)")
    with pytest.raises(ZeroDivisionError), connection.transaction():
        connection.execute(f"INSERT INTO {table} VALUES (3)")
        raise ZeroDivisionError
    assert connection.execute(f"FROM {table}").fetchall() == [(1,)]
    assert connection.info.transaction_status == TransactionStatus.IDLE


def test_an_error_in_a_transaction(free: psycopg.Connection[Any], table: str) -> None:
    free.execute(f"CREATE TABLE {table} (id int PRIMARY KEY)")
    with pytest.raises(errors.UniqueViolation), free.transaction():
        free.execute(f"INSERT INTO {table} VALUES (1)")
        free.execute(f"INSERT INTO {table} VALUES (1)")
    assert free.info.transaction_status == TransactionStatus.IDLE
    assert free.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_a_failed_transaction_is_told(free: psycopg.Connection[Any], table: str) -> None:
    free.execute(f"CREATE TABLE {table} (id int PRIMARY KEY)")
    free.execute("BEGIN")
    free.execute(f"INSERT INTO {table} VALUES (1)")
    with pytest.raises(errors.UniqueViolation):
        free.execute(f"INSERT INTO {table} VALUES (1)")
    assert free.info.transaction_status == TransactionStatus.INERROR
    with pytest.raises(errors.InFailedSqlTransaction):
        free.execute("SELECT 1")
    assert free.execute("COMMIT").statusmessage == "ROLLBACK"
    assert free.info.transaction_status == TransactionStatus.IDLE


def test_a_savepoint_is_refused(connection: psycopg.Connection[Any]) -> None:
    with pytest.raises(psycopg.Error, match="SAVEPOINT"):
        with connection.transaction():
            connection.execute("SAVEPOINT a")
    assert connection.execute("SELECT 1").fetchone() == (1,)


def test_errors_have_one_code_by_default(
    connection: psycopg.Connection[Any], free: psycopg.Connection[Any]
) -> None:
    with pytest.raises(psycopg.InternalError, match="nope") as caught:
        connection.execute("SELECT * FROM nope")
    assert caught.value.sqlstate == "XXUUU"
    with pytest.raises(errors.UndefinedTable, match="nope"):
        free.execute("SELECT * FROM nope")
    with pytest.raises(errors.SyntaxError):
        free.execute("SELEC 1")


# ------------------------------------------------------------------------------------ the rest


@pytest.mark.parametrize("form", ["csv", "text"])
def test_copy_out(connection: psycopg.Connection[Any], table: str, form: str) -> None:
    connection.execute(
        f"CREATE TABLE {table} AS FROM (VALUES (1, 'a,b', DATE '2024-02-29', [1, NULL]), "
        "(2, NULL, NULL, NULL), (3, E'x\\ty\\\\\\n', 'infinity', []))"
    )
    with connection.cursor().copy(f"COPY {table} TO STDOUT (FORMAT {form})") as copy:
        found = b"".join(bytes(part) for part in copy)
    assert (
        found
        == {
            "csv": b'1,"a,b",2024-02-29,"{1,NULL}"\n2,,,\n3,"x\ty\\\n",infinity,{}\n',
            "text": b"1\ta,b\t2024-02-29\t{1,NULL}\n2\t\\N\t\\N\t\\N\n3\tx\\ty\\\\\\n\tinfinity\t{}\n",
        }[form]
    )


def test_copy_out_as_rows(connection: psycopg.Connection[Any]) -> None:
    query = "COPY (SELECT 1 AS a, E'x\\ty' AS b, NULL AS c UNION ALL SELECT 2, '', 5) TO STDOUT"
    with connection.cursor() as cursor:
        with cursor.copy(query) as copy:
            assert list(copy.rows()) == [("1", "x\ty", None), ("2", "", "5")]
        assert cursor.rowcount == 2
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        copy.set_types(["int4", "text", "int4"])
        assert list(copy.rows()) == [(1, "x\ty", None), (2, "", 5)]


def test_copy_in(
    connection: psycopg.Connection[Any], free: psycopg.Connection[Any], table: str
) -> None:
    for c in (connection, free):
        c.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, v text, d date)")
    query = f"COPY {table} FROM STDIN"
    with pytest.raises(psycopg.Error, match="COPY FROM STDIN is not supported"):
        with connection.cursor().copy(query) as copy:
            copy.write_row((1, "a", None))
    expected = [(i, f"v\t{i}\\", dt.date(2024, 2, 29)) for i in range(1000)] + [(5000, None, None)]
    with free.cursor() as cursor:
        with cursor.copy(query) as copy:
            for row in expected:
                copy.write_row(row)
        assert cursor.rowcount == 1001
    assert free.execute(f"FROM {table} ORDER BY id").fetchall() == expected
    with pytest.raises(ZeroDivisionError), free.cursor().copy(query) as copy:
        copy.write_row((6000, "a", None))
        raise ZeroDivisionError
    with pytest.raises(errors.UniqueViolation), free.cursor().copy(query) as copy:
        copy.write_row((7000, "a", None))
        copy.write_row((1, "a", None))
    assert free.execute(f"SELECT count(*) FROM {table}").fetchone() == (1001,)


def test_cancel(plain: LocalEndpoint) -> None:
    with psycopg.connect(plain.dsn, autocommit=True) as free:
        caught: list[BaseException] = []

        def run() -> None:
            try:
                free.execute(ENDLESS)
            except psycopg.Error as error:
                caught.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        while thread.is_alive():
            free.cancel_safe(timeout=5)
            thread.join(0.02)
        assert isinstance(caught[0], errors.QueryCanceled)
        assert free.execute("SELECT 1").fetchone() == (1,)


def test_what_a_connection_tells(local: LocalEndpoint) -> None:
    notices: list[Any] = []
    with psycopg.connect(local.dsn, application_name="a test", autocommit=True) as connection:
        connection.add_notice_handler(notices.append)
        info = connection.info
        assert (info.host, info.port, info.user) == ("127.0.0.1", local.port, "postgres")
        assert info.dbname == local.database
        assert info.encoding == "utf-8"
        assert info.server_version == 160000
        assert info.backend_pid > 0
        assert info.parameter_status("application_name") == "a test"
        assert info.parameter_status("standard_conforming_strings") == "on"
        assert info.parameter_status("DateStyle") == "ISO, MDY"
        connection.execute("SET TimeZone = 'Europe/Berlin'")
        assert info.parameter_status("TimeZone") == "Europe/Berlin"
        assert str(info.timezone) == "Europe/Berlin"
        query = "SELECT TIMESTAMPTZ '2024-07-01 12:00:00+00'"
        for binary in (False, True):
            found = _first(connection, query, binary)
            assert found.isoformat() == "2024-07-01T14:00:00+02:00"
    assert notices == []


def test_a_password(locked: LocalEndpoint) -> None:
    with psycopg.connect(locked.dsn) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert connection.info.password == "corréct horse"
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(locked.public_dsn, password="wrong")
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(locked.public_dsn, passfile="/nowhere")


def test_a_pool_gives_each_thread_its_own_rows(locked: LocalEndpoint) -> None:
    with ConnectionPool(locked.dsn, min_size=3, max_size=3, kwargs={"autocommit": True}) as pool:
        everyone = threading.Barrier(6)

        def work(number: int) -> list[Any]:
            everyone.wait(10)
            found = []
            for i in range(20):
                with pool.connection() as connection:
                    row = connection.execute("SELECT %s::int, %s::text", (number, str(i)))
                    found.append(row.fetchone())
            return found

        with ThreadPoolExecutor(6) as threads:
            results = list(threads.map(work, range(6)))
    assert results == [[(n, str(i)) for i in range(20)] for n in range(6)]


def test_a_pool_rolls_back_what_failed(local: LocalEndpoint, table: str) -> None:
    options = {"prepare_threshold": None}
    with ConnectionPool(local.dsn, min_size=1, max_size=1, kwargs=options) as pool:
        with pool.connection() as connection:
            connection.execute(f"CREATE TABLE {table} (id int)")
        with pytest.raises(ZeroDivisionError), pool.connection() as connection:
            connection.execute(f"INSERT INTO {table} VALUES (1)")
            raise ZeroDivisionError
        with pool.connection() as connection:
            assert connection.execute(f"FROM {table}").fetchall() == []
        assert pool.get_stats()["connections_num"] == 1


# --------------------------------------------------------------------------------------- async


async def test_async_queries_and_parameters(local: LocalEndpoint, table: str) -> None:
    async with await psycopg.AsyncConnection.connect(local.dsn, autocommit=True) as connection:
        await connection.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, v uuid)")
        key = uuid.UUID(int=5)
        inserted = await connection.execute(
            f"INSERT INTO {table} VALUES (%s, %s) RETURNING *", (1, key), binary=True
        )
        assert await inserted.fetchall() == [(1, key)]
        found = await connection.execute(f"SELECT v FROM {table} WHERE id = %s", (1,), prepare=True)
        assert await found.fetchone() == (key,)
        for sample in SCALARS:
            for binary in (False, True):
                cursor = await connection.execute(f"SELECT {sample.sql}", binary=binary)
                assert await cursor.fetchone() == (sample.value,)


async def test_async_stream_pipeline_and_copy(plain: LocalEndpoint, table: str) -> None:
    async with await psycopg.AsyncConnection.connect(plain.dsn, autocommit=True) as free:
        async with free.cursor() as cursor:
            found = [i async for (i,) in cursor.stream("SELECT i FROM range(3000) r(i)")]
        assert found == list(range(3000))
    # With the one that has streamed psycopg would fail, with PostgreSQL just so.
    async with await psycopg.AsyncConnection.connect(plain.dsn, autocommit=True) as free:
        async with free.pipeline():
            cursors = [await free.execute("SELECT %s::int", (i,)) for i in range(20)]
        assert [await c.fetchone() for c in cursors] == [(i,) for i in range(20)]
        await free.execute(f"CREATE TABLE {table} (id int, v text)")
        async with free.cursor() as cursor:
            async with cursor.copy(f"COPY {table} FROM STDIN") as copy:
                await copy.write_row((1, "a"))
            async with cursor.copy(f"COPY {table} TO STDOUT") as copy:
                assert [row async for row in copy.rows()] == [("1", "a")]
            await cursor.executemany(f"INSERT INTO {table} VALUES (%s, %s)", [(2, "b"), (3, "c")])
            assert cursor.rowcount == 2


async def test_async_transactions(local: LocalEndpoint, table: str) -> None:
    async with await psycopg.AsyncConnection.connect(local.dsn, autocommit=True) as connection:
        await connection.execute(f"CREATE TABLE {table} (id int)")
        async with connection.transaction():
            await connection.execute(f"INSERT INTO {table} VALUES (1)")
            assert connection.info.transaction_status == TransactionStatus.INTRANS
        with pytest.raises(ZeroDivisionError):
            async with connection.transaction():
                await connection.execute(f"INSERT INTO {table} VALUES (2)")
                raise ZeroDivisionError
        cursor = await connection.execute(f"FROM {table}")
        assert await cursor.fetchall() == [(1,)]


async def test_async_cancel(plain: LocalEndpoint) -> None:
    async with await psycopg.AsyncConnection.connect(plain.dsn, autocommit=True) as free:
        task = asyncio.create_task(free.execute(ENDLESS))
        while not task.done():
            await free.cancel_safe(timeout=5)
            await asyncio.wait([task], timeout=0.02)
        assert isinstance(task.exception(), errors.QueryCanceled)
        # A task that is cancelled cancels its statement, too.
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(free.execute(ENDLESS), 0.1)
        cursor = await free.execute("SELECT 1")
        assert await cursor.fetchone() == (1,)


async def test_an_async_pool_gives_each_task_its_own_rows(locked: LocalEndpoint) -> None:
    pool = AsyncConnectionPool(
        locked.dsn, min_size=3, max_size=3, kwargs={"autocommit": True}, open=False
    )

    async def work(number: int) -> list[Any]:
        found = []
        for i in range(20):
            async with pool.connection() as connection:
                cursor = await connection.execute("SELECT %s::int, %s::text", (number, str(i)))
                found.append(await cursor.fetchone())
        return found

    async with pool:
        results = await asyncio.gather(*map(work, range(6)))
    assert results == [[(n, str(i)) for i in range(20)] for n in range(6)]


def test_quirks_that_a_psycopg_program_meets() -> None:
    with LocalEndpoint(quirks=Quirks.parse(["none", "strict_grammar"])) as strict:
        # A rollback makes psycopg forget its prepared statements: DEALLOCATE ALL.
        with psycopg.connect(strict.dsn, prepare_threshold=0) as connection:
            connection.execute("SELECT %s::int", (1,))
            with pytest.raises(psycopg.Error, match="DEALLOCATE"):
                connection.rollback()
        with psycopg.connect(strict.dsn, prepare_threshold=None) as connection:
            connection.execute("SELECT %s::int", (1,))
            connection.rollback()
