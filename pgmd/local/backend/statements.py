"""What a client's text asks of the server, from its words alone: pure."""

from __future__ import annotations

import enum
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from types import MappingProxyType

from ...parity.types import parse
from ...sql import analyse
from ...sql.lexer import Kind, Token, Unreadable, tokens
from ..catalogue.rewriting import rewrite

_CACHED_CHARS = 16_384
_NOTHING = Token(Kind.OPERATOR, "", "", -1)


class Action(enum.Enum):
    """Who carries a statement out."""

    DUCKDB = enum.auto()
    SNAPSHOT = enum.auto()  # CREATE SNAPSHOT
    REFRESH = enum.auto()  # REFRESH DATABASE
    COPY_IN = enum.auto()
    COPY_OUT = enum.auto()
    FORGIVEN = enum.auto()  # what only PostgreSQL can parse, see Quirks.strict_grammar


@dataclass(frozen=True, slots=True)
class Command:
    """One statement of a client."""

    text: str
    action: Action = Action.DUCKDB
    verb: str = ""  # its first word, lower case
    tag: str = ""  # of CommandComplete, without a count
    is_read: bool = False
    is_select: bool = False  # may stand in parentheses after FROM
    returns: bool = False  # DML with RETURNING
    is_temporary: bool = False
    from_function: bool = False  # selects from a table function
    is_catalogue: bool = False  # asks PostgreSQL's catalogue, which the server answers itself
    ends_transaction: bool = False
    begins_transaction: bool = False
    changes_names: bool = False  # what is known of tables and columns may be wrong after it
    # The types that parameters are cast to in the text, by number, as OIDs.
    casts: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}))
    # Of CREATE SNAPSHOT and REFRESH: the snapshot's name and the database.
    snapshot: str | None = None
    database: str | None = None
    # Of COPY: the table or query, and the options, as text.
    copied: str = ""
    options: str = ""
    # Of DML with RETURNING: what is returned, and of which table, as text.
    returning: str = ""
    target: str = ""
    parameters: int = 0  # the highest number of a parameter

    def declared(self, oids: Sequence[int]) -> list[int]:
        """The types that a client has declared for all parameters; 0 for those it left open."""
        return [*oids, *[0] * (self.parameters - len(oids))]


def read(text: str) -> tuple[Command, ...]:
    """The statements in *text*, in order; none for a text of white space and comments."""
    return _read_cached(text) if len(text) <= _CACHED_CHARS else _read(text)


def _read(text: str) -> tuple[Command, ...]:
    try:
        found = tokens(text)
    except Unreadable:
        # Its error is the parser's to tell.
        return (Command(text),)
    raw = text.removeprefix("\ufeff").encode()
    return tuple(_one(part, body) for part, body in _parts(raw, found))


_read_cached = lru_cache(maxsize=1024)(_read)


def _one(text: str, body: list[Token]) -> Command:
    known = rewrite(text)
    if known is not text:
        return replace(_command(known, list(tokens(known))), is_catalogue=True)
    return _command(text, body)


def _parts(raw: bytes, found: tuple[Token, ...]) -> Iterator[tuple[str, list[Token]]]:
    """Each statement, and its tokens as if it stood alone."""
    body: list[Token] = []
    start = 0
    for token in found:
        if token.text != ";":
            body.append(token._replace(start=token.start - start))
            continue
        if body:
            yield raw[start : token.start].decode(), body
        body, start = [], token.start + 1
    if body:
        yield raw[start:].decode(), body


