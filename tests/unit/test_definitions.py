"""Views and macros, looked through."""

from __future__ import annotations

import duckdb
import pytest

from pgmd.routing.definitions import QUERY, Definitions
from pgmd.sql import Fact, analyse

SCHEMA = """
CREATE SCHEMA other;
CREATE TABLE t (a integer);
CREATE TABLE other.orders AS SELECT 1 AS a;
CREATE SEQUENCE s;
CREATE VIEW orders AS SELECT a FROM other.orders;
CREATE VIEW draws AS SELECT nextval('s') AS n;
CREATE VIEW behind AS SELECT n FROM draws;
CREATE VIEW "As it is"("as", b) AS WITH q AS (SELECT 1 AS a) SELECT a, 2 FROM q;
CREATE VIEW asks AS SELECT current_user AS u;
CREATE MACRO pure(x) AS x + 1;
CREATE MACRO draw() AS nextval('s');
CREATE MACRO twice(x) AS x, (x, y) AS x + nextval('s');
CREATE MACRO lucky() AS random();
CREATE MACRO files(x) AS TABLE FROM read_csv(x);
CREATE MACRO unheard_of() AS TABLE SELECT pure(n) AS n FROM draws;
CREATE MACRO upper(x) AS nextval('s');
CREATE MACRO other.pure(x) AS x - 1;
CREATE MACRO "Österreich"() AS draw()
"""


def read(schema: str = SCHEMA) -> Definitions:
    with duckdb.connect() as connection:
        for statement in schema.split(";\n"):
            connection.execute(statement)
        return Definitions.read(connection.execute(QUERY).fetchall())


DEFINITIONS = read()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT pure(1)",
        "SELECT other.pure(1), main.PURE(2)",
        "SELECT a FROM orders",
        'SELECT * FROM "as IT is"',
        "SHOW t",
        "SHOW main.orders",
        "SELECT a FROM t",
        "SELECT lower('x')",
        "SELECT lucky()",
    ],
)
def test_read(sql: str) -> None:
    resolved = DEFINITIONS.resolve(analyse(sql))
    assert resolved.is_read, resolved.why
    assert resolved.why == ""


@pytest.mark.parametrize(
    ("sql", "facts", "why"),
    [
        ("SELECT n FROM draws", Fact.WRITES, "draws: calls nextval()"),
        ("SELECT n FROM behind", Fact.WRITES, "draws: calls nextval()"),
        ("SELECT draw()", Fact.WRITES, "draw: calls nextval()"),
        ("SELECT pure(draw())", Fact.WRITES, "draw: calls nextval()"),
        ("SELECT twice(1)", Fact.WRITES, "twice: calls nextval()"),
        ("FROM unheard_of()", Fact.WRITES, "draws: calls nextval()"),
        ("SELECT upper('x')", Fact.WRITES, "upper: calls nextval()"),
        ("SELECT ('x').upper()", Fact.WRITES, "upper: calls nextval()"),
        ('SELECT "Österreich"()', Fact.WRITES, "draw: calls nextval()"),
        ("FROM files('x.csv')", Fact.LOCAL_FILES, "files: reads a file"),
        ("FROM asks", Fact.ASKS_SESSION, "asks: asks for current_user"),
        ("SELECT nobody_knows(1)", Fact.READS, "calls nobody_knows()"),
        ("SHOW threads", Fact.READS, "threads may be a setting"),
        ("SELECT pure(1), nobody_knows(1)", Fact.READS, "calls nobody_knows()"),
        ("EXPLAIN SELECT draw()", Fact.WRITES, "draw: calls nextval()"),
    ],
)
def test_not_a_read(sql: str, facts: Fact, why: str) -> None:
    resolved = DEFINITIONS.resolve(analyse(sql))
    assert not resolved.is_read
    assert facts in resolved.facts
    assert resolved.why == why


def test_what_calls_something_unknown_inside_is_unknown() -> None:
    definitions = Definitions.read([("macro", "m", "nobody_knows(x)")])
    resolved = definitions.resolve(analyse("SELECT m(1)"))
    assert not resolved.is_read
    assert Fact.UNKNOWN in resolved.facts
    assert resolved.why == "m: calls nobody_knows()"


@pytest.mark.parametrize("text", ["", "CREATE VIEW v", "CREATE VIEW v AS SELECT 'a"])
def test_a_definition_that_cannot_be_read_is_no_read(text: str) -> None:
    resolved = Definitions.read([("view", "v", text)]).resolve(analyse("FROM v"))
    assert not resolved.is_read
    assert resolved.why


def test_what_is_no_read_by_its_words_stays_so() -> None:
    for sql in ("DELETE FROM draws", "SELECT nextval('s'), pure(1)", "SET a = 1"):
        assert DEFINITIONS.resolve(analyse(sql)).facts == analyse(sql).facts
        assert not DEFINITIONS.resolve(analyse(sql)).is_read


def test_views_that_name_each_other_end() -> None:
    rows = [("view", "a", "CREATE VIEW a AS FROM b"), ("view", "b", "CREATE VIEW b AS FROM a")]
    assert Definitions.read(rows).resolve(analyse("FROM a")).is_read


def test_a_table_named_in_a_text_may_be_any_view() -> None:
    tables = Definitions.read([("table", "t", "")])
    assert tables.resolve(analyse("FROM query_table($1)")).is_read
    # A replica refuses to draw, and nothing has happened.
    draws = Definitions.read([("view", "v", "CREATE VIEW v AS SELECT nextval('s')")])
    assert draws.resolve(analyse("FROM query_table($1)")).is_read
    asks = Definitions.read([("view", "v", "CREATE VIEW v AS SELECT current_user")])
    resolved = asks.resolve(analyse("FROM query_table($1)"))
    assert not resolved.is_read
    assert resolved.why == "may read the view v"
    assert not analyse("FROM query_table($1)").is_read


def test_equal_definitions_are_equal() -> None:
    assert read() == read()
    assert len({read(), read()}) == 1
    assert read() != read("CREATE TABLE t (a integer)")
