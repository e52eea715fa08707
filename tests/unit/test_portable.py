"""What is let through is the same on PostgreSQL and DuckDB; what is refused was seen to differ."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from pgmd.sql import analyse

CORPUS: dict[str, Any] = tomllib.loads(
    (Path(__file__).parents[1] / "corpora" / "portable.toml").read_text()
)
PORTABLE: list[str] = CORPUS["portable"]
NARROWED: list[str] = CORPUS["narrowed"]
UNPORTABLE: list[dict[str, str]] = CORPUS["unportable"]
RECORDED = pytest.mark.skipif(
    not duckdb.__version__.startswith("1.5."), reason="recorded with duckdb 1.5"
)


@pytest.fixture(scope="module")
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET default_null_order = 'nulls_last_on_asc_first_on_desc'")
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(CORPUS["schema"])
        yield connection


@pytest.fixture
def postgres(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET search_path = pg_temp")
        connection.execute(CORPUS["schema"])
        yield connection


def answer(connection: Any, sql: str) -> list[tuple[Any, ...]] | str:
    try:
        rows = connection.execute(sql).fetchall()
    except (duckdb.Error, psycopg.Error) as error:
        return type(error).__name__
    return [tuple(row) for row in rows]


def comparable(value: Any) -> Any:
    # Whole numbers are converted by the result's type; the scale of a decimal is part of it.
    if isinstance(value, Decimal) and value == value.to_integral_value() and "." not in str(value):
        return str(int(value))
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def same(left: Any, right: Any) -> bool:
    if isinstance(left, str) or isinstance(right, str):
        return bool(left == right)
    return sorted([comparable(v) for v in row] for row in left) == sorted(
        [comparable(v) for v in row] for row in right
    )


@pytest.mark.parametrize("sql", PORTABLE)
def test_no_objection(sql: str) -> None:
    statement = analyse(sql)
    assert statement.is_read
    assert statement.unportable == ""


@pytest.mark.parametrize("sql", NARROWED)
def test_refused_because_types_are_not_known(sql: str) -> None:
    assert analyse(sql).unportable


@pytest.mark.parametrize("sql", PORTABLE)
def test_portable_statement_runs_on_duckdb(sql: str, duck: duckdb.DuckDBPyConnection) -> None:
    assert isinstance(answer(duck, sql), list)


@pytest.mark.parametrize("case", UNPORTABLE, ids=lambda case: case["sql"])
def test_objection(case: dict[str, str]) -> None:
    statement = analyse(case["sql"])
    assert statement.is_read
    assert statement.unportable == case["why"]


@RECORDED
@pytest.mark.parametrize("case", UNPORTABLE, ids=lambda case: case["sql"])
def test_recorded_answer_of_duckdb(case: dict[str, str], duck: duckdb.DuckDBPyConnection) -> None:
    assert str(answer(duck, case["sql"])) == case["duckdb"]
    assert case["duckdb"] != case["postgres"]


@pytest.mark.postgres
def test_both_answer_alike(
    postgres: psycopg.Connection[Any], duck: duckdb.DuckDBPyConnection
) -> None:
    alike = [*PORTABLE, *NARROWED]
    different = [sql for sql in alike if not same(answer(postgres, sql), answer(duck, sql))]
    assert not different


@pytest.mark.postgres
def test_recorded_answers_of_postgres(postgres: psycopg.Connection[Any]) -> None:
    # Hexadecimal numbers, underscores in numbers and more came with PostgreSQL 16.
    unknown = "SyntaxError" if postgres.info.server_version < 160000 else None
    for case in UNPORTABLE:
        got = str(answer(postgres, case["sql"]))
        assert got in (case["postgres"], unknown), case["sql"]
        assert got != case["duckdb"], case["sql"]


# ------------------------------------------------------------------------- without an experiment


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("SELECT a / b FROM t", "operator /"),
        ("SELECT avg(a) FROM t", "avg() without a cast to double precision"),
        ("SELECT avg(a::double precision) FROM t", ""),
        ("SELECT avg(CAST(a AS double precision)) FROM t", ""),
        ("SELECT avg(DISTINCT a::float8) FROM t", ""),
        ("SELECT avg(a::double precision + 1::numeric(3,1)) FROM t", "avg() without"),
        ("SELECT avg((a)::double precision) FILTER (WHERE b = 'x') FROM t", ""),
        ("SELECT a FROM t LIMIT 3", "LIMIT without ORDER BY"),
        ("SELECT a FROM (SELECT a FROM t LIMIT 3) q ORDER BY a", "LIMIT without ORDER BY"),
        ("SELECT a FROM t ORDER BY a LIMIT $1", ""),
        # All of its rows are equal.
        ('SELECT 1 AS "a" FROM t WHERE b = $1 LIMIT 1', ""),
        ("SELECT 1 FROM t LIMIT 3 OFFSET 2", ""),
        ("SELECT b FROM t WHERE EXISTS (SELECT 1 AS a FROM u LIMIT 1)", ""),
        ("SELECT 1, a FROM t LIMIT 1", "LIMIT without ORDER BY"),
        ("SELECT 1 AS x, a FROM t LIMIT 1", "LIMIT without ORDER BY"),
        ("SELECT 1 + a FROM t LIMIT 1", "LIMIT without ORDER BY"),
        ("SELECT a FROM t WHERE b LIKE $1", "LIKE with"),
        ("SELECT a FROM t WHERE a = $key", "parameter $key"),
        ("SELECT a FROM t WHERE a = $1", ""),
        ("SELECT a FROM t asof JOIN u ON t.a = u.a", "ASOF"),
        ("SELECT a FROM t positional JOIN u ON t.a = u.a", "POSITIONAL"),
        ("SELECT t IS NOT NULL FROM s.t", "t may be a whole row"),
        ('SELECT "A" FROM t', "a quoted name with capital letters"),
        ('SELECT "a" FROM "t"', ""),
        ("SELECT 0x10 FROM t", "the number 0x10"),
        ("SELECT a FROM t WHERE b IN ('x', 'y') AND c IN (1, 2)", ""),
        ("SELECT a FROM t WHERE (a, b) IN ((1, 2))", "a row value"),
        ("SELECT lower(a) FROM t", "lower()"),
        ("SELECT a FROM t ORDER BY length(a)", "an expression in ORDER BY"),
        ("SELECT a AS b FROM t ORDER BY b + 1", "arithmetic outside"),
        ("SELECT a, count(*) FROM t GROUP BY a ORDER BY count(*) DESC, a", ""),
        ("SELECT a FROM t GROUP BY ALL", "BY ALL"),
        ("FROM t", "FROM first"),
        ("SELECT a FROM t WHERE u = '123e4567-e89b-12d3-a456-426614174000'", ""),
        ("SELECT a FROM t WHERE b = 'now'", "the text 'now'"),
        ("SELECT a FROM t WHERE d >= '2020-01-01'", ""),
        ("SELECT a FROM t WHERE d >= date '2020-01-01' + interval '1 month'", ""),
        ("SELECT a FROM t WHERE a + 1 > 5", "arithmetic outside"),
        ("SELECT a + 1 FROM t WHERE a > 5", ""),
        ("SELECT a + 1 > 5 FROM t", "arithmetic beside a comparison"),
        ("SELECT a.x FROM t a, u b WHERE a.x = b.x AND a.y IS DISTINCT FROM b.y", ""),
        ("SELECT coalesce(a, 0) FROM t", "coalesce() with a numeric constant"),
        ("SELECT coalesce(a, b) FROM t", "coalesce() of what may differ in scale"),
        ("SELECT coalesce(a, '5') FROM t", "coalesce() of what may differ in scale"),
        ("SELECT coalesce(a, b, '?') FROM t", ""),
        ("SELECT coalesce(a, NULL) FROM t", ""),
        ("SELECT coalesce(a, false) FROM t", ""),
        ("SELECT coalesce(a, b::float8) FROM t", ""),
        ("SELECT coalesce(a::float8, b) FROM t", ""),
        ("SELECT coalesce(a, date '2020-01-01') FROM t", ""),
        ("SELECT lag(a, 1, b) OVER (ORDER BY c) FROM t", "lag() of what may differ in scale"),
        ("SELECT lag(a, 1, 0) OVER (ORDER BY c) FROM t", "lag() of what may differ in scale"),
        ("SELECT lead(a, 1, '?') OVER (ORDER BY c) FROM t", ""),
        ("SELECT lead(a, 1) OVER (ORDER BY c) FROM t", ""),
        ("SELECT nth_value(a, b) OVER (ORDER BY c) FROM t", "nth_value() with no positive"),
        ("SELECT nth_value(a, 0) OVER (ORDER BY c) FROM t", "nth_value() with no positive"),
        ("SELECT nth_value(a, 1 - 1) OVER (ORDER BY c) FROM t", "nth_value() with no positive"),
        ("SELECT CASE WHEN a THEN b ELSE c END FROM t", "CASE of branches that may differ"),
        ("SELECT CASE WHEN a THEN b ELSE 0 END FROM t", "CASE with a numeric constant"),
        ("SELECT CASE WHEN a THEN b ELSE '7' END FROM t", "CASE of branches that may differ"),
        ("SELECT CASE WHEN a THEN b WHEN c THEN d END FROM t", "CASE of branches that may differ"),
        ("SELECT CASE WHEN a THEN b::float8 ELSE c END FROM t", ""),
        ("SELECT CASE WHEN a THEN b ELSE c::float8 END FROM t", ""),
        ("SELECT CASE WHEN a THEN b ELSE NULL END FROM t", ""),
        ("SELECT CASE WHEN a THEN -1 ELSE +1 END FROM t", ""),
        ("SELECT CASE WHEN a THEN CASE WHEN b THEN 1 END ELSE 0 END FROM t", "CASE with"),
        ("SELECT CASE WHEN a THEN 1 ELSE 0 END, CASE WHEN b THEN c END FROM t", ""),
        ("SELECT a FROM t FULL JOIN u USING (a)", "FULL JOIN, with columns"),
        ("SELECT a FROM t NATURAL FULL JOIN u", "FULL JOIN, with columns"),
        ("SELECT a FROM t LEFT JOIN u USING (a)", ""),
        ("SELECT a FROM t UNION SELECT b FROM t", "UNION, INTERSECT or EXCEPT"),
        ("SELECT a FROM t EXCEPT SELECT b FROM t", "UNION, INTERSECT or EXCEPT"),
        ("SELECT 'a' UNION SELECT 'b'", ""),
        ("SELECT a - b FROM t", "a sum or difference of what may have a time zone"),
        ("SELECT a + b FROM t", "a sum or difference of what may have a time zone"),
        ("SELECT max(a) - min(a) FROM t", "a sum or difference of what may have a time zone"),
        ("SELECT a - date '2020-01-01' FROM t", "a sum or difference of what may have"),
        ("SELECT a - $1 FROM t", "a sum or difference of what may have a time zone"),
        ("SELECT sum(extract(day FROM a - b)) FROM t", "a sum or difference of what may"),
        ("SELECT sum(a - b), abs(a - b), sum((a - b)) FROM t", ""),
        ("SELECT a * b - c, c - a * b FROM t", ""),
        ("SELECT a - b::float8, a::float8 - b FROM t", ""),
        ("SELECT count(*) - sum(a), 1 - a FROM t", ""),
        ("SELECT a + interval '1 day' FROM t", "days or months added"),
        ("SELECT a + interval '1' month FROM t", "days or months added"),
        ("SELECT a + interval '1 hour' - interval '1 day' FROM t", "days or months added"),
        ("SELECT a + interval '1' hour - interval '1' day FROM t", "days or months added"),
        ("SELECT a + interval '36 hours' FROM t", ""),
        ("SELECT date '2020-01-31' + interval '1' month - interval '1 day'", ""),
        ("SELECT date_trunc('hour', a) FROM t", "date_trunc() to an unknown unit"),
        ("SELECT date_trunc('week', a) FROM t", "date_trunc() to an unknown unit"),
        ("SELECT date_trunc('quarter', a) FROM t", "date_trunc() to an unknown unit"),
        ("SELECT sum(a + 1) FROM t", "sum() of a sum with a constant"),
        ("SELECT sum((a + 1)) FROM t", "sum() of a sum with a constant"),
        ("SELECT sum(a + (1)) FROM t", "sum() of a sum with a constant"),
        ("SELECT sum(1 * (a + 1)) FROM t", "sum() of a sum with a constant"),
        ("SELECT sum($1 * (a + 1)) FROM t", "sum() of a sum with a constant"),
        ("SELECT sum(CASE WHEN a THEN b + 1 END) FROM t", "sum() of a sum with a constant"),
        ("SELECT sum(a * (1 - b) * (1 + c)), sum(a + b), sum(a - 1) FROM t", ""),
        ("SELECT count(-a) FROM t", "arithmetic in count()"),
        ("SELECT count(a * 2) FROM t", "arithmetic in count()"),
    ],
)
def test_first_objection(sql: str, why: str) -> None:
    statement = analyse(sql)
    assert statement.is_read, statement.why
    assert statement.unportable.startswith(why)
    assert bool(statement.unportable) == bool(why)


def test_refused_reads_are_not_portable_either() -> None:
    assert analyse("SELECT now()").unportable
