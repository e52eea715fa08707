"""Cut SQL text into tokens.

Two lexers must agree: a regular expression, which knows where a token ends, and DuckDB's own
tokenizer, which knows where it begins. Text they see differently is `Unreadable`, and so is
anything unterminated; the caller takes the safe route for it.
"""

from __future__ import annotations

import enum
import re
import string
from bisect import bisect
from collections.abc import Iterator
from itertools import accumulate, repeat
from typing import NamedTuple

import duckdb

MAX_BYTES = 1_000_000


class Unreadable(ValueError):
    """The text cannot be cut into tokens with certainty; the message is the reason."""


class Kind(enum.Enum):
    WORD = "word"  # a keyword or an unquoted identifier
    QUOTED = "quoted"  # "an identifier"
    STRING = "string"
    NUMBER = "number"
    PARAMETER = "parameter"  # $1, $name
    OPERATOR = "operator"  # and punctuation


_WORD, _QUOTED, _OPERATOR = Kind.WORD, Kind.QUOTED, Kind.OPERATOR


class Token(NamedTuple):
    kind: Kind
    text: str
    word: str  # lower-cased; a quoted identifier without its quotes; "" for what is not a name
    start: int  # in bytes of UTF-8


# Deeper nesting of comments than this is unreadable.
_COMMENT_DEPTH = 3


def _comment(depth: int) -> str:
    inner = rf"[^*/]++|\*(?!/)|/(?!\*){'|' + _comment(depth - 1) if depth else ''}"
    return rf"/\*(?:{inner})*+\*/"


_SIGNS = r"-+*/<>=~!@\#%^&|`?"
_SIGN = rf"(?! -- | /\* ) [{_SIGNS}]"
# DuckDB 1.x takes half a minute to cut a row of 4000 pluses, and seconds for 24 KB of /**//**/:
# such rows are unreadable.
_OPERATOR_LENGTH = 32
_SPACE = r"[ \t\n\r\f]*+"
_COMMENT = rf"{_comment(_COMMENT_DEPTH)} (?! [{_SIGNS}]{{{_OPERATOR_LENGTH}}} )"
_GAP = rf"{_SPACE} (?: (?: --[^\n\r]*+ | {_COMMENT} ) {_SPACE} )*+"

# A token and the gap behind it, or all the rest: nothing is tried again after what it cannot read.
# Runs over the UTF-8 bytes seen as Latin-1, so that offsets are DuckDB's.
_TOKEN = re.compile(
    rf"""(?xs)
    (
      ( (?! [BbEeNnXx]' | [Uu]&['"] ) [A-Za-z_\x80-\xff][A-Za-z0-9_$\x80-\xff]*+
      | [,();]
      | [Ee]' (?: [^'\\]++ | \\. | '' )*+ '
      | [BbNnXx]?' (?: [^']++ | '' )*+ '
        # Literals on consecutive lines are one literal.
        (?: [ \t\f]*+ [\n\r] {_SPACE} ' (?: [^']++ | '' )*+ ' )*+
      | \$ (?P<tag> (?: [A-Za-z_\x80-\xff][\w\x80-\xff]*+ )? ) \$ .*? \$(?P=tag)\$
      | " (?: [^"]++ | "" )*+ "
      | (?: \d[\d_]*+ (?: \.(?!\.)[\d_]*+ )? | \.\d[\d_]*+ ) (?: [eE][+-]?\d+ )?
      | \$ (?: \d++ | [A-Za-z_\x80-\xff][\w\x80-\xff]*+ (?!\$) | (?![\w$\x80-\xff]) )
      | :: | := | \.\. | [:.\[\]{{}}\\]
      | (?: {_SIGN} ){{1,{_OPERATOR_LENGTH}}}+ (?! {_SIGN} )
      )
      {_GAP}
    | .+
    )""",
    re.ASCII,
)
_LEADING_GAP = re.compile(f"(?x){_GAP}")

# By the first character; None where that does not tell.
_KINDS: dict[str, Kind | None] = {
    **dict.fromkeys(map(chr, range(0x80, 0x100)), Kind.WORD),
    **dict.fromkeys(string.ascii_letters + "_", Kind.WORD),
    **dict.fromkeys(string.digits, Kind.NUMBER),
    **dict.fromkeys(",();:[]{}\\-+*/<>=~!@#%^&|`?", Kind.OPERATOR),
    **dict.fromkeys("BbEeNnXx$."),
    "'": Kind.STRING,
    '"': Kind.QUOTED,
}
# What an operator may end in a sign with, as in `a<-1`: these are two tokens.
_SIGNED = frozenset(["<", ">", "=", "<=", ">=", "<>", "!=", "==", "+", "-", "*", "/", "**", "//"])
_BEFORE_SIGN = re.compile(rf"[{_SIGNS}][-+]")


