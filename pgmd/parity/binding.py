"""What DuckDB is bound with for one value of a kind that psycopg sends, so that it means the same.

Each takes the value and, where known, the type that PostgreSQL gives the parameter. It raises
`NoTwin`, or whatever a value makes Python raise.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import psycopg
from duckdb import Value
from psycopg.adapt import PyFormat
from psycopg.types import json

# Made once: a type given by name would be parsed each time, which costs 20 us. The module that
# holds DuckDB's own constants has another name in each version.
_SMALLINT, _INTEGER, _BIGINT = map(duckdb.type, ("SMALLINT", "INTEGER", "BIGINT"))
_FLOAT = duckdb.type("FLOAT")


class NoTwin(ValueError):
    """Why nothing can be bound; never shows the value."""


# Numbers


def bind_bool(value: Any, _: int | None = None) -> object:
    return bool(value)


def bind_int(value: Any, _: int | None) -> object:
    # psycopg declares the smallest type, DuckDB would take INTEGER: 200 * 200 overflows as int2.
    if type(value) is not int:
        value = int(value)
    bits = bits_for(value, value)
    if not bits:
        raise NoTwin("an int of more than 64 bits is numeric to psycopg")
    return Value(value, INTS[bits])


def bits_for(low: int, high: int) -> int:
    """The size of the smallest integer type for numbers from *low* to *high*; 0 for none."""
    for bits in (16, 32, 64):
        if -(1 << bits - 1) <= low and high < 1 << bits - 1:
            return bits
    return 0


def int_of(bits: int) -> Callable[..., object]:
    return lambda value, _: Value(int(value), INTS[bits])


INTS = {16: _SMALLINT, 32: _INTEGER, 64: _BIGINT}


def bind_float(value: Any, _: int | None) -> object:
    # Of a nan with a sign, DuckDB would print the sign.
    return float(value) if value == value else math.nan


def bind_float4(value: Any, _: int | None) -> object:
    return Value(with_nan(value), _FLOAT)


def with_nan(value: Any) -> object:
    """In a Value, DuckDB takes a Python nan for NULL, but not its text."""
    return float(value) if value == value else "nan"


def _decimal_where(*, exponents: bool) -> Callable[..., object]:
    def convert(value: Any, _: int | None = None) -> object:
        if type(value) is not Decimal:
            value = Decimal(int(value))
        _sign, digits, exponent = value.as_tuple()
        if not isinstance(exponent, int):
            raise NoTwin("DuckDB has no decimal NaN or infinity")
        # Beyond 15 digits DuckDB rounds twice on the way to DOUBLE; long scales do not fit beside
        # the whole digits of a column.
        if max(len(digits), -exponent, len(digits) + exponent) > 15:
            raise NoTwin("a Decimal of more than 15 digits")
        if exponent <= 0:
            return value
        # DuckDB 1.5 misreads it: 1E+3 arrives as 1.000.
        if not exponents:
            raise NoTwin("a Decimal with a positive exponent")
        return Decimal(f"{value:f}")

    return convert


bind_decimal = _decimal_where(exponents=True)
# A wire server in front of DuckDB may hand the exponent on to it.
bind_plain_decimal = _decimal_where(exponents=False)


# Text


def bind_text(value: Any, _: int | None = None) -> str:
    # Not str(value), which an Enum may have changed.
    text = value if type(value) is str else str.__str__(value)
    if "\0" in text:
        raise NoTwin("PostgreSQL's text cannot hold NUL")
    if not text.isascii():
        text.encode()
    return text


def bind_json(value: Any, _: int | None) -> str:
    if not isinstance(value, (json.Json, json.Jsonb)):
        raise NoTwin(f"{type(value).__name__} is left to the endpoint")
    data = psycopg.adapters.get_dumper(type(value), PyFormat.AUTO)(type(value)).dump(value)
    if data is None:
        raise NoTwin("JSON that is NULL")
    return bind_text(bytes(data).decode())


def bind_name(value: Any, _: int | None) -> str:
    return bind_text(value.name)


def bind_untyped_name(value: Any, oid: int | None) -> str:
    return bind_untyped(value.name, oid)


def bind_untyped(value: Any, oid: int | None) -> str:
    text = bind_text(value)
    if oid is not None:
        if oid not in _TEXT_OIDS and not _READ_ALIKE_AS.get(oid, _NEVER).fullmatch(text):
            raise NoTwin("a str that is to be read as another type")
    elif ("\\" in text or _MAY_DIFFER.match(text)) and not _READ_ALIKE.fullmatch(text):
        raise NoTwin("a str that may be read as another type")
    return text


# Text whose type is up to its context: PostgreSQL reads it as the type of the other operand, and
# so does DuckDB, but the two read some texts differently or only one can (`int = '1.5'` is true
# for 2 in DuckDB). These are read alike:
_WHOLE = r"-?\d{1,18}"
_DATE = r"(?!0000)\d{4}-\d\d-\d\d"
_TIME = r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?"
_UUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_READ_ALIKE = re.compile(rf"(?a){_WHOLE}|{_DATE}([ T]{_TIME})?|{_UUID}")
# And these DuckDB may read as a number, date, time, list or JSON; a backslash is an escape to it
# where PostgreSQL reads hexadecimal digits.
_MAY_DIFFER = re.compile(
    r"(?i)[\s\d+\-.@\[{\"]"
    r"|(nan|inf|infinity|epoch|now|today|tomorrow|yesterday|allballs|null)\s*$"
)


_TEXT_OIDS = (25, 1043)
_NEVER = re.compile(r"(?!)")
# What both sides read alike as a type that is not text.
_READ_ALIKE_AS = {
    oid: re.compile(rf"(?a){pattern}")
    for oids, pattern in (
        ((20, 21, 23), _WHOLE),
        ((1082,), _DATE),
        ((1114, 1184), f"{_DATE} {_TIME}"),
        ((2950,), _UUID),
    )
    for oid in oids
}


# Bytes, dates, times


def bind_bytes(value: Any, _: int | None = None) -> object:
    if type(value) is memoryview and not value.contiguous:
        raise NoTwin("a memoryview with gaps")
    return value if type(value) is bytes else bytes(value)


def only(kind: type) -> Callable[..., object]:
    """Nothing but *kind* itself: a subclass may hold more, as pandas' Timestamp does."""

    def convert(value: Any, _: int | None = None) -> object:
        if type(value) is not kind:
            raise NoTwin(f"{type(value).__name__} is left to the endpoint")
        return value

    return convert


def bind_datetime(value: Any, _: int | None = None) -> object:
    if type(value) is not dt.datetime:
        raise NoTwin(f"{type(value).__name__} is left to the endpoint")
    if value.tzinfo is None:
        return value
    if type(value.tzinfo) not in _ZONES or value.utcoffset() is None:
        raise NoTwin("a datetime with a tzinfo of another library")
    return value.astimezone(dt.UTC)


def bind_naive_time(value: Any, _: int | None = None) -> object:
    if type(value) is not dt.time or value.tzinfo is not None:
        raise NoTwin("PostgreSQL compares a time with time zone in its own way")
    return value


def bind_time(value: Any, _: int | None) -> object:
    if type(value) is not dt.time:
        raise NoTwin(f"{type(value).__name__} is left to the endpoint")
    if value.tzinfo is not None and value.utcoffset() is None:
        raise NoTwin("a time in a zone whose offset depends on the date")
    return value


_ZONES = (dt.timezone, ZoneInfo)