def _command(text: str, body: list[Token]) -> Command:
    words = [token.word for token in body[:4]]
    main = _main(body)
    verb = main[0].word if main else ""
    if words[:2] == ["create", "snapshot"]:
        return _snapshot(text, body)
    if words[0] == "refresh" and words[1:2] in (["database"], ["databases"]):
        return _refresh(text, body)
    if verb == "copy" and (copied := _copy(text, body)):
        return copied
    if _FORGIVEN.fullmatch(" ".join(token.text.lower() for token in body)):
        return Command(text, Action.FORGIVEN, verb, tag=_tag(verb, body))
    facts = analyse(text)
    is_select = verb in _SELECTS
    returning, target = _returning(text, main) if verb in _DML else ("", "")
    return Command(
        text,
        Action.DUCKDB,
        verb,
        tag=_tag(verb, body),
        is_read=facts.is_read or _only_tells(verb, body),
        is_select=is_select,
        returns=bool(returning),
        returning=returning,
        target=target,
        is_temporary=verb == "create" and not {"temp", "temporary"}.isdisjoint(words),
        from_function=is_select and _selects_from_function(body),
        begins_transaction=verb in ("begin", "start"),
        ends_transaction=verb in ("commit", "end", "rollback", "abort"),
        changes_names=not is_select and verb not in (*_DML, "begin", "start", "explain"),
        casts=_casts(body),
        parameters=max(map(_parameter, body), default=0),
    )


def _main(body: list[Token]) -> list[Token]:
    """Without opening parentheses, nor the `WITH` before DML."""
    start = next((i for i, token in enumerate(body) if token.text != "("), len(body))
    depth = 0
    for i, (token, after) in enumerate(itertools.pairwise(body[start:]), start):
        if body[start].word != "with":
            break
        depth += (token.text == "(") - (token.text == ")")
        if not depth and token.word in _DML and after.word != "as":
            return body[i:]
    return body[start:]


def _only_tells(verb: str, body: list[Token]) -> bool:
    """Whether a statement tells about others and runs none of them."""
    if verb == "explain":
        return not any(token.word in ("analyze", "analyse") for token in body)
    return verb in ("show", "describe", "summarize")


# Each is one statement whose words cannot be anything else.
_FORGIVEN = re.compile(r"(discard|deallocate|reset|close) all|unlisten \*")
_SELECTS = ("select", "with", "from", "values", "table")
_DML = ("insert", "update", "delete", "merge")


def _snapshot(text: str, body: list[Token]) -> Command:
    names = [_name(token) for token in body[2:]]
    words = [token.word for token in body[2:]]
    if words[:1] == ["of"] and len(names) == 2:
        name, database = None, names[1]
    elif len(names) == 3 and words[1] == "of":
        name, database = names[0], names[2]
    else:
        # As DuckDB's parser says it.
        return Command(text, Action.DUCKDB, "create")
    return Command(text, Action.SNAPSHOT, "create", "CREATE SNAPSHOT", snapshot=name,
                   database=database)  # fmt: skip


def _refresh(text: str, body: list[Token]) -> Command:
    if len(body) > 3:
        return Command(text, Action.DUCKDB, "refresh")
    database = _name(body[2]) if len(body) == 3 else None
    return Command(text, Action.REFRESH, "refresh", "REFRESH", database=database)


def _name(token: Token) -> str:
    return token.text[1:-1].replace('""', '"') if token.kind is Kind.QUOTED else token.text


def _copy(text: str, body: list[Token]) -> Command | None:
    """COPY through the client's own connection; None for a COPY of files."""
    for i, (before, token) in enumerate(itertools.pairwise(body)):
        if before.word == "to" and token.word == "stdout":
            return _through(Action.COPY_OUT, text, body, i)
        if before.word == "from" and token.word == "stdin":
            return _through(Action.COPY_IN, text, body, i)
    return None


def _through(action: Action, text: str, body: list[Token], at: int) -> Command:
    options = _cut(text, body[at + 2].start) if at + 2 < len(body) else ""
    copied = _cut(text, body[1].start, body[at].start)
    return Command(text, action, "copy", "COPY", copied=copied, options=options)


def _cut(text: str, start: int, end: int | None = None) -> str:
    return text.encode()[start:end].decode().strip()


def _returning(text: str, body: list[Token]) -> tuple[str, str]:
    """What DML returns, and the table with its alias; nothing when it returns nothing."""
    at = next((i for i, token in enumerate(body) if token.word == "returning"), None)
    start = next((i + 1 for i, t in enumerate(body) if t.word in ("into", "update", "from")), 0)
    if at is None or at + 1 == len(body):
        return "", ""
    end = start + 1
    while end + 1 < len(body) and body[end].text == ".":
        end += 2
    if end + 1 < len(body) and body[end].word == "as":
        end += 2
    target = _cut(text, body[start].start, body[end].start if end < len(body) else None)
    return _cut(text, body[at + 1].start), target


