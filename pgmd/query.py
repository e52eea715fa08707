"""What a caller hands in, read once: the text for each side and the parameters in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from psycopg import sql as psycopg_sql
from psycopg.rows import BaseRowFactory

from .errors import UsageError
from .sql import convert

Sql: TypeAlias = str | bytes | psycopg_sql.Composable
Params: TypeAlias = Sequence[Any] | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Query:
    """One statement for `gather()`: text, parameters and, if not the session's, a row factory."""

    sql: Sql
    params: Params | None = None
    row_factory: BaseRowFactory[Any] | None = None


@dataclass(slots=True)
class Request:
    """A statement about to run. `query` and `params` are psycopg's, `text` and `values` DuckDB's
    (placeholders `$1`, `$2`, ...)."""

    query: str
    params: Params | None
    text: str
    values: Sequence[Any]
    row_factory: BaseRowFactory[Any] | None

    @classmethod
    def read(
        cls, query: Sql, params: Params | None, row_factory: BaseRowFactory[Any] | None
    ) -> Request:
        """Raises psycopg.ProgrammingError when placeholders and parameters do not fit."""
        text = query if type(query) is str else _as_text(query)
        if not text.isascii() or "\0" in text:
            _check_sendable(text)
        if params is None:
            return cls(text, None, text, (), row_factory)
        placeholders = convert(text)
        return cls(text, params, placeholders.text, placeholders.arrange(params), row_factory)


def _check_sendable(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError("a lone surrogate in the SQL text cannot be sent to a server") from None
    if "\0" in text:
        # libpq would send what stands before it and drop the rest.
        raise UsageError("a NUL character in the SQL text cannot be sent to a server")


def _as_text(query: Any) -> str:
    if isinstance(query, str):
        return str(query)
    if isinstance(query, bytes):
        return query.decode()
    if isinstance(query, psycopg_sql.Composable):
        return query.as_string()
    raise UsageError(f"a query is str, bytes or psycopg.sql, not {type(query).__name__}")
