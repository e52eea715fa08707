"""The type table: each DuckDB type, the PostgreSQL type it is declared as, and its Python value.

psycopg is the measure: a replica's value is what psycopg loads for the same column. STRUCT, MAP and
the other types that PostgreSQL has no twin for travel as DuckDB's text on both routes, and the same
code reads it. `pgmd types` prints the table.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
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
    # None where PostgreSQL has no array of it: a list of these has no twin either.
    array_oid: int | None
    size: int | None = None
    # The class of its values; the values that psycopg sends as it; what is special at its edges.
    python: str = ""
    sent_for: str = ""
    edges: str = ""
    # DuckDB's client loses something of the value, but its text does not.
    as_text: bool = False


@dataclass(frozen=True, slots=True)
class Type:
    """A parsed DuckDB type: a scalar, a list (`X[]`) or array (`X[3]`) of one, or, with `fields`,
    a nested one. A list's only field has no name; a map has the fields key and value."""

    twin: Twin
    is_array: bool = False
    is_fixed: bool = False
    precision: int | None = None
    scale: int | None = None
    fields: tuple[tuple[str, Type], ...] = ()

    @property
    def oid(self) -> int:
        array_oid = self.twin.array_oid
        return array_oid if self.is_array and array_oid is not None else self.twin.oid

    @property
    def has_twin(self) -> bool:
        return self.twin.array_oid is not None

    @property
    def is_text(self) -> bool:
        """Whether it is fetched as DuckDB's text, and read from that."""
        return self.twin.as_text or not self.has_twin


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
_NUMERIC = (1700, 1231, None)
_TEXT = (25, 1009, None)
_TIMESTAMP = (1114, 1115, 8)
_NO_TWIN = (25, None, None)
# What MotherDuck declares a list of lists as (github.com/hrl20/metabase, FIXES.md).
_LISTS = (17000, None, None)

_FINITE = "infinite, BC or after 9999: DataError"
_NANOS = "datetime has no nanoseconds; cast it to microseconds"
_IN_NESTED = "inside a nested value: ParityError"

TWINS: Mapping[str, Twin] = MappingProxyType(
    {
        twin.name: twin
        for twin in (
            Twin("BOOLEAN", *_BOOL, "bool", "bool"),
            Twin("TINYINT", *_INT2, "int"),
            Twin("SMALLINT", *_INT2, "int", "int of 16 bits"),
            Twin("UTINYINT", *_INT2, "int"),
            Twin("INTEGER", *_INT4, "int", "int of 32 bits"),
            Twin("USMALLINT", *_INT4, "int"),
            Twin("BIGINT", *_INT8, "int", "int of 64 bits"),
            Twin("UINTEGER", *_INT8, "int"),
            Twin("UBIGINT", *_NUMERIC, "Decimal"),
            Twin("HUGEINT", *_NUMERIC, "Decimal"),
            Twin("UHUGEINT", *_NUMERIC, "Decimal", as_text=True),
            Twin("BIGNUM", *_NUMERIC, "Decimal", as_text=True),
            Twin("DECIMAL", *_NUMERIC, "Decimal", "Decimal", "the scale is kept: 1.50"),
            Twin("FLOAT", 700, 1021, 4, "float", "numpy.float32", "as its text reads: 1.1"),
            Twin("DOUBLE", 701, 1022, 8, "float", "float"),
            Twin("VARCHAR", *_TEXT, "str", "str, Enum"),
            Twin("ENUM", *_TEXT, "str"),
            Twin("JSON", 114, 199, None, "of json.loads", "Json, Jsonb", "JSON's null is None"),
            Twin("BLOB", 17, 1001, None, "bytes", "bytes"),
            Twin("DATE", 1082, 1182, 4, "date", "date", _FINITE),
            Twin("TIME", 1083, 1183, 8, "time", "naive time", "24:00: DataError"),
            Twin("TIME WITH TIME ZONE", 1266, 1270, 12, "time", "aware time", "24:00: DataError",
                 as_text=True),
            Twin("TIMESTAMP", *_TIMESTAMP, "datetime", "naive datetime", _FINITE),
            Twin("TIMESTAMP_S", *_TIMESTAMP, "datetime", "", _FINITE),
            Twin("TIMESTAMP_MS", *_TIMESTAMP, "datetime", "", _FINITE),
            Twin("TIMESTAMP WITH TIME ZONE", 1184, 1185, 8, "datetime", "aware datetime", _FINITE),
            Twin("INTERVAL", 1186, 1187, 16, "timedelta", "timedelta",
                 "a year is 365 days, a month 30", as_text=True),
            Twin("UUID", 2950, 2951, 16, "UUID", "UUID"),
            Twin("TIME_NS", *_NO_TWIN, "str", "", _NANOS),
            Twin("TIMESTAMP_NS", *_NO_TWIN, "str", "", _NANOS),
            Twin("BIT", *_NO_TWIN, "str", "", "the digits: 0101"),
            Twin("GEOMETRY", *_NO_TWIN, "str", "", f"well-known text; {_IN_NESTED}"),
            Twin("UNION", *_NO_TWIN, "str", "", f"the member's text; {_IN_NESTED}"),
            Twin("VARIANT", *_NO_TWIN, "str", "", f"the value's text; {_IN_NESTED}"),
            Twin("STRUCT", *_NO_TWIN, "dict", "", "a tuple where the fields have no names"),
            Twin("MAP", *_NO_TWIN, "dict", "", "a key that cannot be hashed: ParityError"),
            Twin("LIST", *_NO_TWIN, "list", "", "of what has no array in PostgreSQL"),
            Twin("LIST of LIST", *_LISTS, "list", "", "may be ragged"),
        )
    }
)  # fmt: skip
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


