"""DuckDB's rows as DataRow messages, written by psycopg's dumpers."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from psycopg import _copy_base, postgres
from psycopg.adapt import AdaptersMap, Buffer, Dumper, Transformer
from psycopg.pq import Format

from .columns import BIGNUM, BIGNUMS, TEXT_OID, Column


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

    oid = BIGNUM
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
    (BIGNUMS, 1700, BIGNUM),
    (199, 114, TEXT_OID),
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
