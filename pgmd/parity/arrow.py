"""Results as Arrow: its columns as psycopg's values, many at a time, and rows as Arrow columns.

pyarrow and numpy are the `arrow` extra; nothing here runs without them. Each call works on one
batch, so that no thread waits longer for the interpreter than the batch takes.
"""

from __future__ import annotations

import datetime as dt
import importlib.util
import json
from collections import deque
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import cache, lru_cache
from itertools import repeat
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID, SafeUUID

import psycopg
from psycopg import errors

from .floats import shortest_float4
from .texts import reader as text_reader
from .types import ELEMENTS, INTEGERS, Inexact, Type

if TYPE_CHECKING:
    import pyarrow as pa

    Array: TypeAlias = "pa.Array[Any]"

Read = Callable[["Array"], list[Any]]
Check = Callable[["Array"], None]


@cache
def is_there() -> bool:
    """Whether the `arrow` extra is installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("pyarrow", "numpy"))


# From Arrow to Python


def read_column(kind: Type, oid: int, tz: dt.tzinfo) -> Read:
    """What turns an Arrow column of DuckDB's into psycopg's values for *oid*."""
    if kind.is_array:
        return _in_lists(_read_scalars(kind, ELEMENTS[oid], tz))
    return _read_scalars(kind, oid, tz)


def read_texts(kind: Type, tz: dt.tzinfo) -> Read:
    """What reads an Arrow column of DuckDB's texts."""
    read = text_reader(kind, tz)
    return lambda array: _each(read, array.to_pylist(), array)


def check_column(kind: Type, oid: int, *, strict: bool) -> Check | None:
    """What raises for a column with a value that cannot be given: psycopg.DataError where psycopg
    does, Inexact where it is not known what the endpoint would give."""
    check = _check_scalars(kind.twin.name, ELEMENTS[oid] if kind.is_array else oid, strict=strict)
    if check is None or not kind.is_array:
        return check
    return lambda array: check(array.flatten())


def _read_scalars(kind: Type, oid: int, tz: dt.tzinfo) -> Read:
    name = kind.twin.name
    if name == "TIMESTAMP WITH TIME ZONE":
        return lambda array: _moments(array, tz)
    if oid in (114, 3802):
        return lambda array: _each(json.loads, array.to_pylist(), array)
    if name == "HUGEINT" and oid in INTEGERS:
        return lambda array: _each(int, _texts(array), array)
    if oid == 1700 and name != "DECIMAL":
        return lambda array: _each(Decimal, _texts(array), array)
    return _READS.get(name, _as_it_is)


def _each(convert: Callable[[Any], Any], values: Sequence[Any], array: Array) -> list[Any]:
    if array.null_count:
        return [None if value is None else convert(value) for value in values]
    return list(map(convert, values))


def _in_lists(read: Read) -> Read:
    def lists(array: Array) -> list[Any]:
        import pyarrow.compute as pc

        items = read(array.flatten())
        out: list[Any] = []
        start = 0
        for length in pc.list_value_length(array).to_pylist():
            if length is None:
                out.append(None)
            else:
                out.append(items[start : start + length])
                start += length
        return out

    return lists


def _as_it_is(array: Array) -> list[Any]:
    return array.to_pylist()  # type: ignore[no-any-return]


def _objects(array: Array) -> list[Any]:
    # to_pylist() makes dates and times by way of Python code: 0.8 us a value instead of 0.03.
    return array.to_numpy(zero_copy_only=False).tolist()  # type: ignore[no-any-return]


def _texts(array: Array) -> list[Any]:
    import pyarrow as pa

    return array.cast(pa.string()).to_pylist()  # type: ignore[no-any-return]


def _decimals(array: Array) -> list[Any]:
    return _each(Decimal, _texts(array), array)


