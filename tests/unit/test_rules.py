"""The edges of the rules, each next to its neighbour on the other side."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pgmd.routing.decision import Decision, Reason, Route
from pgmd.routing.definitions import Definitions
from pgmd.routing.freshness import LIVE
from pgmd.routing.ledger import Ledger, pin_of
from pgmd.routing.router import Site, decide, objection, required, stale
from pgmd.servers.profile import Dialect
from pgmd.sql import Fact, Statement, analyse
from pgmd.sql.plain import plain
from pgmd.sql.statement import _walked, parenthesised

READ = Fact.READS
WRITE = Fact.WRITES
DDL = Fact.WRITES | Fact.DDL
SESSION = Fact.SESSION
ASKS = Fact.READS | Fact.ASKS_SESSION
FILES = Fact.READS | Fact.LOCAL_FILES
REMOTE = Fact.READS | Fact.REMOTE_FILES
TEMPORARY = Fact.READS | Fact.TEMPORARY
VOLATILE = Fact.READS | Fact.VOLATILE
DOUBT = Fact.READS | Fact.UNKNOWN

FILE = "reads a file"
LONG = "x" * 50


# ------------------------------------------------------------------------------ the first word


@pytest.mark.parametrize(
    ("sql", "facts", "why"),
    [
        # of a temporary object or a secret
        ("CREATE TEMPORARY TABLE x (a int)", DDL | Fact.TEMPORARY, "CREATE"),
        ("CREATE TABLE pg_temp.x (a int)", DDL | Fact.TEMPORARY, "CREATE"),
        ("CREATE TABLE temp.x (a int)", DDL | Fact.TEMPORARY, "CREATE"),
        ("DROP TABLE pg_temp.x", DDL | Fact.TEMPORARY, "DROP"),
        ("DROP TABLE temp.x", DDL | Fact.TEMPORARY, "DROP"),
        ("ALTER TABLE temp.x ADD b int", DDL | Fact.TEMPORARY, "ALTER"),
        ("ALTER TABLE x ADD b int", DDL, "ALTER"),
        ("COMMENT ON TABLE pg_temp.x IS 'a'", DDL | Fact.TEMPORARY, "COMMENT"),
        ("CREATE SECRET s (TYPE s3)", DDL | SESSION, "CREATE"),
        ("DROP SECRET s", DDL | SESSION, "DROP"),
        ("ALTER SECRET s", DDL | SESSION, "ALTER"),
        ("INSERT INTO temp.x VALUES (1)", WRITE | Fact.TEMPORARY, "INSERT"),
        ('INSERT INTO "temp".x VALUES (1)', WRITE | Fact.TEMPORARY, "INSERT"),
        ("INSERT INTO pg_temp.x VALUES (1)", WRITE | Fact.TEMPORARY, "INSERT"),
        ("INSERT INTO t SELECT temp FROM u", WRITE, "INSERT"),
        ("INSERT INTO t (secret) VALUES (1)", WRITE, "INSERT"),
        ("INSERT INTO main.x SELECT temp", WRITE, "INSERT"),
        # of a word that is not known
        ("CALL delete()", WRITE | Fact.UNKNOWN, "CALL"),
        ("FROBNICATE INTO x", DDL | Fact.UNKNOWN, "FROBNICATE"),
        ("DO CHECKPOINT", Fact.UNKNOWN, "DO"),
        ("'abc'", Fact.UNKNOWN, "'ABC'"),
        (f"'{LONG}'", Fact.UNKNOWN, f"'{LONG.upper()}'"[:40]),
        ('"select" 1', Fact.UNKNOWN, '"SELECT"'),
        ("((", Fact.UNKNOWN, "no statement"),
        ("(DELETE FROM t)", WRITE, "DELETE"),
        ("PREPARE", SESSION, "PREPARE"),
        ("PREPARE TRANSACTION", Fact.TRANSACTION, "PREPARE"),
        ("PREPARE a transaction", SESSION, "PREPARE"),
        ("LISTEN transaction", SESSION, "LISTEN"),
        # several
        ("SELECT 1; DELETE FROM t", READ | WRITE | Fact.SEVERAL, "several statements"),
        ("SELECT 1; SET a = 1", READ | SESSION | Fact.SEVERAL, "several statements"),
        (";", Fact.EMPTY, "no statement"),
        (";SELECT 1;;", READ, ""),
    ],
)
def test_head(sql: str, facts: Fact, why: str) -> None:
    statement = analyse(sql)
    assert (statement.facts, statement.why) == (facts, why)


@pytest.mark.parametrize(
    ("sql", "facts", "why"),
    [
        ("EXPLAIN", DOUBT, "EXPLAIN"),
        ("EXPLAIN (", Fact.UNKNOWN, "EXPLAIN: no statement"),
        ("EXPLAIN (FORMAT", DOUBT, "EXPLAIN"),
        ("EXPLAIN (FORMAT json) DELETE FROM t", WRITE, "EXPLAIN: DELETE"),
        ("EXPLAIN (ANALYZE) DELETE FROM t", WRITE, "EXPLAIN: DELETE"),
        ("EXPLAIN (ANALYSE, FORMAT json) SELECT 1", READ, ""),
        ("EXPLAIN (ANALYZE) SELECT * FROM (VALUES (1))", READ, ""),
        ("EXPLAIN (SELECT f(1))", READ, "calls f()"),
        ("EXPLAIN (SELECT 1)", READ, ""),
        ("EXPLAIN (DELETE FROM t)", WRITE, "EXPLAIN: DELETE"),
        ("EXPLAIN ANALYZE", DOUBT, "EXPLAIN"),
        ("EXPLAIN ANALYSE DELETE FROM t", WRITE, "EXPLAIN: DELETE"),
        ("EXPLAIN ANALYSE SELECT 1", READ, ""),
        ("EXPLAIN ANALYZE EXPLAIN SELECT 1", DOUBT, "EXPLAIN"),
        ("DESCRIBE", ASKS, "DESCRIBE"),
        ("DESC", ASKS, "DESC"),
        ("DESCRIBE ALL", ASKS, "DESCRIBE"),
        ("DESCRIBE t", READ, ""),
        ("DESCRIBE temp.t", TEMPORARY, "a temporary table"),
        ("DESCRIBE SELECT f(1)", READ, "calls f()"),
        ("DESCRIBE (SELECT f(1))", READ, "calls f()"),
        ("DESCRIBE SELECT 1 WHERE 'x' = 'x'", READ, ""),
        ("DESCRIBE 'x.csv'", FILES, FILE),
        ("SUMMARIZE 'x.csv'", FILES, FILE),
        ("FROM (DESCRIBE t)", READ, ""),
        ("FROM (DESCRIBE 'x.csv')", FILES, FILE),
        ("FROM (SUMMARIZE 'x.csv')", FILES, FILE),
        ("FROM (DESCRIBE ALL)", ASKS, "DESCRIBE"),
        ("SHOW", ASKS, "SHOW"),
        ("SHOW TABLES", READ, ""),
        ("SHOW TABLES FROM a", READ, ""),
        ("SHOW TABLES FROM a.b", READ, ""),
        ("SHOW TABLES FROM", ASKS, "SHOW"),
        ("SHOW TABLES FROM a b", ASKS, "SHOW"),
        ("SHOW TABLES x", ASKS, "SHOW"),
        ("SHOW TABLES IN a", ASKS, "SHOW"),
        ("SHOW ALL TABLES", ASKS, "SHOW"),
        ("SHOW VARIABLES", ASKS, "SHOW"),
        ("SHOW a.b", READ, "b may be no table"),
        ("SHOW a.b.c", READ, "c may be no table"),
        ('SHOW "a"', READ, "a may be no table"),
        (f"SHOW {LONG}", READ, f"{LONG[:40]} may be no table"),
        ("SHOW a.b.c.d", ASKS, "SHOW"),
        ("SHOW a.b c.d", ASKS, "SHOW"),
        ("SHOW a.b + c", ASKS, "SHOW"),
        ("SHOW TABLES FROM a.b + c", ASKS, "SHOW"),
        ("SHOW a b", ASKS, "SHOW"),
        ("SHOW a b c", ASKS, "SHOW"),
        ("SHOW 'a'", ASKS, "SHOW"),
        ("SHOW a.1", ASKS, "SHOW"),
        ("SHOW a.", ASKS, "SHOW"),
        ("PRAGMA", SESSION, "PRAGMA"),
        ("PRAGMA show_tables", READ, ""),
        ("PRAGMA show_tables()", SESSION, "PRAGMA"),
        ("PRAGMA table_info", SESSION, "PRAGMA"),
        ("PRAGMA table_info(t)", READ, ""),
        ('PRAGMA table_info("t")', READ, ""),
        ("PRAGMA table_info(1)", SESSION, "PRAGMA"),
        ("PRAGMA table_info(t", SESSION, "PRAGMA"),
        ("PRAGMA table_info(t]", SESSION, "PRAGMA"),
        ("PRAGMA table_info('t', 'x')", SESSION, "PRAGMA"),
        ("PRAGMA table_info = 't'", SESSION, "PRAGMA"),
        ("PRAGMA database_list", SESSION, "PRAGMA"),
    ],
)
def test_before_another_statement_or_a_table(sql: str, facts: Fact, why: str) -> None:
    statement = analyse(sql)
    assert (statement.facts, statement.why) == (facts, why)


@pytest.mark.parametrize(
    ("sql", "key"),
    [
        ("USE a.b.c", "path"),
        ("USE 'a'", ""),
        ("USE temp", ""),
        ("USE a b", ""),
        ("SET search_path = 'a'", "path"),
        ("SET search_path = a", "path"),
        ('SET search_path = "a"', "path"),
        ("SET search_path TO 'a'", "path"),
        ("SET search_path 'a'", ""),
        ("SET search_path = 1", ""),
        ("SET search_path = a, b", ""),
        ("SET search_path =", ""),
        ("SET search_path", ""),
        ("SET search_path = temp", ""),
        ("SET search_path = 'TEMP'", ""),
        ("SET SCHEMA 'a'", ""),
        ("SET SESSION VARIABLE x = 1", "variable x"),
        ("SET SESSION", ""),
        ("SET LOCAL search_path = 'a'", ""),
        ("SET VARIABLE", ""),
        ("SET VARIABLE x", ""),
        ("SET VARIABLE x =", ""),
        ("SET VARIABLE x 1", ""),
        ("SET VARIABLE 'x' = 1", ""),
        ("SET VARIABLE x TO 1", "variable x"),
        ('SET VARIABLE "X y" = 1', "variable x y"),
        ("SET VARIABLE x = DATE '2020-01-01'", "variable x"),
        ("SET VARIABLE x = true", "variable x"),
        ("RESET VARIABLE", ""),
        ("RESET VARIABLE x y", ""),
        ("RESET VARIABLE 'x'", ""),
        ("RESET SESSION VARIABLE x", "-variable x"),
        ("RESET schema", "-path"),
        ("RESET search_path x", ""),
        ("RESET threads", ""),
        ("SET VARIABLE x = 1; SET VARIABLE y = 2", ""),
        ("SELECT currval('s')", ""),
        ("CREATE TEMP TABLE variable (search_path int)", ""),
    ],
)
def test_setting(sql: str, key: str) -> None:
    assert analyse(sql).setting == key


# ------------------------------------------------------------------------------ within a read


@pytest.mark.parametrize(
    ("sql", "facts"),
    [
        ("PIVOT 'x.csv' ON a USING count(*)", FILES),
        ('UNPIVOT "x.csv" ON a INTO NAME n VALUE v', FILES),
        ("FROM (PIVOT 'x.csv' ON a USING count(*))", FILES),
        ("TABLE 'x.csv'", FILES),
        ("SELECT a FROM (TABLE 'x.csv')", FILES),
        ("SELECT a FROM t, 'x.csv'", FILES),
        ("SELECT a FROM ('x.csv')", FILES),
        ("SELECT a FROM (('x.csv'))", FILES),
        ("SELECT a FROM t, ('x.csv')", FILES),
        ("SELECT a FROM (t JOIN 'x.csv' ON true)", FILES),
        ("SELECT a FROM t JOIN ('x.csv') ON true", FILES),
        ("SELECT a FROM LATERAL 'x.csv'", FILES),
        ("SELECT a FROM LATERAL ('x.csv')", FILES),
        ("SELECT a FROM t JOIN 'x.csv' ON true", FILES),
        ("SELECT a FROM t JOIN u ON a = 'x'", READ),
        ("SELECT a FROM t JOIN u ON a IN ('x', 'y')", READ),
        ("SELECT a FROM t JOIN u ON a = 'x', 'x.csv'", FILES),
        ("SELECT a FROM t JOIN u ON a IN ('b', 'c') JOIN 'x.csv' ON true", FILES),
        ("SELECT a FROM t WHERE a = 'x'", READ),
        ("SELECT a FROM t WHERE a IN ('x', 'y')", READ),
        ("SELECT a FROM t ORDER BY 'x', 'y'", READ),
        ("SELECT a FROM t UNION SELECT 'x'", READ),
        ("SELECT (SELECT 1 FROM t), 'x'", READ),
        ("SELECT a FROM t, upper('x')", READ),
        ("SELECT a FROM t WHERE b IN (SELECT c FROM 'x.csv')", FILES),
        ("SELECT a FROM (SELECT 'x'), 'x.csv'", FILES),
        ("SELECT extract(year FROM 'x')", READ),
        ("SELECT trim(BOTH 'x' FROM 'y')", READ),
        ("SELECT extract(year FROM (SELECT a FROM 'x.csv'))", FILES),
        ("SELECT upper((SELECT a FROM 'x.csv'))", FILES),
        ("SELECT a IS DISTINCT FROM 'x'", READ),
        ("SELECT a IS NOT DISTINCT FROM 'x'", READ),
        ("SELECT DISTINCT FROM 'x.csv'", FILES),
        ("SELECT a IS b FROM 'x.csv'", FILES),
        ("SELECT a IS NOT NULL FROM 'x.csv'", FILES),
        ("SELECT a FROM x.csv", FILES),
        ("SELECT a FROM x.y", READ),
        ("SELECT a FROM csv", READ),
        ("SELECT a.csv FROM t", READ),
        ('SELECT a FROM "x.csv"', FILES),
        ('SELECT a FROM "x.y"', READ),
        ('SELECT a FROM "csv"', READ),
        ('SELECT a FROM "x/y"', FILES),
        ('SELECT "x/y" FROM t', READ),
        ("SELECT a FROM 'HTTPS://x/y'", REMOTE),
        ("SELECT a FROM e'https://x/y'", REMOTE),
        ("SELECT a FROM E'https://x/y'", REMOTE),
        ('SELECT a FROM "https://x/y"', REMOTE),
        ("SELECT a FROM 'x/https://y'", FILES),
        ("SELECT a FROM 'Xs3://y'", FILES),
        ('SELECT a FROM "x.y.csv"', FILES),
        ("WITH q AS (SUMMARIZE 'x.csv') FROM q", FILES),
        ("WITH q AS (DESCRIBE 'x.csv') FROM q", FILES),
        ("WITH q AS (TABLE 'x.csv') FROM q", FILES),
        ("WITH q AS (PIVOT 'x.csv' ON a USING count(*)) FROM q", FILES),
        ("FROM read_csv('s3://x')", REMOTE),
        ("FROM read_csv($1)", FILES),
    ],
)
def test_files(sql: str, facts: Fact) -> None:
    statement = analyse(sql)
    assert statement.facts == facts
    assert statement.why == ("" if facts == READ else FILE)
    assert _walked(sql).facts == facts


@pytest.mark.parametrize(
    ("sql", "facts", "why"),
    [
        ("SELECT a FROM t FOR KEY SHARE", READ | WRITE, "locks rows"),
        ("SELECT a FROM t FOR NO KEY UPDATE", READ | WRITE, "locks rows"),
        ("SELECT [x FOR x IN y]", READ, ""),
        ("SELECT a FROM t WHERE b = ?", DOUBT, "an unnumbered placeholder"),
        ("UNPIVOT t ON a INTO x VALUE v", READ | DDL, "INTO"),
        ("SELECT a INTO name FROM t", READ | DDL, "INTO"),
        ("SELECT a INTO TEMP x FROM t", READ | DDL | Fact.TEMPORARY, "INTO"),
        ("SELECT a INTO pg_temp.x FROM t", READ | DDL | Fact.TEMPORARY, "INTO"),
        ("SELECT a INTO x FROM t", READ | DDL, "INTO"),
        ("SELECT temp FROM t", READ, ""),
        ("SELECT temp.a FROM t", READ, ""),
        ("SELECT a FROM temp", READ, ""),
        ('SELECT a FROM "temp".t', TEMPORARY, "a temporary table"),
        ("SELECT a FROM pg_temp_1.t", TEMPORARY, "a temporary table"),
        ("SELECT a FROM pg_class", ASKS, "the system name pg_class"),
        ("SELECT a FROM __x", ASKS, "the system name __x"),
        ("SELECT a FROM __x.t", ASKS, "the system name __x"),
        ("SELECT __x()", ASKS, "the system name __x"),
        ("SELECT __x FROM t", READ, ""),
        ('SELECT count(*) AS "__count" FROM t ORDER BY "__count"', READ, ""),
        (f"SELECT a FROM __{LONG}", ASKS, f"the system name __{LONG[:38]}"),
        ('SELECT "pg_backend_pid"()', ASKS, "the system name pg_backend_pid"),
        ("SELECT pg_sleep(0.1)", VOLATILE, ""),
        ("SELECT pg_sleep FROM t", ASKS, "the system name pg_sleep"),
        ("SELECT pg_advisory_lock(1)", READ | SESSION, "calls pg_advisory_lock()"),
        ("SELECT pg_try_advisory_lock(1)", READ | SESSION, "calls pg_try_advisory_lock()"),
        ('SELECT "current_timestamp"', VOLATILE, ""),
        ('SELECT "current_user"', ASKS, "asks for current_user"),
        ("SELECT ctid FROM t", ASKS, "asks for ctid"),
        ("SELECT a FROM t TABLESAMPLE system(10%)", VOLATILE, ""),
        ("SELECT a FROM t USING SAMPLE 10 ROWS (reservoir)", VOLATILE, ""),
        ("SELECT a FROM t USING SAMPLE 10 PERCENT (bernoulli)", VOLATILE, ""),
        ("SELECT a FROM t USING SAMPLE 10 ROWS REPEATABLE (1)", DOUBT | VOLATILE, "REPEATABLE"),
        ("SELECT a FROM t WHERE b USING SAMPLE system(10%)", VOLATILE, ""),
        ("SELECT percent(1)", READ, "calls percent()"),
        ("SELECT 1, rows(1)", READ, "calls rows()"),
        ("SELECT 10 f(1)", READ, "calls f()"),
        ("FROM query_table('T')", READ, "t may be no table"),
        ("FROM query_table('t', true)", DOUBT, "names a table in a text or a parameter"),
        ("FROM query_table('a.b')", DOUBT, "names a table in a text or a parameter"),
        ("SELECT f(1), nextval('s')", READ | WRITE, "calls nextval()"),
        ("SELECT nextval('s'), currval('s')", READ | WRITE | SESSION, "calls nextval()"),
        ("SELECT random(), f(1)", VOLATILE, "calls f()"),
        ("SELECT now(), nextval('s')", VOLATILE | WRITE, "calls nextval()"),
        (f"SELECT {LONG}(1)", READ, f"calls {LONG[:40]}()"),
        ("SELECT g(1), f(1)", READ, "calls f()"),
    ],
)
def test_what_speaks_against_a_read(sql: str, facts: Fact, why: str) -> None:
    statement = analyse(sql)
    assert (statement.facts, statement.why) == (facts, why)


@pytest.mark.parametrize(
    ("sql", "unknown"),
    [
        ("SUMMARIZE f(1)", {"f"}),
        ("DESCRIBE f(1)", {"f"}),
        ("SELECT x.f(1)", {"f"}),
        ('SELECT "f"(1)', {"f"}),
        ('SELECT "in"(1)', {"in"}),
        ('SELECT "upper"(1)', set()),
        ("SELECT a::f(1)", set()),
        ("SELECT a FROM t AS f(x)", set()),
        ("SELECT a FROM t f(x)", set()),
        ('SELECT a FROM "t" f(x)', set()),
        ("SELECT a FROM (SELECT 1) f(x)", set()),
        ("SELECT a FROM f(x)", {"f"}),
        ("SELECT a FROM t, f(x)", {"f"}),
        ("SELECT a FROM t JOIN f(x) ON true", {"f"}),
        ("SELECT a FROM t JOIN u ON f(x)", {"f"}),
        ("SELECT a FROM LATERAL f(x)", {"f"}),
        ("SELECT a FROM t WHERE b f(x)", {"f"}),
        ("SELECT (1) f(x)", {"f"}),
        ("WITH f(x) AS (SELECT 1) FROM f", set()),
        ("WITH RECURSIVE f(x) AS (SELECT 1) FROM f", set()),
        ("WITH a AS (SELECT 1), f(x, y) AS (SELECT 1) FROM f", set()),
        ("WITH f(x) AS MATERIALIZED (SELECT 1) FROM f", set()),
        ("WITH f(x) AS NOT MATERIALIZED (SELECT 1) FROM f", set()),
        ('WITH f("x", y) AS (SELECT 1) FROM f', set()),
        ("WITH f(1) AS (SELECT 1) FROM f", {"f"}),
        ("WITH f(x) AS", {"f"}),
        ("WITH f(x) b (SELECT 1) FROM f", {"b", "f"}),
        ("WITH f(x] AS (SELECT 1) FROM f", {"f"}),
        ("WITH f(x", {"f"}),
        ("SELECT 1, f(x) AS y", {"f"}),
        ("SELECT 1, f(x) AS not (1)", {"f"}),
        ("SELECT 1, f(x) b (1)", {"b", "f"}),
        ("SELECT 1, f(x] as (1)", {"f"}),
    ],
)
def test_calls_of_what_nobody_knows(sql: str, unknown: set[str]) -> None:
    assert analyse(sql).unknown == unknown


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("SELECT a FROM s.t, u JOIN v ON t.a = v.a", {"t", "u", "v"}),
        ("SELECT a FROM a.b.c", {"c"}),
        ("SELECT a FROM t AS x", {"t"}),
        ("SELECT a FROM t x", {"t"}),
        ("SELECT a FROM (t)", {"t"}),
        ('SELECT a FROM "T"', {"t"}),
        ("SELECT a FROM LATERAL t", {"t"}),
        ("SELECT a FROM range(3)", set()),
        ("DESCRIBE t", {"t"}),
        ("SELECT a FROM t WHERE x", {"t"}),
    ],
)
def test_tables(sql: str, tables: set[str]) -> None:
    assert analyse(sql).tables == tables


# ------------------------------------------------------------------------------ plain texts


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a FROM t WHERE b < 1",
        "SELECT a FROM t WHERE b > 1 AND c <> 2",
        "SELECT a FROM t WHERE b <> 1",
        "SELECT a, upper(b) FROM t WHERE c = 'd'",
        "select max(a) from t",
        "WITH q AS (SELECT 12 AS a) SELECT coalesce(a, 0) FROM q",
        "\n( SELECT a FROM t)",
    ],
)
def test_plain_is_what_the_walk_finds(sql: str) -> None:
    found, walked = plain(sql), _walked(sql)
    assert found is not None
    assert found == (walked.verb.lower(), walked.words, walked.functions, walked.orders)
    assert analyse(sql) == walked


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a FROM\t'x'",
        "SELECT a FROM\n'x'",
        "SELECT a FROM\r'x'",
        "SELECT a FROM ( 'x')",
        "TABLE 'x'",
        "SELECT a FROM t, LATERAL 'x'",
        "SELECT a FROM t WHERE b IN ('x'), 'y'",
        "SELECT a FROM t WHERE c IN ('x') AND d = 'y', 'x'",
        "SELECT a FROM x . csv",
        "SELECT a FROM t, x.parquet",
        "SELECT f (1)",
        "SELECT a.f(1)",
        "SELECT a FROM t, duckdb_tables",
        ")SELECT 1",
        "()SELECT 1",
        "WITH q AS (PIVOT 'x' ON a) FROM q",
        "SELECT 1 FROM t WHERE 12a",
        "\t\n",
        ")",
    ],
)
def test_not_plain(sql: str) -> None:
    assert plain(sql) is None


# ------------------------------------------------------------------------------ of a statement


@pytest.mark.parametrize(
    ("sql", "about"),
    [
        ("SELECT a FROM t", ""),
        ("FROM t SELECT a", "FROM first"),
        ("SELECT upper(a) FROM t", "upper()"),
        ("SELECT md5(a), sqrt(b) FROM t", "sqrt()"),
        ("SELECT count(*) FROM t", ""),
        ("SELECT now()", "another answer each time"),
        ("SELECT nextval('s')", "calls nextval()"),
        ("DESCRIBE t", "DESCRIBE"),
        ("SELECT 7/2", "operator /"),
    ],
)
def test_unportable(sql: str, about: str) -> None:
    assert analyse(sql).unportable == about


@pytest.mark.parametrize(
    ("sql", "orders"),
    [
        ('SELECT "max"(a) FROM t', True),
        ('SELECT "a" FROM t', False),
        ('SELECT "a" FROM t WHERE b > 1', True),
        ('SELECT "a" FROM t ORDER BY 1', True),
        ("DELETE FROM t", False),
        ("SELECT 'a", True),
    ],
)
def test_orders(sql: str, orders: bool) -> None:
    assert analyse(sql).orders is orders


def test_verb() -> None:
    assert analyse(";").verb == ""
    assert analyse("(select 1)").verb == "SELECT"


def test_names_leave_reserved_words_out_unless_quoted() -> None:
    assert analyse('SELECT a FROM "select", t').names == {"a", "select", "t"}
    assert analyse("SELECT a FROM t").names == {"a", "t"}
    assert analyse("DELETE FROM t").names == {"delete", "t"}


@pytest.mark.parametrize(
    ("sql", "writes", "types"),
    [
        ("SELECT 1", False, False),
        ("SET VARIABLE x = 1", False, False),
        ("SET threads = 1", True, False),
        ("SELECT f(1)", True, False),
        ("SELECT current_schema(), f(1)", True, False),
        ("SELECT nextval('s')", True, False),
        # What asks a server about itself.
        ("SELECT current_schema()", False, False),
        ("SELECT pg_catalog.version()", False, False),
        ("SHOW transaction isolation level", False, False),
        ("SHOW standard_conforming_strings", False, False),
        ("PIVOT t ON a", False, True),
    ],
)
def test_what_it_leaves(sql: str, writes: bool, types: bool) -> None:
    assert analyse(sql).may_write is writes
    assert analyse(sql).makes_types is types


@pytest.mark.parametrize(
    ("sql", "changes"),
    [
        ("COMMIT", True),
        ("DELETE FROM t", False),
        ("SELECT 1", False),
        ("SELECT a INTO x FROM t", True),
        ("SELECT a FROM t USING SAMPLE 10 ROWS REPEATABLE (1)", False),
    ],
)
def test_changes_schema(sql: str, changes: bool) -> None:
    assert analyse(sql).changes_schema is changes


@pytest.mark.parametrize(
    ("sql", "outlives"),
    [
        ("SET SESSION a = local", False),
        ("SET a = 'local'", True),
        ("RESET local", True),
        ("SELECT f(1)", False),
        ("BEGIN; SET a = 1", True),
        ("COPY t TO 'f'", False),
    ],
)
def test_outlives_transaction(sql: str, outlives: bool) -> None:
    assert analyse(sql).outlives_transaction is outlives


@pytest.mark.parametrize(
    ("sql", "begins", "ends"),
    [
        ("BEGIN READ ONLY", True, False),
        ("BEGIN WORK READ ONLY", True, False),
        ("START READ ONLY", False, False),
        ("BEGIN READ WRITE", False, False),
        ("COMMIT WORK", False, True),
        ("ABORT", False, True),
        ("ABORT TRANSACTION", False, True),
        ("BEGIN TRANSACTION", False, False),
        ("SELECT begin", False, False),
    ],
)
def test_transaction(sql: str, begins: bool, ends: bool) -> None:
    statement = analyse(sql)
    assert (statement.begins_snapshot, statement.ends_transaction) == (begins, ends)


def test_outline_is_short_and_holds_no_values() -> None:
    assert analyse("CREATE a b c d e f").outline == "CREATE a b c d"
    assert analyse(f"SET {LONG} {LONG} = 1").outline == f"SET {LONG} {LONG}"[:80]
    assert analyse('DROP TABLE "a b"').outline == 'DROP TABLE "a b"'
    assert analyse("COMMENT ON TABLE t IS secret").outline == "COMMENT ON TABLE t"
    assert analyse("SELECT 'a").outline == ""


def test_hint_may_be_of_several_lines() -> None:
    assert analyse("/*+ PGMD: endpoint */ SELECT 1").hint == ""
    assert analyse("/*+\npgmd :\nendpoint\n*/ SELECT 1 /*+ pgmd: x */").hint == "endpoint"


def test_a_subquery_stands_on_lines_of_its_own() -> None:
    assert parenthesised("SELECT 1 ; ") == "(\nSELECT 1 \n)"
    assert parenthesised("SELECT ';' -- x") == "(\nSELECT ';' -- x\n)"
    assert parenthesised("SELECT X;") == "(\nSELECT X\n)"
    assert parenthesised(" SELECT 1;; ") == "(\n SELECT 1\n)"


# ------------------------------------------------------------------------------ views and macros


def resolved(sql: str, *rows: tuple[str, str, str]) -> Statement:
    return Definitions.read(rows).resolve(analyse(sql))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("CREATE VIEW v AS SELECT 1", ""),
        ("CREATE VIEW v(a, b) AS SELECT nextval('s')", "v: calls nextval()"),
        ("CREATE VIEW v(a) AS (SELECT 1 AS b)", ""),
        ('CREATE VIEW v("as") AS SELECT 1', ""),
        ('CREATE VIEW "as" AS SELECT 1', ""),
        ("CREATE VIEW v((x) as y) AS SELECT 1", ""),
        ("CREATE VIEW é AS SELECT 1", ""),
        ("CREATE VIEW v (AS SELECT 1", "v: no statement"),
        ("CREATE VIEW v", "v: no statement"),
        ("CREATE VIEW 'v", "v: no statement"),
    ],
)
def test_view(text: str, why: str) -> None:
    statement = resolved("FROM v", ("view", "v", text))
    assert statement.why == why
    assert statement.is_read is not bool(why)


def test_macro() -> None:
    table = ("table_macro", "m", "SELECT 1; SELECT 2")
    assert resolved("FROM m()", table).why == "m: several statements"
    assert resolved("FROM m()", ("table_macro", "m", "FROM t")).is_read
    assert resolved("FROM m()", ("table_macro", "m", "EXPLAIN DELETE")).why == "m: EXPLAIN: DELETE"
    assert resolved("SELECT m()", ("macro", "m", "1 + 1")).is_read
    assert resolved("SELECT m()", ("macro", "M", "1 + 1")).is_read
    assert resolved("SELECT m()", ("shadow", "m", "1 + 1")).is_read
    assert resolved("SELECT m()", ("table", "m", "")).why == "calls m()"


def test_of_two_objects_with_one_name_both_count() -> None:
    rows = (("macro", "m", "1"), ("macro", "m", "nextval('s')"))
    assert resolved("SELECT m()", *rows).why == "m: calls nextval()"


def test_why_names_what_is_behind() -> None:
    assert resolved("FROM v", ("view", "v", "CREATE VIEW v AS SHOW x")).why == (
        "v: x may be no table"
    )
    long = resolved(f"FROM {LONG}", ("view", LONG, "CREATE VIEW v AS DELETE FROM t"))
    assert long.why == f"{LONG[:40]}: DELETE"
    first = resolved(
        "FROM a, b",
        ("view", "a", "CREATE VIEW a AS SELECT nextval('s')"),
        ("view", "b", "CREATE VIEW b AS SELECT f(1)"),
    )
    assert first.why == "a: calls nextval()"
    assert first.facts == READ | WRITE | Fact.UNKNOWN


def test_what_stays_open_stays_named() -> None:
    statement = resolved("SELECT m(), f(1) FROM query_table('t')", ("macro", "m", "1"))
    assert statement.unknown == {"f"}
    assert statement.named == {"t"}
    assert statement.why == "calls f()"
    assert resolved("FROM query_table('t')", ("view", "t", "CREATE VIEW t AS SELECT 1")).is_read
    assert resolved("SELECT nextval('s'), m()", ("macro", "m", "1")).why == "calls nextval()"


def test_definitions_are_compared_by_what_they_hold() -> None:
    rows = [("table", "t", ""), ("table", "u", "")]
    assert Definitions.read(rows) == Definitions.read(reversed(rows))
    assert hash(Definitions.read(rows)) == hash(Definitions.read(reversed(rows)))
    assert Definitions.read(rows) != Definitions.read(rows[:1])
    assert hash(Definitions.read(rows)) != hash(Definitions.read(rows[:1]))
    assert Definitions.read(rows) != rows
    assert repr(Definitions.read(rows)) == "<Definitions of 2 objects>"


# ------------------------------------------------------------------------------ the ledger


def test_ledger_counts_what_it_keeps() -> None:
    ledger = Ledger()
    for n in range(32):
        ledger = ledger.after(analyse(f"SET VARIABLE x{n} = 1"))
    assert not ledger.pin
    full = ledger.after(analyse("SET VARIABLE x0 = 2"))
    assert full.pin == "SET VARIABLE x0"
    assert full.replay == ledger.replay


def test_ledger_pinned_keeps_what_was_set_before() -> None:
    ledger = Ledger().after(analyse("SET VARIABLE x = 1")).after(analyse("SET threads = 1"))
    assert ledger.replay == ("SET VARIABLE x = 1",)
    assert ledger.after(analyse("SET VARIABLE x = 2")) is ledger


def test_paths_are_all_kept() -> None:
    ledger = Ledger().after(analyse("USE a")).after(analyse("USE b")).after(analyse("USE a"))
    assert ledger.replay == ("USE a", "USE b", "USE a")


def test_pin_tells_the_reason_unless_it_is_the_first_word() -> None:
    assert pin_of(analyse("set threads = 1")) == "set threads"
    assert pin_of(analyse("(SET)")) == "SET"
    assert pin_of(analyse("SELECT currval('s')")) == "calls currval(): SELECT currval"


# ------------------------------------------------------------------------------ decisions

DUCK = Site.imagined(Dialect.DUCKDB)


def test_an_imagined_site_has_everything() -> None:
    for dialect in Dialect:
        assert Site.imagined(dialect) == Site(has_endpoint=True, has_replicas=True, dialect=dialect)


def test_a_site_looks_through_the_names_of_each_replica() -> None:
    pure = Definitions.read([("macro", "m", "1")])
    draws = Definitions.read([("macro", "m", "nextval('s')")])
    call = analyse("SELECT m()")
    assert DUCK.resolve(call) is call
    assert replace(DUCK, definitions=(pure,)).resolve(call).is_read
    for both in ((pure, draws), (draws, pure)):
        resolved = replace(DUCK, definitions=both).resolve(call)
        assert Fact.WRITES in resolved.facts
        assert not resolved.is_read


def test_decisions_carry_the_facts() -> None:
    begin, read, write = map(analyse, ("BEGIN READ ONLY", "SELECT now()", "DELETE FROM t"))
    lonely = replace(DUCK, has_endpoint=False)
    assert decide(begin, DUCK) == Decision(Route.REPLICA, Reason.SNAPSHOT, facts=Fact.TRANSACTION)
    assert decide(read, DUCK) == Decision(Route.REPLICA, Reason.READ, facts=VOLATILE)
    assert decide(read, lonely) == Decision(Route.REPLICA, Reason.NO_ENDPOINT, facts=VOLATILE)
    assert decide(write, DUCK) == Decision(Route.ENDPOINT, Reason.NOT_A_READ, "DELETE", facts=WRITE)
    assert objection(read, DUCK) is None


def test_details_of_objections() -> None:
    def found(sql: str, site: Site) -> tuple[Reason, str]:
        decision = objection(analyse(sql), site)
        assert decision is not None
        return decision.reason, decision.detail

    hint = "/*+ pgmd: {} */ SELECT 1"
    assert found(hint.format("endpoint"), DUCK) == (Reason.ASKED, "/*+ pgmd: endpoint */")
    assert found(hint.format(LONG), DUCK) == (
        Reason.ASKED,
        f"/*+ pgmd: {LONG[:40]} */, which is not known: only 'endpoint' is",
    )
    assert found("SELECT 1", replace(DUCK, has_replicas=False)) == (Reason.NO_REPLICAS, "")
    assert found("SELECT 7/2", Site.imagined(Dialect.POSTGRES)) == (Reason.DIALECT, "operator /")


def test_the_position_that_a_replica_must_have_reached() -> None:
    assert required("session", 3, 5) == 3
    assert required("engine", 3, 5) == 5
    assert required("engine", 5, 3) == 5
    assert required("strong", 3, 5) == LIVE
    assert required("eventual", 3, 5) == 0


def test_stale_carries_the_facts() -> None:
    assert stale("strong", [], VOLATILE) == Decision(Route.ENDPOINT, Reason.STRONG, facts=VOLATILE)
    assert stale("session", [0.0, None], READ) == Decision(
        Route.ENDPOINT, Reason.STALE, "the freshest is 0.0 s old", facts=READ
    )
    assert stale("session", [], READ) == Decision(Route.ENDPOINT, Reason.STALE, facts=READ)


def test_a_decision_carried_out_names_its_replica() -> None:
    done = Decision(Route.ENDPOINT, Reason.READ, "x", facts=VOLATILE).by("replica-1", 2.5)
    assert done == Decision(
        Route.REPLICA, Reason.READ, replica="replica-1", staleness=2.5, facts=VOLATILE
    )


def test_a_report_without_facts_or_remedy() -> None:
    decision = Decision(Route.ENDPOINT, Reason.NOT_A_READ)
    assert decision.remedy == ""
    assert decision.report().splitlines() == [
        "endpoint: not confirmed to be a read",
        "  rule:   NOT_A_READ",
        "  facts:  none",
    ]
    asked = Decision(Route.ENDPOINT, Reason.ASKED, "x", facts=ASKS)
    assert asked.report().splitlines() == [
        "endpoint: the caller named the route (x)",
        "  rule:   ASKED",
        "  facts:  reads, asks session",
        f"  remedy: {Reason.ASKED.remedy}",
    ]
