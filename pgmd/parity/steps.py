"""What becomes of the values of one column: from DuckDB's to psycopg's.

Decided once for a column, by its DuckDB type and the OID that PostgreSQL returns. A column that
needs nothing has no step.
"""

from __future__ import annotations

import datetime as dt
import importlib.util
import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

import psycopg
from psycopg import errors

from ..errors import ParityError
from .floats import shortest_float4
from .texts import reader
from .types import ELEMENTS, INTEGERS, Integer, Type

# From a column's values to psycopg's; the same object when nothing changed. Raises ValueError.
Step = Callable[[Sequence[Any]], Sequence[Any]]
_Check = Callable[[Sequence[Any]], None]


class _Plan(NamedTuple):
    """How the values of one scalar type are checked, and each that is not NULL converted."""

    check: _Check | None = None
    convert: Callable[[Any], Any] | None = None


def column_step(kind: Type, oid: int, tz: dt.tzinfo, *, strict: bool) -> Step | None:
    """What a column of DuckDB's own values needs; None for nothing. Raises ValueError when the type
    and *oid* do not match."""
    if not kind.is_array:
        plan = _plan(kind, oid, tz, strict=strict)
        return None if plan == _AS_IT_IS else _for_scalars(plan)
    if oid not in ELEMENTS:
        raise ValueError
    plan = _plan(kind, ELEMENTS[oid], tz, strict=strict)
    return None if plan == _AS_IT_IS and not kind.is_fixed else _for_arrays(plan)


