"""Choose what DuckDB is bound with, so that a parameter means what it means to the endpoint.

psycopg sends a value as the dumper that it finds for the value's class says, and so the dumper
decides here, too. One that is not listed, because it is the program's own or DuckDB has no such
type, leaves the statement to the endpoint, which is psycopg and raises its own errors.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from typing import Any, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

import duckdb
import psycopg
from duckdb import Value
from psycopg import abc
from psycopg.adapt import AdaptersMap, PyFormat, Transformer
from psycopg.types import array, datetime, enum, json, none, numeric, numpy, string
from psycopg.types.bool import BoolBinaryDumper, BoolDumper
from psycopg.types.uuid import UUIDBinaryDumper, UUIDDumper

from .types import Inexact

# Made once: a type given by name would be parsed each time, which costs 20 us. The module that
# holds DuckDB's own constants has another name in each version.
_SMALLINT, _INTEGER, _BIGINT = map(duckdb.type, ("SMALLINT", "INTEGER", "BIGINT"))
_FLOAT = duckdb.type("FLOAT")

_Dumper: TypeAlias = type[abc.Dumper]
# From a value and, where known, the type that PostgreSQL gives the parameter to what is bound;
# None where that is the value itself. Raises _NoTwin, or whatever a value makes Python raise.
_Convert: TypeAlias = Callable[[Any, int | None], object] | None
_ConvertList: TypeAlias = Callable[[list[Any]], object]


class _NoTwin(ValueError):
    """Why nothing can be bound; never shows the value."""


def dump(
    params: Sequence[object],
    *,
    dialect: str,
    oids: Sequence[int] | None = None,
    formats: str = "",
) -> list[object]:
    """Return what to bind for *params* on a replica.

    *dialect* is the endpoint's, "postgres" or "duckdb", or "alone" without one to agree with.
    *oids* are the types that PostgreSQL gives the parameters: psycopg leaves the type of a str
    open, so without them a str is let through only if it can be nothing but text. *formats* are
    the letters of the placeholders, if not all of them are `%s`.

    Raises Inexact, which never shows a value; for one that psycopg cannot send, psycopg's error.
    """
    rules = _RULES[dialect]
    form = _AUTO
    bound: list[object] = []
    for index, value in enumerate(params):
        if formats:
            form = _FORMATS[formats[index]]
        dumper = _find_dumper(type(value), form)
        if dumper not in rules:
            if dumper.__module__.startswith("psycopg"):
                _raise_as_psycopg(value, form)
            raise Inexact(f"parameter {index + 1}: {type(value).__name__} is left to the endpoint")
        convert = rules[dumper]
        try:
            bound.append(
                value if convert is None else convert(value, None if oids is None else oids[index])
            )
        except _FAILURES as error:
            _raise_as_psycopg(value, form)
            reason = error if isinstance(error, _NoTwin) else type(error).__name__
            raise Inexact(f"parameter {index + 1}: {reason}") from None
    return bound


def is_untyped(value: object) -> bool:
    """Whether psycopg leaves the type of this parameter to PostgreSQL."""
    if type(value) is list:
        return all(element is None or is_untyped(element) for element in value)
    return isinstance(value, (str, Enum))


def declared(value: object) -> object:
    """What psycopg's choice of a type for this value depends on."""
    kind = type(value)
    if kind is str:
        return kind
    if isinstance(value, int):
        return kind, _bits(value, value)
    if isinstance(value, (dt.datetime, dt.time)):
        return kind, value.tzinfo is None
    if isinstance(value, list):
        return kind, frozenset(map(declared, value))
    return kind


def _raise_as_psycopg(value: object, form: PyFormat) -> None:
    """Raise what psycopg raises for a value that it cannot send."""
    try:
        Transformer(psycopg.adapters).dump_sequence([value], [form])
    except (psycopg.Error, UnicodeEncodeError):
        raise
    except Exception:  # noqa: BLE001  # the value's own, to be raised again by the endpoint
        return


