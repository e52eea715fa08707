"""What stands behind plain names in a DuckDB database: its views and macros, looked through.

A view or macro does what its definition does. A call of something that is neither a function known
to `pgmd.sql` nor a macro here stays unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ..sql import Fact, Statement, analyse
from ..sql.grammar import NAMING_CALLS
from ..sql.lexer import Unreadable, tokens
from ..sql.statement import unresolved

# One row an object: what it is, its name, its text.
QUERY = """
SELECT 'table', table_name, '' FROM duckdb_tables() WHERE NOT internal
UNION ALL
SELECT 'view', view_name, coalesce(sql, '') FROM duckdb_views() WHERE NOT internal
UNION ALL
SELECT function_type, function_name, coalesce(macro_definition, '')
  FROM duckdb_functions() WHERE NOT internal AND function_type IN ('macro', 'table_macro')
"""

_HARMLESS = Fact.READS | Fact.VOLATILE | Fact.WRITES


@dataclass(frozen=True, slots=True)
class _Names:
    """Lower-case names. One stands for every object that is called so, in any schema."""

    views: frozenset[str]
    macros: frozenset[str]
    relations: frozenset[str]
    # The queries behind views and macros.
    bodies: dict[str, list[str]]


class Definitions:
    """The tables, views and macros of a DuckDB database. Equal to another with the same."""

    __slots__ = ("_names", "_rows")

    def __init__(self, rows: frozenset[tuple[str, str, str]]) -> None:
        self._rows = rows
        kinds: dict[str, set[str]] = {"table": set(), "view": set(), "macro": set()}
        bodies: dict[str, list[str]] = {}
        for kind, name, text in sorted(rows):
            kinds[kind.removeprefix("table_")].add(name)
            if kind != "table":
                bodies.setdefault(name, []).append(_query(kind, text))
        views = frozenset(kinds["view"])
        relations = views | kinds["table"]
        self._names = _Names(views, frozenset(kinds["macro"]), relations, bodies)

    @classmethod
    def read(cls, rows: Iterable[tuple[str, str, str]]) -> Definitions:
        """Build it from the rows of QUERY."""
        return cls(frozenset((kind, _folded(name), text) for kind, name, text in rows))

    def resolve(self, statement: Statement) -> Statement:
        """The same statement, with what the views and macros in it do among its facts."""
        if Fact.READS not in statement.facts:
            return statement
        bodies = list(self._behind(statement.names))
        if not (bodies or statement.unknown or statement.shows):
            return statement
        facts = statement.facts
        unknown, shows = self._unresolved(statement)
        why = statement.why if unknown or shows or not statement.can_be_read else ""
        for name, body in bodies:
            facts |= body.facts
            left, _ = self._unresolved(body)
            if left:
                facts |= Fact.UNKNOWN
            if not why and (left or not body.can_be_read):
                why = f"{name[:40]}: {unresolved(left, '') if left else body.why}"
        if statement.names_tables_in_text and not why:
            facts, why = self._in_text(facts)
        return replace(statement, facts=facts, why=why, unknown=unknown, shows=shows)

    def _in_text(self, facts: Fact) -> tuple[Fact, str]:
        """What reading a table named in a text may do: it may be any view.

        That it writes need not be feared: a replica refuses that and nothing has happened.
        """
        for name, body in self._behind(self._names.views):
            if body.facts & ~_HARMLESS or self._unresolved(body)[0]:
                return facts | Fact.UNKNOWN, f"may read the view {name[:40]}"
        return facts, ""

    def _unresolved(self, statement: Statement) -> tuple[frozenset[str], str]:
        known = self._names.macros
        if statement.names_tables_in_text:
            # Which table that is, is looked at in _in_text.
            known |= NAMING_CALLS
        shows = "" if statement.shows in self._names.relations else statement.shows
        return statement.unknown - known, shows

    def _behind(self, names: frozenset[str]) -> Iterator[tuple[str, Statement]]:
        """Every definition that these names stand for, and those behind them, each once."""
        seen: set[str] = set()
        waiting = [names]
        while waiting:
            for name in sorted((self._names.bodies.keys() & waiting.pop()) - seen):
                seen.add(name)
                for text in self._names.bodies[name]:
                    body = analyse(text)
                    waiting.append(body.names)
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
    if kind == "macro":
        return f"SELECT {text}"
    return _after_as(text) if kind == "view" else text


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
