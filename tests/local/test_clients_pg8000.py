"""pg8000, which writes the protocol in Python itself, against the local endpoint."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from pgmd.local import LocalEndpoint
from tests.local.samples import ID, MOMENT, SCALARS, TEXTS, UTC, Sample

dbapi = pytest.importorskip("pg8000.dbapi")
native = pytest.importorskip("pg8000.native")


def _where(endpoint: LocalEndpoint) -> dict[str, Any]:
    return {
        "host": "127.0.0.1",
        "port": endpoint.port,
        "user": "postgres",
        "database": endpoint.database,
        "timeout": 20,
    }


@pytest.fixture
def connection(locked: LocalEndpoint) -> Iterator[Any]:
    with native.Connection(**_where(locked), password="corréct horse") as connection:
        yield connection


@pytest.fixture
def free(plain: LocalEndpoint) -> Iterator[Any]:
    with native.Connection(**_where(plain)) as connection:
        yield connection


def test_a_wrong_password(locked: LocalEndpoint) -> None:
    with pytest.raises(native.DatabaseError, match="password authentication failed"):
        native.Connection(**_where(locked), password="wrong")


def test_queries_and_parameters(connection: Any, table: str) -> None:
    connection.run(f"CREATE TABLE {table} (id int PRIMARY KEY, v text)")
    connection.run(f"INSERT INTO {table} VALUES (:id, :v), (2, NULL)", id=1, v="a")
    assert connection.row_count == 2
    found = connection.run(f"SELECT v, id FROM {table} WHERE id <= :most ORDER BY id", most=5)
    assert found == [["a", 1], [None, 2]]
    assert [(c["name"], c["type_oid"]) for c in connection.columns] == [("v", 25), ("id", 23)]
    assert connection.run(f"DELETE FROM {table} WHERE id = :id RETURNING *", id=1) == [[1, "a"]]
    # The row is DuckDB's own result, see Quirks.count_rows.
    assert connection.run(f"UPDATE {table} SET v = 'b'") == [[1]]
    assert connection.run("SELECT 1; SELECT 2") == [[1], [2]]


@pytest.mark.parametrize("sample", SCALARS, ids=lambda s: f"{s.type} {s.literal}")
def test_a_value_of_each_type(free: Any, sample: Sample) -> None:
    assert free.run(f"SELECT {sample.sql}, NULL::{sample.type}, [{sample.sql}, NULL]") == [
        [sample.value, None, [sample.value, None]]
    ]


@pytest.mark.parametrize("expression", [e for e in TEXTS if ": " not in e and ":=" not in e])
def test_a_type_without_a_twin_is_text(connection: Any, expression: str) -> None:
    assert connection.run(f"SELECT {expression}") == [[TEXTS[expression]]]


def test_dates_that_python_does_not_have(connection: Any) -> None:
    query = "SELECT DATE 'infinity', TIMESTAMP '-infinity', DATE '0044-03-15 (BC)'"
    assert connection.run(query) == [["infinity", "-infinity", "0044-03-15 BC"]]
    months = connection.run("SELECT INTERVAL '14 months 3 days'")[0][0]
    assert (months.years, months.months, months.days) == (1, 2, 3)


PARAMETERS: list[tuple[str, Any]] = [
    ("INT", 1),
    ("BIGINT", 2**40),
    ("DOUBLE", 1.5),
    ("DECIMAL(5,2)", Decimal("1.25")),
    ("VARCHAR", "é ' \\"),
    ("BLOB", b"\x00\xff"),
    ("BOOLEAN", True),
    ("DATE", dt.date(2024, 2, 29)),
    ("TIME", dt.time(1, 2, 3)),
    ("TIMESTAMP", MOMENT),
    ("TIMESTAMPTZ", MOMENT.replace(tzinfo=UTC)),
    ("INTERVAL", dt.timedelta(1, 2, 3)),
    ("UUID", ID),
    ("JSON", {"a": 1}),
    ("INT[]", [1, None]),
    ("INT[]", []),
    ("VARCHAR[]", ["a", None, 'b"', ""]),
    ("DATE[]", [dt.date(2024, 2, 29)]),
    ("INT", None),
]


@pytest.mark.parametrize(("kind", "value"), PARAMETERS, ids=repr)
def test_a_parameter_of_each_type(free: Any, kind: str, value: Any) -> None:
    assert free.run(f"SELECT CAST(:value AS {kind})", value=value) == [[value]]


def test_an_error_leaves_the_connection_as_it_was(connection: Any) -> None:
    for wrong, values in (("SELECT nope", {}), ("SELECT CAST(:a AS int)", {"a": "x"})):
        with pytest.raises(native.DatabaseError) as caught:
            connection.run(wrong, **values)
        assert caught.value.args[0]["C"] == "XXUUU"
        assert connection.run("SELECT 1") == [[1]]
        assert connection.run("SELECT CAST(:a AS int)", a=2) == [[2]]


def test_a_parameter_that_decides_a_column_is_refused(connection: Any) -> None:
    # pg8000 tells no type for a str.
    with pytest.raises(native.DatabaseError, match="ambiguous result column types"):
        connection.run("SELECT :a", a="x")


def test_a_prepared_statement(connection: Any) -> None:
    statement = connection.prepare("SELECT CAST(:n AS int) + 1")
    assert [statement.run(n=i) for i in range(3)] == [[[1]], [[2]], [[3]]]
    statement.close()


def test_transactions(connection: Any, table: str) -> None:
    connection.run(f"CREATE TABLE {table} (id int)")
    connection.run("START TRANSACTION")
    connection.run(f"INSERT INTO {table} VALUES (1)")
    connection.run("ROLLBACK")
    connection.run("START TRANSACTION")
    connection.run(f"INSERT INTO {table} VALUES (2)")
    connection.run("COMMIT")
    assert connection.run(f"SELECT * FROM {table}") == [[2]]


def test_the_dbapi(locked: LocalEndpoint, table: str) -> None:
    with dbapi.connect(**_where(locked), password="corréct horse") as connection:
        cursor = connection.cursor()
        cursor.execute(f"CREATE TABLE {table} (id int, v text)")
        connection.commit()
        cursor.execute(f"INSERT INTO {table} VALUES (%s, %s)", (1, "a"))
        assert cursor.rowcount == 1
        connection.rollback()
        cursor.executemany(f"INSERT INTO {table} VALUES (%s, %s)", [(2, "b"), (3, None)])
        connection.commit()
        cursor.execute(f"SELECT * FROM {table} ORDER BY id")
        assert [d[:2] for d in cursor.description] == [("id", 23), ("v", 25)]
        assert cursor.fetchone() == [2, "b"]
        assert list(cursor.fetchall()) == [[3, None]]
        with pytest.raises(dbapi.DatabaseError, match="nope"):
            cursor.execute("SELECT nope")
        connection.rollback()
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == [1]
