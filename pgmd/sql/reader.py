"""Walk a statement that begins like a read and collect what speaks against running it elsewhere."""

from __future__ import annotations

import re
from typing import NamedTuple

from .facts import (
    ASKS,
    DOUBT,
    LOCAL_FILES,
    READ,
    REMOTE_FILES,
    SESSION,
    TEMPORARY,
    TRANSACTION,
    VOLATILE_READ,
    WRITE,
    Fact,
)
from .functions import (
    DOUBTFUL_CALLS,
    FILE_CALLS,
    FUNCTIONS,
    NAMING_CALLS,
    SESSION_CALL_PREFIXES,
    TRANSACTION_CALL,
    VOLATILE_FUNCTIONS,
)
from .grammar import (
    CLAUSE_END,
    CLOCK_NAMES,
    DOUBTFUL_WORDS,
    FILE_SUFFIXES,
    FROM_ARGUMENT,
    LOCKING,
    NOT_CALLS,
    PATH_CHARACTERS,
    PIVOTS,
    REMOTE_SCHEMES,
    RESERVED,
    SAMPLE_WORDS,
    SESSION_NAMES,
    SHOWN_OF_SESSION,
    SYSTEM_PREFIXES,
    TABLE_POSITION,
    TEMPORARY_WORDS,
)
from .lexer import Kind, Token

_WORD, _QUOTED, _STRING, _OPERATOR = Kind.WORD, Kind.QUOTED, Kind.STRING, Kind.OPERATOR
_NAMES = frozenset([_WORD, _QUOTED])
NOTHING = Token(_OPERATOR, "", "", -1)
_NO_NAMES: frozenset[str] = frozenset()

_TABLE_IN_TEXT = re.compile(r"'([A-Za-z_]\w*)'", re.ASCII)
_CTE_BODIES = (["("], ["materialized", "("], ["not", "materialized", "("])
_KEYWORDS = CLAUSE_END | RESERVED | {"join"} | DOUBTFUL_WORDS.keys()
_NOTED_NAMES = SESSION_NAMES | CLOCK_NAMES | {"temp"}

# Where in a SELECT we are, one for each open parenthesis.
ELSEWHERE, TABLES, _CONDITION = "", "tables", "join condition"


class Findings(NamedTuple):
    """What was found in one statement."""

    facts: Fact
    why: str = ""  # the first thing that makes it no confirmed read
    functions: frozenset[str] = _NO_NAMES  # that it calls
    unknown: frozenset[str] = _NO_NAMES  # of these those that no table of ours knows
    tables: frozenset[str] = _NO_NAMES  # that it reads, without their schema
    named: frozenset[str] = _NO_NAMES  # what must be a table or a view


