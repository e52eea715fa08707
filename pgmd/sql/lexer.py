"""Cut SQL text into tokens.

Two lexers must agree: a regular expression, which knows where a token ends, and DuckDB's own
tokenizer, which knows where it begins. Text they see differently is `Unreadable`, and so is
anything unterminated; the caller takes the safe route for it.
"""

from __future__ import annotations

import enum
import re
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


_WORD, _QUOTED, _STRING = Kind.WORD, Kind.QUOTED, Kind.STRING
_NUMBER, _PARAMETER, _OPERATOR = Kind.NUMBER, Kind.PARAMETER, Kind.OPERATOR


class Token(NamedTuple):
    kind: Kind
    text: str
    word: str  # lower-cased; a quoted identifier without its quotes; "" for what is not a name
    start: int  # in bytes of UTF-8


# Deeper nesting of comments than this is unreadable.
_COMMENT_DEPTH = 3


def _comment(depth: int) -> str:
    inner = rf"[^*/]|\*(?!/)|/(?!\*){'|' + _comment(depth - 1) if depth else ''}"
    return rf"/\*(?:{inner})*+\*/"


# Runs over the UTF-8 bytes seen as Latin-1, so that offsets are DuckDB's. The order of the
# groups is the order in which _cut names them.
_TOKEN = re.compile(
    rf"""(?xs)
    ( (?: [ \t\n\r\f]++ | --[^\n\r]*+ | {_comment(_COMMENT_DEPTH)} )*+ )
    (?:
        ( (?! [BbEeNnXx]' | [Uu]&['"] ) [A-Za-z_\x80-\xff][A-Za-z0-9_$\x80-\xff]*+ )
      | (   [Ee]' (?: [^'\\] | \\. | '' )*+ '
          | [BbNnXx]?' (?: [^'] | '' )*+ '
            # Literals on consecutive lines are one literal.
            (?: [ \t\f]*+ [\n\r] [ \t\n\r\f]*+ ' (?: [^'] | '' )*+ ' )*+
          | \$ (?P<tag> (?: [A-Za-z_\x80-\xff][\w\x80-\xff]*+ )? ) \$ .*? \$(?P=tag)\$
        )
      | ( " (?: [^"] | "" )*+ " )
      | ( (?: \d[\d_]*+ (?: \.(?!\.)[\d_]*+ )? | \.\d[\d_]*+ ) (?: [eE][+-]?\d+ )? )
      | ( \$ (?: \d++ | [A-Za-z_\x80-\xff][\w\x80-\xff]*+ ) )
      | ( :: | := | \.\. | [:;,.()\[\]{{}}\\$]
          | (?: (?! -- | /\* ) [-+*/<>=~!@\#%^&|`?] )++ )
      | \Z
      | (.)
    )""",
    re.ASCII,
)
# What an operator may end in a sign with, as in `a<-1`: these are two tokens.
_SIGNED = frozenset(["<", ">", "=", "<=", ">=", "<>", "!=", "==", "+", "-", "*", "/", "**", "//"])


def tokens(sql: str) -> tuple[Token, ...]:
    """Cut *sql* into tokens; comments and white space are dropped."""
    if sql.isascii():
        raw, view = None, sql
    else:
        raw = _utf8(sql.removeprefix("\ufeff"))
        view = raw.decode("latin-1")
        sql = raw.decode()
    if len(view) > MAX_BYTES:
        raise Unreadable(f"longer than {MAX_BYTES} bytes")
    if "\0" in view:
        raise Unreadable("contains a NUL character")
    found, begins = _cut(view)
    _check_agreement(sql, begins, found)
    if raw is not None:
        return tuple(map(_decoded, found))
    return tuple(found)


def _utf8(sql: str) -> bytes:
    try:
        return sql.encode()
    except UnicodeEncodeError:
        raise Unreadable("contains half a surrogate pair") from None


def _cut(view: str) -> tuple[list[Token], set[int]]:
    lower = view.lower() if view.isascii() else view.encode("latin-1").lower().decode("latin-1")
    found: list[Token] = []
    begins: set[int] = set()
    add, begin = found.append, begins.add
    make = tuple.__new__  # Token(...) takes longer, and there are many
    start = 0
    for gap, word, string, _, quoted, number, parameter, operator, bad in _TOKEN.findall(view):
        start += len(gap)
        if word:
            begin(start)
            end = start + len(word)
            add(make(Token, (_WORD, word, lower[start:end], start)))
        elif operator:
            end = start + len(operator)
            if len(operator) > 1 and operator[-1] in "+-":
                found += _unsigned(operator, start)
            else:
                add(make(Token, (_OPERATOR, operator, "", start)))
        elif quoted:
            begin(start)
            end = start + len(quoted)
            inside = lower[start + 1 : end - 1].replace('""', '"')
            add(make(Token, (_QUOTED, quoted, inside, start)))
        elif string:
            begin(start)
            end = start + len(string)
            add(make(Token, (_STRING, string, "", start)))
        elif bad:
            raise Unreadable(f"unterminated or unknown text at byte {start}")
        else:
            text = number or parameter
            end = start + len(text)
            if number:
                add(make(Token, (_NUMBER, number, "", start)))
            elif parameter:
                begin(start)
                add(make(Token, (_PARAMETER, parameter, "", start)))
        start = end
    return found, begins


def _unsigned(text: str, start: int) -> list[Token]:
    """Part the signs of an operand from the operator before them."""
    head = text.rstrip("+-")
    if head and head not in _SIGNED:
        return [Token(Kind.OPERATOR, text, "", start)]
    parts = [head] if head else []
    parts += text[len(head) :]
    out = []
    for part in parts:
        out.append(Token(Kind.OPERATOR, part, "", start))
        start += len(part)
    return out


def _check_agreement(sql: str, begins: set[int], found: list[Token]) -> None:
    theirs = {start for start, _ in duckdb.tokenize(sql)}
    if not begins <= theirs:
        raise Unreadable(f"DuckDB reads it differently at byte {min(begins - theirs)}")
    extra = theirs.difference(token.start for token in found)
    if extra:
        _check_extra(extra, found)


def _check_extra(extra: set[int], found: list[Token]) -> None:
    """Let DuckDB begin a token inside one of ours only where that is known to be harmless."""
    spans = [(t.start, t.start + len(t.text), t) for t in found]
    for place in extra:
        for start, end, token in spans:
            if start < place < end and not _divisible(token, place - start):
                raise Unreadable(f"DuckDB reads it differently at byte {place}")


def _divisible(token: Token, at: int) -> bool:
    if token.kind is Kind.STRING:
        # 2.0 sees each line of a literal that goes on, 1.x parts N from 'text'.
        return token.text[at] == "'"
    return token.kind in (Kind.OPERATOR, Kind.PARAMETER, Kind.NUMBER)


def _decoded(token: Token) -> Token:
    if token.text.isascii():
        return token
    text = token.text.encode("latin-1").decode()
    if token.kind is Kind.WORD and not text.isprintable():
        # DuckDB's parser takes a no-break space for a space; its tokenizer does not.
        raise Unreadable(f"a character in {text!r} may or may not be white space")
    word = token.word.encode("latin-1").decode()
    return Token(token.kind, text, word, token.start)
