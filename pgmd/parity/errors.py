"""Give DuckDB's errors the classes and SQLSTATEs that psycopg has for the same mistakes.

DuckDB has no SQLSTATEs and many mistakes share one of its classes, so its message decides. What no
rule knows gets its kind's default, which names the SQLSTATE's class and nothing more.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import NamedTuple

import duckdb
import psycopg
from psycopg import errors as pg
from psycopg.pq import DiagnosticField

from .rules import KINDS, SERVER_READ_ONLY, SERVICE, Class, rule_for

_Info = dict[int, bytes | None]
# An error during a fetch comes inside another one.
_WRAPPER = re.compile(
    r"Invalid Input Error: Attempting to execute an unsuccessful or closed pending query result\s+"
    r"Error: "
)
# The class may be the wrapper's; the first words are always the error's own kind.
_KIND = re.compile(r"([A-Za-z][A-Za-z ]*?) Error: (.*)", re.DOTALL)
# The line that DuckDB shows, shortened to what is around the error, and the mark below it,
# which underlines the whole name as of DuckDB 2.0.
_SHOWN = re.compile(r"\s*\n\nLINE (\d+): ([^\n]*)\n( *)\^+\s*")
_NEWLINE = re.compile(r"\r\n?|\n")
_CANCELED = "canceling statement due to user request"

_BASES: tuple[tuple[type[BaseException], Class], ...] = (
    (duckdb.ProgrammingError, psycopg.ProgrammingError),
    (duckdb.DataError, psycopg.DataError),
    (duckdb.IntegrityError, psycopg.IntegrityError),
    (duckdb.OperationalError, psycopg.OperationalError),
    (duckdb.NotSupportedError, psycopg.NotSupportedError),
    (duckdb.InternalError, psycopg.InternalError),
    # How fetching fails for a date or an interval that Python cannot hold.
    (OverflowError, psycopg.DataError),
)
# What psycopg makes of an error whose SQLSTATE it does not know.
_UNTOLD = (psycopg.DatabaseError, psycopg.InternalError, pg.InternalError_)


class _Told(NamedTuple):
    """What DuckDB said: the kind, the message alone, and the line it showed, if any."""

    kind: str
    message: str
    shown: re.Match[str] | None

    @classmethod
    def read(cls, text: str) -> _Told:
        match = _KIND.match(_WRAPPER.sub("", text, count=1))
        kind, message = match.groups() if match else ("", text)
        shown = _last(message)
        return cls(kind, message[: shown.start()] if shown else message, shown)


def from_duckdb(
    exc: BaseException, message_redactor: Callable[[str], str], *, text: str | None = None
) -> psycopg.Error:
    """Return the error that psycopg would raise; its message is DuckDB's, redacted.

    *exc* is redacted in place, so that it can be the cause. *text* is what DuckDB ran: with it,
    `diag` has the position.
    """
    told = _Told.read(str(exc))
    exc.args = tuple(message_redactor(a) if isinstance(a, str) else a for a in exc.args)
    if told.kind == "Connection" and told.message == "Connection already closed!":
        return psycopg.OperationalError("the connection is closed")
    return _error(_class(exc, told), told, message_redactor, text, {})


def from_endpoint(error: psycopg.Error, *, text: str | None = None) -> psycopg.Error:
    """Give the error of a DuckDB wire server, which has no SQLSTATE of PostgreSQL's, the class that
    PostgreSQL would give. Errors of another origin are returned as they are."""
    said = error.diag.message_primary
    if said is None or type(error) not in _UNTOLD:
        return error
    told = _Told.read(said)
    known = _of_service(said) if not told.kind else _class(error, told)
    if known is None:
        return error
    return _error(known, told, str, text, _fields(error))


def is_write_refusal(exc: BaseException) -> bool:
    """Whether DuckDB, or the server behind it, refused because it is read-only."""
    if not isinstance(exc, duckdb.Error):
        return False
    told = _Told.read(str(exc))
    if not told.kind:
        return re.fullmatch(SERVER_READ_ONLY, told.message, re.DOTALL) is not None
    return _class(exc, told) is pg.ReadOnlySqlTransaction


def _class(exc: BaseException, told: _Told) -> Class:
    if told.kind in KINDS:
        rule = rule_for(told.kind, told.message)
        return KINDS[told.kind].default if rule is None else rule.known
    for theirs, ours in _BASES:
        if isinstance(exc, theirs):
            return ours
    return psycopg.DatabaseError


def _of_service(said: str) -> Class | None:
    return next((rule.known for rule in SERVICE if rule.pattern.fullmatch(said)), None)


def _error(
    known: Class, told: _Told, redact: Callable[[str], str], text: str | None, info: _Info
) -> psycopg.Error:
    message = _CANCELED if known is pg.QueryCanceled else redact(told.message)
    info = {field: None for field in DiagnosticField} | _SEVERITY | info
    info[DiagnosticField.MESSAGE_PRIMARY] = _sent(message)
    info[DiagnosticField.SQLSTATE] = _sent(known.sqlstate) if known.sqlstate else None
    position = _position(told.shown, text) if told.shown and text is not None else None
    if position is not None:
        info[DiagnosticField.STATEMENT_POSITION] = _sent(str(position))
    shown = redact(told.shown.group().strip("\n")) if told.shown else ""
    return known(f"{message}\n{shown}" if shown else message, info=info)


_SEVERITY: _Info = {
    DiagnosticField.SEVERITY: b"ERROR",
    DiagnosticField.SEVERITY_NONLOCALIZED: b"ERROR",
}


def _fields(error: psycopg.Error) -> _Info:
    """What the server told, in a form that outlives its result and can be pickled."""
    result = error.pgresult
    return {} if result is None else {field: result.error_field(field) for field in DiagnosticField}


def _sent(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _last(message: str) -> re.Match[str] | None:
    """The line shown at the very end; what looks like one before it is the user's."""
    start = message.rfind("\n\nLINE ")
    while start > 0 and message[start - 1].isspace():
        start -= 1
    return _SHOWN.fullmatch(message, start) if start >= 0 else None