class Integer(NamedTuple):
    """The range of an integer type of PostgreSQL, and the DuckDB types that never leave it."""

    bits: int
    inside: frozenset[str]

    @property
    def low(self) -> int:
        return -(1 << self.bits - 1)

    @property
    def high(self) -> int:
        return (1 << self.bits - 1) - 1


_INSIDE_INT2 = frozenset({"TINYINT", "SMALLINT", "UTINYINT"})
_INSIDE_INT4 = _INSIDE_INT2 | {"INTEGER", "USMALLINT"}
INTEGERS: Mapping[int, Integer] = MappingProxyType(
    {
        21: Integer(16, _INSIDE_INT2),
        23: Integer(32, _INSIDE_INT4),
        20: Integer(64, _INSIDE_INT4 | {"BIGINT", "UINTEGER"}),
    }
)
# Array OIDs and the OIDs of their elements, also of types that DuckDB calls by another's name.
ELEMENTS: Mapping[int, int] = MappingProxyType(
    {twin.array_oid: twin.oid for twin in TWINS.values() if twin.array_oid is not None}
    | {1003: 19, 1015: 1043, 3807: 3802}
)
_SIZES = {twin.oid: twin.size for twin in TWINS.values() if twin.size is not None} | {19: 64}
_SUFFIX = re.compile(r"(?s)(.*)\[(\d*)\]")
_CALL = re.compile(r"(?s)([A-Z]+)\((.*)\)")
# The name of a struct's field, plain or quoted, and its type.
_FIELD = re.compile(r'(?s)("(?:[^"]|"")*"|[^\s"]+) (.+)')
_PIECE = re.compile(r"""(?s)'(?:[^']|'')*'|"(?:[^"]|"")*"|[(),]|[^'"(),]+""")
_NAME = re.compile(r'"((?:[^"]|"")*)"')


@lru_cache(maxsize=4096)
def parse(duck_type: str) -> Type | None:
    """Read a type as DuckDB writes it; None for one that is not in the table."""
    if suffix := _SUFFIX.fullmatch(duck_type):
        return _list(parse(suffix[1]), is_fixed=bool(suffix[2]))
    call = _CALL.fullmatch(duck_type)
    if call is None:
        return Type(TWINS[duck_type]) if duck_type in TWINS and duck_type.isupper() else None
    name, inside = call.groups()
    if name == "DECIMAL":
        precision, scale = map(int, inside.split(","))
        return Type(TWINS[name], precision=precision, scale=scale)
    if name in ("ENUM", "UNION"):
        return Type(TWINS[name])
    if name == "STRUCT":
        return _nested(name, map(_field, _split(inside)))
    if name == "MAP":
        return _nested(name, zip(("key", "value"), map(parse, _split(inside)), strict=True))
    return None


def _list(item: Type | None, *, is_fixed: bool) -> Type | None:
    if item is None or (item.has_twin and not item.is_array):
        return item and replace(item, is_array=True, is_fixed=is_fixed)
    is_list = item.is_array or item.twin.name.startswith("LIST")
    return Type(TWINS["LIST of LIST" if is_list else "LIST"], fields=(("", item),))


def _nested(name: str, fields: Iterable[tuple[str, Type | None]]) -> Type | None:
    known = []
    for called, kind in fields:
        if kind is None:
            return None
        known.append((called, kind))
    return Type(TWINS[name], fields=tuple(known))


def _field(text: str) -> tuple[str, Type | None]:
    # Fields of a row() have no names, and some types are several words.
    unnamed = parse(text)
    if unnamed is not None:
        return "", unnamed
    match = _FIELD.fullmatch(text)
    if match is None:
        return "", None
    name = match[1]
    if quoted := _NAME.fullmatch(name):
        name = quoted[1].replace('""', '"')
    return name, parse(match[2])


def _split(inside: str) -> Iterator[str]:
    """The parts between the commas at the top level."""
    depth, part = 0, ""
    for piece in _PIECE.findall(inside):
        depth += (piece == "(") - (piece == ")")
        if piece == "," and depth == 0:
            yield part.strip()
            part = ""
        else:
            part += piece
    yield part.strip()


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
