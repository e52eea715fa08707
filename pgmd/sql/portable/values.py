"""What stands for a value: literals, casts, and what calls are given."""

from __future__ import annotations

import re

from ..grammar import NOT_CALLS, RESERVED
from ..lexer import Kind, Token
from .agreed import INTEGER_TYPES, NUMERIC_RESULTS, SCALE_MIXERS
from .state import Disagreement, Frame, Mixture, State, check_not_ordering

_WORD, _STRING, _NUMBER = Kind.WORD, Kind.STRING, Kind.NUMBER

INTEGER = re.compile(r"\d{1,18}")
_DECIMAL = re.compile(r"(?=[\d.]{2,19}$)\d*\.\d+")
_PIECES = re.compile(r"'[ \t\f\r]*+\n\s*+'")
_DATE = re.compile(r"'\d{4}-\d\d-\d\d'")
_TIMESTAMP = re.compile(r"'\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d{1,6})?'")
_INTERVAL = re.compile(r"'\d{1,6}( (year|month|week|day|hour|minute|second)s?)?'")
_UUID = re.compile(r"'[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}'")
# Text that one side may read as a number, a date or a truth value and the other not.
_AMBIGUOUS = re.compile(
    r"(?i)'\s*([-+.]|\d[^']*[^\da-z']|\d{6}|\d+e\d|0[xob]"
    r"|(on|off|of|nan|inf|infinity|now|today|tomorrow|yesterday|epoch|allballs)\s*'"
    r"|(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|mon|tue|wed|thu|fri|sat|sun)[a-z]*[\s\d,.-])"
)
_TYPED_LITERALS = {"date": _DATE, "timestamp": _TIMESTAMP, "interval": _INTERVAL}
TEMPORAL = frozenset(["date", "timestamp", "interval"])
BRANCH_ENDS = frozenset(["when", "else", "end"])


def note_operand(state: State, i: int, mixture: Mixture) -> None:
    """Note what the expression that begins at *i* may be."""
    first, second = state.at(i), state.at(i + 1)
    if first.text in ("-", "+"):
        first, second = second, state.at(i + 2)
    alone = second.text in (",", ")") or second.word in BRANCH_ENDS
    if first.word == "null" and alone:
        return
    if first.kind is _NUMBER and alone:
        mixture.numbers += 1
    elif first.kind is _STRING and alone:
        read_as_number = INTEGER.fullmatch(first.text[1:-1]) is not None
        mixture.open += read_as_number
        mixture.safe |= not read_as_number
    elif first.word in TEMPORAL and second.kind is _STRING:
        mixture.safe = True
    elif first.word in ("true", "false"):
        mixture.safe |= alone
        mixture.open += not alone
    else:
        mixture.open += 1


def check_argument(frame: Frame, following: Token) -> None:
    if frame.call in ("substring", "substr") and not (
        following.kind is _NUMBER and following.text.strip("0")
    ):
        raise Disagreement("substring() from a place that is not a positive constant")
    if frame.call in ("trim", "ltrim", "rtrim"):
        raise Disagreement(f"{frame.call}() of other characters")


def check_cast(state: State, i: int) -> None:
    operand = state.at(i - 1)
    words = (state.at(i + 1).word, state.at(i + 2).word)
    target = words[0]
    number = operand.kind is _NUMBER or (operand.text == ")" and state.last_call in NUMERIC_RESULTS)
    string = operand.text if operand.kind is _STRING else ""
    if words == ("double", "precision") or target == "float8":
        fine = not string or INTEGER.fullmatch(string[1:-1]) is not None
    elif target in INTEGER_TYPES:
        fine = number or INTEGER.fullmatch(string[1:-1]) is not None
    elif target in ("numeric", "decimal"):
        fine = operand.kind is _NUMBER and state.at(i + 2).text == "("
    elif target in ("text", "varchar"):
        fine = bool(string) and state.at(i + 2).text != "("
    elif target in ("date", "timestamp"):
        fine = _TYPED_LITERALS[target].fullmatch(string) is not None
        fine = fine and words[1] not in ("with", "without")
    else:
        fine = False
    if not fine and not (operand.word == "null" and target in INTEGER_TYPES):
        raise Disagreement(f"a cast to {target[:40]}")


def read_string(state: State, token: Token, previous: Token) -> None:
    text = token.text
    if text[0] not in "'$":
        raise Disagreement(f"a literal {text[0]}'...'")
    if "\n" in text and text[0] == "'" and _PIECES.search(text):
        raise Disagreement("a literal in several pieces")
    if previous.word == "like" or state.frames[-1].call == "date_trunc":
        return
    check_not_ordering(state.frames[-1])
    if previous.kind is _WORD and previous.word not in RESERVED:
        pattern = _TYPED_LITERALS.get(previous.word)
        if pattern:
            if not pattern.fullmatch(text):
                raise Disagreement(f"a {previous.word} written {text[:40]}")
            return
        if previous.word not in NOT_CALLS and previous.word != "by":
            raise Disagreement(f"a literal of type {previous.word[:40]}")
    if text[0] == "'" and _is_ambiguous_literal(text):
        raise Disagreement(f"the text {text[:40]}, which may be read as another type")


def read_number(state: State, i: int, token: Token) -> None:
    following = state.at(i + 1)
    if following.kind is _WORD and following.start == token.start + len(token.text):
        raise Disagreement(f"the number {(token.text + following.text)[:40]}")
    if INTEGER.fullmatch(token.text):
        if state.frames[-1].call in SCALE_MIXERS:
            raise Disagreement(f"{state.frames[-1].call}() with a numeric constant")
    elif _DECIMAL.fullmatch(token.text):
        state.decimals = True
    else:
        raise Disagreement(f"the number {token.text[:40]}")


def _is_ambiguous_literal(text: str) -> bool:
    if _DATE.fullmatch(text) or _TIMESTAMP.fullmatch(text) or _UUID.fullmatch(text):
        return False
    return _AMBIGUOUS.match(text) is not None
