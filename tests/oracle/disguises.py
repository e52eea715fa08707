"""The same statement in other clothes: what runs is the same, what is read is not."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from typing import Any

import duckdb
import sqlglot
from sqlglot.errors import SqlglotError

_QUOTED = re.compile(r"""('(?:[^']|'')*'|"(?:[^"]|"")*"|\$\w*\$.*?\$\w*\$)""", re.DOTALL)
_READ = re.compile(r"\s*\(*\s*(select|with|from|values|table)\b", re.IGNORECASE)
_CALL = re.compile(r"\b([a-z_]+)\(")

_GAPS = (
    " /* SELECT 1 */ ",
    " -- FROM t\n",
    "/*/* nextval('s') */ ; */",
    "\n\t\r\n",
    "\f",
    " /* $$ ' \" */ ",
    "\u00a0",
    "\u3000",
    "\u2003",
)
_WHOLE = (
    "({})",
    "(({}))",
    "{};",
    ";{}",
    "{};;",
    "{} ; -- end",
    "/* SELECT */ {}",
    "-- SELECT 1\n{}",
    "-- SELECT 1\r{}",
    "\ufeff{}",
    "\u00a0{}",
    "{}\u00a0",
    "SELECT * FROM ({}) q",
    "SELECT * FROM ({}) AS q(x)",
    "FROM ({})",
    "SELECT ({})",
    "SELECT [({})]",
    "SELECT EXISTS ({})",
    "SELECT count(*) FROM ({}) q",
    "SELECT 1 WHERE 1 IN ({})",
    "SELECT array({})",
    "WITH q AS ({}) SELECT * FROM q",
    "WITH q AS MATERIALIZED ({}) FROM q",
    "WITH q AS NOT MATERIALIZED ({}) TABLE q",
    "WITH q AS (SELECT 1), q2 AS ({}) SELECT * FROM q2",
    "WITH RECURSIVE q AS ({}) SELECT * FROM q",
    "WITH q AS (WITH q2 AS ({}) FROM q2) FROM q",
    "WITH q AS (SELECT 1) {}",
    "SELECT 1 AS a UNION ALL {}",
    "{} UNION ALL SELECT 1",
    "({}) INTERSECT (SELECT 1)",
    "SELECT * FROM t, LATERAL ({}) q",
    "SELECT * FROM t LEFT JOIN ({}) q ON true",
    "SELECT * FROM t SEMI JOIN ({}) q ON true",
    "SELECT a FROM t ORDER BY ({})",
    "SELECT a FROM t LIMIT ({})",
    "VALUES (({}))",
    "EXPLAIN {}",
    "EXPLAIN ANALYZE {}",
    "EXPLAIN (ANALYZE, FORMAT json) {}",
    "DESCRIBE {}",
    "SUMMARIZE {}",
    "PREPARE q AS {}",
    "CREATE TABLE q AS {}",
    "CREATE TEMP VIEW q AS {}",
    "COPY ({}) TO 'out.csv'",
    "INSERT INTO u {}",
    "SET VARIABLE q = ({})",
    "SELECT 1; {}",
    "{}; SELECT 1",
    "BEGIN; {}; COMMIT",
    "PIVOT ({}) ON a USING count(*)",
    "SELECT * FROM (PIVOT ({}) ON a IN (1) USING count(*))",
    "FROM query('{}')",
    "SELECT * FROM (FROM t SELECT a, ({}) AS y)",
    "SELECT list_transform([1], lambda k: ({}))",
    "SELECT max(a) FILTER (WHERE ({}) IS NULL) FROM t",
    "SELECT a FROM t QUALIFY row_number() OVER (ORDER BY ({})) = 1",
)


def disguised(sql: str, roll: random.Random, many: int) -> Iterator[str]:
    """About *many* disguises of *sql*, some of which may not parse."""
    body = sql.strip().rstrip(";")
    choices: list[Callable[[], str | None]] = [
        *(lambda form=form: _wrapped(form, body) for form in roll.sample(_WHOLE, many)),
        *(lambda gap=gap: gapped(body, gap) for gap in roll.sample(_GAPS, 2)),
        lambda: swapped(body),
        lambda: with_quoted_calls(body),
        lambda: printed(body, pretty=True),
        lambda: printed(body, identify=True),
        lambda: printed(body, normalize=True, normalize_functions="upper"),
        lambda: printed(body, comments=True, leading_comma=True, pretty=True),
    ]
    for choice in roll.sample(choices, min(many, len(choices))):
        text = choice()
        if text is not None and text != sql:
            yield text


def _wrapped(form: str, sql: str) -> str:
    inner = sql.replace("'", "''") if "'{}'" in form else sql
    # A comment may stand at its end.
    return form.replace("{}", f"{inner}\n" if "--" in inner else inner)


def gapped(sql: str, gap: str) -> str:
    """*gap* between all tokens: where DuckDB's tokenizer says that they begin."""
    raw = sql.encode()
    try:
        places = [start for start, _ in duckdb.tokenize(sql)]
    except duckdb.Error:
        return sql
    # Not within a dollar quote or a literal with a prefix, which it cuts in pieces on 1.x.
    parts = [raw[a:b] for a, b in zip([0, *places], [*places, len(raw)], strict=True)]
    return b"".join(
        part.rstrip() + (gap.encode() if part != part.rstrip() else b"") for part in parts
    ).decode(errors="replace")


def swapped(sql: str) -> str:
    """The case of everything but strings and quoted names."""
    return "".join(part if i % 2 else part.swapcase() for i, part in enumerate(_QUOTED.split(sql)))


def with_quoted_calls(sql: str) -> str:
    """Function names in quotes."""
    return "".join(
        part if i % 2 else _CALL.sub(r'"\1" (', part) for i, part in enumerate(_QUOTED.split(sql))
    )


def printed(sql: str, **options: Any) -> str | None:
    """As sqlglot writes it; None where it cannot read it."""
    try:
        trees = sqlglot.parse(sql, dialect="duckdb")
        return "; ".join(tree.sql(dialect="duckdb", **options) for tree in trees if tree)
    except (SqlglotError, RecursionError, ValueError, AttributeError, TypeError):
        return None
