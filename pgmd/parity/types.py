"""The table of types: what a Postgres wire calls a DuckDB type.

Types that are not in it (STRUCT, MAP, UNION, TIMESTAMP_NS, ...) have no twin on the wire.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Twin:
    """The PostgreSQL type that carries a DuckDB type. `size` is in bytes, None when it varies."""

    oid: int
    array_oid: int
    size: int | None = None


TWINS: dict[str, Twin] = {
    "BOOLEAN": Twin(16, 1000, 1),
    "TINYINT": Twin(21, 1005, 2),
    "SMALLINT": Twin(21, 1005, 2),
    "UTINYINT": Twin(21, 1005, 2),
    "INTEGER": Twin(23, 1007, 4),
    "USMALLINT": Twin(23, 1007, 4),
    "BIGINT": Twin(20, 1016, 8),
    "UINTEGER": Twin(20, 1016, 8),
    # Wider than any integer of PostgreSQL.
    "UBIGINT": Twin(1700, 1231),
    "HUGEINT": Twin(1700, 1231),
    "UHUGEINT": Twin(1700, 1231),
    "DECIMAL": Twin(1700, 1231),
    "FLOAT": Twin(700, 1021, 4),
    "DOUBLE": Twin(701, 1022, 8),
    "VARCHAR": Twin(25, 1009),
    "ENUM": Twin(25, 1009),
    "BLOB": Twin(17, 1001),
    "DATE": Twin(1082, 1182, 4),
    "TIME": Twin(1083, 1183, 8),
    "TIME WITH TIME ZONE": Twin(1266, 1270, 12),
    "TIMESTAMP": Twin(1114, 1115, 8),
    "TIMESTAMP_S": Twin(1114, 1115, 8),
    "TIMESTAMP_MS": Twin(1114, 1115, 8),
    "TIMESTAMP WITH TIME ZONE": Twin(1184, 1185, 8),
    "INTERVAL": Twin(1186, 1187, 16),
    "UUID": Twin(2950, 2951, 16),
    "JSON": Twin(114, 199),
}
ELEMENTS = {twin.array_oid: twin.oid for twin in TWINS.values()} | {1015: 1043, 3807: 3802}

_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")
_LIST = re.compile(r"(.*)\[(\d*)\]", re.DOTALL)


@dataclass(frozen=True, slots=True)
class DuckType:
    """A DuckDB type, taken apart: a base name, or the type of a list's elements."""

    name: str
    precision: int | None = None
    scale: int | None = None
    element: DuckType | None = None


def parse(text: str) -> DuckType:
    """Take apart what DuckDB's description calls a type, such as `DECIMAL(10,2)` or `DATE[]`."""
    listed = _LIST.fullmatch(text)
    if listed:
        return DuckType("LIST", element=parse(listed[1]))
    decimal = _DECIMAL.fullmatch(text)
    if decimal:
        return DuckType("DECIMAL", int(decimal[1]), int(decimal[2]))
    return DuckType("ENUM" if text.startswith("ENUM(") else text)


def default_oid(kind: DuckType) -> int | None:
    """The OID that stands for a DuckDB type where no server says otherwise; None without twin."""
    if kind.element is not None:
        twin = TWINS.get(kind.element.name)
        return twin.array_oid if twin else None
    twin = TWINS.get(kind.name)
    return twin.oid if twin else None


def describe(text: str) -> tuple[int, None, int | None, int | None, int | None]:
    """Type code, display size, internal size, precision and scale of a column, as PEP 249 has
    them. The type code is 0 for a type without a twin."""
    kind = parse(text)
    twin = TWINS.get(kind.name)
    return default_oid(kind) or 0, None, twin.size if twin else None, kind.precision, kind.scale
