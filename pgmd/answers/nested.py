"""Nested values from a DuckDB behind a wire, which sends them as text and calls them text."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from json import JSONDecodeError
from typing import Any

from ..errors import ParityError
from ..parity.load import column_label
from ..parity.steps import text_column
from ..parity.types import parse
from ..sql import parenthesised

# How the types without a twin arrive; a list of lists has an OID of its own.
_AS_TEXT = (25, 17000)


def may_be_nested(description: Sequence[Any], rows: Sequence[Sequence[Any]]) -> bool:
    """Whether a DuckDB behind a wire may have sent nested values: it calls them text."""
    indexes = [n for n, column in enumerate(description) if column.type_code in _AS_TEXT]
    texts = (row[n] for n in indexes for row in rows)
    return any(type(text) is str and text.startswith(("{", "[", "(")) for text in texts)


def with_nested(
    description: Sequence[Any], types: Sequence[str], rows: list[Any], time_zone: dt.tzinfo
) -> list[Any]:
    """The same rows, with the nested values read from their text. Raises ParityError."""
    loaders = {}
    for index, (column, name) in enumerate(zip(description, types, strict=True)):
        kind = parse(name)
        if column.type_code in _AS_TEXT and kind is not None and kind.fields:
            label = column_label(index, column.name)
            try:
                loaders[index] = text_column(label, kind, time_zone)
            except ValueError as error:
                raise ParityError(f"{label}: {error}") from None
    if not loaders:
        return rows
    columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
    for index, load in loaders.items():
        columns[index] = load(columns[index])
    return list(zip(*columns, strict=True))


def asking_for_types(query: str, width: int) -> str:
    """A query that returns the DuckDB types of the *width* columns of *query*, in one row; unlike
    DESCRIBE, it may have parameters."""
    names = [f"c{n}" for n in range(width)]
    types = ", ".join(f"typeof(any_value({name}))" for name in names)
    return f"SELECT {types} FROM {parenthesised(query)} AS q({', '.join(names)}) WHERE false"


@contextmanager
def unquoted_json() -> Iterator[None]:
    """Where psycopg loads what a DuckDB behind a wire sent: it may have sent lists unquoted."""
    try:
        yield
    except JSONDecodeError as error:
        raise ParityError(f"a list of JSON arrived without quotes: {error}") from None
