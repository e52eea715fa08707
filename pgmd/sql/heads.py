"""Judge one statement by its first word; what begins like a read is walked through."""

from __future__ import annotations

import itertools
import re

from .facts import ASKS, DOUBT, READ, SESSION, TEMPORARY, Fact
from .grammar import (
    CONSTANT_WORDS,
    DESCRIBE_HEADS,
    DOUBTFUL_WORDS,
    EXPLAIN,
    EXPLAIN_OPTIONS,
    HEADS,
    PATH_SETTINGS,
    PIVOTS,
    PRAGMA,
    PURE_PRAGMAS,
    READ_HEADS,
    SHOW,
    SHOWN_OF_SESSION,
    SYSTEM_SCHEMAS,
    TEMPORARY_WORDS,
)
from .lexer import Kind, Token
from .reader import ELSEWHERE, NOTHING, TABLES, Findings, Reader

Part = tuple[Token, ...]
_PATH = re.compile(r"\w+")

_WORD, _QUOTED, _STRING, _OPERATOR = Kind.WORD, Kind.QUOTED, Kind.STRING, Kind.OPERATOR
_NAMES = frozenset([_WORD, _QUOTED])
_NAMED = frozenset([_WORD, _QUOTED, _STRING])
_CONSTANTS = frozenset([Kind.NUMBER, _STRING, _OPERATOR])


def verb(part: Part) -> str:
    """The first word, lower case; what else the statement begins with as it is written."""
    head = part[0]
    if head.text == "(":
        head = next((token for token in part if token.text != "("), NOTHING)
    return head.word if head.kind is _WORD else head.text[:40]


def judge(part: Part) -> Findings:
    """What one statement does."""
    head = verb(part)
    if head in READ_HEADS:
        state = TABLES if head in PIVOTS else ELSEWHERE
        return Reader(part, state).judge()
    if part[0].word == EXPLAIN:
        return _explain(part)
    if part[0].word in DESCRIBE_HEADS:
        return _describe(part)
    if part[0].word == SHOW:
        return _show(part)
    if part[0].word == PRAGMA and part[1:2] and part[1].word in PURE_PRAGMAS:
        return _pragma(part)
    return _judge_head(head, part)


def _judge_head(head: str, part: Part) -> Findings:
    facts = HEADS.get(head, Fact.UNKNOWN)
    words = {token.word for token in part if token.kind is _WORD}
    if head == "prepare" and len(part) > 1 and part[1].word == "transaction":
        facts = Fact.TRANSACTION
    if facts & Fact.UNKNOWN:
        for word in words & DOUBTFUL_WORDS.keys():
            facts |= DOUBTFUL_WORDS[word] & ~Fact.READS
    return Findings(facts | _private(head, words, part), head.upper() or "no statement")


def _private(head: str, words: set[str], part: Part) -> Fact:
    """Whether a temporary object or a secret is meant: it lives in one connection."""
    if head in ("create", "drop", "alter"):
        if words & TEMPORARY_WORDS:
            return TEMPORARY
        if "secret" in words:
            return SESSION
    if "pg_temp" in words or _qualifies("temp", part):
        return TEMPORARY
    return Fact(0)


def _qualifies(name: str, part: Part) -> bool:
    return any(
        token.word == name and following.text == "."
        for token, following in itertools.pairwise(part)
    )


# ------------------------------------------------------------------- before another statement


def _explain(part: Part) -> Findings:
    """EXPLAIN is what it explains: ANALYZE runs it, and a replica refuses even a write's plan."""
    inner = part[_options_end(part) :]
    if not inner or inner[0].word == EXPLAIN:
        return Findings(DOUBT, "EXPLAIN")
    found = judge(inner)
    return found._replace(why=found.why and f"EXPLAIN: {found.why}")


def _options_end(part: Part) -> int:
    words = [token.word for token in part[1:3]]
    if words[:1] in (["analyze"], ["analyse"]):
        return 2
    if len(part) > 2 and part[1].text == "(" and words[1] in EXPLAIN_OPTIONS:
        return next((i + 1 for i, token in enumerate(part) if token.text == ")"), len(part))
    return 1


def _describe(part: Part) -> Findings:
    """DESCRIBE and SUMMARIZE of a query or of a table."""
    inner = part[1:]
    if not inner or inner[0].word in SHOWN_OF_SESSION:
        return Findings(ASKS, part[0].word.upper())
    return Reader(inner, TABLES).judge()


def _show(part: Part) -> Findings:
    """SHOW TABLES, or of one table; since DuckDB 2.0 SHOW also tells settings."""
    inner = part[1:]
    if inner and inner[0].word == "tables":
        if len(inner) == 1 or (inner[1].word == "from" and _is_name(inner[2:])):
            return Findings(READ)
    elif inner and inner[0].word not in SHOWN_OF_SESSION and _is_name(inner):
        return Findings(READ, named=frozenset([inner[-1].word]))
    return Findings(ASKS, "SHOW")


def _is_name(part: Part) -> bool:
    """Whether this is `a`, `a.b` or `a.b.c`."""
    return (
        len(part) in (1, 3, 5)
        and all(token.kind in _NAMES for token in part[::2])
        and all(token.text == "." for token in part[1::2])
    )


def _pragma(part: Part) -> Findings:
    arguments = part[2:]
    fits = len(arguments) == 3 and arguments[1].kind in _NAMED and arguments[2].text == ")"
    if fits if part[1].word == "table_info" else not arguments:
        return Findings(READ)
    return Findings(SESSION, "PRAGMA")


# ----------------------------------------------------------------------- what a session sets


def setting(part: Part) -> str:
    """The key of what a statement sets, if the same text does the same on another connection.

    "path" for what unqualified names mean, "variable x", with "-" before it for a RESET; "" for
    everything else.
    """
    words = [token.word for token in part[:3]]
    if words[0] == "use":
        return "path" if _is_name(part[1:]) and not _names_system(part[1:]) else ""
    if words[0] not in ("set", "reset"):
        return ""
    start = 2 if words[1:2] == ["session"] else 1
    if part[start : start + 1] and part[start].word == "variable":
        return _variable(part, start)
    if part[start : start + 1] and part[start].word in PATH_SETTINGS:
        return _path(part, start)
    return ""


def _variable(part: Part, start: int) -> str:
    if len(part) < start + 2 or part[start + 1].kind not in _NAMES:
        return ""
    key = f"variable {part[start + 1].word}"
    if part[0].word == "reset":
        return f"-{key}" if len(part) == start + 2 else ""
    return key if _assigns(part[start + 2 :]) and _is_constant(part[start + 3 :]) else ""


def _path(part: Part, start: int) -> str:
    rest = part[start + 1 :]
    if part[0].word == "reset":
        return "" if rest else "-path"
    value = rest[1:]
    fits = _assigns(rest) and len(value) == 1 and value[0].kind in _NAMED
    return "path" if fits and not _names_system(value) else ""


def _names_system(part: Part) -> bool:
    """Whether one of these schemas lists what each side has for itself."""
    return any(not SYSTEM_SCHEMAS.isdisjoint(_PATH.findall(token.text.lower())) for token in part)


def _assigns(part: Part) -> bool:
    return bool(part) and (part[0].text == "=" or part[0].word == "to")


def _is_constant(part: Part) -> bool:
    return bool(part) and all(
        token.kind in _CONSTANTS or token.word in CONSTANT_WORDS for token in part
    )
