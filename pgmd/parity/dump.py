"""Choose what DuckDB is bound with, so that a parameter means what it means to the endpoint.

Only exact types are let through: psycopg has its own rules for subclasses, and a program may have
registered more. Whatever is not known to mean the same is refused, and the endpoint, which is
psycopg, decides and raises its own errors.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from types import NoneType
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import duckdb
from duckdb import Value

from .types import Inexact

# Made once: a type given by name would be parsed each time, which costs 20 us. The module that
# holds DuckDB's own constants has another name in each version.
SMALLINT, INTEGER, BIGINT = map(duckdb.type, ("SMALLINT", "INTEGER", "BIGINT"))

# Turns a value into what is bound; None where the value itself is. Raises ValueError.
_Convert = Callable[[Any], object] | None


def dump(
    params: Sequence[object],
    *,
    dialect: Literal["postgres", "duckdb"],
    oids: Sequence[int] | None = None,
) -> list[object]:
    """Return what to bind for *params* on a replica. Raises Inexact, which never shows a value.

    *oids* are the types that PostgreSQL gives the parameters. psycopg leaves the type of a str
    open, so without them a str is let through only if it can be nothing but text.
    """
    converts = _CONVERTS[dialect]
    bound: list[object] = []
    for index, value in enumerate(params):
        kind = type(value)
        if kind not in converts:
            raise Inexact(f"parameter {index + 1}: {kind.__name__} is left to the endpoint")
        convert = converts[kind]
        try:
            if type(value) is str and oids is not None:
                bound.append(_dump_text_as(value, oids[index]))
            else:
                bound.append(value if convert is None else convert(value))
        except (ValueError, OverflowError) as error:
            raise Inexact(f"parameter {index + 1}: {error}") from None
    return bound


def _dump_int(value: int) -> object:
    # psycopg declares the smallest type, DuckDB would take INTEGER: 200 * 200 overflows as int2.
    return Value(value, _int_type(value, value))


def _int_type(low: int, high: int) -> Any:
    for bits, kind in ((15, SMALLINT), (31, INTEGER), (63, BIGINT)):
        if -(1 << bits) <= low and high < 1 << bits:
            return kind
    raise ValueError("an int of more than 64 bits is numeric to psycopg")


def _check_text(value: str) -> str:
    if "\0" in value:
        raise ValueError("PostgreSQL's text cannot hold NUL")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("a lone surrogate cannot be sent") from None
    return value


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


def _dump_untyped_text(value: str) -> str:
    suspect = "\\" in _check_text(value) or _MAY_DIFFER.match(value)
    if suspect and not _READ_ALIKE.fullmatch(value):
        raise ValueError("a str that may be read as another type")
    return value


def _dump_text_as(value: str, oid: int) -> str:
    if oid in _TEXT_OIDS:
        return _check_text(value)
    if not _READ_ALIKE_AS.get(oid, _NEVER).fullmatch(value):
        raise ValueError("a str that is to be read as another type")
    return value


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


def _dump_decimal(value: Decimal) -> Decimal:
    _, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise ValueError(  # noqa: TRY004  # psycopg can send it, DuckDB has no such number
            "DuckDB has no decimal NaN or infinity"
        )
    # Beyond 15 digits DuckDB rounds twice on the way to DOUBLE; long scales do not fit beside
    # the whole digits of a column.
    if max(len(digits), -exponent, len(digits) + exponent) > 15:
        raise ValueError("a Decimal of more than 15 digits")
    # DuckDB 1.5 misreads a positive exponent: 1E+3 arrives as 1.000.
    return Decimal(f"{value:f}") if exponent > 0 else value


def _dump_datetime(value: dt.datetime) -> dt.datetime:
    if value.tzinfo is None:
        return value
    if type(value.tzinfo) not in _ZONES or value.utcoffset() is None:
        raise ValueError("a datetime with a tzinfo of another library")
    return value.astimezone(dt.UTC)


def _dump_naive_time(value: dt.time) -> dt.time:
    if value.tzinfo is not None:
        raise ValueError("PostgreSQL compares a time with time zone in its own way")
    return value


def _dump_time(value: dt.time) -> dt.time:
    if value.tzinfo is not None and value.utcoffset() is None:
        raise ValueError("a time in a zone whose offset depends on the date")
    return value


def _dump_list(value: list[Any]) -> object:
    kinds = {type(element) for element in value if element is not None}
    if len(kinds) != 1:
        raise ValueError("an empty list or one of several types")
    kind = kinds.pop()
    if kind is int:
        numbers = [element for element in value if element is not None]
        return Value(value, _INT_LISTS[str(_int_type(min(numbers), max(numbers)))])
    if kind not in _LISTS:
        raise ValueError(f"a list of {kind.__name__}")
    if kind is str:
        # Only another text list or text compares with it in DuckDB, so it needs no look-alikes.
        for element in value:
            _check_text(element or "")
    return Value(value, _LISTS[kind])


_ZONES = (dt.timezone, ZoneInfo)
_INT_LISTS = {str(kind): duckdb.type(f"{kind}[]") for kind in (SMALLINT, INTEGER, BIGINT)}
_LISTS = {
    bool: duckdb.type("BOOLEAN[]"),
    float: duckdb.type("DOUBLE[]"),
    str: duckdb.type("VARCHAR[]"),
    dt.date: duckdb.type("DATE[]"),
    UUID: duckdb.type("UUID[]"),
}
_SAME: dict[type, _Convert] = {
    NoneType: None,
    bool: None,
    int: _dump_int,
    float: None,
    Decimal: _dump_decimal,
    bytes: None,
    dt.date: None,
    dt.datetime: _dump_datetime,
    dt.timedelta: None,
    UUID: None,
}
_CONVERTS: dict[str, dict[type, _Convert]] = {
    "postgres": _SAME | {str: _dump_untyped_text, dt.time: _dump_naive_time, list: _dump_list},
    # A wire server in front of DuckDB is told that text is text. How it reads the PostgreSQL
    # array literals that psycopg sends is its own affair.
    "duckdb": _SAME | {str: _check_text, dt.time: _dump_time},
}
