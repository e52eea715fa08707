from __future__ import annotations

from pathlib import Path

import duckdb
import psycopg
import pytest
from psycopg import errors as pg

from pgmd.parity import from_duckdb, is_write_refusal
from pgmd.redact import Redactor


@pytest.fixture
def connection(tmp_path: Path) -> duckdb.DuckDBPyConnection:
    path = tmp_path / "x.duckdb"
    with duckdb.connect(str(path)) as writer:
        writer.execute("CREATE TABLE t AS SELECT 1 AS a; CREATE SEQUENCE s")
    connection = duckdb.connect()
    connection.execute(f"ATTACH '{path}' AS x (READ_ONLY); USE x")
    return connection


def error(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Error:
    with pytest.raises(duckdb.Error) as caught:
        connection.execute(sql).fetchall()
    return caught.value


@pytest.mark.parametrize(
    ("sql", "cls"),
    [
        ("SELEC", pg.SyntaxError),
        ("SELECT * FROM missing", pg.UndefinedTable),
        ("SELECT missing FROM t", pg.UndefinedColumn),
        ("SELECT missing(1)", pg.UndefinedFunction),
        ("SELECT * FROM nowhere.t", psycopg.ProgrammingError),
        ("SELECT abs('a', 1)", pg.UndefinedFunction),
        ("SELECT a, count(*) FROM t", pg.GroupingError),
        ("SELECT 'x'::INTEGER", psycopg.DataError),
        ("SELECT 1000::TINYINT", psycopg.DataError),
        ("SELECT 2147483647 + 1::INTEGER", pg.NumericValueOutOfRange),
        ("INSERT INTO t VALUES (1)", pg.ReadOnlySqlTransaction),
        ("SELECT (SELECT range FROM range(2))", pg.CardinalityViolation),
        ("SELECT error('postgresql://u:hunter2@h')", psycopg.Error),
    ],
)
def test_the_class_that_psycopg_has_for_it(
    connection: duckdb.DuckDBPyConnection, sql: str, cls: type[psycopg.Error]
) -> None:
    mapped = from_duckdb(error(connection, sql), Redactor())
    assert isinstance(mapped, cls)
    assert "unsuccessful or closed" not in str(mapped)
    assert "hunter2" not in str(mapped)


def test_an_interrupt_is_a_cancelled_query() -> None:
    mapped = from_duckdb(duckdb.InterruptException("INTERRUPT Error: Interrupted!"), str)
    assert type(mapped) is pg.QueryCanceled


@pytest.mark.parametrize("sql", ["INSERT INTO t VALUES (1)", "SELECT nextval('s')", "DROP TABLE t"])
def test_a_refused_write_is_known(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    assert is_write_refusal(error(connection, sql))


@pytest.mark.parametrize("sql", ["SELECT * FROM missing", "SELECT 'x'::INTEGER", "SELEC"])
def test_other_errors_are_not_taken_for_one(
    connection: duckdb.DuckDBPyConnection, sql: str
) -> None:
    assert not is_write_refusal(error(connection, sql))


def test_what_the_postgres_extension_passes_on_is_known_too() -> None:
    message = "Failed to execute query: ERROR:  cannot execute nextval() in a read-only transaction"
    assert is_write_refusal(duckdb.Error(message))
