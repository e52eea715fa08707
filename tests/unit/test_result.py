"""Fetching from a result that consists of several batches, and what it is in Arrow."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from typing import Any

import duckdb
import psycopg
import pyarrow as pa
import pytest
from psycopg.rows import dict_row, scalar_row

import pgmd
from pgmd.answers.columns import Column
from pgmd.answers.result import Result
from pgmd.answers.rows import ArrowRows, ListRows
from pgmd.answers.shapes import Shapes
from pgmd.parity import arrow
from pgmd.replicas.cursor import Cursor, Run, Statements
from pgmd.request import Request
from pgmd.routing.decision import Decision, Reason, Route

HERE = Decision(Route.REPLICA, Reason.READ)
MANY = 25_000


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        yield opened


def result_of(connection: duckdb.DuckDBPyConnection, query: str, **options: Any) -> Result[Any]:
    request = Request.read(query, None, None)
    reading = Shapes(dt.UTC, alone=True).reading(request, None)
    answer = Cursor(connection, Statements()).execute(Run(), query, (), reading)
    loaded = reading.load(answer)
    return result(loaded.rows, loaded.columns, **options)


def result(rows: Any, columns: Any, **options: Any) -> Result[Any]:
    return Result(
        rows, columns, HERE, seconds=0.0, rowcount=len(rows), statusmessage="SELECT", **options
    )


@pytest.mark.parametrize("column", ["range", "[{'a': range}]"])
def test_other_threads_need_not_wait_for_all_rows(
    connection: duckdb.DuckDBPyConnection, column: str
) -> None:
    res = result_of(connection, f"SELECT {column} FROM range(150_000)")
    parts = list(map(len, res.lists()))
    # A batch of Arrow has more, so that there are few of them.
    assert (max(parts), sum(parts)) == (10_000, 150_000)
    assert len(list(res.batches())) == 6


def test_each_row_is_fetched_once_whatever_the_batches(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    res = result_of(connection, f"FROM range({MANY})")
    assert isinstance(res._rows, ArrowRows)
    got = [res.fetchone(), *res.fetchmany(9_998), *res.fetchmany(3)]
    got += islice(res, 10_000)
    got += res.fetchall()
    assert got == [(n,) for n in range(MANY)]
    assert res.fetchone() is None
    assert (res.fetchmany(5), res.fetchall(), list(res)) == ([], [], [])
    assert res.rowcount == MANY


@pytest.mark.parametrize(("factory", "first"), [(dict_row, {"a": 0}), (scalar_row, 0)])
def test_a_row_factory_makes_every_row(
    connection: duckdb.DuckDBPyConnection, factory: Any, first: Any
) -> None:
    res = result_of(connection, f"SELECT range AS a FROM range({MANY})", row_factory=factory)
    rows = res.fetchall()
    assert (rows[0], len(rows)) == (first, MANY)
    assert {type(row) for row in rows} == {type(first)}


def test_arrow_is_the_complete_result_whatever_was_fetched(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    res = result_of(connection, f"SELECT range::TINYINT AS a FROM range({100})")
    res.fetchmany(7)
    table = res.arrow()
    assert (table.num_rows, table.schema) == (100, pa.schema([("a", pa.int16())]))
    assert len(res.fetchall()) == 93
    assert sum(batch.num_rows for batch in res.batches()) == 100
    assert res.df()["a"].tolist() == res.pl()["a"].to_list() == list(range(100))


def test_no_rows_have_a_schema_too(connection: duckdb.DuckDBPyConnection) -> None:
    res = result_of(connection, "SELECT 1::HUGEINT AS h, DATE '2024-01-01' AS d WHERE false")
    assert res.arrow().schema == pa.schema([("h", pa.decimal128(38, 0)), ("d", pa.date32())])
    assert (res.arrow().num_rows, res.fetchall()) == (0, [])


def test_a_numeric_without_a_precision_gets_what_its_values_need() -> None:
    columns = [Column("n", 1700)]
    for values, kind in (
        (["1", "20"], pa.decimal128(38, 0)),
        (["1.25", "20"], pa.decimal128(4, 2)),
    ):
        rows = ListRows([(Decimal(value),) for value in values], lambda _: [])
        assert result(rows, columns).arrow().schema.types == [kind]
    rows = ListRows([(Decimal("1" * 39),)], lambda _: [])
    with pytest.raises(pgmd.ParityError, match='column 1 "n"'):
        result(rows, columns).arrow()


def test_a_statement_without_rows_has_none_in_arrow_either() -> None:
    res: Result[Any] = Result(None, (), HERE, seconds=0.0, rowcount=-1, statusmessage="SET")
    for ask in (res.arrow, res.batches, res.df, res.pl, res.fetchall, res.fetchone):
        with pytest.raises(psycopg.ProgrammingError, match="didn't produce records"):
            ask()


def test_without_pyarrow_it_is_said_what_to_install(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrow, "is_there", lambda: False)
    res = result_of(connection, "SELECT 1 AS a")
    with pytest.raises(pgmd.ConfigurationError, match=r"pip install 'pgmd\[arrow\]'"):
        res.arrow()
    assert res.fetchall() == [(1,)]


def test_which_way_the_next_answer_is_fetched(connection: duckdb.DuckDBPyConnection) -> None:
    shapes, cursor = Shapes(dt.UTC, alone=True), Cursor(connection, Statements())
    columns = [Column("a", 23)]

    def fetch(query: str) -> Any:
        reading = shapes.reading(Request.read(query, None, None), None)
        return reading.load(cursor.execute(Run(), query, (), reading)).rows

    few, many = "SELECT 1 AS a", f"SELECT range::INTEGER AS a FROM range({MANY})"
    assert [type(fetch(few)) for _ in range(2)] == [ArrowRows, ListRows]
    assert [type(fetch(many)) for _ in range(2)] == [ArrowRows, ArrowRows]
    result(fetch(few), columns).arrow()
    assert type(fetch(few)) is ArrowRows


def test_larger_answers_come_in_larger_batches(connection: duckdb.DuckDBPyConnection) -> None:
    shapes, cursor = Shapes(dt.UTC, alone=True), Cursor(connection, Statements())

    def sizes(query: str) -> list[int]:
        reading = shapes.reading(Request.read(query, None, None), None)
        answer = cursor.execute(Run(), query, (), reading)
        reading.load(answer)
        return [batch.num_rows for batch in answer.batches or ()]

    query = "SELECT range AS a FROM range(100000)"
    assert sizes(query) == [28_672, 28_672, 28_672, 13_984]
    assert sizes(query) == [61_440, 38_560]


@pytest.mark.parametrize("reads", [1, 2])
def test_columns_that_have_changed_are_looked_at_anew(
    connection: duckdb.DuckDBPyConnection, reads: int
) -> None:
    shapes, cursor = Shapes(dt.UTC, alone=True), Cursor(connection, Statements())

    def fetch(query: str) -> Any:
        reading = shapes.reading(Request.read(query, None, None), None)
        loaded = reading.load(cursor.execute(Run(), query, (), reading))
        return [row for rows in loaded.rows.lists() for row in rows], loaded.columns[0].type_code

    for value, expected, oid in (
        ("{'a': 1}", {"a": 1}, 25),
        ("{'a': '1'}", {"a": "1"}, 25),
        ("{'b': 1}", {"b": 1}, 25),
        ("INTERVAL 1 YEAR", dt.timedelta(365), 1186),
        ("5::HUGEINT", Decimal(5), 1700),
        ("5", 5, 23),
        ("union_value(a := 5)", "5", 25),
    ):
        connection.execute(f"CREATE OR REPLACE TABLE t AS SELECT {value} AS v")
        # As Arrow, and then as rows.
        for _ in range(reads):
            assert fetch("SELECT v FROM t") == ([(expected,)], oid)
