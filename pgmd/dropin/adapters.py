"""Where a program's own adapters and cursors differ from what a replica's answer was made for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import psycopg
from psycopg import pq
from psycopg.adapt import AdaptersMap, PyFormat, Transformer

from ..answers.columns import Column
from ..parity.load import SHIPPED
from ..request import Request, unconnected
from . import seam


def same_dumpers(adapters: AdaptersMap, values: Sequence[Any]) -> bool:
    """Whether these *adapters* write the values as the program's own ones do."""
    kinds = set(_kinds(values))
    try:
        return all(_writes_alike(adapters, kind) for kind in kinds)
    except psycopg.ProgrammingError:
        return False  # only one of them can write it, or neither


def _kinds(values: Iterable[Any]) -> Iterator[type]:
    """The types of the values, and of those in lists."""
    for value in values:
        if isinstance(value, list | tuple | set | frozenset):
            yield from _kinds(value)
        elif value is not None:
            yield type(value)


def _writes_alike(adapters: AdaptersMap, kind: type) -> bool:
    found = adapters.get_dumper(kind, PyFormat.AUTO)
    ours = psycopg.adapters.get_dumper(kind, PyFormat.AUTO)
    return found is ours or (kind is str and found in _TEXT_DUMPERS)


def leaves_texts_open(adapters: AdaptersMap) -> bool:
    """Whether a str is written as psycopg does by itself: without a type."""
    found = adapters.get_dumper(str, PyFormat.AUTO)
    return found is SHIPPED.get_dumper(str, PyFormat.AUTO)


def _text_dumpers() -> set[Any]:
    scratch = AdaptersMap(psycopg.adapters)
    scratch.register_dumper(str, psycopg.types.string.StrDumper)
    return {scratch.get_dumper(str, PyFormat.AUTO), psycopg.types.string.StrDumper}


_TEXT_DUMPERS = _text_dumpers()


def own_loader(adapters: AdaptersMap, columns: Sequence[Column], form: pq.Format) -> str:
    """The name of a column that would be loaded in another way than the program's own, or ""."""
    ours = psycopg.adapters
    for column in columns:
        oid = column.type_code
        if adapters.get_loader(oid, form) is not ours.get_loader(oid, form):
            return column.name
        if form == pq.Format.BINARY and ours.get_loader(oid, form) is None:
            return column.name  # psycopg would return its bytes
    return ""


# -------------------------------------------------------------------------- what a cursor sends


def is_client(cursor: Any) -> bool:
    """Whether it binds on the client."""
    return isinstance(cursor, psycopg.client_cursor.ClientCursorMixin)


def request_of(cursor: Any, query: Any, params: Any) -> Request | None:
    """What a cursor is about to send; None where only psycopg can read it."""
    try:
        if is_client(cursor):
            if params is not None:
                query, params = _merged(query, params, cursor.adapters), None
        elif isinstance(cursor, psycopg.raw_cursor.RawCursorMixin) and params is not None:
            return None
        return Request.read(query, params, None)
    except (psycopg.Error, TypeError, ValueError):
        # psycopg will say so.
        return None


def _merged(query: Any, params: Any, adapters: AdaptersMap) -> str:
    """The text with its values, which needs no connection."""
    merging = seam.ClientQuery(Transformer(unconnected(adapters)))
    merging.convert(query, params)
    return merging.query.decode()


class Unconverted:
    """What psycopg would have sent, worked out when somebody looks at it."""

    def __init__(self, kind: Any, query: Any, params: Any, adapters: AdaptersMap) -> None:
        self._kind, self._sent, self._given = kind, (query, params), adapters

    def __getattr__(self, name: str) -> Any:
        converted = self._kind(Transformer(unconnected(self._given)))
        converted.convert(*self._sent)
        return getattr(converted, name)
