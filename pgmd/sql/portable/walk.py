"""Read a part token by token, up to the first construct that the two may understand differently."""

from __future__ import annotations

from ..lexer import Kind, Token
from .operators import read_operator
from .state import NOTHING, Disagreement, State
from .values import read_number, read_string
from .words import check_limit, read_quoted, read_word

_WORD, _QUOTED, _STRING = Kind.WORD, Kind.QUOTED, Kind.STRING
_NUMBER, _OPERATOR = Kind.NUMBER, Kind.OPERATOR


def disagreement(part: tuple[Token, ...]) -> str:
    """Return the first construct of *part* that the two may understand differently, or ""."""
    try:
        _walk(State(part))
    except Disagreement as found:
        return str(found)
    return ""


def _walk(state: State) -> None:
    first = next(token for token in state.part if token.text != "(")
    if first.word == "from":
        raise Disagreement("FROM first")
    previous = NOTHING
    for i, token in enumerate(state.part):
        kind = token.kind
        if kind is _WORD:
            read_word(state, i, token, previous)
        elif kind is _OPERATOR:
            read_operator(state, i, token, previous)
        elif kind is _STRING:
            read_string(state, token, previous)
        elif kind is _NUMBER:
            read_number(state, i, token)
        elif kind is _QUOTED:
            read_quoted(state, i, token, previous)
        elif not token.text[1:].isdigit():
            raise Disagreement(f"parameter {token.text}")
        previous = token
    _finish(state)


def _finish(state: State) -> None:
    check_limit(state, state.frames[0])
    if state.computes and state.compares:
        raise Disagreement("arithmetic beside a comparison")
    if state.decimals and state.mixes:
        raise Disagreement("a decimal constant among other numbers")
    if state.unites and state.reads:
        raise Disagreement("UNION, INTERSECT or EXCEPT, which may mix scales")
    if shared := state.tables & state.used:
        raise Disagreement(f"{min(shared)} may be a whole row")
