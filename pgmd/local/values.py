"""Values on the wire: which PostgreSQL type a DuckDB column has there, and how it is written.

psycopg's dumpers and loaders do the work. Where DuckDB's Python values have lost something, an
infinite date or the months of an interval, DuckDB writes the text itself: `Column.text` and
`Column.binary` are SQL around the column for that.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import duckdb
import psycopg
from duckdb import Value
from psycopg import _copy_base, postgres
from psycopg.adapt import AdaptersMap, Buffer, Dumper, Transformer
from psycopg.pq import Format

from ..parity.types import ELEMENTS, TWINS, Type, parse
from ..sql.lexer import Kind, tokens

TEXT, BINARY = 0, 1
_TEXT_OID = 25
_NESTED_OID = 17000
# Never sent: DuckDB's Python value of a BIGNUM is a str.
_BIGNUM, _BIGNUMS = 17001, 17002


@dataclass(frozen=True, slots=True)
class Form:
    """How a type is written in one format: an expression around `{}`, "" for the value as it is,
    and the OID by which psycopg's dumper is found."""

    sql: str
    dumper: int


@dataclass(frozen=True, slots=True)
class Column:
    """A result column as the client sees it."""

    name: str
    oid: int
    size: int
    modifier: int
    text: Form
    binary: Form

    def form(self, format: int) -> Form:  # the protocol's word
        return self.binary if format == BINARY else self.text


def column(name: str, duck_type: str, *, service_types: bool) -> Column:
    """The wire column of a DuckDB column."""
    kind = parse(duck_type)
    if kind is None or not kind.has_twin:
        is_nested = service_types and kind is not None and kind.oid == _NESTED_OID
        return Column(name, _NESTED_OID if is_nested else _TEXT_OID, -1, -1, _VARCHAR, _VARCHAR)
    if service_types and kind.twin.name == "TIME WITH TIME ZONE":
        kind = Type(TWINS["TIME"], kind.is_array, kind.is_fixed)
    if kind.is_array:
        return _array(name, kind, quoted=not service_types)
    twin = kind.twin
    own = Form("", twin.oid)
    text, binary = _FORMS.get(twin.name, (own, own))
    return Column(name, twin.oid, twin.size or -1, _modifier(kind), text, binary)


def _array(name: str, kind: Type, *, quoted: bool) -> Column:
    twin = kind.twin
    own = Form("", twin.oid)
    text, each = _FORMS.get(twin.name, (own, own))
    element = _BOOL if twin.name == "BOOLEAN" else text.sql or "CAST({} AS VARCHAR)"
    element = element.replace("{}", "x")
    if quoted and twin.oid in _QUOTED:
        element = f"'\"' || replace(replace({element}, '\\', '\\\\'), '\"', '\\\"') || '\"'"
    written = (
        f"'{{' || array_to_string(list_transform({{}}::{_list_type(kind)}, "
        f"lambda x: coalesce({element}, 'NULL')), ',') || '}}'"
    )
    # A fixed array would come as a tuple, which psycopg takes for a record.
    values = f"{{}}::{_list_type(kind)}" if kind.is_fixed else ""
    if each.sql:
        item = each.sql.replace("{}", "x")
        values = f"list_transform({{}}::{_list_type(kind)}, lambda x: {item})"
    binary = Form(values, _BIGNUMS if each.dumper == _BIGNUM else kind.oid)
    return Column(name, kind.oid, -1, _modifier(kind), Form(written, _TEXT_OID), binary)


def _list_type(kind: Type) -> str:
    if kind.twin.name == "DECIMAL":
        return f"DECIMAL({kind.precision},{kind.scale})[]"
    return "VARCHAR[]" if kind.twin.name == "ENUM" else f"{kind.twin.name}[]"


def _modifier(kind: Type) -> int:
    if kind.precision is None or kind.scale is None:
        return -1
    return (kind.precision << 16 | kind.scale) + 4


