"""From DuckDB's rows to psycopg's values; what cannot be equal is refused, never approximated.

Sources of the differences: measured, duckdb 1.5.5 and psycopg 3.3.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import struct
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from .types import ELEMENTS, DuckType, default_oid, parse

Convert = Callable[[Any], Any]

_INTEGERS = ("TINYINT", "SMALLINT", "UTINYINT", "INTEGER", "USMALLINT", "BIGINT", "UINTEGER")
_WIDE = ("UBIGINT", "HUGEINT", "UHUGEINT")
_TEXT_OIDS = (25, 1043)
_JSON_OIDS = (114, 3802)


class Inexact(Exception):
    """A value or parameter cannot be the same on both routes.

    `lasting`: it is because of the types, so it will be so again.
    """

    def __init__(self, message: str, *, lasting: bool = False) -> None:
        super().__init__(message)
        self.lasting = lasting


class RowLoader:
    """Turns rows of DuckDB's values into rows of psycopg's."""

    def __init__(self, names: Sequence[str], converters: dict[int, Convert]) -> None:
        self._names = names
        self._converters = converters

    def __call__(self, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Raises `Inexact` for a value that DuckDB does not tell exactly."""
        if not self._converters or not rows:
            return rows
        columns: list[Any] = list(zip(*rows, strict=True))
        for index, convert in self._converters.items():
            try:
                columns[index] = [None if v is None else convert(v) for v in columns[index]]
            except Inexact as error:
                raise Inexact(f"column {self._names[index]!r}: {error}") from None
        return list(zip(*columns, strict=True))


def row_loader(
    names: Sequence[str],
    duck_types: Sequence[str],
    oids: Sequence[int] | None,
    time_zone: dt.tzinfo,
    *,
    alone: bool = False,
) -> RowLoader:
    """The loader for columns of these DuckDB types.

    *oids* are the types that the endpoint would return, None when only DuckDB's are known. With
    no endpoint to agree with, *alone*, a type without a twin keeps DuckDB's value. Raises
    `Inexact` for a column whose type cannot give what the endpoint gives.
    """
    if oids is not None and len(oids) != len(duck_types):
        raise Inexact(f"{len(duck_types)} columns here, {len(oids)} there", lasting=True)
    converters = {}
    for index, text in enumerate(duck_types):
        kind = parse(text)
        oid = default_oid(kind) if oids is None else oids[index]
        if oid is None and alone:
            continue
        try:
            convert = _converter(kind, oid, time_zone, strict=oids is not None)
        except KeyError:
            raise Inexact(
                f"column {names[index]!r} is {text} on a replica; the endpoint has "
                f"{'no such type' if oid is None else f'type {oid}'}: cast it",
                lasting=True,
            ) from None
        if convert is not None:
            converters[index] = convert
    return RowLoader(names, converters)


def _converter(
    kind: DuckType, oid: int | None, time_zone: dt.tzinfo, *, strict: bool
) -> Convert | None:
    """How to load a type as an OID; None when DuckDB's value is right already. Raises KeyError."""
    if kind.element is not None:
        # A list of lists need not be a rectangle, an array must be.
        if kind.element.element is not None or oid not in ELEMENTS:
            raise KeyError(oid)
        inner = _converter(kind.element, ELEMENTS[oid], time_zone, strict=strict)
        return _list_of(inner)
    if kind.name == "TIMESTAMP WITH TIME ZONE" and oid == 1184:
        return lambda value: _zoned(value, time_zone)
    if kind.name == "DOUBLE" and oid == 701 and not strict:
        return None
    return _CONVERTERS[kind.name, oid]


def _list_of(inner: Convert | None) -> Convert:
    if inner is None:
        return list
    convert = inner
    return lambda values: [None if v is None else convert(v) for v in values]


def _zoned(value: Any, time_zone: dt.tzinfo) -> dt.datetime:
    # Infinity comes back without a zone, years beyond Python's as text.
    if type(value) is not dt.datetime or value.tzinfo is None:
        raise Inexact("infinite or out of Python's range")
    return value.astimezone(time_zone)


def _finite_date(value: Any) -> dt.date:
    # DuckDB clamps infinity to the last day that Python has, psycopg raises.
    if type(value) is not dt.date or value in (dt.date.max, dt.date.min):
        raise Inexact("infinite or at the edge of Python's range")
    return value


def _finite_datetime(value: Any) -> dt.datetime:
    if type(value) is not dt.datetime or value in (dt.datetime.max, dt.datetime.min):
        raise Inexact("infinite or at the edge of Python's range")
    return value


def _plain_time(value: Any) -> dt.time:
    if type(value) is not dt.time:
        raise Inexact("24:00, which Python does not have")
    return value


def _finite_float(value: float) -> float:
    # Where PostgreSQL raises on overflow, DuckDB goes on with infinity.
    if value in (math.inf, -math.inf):
        raise Inexact("infinity, where PostgreSQL may have raised")
    return value


def _shortest_float4(value: float) -> float:
    """The double that psycopg reads from PostgreSQL's shortest text of a float4."""
    if value != value or value in (math.inf, -math.inf) or value == 0:
        return value
    packed = struct.pack("<f", value)
    for digits in range(1, 10):
        short = float(f"{value:.{digits}g}")
        if _is_float4(short, packed):
            return short
    return value


def _is_float4(short: float, packed: bytes) -> bool:
    try:
        if struct.pack("<f", short) != packed:
            return False
    except OverflowError:
        return False
    value = struct.unpack("<f", packed)[0]
    if short == value:
        return True
    # PostgreSQL does not take a text that is exactly half way to the next float4.
    bits = struct.unpack("<i", packed)[0] + (1 if abs(short) > abs(value) else -1)
    neighbour = struct.unpack("<f", struct.pack("<i", bits))[0]
    return bool(short != (value + neighbour) / 2)


_CONVERTERS: dict[tuple[str, int | None], Convert | None] = {
    ("BOOLEAN", 16): None,
    **{(name, oid): None for name in _INTEGERS for oid in (21, 23, 20)},
    # sum() of integers: bigint or numeric in PostgreSQL, HUGEINT in DuckDB.
    **{(name, 20): None for name in _WIDE},
    **{(name, 1700): Decimal for name in (*_INTEGERS, *_WIDE)},
    ("DECIMAL", 1700): None,
    ("FLOAT", 700): _shortest_float4,
    ("DOUBLE", 701): _finite_float,
    **{("VARCHAR", oid): None for oid in _TEXT_OIDS},
    # DuckDB reads a Postgres json column as text.
    **{("VARCHAR", oid): json.loads for oid in _JSON_OIDS},
    ("ENUM", 25): None,
    **{("JSON", oid): json.loads for oid in _JSON_OIDS},
    ("BLOB", 17): None,
    ("DATE", 1082): _finite_date,
    ("TIME", 1083): _plain_time,
    ("TIME WITH TIME ZONE", 1266): _plain_time,
    **{(f"TIMESTAMP{unit}", 1114): _finite_datetime for unit in ("", "_S", "_MS")},
    # Its months were told apart by the query, see duck.Cursor.
    ("INTERVAL", 1186): None,
    ("UUID", 2950): None,
}