_find_dumper = psycopg.adapters.get_dumper
_AUTO, _TEXT = PyFormat.AUTO, PyFormat.TEXT
_FORMATS = {form.value: form for form in PyFormat}
_FAILURES = (ValueError, TypeError, AttributeError, ArithmeticError, psycopg.ProgrammingError)


# Numbers


def _dump_bool(value: Any, _: int | None = None) -> object:
    return bool(value)


def _dump_int(value: Any, _: int | None) -> object:
    # psycopg declares the smallest type, DuckDB would take INTEGER: 200 * 200 overflows as int2.
    if type(value) is not int:
        value = int(value)
    bits = _bits(value, value)
    if not bits:
        raise _NoTwin("an int of more than 64 bits is numeric to psycopg")
    return Value(value, _INTS[bits])


def _bits(low: int, high: int) -> int:
    """The size of the smallest integer type for numbers from *low* to *high*; 0 for none."""
    for bits in (16, 32, 64):
        if -(1 << bits - 1) <= low and high < 1 << bits - 1:
            return bits
    return 0


def _int_of(bits: int) -> _Convert:
    return lambda value, _: Value(int(value), _INTS[bits])


_INTS = {16: _SMALLINT, 32: _INTEGER, 64: _BIGINT}


def _dump_float(value: Any, _: int | None) -> object:
    # Of a nan with a sign, DuckDB would print the sign.
    return float(value) if value == value else math.nan


def _dump_float4(value: Any, _: int | None) -> object:
    return Value(_with_nan(value), _FLOAT)


def _with_nan(value: Any) -> object:
    """In a Value, DuckDB takes a Python nan for NULL, but not its text."""
    return float(value) if value == value else "nan"


def _decimal_where(*, exponents: bool) -> Callable[..., object]:
    def convert(value: Any, _: int | None = None) -> object:
        if type(value) is not Decimal:
            value = Decimal(int(value))
        _sign, digits, exponent = value.as_tuple()
        if not isinstance(exponent, int):
            raise _NoTwin("DuckDB has no decimal NaN or infinity")
        # Beyond 15 digits DuckDB rounds twice on the way to DOUBLE; long scales do not fit beside
        # the whole digits of a column.
        if max(len(digits), -exponent, len(digits) + exponent) > 15:
            raise _NoTwin("a Decimal of more than 15 digits")
        if exponent <= 0:
            return value
        # DuckDB 1.5 misreads it: 1E+3 arrives as 1.000.
        if not exponents:
            raise _NoTwin("a Decimal with a positive exponent")
        return Decimal(f"{value:f}")

    return convert


_dump_decimal = _decimal_where(exponents=True)
# A wire server in front of DuckDB may hand the exponent on to it.
_dump_plain_decimal = _decimal_where(exponents=False)


# Text


def _dump_text(value: Any, _: int | None = None) -> str:
    # Not str(value), which an Enum may have changed.
    text = value if type(value) is str else str.__str__(value)
    if "\0" in text:
        raise _NoTwin("PostgreSQL's text cannot hold NUL")
    if not text.isascii():
        text.encode()
    return text


def _dump_json(value: Any, _: int | None) -> str:
    if not isinstance(value, (json.Json, json.Jsonb)):
        raise _NoTwin(f"{type(value).__name__} is left to the endpoint")
    data = _find_dumper(type(value), _AUTO)(type(value)).dump(value)
    if data is None:
        raise _NoTwin("JSON that is NULL")
    return _dump_text(bytes(data).decode())


def _dump_name(value: Any, _: int | None) -> str:
    return _dump_text(value.name)


def _dump_untyped_name(value: Any, oid: int | None) -> str:
    return _dump_untyped(value.name, oid)


def _dump_untyped(value: Any, oid: int | None) -> str:
    text = _dump_text(value)
    if oid is not None:
        if oid not in _TEXT_OIDS and not _READ_ALIKE_AS.get(oid, _NEVER).fullmatch(text):
            raise _NoTwin("a str that is to be read as another type")
    elif ("\\" in text or _MAY_DIFFER.match(text)) and not _READ_ALIKE.fullmatch(text):
        raise _NoTwin("a str that may be read as another type")
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
_TEXT_LIST_OIDS = (1009, 1015)
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