def _floats(array: Array) -> list[Any]:
    import numpy as np

    # Arrow writes the shortest text that reads back, as PostgreSQL does, but that never prints a
    # number that is as near to the next float4.
    values = _each(float, _texts(array), array)
    exact = array.to_numpy(zero_copy_only=False)
    short = np.array(values, np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        towards = np.where(short > exact, np.inf, -np.inf).astype(np.float32)
        middle = (exact.astype(np.float64) + np.nextafter(exact, towards)) / 2
    for index in np.flatnonzero((short == middle) & (short != exact)).tolist():
        values[index] = shortest_float4(float(exact[index]))
    return values


def _timestamps(array: Array) -> list[Any]:
    import pyarrow as pa

    return _objects(array.cast(pa.timestamp("us")))


def _times(array: Array) -> list[Any]:
    import pyarrow as pa

    # Numpy has no time of day, but a moment on the first day has one.
    moments = array.view(pa.int64()).view(pa.timestamp("us"))
    return _each(dt.datetime.time, _objects(moments), array)


def _moments(array: Array, tz: dt.tzinfo) -> list[Any]:
    import pyarrow as pa

    values = _each(_EPOCH.__add__, _objects(array.view(pa.duration("us"))), array)
    if tz is dt.UTC:
        return values
    try:
        return _each(lambda value: value.astimezone(tz), values, array)
    except OverflowError as error:
        raise psycopg.DataError(f"timestamp out of range: {error}") from None


def _uuids(array: Array) -> list[Any]:
    import pyarrow.compute as pc

    digits = pc.replace_substring(array, "-", "").to_pylist()
    if array.null_count:
        return [None if text is None else UUID(text) for text in digits]
    # UUID() would look at its six arguments first: 1.2 us a value instead of 0.4.
    values = list(map(object.__new__, repeat(UUID, len(digits))))
    deque(map(_set_int, values, map(int, digits, repeat(16))), maxlen=0)
    deque(map(_set_safe, values, repeat(SafeUUID.unknown)), maxlen=0)
    return values


_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_set_int: Any = UUID.int.__set__  # type: ignore[attr-defined,misc]  # a slot
_set_safe: Any = UUID.is_safe.__set__  # type: ignore[attr-defined,misc]
_READS: dict[str, Read] = {
    "DECIMAL": _decimals,
    "FLOAT": _floats,
    "DATE": _objects,
    "TIME": _times,
    "TIMESTAMP": _timestamps,
    "TIMESTAMP_S": _timestamps,
    "TIMESTAMP_MS": _timestamps,
    "UUID": _uuids,
    "ENUM": _texts,
}


# What cannot be given


def _check_scalars(name: str, oid: int, *, strict: bool) -> Check | None:
    if oid in INTEGERS and name not in INTEGERS[oid].inside:
        return _within(INTEGERS[oid].low, INTEGERS[oid].high, _too_many_bits)
    if strict and name == "DOUBLE":
        return _check_finite
    if name == "VARCHAR":
        return check_text
    if name in _UNITS:
        low, high = _UNITS[name]
        return _within(low, high, _not_in_python)
    return None


def _within(low: int, high: int, fail: Callable[[bool], None]) -> Check:
    def check(array: Array) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        if pa.types.is_temporal(array.type):
            array = array.view(pa.int32() if array.type.bit_width == 32 else pa.int64())
        least, most = pc.min_max(array).as_py().values()
        if least is not None and (least < low or most > high):
            fail(most > high)

    return check


def _too_many_bits(_: bool) -> None:  # noqa: FBT001
    raise Inexact("a number that the endpoint's type does not hold")


def _not_in_python(is_large: bool) -> None:  # noqa: FBT001
    raise psycopg.DataError(
        "date too large (after year 10K)" if is_large else "date too small (before year 1)"
    )


def check_text(array: Array) -> None:
    """Raises psycopg's error for text that PostgreSQL has not, and its wire cannot carry."""
    import pyarrow.compute as pc

    if pc.any(pc.match_substring(array, "\0")).as_py():
        raise errors.CharacterNotInRepertoire("text with NUL cannot be sent over the wire")


def _check_finite(array: Array) -> None:
    import pyarrow.compute as pc

    # Where PostgreSQL raises on overflow, DuckDB goes on with infinity.
    if pc.any(pc.is_inf(array)).as_py():
        raise Inexact("infinity, where PostgreSQL may have raised")


_DAY = 86_400
_FIRST_DAY, _LAST_DAY = ((day - dt.date(1970, 1, 1)).days for day in (dt.date.min, dt.date.max))
_FIRST, _END = _FIRST_DAY * _DAY, (_LAST_DAY + 1) * _DAY
# What Python can hold, in the unit of Arrow's numbers.
_UNITS = {
    "DATE": (_FIRST_DAY, _LAST_DAY),
    "TIME": (0, _DAY * 10**6 - 1),
    "TIMESTAMP_S": (_FIRST, _END - 1),
    "TIMESTAMP_MS": (_FIRST * 10**3, _END * 10**3 - 1),
    "TIMESTAMP": (_FIRST * 10**6, _END * 10**6 - 1),
    "TIMESTAMP WITH TIME ZONE": (_FIRST * 10**6, _END * 10**6 - 1),
}


# The schema, the same on both routes


@lru_cache(maxsize=256)
def arrow_type(oid: int, precision: int | None, scale: int | None, zone: str) -> pa.DataType:
    """The Arrow type of a column. What Arrow has no exact type for, and what has no twin, is a
    string with the wire's text."""
    import pyarrow as pa

    if oid in ELEMENTS:
        return pa.list_(arrow_type(ELEMENTS[oid], precision, scale, zone))
    if oid == 1700:
        return pa.decimal128(precision or 38, scale or 0)
    if oid == 1184:
        return pa.timestamp("us", tz=zone)
    return _types().get(oid, pa.string())


@cache
def _types() -> dict[int, pa.DataType]:
    import pyarrow as pa

    return {
        16: pa.bool_(),
        17: pa.binary(),
        20: pa.int64(),
        21: pa.int16(),
        23: pa.int32(),
        700: pa.float32(),
        701: pa.float64(),
        1082: pa.date32(),
        1083: pa.time64("us"),
        1114: pa.timestamp("us"),
        1186: pa.duration("us"),
    }


def from_duckdb(array: Array, oid: int, read: Read, wanted: pa.DataType) -> Array:
    """A column of DuckDB's, brought to the schema."""
    import pyarrow as pa

    if oid in _NUMERICS and not pa.types.is_string(array.type):
        _check_digits(array if oid == 1700 else array.flatten())
    if array.type == wanted:
        return array
    if pa.types.is_string(array.type) or wanted == pa.list_(pa.string()):
        return from_values(read(array), oid, wanted)
    return array.cast(wanted)


def _check_digits(array: Array) -> None:
    """Raises ValueError: DuckDB gives a HUGEINT a decimal128(38, 0), though it may be longer."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_decimal128(array.type) and (array.type.precision, array.type.scale) == (38, 0):
        least, most = pc.min_max(array).as_py().values()
        if least is not None and (least <= -(10**38) or most >= 10**38):
            raise ValueError("a number of more than 38 digits")


_NUMERICS = (1700, 1231)


def from_values(values: Sequence[Any], oid: int, wanted: pa.DataType) -> Array:
    """A column of psycopg's values in Arrow. Raises pyarrow.ArrowInvalid if it does not fit."""
    import pyarrow as pa

    write = _WRITES.get(ELEMENTS.get(oid, 0))
    if write is not None:
        values = [None if value is None else _written(value, write) for value in values]
    return pa.array(values, wanted)


def _written(values: Sequence[Any], write: Callable[[Any], str]) -> list[str | None]:
    return [None if value is None else write(value) for value in values]


# In lists, what is a string in Arrow and something else in a row.
_WRITES: dict[int, Callable[[Any], str]] = {
    114: json.dumps,
    3802: json.dumps,
    1266: str,
    2950: str,
}
