"""The table of statements: what may run on a replica does, and nothing else."""

from __future__ import annotations

import shutil
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pgmd.routing.definitions import QUERY, Definitions
from pgmd.routing.ledger import Ledger
from pgmd.routing.router import Site, objection
from pgmd.servers.profile import Dialect
from pgmd.sql import Fact, Statement, analyse, convert

TABLE = Path(__file__).parents[1] / "corpora" / "routing.toml"
ROWS: list[dict[str, Any]] = tomllib.loads(TABLE.read_text(encoding="utf-8"))["row"]
ROUTES = frozenset("RWPSX")
KEYS = {"number", "route", "why", "statements", "setup", "before", "convert", "corrected"}
SITE = Site(has_endpoint=True, has_replicas=True, dialect=Dialect.DUCKDB)
SCHEMA = """
CREATE TABLE t (a integer, b varchar, call integer, "update" integer);
CREATE TABLE u (a integer);
CREATE SEQUENCE s;
CREATE VIEW v AS SELECT 1 AS n;
CREATE VIEW view_over_nextval AS SELECT nextval('s') AS n;
CREATE MACRO pure_macro(x) AS x + 1;
CREATE MACRO macro_that_calls_nextval() AS nextval('s');
CREATE MACRO table_macro_with_nextval() AS TABLE SELECT nextval('s') AS n;
CREATE MACRO pure_table_macro(x) AS TABLE SELECT x AS n;
"""
CONTENTS = "INSERT INTO t VALUES (1, 'x1', 2, 3), (2, 'x2', 4, 5); INSERT INTO u VALUES (1);"


@dataclass(frozen=True)
class Case:
    """One statement of the table."""

    number: int
    route: str
    sql: str
    setup: tuple[str, ...]
    before: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.number} {self.route} {self.sql[:60]!a}"


def _case(row: dict[str, Any], text: str) -> Case:
    return Case(
        row["number"],
        row["route"],
        convert(text).text if "convert" in row else text,
        tuple(row.get("setup", ())),
        tuple(row.get("before", ())),
    )


CASES = [_case(row, text) for row in ROWS for text in row["statements"]]


def _of(routes: str) -> list[Any]:
    """The cases of these routes."""
    return [pytest.param(case, id=str(case)) for case in CASES if case.route in routes]


# ------------------------------------------------------------------------------ what is decided


@cache
def _definitions(setup: tuple[str, ...]) -> Definitions:
    with duckdb.connect() as connection:
        connection.execute(SCHEMA)
        for sql in setup:
            connection.execute(sql)
        return Definitions.read(connection.execute(QUERY).fetchall())


def _resolved(case: Case) -> Statement:
    return _definitions(case.setup).resolve(analyse(case.sql))


def _ledger(case: Case) -> Ledger:
    definitions, ledger = _definitions(case.setup), Ledger()
    for sql in case.before:
        ledger = ledger.after(definitions.resolve(analyse(sql)))
    return ledger


def _objection(case: Case) -> str:
    """Why the endpoint runs it; "" when a replica may."""
    pin = _ledger(case).pin
    if pin:
        return pin
    statement = _resolved(case)
    found = objection(statement, SITE)
    return "" if found is None or statement.begins_snapshot else found.explain()


@pytest.mark.parametrize("case", _of("R"))
def test_read_may_run_on_a_replica(case: Case) -> None:
    assert not _objection(case)


@pytest.mark.parametrize("case", _of("WPSX"))
def test_anything_else_may_not(case: Case) -> None:
    assert _objection(case)


@pytest.mark.parametrize("case", _of("P"))
def test_session_stays_on_its_connection(case: Case) -> None:
    assert _ledger(case).pin or _resolved(case).pins


# --------------------------------------------------------------------------- what DuckDB does


@dataclass(frozen=True)
class Sides:
    """One database twice: where it may be written, and where it may be read only."""

    endpoint: duckdb.DuckDBPyConnection
    replica: duckdb.DuckDBPyConnection


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Case], Sides]]:
    opened: dict[tuple[str, ...], Sides] = {}

    def of(case: Case) -> Sides:
        if case.setup not in opened:
            opened[case.setup] = _open(tmp_path_factory.mktemp("table"), case.setup)
        return opened[case.setup]

    yield of
    for each in opened.values():
        each.endpoint.close()
        each.replica.close()


def _open(folder: Path, setup: tuple[str, ...]) -> Sides:
    original, copy = folder / "db.duckdb", folder / "copy" / "db.duckdb"
    endpoint = duckdb.connect(str(original))
    for sql in (SCHEMA, CONTENTS, *setup, "CHECKPOINT"):
        endpoint.execute(sql)
    copy.parent.mkdir()
    shutil.copy(original, copy)
    replica = duckdb.connect()
    replica.execute(f"ATTACH '{copy}' AS db (READ_ONLY)")
    return Sides(endpoint, replica)


def _answer(cursor: duckdb.DuckDBPyConnection, case: Case) -> tuple[object, list[str]]:
    """The columns and the rows, or the error, of a statement on a connection of its own."""
    parameters = {"$1": [1], "$key": {"key": 1}}
    given = next((value for name, value in parameters.items() if name in case.sql), None)
    cursor.execute("USE db")
    try:
        for sql in case.before:
            cursor.execute(sql)
        columns = cursor.execute(case.sql, given).description
        if Fact.VOLATILE in analyse(case.sql).facts or "ANALYZE" in case.sql:
            return columns, []
        return columns, sorted(map(repr, cursor.fetchall()))
    except duckdb.Error as error:
        return type(error), [str(error)]


def _state(connection: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    query = "SELECT last_value FROM duckdb_sequences() UNION ALL SELECT count(*) FROM t"
    return connection.cursor().execute(query).fetchall()


@pytest.mark.parametrize("case", _of("R"))
def test_read_does_the_same_on_both_sides(case: Case, sides: Callable[[Case], Sides]) -> None:
    both = sides(case)
    before = _state(both.endpoint)
    answer = _answer(both.endpoint.cursor(), case)
    assert answer == _answer(both.replica.cursor(), case)
    assert _state(both.endpoint) == before


# ------------------------------------------------------------------------------ the table itself


def test_table_is_complete() -> None:
    assert {row["number"] for row in ROWS} == set(range(1, 125))
    assert {row["route"] for row in ROWS} == ROUTES
    assert {key for row in ROWS for key in row} == KEYS
    assert all(row["why"] and row["statements"] for row in ROWS)


def test_no_statement_stands_there_twice() -> None:
    counted = Counter((case.sql, case.setup, case.before) for case in CASES)
    assert not [key for key, count in counted.items() if count > 1]
