"""Operators, and the parentheses and commas that make calls and lists."""

from __future__ import annotations

from ..functions import FUNCTIONS
from ..grammar import NOT_CALLS, RESERVED
from ..lexer import Kind, Token
from .agreed import (
    ARITHMETIC,
    COMPARISONS,
    EXTRACT_FIELDS,
    PORTABLE_FUNCTIONS,
    PORTABLE_OPERATORS,
    SCALE_MIXERS,
    UNPORTABLE_CALLS,
)
from .arithmetic import check_arithmetic
from .state import LIST, Disagreement, Frame, State, check_not_ordering
from .values import check_argument, check_cast, note_operand
from .words import check_limit

_WORD, _QUOTED, _NUMBER = Kind.WORD, Kind.QUOTED, Kind.NUMBER
# Of a time stamp with zone the two truncate to hours differently when clocks are set back, and to
# quarters in zones such as Africa/Cairo; an interval has no weeks in PostgreSQL.
_DATE_UNITS = frozenset(["year", "month", "day", "minute", "second"])
# A numeric keeps its own scale in PostgreSQL; DuckDB gives all of them the widest.
_DEFAULTING = frozenset(["lag", "lead"])
_LISTS = frozenset(
    ["in", "values", "using", "sets", "rollup", "cube", "over", "grouping", "as", "on", "by"]
)


def read_operator(state: State, i: int, token: Token, previous: Token) -> None:
    text = token.text
    if text not in PORTABLE_OPERATORS:
        raise Disagreement(f"operator {text}")
    frame = state.frames[-1]
    if text == "(":
        _push(state, i, previous, frame)
    elif text == ")":
        _pop(state, i)
    elif text == ",":
        _comma(state, i, frame)
    elif text == "::":
        check_cast(state, i)
    elif text in COMPARISONS:
        check_not_ordering(frame)
        state.compares |= frame.clause == "select"
    elif text in ARITHMETIC:
        check_arithmetic(state, i, text, frame, previous)


def _push(state: State, i: int, previous: Token, frame: Frame) -> None:
    call, clause = "", frame.clause
    if previous.kind is _WORD or previous.kind is _QUOTED:
        call = previous.word
        if call == "filter" and state.at(i - 2).text == ")":
            call = LIST
        _check_call(state, i, call, previous)
        if call in _LISTS or call == LIST:
            clause = "using" if call in ("using", "as") else clause
            call = LIST
        elif call not in FUNCTIONS and call not in NOT_CALLS:
            call, clause = LIST, "using"
        elif call in RESERVED and call != "cast":
            call = ""
        state.mixes |= call in SCALE_MIXERS
    elif previous.text == "," and frame.clause == "values":
        call = LIST
    state.frames.append(Frame(call, clause, i))
    if call in SCALE_MIXERS or call in _DEFAULTING:
        note_operand(state, i + 1, state.frames[-1].mixture)


def _check_call(state: State, i: int, call: str, name: Token) -> None:
    if call in UNPORTABLE_CALLS or (
        call in FUNCTIONS and (call not in PORTABLE_FUNCTIONS or name.kind is _QUOTED)
    ):
        raise Disagreement(f"{call}()")
    if state.at(i - 2).text == ".":
        raise Disagreement(f"a qualified {call}()")
    following = state.at(i + 1)
    if call == "extract" and following.word not in EXTRACT_FIELDS:
        raise Disagreement(f"extract({following.word or following.text})")
    if call == "date_trunc" and following.text[1:-1] not in _DATE_UNITS:
        raise Disagreement("date_trunc() to an unknown unit")


def _pop(state: State, i: int) -> None:
    if len(state.frames) == 1:
        raise Disagreement("a parenthesis too many")
    frame = state.frames.pop()
    if frame.query:
        state.queries -= 1
        check_limit(state, frame)
    if frame.call == "avg" and not state.is_double(i):
        raise Disagreement("avg() without a cast to double precision")
    frame.mixture.safe |= state.is_double(i)
    if frame.mixture.mixes_scales:
        raise Disagreement(f"{frame.call}() of what may differ in scale")
    state.last_call = frame.call


def _comma(state: State, i: int, frame: Frame) -> None:
    if frame.clause == "condition" and not frame.call:
        frame.clause = "from"
    if not frame.call and not frame.query:
        raise Disagreement("a row value")
    following = state.at(i + 1)
    check_argument(frame, following)
    if frame.call == "nth_value" and not (
        following.kind is _NUMBER and following.text.strip("0") and state.at(i + 2).text == ")"
    ):
        raise Disagreement("nth_value() with no positive constant")
    frame.arguments += 1
    frame.mixture.safe |= state.is_double(i)
    if frame.call in SCALE_MIXERS or (frame.call in _DEFAULTING and frame.arguments == 3):
        note_operand(state, i + 1, frame.mixture)