def _dump_bytes(value: Any, _: int | None = None) -> object:
    if type(value) is memoryview and not value.contiguous:
        raise _NoTwin("a memoryview with gaps")
    return value if type(value) is bytes else bytes(value)


def _only(kind: type) -> Callable[..., object]:
    """Nothing but *kind* itself: a subclass may hold more, as pandas' Timestamp does."""

    def convert(value: Any, _: int | None = None) -> object:
        if type(value) is not kind:
            raise _NoTwin(f"{type(value).__name__} is left to the endpoint")
        return value

    return convert


def _dump_datetime(value: Any, _: int | None = None) -> object:
    if type(value) is not dt.datetime:
        raise _NoTwin(f"{type(value).__name__} is left to the endpoint")
    if value.tzinfo is None:
        return value
    if type(value.tzinfo) not in _ZONES or value.utcoffset() is None:
        raise _NoTwin("a datetime with a tzinfo of another library")
    return value.astimezone(dt.UTC)


def _dump_naive_time(value: Any, _: int | None = None) -> object:
    if type(value) is not dt.time or value.tzinfo is not None:
        raise _NoTwin("PostgreSQL compares a time with time zone in its own way")
    return value


def _dump_time(value: Any, _: int | None) -> object:
    if type(value) is not dt.time:
        raise _NoTwin(f"{type(value).__name__} is left to the endpoint")
    if value.tzinfo is not None and value.utcoffset() is None:
        raise _NoTwin("a time in a zone whose offset depends on the date")
    return value


_ZONES = (dt.timezone, ZoneInfo)


# Lists


def _dump_list(rules: Mapping[_Dumper, _ConvertList]) -> _Convert:
    def convert(value: list[Any], oid: int | None) -> object:
        kinds = {type(element) for element in value if element is not None}
        if len(kinds) != 1:
            raise _NoTwin("an empty list or one of several types")
        kind = kinds.pop()
        # Whatever it prefers for one value, psycopg writes those of a list as text.
        dumper = _find_dumper(kind, _TEXT)
        if dumper not in rules:
            raise _NoTwin(f"a list of {kind.__name__}")
        if dumper is _UNTYPED and oid is not None and oid not in _TEXT_LIST_OIDS:
            raise _NoTwin("a list of str that is to be read as another type")
        return rules[dumper](value)

    return convert


def _dump_ints(value: list[Any]) -> object:
    numbers = [None if element is None else int(element) for element in value]
    known = [number for number in numbers if number is not None]
    bits = _bits(min(known), max(known))
    if not bits:
        raise _NoTwin("an int of more than 64 bits is numeric to psycopg")
    return Value(numbers, _LISTS[str(_INTS[bits])])


def _dump_moments(value: list[Any]) -> object:
    moments = _each(_dump_datetime, value)
    aware = {moment.tzinfo is not None for moment in moments if moment is not None}
    if len(aware) != 1:
        raise _NoTwin("a list of datetimes with and without a time zone")
    return Value(moments, _LISTS["TIMESTAMPTZ" if aware.pop() else "TIMESTAMP"])


def _list_of(name: str, convert: Callable[[Any], object]) -> _ConvertList:
    return lambda value: Value(_each(convert, value), _LISTS[name])


def _dump_decimals(value: list[Any]) -> object:
    return _each(_dump_plain_decimal, value)


def _each(convert: Callable[[Any], Any], value: list[Any]) -> list[Any]:
    return [None if element is None else convert(element) for element in value]


_LISTS = {
    name: duckdb.type(f"{name}[]")
    for name in (
        "SMALLINT", "INTEGER", "BIGINT", "BOOLEAN", "DOUBLE", "VARCHAR", "BLOB", "DATE", "TIME",
        "TIMESTAMP", "TIMESTAMPTZ", "UUID",
    )
}  # fmt: skip