class Reader:
    """One walk over the tokens of one statement."""

    __slots__ = (
        "_facts",
        "_functions",
        "_named",
        "_open",
        "_part",
        "_state",
        "_tables",
        "_unknown",
        "_why",
    )

    def __init__(self, part: tuple[Token, ...], state: str = ELSEWHERE) -> None:
        self._part = part
        self._facts = READ
        self._why = ""
        self._state = state
        # The state around each open parenthesis, and whether FROM may be an argument inside.
        self._open: list[tuple[str, bool]] = []
        self._functions: set[str] = set()
        self._unknown: set[str] = set()
        self._tables: set[str] = set()
        self._named: set[str] = set()

    def judge(self) -> Findings:
        self._walk()
        if self._facts & Fact.DDL and any(token.word in TEMPORARY_WORDS for token in self._part):
            self._facts |= TEMPORARY
        return Findings(
            self._facts,
            self._why,
            frozenset(self._functions),
            frozenset(self._unknown),
            frozenset(self._tables - self._functions),
            frozenset(self._named),
        )

    def _walk(self) -> None:
        previous = NOTHING
        for i, token in enumerate(self._part):
            kind, text, word, _ = token
            if kind is _WORD:
                if word in _KEYWORDS:
                    self._keyword(i, word, previous)
                elif self._state is TABLES or word in _NOTED_NAMES or "_" in word:
                    self._name(i, token, previous)
            elif kind is _OPERATOR:
                if text == "(":
                    self._open_parenthesis(i, previous)
                elif text == ")":
                    self._state = self._open.pop()[0] if self._open else self._state
                elif text == ",":
                    self._state = TABLES if self._state is _CONDITION else self._state
                elif "?" in text:
                    self._object(DOUBT, "an unnumbered placeholder")
            elif kind is _QUOTED:
                self._name(i, token, previous)
            elif kind is _STRING and self._state is TABLES:
                self._file(text)
            previous = token

    def _object(self, facts: Fact, why: str) -> None:
        self._facts |= facts
        if facts is not VOLATILE_READ:
            self._why = self._why or why

    def _file(self, text: str) -> None:
        remote = text.lstrip("eE'\"").lower().startswith(REMOTE_SCHEMES)
        self._object(REMOTE_FILES if remote else LOCAL_FILES, "reads a file")

    # ------------------------------------------------------------------------------- words

    def _keyword(self, i: int, word: str, previous: Token) -> None:
        if word in CLAUSE_END:
            self._state = ELSEWHERE
        elif word == "from":
            if not self._is_from_argument(i, previous):
                self._state = TABLES
        elif word in ("join", "table", "summarize") or word in PIVOTS:
            self._state = TABLES
        elif word == "describe":
            self._state = TABLES
            if self._next(i).word in SHOWN_OF_SESSION:
                self._object(ASKS, "DESCRIBE")
        elif word == "on" and self._state is TABLES:
            self._state = _CONDITION
        elif word == "for" and self._next(i).word in LOCKING:
            self._object(WRITE, "locks rows")
        if word in DOUBTFUL_WORDS and not (word == "into" and self._names_unpivoted(i)):
            self._object(DOUBTFUL_WORDS[word], word.upper())

    def _names_unpivoted(self, i: int) -> bool:
        """Whether INTO at *i* is that of `UNPIVOT ... INTO NAME x VALUE y`."""
        return self._next(i).word == "name" and any(t.word in PIVOTS for t in self._part[:i])

    def _is_from_argument(self, i: int, previous: Token) -> bool:
        if previous.word == "distinct" and i > 1 and self._part[i - 2].word in ("is", "not"):
            return True
        return bool(self._open) and self._open[-1][1]

    # ------------------------------------------------------------------------------- names

    def _name(self, i: int, token: Token, previous: Token) -> None:
        word = token.word
        if word.startswith(SYSTEM_PREFIXES) and not self._is_own_column(i, word):
            self._system_name(i, word)
        elif word in _NOTED_NAMES:
            self._noted_name(i, word)
        if self._state is TABLES:
            self._table(i, token, previous)

    def _is_own_column(self, i: int, word: str) -> bool:
        """Whether a name such as `__count` can only be a column: Django gives such names."""
        return word.startswith("__") and self._state is not TABLES and self._next(i).text != "("

    def _system_name(self, i: int, word: str) -> None:
        if word.startswith("pg_temp"):
            self._object(TEMPORARY, "a temporary table")
        elif word.startswith(SESSION_CALL_PREFIXES):
            self._object(
                TRANSACTION if TRANSACTION_CALL in word else SESSION, f"calls {word[:40]}()"
            )
        elif word not in VOLATILE_FUNCTIONS or self._next(i).text != "(":
            self._object(ASKS, f"the system name {word[:40]}")

    def _noted_name(self, i: int, word: str) -> None:
        if word in CLOCK_NAMES:
            self._object(VOLATILE_READ, "")
        elif word in SESSION_NAMES:
            self._object(ASKS, f"asks for {word}")
        elif self._state is TABLES and self._next(i).text == ".":
            self._object(TEMPORARY, "a temporary table")

    def _table(self, i: int, token: Token, previous: Token) -> None:
        if _may_be_file(token, previous):
            self._file(token.text)
        if previous.text == ".":
            # What stood before it was a schema.
            self._tables.discard(self._part[i - 2].word)
            self._tables.add(token.word)
        elif previous.text in ("", "(", ",") or previous.word in TABLE_POSITION:
            self._tables.add(token.word)

    # ------------------------------------------------------------------------- parentheses

    def _open_parenthesis(self, i: int, previous: Token) -> None:
        inside = self._state if self._names_table(previous) else ELSEWHERE
        self._open.append((self._state, previous.word in FROM_ARGUMENT))
        if previous.kind in _NAMES:
            self._call(i, previous)
        self._state = inside

    def _names_table(self, previous: Token) -> bool:
        if self._state is not TABLES:
            return False
        return previous.text in ("", "(", ",") or (
            previous.kind is _WORD and previous.word in TABLE_POSITION
        )

    # ------------------------------------------------------------------------------- calls

    def _call(self, i: int, name: Token) -> None:
        word = name.word
        if name.kind is _WORD and word in NOT_CALLS:
            return
        before = self._part[i - 2] if i > 1 else NOTHING
        if word in FUNCTIONS:
            self._functions.add(word)
            return
        if before.text == "::" or self._is_column_list(i, before) or _is_sample(name, before):
            return
        self._functions.add(word)
        if word in VOLATILE_FUNCTIONS:
            self._object(VOLATILE_READ, "")
        elif word in FILE_CALLS:
            self._file(self._next(i).text)
        elif word in NAMING_CALLS:
            self._named_in_text(i)
        elif word in DOUBTFUL_CALLS:
            self._object(DOUBTFUL_CALLS[word], f"calls {word[:40]}()")
        elif not word.startswith(SYSTEM_PREFIXES):  # these are objected to already
            self._unknown.add(word)

    def _named_in_text(self, i: int) -> None:
        argument, end = self._next(i), self._next(i + 1)
        name = _TABLE_IN_TEXT.fullmatch(argument.text)
        if name and end.text == ")":
            self._named.add(name[1].lower())
        else:
            self._object(DOUBT, "names a table in a text or a parameter")

    def _is_column_list(self, i: int, before: Token) -> bool:
        """Whether the parenthesis at *i* belongs to `AS t(a, b)`, `WITH t(a) AS` or a type."""
        if before.kind is _WORD and before.word == "as":
            return True
        if before.kind is _WORD and before.word in ("with", "recursive"):
            return self._is_cte(i)
        if self._state is TABLES:
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
        return self._part[i + 1] if i + 1 < len(self._part) else NOTHING


def _is_sample(name: Token, before: Token) -> bool:
    """Whether a parenthesis after *name* is of a sample: `SAMPLE system(10%)`, `10 ROWS (x)`."""
    if before.word in SAMPLE_WORDS:
        return True
    return before.kind is Kind.NUMBER and name.word in ("percent", "rows")


def _may_be_file(token: Token, previous: Token) -> bool:
    if previous.text == "." and token.word in FILE_SUFFIXES:
        return True
    if token.kind is not _QUOTED:
        return False
    name = token.word
    return not PATH_CHARACTERS.isdisjoint(name) or name.rpartition(".")[2] in (
        FILE_SUFFIXES if "." in name else ()
    )
