"""What a replica of a PostgreSQL database cannot read, compare or order exactly.

DuckDB's `postgres` extension maps some column types to others (numeric without precision to
DOUBLE, json and domains to text), and DuckDB orders text by code point whatever its collation. A
statement that names such a column is not routed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ..sql import Statement

# One row a column: schema, table, column, type, whether text in it is ordered by code point.
# The default collation's provider is a column only since PostgreSQL 15, hence to_jsonb.
QUERY = """
SELECT n.nspname::text, c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod),
       CASE WHEN l.oid IS NULL THEN true
            WHEN l.collname = 'default' THEN
                 coalesce(to_jsonb(d) ->> 'datlocprovider', 'c') = 'b'
              OR coalesce(to_jsonb(d) ->> 'datlocprovider', 'c') = 'c'
                 AND d.datcollate IN ('C', 'POSIX', 'C.UTF-8', 'C.utf8')
            ELSE l.collname IN ('C', 'POSIX', 'C.UTF-8', 'C.utf8', 'ucs_basic', 'pg_c_utf8')
       END,
       c.relkind IN ('r', 'p')
  FROM pg_attribute a
  JOIN pg_class c ON c.oid = a.attrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_database d ON d.datname = current_database()
  LEFT JOIN pg_collation l ON l.oid = a.attcollation
 WHERE n.nspname = ANY (current_schemas(false))
   AND a.attnum > 0 AND NOT a.attisdropped
   AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
 ORDER BY array_position(current_schemas(false), n.nspname), c.relname, a.attnum
"""
SCHEMAS_QUERY = (
    "SELECT s::text FROM unnest(current_schemas(false)) WITH ORDINALITY AS t(s, n) ORDER BY n"
)

# `real` is not among them: PostgreSQL compares it with 1.1 as a double, DuckDB as a float.
_EXACT = re.compile(
    r"(smallint|integer|bigint|double precision|text|character varying(\(\d+\))?|boolean|bytea|"
    r"date|time(\(\d\))? without time zone|timestamp(\(\d\))? with(out)? time zone|"
    r"interval.*|uuid|numeric\((?P<precision>\d+)(,\d+)?\))(?P<array>\[\])?"
)
# They compare whole rows without naming their columns.
_COMPARES_ROWS = frozenset({"distinct", "union", "intersect", "except", "natural"})


@dataclass(frozen=True, slots=True)
class Table:
    schema: str
    name: str
    # (name, type) pairs, in order.
    columns: tuple[tuple[str, str], ...]
    inexact: frozenset[str] = frozenset()
    collated: frozenset[str] = frozenset()
    stores_rows: bool = True


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The tables of a PostgreSQL database in its search path, by lower-case name."""

    schemas: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()

    @classmethod
    def read(
        cls, schemas: Iterable[str], rows: Iterable[tuple[str, str, str, str, bool, bool]]
    ) -> Catalogue:
        """Build it from the rows of SCHEMAS_QUERY and QUERY."""
        columns: dict[tuple[str, str, bool], list[tuple[str, str, bool]]] = {}
        for schema, table, column, kind, binary, stores in rows:
            columns.setdefault((schema, table, stores), []).append((column, kind, binary))
        return cls(
            tuple(schemas),
            tuple(
                Table(
                    schema,
                    name,
                    tuple((c, t) for c, t, _ in found),
                    frozenset(c.lower() for c, t, _ in found if not _is_exact(t)),
                    frozenset(c.lower() for c, _, binary in found if not binary),
                    stores,
                )
                for (schema, name, stores), found in columns.items()
            ),
        )

    def only(self, wanted: Iterable[str]) -> Catalogue:
        """The tables that store rows; of these the *wanted* ones, all when there is no choice.

        Raises LookupError for a wanted table that does not exist.
        """
        names = {name.lower() for name in wanted}
        stored = [table for table in self.tables if table.stores_rows]
        missing = names - {table.name.lower() for table in stored}
        if missing:
            raise LookupError(f"no such table: {', '.join(sorted(missing))}")
        kept = (t for t in stored if not names or t.name.lower() in names)
        return Catalogue(self.schemas, tuple(kept))

    def objection(self, statement: Statement) -> str:
        """The column because of which *statement* is not routed, or ""."""
        for table in self.tables:
            if not (table.inexact or table.collated) or table.name.lower() not in statement.names:
                continue
            column = _objection(table, statement)
            if column:
                return f"{table.name}.{column}"
        return ""


def _objection(table: Table, statement: Statement) -> str:
    suspects = table.inexact | table.collated if statement.orders else table.inexact
    named = suspects & statement.names
    if named:
        return min(named)
    if suspects and statement.words & _COMPARES_ROWS:
        return min(suspects)
    return ""


def _is_exact(kind: str) -> bool:
    match = _EXACT.fullmatch(kind)
    return match is not None and (match["precision"] is None or int(match["precision"]) <= 38)
