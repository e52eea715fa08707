"""COPY through a client's connection, in PostgreSQL's text and csv formats."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import _copy_base
from psycopg.adapt import Transformer

from .result import SLICE, QueryResult

_ROWS_AN_INSERT = 200


class BadCopy(Exception):
    """Options or data that cannot be read."""


@dataclass(frozen=True, slots=True)
class _Format:
    is_csv: bool = False
    header: bool = False
    delimiter: str = "\t"
    null: str = "\\N"


def _read_format(text: str) -> _Format:
    """`WITH (FORMAT csv, HEADER)` and the older `CSV HEADER`. Raises BadCopy."""
    words = re.findall(r"'(?:[^']|'')*'|\w+", re.sub(r"(?i)^\s*with\b", "", text))
    given: dict[str, str] = {}
    previous = ""
    for word in words:
        name = word.lower()
        if word.startswith("'"):
            given[previous] = word[1:-1].replace("''", "'")
        elif name in ("csv", "text", "binary"):
            given["format"] = name
        elif name in ("true", "on", "false", "off") and previous == "header":
            given["header"] = name
        elif name in ("format", "header", "delimiter", "null", "as"):
            given.setdefault(name, "")
        else:
            raise BadCopy(f"COPY option {word!r} is not known: format, header, delimiter, null")
        previous = previous if name == "as" else name
    if given.get("format") == "binary":
        raise BadCopy("COPY in the binary format is not supported: use csv or text")
    is_csv = given.get("format") == "csv"
    return _Format(
        is_csv,
        header=given.get("header", "off") not in ("off", "false"),
        delimiter=given.get("delimiter") or ("," if is_csv else "\t"),
        null=given.get("null", "" if is_csv else "\\N"),
    )


class CopyOut:
    """A result on its way to a client's COPY."""

    def __init__(self, options: str, result: QueryResult) -> None:
        self._format = _read_format(options)
        self._result = result
        self._transformer = Transformer()
        self.count = 0

    @property
    def columns(self) -> int:
        return len(self._result.columns or ())

    def lines(self) -> Iterator[bytes]:
        """The data, a row at a time: clients take each message for one."""
        if self._format.header:
            yield self._write([column.name for column in self._result.columns or ()])
        while rows := self._result.values(SLICE):
            self.count += len(rows)
            yield from map(self._write, rows)

    def _write(self, row: Sequence[Any]) -> bytes:
        if self._format.is_csv:
            return self._write_csv(row)
        out = bytearray()
        _copy_base.format_row_text(tuple(row), self._transformer, out)
        return bytes(out)

    def _write_csv(self, row: Sequence[Any]) -> bytes:
        out = io.StringIO()
        writer = csv.writer(out, delimiter=self._format.delimiter, lineterminator="\n")
        writer.writerow([self._format.null if v is None else _written(v) for v in row])
        return out.getvalue().encode()


def _written(value: Any) -> Any:
    return ("t" if value else "f") if isinstance(value, bool) else value


class CopyIn:
    """What a client's COPY has sent so far. It is inserted when all of it is there."""

    def __init__(self, options: str, target: str, columns: int) -> None:
        self._format = _read_format(options)
        self._target = target
        self._data = io.BytesIO()
        self.columns = columns
        self.count = 0

    def feed(self, data: bytes) -> None:
        self._data.write(data)

    def inserts(self) -> Iterator[tuple[str, list[object]]]:
        """INSERT statements and their values. Raises BadCopy."""
        rows = list(self._rows())
        self.count = len(rows)
        for start in range(0, len(rows), _ROWS_AN_INSERT):
            part = rows[start : start + _ROWS_AN_INSERT]
            marks = f"({', '.join('?' * self.columns)})"
            text = f"INSERT INTO {self._target} VALUES {', '.join([marks] * len(part))}"
            yield text, [value for row in part for value in row]

    def _rows(self) -> Iterator[Sequence[object]]:
        for number, row in enumerate(self._split(), 1):
            if len(row) != self.columns:
                raise BadCopy(f"COPY line {number}: {len(row)} values for {self.columns} columns")
            yield row

    def _split(self) -> Iterator[Sequence[object]]:
        text = self._data.getvalue()
        if self._format.is_csv:
            rows = csv.reader(io.StringIO(text.decode()), delimiter=self._format.delimiter)
            if self._format.header:
                next(rows, None)
            null = self._format.null
            return ([None if v == null else v for v in row] for row in rows if row)
        lines = (line for line in text.decode().split("\n") if line not in ("", r"\."))
        return ([_read(field) for field in line.split(self._format.delimiter)] for line in lines)


def _read(field: str) -> str | None:
    """A value in the text format, where a backslash begins what cannot stand for itself."""
    return None if field == r"\N" else _ESCAPED.sub(lambda m: _ESCAPES.get(m[1], m[1]), field)


_ESCAPED = re.compile(r"(?s)\\(.)")
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
