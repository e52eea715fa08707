"""From a caller's parameters to what DuckDB is bound with, or to the endpoint.

psycopg leaves the type of a str open and PostgreSQL decides; DuckDB gets text and converts it by
its own rules. A str that the two may read differently as a number, date or truth value is refused,
as is everything whose twin is not certain: the endpoint then runs the statement.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import duckdb

from ..sql.portable import is_ambiguous
from .load import Inexact

Dialect = Literal["postgres", "duckdb"]
Dumpers = dict[type, Callable[[Any], Any]]

_MOST_DIGITS = 38
# Looked up by name: the module that holds DuckDB's type constants differs between versions.
_SMALLINT = duckdb.type("SMALLINT")
_INTEGER = duckdb.type("INTEGER")


def dump(values: Sequence[Any], *, dialect: Dialect) -> list[Any]:
    """Return what to bind. Raises `Inexact`, naming the type and never the value."""
    dumpers = _POSTGRES if dialect == "postgres" else _DUCKDB
    try:
        return [dumpers[type(value)](value) for value in values]
    except KeyError as error:
        kind = error.args[0]
        name = kind.__name__ if isinstance(kind, type) else str(kind)
        raise Inexact(f"parameter of type {name}") from None


def _same(value: Any) -> Any:
    return value


def _width(value: int) -> Any:
    # As wide as psycopg declares it: arithmetic then overflows where PostgreSQL's does.
    if -(2**15) <= value < 2**15:
        return duckdb.Value(value, _SMALLINT)
    if -(2**31) <= value < 2**31:
        return duckdb.Value(value, _INTEGER)
    return _int64(value)


def _int64(value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise Inexact("parameter of type int beyond 64 bits")
    return value


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Inexact("parameter of type str with a lone surrogate") from None
    if "\0" in value:
        raise Inexact("parameter of type str with a NUL")
    return value


def _plain_text(value: str) -> str:
    if is_ambiguous(value):
        raise Inexact("parameter of type str that may mean a number or a date")
    return _text(value)


def _decimal(value: Decimal) -> Decimal:
    _, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise Inexact("parameter of type Decimal that is not finite")
    if len(digits) + max(exponent, 0) > _MOST_DIGITS or -exponent > _MOST_DIGITS:
        raise Inexact(f"parameter of type Decimal with more than {_MOST_DIGITS} digits")
    # DuckDB binds 1E+3 as 1.000.
    return Decimal(format(value, "f")) if exponent > 0 else value


def _time(value: dt.time) -> dt.time:
    if value.tzinfo is not None and value.utcoffset() is None:
        raise Inexact("parameter of type time whose zone needs a date")
    return value


def _list(value: list[Any]) -> list[Any]:
    kinds = {type(item) for item in value} - {type(None)}
    if len(kinds) != 1 or kinds & {list, dt.datetime, dt.time}:
        raise Inexact("parameter of type list that is empty, nested or mixed")
    dumper = _DUCKDB[kinds.pop()]
    return [None if item is None else dumper(item) for item in value]


def _plain_list(value: list[Any]) -> list[Any]:
    if any(type(item) is str and is_ambiguous(item) for item in value):
        raise Inexact("parameter of type list of str that may mean numbers or dates")
    return _list(value)


_DUCKDB: Dumpers = {
    **dict.fromkeys((type(None), bool, float, bytes, dt.date, dt.datetime, UUID), _same),
    dt.timedelta: _same,
    dt.time: _time,
    bytearray: bytes,
    memoryview: bytes,
    int: _int64,
    str: _text,
    Decimal: _decimal,
    list: _list,
}
_POSTGRES: Dumpers = {**_DUCKDB, int: _width, str: _plain_text, list: _plain_list}
