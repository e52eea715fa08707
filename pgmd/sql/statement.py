"""Tell what an SQL text does, from its words alone.

`analyse` decides whether a text is a *confirmed read*: one statement of a known shape which calls
nothing but known functions and asks nothing about files, the server or the session. Everything
else keeps its facts and a reason. Views, macros and temporary objects hide behind plain names;
they are the business of whoever knows the catalogue, and `Statement.names` is for them.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass, field

from .grammar import (
    CLAUSE_END,
    DOUBT,
    DOUBTFUL_CALLS,
    DOUBTFUL_WORDS,
    FILE_SUFFIXES,
    FROM_ARGUMENT,
    FROM_POSITION,
    FUNCTIONS,
    HEADS,
    LOCKING,
    NOT_CALLS,
    ORDERING_OPERATORS,
    ORDERING_WORDS,
    PATH_CHARACTERS,
    READ,
    READ_HEADS,
    RESERVED,
    SESSION,
    SESSION_CALL_PREFIXES,
    SESSION_NAMES,
    SYSTEM_PREFIXES,
    TEMPORARY,
    WRITE,
    Fact,
)
from .lexer import Kind, Token, Unreadable, tokens
from .portable import disagreement

__all__ = ["Fact", "Statement", "analyse", "parenthesised"]

_CACHED_CHARS = 16_384
_CACHED_TEXTS = 4096

_WORD, _QUOTED, _STRING, _OPERATOR = Kind.WORD, Kind.QUOTED, Kind.STRING, Kind.OPERATOR
_NAMES = frozenset([Kind.WORD, Kind.QUOTED])
_NOTHING = Token(Kind.OPERATOR, "", "", -1)

_CTE_BODIES = (["("], ["materialized", "("], ["not", "materialized", "("])

# Where in a SELECT we are, one for each open parenthesis.
_ELSEWHERE, _TABLES, _CONDITION = "", "tables", "join condition"


@dataclass(frozen=True, slots=True)
class Statement:
    """One analysed SQL text."""

    text: str
    facts: Fact
    why: str  # what makes it not a confirmed read; "" for one
    names: frozenset[str]  # every name mentioned, and some keywords; lower case
    words: frozenset[str]  # every unquoted word, lower case
    unportable: str  # about what PostgreSQL and DuckDB disagree; only looked for in reads
    orders: bool  # something depends on the order of text

    # Looked at for each execution: worked out once.
    is_read: bool = field(init=False)  # a confirmed read
    pins: bool = field(init=False)  # changes or depends on the state of one connection, or may
    changes_schema: bool = field(init=False)  # what is known of tables may be wrong after it

    def __post_init__(self) -> None:
        facts = self.facts
        unknown = Fact.UNKNOWN in facts and Fact.READS not in facts
        object.__setattr__(self, "is_read", facts is Fact.READS)
        object.__setattr__(self, "pins", unknown or bool(facts & (SESSION | Fact.TRANSACTION)))
        # A transaction that is committed as text may have changed it before.
        changes = unknown or bool(facts & (Fact.DDL | Fact.TRANSACTION))
        object.__setattr__(self, "changes_schema", changes)


def parenthesised(sql: str) -> str:
    """One statement as a subquery. On lines of its own: a comment may stand at its end."""
    return f"(\n{sql.rstrip().rstrip(';')}\n)"


def analyse(sql: str) -> Statement:
    """Look at *sql*, which is as the server would get it: placeholders are already converted."""
    return _analyse_cached(sql) if len(sql) <= _CACHED_CHARS else _analyse(sql)


def _analyse(sql: str) -> Statement:
    try:
        found = tokens(sql)
    except Unreadable as error:
        nothing: frozenset[str] = frozenset()
        reason = str(error)
        return Statement(sql, Fact.UNKNOWN, reason, nothing, nothing, reason, orders=True)
    texts = [token.text for token in found]
    parts = _split(found)
    facts, why = _judge(parts)
    words = frozenset(token.word for token in found if token.kind is _WORD)
    quoted = {token.word for token in found if token.kind is _QUOTED}
    return Statement(
        text=sql,
        facts=facts,
        why=why,
        names=(words - RESERVED) | quoted,
        words=words,
        unportable=disagreement(parts[0]) if facts is Fact.READS else why,
        orders=bool(words & ORDERING_WORDS or quoted & ORDERING_WORDS)
        or not ORDERING_OPERATORS.isdisjoint(texts),
    )


_analyse_cached = functools.lru_cache(maxsize=_CACHED_TEXTS)(_analyse)


def _split(found: tuple[Token, ...]) -> list[tuple[Token, ...]]:
    ends = [i for i, token in enumerate(found) if token.text == ";"]
    if not ends:
        return [found] if found else []
    begins = [0, *(end + 1 for end in ends)]
    parts = (found[a:b] for a, b in zip(begins, [*ends, len(found)], strict=True))
    return [part for part in parts if part]


def _judge(parts: list[tuple[Token, ...]]) -> tuple[Fact, str]:
    if not parts:
        return Fact.EMPTY, "no statement"
    if len(parts) == 1:
        return _judge_one(parts[0])
    facts = Fact.SEVERAL
    for part in parts:
        facts |= _judge_one(part)[0]
    return facts, "several statements"


def _judge_one(part: tuple[Token, ...]) -> tuple[Fact, str]:
    head = next((token for token in part if token.text != "("), _NOTHING)
    if head.kind is _WORD and head.word in READ_HEADS:
        return _Reader(part).judge()
    verb = head.word if head.kind is _WORD else ""
    facts = HEADS.get(verb, Fact.UNKNOWN)
    words = {token.word for token in part if token.kind is _WORD}
    if verb == "prepare" and len(part) > 1 and part[1].word == "transaction":
        facts = Fact.TRANSACTION
    if facts & Fact.UNKNOWN:
        for word in words & DOUBTFUL_WORDS.keys():
            facts |= DOUBTFUL_WORDS[word] & ~Fact.READS
    if _is_private(verb, words, part):
        facts |= SESSION
    return facts, head.text[:40].upper() or "no statement"


def _is_private(verb: str, words: set[str], part: tuple[Token, ...]) -> bool:
    """Whether a temporary object or a secret is meant: it lives in one connection."""
    if verb in ("create", "drop", "alter") and words & (TEMPORARY | {"secret"}):
        return True
    return "pg_temp" in words or _qualifies("temp", part)


def _qualifies(name: str, part: tuple[Token, ...]) -> bool:
    return any(
        token.word == name and following.text == "."
        for token, following in itertools.pairwise(part)
    )


class _Reader:
    """Walks one statement that begins like a read and collects what speaks against it."""

    __slots__ = ("_facts", "_open", "_part", "_state", "_why")

    def __init__(self, part: tuple[Token, ...]) -> None:
        self._part = part
        self._facts = READ
        self._why = ""
        self._state = _ELSEWHERE
        # The state around each open parenthesis, and whether FROM may be an argument inside.
        self._open: list[tuple[str, bool]] = []

    def judge(self) -> tuple[Fact, str]:
        previous = _NOTHING
        for i, token in enumerate(self._part):
            kind = token.kind
            if kind is _WORD:
                self._word(i, token, previous)
            elif kind is _OPERATOR:
                self._operator(i, token.text, previous)
            elif kind is _QUOTED:
                self._name(i, token, previous)
            elif kind is _STRING and self._state == _TABLES:
                self._object(DOUBT, "reads a file")
            previous = token
        if self._facts & Fact.DDL and any(token.word in TEMPORARY for token in self._part):
            self._facts |= SESSION
        return self._facts, self._why

    def _object(self, facts: Fact, why: str) -> None:
        self._facts |= facts
        self._why = self._why or why

    def _word(self, i: int, token: Token, previous: Token) -> None:
        word = token.word
        if word in CLAUSE_END:
            self._state = _ELSEWHERE
        elif word in RESERVED or word == "join":
            self._keyword(i, word, previous)
        else:
            self._name(i, token, previous)
        if word in DOUBTFUL_WORDS:
            self._object(DOUBTFUL_WORDS[word], word.upper())

    def _keyword(self, i: int, word: str, previous: Token) -> None:
        if word == "from":
            if not self._is_from_argument(i, previous):
                self._state = _TABLES
        elif word in ("join", "table"):
            self._state = _TABLES
        elif word == "on" and self._state == _TABLES:
            self._state = _CONDITION
        elif word == "for" and self._next(i).word in LOCKING:
            self._object(WRITE, "locks rows")

    def _is_from_argument(self, i: int, previous: Token) -> bool:
        if previous.word == "distinct" and i > 1 and self._part[i - 2].word in ("is", "not"):
            return True
        return bool(self._open) and self._open[-1][1]

    def _name(self, i: int, token: Token, previous: Token) -> None:
        word = token.word
        if word.startswith(SYSTEM_PREFIXES):
            facts = SESSION if word.startswith("pg_temp") else DOUBT
            if word.startswith(SESSION_CALL_PREFIXES):
                facts = SESSION
            self._object(facts, f"the system name {word[:40]}")
        elif word in SESSION_NAMES:
            self._object(DOUBT, f"asks for {word}")
        elif word == "temp" and self._state == _TABLES and self._next(i).text == ".":
            self._object(SESSION, "a temporary table")
        elif self._state == _TABLES and _may_be_file(token, previous):
            self._object(DOUBT, "reads a file")

    def _operator(self, i: int, text: str, previous: Token) -> None:
        if text == "(":
            inside = self._state if self._names_table(previous) else _ELSEWHERE
            self._open.append((self._state, previous.word in FROM_ARGUMENT))
            if previous.kind in _NAMES:
                self._call(i, previous)
            self._state = inside
        elif text == ")":
            if self._open:
                self._state = self._open.pop()[0]
        elif text == ",":
            if self._state == _CONDITION:
                self._state = _TABLES
        elif "?" in text:
            self._object(DOUBT, "an unnumbered placeholder")

    def _names_table(self, previous: Token) -> bool:
        if self._state != _TABLES:
            return False
        return previous.text in ("(", ",") or (
            previous.kind is _WORD and previous.word in FROM_POSITION
        )

    def _call(self, i: int, name: Token) -> None:
        word = name.word
        if name.kind is _WORD and word in NOT_CALLS:
            return
        before = self._part[i - 2] if i > 1 else _NOTHING
        if before.text != "." and (
            word in FUNCTIONS or before.text == "::" or self._is_column_list(i, before)
        ):
            return
        if word.startswith(SYSTEM_PREFIXES):
            return  # already objected to
        self._object(DOUBTFUL_CALLS.get(word, DOUBT), f"calls {word[:40]}()")

    def _is_column_list(self, i: int, before: Token) -> bool:
        """Whether the parenthesis at *i* belongs to `AS t(a, b)`, `WITH t(a) AS` or a type."""
        if before.kind is _WORD and before.word == "as":
            return True
        if before.kind is _WORD and before.word in ("with", "recursive"):
            return self._is_cte(i)
        if self._state == _TABLES:
            # Two names side by side in FROM: the second is an alias.
            return (
                before.text == ")"
                or before.kind is _QUOTED
                or (
                    before.kind is _WORD
                    and before.word not in RESERVED
                    and before.word not in NOT_CALLS
                )
            )
        return before.text == "," and self._is_cte(i)

    def _is_cte(self, i: int) -> bool:
        """Whether `(a, b) AS [NOT] [MATERIALIZED] (` follows."""
        while self._next(i).kind in _NAMES or self._next(i).text == ",":
            i += 1
        words = [self._next(i + n) for n in range(5)]
        if words[0].text != ")" or words[1].word != "as":
            return False
        rest = [token.text.lower() for token in words[2:]]
        return any(rest[: len(form)] == form for form in _CTE_BODIES)

    def _next(self, i: int) -> Token:
        return self._part[i + 1] if i + 1 < len(self._part) else _NOTHING


def _may_be_file(token: Token, previous: Token) -> bool:
    if previous.text == "." and token.word in FILE_SUFFIXES:
        return True
    if token.kind is not _QUOTED:
        return False
    name = token.word
    return not PATH_CHARACTERS.isdisjoint(name) or name.rpartition(".")[2] in (
        FILE_SUFFIXES if "." in name else ()
    )
