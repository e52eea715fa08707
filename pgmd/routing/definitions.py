"""What stands behind plain names in a DuckDB database: its views and macros, looked through.

A view or macro does what its definition does. A call of something that is neither a function known
to `pgmd.sql` nor a macro here stays unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from ..sql import Fact, Statement, analyse
from ..sql.lexer import Unreadable, tokens
from ..sql.statement import unresolved

# One row an object: what it is, its name, its text. A macro that shadows a function of DuckDB may
# be called by syntax: x + 1 calls "+", [x] calls list_value. Of tables with computed columns all
# column expressions are listed, defaults among them. The local endpoint's catalogue, which a
# replica sees that is reached through it, is PostgreSQL's and shadows nothing.
QUERY = """
WITH f AS MATERIALIZED (
    SELECT function_name AS name, function_type AS type, macro_definition AS body, internal
      FROM duckdb_functions() WHERE database_name IS DISTINCT FROM 'pgmd_catalog'
)
SELECT 'table', table_name, '' FROM duckdb_tables() WHERE NOT internal
UNION ALL
SELECT 'column', c.table_name, c.column_default
  FROM duckdb_columns() AS c
  JOIN duckdb_tables() AS t USING (database_name, schema_name, table_name)
 WHERE NOT t.internal AND t.sql LIKE '%GENERATED ALWAYS AS%' AND c.column_default IS NOT NULL
UNION ALL
SELECT 'view', view_name, coalesce(sql, '') FROM duckdb_views() WHERE NOT internal
UNION ALL
SELECT CASE WHEN name IN (SELECT name FROM f WHERE internal) THEN 'shadow' ELSE type END,
       name, coalesce(body, '')
  FROM f WHERE NOT internal AND type IN ('macro', 'table_macro')
"""
_MACROS = frozenset(["macro", "table_macro", "shadow"])


class Definitions:
    """The tables, views and macros of a DuckDB database. Equal to another with the same.

    A name stands for every object that is called so, in any schema.
    """

    __slots__ = ("_bodies", "_macros", "_relations", "_rows", "_shadows")

    def __init__(self, rows: frozenset[tuple[str, str, str]]) -> None:
        self._rows = rows
        self._macros = frozenset(name for kind, name, _ in rows if kind in _MACROS)
        self._relations = frozenset(name for kind, name, _ in rows if kind in ("table", "view"))
        # The queries behind names.
        self._bodies: dict[str, list[str]] = {}
        for kind, name, text in sorted(rows):
            if kind != "table":
                self._bodies.setdefault(name, []).append(_query(kind, text))
        self._shadows = frozenset(name for kind, name, _ in rows if kind == "shadow")

    @classmethod
    def read(cls, rows: Iterable[tuple[str, str, str]]) -> Definitions:
        """Build it from the rows of QUERY."""
        return cls(frozenset((kind, _folded(name), text) for kind, name, text in rows))

    def resolve(self, statement: Statement) -> Statement:
        """The same statement, with what the views and macros in it do among its facts."""
        if Fact.READS not in statement.facts:
            return statement
        bodies = list(self._behind(statement.names | statement.named | self._shadows))
        if not (bodies or statement.unknown or statement.named):
            return statement
        facts = statement.facts
        unknown, named = self._unresolved(statement)
        why = statement.why if unknown or named or not statement.can_be_read else ""
        for name, body in bodies:
            facts |= body.facts
            left = self._unresolved(body)
            if any(left):
                facts |= Fact.UNKNOWN
            if not why and (any(left) or not body.can_be_read):
                why = f"{name[:40]}: {unresolved(*left) if any(left) else body.why}"
        return replace(statement, facts=facts, why=why, unknown=unknown, named=named)

    def _unresolved(self, statement: Statement) -> tuple[frozenset[str], frozenset[str]]:
        """What it calls that is no macro, and what it names that is no table or view."""
        return statement.unknown - self._macros, statement.named - self._relations

    def _behind(self, names: frozenset[str]) -> Iterator[tuple[str, Statement]]:
        """Every definition that these names stand for, and those behind them, each once."""
        seen: set[str] = set()
        waiting = [names]
        while waiting:
            for name in sorted((self._bodies.keys() & waiting.pop()) - seen):
                seen.add(name)
                for text in self._bodies[name]:
                    body = analyse(text)
                    waiting.append(body.names | body.named)
                    yield name, body

    def __eq__(self, other: object) -> bool:
        return self._rows == other._rows if isinstance(other, Definitions) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._rows)

    def __repr__(self) -> str:
        return f"<Definitions of {len(self._rows)} objects>"


def _folded(name: str) -> str:
    """Lower case as DuckDB does it: ASCII letters only."""
    return name.encode().lower().decode()


def _query(kind: str, text: str) -> str:
    if kind == "view":
        return _after_as(text)
    # Of a shadow nobody says whether it is a query or an expression: in parentheses it is both.
    return text if kind == "table_macro" else f"SELECT ({text})"


def _after_as(text: str) -> str:
    """What `CREATE VIEW name (columns) AS query` has behind its AS."""
    try:
        found = tokens(text)
    except Unreadable:
        return ""
    depth = 0
    for token in found:
        depth += (token.text == "(") - (token.text == ")")
        if token.word == "as" and depth == 0 and token.text != '"as"':
            return text.encode()[token.start + 2 :].decode()
    return ""
