"""How Django writes SQL for the server."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.db.backends.postgresql.base import DatabaseWrapper
from django.db.backends.postgresql.operations import DatabaseOperations as PostgresOperations

# DuckDB's LIKE has no escape character unless it is named, and its ~ takes the whole text.
_ESCAPE = r" ESCAPE '\'"
DUCKDB_OPERATORS = {
    **{
        name: operator + _ESCAPE if operator.startswith("LIKE") else operator
        for name, operator in DatabaseWrapper.operators.items()
    },
    "regex": "~ ('(?s).*(?:' || %s || ').*')",
    "iregex": "~ ('(?is).*(?:' || %s || ').*')",
}
DUCKDB_PATTERNS = {name: pattern + _ESCAPE for name, pattern in DatabaseWrapper.pattern_ops.items()}


class DatabaseOperations(PostgresOperations):  # type: ignore[misc]
    """PostgreSQL's, with DuckDB's SQL where that is the server."""

    def compiler(self, compiler_name: str) -> Any:
        # PostgreSQL's own unnests several arrays at once.
        if self.connection.profile.unnests_together:
            return super().compiler(compiler_name)
        return getattr(import_module("django.db.models.sql.compiler"), compiler_name)
