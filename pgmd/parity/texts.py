"""Read values from the text that DuckDB writes: what the wire carries for types without a twin, and
what a replica is asked for where DuckDB's client would lose something.

Scalars are read by psycopg's own loaders, so that they are what psycopg makes of the same text.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
from psycopg import postgres
from psycopg.pq import Format

from .types import Type

Reader = Callable[[str], Any]


def reader(kind: Type, tz: dt.tzinfo) -> Reader:
    """What reads the text of a value of this type; *tz* is the session's zone.

    Raises ValueError for a type whose text does not tell its value. What is returned raises
    ValueError, or psycopg.DataError where psycopg does.
    """
    if kind.is_array:
        return _whole(_list_of(_scalar(kind, tz, nested=True)))
    if kind.fields:
        return _whole(_nested(kind, tz))
    return _scalar(kind, tz, nested=False)


# Scalars


def _scalar(kind: Type, tz: dt.tzinfo, *, nested: bool) -> Reader:
    name = kind.twin.name
    if nested and name in ("UNION", "VARIANT", "GEOMETRY"):
        raise ValueError(f"a {name} inside another value")
    if name == "TIMESTAMP WITH TIME ZONE":
        return lambda text: _read_moment(text).astimezone(tz)
    if name in _READERS:
        return _READERS[name]
    load = _loader(kind.twin.oid)
    return lambda text: load(text.encode())


def _loader(oid: int) -> Callable[[bytes], Any]:
    found = postgres.adapters.get_loader(oid, Format.TEXT)
    assert found is not None
    return found(oid).load


def _read_bool(text: str) -> bool:
    return text == "true"


_ESCAPED = re.compile(rb"\\x([0-9A-F]{2})")


def _read_bytes(text: str) -> bytes:
    return _ESCAPED.sub(lambda match: bytes.fromhex(match[1].decode()), text.encode())


def _read_date(text: str) -> dt.date:
    return _load_date(_without_era(text))  # type: ignore[no-any-return]


def _read_timestamp(text: str) -> dt.datetime:
    return _load_timestamp(_without_era(text))  # type: ignore[no-any-return]


def _read_moment(text: str) -> dt.datetime:
    value: dt.datetime = _load_moment(_without_era(text))
    if value.year < _WHOLE_MINUTES and not text.endswith("+00"):
        # DuckDB writes no seconds of an offset, and local mean times have some.
        raise ValueError(f"a timestamp with time zone before {_WHOLE_MINUTES} in a nested value")
    return value


def _without_era(text: str) -> bytes:
    # psycopg would read a timestamp of DuckDB's "0044-03-15 (BC)" as one of our era.
    if "(BC)" in text:
        raise psycopg.DataError(f"date too small (before year 1): {text!r}")
    return text.encode()


_WHOLE_MINUTES = 1973
_load_date, _load_timestamp, _load_moment = map(_loader, (1082, 1114, 1184))
_TEXTS = ("VARCHAR", "ENUM", "BIT", "TIME_NS", "TIMESTAMP_NS", "UNION", "VARIANT", "GEOMETRY")
_READERS: dict[str, Reader] = {
    **dict.fromkeys(_TEXTS, str),
    **dict.fromkeys(("UBIGINT", "HUGEINT", "UHUGEINT", "BIGNUM", "DECIMAL"), Decimal),
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS"), _read_timestamp),
    "BOOLEAN": _read_bool,
    "FLOAT": float,
    "DOUBLE": float,
    "JSON": json.loads,
    "BLOB": _read_bytes,
    "DATE": _read_date,
    "UUID": UUID,
}


_UNQUOTED = ("VARCHAR", "ENUM", "BLOB", "JSON")


# Nested values: a part is read from where it begins, and says where it ends.

_Part = Callable[[str, int], tuple[Any, int]]
_QUOTED = re.compile(r"(?s)'((?:[^'\\]|\\.)*)'")
_ESCAPE = re.compile(r"(?s)\\(.)")
# A text that holds any of these is quoted.
_BARE = re.compile(r"[^,\[\]{}()=]*")
_BARE_VALUE = re.compile(r"[^,\[\]{}()]*")


def _whole(part: _Part) -> Reader:
    def read(text: str) -> Any:
        value, end = part(text, 0)
        if end != len(text):
            raise ValueError("a text that DuckDB does not write for this type")
        return value

    return read


def _part(kind: Type, tz: dt.tzinfo, bare: re.Pattern[str] = _BARE_VALUE) -> _Part:
    if kind.is_array:
        if kind.is_fixed and kind.twin.name in _UNQUOTED:
            # DuckDB quotes the elements of a list, and not those of an array.
            raise ValueError(f"an array of {kind.twin.name} inside another value")
        return _or_null(_list_of(_scalar(kind, tz, nested=True)))
    if kind.fields:
        return _or_null(_nested(kind, tz))
    return _leaf(_scalar(kind, tz, nested=True), bare)


def _nested(kind: Type, tz: dt.tzinfo) -> _Part:
    name = kind.twin.name
    if name == "MAP":
        (_, key), (_, value) = kind.fields
        return _map_of(_part(key, tz, _BARE), _part(value, tz))
    if name == "STRUCT":
        return _struct_of([n for n, _ in kind.fields], [_part(k, tz) for _, k in kind.fields])
    return _items(_part(kind.fields[0][1], tz))


def _list_of(read: Reader) -> _Part:
    return _items(_leaf(read, _BARE_VALUE))


def _leaf(read: Reader, bare: re.Pattern[str]) -> _Part:
    def part(text: str, at: int) -> tuple[Any, int]:
        if quoted := _QUOTED.match(text, at):
            return read(_ESCAPE.sub(r"\1", quoted[1])), quoted.end()
        match = bare.match(text, at)
        assert match is not None
        return None if match[0] == "NULL" else read(match[0]), match.end()

    return part


def _or_null(part: _Part) -> _Part:
    def read(text: str, at: int) -> tuple[Any, int]:
        return (None, at + 4) if text.startswith("NULL", at) else part(text, at)

    return read


def _items(part: _Part) -> _Part:
    def read(text: str, at: int) -> tuple[list[Any], int]:
        values: list[Any] = []
        at = _expect(text, at, "[")
        while not text.startswith("]", at):
            at = _expect(text, at, ", ") if values else at
            value, at = part(text, at)
            values.append(value)
        return values, at + 1

    return read


def _struct_of(names: Sequence[str], parts: Sequence[_Part]) -> _Part:
    named = any(names)

    def read(text: str, at: int) -> tuple[Any, int]:
        values = []
        at = _expect(text, at, "{" if named else "(")
        for index, part in enumerate(parts):
            at = _expect(text, at, ", ") if index else at
            if named:
                at = _expect_name(text, at, names[index])
            value, at = part(text, at)
            values.append(value)
        at = _expect(text, at, "}" if named else ")")
        return dict(zip(names, values, strict=True)) if named else tuple(values), at

    return read


def _map_of(key: _Part, value: _Part) -> _Part:
    def read(text: str, at: int) -> tuple[dict[Any, Any], int]:
        pairs: dict[Any, Any] = {}
        at = _expect(text, at, "{")
        while not text.startswith("}", at):
            at = _expect(text, at, ", ") if pairs else at
            found, at = key(text, at)
            at = _expect(text, at, "=")
            try:
                pairs[found], at = value(text, at)
            except TypeError:
                raise ValueError("a MAP with a key that cannot be hashed") from None
        return pairs, at + 1

    return read


def _expect_name(text: str, at: int, name: str) -> int:
    match = _QUOTED.match(text, at)
    if match is None or _ESCAPE.sub(r"\1", match[1]) != name:
        raise ValueError("a STRUCT with other fields")
    return _expect(text, match.end(), ": ")


def _expect(text: str, at: int, wanted: str) -> int:
    if not text.startswith(wanted, at):
        raise ValueError("a text that DuckDB does not write for this type")
    return at + len(wanted)
