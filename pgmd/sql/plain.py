"""Confirm a plain read without cutting it into tokens, which is most of the work.

Plain is a text without comments, odd literals and odd names, where both lexers cannot but see the
same words. If all of its words and calls are harmless wherever they stand, it is a read, and
what the walk over its tokens would look at in addition is not there. Anything else is for the walk.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import NamedTuple

from .functions import FUNCTIONS
from .grammar import (
    CLOCK_NAMES,
    DESCRIBE_HEADS,
    DOUBTFUL_WORDS,
    FILE_SUFFIXES,
    NOT_CALLS,
    ORDERING_WORDS,
    PIVOTS,
    READ_HEADS,
    SESSION_NAMES,
    SYSTEM_PREFIXES,
)
from .lexer import MAX_BYTES

_PLAIN = re.compile(
    r"""(?x)
    (?: [A-Za-z0-9_\ \t\n\r.,()=<>+*:|!%]++ | -(?!-) | /(?!\*) | (?<![\w$])\$\d++(?![\w$])
      | (?<!") " [A-Za-z_] [A-Za-z0-9_]*+ " (?!")
      | (?<![\w$']) ' [A-Za-z0-9_\ :-]*+ ' (?!')
    )*+
    ;?+ [\ \t\n\r]*+
    """,
    re.ASCII,
)
_LITERAL = re.compile("'[^']*'")
_QUOTED = re.compile('"([^"]*)"')
_IN_LIST = re.compile(r"\bin *\( *''(?:, *'')* *\)")
# A literal behind one of these may be a file: FROM 'x', FROM t, 'x'.
_BEFORE_TABLE = ("from", "join", "table", "lateral", ",")
_MEMBER = re.compile(r"\.\s*([a-z_]\w*)", re.ASCII)
_SIGNS = ".,)=<>+*:|!%-/$';"
_SPACES = str.maketrans(dict.fromkeys(_SIGNS + "(", " "))
_COMMAS = str.maketrans(dict.fromkeys(_SIGNS, ","))
_DIGITS = tuple("0123456789")

_HEADS = READ_HEADS - PIVOTS
_HARMFUL = (
    DOUBTFUL_WORDS.keys()
    | SESSION_NAMES
    | CLOCK_NAMES
    | PIVOTS
    | DESCRIBE_HEADS - {"desc"}
    | {"for", "temp"}
)
# Nothing, another parenthesis, or a name may stand before a parenthesis.
_CALLED = FUNCTIONS | NOT_CALLS | {"", "("}
_FUNCTIONS = FUNCTIONS - NOT_CALLS


class Plain(NamedTuple):
    """A confirmed read, and what its words are."""

    verb: str
    words: frozenset[str]  # quoted names among them
    functions: frozenset[str]
    orders: bool


def plain(sql: str) -> Plain | None:
    """What is known of *sql* if it is plain and a read for certain."""
    if len(sql) > MAX_BYTES or not _PLAIN.fullmatch(sql):
        return None
    text = sql.lower()
    if "'" in text:
        text = _LITERAL.sub("''", text)
        if _may_name_file(text):
            return None
    if '"' in text:
        # What is grammar without its quotes is a name with them.
        if not NOT_CALLS.isdisjoint(_QUOTED.findall(text)):
            return None
        text = text.replace('"', " ")
    found = text.translate(_SPACES).split()
    if not found or found[0] not in _HEADS or text.lstrip(" \t\n\r(")[0] == ")":
        return None
    words = frozenset([word for word in set(found) if not word.isdigit()])
    calls = _calls(text)
    if not (words.isdisjoint(_HARMFUL) and calls <= _CALLED):
        return None
    if any(map(_is_odd, words)) or _names_file(words, text):
        return None
    orders = not words.isdisjoint(ORDERING_WORDS) or _compares(text)
    return Plain(found[0], words, _FUNCTIONS & calls, orders)


def _calls(text: str) -> set[str]:
    """What stands before each parenthesis: a name, another one, or nothing."""
    parts = text.replace("(", " ( ").translate(_COMMAS).split()
    return {name.rpartition(",")[2] for name, following in pairwise(parts) if following == "("}


def _is_odd(word: str) -> bool:
    """Whether this is a system name, or a number that runs into a word."""
    return word.startswith(_DIGITS) or ("_" in word and word.startswith(SYSTEM_PREFIXES))


def _may_name_file(text: str) -> bool:
    if "," in text:
        text = _IN_LIST.sub("", text)
    before = text.split("''")[:-1]
    return any(part.rstrip(" \t\n\r(").endswith(_BEFORE_TABLE) for part in before)


def _names_file(words: frozenset[str], text: str) -> bool:
    return not (words.isdisjoint(FILE_SUFFIXES) or FILE_SUFFIXES.isdisjoint(_MEMBER.findall(text)))


def _compares(text: str) -> bool:
    return ("<" in text or ">" in text) and ("<" in (rest := text.replace("<>", "")) or ">" in rest)
