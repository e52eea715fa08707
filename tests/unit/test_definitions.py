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
        ("SELECT (1).draw()", Fact.WRITES, "draw: calls nextval()"),
        ('SELECT "Österreich"()', Fact.WRITES, "draw: calls nextval()"),
        ("FROM files('x.csv')", Fact.LOCAL_FILES, "files: reads a file"),
        ("FROM asks", Fact.ASKS_SESSION, "asks: asks for current_user"),
        ("SELECT nobody_knows(1)", Fact.READS, "calls nobody_knows()"),
        ("SHOW threads", Fact.READS, "threads may be no table"),
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


def test_a_table_named_in_a_text_is_looked_through() -> None:
    assert DEFINITIONS.resolve(analyse("FROM query_table('orders')")).is_read
    for name, why in (
        ("draws", "draws: calls nextval()"),
        ("pg_class", "pg_class may be no table"),
        ("x.csv", "names a table in a text or a parameter"),
    ):
        resolved = DEFINITIONS.resolve(analyse(f"FROM query_table('{name}')"))
        assert not resolved.is_read
        assert resolved.why == why
    assert not DEFINITIONS.resolve(analyse("FROM query_table($1)")).is_read
    assert not DEFINITIONS.resolve(analyse("FROM query_table(['t', 'x.csv'])")).is_read


def test_a_computed_column_is_looked_through() -> None:
    definitions = read(
        "CREATE SEQUENCE s;\n"
        "CREATE TABLE plain (a integer DEFAULT nextval('s'));\n"
        "CREATE TABLE fine (a integer, b integer AS (a + 1));\n"
        "CREATE TABLE computed (a integer, b bigint AS (a + nextval('s')))"
    )
    assert definitions.resolve(analyse("FROM plain")).is_read
    assert definitions.resolve(analyse("FROM fine")).is_read
    resolved = definitions.resolve(analyse("SELECT a FROM computed"))
    assert resolved.why == "computed: calls nextval()"


def test_a_macro_that_syntax_may_call_is_in_every_statement() -> None:
    schema = "CREATE SEQUENCE s;\nCREATE MACRO list_value(x) AS nextval('s')"
    resolved = read(schema).resolve(analyse("SELECT 1"))
    assert not resolved.is_read
    assert resolved.why == "list_value: calls nextval()"
    harmless = read("CREATE MACRO list_value(x) AS x")
    assert harmless.resolve(analyse("SELECT 1")).is_read


def test_equal_definitions_are_equal() -> None:
    assert read() == read()
    assert len({read(), read()}) == 1
    assert read() != read("CREATE TABLE t (a integer)")