# Which dumper means what


def _found(dumper: _Dumper) -> _Dumper:
    """The class that psycopg uses for *dumper*: it has some in C, too."""
    scratch = AdaptersMap()
    scratch.register_dumper(object, dumper)
    return scratch.get_dumper(object, _AUTO)


def _rules(converts: Mapping[_Dumper, Any]) -> dict[_Dumper, Any]:
    return {_found(dumper): convert for dumper, convert in converts.items()}


_UNTYPED = _found(string.StrDumperUnknown)
_COMMON_LISTS = _rules(
    {
        BoolDumper: _list_of("BOOLEAN", _dump_bool),
        numeric.IntDumper: _dump_ints,
        numpy.NPInt16Dumper: _list_of("SMALLINT", int),
        numpy.NPInt32Dumper: _list_of("INTEGER", int),
        numpy.NPInt64Dumper: _list_of("BIGINT", int),
        numeric.FloatDumper: _list_of("DOUBLE", _with_nan),
        # In DuckDB only text or another list of it compares with one.
        string.StrDumperUnknown: _list_of("VARCHAR", _dump_text),
        string.StrDumper: _list_of("VARCHAR", _dump_text),
        datetime.DateDumper: _list_of("DATE", _only(dt.date)),
        datetime.TimeDumper: _list_of("TIME", _dump_naive_time),
        datetime.DatetimeDumper: _dump_moments,
        UUIDDumper: _list_of("UUID", _only(UUID)),
    }
)
_COMMON = _rules(
    {
        BoolBinaryDumper: _dump_bool,
        numeric.IntBinaryDumper: _dump_int,
        numeric.Int2BinaryDumper: _int_of(16),
        numeric.Int4BinaryDumper: _int_of(32),
        numeric.Int8BinaryDumper: _int_of(64),
        numpy.NPInt16BinaryDumper: _int_of(16),
        numpy.NPInt32BinaryDumper: _int_of(32),
        numpy.NPInt64BinaryDumper: _int_of(64),
        numeric.IntNumericDumper: _dump_decimal,
        numpy.NPNumericBinaryDumper: _dump_decimal,
        numeric.FloatBinaryDumper: _dump_float,
        # Text that is declared to be text.
        string.StrDumper: _dump_text,
        string.BytesBinaryDumper: _dump_bytes,
        datetime.DateBinaryDumper: _only(dt.date),
        datetime.DatetimeBinaryDumper: _dump_datetime,
        datetime.TimedeltaBinaryDumper: _only(dt.timedelta),
        UUIDBinaryDumper: _only(UUID),
    }
)
_RULES: dict[str, dict[_Dumper, _Convert]] = {
    "postgres": _COMMON
    | _rules(
        {
            none.NoneDumper: None,
            string.StrDumperUnknown: _dump_untyped,
            enum.EnumDumper: _dump_untyped_name,
            numeric.DecimalDumper: _dump_decimal,
            datetime.TimeBinaryDumper: _dump_naive_time,
            array.ListDumper: _dump_list(
                _COMMON_LISTS | _rules({string.BytesDumper: _list_of("BLOB", _dump_bytes)})
            ),
        }
    ),
    # A wire server in front of DuckDB is told that text is text. An Enum and None go without a
    # type, which such a server may find ambiguous.
    "duckdb": _COMMON
    | _rules(
        {
            string.StrDumperUnknown: _dump_text,
            string.StrBinaryDumper: _dump_text,
            numeric.Float4BinaryDumper: _dump_float4,
            numeric.DecimalDumper: _dump_plain_decimal,
            datetime.TimeBinaryDumper: _dump_time,
            json.JsonDumper: _dump_json,
            json.JsonbDumper: _dump_json,
            array.ListDumper: _dump_list(
                _COMMON_LISTS | _rules({numeric.DecimalDumper: _dump_decimals})
            ),
        }
    ),
}
_RULES["alone"] = _RULES["duckdb"] | _rules({none.NoneDumper: None, enum.EnumDumper: _dump_name})
