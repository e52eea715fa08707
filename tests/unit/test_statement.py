"""Which texts are confirmed reads, and what the others do."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgmd.sql import Fact, analyse
from pgmd.sql import functions as f
from pgmd.sql import grammar as g

CORPUS: dict[str, list[str]] = tomllib.loads(
    (Path(__file__).parents[1] / "corpora" / "statements.toml").read_text()
)
NOT_READS = [sql for group in ("later", "writer", "pinned") for sql in CORPUS[group]]
# An open quote may swallow whatever follows it.
CLOSED = [sql for sql in NOT_READS if analyse(sql).words or not sql.strip("; ")]
SCHEMA = """
CREATE TABLE t (a integer, b varchar, call integer, "update" integer);
CREATE TABLE u (a integer);
CREATE SEQUENCE s;
CREATE VIEW v AS SELECT 1 AS n;
"""


@pytest.fixture(scope="module")
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"python_enable_replacements": "false"}) as connection:
        connection.execute(SCHEMA)
        connection.execute("SET enable_external_access = false")
        yield connection


@pytest.mark.parametrize("sql", CORPUS["read"] + CORPUS["hidden"])
def test_confirmed_read(sql: str) -> None:
    statement = analyse(sql)
    assert statement.is_read, statement.why
    assert not statement.why
    assert not statement.pins


@pytest.mark.parametrize("sql", NOT_READS)
def test_not_a_confirmed_read(sql: str) -> None:
    statement = analyse(sql)
    assert not statement.is_read
    assert statement.why


@pytest.mark.parametrize("sql", CORPUS["pinned"])
def test_depends_on_its_connection(sql: str) -> None:
    assert analyse(sql).pins


@pytest.mark.parametrize("sql", CORPUS["read"])
def test_confirmed_read_runs_on_duckdb(sql: str, duck: duckdb.DuckDBPyConnection) -> None:
    if "$key" in sql or "$1" in sql:
        name = "key" if "$key" in sql else "1"
        duck.execute(sql, {name: 1}).fetchall()
    elif sql[0] != "\ufeff":
        duck.execute(sql).fetchall()


@pytest.mark.parametrize(
    ("sql", "facts", "why"),
    [
        ("SELECT nextval('s')", Fact.READS | Fact.WRITES, "calls nextval()"),
        ("SELECT f(1)", Fact.READS, "calls f()"),
        ("SELECT random()", Fact.READS | Fact.VOLATILE, ""),
        ("SELECT current_date", Fact.READS | Fact.VOLATILE, ""),
        ("SELECT current_user", Fact.READS | Fact.ASKS_SESSION, "asks for current_user"),
        ("SELECT setseed(0.1)", Fact.READS | Fact.SESSION, "calls setseed()"),
        ("SELECT write_log('x')", Fact.READS | Fact.EXTERNAL, "calls write_log()"),
        ("SELECT * FROM temp.t", Fact.READS | Fact.TEMPORARY, "a temporary table"),
        (
            "SELECT pg_advisory_xact_lock(1)",
            Fact.READS | Fact.TRANSACTION,
            "calls pg_advisory_xact_lock()",
        ),
        ("EXPLAIN ANALYZE DELETE FROM t", Fact.WRITES, "EXPLAIN: DELETE"),
        ("EXPLAIN (FORMAT json) SELECT 1", Fact.READS, ""),
        ("EXPLAIN EXPLAIN SELECT 1", Fact.READS | Fact.UNKNOWN, "EXPLAIN"),
        ("SHOW threads", Fact.READS, "threads may be no table"),
        ("SHOW DATABASES", Fact.READS | Fact.ASKS_SESSION, "SHOW"),
        ("FROM (DESCRIBE databases)", Fact.READS | Fact.ASKS_SESSION, "DESCRIBE"),
        ("PRAGMA table_info('t')", Fact.READS, ""),
        ("PRAGMA table_info('t') x", Fact.SESSION, "PRAGMA"),
        ("UNPIVOT t ON a INTO NAME n VALUE v", Fact.READS, ""),
        ("PIVOT ('x.csv') ON a USING count(*)", Fact.READS | Fact.LOCAL_FILES, "reads a file"),
        ("FROM (UNPIVOT (('x.csv')) ON a)", Fact.READS | Fact.LOCAL_FILES, "reads a file"),
        (
            "WITH q AS (SELECT 1) PIVOT (temp.t) ON a",
            Fact.READS | Fact.TEMPORARY,
            "a temporary table",
        ),
        ("DESCRIBE PIVOT ('x.csv') ON a", Fact.READS | Fact.LOCAL_FILES, "reads a file"),
        ("SUMMARIZE ('x.csv')", Fact.READS | Fact.LOCAL_FILES, "reads a file"),
        ("FROM t PIVOT (sum(a) FOR b IN ('x.csv', 'y'))", Fact.READS, ""),
        ("FROM (FROM t) PIVOT (sum(a) FOR b IN ('x.csv'))", Fact.READS, ""),
        ("DESCRIBE (SELECT 'x.csv')", Fact.READS, ""),
        ("COPY t TO 'f'", Fact.WRITES | Fact.LOCAL_FILES, "COPY"),
        ("INSERT INTO t VALUES (1)", Fact.WRITES, "INSERT"),
        ("WITH x AS (DELETE FROM t) FROM x", Fact.READS | Fact.WRITES, "DELETE"),
        ("create table x (a int)", Fact.WRITES | Fact.DDL, "CREATE"),
        ("CREATE TEMP TABLE x (a int)", Fact.WRITES | Fact.DDL | Fact.TEMPORARY, "CREATE"),
        ("SELECT * INTO x FROM t", Fact.READS | Fact.WRITES | Fact.DDL, "INTO"),
        ("BEGIN", Fact.TRANSACTION, "BEGIN"),
        ("PREPARE TRANSACTION 'x'", Fact.TRANSACTION, "PREPARE"),
        ("SET a = 1", Fact.SESSION, "SET"),
        ("CALL f()", Fact.UNKNOWN, "CALL"),
        ("", Fact.EMPTY, "no statement"),
        (
            "BEGIN; DELETE FROM t",
            Fact.TRANSACTION | Fact.WRITES | Fact.SEVERAL,
            "several statements",
        ),
        ("SELECT 'a", Fact.UNKNOWN, "unterminated or unknown text at byte 7"),
        ("SELECT * FROM t FOR SHARE", Fact.READS | Fact.WRITES, "locks rows"),
        ("FROM 'x.csv'", Fact.READS | Fact.LOCAL_FILES, "reads a file"),
        ("FROM 'https://x/y.csv'", Fact.READS | Fact.REMOTE_FILES, "reads a file"),
        ("FROM read_csv('x.csv')", Fact.READS | Fact.LOCAL_FILES, "reads a file"),
        ("FROM read_parquet('s3://x/y')", Fact.READS | Fact.REMOTE_FILES, "reads a file"),
    ],
)
def test_facts_and_reason(sql: str, facts: Fact, why: str) -> None:
    statement = analyse(sql)
    assert statement.facts == facts
    assert statement.why == why


def test_names_are_lower_case_and_without_quotes() -> None:
    statement = analyse("SELECT A, \"B c\" FROM Main.T WHERE upper(x) = 'n'")
    assert statement.names == {"a", "b c", "main", "t", "upper", "x"}
    assert "select" in statement.words


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a FROM t ORDER BY a",
        "SELECT a FROM t WHERE a <= 'x'",
        "SELECT max(a) FROM t",
        "SELECT a FROM t WHERE a BETWEEN 'a' AND 'b'",
        "SELECT rank() OVER () FROM t",
    ],
)
def test_depends_on_the_order_of_text(sql: str) -> None:
    assert analyse(sql).orders


def test_plain_filter_does_not_depend_on_order() -> None:
    assert not analyse("SELECT count(*) FROM t WHERE a = 'x' GROUP BY b").orders


def test_schema_changes() -> None:
    assert analyse("ALTER TABLE t ADD c int").changes_schema
    assert analyse("CALL f()").changes_schema
    assert not analyse("SELECT f(1)").changes_schema


def test_texts_are_analysed_once() -> None:
    assert analyse("SELECT 1") is analyse("SELECT 1")


@pytest.mark.parametrize(
    ("sql", "functions", "tables", "parameters"),
    [
        ("SELECT upper(a), f(b) FROM s.t JOIN u ON t.a = u.a", {"upper", "f"}, {"t", "u"}, ()),
        ("SELECT a FROM t WHERE b = $1 AND c = $2 AND d = $1", set(), {"t"}, ("$1", "$2")),
        ("FROM range(3) r, (SELECT * FROM v)", {"range"}, {"v"}, ()),
        ("SELECT $key", set(), set(), ("$key",)),
        ("SELECT 'a", set(), set(), ()),
    ],
)
def test_what_it_names(
    sql: str, functions: set[str], tables: set[str], parameters: tuple[str, ...]
) -> None:
    statement = analyse(sql)
    assert statement.functions == functions
    assert statement.tables == tables
    assert statement.parameters == parameters


@pytest.mark.parametrize(
    ("sql", "hint"),
    [
        ("/*+ pgmd: endpoint */ SELECT 1", "endpoint"),
        ("\ufeff\n /*+pgmd:endpoint*/ SELECT 1", "endpoint"),
        ("/*+ pgmd: replica */ SELECT 1", "replica"),
        ("/* pgmd: endpoint */ SELECT 1", ""),
        ("SELECT /*+ pgmd: endpoint */ 1", ""),
        ("SELECT '/*+ pgmd: endpoint */'", ""),
    ],
)
def test_hint_is_a_leading_comment(sql: str, hint: str) -> None:
    assert analyse(sql).hint == hint


@pytest.mark.parametrize(
    ("sql", "key"),
    [
        ("SET VARIABLE x = 1", "variable x"),
        ("SET VARIABLE x = [1, -2.5, 'a', NULL]", "variable x"),
        ("SET SESSION search_path TO 'a'", "path"),
        ("SET schema = s2", "path"),
        ("USE a.b;", "path"),
        ("RESET VARIABLE x", "-variable x"),
        ("RESET search_path", "-path"),
        ("SET VARIABLE x = random()", ""),
        ("SET VARIABLE x = (SELECT 1)", ""),
        ("SET VARIABLE x = $1", ""),
        ("SET VARIABLE x = y", ""),
        ("SET GLOBAL search_path = 'a'", ""),
        ("SET search_path = 'main, system.information_schema'", ""),
        ("USE system.pg_catalog", ""),
        ("SET threads = 2", ""),
        ("USE a; USE b", ""),
        ("SET", ""),
        ("RESET", ""),
        ("USE", ""),
    ],
)
def test_what_can_be_set_on_a_replica_too(sql: str, key: str) -> None:
    assert analyse(sql).setting == key


@pytest.mark.parametrize(
    ("sql", "outlives"),
    [
        ("SET a = 1", True),
        ("CREATE TEMP TABLE x (a int)", True),
        ("CALL f()", True),
        ("SET LOCAL a = 1", False),
        ("SELECT pg_advisory_xact_lock(1)", False),
        ("SAVEPOINT x", False),
        ("DELETE FROM t", False),
    ],
)
def test_what_a_transaction_leaves_behind(sql: str, outlives: bool) -> None:
    assert analyse(sql).outlives_transaction is outlives


@pytest.mark.parametrize(
    ("sql", "begins", "ends"),
    [
        ("BEGIN TRANSACTION READ ONLY", True, False),
        ("begin /* x */ read only;", True, False),
        ("START TRANSACTION READ ONLY", True, False),
        ("BEGIN", False, False),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY", False, False),
        ("BEGIN READ ONLY; SELECT 1", False, False),
        ("COMMIT", False, True),
        ("END TRANSACTION;", False, True),
        ("ROLLBACK", False, True),
        ("ROLLBACK TO s", False, False),
        ("COMMIT AND CHAIN", False, False),
        ("COMMIT; BEGIN", False, False),
    ],
)
def test_ends_of_a_snapshot(sql: str, begins: bool, ends: bool) -> None:
    assert analyse(sql).begins_snapshot is begins
    assert analyse(sql).ends_transaction is ends


# ------------------------------------------------------------------------------ the tables


def test_functions_are_pure_in_duckdb(duck: duckdb.DuckDBPyConnection) -> None:
    rows = duck.execute(
        "SELECT lower(function_name), bool_and(coalesce(stability, 'CONSISTENT') = 'CONSISTENT'"
        " AND NOT coalesce(has_side_effects, false)) FROM duckdb_functions()"
        " WHERE internal GROUP BY 1"
    ).fetchall()
    pure = dict(rows)
    if duckdb.__version__.startswith("1.5."):
        assert not f.FUNCTIONS - pure.keys()
    # The value of a variable is the same on every side: see the ledger.
    assert {name for name in f.FUNCTIONS if not pure.get(name, True)} <= {"getvariable"}


def test_no_function_is_also_doubtful() -> None:
    others = g.SESSION_NAMES, f.DOUBTFUL_CALLS, g.DOUBTFUL_WORDS, f.VOLATILE_FUNCTIONS, f.FILE_CALLS
    for names in others:
        assert f.FUNCTIONS.isdisjoint(names)


def test_grammar_words_that_are_also_functions_are_pure(
    duck: duckdb.DuckDBPyConnection,
) -> None:
    rows = duck.execute(
        "SELECT DISTINCT function_name FROM duckdb_functions() WHERE internal AND ("
        " coalesce(stability, 'CONSISTENT') <> 'CONSISTENT' OR function_type = 'table')"
    ).fetchall()
    assert g.NOT_CALLS & {name for (name,) in rows} <= f.TABLE_FUNCTIONS.keys()


def test_every_table_function_has_its_place(duck: duckdb.DuckDBPyConnection) -> None:
    rows = duck.execute(
        "SELECT DISTINCT function_name FROM duckdb_functions()"
        " WHERE internal AND function_type = 'table'"
    ).fetchall()
    placed = f.TABLE_FUNCTIONS.keys() | f.FILE_CALLS | f.NAMING_CALLS | f.DOUBTFUL_CALLS.keys()
    names = {name for (name,) in rows if not name.startswith(g.SYSTEM_PREFIXES)}
    assert names - placed == set()
    assert all(f.TABLE_FUNCTIONS.values())


def test_impure_functions_are_known_as_such(duck: duckdb.DuckDBPyConnection) -> None:
    rows = duck.execute(
        "SELECT DISTINCT function_name FROM duckdb_functions() WHERE internal AND"
        " (stability = 'VOLATILE' OR stability = 'CONSISTENT_WITHIN_QUERY' OR has_side_effects)"
    ).fetchall()
    known = f.VOLATILE_FUNCTIONS | f.DOUBTFUL_CALLS.keys() | g.SESSION_NAMES | g.CLOCK_NAMES
    # The value of a variable is the same on every side: see the ledger.
    assert {name for (name,) in rows} - known <= {"getvariable"}


def test_reserved_words_are_reserved_in_duckdb(duck: duckdb.DuckDBPyConnection) -> None:
    rows = duck.execute(
        "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category = 'reserved'"
    ).fetchall()
    if duckdb.__version__.startswith("1.5."):
        assert {name for (name,) in rows} == g.RESERVED


def test_functions_called_without_parentheses_are_known(
    duck: duckdb.DuckDBPyConnection,
) -> None:
    names = duck.execute("SELECT DISTINCT function_name FROM duckdb_functions()").fetchall()
    words = {"user", "localtime", "localtimestamp", "current_time", "current_timestamp"}
    for name in words | {name for (name,) in names if name.isidentifier()}:
        try:
            duck.execute(f"SELECT {name}")
        except duckdb.Error:
            continue
        assert analyse(f"SELECT {name}").facts is not Fact.READS, name


# ------------------------------------------------------------------------------ mutations

WORDS = """
SELECT FROM WITH AS ( ) , ; t x a nextval('s') currval('s') f(1) count(*) upper(b) DISTINCT ON WHERE
JOIN VALUES TABLE INSERT INTO DELETE : :: . IN 1 = UNION ALL "x" LATERAL USING setseed(0.1) ORDER BY
LIMIT
"""
PIECES = WORDS.split()
HARMFUL = ("nextval(", "currval(", "setseed(", "f(", "INSERT", "DELETE", "INTO")
SPACES = st.sampled_from([" ", "\n", "\t", " /* SELECT */ ", "\n-- SELECT 'x\n", "/*/* */*/"])
WRAPPERS = st.sampled_from(
    [
        "{}",
        "({})",
        "{};",
        ";{}",
        "/* SELECT 1 */ {}",
        "-- SELECT 1\n{}",
        "SELECT * FROM ({}) q",
        "SELECT ({})",
        "WITH q AS ({}) SELECT * FROM q",
        "WITH q(a, b) AS MATERIALIZED ({}) FROM q",
        "SELECT 1 UNION ALL {}",
        "SELECT 1 WHERE EXISTS ({})",
        "WITH q AS (SELECT 1) {}",
        "SELECT 1; {}",
        "EXPLAIN {}",
    ]
)


def _parses(sql: str) -> bool:
    with duckdb.connect() as connection:
        try:
            return bool(connection.extract_statements(sql))
        except duckdb.Error:
            return False


def _runs(sql: str) -> bool:
    with duckdb.connect() as connection:
        connection.execute(SCHEMA)
        try:
            connection.execute(sql).fetchall()
        except duckdb.Error:
            return False
        return True


def _swap(text: str) -> str:
    """Change the case outside quotes; leave texts with quotes alone."""
    return text.swapcase() if not set("'\"$") & set(text) else text


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.sampled_from(CLOSED), WRAPPERS, WRAPPERS, SPACES, st.booleans())
def test_no_disguise_makes_a_read(sql: str, inner: str, outer: str, space: str, swap: bool) -> None:
    if swap:
        sql = _swap(sql)
    disguised = outer.format(inner.format(f"{space}{sql}{space}"))
    if not analyse(disguised).is_read:
        return
    # SELECT (COMMIT) asks for a column: harmless if it fails for want of one.
    assert analyse(sql).facts == Fact.EMPTY or not _runs(disguised), disguised


@settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
)
@given(
    st.lists(
        st.sampled_from(PIECES),
        max_size=14,
    )
)
def test_what_duckdb_parses_and_we_confirm_is_harmless(words: list[str]) -> None:
    sql = "SELECT " + " ".join(words)
    if analyse(sql).is_read and _parses(sql):
        assert not [word for word in HARMFUL if word in sql]


@pytest.mark.parametrize("sql", CORPUS["writer"])
def test_writer_statement_hidden_in_a_string_stays_a_read(sql: str) -> None:
    quoted = sql.replace("'", "''")
    if "\0" not in sql:
        assert analyse(f"SELECT '{quoted}'").is_read
        assert analyse(f"SELECT 1 -- {quoted.replace(chr(10), ' ')}").is_read
