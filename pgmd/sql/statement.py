"""Tell what an SQL text does, from its words alone.

`analyse` decides whether a text is a *confirmed read*: one statement of a known shape which calls
nothing but known functions and asks nothing about files, the server or the session. Everything
else keeps its facts and a reason. Views, macros and temporary objects hide behind plain names;
they are the business of whoever knows the catalogue, and `Statement.names` is for them.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field

from ..process.cache import Cache
from . import heads
from .facts import PINNING, READ, VOLATILE_READ, Fact
from .grammar import ORDERING_OPERATORS, ORDERING_WORDS, PIVOTS, RESERVED, SESSION_NAMES
from .lexer import Kind, Token, Unreadable, tokens
from .plain import plain
from .portable import disagreement
from .portable.agreed import PORTABLE_FUNCTIONS
from .reader import Findings

_CACHED_TEXTS = 4096
_CACHED_BYTES = 16_000_000

_WORD, _QUOTED = Kind.WORD, Kind.QUOTED
_NAMES = frozenset([_WORD, _QUOTED])
_BEFORE_VALUE = frozenset(["to", "as", "is"])
_NO_NAMES: frozenset[str] = frozenset()
_HINT = re.compile(r"\s*/\*\+\s*pgmd\s*:(.*?)\*/", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Statement:
    """One analysed SQL text."""

    text: str
    facts: Fact
    why: str  # what makes it not a confirmed read; "" for one
    verb: str = ""  # its first word, upper case
    names: frozenset[str] = _NO_NAMES  # every name mentioned, and some keywords; lower case
    words: frozenset[str] = _NO_NAMES  # every unquoted word, lower case
    orders: bool = True  # something depends on the order of text
    functions: frozenset[str] = _NO_NAMES  # that a read calls
    unknown: frozenset[str] = _NO_NAMES  # of these those that may be macros
    named: frozenset[str] = _NO_NAMES  # what it takes for a table, and may be something else
    setting: str = ""  # the key of what it sets, if a replica can be told the same
    hint: str = ""  # what a leading `/*+ pgmd: ... */` says

    # Looked at for each execution: worked out once.
    can_be_read: bool = field(init=False)  # nothing in it speaks against a read
    is_read: bool = field(init=False)  # a confirmed read: nothing in it is left open either
    pins: bool = field(init=False)  # changes or depends on the state of one connection, or may
    changes_schema: bool = field(init=False)  # what is known of tables may be wrong after it
    may_write: bool = field(init=False)  # others may see what it did

    def __post_init__(self) -> None:
        facts = self.facts
        plain = facts is READ or facts is VOLATILE_READ
        unknown = not plain and Fact.UNKNOWN in facts and Fact.READS not in facts
        put = object.__setattr__
        put(self, "can_be_read", plain)
        put(self, "is_read", plain and not self.unknown and not self.named)
        put(self, "pins", not plain and (unknown or bool(facts & PINNING)))
        # A transaction that is committed as text may have changed it before.
        changes = unknown or bool(facts & (Fact.DDL | Fact.TRANSACTION))
        put(self, "changes_schema", not plain and changes)
        put(self, "may_write", not (self.is_read or self.setting or self._only_asks))

    @property
    def _only_asks(self) -> bool:
        """Whether it asks a server about itself; what SHOW names is a setting or a table."""
        known = self.unknown <= SESSION_NAMES and (not self.named or self.verb == "SHOW")
        return known and not self.facts & ~_ASKING

    @property
    def unportable(self) -> str:
        """About what PostgreSQL and DuckDB may disagree in it, or ""."""
        if self.facts is not READ:
            return self.why or "another answer each time"
        if not self.is_query:
            return self.verb
        (part,) = _split(tokens(self.text))
        if found := disagreement(part):
            return found
        odd = self.functions - PORTABLE_FUNCTIONS
        return f"{min(odd)}()" if odd else ""

    @property
    def is_query(self) -> bool:
        """Whether it is a query, of which the columns can be described."""
        return self.verb in _QUERY_VERBS

    @property
    def parameters(self) -> tuple[str, ...]:
        """Its parameters as written, `$1` or `$name`, each once and in order."""
        try:
            found = tokens(self.text)
        except Unreadable:
            return ()
        return tuple(dict.fromkeys(t.text for t in found if t.kind is Kind.PARAMETER))

    @property
    def tables(self) -> frozenset[str]:
        """The tables that a read names, without their schemas."""
        try:
            return _judge(_split(tokens(self.text))).tables
        except Unreadable:
            return _NO_NAMES

    @property
    def outline(self) -> str:
        """How it begins, without any value: `SET threads`, `CREATE TEMP TABLE t`."""
        try:
            found = tokens(self.text)
        except Unreadable:
            return ""
        head = itertools.takewhile(
            lambda t: t.kind in _NAMES and t.word not in _BEFORE_VALUE, found
        )
        return " ".join(token.text for token in itertools.islice(head, 5))[:80]

    @property
    def makes_types(self) -> bool:
        """Whether DuckDB creates a temporary type to run it, as for a PIVOT without IN."""
        return bool(self.words & PIVOTS)

    @property
    def outlives_transaction(self) -> bool:
        """Whether what it does to its connection is still there after the transaction."""
        if self.verb == "SET" and "local" in self.words:
            return False
        return self.pins and bool(self.facts & (PINNING & ~Fact.TRANSACTION | Fact.UNKNOWN))

    @property
    def begins_snapshot(self) -> bool:
        """Whether it begins a transaction that only reads."""
        return self.facts is Fact.TRANSACTION and self.words in _BEGIN_READ_ONLY

    @property
    def ends_transaction(self) -> bool:
        """Whether it ends the transaction that is open, and begins none."""
        return self.facts is Fact.TRANSACTION and self.words - _NOISE in _END


_ASKING = Fact.READS | Fact.VOLATILE | Fact.ASKS_SESSION
_QUERY_VERBS = frozenset(["SELECT", "WITH", "VALUES", "TABLE", "FROM"])
_NOISE = frozenset(["transaction", "work"])
_BEGIN_READ_ONLY = [
    frozenset(words.split())
    for words in (
        "begin read only",
        "begin transaction read only",
        "begin work read only",
        "start transaction read only",
    )
]
_END = [frozenset([word]) for word in ("commit", "end", "rollback", "abort")]


def parenthesised(sql: str) -> str:
    """One statement as a subquery. On lines of its own: a comment may stand at its end."""
    return f"(\n{sql.rstrip().rstrip(';')}\n)"


def analyse(sql: str) -> Statement:
    """Look at *sql*, which is as the server would get it: placeholders are already converted."""
    known = _known.get(sql)
    if known is None:
        known = _known[sql] = _analyse(sql)
    return known


_known: Cache[str, Statement] = Cache(_CACHED_TEXTS)


def _analyse(sql: str) -> Statement:
    found = plain(sql)
    if found is None:
        return _walked(sql)
    return Statement(
        text=sql,
        facts=READ,
        why="",
        verb=found.verb.upper(),
        names=found.words - RESERVED,
        words=found.words,
        orders=found.orders,
        functions=found.functions,
    )


def _walked(sql: str) -> Statement:
    try:
        found = tokens(sql)
    except Unreadable as error:
        return Statement(sql, Fact.UNKNOWN, str(error))
    texts = {text for _, text, _, _ in found}
    parts = _split(found) if ";" in texts else [found] if found else []
    findings = _judge(parts)
    words = frozenset([word for kind, _, word, _ in found if kind is _WORD])
    quoted = {word for kind, _, word, _ in found if kind is _QUOTED} if '"' in sql else _NO_NAMES
    pins = findings.facts is not READ and bool(findings.facts & PINNING)
    return Statement(
        text=sql,
        facts=findings.facts,
        why=_why(findings),
        verb=heads.verb(parts[0]).upper() if parts else "",
        names=words - RESERVED | quoted if quoted else words - RESERVED,
        words=words,
        orders=not (
            words.isdisjoint(ORDERING_WORDS)
            and quoted.isdisjoint(ORDERING_WORDS)
            and texts.isdisjoint(ORDERING_OPERATORS)
        ),
        functions=findings.functions,
        unknown=findings.unknown,
        named=findings.named,
        setting=heads.setting(parts[0]) if pins and len(parts) == 1 else "",
        hint=_hint(sql),
    )


def _hint(sql: str) -> str:
    if "/*+" not in sql:
        return ""
    match = _HINT.match(sql.removeprefix("\ufeff"))
    return match[1].strip() if match else ""


def _why(found: Findings) -> str:
    if found.why or not (found.unknown or found.named):
        return found.why
    return unresolved(found.unknown, found.named)


def unresolved(unknown: frozenset[str], named: frozenset[str]) -> str:
    """What nobody knows of a statement, in words."""
    return f"calls {min(unknown)[:40]}()" if unknown else f"{min(named)[:40]} may be no table"


def _split(found: tuple[Token, ...]) -> list[tuple[Token, ...]]:
    ends = [i for i, token in enumerate(found) if token.text == ";"]
    begins = [0, *(end + 1 for end in ends)]
    parts = (found[a:b] for a, b in zip(begins, [*ends, len(found)], strict=True))
    return [part for part in parts if part]


def _judge(parts: list[tuple[Token, ...]]) -> Findings:
    if not parts:
        return Findings(Fact.EMPTY, "no statement")
    if len(parts) == 1:
        return heads.judge(parts[0])
    facts = Fact.SEVERAL
    for part in parts:
        facts |= heads.judge(part).facts
    return Findings(facts, "several statements")
