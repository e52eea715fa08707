"""Choose what DuckDB is bound with, so that a parameter means what it means to the endpoint.

psycopg sends a value as the dumper that it finds for the value's class says, and so the dumper
decides here, too. One that is not listed, because it is the program's own or DuckDB has no such
type, leaves the statement to the endpoint, which is psycopg and raises its own errors.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, TypeAlias
from uuid import UUID

import duckdb
import psycopg
from duckdb import Value
from psycopg import abc
from psycopg.adapt import AdaptersMap, PyFormat, Transformer
from psycopg.types import array, datetime, enum, json, none, numeric, numpy, string
from psycopg.types.bool import BoolBinaryDumper, BoolDumper
from psycopg.types.uuid import UUIDBinaryDumper, UUIDDumper

from .binding import (
    INTS,
    NoTwin,
    bind_bool,
    bind_bytes,
    bind_datetime,
    bind_decimal,
    bind_float,
    bind_float4,
    bind_int,
    bind_json,
    bind_naive_time,
    bind_name,
    bind_plain_decimal,
    bind_text,
    bind_time,
    bind_untyped,
    bind_untyped_name,
    bits_for,
    int_of,
    only,
    with_nan,
)
from .types import Inexact

_Dumper: TypeAlias = type[abc.Dumper]
# From a value and, where known, the type that PostgreSQL gives the parameter to what is bound;
# None where that is the value itself. Raises NoTwin, or whatever a value makes Python raise.
_Convert: TypeAlias = Callable[[Any, int | None], object] | None
_ConvertList: TypeAlias = Callable[[list[Any]], object]


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
            reason = error if isinstance(error, NoTwin) else type(error).__name__
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
        return kind, bits_for(value, value)
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


# Lists

_TEXT_LIST_OIDS = (1009, 1015)


def _bind_list(rules: Mapping[_Dumper, _ConvertList]) -> _Convert:
    def convert(value: list[Any], oid: int | None) -> object:
        kinds = {type(element) for element in value if element is not None}
        if len(kinds) != 1:
            raise NoTwin("an empty list or one of several types")
        kind = kinds.pop()
        # Whatever it prefers for one value, psycopg writes those of a list as text.
        dumper = _find_dumper(kind, _TEXT)
        if dumper not in rules:
            raise NoTwin(f"a list of {kind.__name__}")
        if dumper is _UNTYPED and oid is not None and oid not in _TEXT_LIST_OIDS:
            raise NoTwin("a list of str that is to be read as another type")
        return rules[dumper](value)

    return convert


def _bind_ints(value: list[Any]) -> object:
    numbers = [None if element is None else int(element) for element in value]
    known = [number for number in numbers if number is not None]
    bits = bits_for(min(known), max(known))
    if not bits:
        raise NoTwin("an int of more than 64 bits is numeric to psycopg")
    return Value(numbers, _LISTS[str(INTS[bits])])


def _bind_moments(value: list[Any]) -> object:
    moments = _each(bind_datetime, value)
    aware = {moment.tzinfo is not None for moment in moments if moment is not None}
    if len(aware) != 1:
        raise NoTwin("a list of datetimes with and without a time zone")
    return Value(moments, _LISTS["TIMESTAMPTZ" if aware.pop() else "TIMESTAMP"])


def _list_of(name: str, convert: Callable[[Any], object]) -> _ConvertList:
    return lambda value: Value(_each(convert, value), _LISTS[name])


def _bind_decimals(value: list[Any]) -> object:
    return _each(bind_plain_decimal, value)


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
        BoolDumper: _list_of("BOOLEAN", bind_bool),
        numeric.IntDumper: _bind_ints,
        numpy.NPInt16Dumper: _list_of("SMALLINT", int),
        numpy.NPInt32Dumper: _list_of("INTEGER", int),
        numpy.NPInt64Dumper: _list_of("BIGINT", int),
        numeric.FloatDumper: _list_of("DOUBLE", with_nan),
        # In DuckDB only text or another list of it compares with one.
        string.StrDumperUnknown: _list_of("VARCHAR", bind_text),
        string.StrDumper: _list_of("VARCHAR", bind_text),
        datetime.DateDumper: _list_of("DATE", only(dt.date)),
        datetime.TimeDumper: _list_of("TIME", bind_naive_time),
        datetime.DatetimeDumper: _bind_moments,
        UUIDDumper: _list_of("UUID", only(UUID)),
    }
)
_COMMON = _rules(
    {
        BoolBinaryDumper: bind_bool,
        numeric.IntBinaryDumper: bind_int,
        numeric.Int2BinaryDumper: int_of(16),
        numeric.Int4BinaryDumper: int_of(32),
        numeric.Int8BinaryDumper: int_of(64),
        numpy.NPInt16BinaryDumper: int_of(16),
        numpy.NPInt32BinaryDumper: int_of(32),
        numpy.NPInt64BinaryDumper: int_of(64),
        numeric.IntNumericDumper: bind_decimal,
        numpy.NPNumericBinaryDumper: bind_decimal,
        numeric.FloatBinaryDumper: bind_float,
        # Text that is declared to be text.
        string.StrDumper: bind_text,
        string.BytesBinaryDumper: bind_bytes,
        datetime.DateBinaryDumper: only(dt.date),
        datetime.DatetimeBinaryDumper: bind_datetime,
        datetime.TimedeltaBinaryDumper: only(dt.timedelta),
        UUIDBinaryDumper: only(UUID),
    }
)
_RULES: dict[str, dict[_Dumper, _Convert]] = {
    "postgres": _COMMON
    | _rules(
        {
            none.NoneDumper: None,
            string.StrDumperUnknown: bind_untyped,
            enum.EnumDumper: bind_untyped_name,
            numeric.DecimalDumper: bind_decimal,
            datetime.TimeBinaryDumper: bind_naive_time,
            array.ListDumper: _bind_list(
                _COMMON_LISTS | _rules({string.BytesDumper: _list_of("BLOB", bind_bytes)})
            ),
        }
    ),
    # A wire server in front of DuckDB is told that text is text. An Enum and None go without a
    # type, which such a server may find ambiguous.
    "duckdb": _COMMON
    | _rules(
        {
            string.StrDumperUnknown: bind_text,
            string.StrBinaryDumper: bind_text,
            numeric.Float4BinaryDumper: bind_float4,
            numeric.DecimalDumper: bind_plain_decimal,
            datetime.TimeBinaryDumper: bind_time,
            json.JsonDumper: bind_json,
            json.JsonbDumper: bind_json,
            array.ListDumper: _bind_list(
                _COMMON_LISTS | _rules({numeric.DecimalDumper: _bind_decimals})
            ),
        }
    ),
}
_RULES["alone"] = _RULES["duckdb"] | _rules({none.NoneDumper: None, enum.EnumDumper: bind_name})
