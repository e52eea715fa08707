"""DuckDB's types and their PostgreSQL twins.

One row for each type that has a twin. STRUCT, MAP, UNION, VARIANT, BIT, GEOMETRY, nanoseconds and
lists of lists, which may be ragged, have none: a result that holds them comes from the endpoint.
How values are converted is decided elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple


class Inexact(Exception):
    """A value or type cannot be told exactly; the message names the column or parameter.

    `lasting`: it is because of the types, so it will be so again.
    """

    def __init__(self, message: str, *, lasting: bool = False) -> None:
        super().__init__(message)
        self.lasting = lasting


@dataclass(frozen=True, slots=True)
class Twin:
    """A DuckDB type and the PostgreSQL type that a wire endpoint declares for it."""

    name: str
    oid: int
    array_oid: int
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Type:
    """A parsed DuckDB type: a scalar, or a list (`X[]`) or array (`X[3]`) of one."""

    twin: Twin
    is_array: bool = False
    is_fixed: bool = False
    precision: int | None = None
    scale: int | None = None

    @property
    def oid(self) -> int:
        return self.twin.array_oid if self.is_array else self.twin.oid


class Description(NamedTuple):
    """What PEP 249 shows of a column after its name, with psycopg's values."""

    type_code: int
    display_size: int | None
    internal_size: int | None
    precision: int | None
    scale: int | None


_BOOL = (16, 1000, 1)
_INT2 = (21, 1005, 2)
_INT4 = (23, 1007, 4)
_INT8 = (20, 1016, 8)
_NUMERIC = (1700, 1231)
_TEXT = (25, 1009)
_TIMESTAMP = (1114, 1115, 8)

TWINS: Mapping[str, Twin] = MappingProxyType(
    {
        twin.name: twin
        for twin in (
            Twin("BOOLEAN", *_BOOL),
            Twin("TINYINT", *_INT2),
            Twin("SMALLINT", *_INT2),
            Twin("UTINYINT", *_INT2),
            Twin("INTEGER", *_INT4),
            Twin("USMALLINT", *_INT4),
            Twin("BIGINT", *_INT8),
            Twin("UINTEGER", *_INT8),
            Twin("UBIGINT", *_NUMERIC),
            Twin("HUGEINT", *_NUMERIC),
            Twin("UHUGEINT", *_NUMERIC),
            Twin("BIGNUM", *_NUMERIC),
            Twin("DECIMAL", *_NUMERIC),
            Twin("FLOAT", 700, 1021, 4),
            Twin("DOUBLE", 701, 1022, 8),
            Twin("VARCHAR", *_TEXT),
            Twin("ENUM", *_TEXT),
            Twin("JSON", 114, 199),
            Twin("BLOB", 17, 1001),
            Twin("DATE", 1082, 1182, 4),
            Twin("TIME", 1083, 1183, 8),
            Twin("TIME WITH TIME ZONE", 1266, 1270, 12),
            Twin("TIMESTAMP", *_TIMESTAMP),
            Twin("TIMESTAMP_S", *_TIMESTAMP),
            Twin("TIMESTAMP_MS", *_TIMESTAMP),
            Twin("TIMESTAMP WITH TIME ZONE", 1184, 1185, 8),
            Twin("INTERVAL", 1186, 1187, 16),
            Twin("UUID", 2950, 2951, 16),
        )
    }
)
PG_NAMES: Mapping[int, str] = MappingProxyType(
    {
        16: "bool",
        17: "bytea",
        18: '"char"',
        19: "name",
        20: "int8",
        21: "int2",
        23: "int4",
        25: "text",
        114: "json",
        700: "float4",
        701: "float8",
        1042: "bpchar",
        1043: "varchar",
        1082: "date",
        1083: "time",
        1114: "timestamp",
        1184: "timestamptz",
        1186: "interval",
        1266: "timetz",
        1700: "numeric",
        2950: "uuid",
        3802: "jsonb",
    }
)
# Array OIDs and the OIDs of their elements, also of types that DuckDB calls by another's name.
ELEMENTS: Mapping[int, int] = MappingProxyType(
    {twin.array_oid: twin.oid for twin in TWINS.values()} | {1003: 19, 1015: 1043, 3807: 3802}
)
_SIZES = {twin.oid: twin.size for twin in TWINS.values() if twin.size is not None} | {19: 64}
_WITH_SUFFIX = re.compile(r"(?s)(.+?)((?:\[\d*\])*)")
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")


def parse(duck_type: str) -> Type | None:
    """Read a type as DuckDB writes it; None when it has no twin."""
    match = _WITH_SUFFIX.fullmatch(duck_type)
    if match is None:
        return None
    name, suffix = match.groups()
    if suffix.count("[") > 1:
        return None
    precision = scale = None
    if decimal := _DECIMAL.fullmatch(name):
        name, precision, scale = "DECIMAL", int(decimal[1]), int(decimal[2])
    elif name.startswith("ENUM(") and name.endswith(")"):
        name = "ENUM"
    twin = TWINS.get(name)
    if twin is None:
        return None
    return Type(twin, bool(suffix), suffix not in ("", "[]"), precision, scale)


def describe(duck_type: str, oid: int | None = None) -> Description:
    """How psycopg describes a column of this type, sent as *oid* or as its twin.

    The type code is 0 when there is neither.
    """
    kind = parse(duck_type)
    if oid is None:
        oid = kind.oid if kind is not None else 0
    precision = scale = None
    if kind is not None and ELEMENTS.get(oid, oid) == 1700:
        precision, scale = kind.precision, kind.scale
    return Description(oid, None, _SIZES.get(oid), precision, scale)


def pg_name(oid: int) -> str:
    """A PostgreSQL type's name for messages."""
    if oid in ELEMENTS:
        return f"{PG_NAMES[ELEMENTS[oid]]}[]"
    return PG_NAMES.get(oid, f"type {oid}")
