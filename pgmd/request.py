"""What a caller hands in, read once: the text for each side and the parameters in order."""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import psycopg
from psycopg import sql as psycopg_sql
from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap, Dumper, PyFormat
from psycopg.rows import BaseRowFactory
from psycopg.types.string import BytesDumper

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
    (placeholders `$1`, `$2`, ...); `formats` has their letters, if one is not `s`."""

    query: str
    params: Params | None
    text: str
    values: Sequence[Any]
    row_factory: BaseRowFactory[Any] | None
    formats: str = ""

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
        found = convert(text)
        values = found.arrange(params)
        return cls(text, params, found.text, values, row_factory, found.formats)


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
        # Not str(query), which an Enum may have changed.
        return str.__str__(query)
    if isinstance(query, bytes):
        try:
            return query.decode()
        except UnicodeDecodeError:
            raise UsageError("a query of bytes is read as UTF-8, which this is not") from None
    if isinstance(query, psycopg_sql.Composable):
        return query.as_string(unconnected(psycopg.adapters))
    raise UsageError(f"a query is str, bytes or psycopg.sql, not {type(query).__name__}")


class _HexDumper(Dumper):
    """Bytes as libpq writes them for a connection; without one it uses the form of before 9.0."""

    oid = BytesDumper.oid

    def dump(self, obj: Any) -> Buffer | None:
        return b"\\x" + hexlify(obj)

    def quote(self, obj: Any) -> Buffer:
        return b"'\\x" + hexlify(obj) + b"'"


def unconnected(given: AdaptersMap) -> AdaptersMap:
    """The same adapters, writing without a connection what they would write on one."""
    adapters = AdaptersMap(given)
    for kind in (bytes, bytearray, memoryview):
        if adapters.get_dumper(kind, PyFormat.TEXT) is _SHIPPED:
            adapters.register_dumper(kind, _HexDumper)
    return adapters


def _optimised(dumper: type[Dumper]) -> Any:
    scratch = AdaptersMap()
    scratch.register_dumper(object, dumper)
    return scratch.get_dumper(object, PyFormat.TEXT)


_SHIPPED = _optimised(BytesDumper)
