"""Bring DuckDB's Python values to those that psycopg returns for the same column.

What is done is decided once for a result's shape, by its DuckDB types and, where known, the OIDs
that PostgreSQL returns. Columns that need nothing are not touched. psycopg's text format is the
measure, which is its default.
"""

from __future__ import annotations

import datetime as dt
import json
import struct
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from .types import ELEMENTS, Inexact, Type, parse, pg_name

__all__ = ["Inexact", "RowLoader", "row_loader"]

# From a column's values to psycopg's; the same object when nothing changed. Raises ValueError.
Step = Callable[[Sequence[Any]], Sequence[Any]]
_Check = Callable[[Sequence[Any]], None]


class _Plan(NamedTuple):
    """How the values of one scalar type are checked, and each that is not NULL converted."""

    check: _Check | None = None
    convert: Callable[[Any], Any] | None = None


class RowLoader:
    """Turn DuckDB's rows into psycopg's; the same list, not a copy, when nothing changes."""

    __slots__ = ("_names", "_steps")

    def __init__(self, names: Sequence[str], steps: Sequence[tuple[int, Step]]) -> None:
        self._names = names
        self._steps = steps

    def __call__(self, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Raises Inexact for a value of which it is not certain what psycopg returns."""
        if not self._steps or not rows:
            return rows
        changed: dict[int, Sequence[Any]] = {}
        for index, step in self._steps:
            before = [row[index] for row in rows]
            try:
                after = step(before)
            except (ValueError, OverflowError) as error:
                raise Inexact(f"{_called(self._names, index)}: {error}") from None
            if after is not before:
                changed[index] = after
        if not changed:
            return rows
        columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
        for index, after in changed.items():
            columns[index] = after
        return list(zip(*columns, strict=True))

    def __repr__(self) -> str:
        return f"<RowLoader of {len(self._names)} columns, {len(self._steps)} not as they are>"


def row_loader(
    names: Sequence[str],
    duck_types: Sequence[str],
    oids: Sequence[int] | None,
    tz: dt.tzinfo,
    *,
    alone: bool = False,
    wire: bool = False,
) -> RowLoader:
    """Plan how rows are loaded; *tz* is the session's zone, `datetime.timezone.utc` for UTC.

    With no endpoint to agree with, *alone*, a type without a twin keeps DuckDB's value. With one
    that is itself DuckDB behind a wire, *wire*, some types lose on the way what they have here.
    Raises Inexact when DuckDB returns other columns, or a column's DuckDB type cannot give exactly
    what psycopg returns for its OID.
    """
    if oids is not None and len(oids) != len(duck_types):
        raise Inexact(
            f"DuckDB returns {len(duck_types)} columns instead of {len(oids)}", lasting=True
        )
    steps = []
    for index, duck_type in enumerate(duck_types):
        kind = parse(duck_type)
        if kind is None:
            if alone:
                continue
            raise Inexact(
                f"{_called(names, index)}: DuckDB's {duck_type[:80]} has no PostgreSQL type",
                lasting=True,
            )
        if wire and _is_lossy(kind):
            raise Inexact(
                f"{_called(names, index)}: {duck_type[:80]} reaches a client changed", lasting=True
            )
        oid = kind.oid if oids is None else oids[index]
        try:
            step = _step(kind, oid, tz, strict=oids is not None)
        except ValueError as error:
            raise Inexact(
                f"{_called(names, index)}: DuckDB's {duck_type[:80]} "
                f"is not PostgreSQL's {pg_name(oid)}{error}; cast it",
                lasting=True,
            ) from None
        if step is not None:
            steps.append((index, step))
    return RowLoader(tuple(names), tuple(steps))


def _is_lossy(kind: Type) -> bool:
    """MotherDuck sends TIMETZ without its offset and the elements of a text array unquoted
    (github.com/hrl20/metabase, FIXES.md); what psycopg makes of that is for the endpoint to say."""
    return kind.twin.name == "TIME WITH TIME ZONE" or (kind.is_array and kind.twin.oid in (25, 114))


def _called(names: Sequence[str], index: int) -> str:
    return f'column {index + 1} "{names[index][:63]}"'


def _step(kind: Type, oid: int, tz: dt.tzinfo, *, strict: bool) -> Step | None:
    if not kind.is_array:
        plan = _plan(kind, oid, tz, strict=strict)
        return None if plan == _AS_IT_IS else _for_scalars(plan)
    if oid not in ELEMENTS:
        raise ValueError
    plan = _plan(kind, ELEMENTS[oid], tz, strict=strict)
    return None if plan == _AS_IT_IS and not kind.is_fixed else _for_arrays(plan)


def _plan(kind: Type, oid: int, tz: dt.tzinfo, *, strict: bool) -> _Plan:
    """Raises ValueError, with what is to be added to the message, when the two do not match."""
    name = kind.twin.name
    if name == "INTERVAL" and kind.is_array:
        # DuckDB has turned months into 30 days each where psycopg counts 365 days a year, and no
        # value tells: 0 days may be 12 months less 360 days. The query itself mends a column of
        # intervals, see duck.Cursor, but not a list of them.
        raise ValueError(" once it is a timedelta: months are lost")
    if oid in _INTEGERS and name in _INTEGER_NAMES:
        return _AS_IT_IS if name in _INTEGERS[oid].inside else _Plan(_INTEGERS[oid].check)
    if oid == 1700 and (name in _INTEGER_NAMES or name == "BIGNUM"):
        return _Plan(convert=Decimal)
    if strict and oid == 701 and name == "DOUBLE":
        return _Plan(_check_finite)
    if oid == 1184 and name == "TIMESTAMP WITH TIME ZONE":
        return _Plan(_check_moments, lambda value: value.astimezone(tz))
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


# What becomes of the values


def shortest_float4(value: float) -> float:
    """The double that PostgreSQL's text of this float4 reads as: 1.1, not 1.10000002384."""
    if value != value or value in _NOT_SHORTENED:
        return value
    wanted = _pack(value)
    # Six digits always survive a float4 that is not denormal, so a shorter form is found there.
    for digits in range(6 if abs(value) >= _SMALLEST_NORMAL else 1, 10):
        short = float(f"{value:.{digits}g}")
        try:
            if _pack(short) != wanted:
                continue
        except OverflowError:
            continue
        if short != value and _is_halfway(short, value, wanted):
            # PostgreSQL never prints a number that is as near to a neighbour.
            continue
        return short
    return value


def _is_halfway(short: float, value: float, bits: bytes) -> bool:
    (number,) = _INT.unpack(bits)
    (neighbour,) = _FLOAT.unpack(_INT.pack(number + (1 if abs(short) > abs(value) else -1)))
    return bool(short == (value + neighbour) / 2)


_FLOAT, _INT = struct.Struct("<f"), struct.Struct("<i")
_pack = _FLOAT.pack
_INFINITY = float("inf")
_NOT_SHORTENED = (_INFINITY, -_INFINITY, 0.0)
_SMALLEST_NORMAL = 2.0**-126


def _check_days(column: Sequence[Any]) -> None:
    _check_no_text(column)
    if dt.date.max in column or dt.date.min in column:
        raise ValueError("a date that may be infinite")


def _check_finite(column: Sequence[Any]) -> None:
    # Where PostgreSQL raises on overflow, DuckDB goes on with infinity.
    if _INFINITY in column or -_INFINITY in column:
        raise ValueError("infinity, where PostgreSQL may have raised")


def _check_moments(column: Sequence[Any]) -> None:
    # With a time zone only infinity is naive, and aware and naive are never equal.
    _check_no_text(column)
    if dt.datetime.max in column or dt.datetime.min in column:
        raise ValueError("a timestamp that may be infinite")


def _check_no_text(column: Sequence[Any]) -> None:
    """DuckDB gives text for what datetime cannot hold, such as BC, the year 10000 and 24:00."""
    if str in set(map(type, column)):
        raise ValueError("a date or time that Python cannot hold")


class _Integer(NamedTuple):
    """An integer type of PostgreSQL: the DuckDB types inside its range, and a check of others."""

    inside: frozenset[str]
    check: _Check


def _within(bits: int) -> _Check:
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1

    def check(column: Sequence[Any]) -> None:
        values = [value for value in column if value is not None]
        if values and (min(values) < low or max(values) > high):
            raise ValueError(f"a number of more than {bits} bits")

    return check


_INSIDE_INT2 = frozenset({"TINYINT", "SMALLINT", "UTINYINT"})
_INSIDE_INT4 = _INSIDE_INT2 | {"INTEGER", "USMALLINT"}
_INSIDE_INT8 = _INSIDE_INT4 | {"BIGINT", "UINTEGER"}
_INTEGER_NAMES = _INSIDE_INT8 | {"UBIGINT", "HUGEINT", "UHUGEINT"}
_INTEGERS = {
    21: _Integer(_INSIDE_INT2, _within(16)),
    23: _Integer(_INSIDE_INT4, _within(32)),
    20: _Integer(_INSIDE_INT8, _within(64)),
}
_FIRST_USER_OID = 16384
_AS_IT_IS = _Plan()
_JSON = _Plan(convert=json.loads)
_MOMENT = _Plan(_check_moments)
_TIME = _Plan(_check_no_text)
# char(n) is not here: DuckDB does not pad, and compares with the padding.
_PLANS: dict[tuple[str, int], _Plan] = {
    ("BOOLEAN", 16): _AS_IT_IS,
    ("BLOB", 17): _AS_IT_IS,
    ("DECIMAL", 1700): _AS_IT_IS,
    ("DOUBLE", 701): _AS_IT_IS,
    ("FLOAT", 700): _Plan(convert=shortest_float4),
    ("VARCHAR", 25): _AS_IT_IS,
    ("VARCHAR", 1043): _AS_IT_IS,
    ("VARCHAR", 19): _AS_IT_IS,
    ("ENUM", 25): _AS_IT_IS,
    ("ENUM", 1043): _AS_IT_IS,
    ("VARCHAR", 114): _JSON,
    ("VARCHAR", 3802): _JSON,
    ("JSON", 114): _JSON,
    ("JSON", 3802): _JSON,
    ("UUID", 2950): _AS_IT_IS,
    ("INTERVAL", 1186): _AS_IT_IS,
    ("DATE", 1082): _Plan(_check_days),
    ("TIME", 1083): _TIME,
    ("TIME WITH TIME ZONE", 1266): _TIME,
    ("TIMESTAMP", 1114): _MOMENT,
    ("TIMESTAMP_S", 1114): _MOMENT,
    ("TIMESTAMP_MS", 1114): _MOMENT,
}