_VARCHAR = Form("CAST({} AS VARCHAR)", _TEXT_OID)
# Seconds and dates count from 2000 in the binary format, and infinity is the largest number.
_DAYS = (
    "CASE WHEN isfinite({}) THEN ({} - DATE '2000-01-01')::INTEGER "
    "WHEN {} > DATE '2000-01-01' THEN 2147483647 WHEN {} IS NOT NULL THEN -2147483648 END"
)
_MICROS = (
    "CASE WHEN isfinite({}) THEN epoch_us({}) - 946684800000000 "
    "WHEN {} > '2000-01-01' THEN 9223372036854775807 "
    "WHEN {} IS NOT NULL THEN -9223372036854775808 END"
)
# Two's complement of microseconds, days and months side by side: 16 bytes as one number.
_INTERVAL = (
    "(hour({})::HUGEINT * 3600000000 + minute({}) * 60000000 + microsecond({}))"
    " * 18446744073709551616"
    " + ((day({})::BIGINT + 4294967296) % 4294967296)::HUGEINT * 4294967296"
    " + ((year({}) * 12 + month({}) + 4294967296) % 4294967296)::HUGEINT"
)
_FLOAT = (
    "CASE WHEN isfinite({}) THEN CAST({} AS VARCHAR) WHEN isnan({}) THEN 'NaN' "
    "WHEN {} > 0 THEN 'Infinity' WHEN {} < 0 THEN '-Infinity' END"
)
_BOOL = "CASE WHEN {} THEN 't' WHEN NOT {} THEN 'f' END"
_BC = (
    "CASE WHEN {} < '0001-01-01' AND isfinite({}) "
    "THEN replace({text}, ' (BC)', '') || ' BC' ELSE {text} END"
)
# DuckDB writes no seconds of an offset, and local mean times have some.
_MOMENT = (
    "CASE WHEN {} < '1973-01-01 00:00:00+00' AND isfinite({}) "
    "THEN ({} AT TIME ZONE 'UTC')::VARCHAR || '+00' ELSE CAST({} AS VARCHAR) END"
)
_DATE = Form(_BC.replace("{text}", "CAST({} AS VARCHAR)"), _TEXT_OID)
_TIMESTAMP = (
    Form(_DATE.sql.replace("{}", "{}::TIMESTAMP"), _TEXT_OID),
    Form(_MICROS.replace("{}", "{}::TIMESTAMP"), 20),
)
_FORMS: dict[str, tuple[Form, Form]] = {
    "FLOAT": (Form(_FLOAT, _TEXT_OID), Form("", 700)),
    "BIGNUM": (_VARCHAR, Form("CAST({} AS VARCHAR)", _BIGNUM)),
    "DECIMAL": (_VARCHAR, Form("", 1700)),
    "ENUM": (_VARCHAR, _VARCHAR),
    "JSON": (_VARCHAR, _VARCHAR),
    "BLOB": (Form("'\\x' || lower(hex({}))", _TEXT_OID), Form("", 17)),
    "DATE": (_DATE, Form(_DAYS, 23)),
    "TIME": (Form("CAST({}::TIME AS VARCHAR)", _TEXT_OID), Form("{}::TIME", 1083)),
    "TIME WITH TIME ZONE": (_VARCHAR, Form("", 1266)),
    "TIMESTAMP": _TIMESTAMP,
    "TIMESTAMP_S": _TIMESTAMP,
    "TIMESTAMP_MS": _TIMESTAMP,
    "TIMESTAMP WITH TIME ZONE": (
        Form(_BC.replace("{text}", _MOMENT), _TEXT_OID),
        Form(_MICROS, 20),
    ),
    "INTERVAL": (
        Form("replace(replace(CAST({} AS VARCHAR), 'months', 'mons'), 'month', 'mon')", _TEXT_OID),
        Form(_INTERVAL, 1186),
    ),
    "UUID": (_VARCHAR, Form("", 2950)),
}
_QUOTED = frozenset({25, 114, 17, 1082, 1083, 1114, 1184, 1186, 1266})


# Writing


class _IntervalDumper(Dumper):
    """Writes what _INTERVAL computed."""

    oid = 1186
    format = Format.BINARY

    def dump(self, obj: Any) -> Buffer | None:
        if isinstance(obj, int):
            return obj.to_bytes(16, "big", signed=True)
        return _timedelta_dumper(type(obj)).dump(obj)


class _BignumDumper(Dumper):
    """Writes a number that comes as text."""

    oid = _BIGNUM
    format = Format.BINARY

    def dump(self, obj: Any) -> Buffer | None:
        return _numeric_dumper(Decimal).dump(Decimal(obj))


class _ListDumper(Dumper):
    """Writes a list whose elements `Form.sql` has computed."""

    format = Format.BINARY
    element = 0
    dumper = 0

    def dump(self, obj: Any) -> Buffer | None:
        if not obj:
            return _LIST.pack(0, 0, self.element)
        dumper = _ADAPTERS.get_dumper_by_oid(self.dumper, Format.BINARY)(type(obj))
        out = bytearray(_LIST.pack(1, None in obj, self.element) + _LIST_SIZE.pack(len(obj), 1))
        for value in obj:
            data = None if value is None else dumper.dump(value)
            out += _LENGTH.pack(-1 if data is None else len(data))
            out += data or b""
        return out


