"""What is confirmed without tokens is what the walk over the tokens confirms, too."""

from __future__ import annotations

import tomllib
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgmd.sql import Fact
from pgmd.sql.grammar import RESERVED
from pgmd.sql.plain import plain
from pgmd.sql.statement import _walked

CORPORA = Path(__file__).parents[1] / "corpora"
STATEMENTS = tomllib.loads((CORPORA / "statements.toml").read_text())
TEXTS = sorted({sql for group in STATEMENTS.values() for sql in group})


def parses(sql: str) -> bool:
    try:
        return bool(duckdb.extract_statements(sql))
    except duckdb.Error:
        return False


def check(sql: str) -> bool:
    """Whether *sql* is plain; if so, the walk says the same of it."""
    found = plain(sql)
    if found is None:
        return False
    walked = _walked(sql)
    if walked.facts is not Fact.READS:
        # Where no value can stand the walk sees a file, but DuckDB sees nothing it understands.
        assert not parses(sql), walked.why
        return False
    assert walked.facts is Fact.READS, walked.why
    assert walked.is_read
    assert walked.verb == found.verb.upper()
    assert walked.names == found.words - RESERVED
    assert walked.words <= found.words
    assert walked.functions == found.functions
    assert walked.orders <= found.orders
    return True


def test_it_agrees_with_the_walk_on_the_corpus() -> None:
    plain_ones = [sql for sql in TEXTS if check(sql)]
    assert len(plain_ones) > 25


@pytest.mark.parametrize("sql", [s for g in ("writer", "pinned", "later") for s in STATEMENTS[g]])
def test_nothing_but_a_read_is_plain(sql: str) -> None:
    assert plain(sql) is None


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT carrier, count(*) FROM flights WHERE day = $1 AND dest <> 'LAX' GROUP BY 1",
        "select a from t where b in ('x', 'y') and c = 'z';",
        "WITH q AS (SELECT 1 AS a) SELECT a / 2 FROM q",
        "SELECT date_trunc('month', d), concat(a, b) FROM t WHERE c = 'x' AND d IN ('x')",
        "SELECT a FROM t WHERE b = DATE '2020-01-01' AND (c OR d)",
        "(SELECT a FROM t) UNION ALL (SELECT b FROM u)",
        'SELECT t."a", "B"."c" FROM "t" AS "B" ORDER BY "a"',
        "FROM t SELECT a->b, c || 'd'",
    ],
)
def test_plain(sql: str) -> None:
    assert check(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 -- DELETE",
        "SELECT /* */ 1",
        'SELECT "a b" FROM t',
        'SELECT "a""b" FROM t',
        'SELECT "select" FROM t',
        'SELECT "coalesce"(a) FROM t',
        'SELECT "update" FROM t',
        """SELECT "nextval"('s')""",
        'SELECT a FROM s."csv"',
        "SELECT E'a'",
        "SELECT 'a''b'",
        "SELECT $$a$$",
        "SELECT $a FROM t",
        "SELECT a$1 FROM t",
        "SELECT 1; SELECT 2",
        "SELECT 1delete FROM t",
        "SELECT ä FROM t",
        "SELECT a FROM 'x'",
        "SELECT a FROM t, 'x'",
        "SELECT a FROM (('x'))",
        "SELECT a, b FROM ('x')",
        "SELECT a, b FROM t, ('x', 'y')",
        "SELECT a FROM t JOIN\n'x' ON true",
        "SELECT a FROM t WHERE b = 'x/y'",
        "SELECT a FROM s.csv",
        "SELECT pg_backend_pid()",
        "SELECT a FROM pg_class",
        "SELECT f(a) FROM t",
        "SELECT now()",
        "SELECT current_date",
        "SELECT a FROM t FOR SHARE",
        "SELECT a FROM temp.t",
        "SELECT a FROM t WHERE b = ?",
        "EXPLAIN SELECT 1",
        "SUMMARIZE t",
        "SELECT * FROM (DESCRIBE t)",
        "",
        "(",
        f"SELECT {'a' * 1_000_000}",
    ],
)
def test_left_to_the_walk(sql: str) -> None:
    assert plain(sql) is None


PIECES = """
SELECT FROM WITH AS ( ) , ; . t x a a.b nextval( currval( f( count( upper( lower( IN ( IN('x', WHERE JOIN
VALUES TABLE INSERT INTO DELETE : :: = <> < -> / * + - | 'x' 'x.csv' '' ' $1 $a $ a$1 1 1.5 1e5 1a 1delete
USING LATERAL ORDER BY LIMIT now current_date temp temp. pg_x csv .csv share FOR UPDATE describe pivot
-- /* */ "x" "select" "a b" " E'x' \t \n UNION ALL ON x-> min( ä %
""".replace("\\t", "\t").split(" ")


@settings(max_examples=2000, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(PIECES), max_size=14), st.sampled_from([" ", "", "\n"]))
def test_it_agrees_with_the_walk_on_anything(pieces: list[str], gap: str) -> None:
    check("SELECT " + gap.join(pieces))


@settings(max_examples=2000, deadline=None, derandomize=True)
@given(st.sampled_from(TEXTS), st.integers(0, 200), st.sampled_from(PIECES))
def test_it_agrees_with_the_walk_on_what_is_nearly_plain(sql: str, at: int, piece: str) -> None:
    check(sql[:at] + piece + sql[at:])