def _parameter(token: Token) -> int:
    digits = token.text[1:]
    return int(digits) if token.kind is Kind.PARAMETER and digits.isdecimal() else 0


def _tag(verb: str, body: list[Token]) -> str:
    """What PostgreSQL would call it."""
    if verb in _TAGS:
        return _TAGS[verb]
    if verb in ("create", "drop", "alter"):
        kinds = (token.word for token in body[1:] if token.word not in _MODIFIERS)
        return f"{verb} {next(kinds, '')}".strip().upper()
    return verb.upper()


_MODIFIERS = frozenset({"or", "replace", "temp", "temporary", "unique", "persistent", "local"})
_TAGS = {
    **dict.fromkeys(_SELECTS, "SELECT"),
    **dict.fromkeys(("describe", "summarize", "pivot", "unpivot", "call", "execute"), "SELECT"),
    "insert": "INSERT 0",
    "end": "COMMIT",
    "abort": "ROLLBACK",
    "start": "START TRANSACTION",
    "truncate": "TRUNCATE TABLE",
    "use": "SET",
    "pragma": "SELECT",
}


def _selects_from_function(body: list[Token]) -> bool:
    """Whether a call stands where a table would: `FROM f(...)`, `JOIN f(...)`."""
    for before, name, after in zip(body, body[1:], body[2:], strict=False):
        is_place = before.word in ("from", "join") and name.kind in (Kind.WORD, Kind.QUOTED)
        if is_place and after.text == "(" and name.word not in ("select", "values"):
            return True
    return False


def _casts(body: list[Token]) -> Mapping[int, int]:
    """Parameters that the text casts: `$1::int`, `CAST($1 AS int)`."""
    found: dict[int, int] = {}
    for i, token in enumerate(body):
        number = _parameter(token)
        if not number:
            continue
        after = next(iter(body[i + 1 : i + 2]), _NOTHING)
        is_cast = i > 1 and body[i - 1].text == "(" and body[i - 2].word in ("cast", "try_cast")
        if after.text == "::" or (is_cast and after.word == "as"):
            oid = _oid(body[i + 2 : i + 2 + _LONGEST_TYPE])
            if oid is not None:
                found[number] = oid
    return MappingProxyType(found)


def _oid(body: list[Token]) -> int | None:
    match = _TYPE.match(" ".join(token.word or token.text for token in body))
    if match is None:
        return None
    name, suffix = match.groups()
    kind = parse(_ALIASES.get(name, name.upper()) + suffix.replace(" ", ""))
    return kind.oid if kind is not None else None


_LONGEST_TYPE = 16
_TYPE = re.compile(
    r"(double precision|character varying|time(?:stamp)? with(?:out)? time zone|\w+)"
    r"(?: \( [\d ,]+ \))?((?: \[(?: \d+)? \])*)"
)
_ALIASES = {
    "character varying": "VARCHAR",
    "double precision": "DOUBLE",
    "timestamp without time zone": "TIMESTAMP",
    "time without time zone": "TIME",
    "int": "INTEGER",
    "int2": "SMALLINT",
    "int4": "INTEGER",
    "int8": "BIGINT",
    "long": "BIGINT",
    "short": "SMALLINT",
    "signed": "INTEGER",
    "text": "VARCHAR",
    "string": "VARCHAR",
    "char": "VARCHAR",
    "bpchar": "VARCHAR",
    "numeric": "DECIMAL",
    "real": "FLOAT",
    "float4": "FLOAT",
    "float8": "DOUBLE",
    "bool": "BOOLEAN",
    "logical": "BOOLEAN",
    "bytea": "BLOB",
    "binary": "BLOB",
    "varbinary": "BLOB",
    "datetime": "TIMESTAMP",
    "timestamptz": "TIMESTAMP WITH TIME ZONE",
    "timetz": "TIME WITH TIME ZONE",
}