def tokens(sql: str) -> tuple[Token, ...]:
    """Cut *sql* into tokens; comments and white space are dropped."""
    if len(sql) > MAX_BYTES:
        raise Unreadable(f"longer than {MAX_BYTES} bytes")
    if sql.isascii():
        return _tokens(sql, sql)
    raw = _utf8(sql.removeprefix("\ufeff"))
    return tuple(map(_decoded, _tokens(raw.decode("latin-1"), raw.decode())))


def _utf8(sql: str) -> bytes:
    try:
        raw = sql.encode()
    except UnicodeEncodeError:
        raise Unreadable("contains half a surrogate pair") from None
    if len(raw) > MAX_BYTES:
        raise Unreadable(f"longer than {MAX_BYTES} bytes")
    return raw


def _tokens(view: str, sql: str) -> tuple[Token, ...]:
    if "\0" in view:
        raise Unreadable("contains a NUL character")
    texts, starts = _cut(view)
    kinds = [_KINDS[text[0]] or _kind(text) for text in texts]
    words = [
        text.lower() if kind is _WORD else _inside(text.lower()) if kind is _QUOTED else ""
        for kind, text in zip(kinds, texts, strict=True)
    ]
    # Token(...) takes longer, and there are many.
    rows = zip(kinds, texts, words, starts, strict=True)
    found = tuple(map(tuple.__new__, repeat(Token), rows))
    _check_agreement(sql, starts, found)
    if _BEFORE_SIGN.search(view):
        return tuple(part for token in found for part in _unsigned(token))
    return found


def _cut(view: str) -> tuple[list[str], list[int]]:
    """The texts of the tokens, and where they begin."""
    begin = next(_LEADING_GAP.finditer(view)).end()
    # Nothing between the matches, and the three groups of each.
    parts = _TOKEN.split(view[begin:])
    starts = list(accumulate(map(len, parts[1::4]), initial=begin))
    starts.pop()
    texts = parts[2::4]
    if texts and texts[-1] is None:
        raise Unreadable(f"unterminated or unknown text at byte {starts[-1]}")
    return texts, starts


def _kind(text: str) -> Kind:
    if text[-1] == "'":
        return Kind.STRING
    if text[0] == ".":
        return Kind.OPERATOR if text in (".", "..") else Kind.NUMBER
    if text[0] != "$":
        return Kind.WORD
    if text == "$":
        return Kind.OPERATOR
    return Kind.STRING if text[-1] == "$" else Kind.PARAMETER


def _inside(quoted: str) -> str:
    return quoted[1:-1].replace('""', '"')


def _unsigned(token: Token) -> Iterator[Token]:
    """Part the signs of an operand from the operator before them."""
    kind, text, _, start = token
    head = text.rstrip("+-")
    if kind is not _OPERATOR or (head and head not in _SIGNED):
        yield token
        return
    if head:
        yield Token(kind, head, "", start)
    for place in range(len(head), len(text)):
        yield Token(kind, text[place], "", start + place)


def _check_agreement(sql: str, starts: list[int], found: tuple[Token, ...]) -> None:
    theirs = [start for start, _ in duckdb.tokenize(sql)]
    if theirs == starts:
        return
    missed = set(starts).difference(theirs)
    extra = set(theirs).difference(starts)
    different = [token.start for token in found if token.start in missed and _matters(token)]
    different += [place for place in extra if not _is_harmless(place, starts, found)]
    if different:
        raise Unreadable(f"DuckDB reads it differently at byte {min(different)}")


def _matters(token: Token) -> bool:
    return token.kind not in (_OPERATOR, Kind.NUMBER)


def _is_harmless(place: int, starts: list[int], found: tuple[Token, ...]) -> bool:
    """Whether DuckDB may begin a token at *place*, where we do not."""
    i = bisect(starts, place) - 1
    if i < 0:
        return True
    kind, text, _, start = found[i]
    if place >= start + len(text):
        return True
    if kind is Kind.STRING:
        # 2.0 sees each line of a literal that goes on, 1.x parts N from 'text'.
        return text[place - start] == "'"
    return kind in (_OPERATOR, Kind.PARAMETER, Kind.NUMBER)


def _decoded(token: Token) -> Token:
    if token.text.isascii():
        return token
    kind, raw, _, start = token
    text = raw.encode("latin-1").decode()
    if kind is _WORD and not text.isprintable():
        # DuckDB's parser takes a no-break space for a space; its tokenizer does not.
        raise Unreadable(f"a character in {text!r} may or may not be white space")
    # DuckDB folds the case of ASCII only.
    lower = raw.encode("latin-1").lower().decode()
    word = lower if kind is _WORD else _inside(lower) if kind is _QUOTED else ""
    return Token(kind, text, word, start)