def _position(shown: re.Match[str], text: str) -> int | None:
    """Where the mark is in *text*, counted in characters from 1; None unless that is certain."""
    line, excerpt, indent = int(shown[1]), shown[2], len(shown[3]) - len(f"LINE {shown[1]}: ")
    offset = _offset(excerpt, indent)
    starts = [0, *(m.end() for m in _NEWLINE.finditer(text))]
    if offset is None or line > len(starts):
        return None
    begin = starts[line - 1]
    whole = _NEWLINE.split(text[begin:], maxsplit=1)[0]
    found = set(_places(whole, excerpt, offset))
    return begin + found.pop() + 1 if len(found) == 1 else None


def _places(line: str, excerpt: str, offset: int) -> Iterator[int]:
    """The places in *line* that the mark may mean, given that dots stand for what was left out."""
    for head in ("", "..."):
        for tail in ("", "..."):
            if not (excerpt.startswith(head) and excerpt.endswith(tail)):
                continue
            part = excerpt[len(head) : len(excerpt) - len(tail)]
            at = line.find(part)
            while at >= 0:
                if (at > 0) == bool(head) and (at + len(part) < len(line)) == bool(tail):
                    yield at + offset - len(head)
                at = line.find(part, at + 1)


# Others may be wider, narrower or joined to the one before.
_LETTERS = ("Lu", "Ll", "Lo")


def _offset(excerpt: str, width: int) -> int | None:
    """How many characters of *excerpt* fill *width* columns; None if they are not that simple."""
    filled = 0
    for offset, character in enumerate(excerpt):
        if not ("\x1f" < character < "\x7f" or unicodedata.category(character) in _LETTERS):
            return None
        if filled >= width:
            return offset if filled == width else None
        wide = unicodedata.east_asian_width(character) in "WF"
        filled += 2 if wide else 1
    return len(excerpt) if filled == width else None