def text_column(label: str, kind: Type, tz: dt.tzinfo) -> Step:
    """What reads a column of DuckDB's texts. Raises ValueError for a type that has no exact text.

    The step raises ParityError for such a value: the endpoint has nothing but the text either.
    """
    read = reader(kind, tz)

    def convert(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise ParityError(f"{label}: {error}") from None

    return _for_scalars(_Plan(_check_no_nul, convert))


def selected(kind: Type) -> str:
    """SQL around `{}` by which DuckDB's client can give the values of this type; "" for none."""
    if kind.twin.name != "TIMESTAMP WITH TIME ZONE" or has_pytz():
        return ""
    return _IN_LIST if kind.is_array else _MICROSECONDS


_MICROSECONDS = (
    "CASE WHEN isfinite({}) THEN epoch_us({}) WHEN {} > '2000-01-01'::TIMESTAMPTZ "
    "THEN 9223372036854775807 WHEN {} IS NOT NULL THEN -9223372036854775808 END"
)
_IN_LIST = f"list_transform({{}}, lambda x: {_MICROSECONDS.replace('{}', 'x')})"


def _plan(kind: Type, oid: int, tz: dt.tzinfo, *, strict: bool) -> _Plan:
    """Raises ValueError when the two do not match."""
    name = kind.twin.name
    if oid in INTEGERS and name in _INTEGER_NAMES:
        return _AS_IT_IS if name in INTEGERS[oid].inside else _Plan(_within(INTEGERS[oid]))
    if oid == 1700 and name in _INTEGER_NAMES:
        return _Plan(convert=Decimal)
    if strict and oid == 701 and name == "DOUBLE":
        return _Plan(_check_finite)
    if oid == 1184 and name == "TIMESTAMP WITH TIME ZONE":
        return _Plan(_check_moments, _in_zone(tz)) if has_pytz() else _Plan(convert=_moment_in(tz))
    if oid >= _FIRST_USER_OID and name == "ENUM":
        # A type of the user's own that DuckDB knows as an ENUM is one; psycopg returns its text.
        return _AS_IT_IS
    return _PLANS[name, oid] if (name, oid) in _PLANS else _refuse()


def _refuse() -> _Plan:
    raise ValueError


def _for_scalars(plan: _Plan) -> Step:
    check, convert = plan

    def step(column: Sequence[Any]) -> Sequence[Any]:
        if check is not None:
            check(column)
        if convert is None:
            return column
        return [None if value is None else convert(value) for value in column]

    return step


def _for_arrays(plan: _Plan) -> Step:
    check, convert = plan

    def load(values: Sequence[Any] | None) -> Sequence[Any] | None:
        if values is None:
            return None
        if check is not None:
            check(values)
        if convert is None:
            # ARRAY[n] comes as a tuple.
            return list(values)
        return [None if value is None else convert(value) for value in values]

    return lambda column: list(map(load, column))


as_lists = _for_arrays(_Plan())


# What becomes of the values


def _check_no_nul(column: Sequence[Any]) -> None:
    for value in column:
        if value is not None and "\0" in value:
            raise errors.CharacterNotInRepertoire("text with NUL cannot be sent over the wire")


def _check_days(column: Sequence[Any]) -> None:
    _check_no_text(column)
    if dt.date.max in column or dt.date.min in column:
        raise ValueError("a date that may be infinite")


_INFINITY = float("inf")


def _check_finite(column: Sequence[Any]) -> None:
    # Where PostgreSQL raises on overflow, DuckDB goes on with infinity.
    if _INFINITY in column or -_INFINITY in column:
        raise ValueError("infinity, where PostgreSQL may have raised")


def _check_moments(column: Sequence[Any]) -> None:
    # With a time zone only infinity is naive, and aware and naive are never equal.
    _check_no_text(column)
    if dt.datetime.max in column or dt.datetime.min in column:
        raise ValueError("a timestamp that may be infinite")


@cache
def has_pytz() -> bool:
    """Whether DuckDB's client can give a TIMESTAMP WITH TIME ZONE: it makes them with pytz."""
    return importlib.util.find_spec("pytz") is not None


def _in_zone(tz: dt.tzinfo) -> Callable[[dt.datetime], dt.datetime]:
    def convert(value: dt.datetime) -> dt.datetime:
        return value.astimezone(tz)

    return convert


def _moment_in(tz: dt.tzinfo) -> Callable[[int], dt.datetime]:
    def convert(microseconds: int) -> dt.datetime:
        try:
            moment = _EPOCH + dt.timedelta(microseconds=microseconds)
            return moment if tz is dt.UTC else moment.astimezone(tz)
        except OverflowError:
            era = "large (after year 10K)" if microseconds > 0 else "small (before year 1)"
            raise psycopg.DataError(f"timestamp too {era}") from None

    return convert


_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def _check_no_text(column: Sequence[Any]) -> None:
    """DuckDB gives text for what datetime cannot hold, such as BC, the year 10000 and 24:00."""
    for value in column:
        if type(value) is str:
            raise psycopg.DataError(f"a date or time that Python cannot hold: {value}")


def _within(integer: Integer) -> _Check:
    def check(column: Sequence[Any]) -> None:
        values = [value for value in column if value is not None]
        if values and (min(values) < integer.low or max(values) > integer.high):
            raise ValueError(f"a number of more than {integer.bits} bits")

    return check


_INTEGER_NAMES = INTEGERS[20].inside | {"UBIGINT", "HUGEINT", "UHUGEINT"}
_FIRST_USER_OID = 16384
_AS_IT_IS = _Plan()
_JSON = _Plan(convert=json.loads)
_MOMENT = _Plan(_check_moments)
_TIME = _Plan(_check_no_text)
_PLAIN_TEXT = _Plan(_check_no_nul)
# char(n) is not here: DuckDB does not pad, and compares with the padding.
_PLANS: dict[tuple[str, int], _Plan] = {
    ("BOOLEAN", 16): _AS_IT_IS,
    ("BLOB", 17): _AS_IT_IS,
    ("DECIMAL", 1700): _AS_IT_IS,
    ("DOUBLE", 701): _AS_IT_IS,
    ("FLOAT", 700): _Plan(convert=shortest_float4),
    ("VARCHAR", 25): _PLAIN_TEXT,
    ("VARCHAR", 1043): _PLAIN_TEXT,
    ("VARCHAR", 19): _PLAIN_TEXT,
    ("ENUM", 25): _AS_IT_IS,
    ("ENUM", 1043): _AS_IT_IS,
    ("VARCHAR", 114): _JSON,
    ("VARCHAR", 3802): _JSON,
    ("JSON", 114): _JSON,
    ("JSON", 3802): _JSON,
    ("UUID", 2950): _AS_IT_IS,
    ("DATE", 1082): _Plan(_check_days),
    ("TIME", 1083): _TIME,
    ("TIMESTAMP", 1114): _MOMENT,
    ("TIMESTAMP_S", 1114): _MOMENT,
    ("TIMESTAMP_MS", 1114): _MOMENT,
}
