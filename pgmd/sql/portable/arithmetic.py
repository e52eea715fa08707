"""Sums, differences and products."""

from __future__ import annotations

import re

from ..grammar import RESERVED
from ..lexer import Kind, Token
from .agreed import INTEGER_TYPES, NUMERIC_RESULTS
from .state import Disagreement, Frame, State
from .values import TEMPORAL

_WORD, _QUOTED, _STRING = Kind.WORD, Kind.QUOTED, Kind.STRING
_NUMBER, _PARAMETER = Kind.NUMBER, Kind.PARAMETER
_AFTER_OPERAND = frozenset([_QUOTED, _STRING, _NUMBER, _PARAMETER])
# Of an interval DuckDB gives none of these.
_OF_NUMBERS = frozenset(["sum", "abs", "floor", "ceil", "ceiling", "avg"])
_NUMERIC_TYPES = INTEGER_TYPES | {"double", "float8", "numeric", "decimal"}
_FIXED_UNITS = re.compile(r"'\d{1,6}( (hour|minute|second)s?)?'")
_UNITS = frozenset(["year", "month", "week", "day", "hour", "minute", "second"])


def check_arithmetic(state: State, i: int, text: str, frame: Frame, previous: Token) -> None:
    following = state.at(i + 1)
    binary = (
        previous.kind in _AFTER_OPERAND
        or previous.text == ")"
        or (previous.kind is _WORD and previous.word not in RESERVED)
        or previous.word == "end"
    )
    if text == "*" and not binary:
        return  # SELECT *, count(*), t.*
    if not binary and following.kind is _NUMBER:
        return
    if following.word == "interval":
        _check_moves_no_zone(state, i)
        return
    if binary and previous.kind is _NUMBER and following.kind is _NUMBER:
        return
    if any(f.call == "count" for f in state.frames):
        raise Disagreement("arithmetic in count(), which DuckDB leaves out")
    if frame.clause != "select" or state.queries:
        # i + 1 > 5 overflows in PostgreSQL; DuckDB turns it into i > 4.
        raise Disagreement("arithmetic outside the outermost SELECT list")
    if binary and text != "*":
        _check_sum_or_difference(state, i, text, frame)
    state.computes = True


def _check_moves_no_zone(state: State, i: int) -> None:
    """Adding days to a time stamp with zone may lead to an hour that is there twice, of which
    the two choose another."""
    if _FIXED_UNITS.fullmatch(state.at(i + 2).text) and state.at(i + 3).word not in _UNITS:
        return
    i -= 1
    while state.at(i - 1 - (state.at(i).word in _UNITS)).word == "interval":
        i -= 3 + (state.at(i).word in _UNITS)
    if state.at(i).kind is not _STRING or state.at(i - 1).word not in TEMPORAL:
        raise Disagreement("days or months added to what may have a time zone")


def _check_sum_or_difference(state: State, i: int, text: str, frame: Frame) -> None:
    """Of time stamps with zone PostgreSQL's difference is exact, DuckDB's has whole days; and
    DuckDB adds a constant to the sum() instead, where nothing overflows."""
    around = next((f.call for f in reversed(state.frames) if f.call), "")
    if around == "sum" and text == "+":
        _check_not_constant(state, i, frame)
    numbers = around in _OF_NUMBERS or _is_number_before(state, i) or _is_number_after(state, i)
    if not numbers:
        raise Disagreement("a sum or difference of what may have a time zone")


def _check_not_constant(state: State, i: int, frame: Frame) -> None:
    if _is_name(state, i - 1) and _is_name(state, i + 1):
        return
    before = frame.start - 2
    is_factor = not frame.call and state.at(before + 1).text == "*"
    before -= state.at(before).text == ")"
    if not (is_factor and _is_name(state, before)):
        raise Disagreement("sum() of a sum with a constant")


def _is_name(state: State, i: int) -> bool:
    token = state.at(i)
    return token.kind is _QUOTED or (token.kind is _WORD and token.word not in RESERVED)


def _is_number_before(state: State, i: int) -> bool:
    last = state.at(i - 1)
    if last.kind is _NUMBER or state.at(i - 2).text == "*" or state.is_double(i):
        return True
    if last.text == ")":
        return state.last_call in NUMERIC_RESULTS
    return last.word in INTEGER_TYPES and state.at(i - 2).text == "::"


def _is_number_after(state: State, i: int) -> bool:
    first, second = state.at(i + 1), state.at(i + 2)
    if first.kind is _NUMBER or second.text == "*":
        return True
    if second.text == "(":
        return first.word in NUMERIC_RESULTS
    return second.text == "::" and state.at(i + 3).word in _NUMERIC_TYPES
