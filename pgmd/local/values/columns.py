"""Which PostgreSQL type a DuckDB column has on the wire, and the SQL that writes it as one.

Where DuckDB's Python values have lost something, an infinite date or the months of an interval,
DuckDB writes the text itself: `Column.text` and `Column.binary` are SQL around the column for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...parity.types import TWINS, Type, parse

TEXT, BINARY = 0, 1
TEXT_OID = 25
NESTED_OID = 17000
# Never sent: DuckDB's Python value of a BIGNUM is a str.
BIGNUM, BIGNUMS = 17001, 17002


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
        is_nested = service_types and kind is not None and kind.oid == NESTED_OID
        return Column(name, NESTED_OID if is_nested else TEXT_OID, -1, -1, _VARCHAR, _VARCHAR)
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
    binary = Form(values, BIGNUMS if each.dumper == BIGNUM else kind.oid)
    return Column(name, kind.oid, -1, _modifier(kind), Form(written, TEXT_OID), binary)


def _list_type(kind: Type) -> str:
    if kind.twin.name == "DECIMAL":
        return f"DECIMAL({kind.precision},{kind.scale})[]"
    return "VARCHAR[]" if kind.twin.name == "ENUM" else f"{kind.twin.name}[]"


def _modifier(kind: Type) -> int:
    if kind.precision is None or kind.scale is None:
        return -1
    return (kind.precision << 16 | kind.scale) + 4


_VARCHAR = Form("CAST({} AS VARCHAR)", TEXT_OID)
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
_DATE = Form(_BC.replace("{text}", "CAST({} AS VARCHAR)"), TEXT_OID)
_TIMESTAMP = (
    Form(_DATE.sql.replace("{}", "{}::TIMESTAMP"), TEXT_OID),
    Form(_MICROS.replace("{}", "{}::TIMESTAMP"), 20),
)
_FORMS: dict[str, tuple[Form, Form]] = {
    "FLOAT": (Form(_FLOAT, TEXT_OID), Form("", 700)),
    "BIGNUM": (_VARCHAR, Form("CAST({} AS VARCHAR)", BIGNUM)),
    "DECIMAL": (_VARCHAR, Form("", 1700)),
    "ENUM": (_VARCHAR, _VARCHAR),
    "JSON": (_VARCHAR, _VARCHAR),
    "BLOB": (Form("'\\x' || lower(hex({}))", TEXT_OID), Form("", 17)),
    "DATE": (_DATE, Form(_DAYS, 23)),
    "TIME": (Form("CAST({}::TIME AS VARCHAR)", TEXT_OID), Form("{}::TIME", 1083)),
    "TIME WITH TIME ZONE": (_VARCHAR, Form("", 1266)),
    "TIMESTAMP": _TIMESTAMP,
    "TIMESTAMP_S": _TIMESTAMP,
    "TIMESTAMP_MS": _TIMESTAMP,
    "TIMESTAMP WITH TIME ZONE": (
        Form(_BC.replace("{text}", _MOMENT), TEXT_OID),
        Form(_MICROS, 20),
    ),
    "INTERVAL": (
        Form("replace(replace(CAST({} AS VARCHAR), 'months', 'mons'), 'month', 'mon')", TEXT_OID),
        Form(_INTERVAL, 1186),
    ),
    "UUID": (_VARCHAR, Form("", 2950)),
}
_QUOTED = frozenset({25, 114, 17, 1082, 1083, 1114, 1184, 1186, 1266})


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