def _list_dumper(list_oid: int, element_oid: int, dumper_oid: int) -> type[Dumper]:
    return type(
        "_ListDumper",
        (_ListDumper,),
        {"oid": list_oid, "element": element_oid, "dumper": dumper_oid},
    )


_timedelta_dumper = postgres.adapters.get_dumper_by_oid(1186, Format.BINARY)
_numeric_dumper = postgres.adapters.get_dumper_by_oid(1700, Format.BINARY)
_ADAPTERS = AdaptersMap(postgres.adapters)
_ADAPTERS.register_dumper(_IntervalDumper, _IntervalDumper)
_ADAPTERS.register_dumper(_BignumDumper, _BignumDumper)
for _oids in (
    (_BIGNUMS, 1700, _BIGNUM),
    (199, 114, _TEXT_OID),
    (1182, 1082, 23),
    (1115, 1114, 20),
    (1185, 1184, 20),
    (1187, 1186, 1186),
):
    _ADAPTERS.register_dumper(_ListDumper, _list_dumper(*_oids))
_LIST, _LIST_SIZE = struct.Struct("!iiI"), struct.Struct("!ii")
_LENGTH = struct.Struct("!i")
# A DataRow and a row of a binary COPY have the same form, and psycopg writes the latter in C:
# 0.25 us a row of four columns, where pygwire's DataRow takes 2.2 us.
_write_row = _copy_base.format_row_binary


def row_writer(
    columns: Sequence[Column], formats: Sequence[int], *, cast: bool
) -> Callable[[Sequence[Sequence[Any]]], bytearray]:
    """What turns DuckDB's rows into DataRow messages. *cast*: the query has applied `Form.sql`."""
    forms = [c.form(f) for c, f in zip(columns, formats, strict=True)]
    dumpers = [
        form.dumper if cast or not form.sql else c.oid
        for c, form in zip(columns, forms, strict=True)
    ]
    if len(set(formats)) > 1:
        return _mixed_writer(dumpers, formats)
    transformer = Transformer(_Adapting())
    if columns:
        transformer.set_dumper_types(dumpers, Format(formats[0]))

    def write(rows: Sequence[Sequence[Any]]) -> bytearray:
        out, start = bytearray(), 0
        for row in rows:
            out += b"D\0\0\0\0"
            _write_row(row, transformer, out)
            end = len(out)
            _LENGTH.pack_into(out, start + 1, end - start - 1)
            start = end
        return out

    return write


class _Adapting:
    """What psycopg's Transformer takes its adapters from."""

    adapters = _ADAPTERS
    connection = None


def _mixed_writer(
    dumpers: Sequence[int], formats: Sequence[int]
) -> Callable[[Sequence[Sequence[Any]]], bytearray]:
    found = [
        _ADAPTERS.get_dumper_by_oid(oid, Format(f))(object)
        for oid, f in zip(dumpers, formats, strict=True)
    ]

    def write(rows: Sequence[Sequence[Any]]) -> bytearray:
        out = bytearray()
        for row in rows:
            body = bytearray(len(row).to_bytes(2, "big"))
            for value, dumper in zip(row, found, strict=True):
                data = None if value is None else dumper.dump(value)
                body += b"\xff\xff\xff\xff" if data is None else len(data).to_bytes(4, "big")
                body += data or b""
            out += b"D" + _LENGTH.pack(len(body) + 4) + body
        return out

    return write


def selected(query: str, columns: Sequence[Column], formats: Sequence[int]) -> str | None:
    """*query* with the columns written by DuckDB where that is needed; None where it is not."""
    names = [f"c{n}" for n in range(len(columns))]
    items = written(columns, formats, names)
    return items and f"SELECT {items} FROM {query} AS q({', '.join(names)})"


def written(columns: Sequence[Column], formats: Sequence[int], names: Sequence[str]) -> str | None:
    """The select list in which DuckDB writes *columns*, called *names*; None for no need to."""
    forms = [c.form(f) for c, f in zip(columns, formats, strict=True)]
    if not any(form.sql for form in forms):
        return None
    return ", ".join(
        form.sql.replace("{}", name) if form.sql else name
        for name, form in zip(names, forms, strict=True)
    )


# Reading


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
_TEXTS = frozenset({0, 18, 19, 25, 114, 705, 1042, 1043, 3802, _NESTED_OID})
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
