"""The text of many reads as one query."""

from __future__ import annotations

import re

from .lexer import Kind, Unreadable, tokens
from .statement import parenthesised

_LONGEST_TEXT = 2_000
_NUMBERED = re.compile(rb"\$(\d+)")
_BYTE_ORDER_MARK = "\ufeff"


def bundled(query: str, parameters: int, size: int) -> str | None:
    """*size* times the same query as one, with parameters of its own for each time.

    A first column says which time a row is from, counted from 0. The parameters are those of the
    first, then those of the second, and so on. None for a query that cannot be repeated.
    """
    if len(query) > _LONGEST_TEXT or query.startswith(_BYTE_ORDER_MARK):
        return None
    try:
        marks = [token for token in tokens(query) if token.kind is Kind.PARAMETER]
    except Unreadable:
        return None
    if not all(mark.text[1:].isdecimal() for mark in marks):
        return None
    raw, starts = query.encode(), {mark.start for mark in marks}
    parts = [
        f"SELECT {turn}, * FROM {parenthesised(_moved(raw, starts, turn * parameters))}"
        for turn in range(size)
    ]
    return "\nUNION ALL\n".join(parts)


def _moved(raw: bytes, starts: set[int], by: int) -> str:
    """The same text, with *by* added to the number of each parameter."""

    def moved(match: re.Match[bytes]) -> bytes:
        return b"$%d" % (int(match[1]) + by) if match.start() in starts else match[0]

    return _NUMBERED.sub(moved, raw).decode()
