"""A client's parameters: what their bytes mean to DuckDB, read by psycopg's loaders."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import duckdb
import psycopg
from duckdb import Value
from psycopg import postgres
from psycopg.pq import Format

from ...parity.types import ELEMENTS, TWINS
from ...sql.lexer import Kind, tokens
from .columns import BINARY, NESTED_OID, TEXT


class BadParameter(Exception):
    """A parameter that does not read as its type, or whose type is not known in binary."""


def read_parameter(data: bytes | None, oid: int, format: int) -> object:
    """The value to bind for a parameter. Raises BadParameter."""
    if data is None:
        return None
    try:
        if oid in _TEXTS or (format == TEXT and oid not in _KNOWN):
            return _text(data, oid, format)
        if oid == 1186:
            return Value(_interval(data, format), duckdb.type("INTERVAL"))
        if oid in _ARRAYS and format == TEXT:
            return Value(_load_texts(1009).load(data), _ARRAYS[oid])
        if oid in _INFINITE and (infinity := _infinity(data, format)):
            return Value(infinity, _INFINITE[oid])
        loader = _LOADERS.get_loader(oid, Format(format)) if oid in _KNOWN else None
        if loader is None:
            raise BadParameter(f"the type {oid} is not known")
        value = loader(oid).load(data)
    except (ValueError, struct.error, psycopg.Error) as error:
        raise BadParameter(str(error)) from None
    if isinstance(value, Decimal):
        return _plain(value)
    kind = _TYPES.get(oid)
    return value if kind is None else Value(_with_nan(value), kind)


def _plain(value: Decimal) -> Decimal:
    exponent = value.as_tuple().exponent
    # DuckDB reads a positive exponent as if it were decimal places: 1E+3 as 1.000.
    return Decimal(f"{value:f}") if isinstance(exponent, int) and exponent > 0 else value


def _text(data: bytes, oid: int, format: int) -> str:
    if oid == 3802 and format == BINARY:
        # The version of the format.
        data = data[1:]
    return data.decode()


def _interval(data: bytes, format: int) -> str:
    if format == TEXT:
        return data.decode()
    micros, days, months = struct.unpack("!qii", data)
    return f"{months} months {days} days {micros} microseconds"


def _infinity(data: bytes, format: int) -> str | None:
    if format == TEXT:
        return data.decode() if data in (b"infinity", b"-infinity") else None
    largest = (1 << 8 * len(data) - 1) - 1
    found = {largest: "infinity", -largest - 1: "-infinity"}
    return found.get(int.from_bytes(data, "big", signed=True))


def _with_nan(value: Any) -> Any:
    """DuckDB takes a Python nan for NULL, but not its text."""
    if isinstance(value, list):
        return [_with_nan(item) for item in value]
    return "nan" if isinstance(value, float) and value != value else value


_LOADERS = postgres.adapters
_load_texts: Any = _LOADERS.get_loader(1009, Format.TEXT)
_TEXTS = frozenset({0, 18, 19, 25, 114, 705, 1042, 1043, 3802, NESTED_OID})
# DuckDB takes a Python int for INTEGER, where the client has said what it is.
_TYPES = {
    21: duckdb.type("SMALLINT"),
    23: duckdb.type("INTEGER"),
    20: duckdb.type("BIGINT"),
    26: duckdb.type("BIGINT"),
    700: duckdb.type("FLOAT"),
    701: duckdb.type("DOUBLE"),
    1005: duckdb.type("SMALLINT[]"),
    1007: duckdb.type("INTEGER[]"),
    1016: duckdb.type("BIGINT[]"),
    1021: duckdb.type("FLOAT[]"),
    1022: duckdb.type("DOUBLE[]"),
}
_INFINITE = {
    1082: duckdb.type("DATE"),
    1114: duckdb.type("TIMESTAMP"),
    1184: duckdb.type("TIMESTAMP WITH TIME ZONE"),
}
# Their elements, too, may be infinite or have months.
_ARRAYS = {
    1115: duckdb.type("TIMESTAMP[]"),
    1182: duckdb.type("DATE[]"),
    1185: duckdb.type("TIMESTAMP WITH TIME ZONE[]"),
    1187: duckdb.type("INTERVAL[]"),
}
# The first of the types that share an OID is the plainest, but for two.
_NAMES = {t.oid: t.name for t in reversed(list(TWINS.values())) if t.array_oid is not None} | {
    21: "SMALLINT",
    1700: "DECIMAL(18,3)",
}
_KNOWN = frozenset({*_NAMES, *_TYPES, *ELEMENTS})


def stand_in(oid: int) -> object:
    """A NULL of this type, to bind where only the types matter."""
    name = _type_name(oid)
    return Value(None, duckdb.type(name.replace("JSON", "VARCHAR")))


def _type_name(oid: int) -> str:
    suffix = "[]" if oid in ELEMENTS else ""
    return _NAMES.get(ELEMENTS.get(oid, oid), "VARCHAR") + suffix


def with_types(text: str, oids: Sequence[int]) -> str:
    """*text* with each parameter of a known type cast to it."""
    names = {n: _type_name(oid) for n, oid in enumerate(oids, 1) if oid}
    raw, parts, at = text.encode(), [], 0
    for token in tokens(text):
        digits = token.text[1:]
        if token.kind is Kind.PARAMETER and digits.isdecimal() and int(digits) in names:
            parts += [raw[at : token.start], f"CAST({token.text} AS {names[int(digits)]})".encode()]
            at = token.start + len(token.text)
    return b"".join([*parts, raw[at:]]).decode()
