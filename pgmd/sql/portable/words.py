"""Words: those that are grammar, and those that are names."""

from __future__ import annotations

from ..lexer import Kind, Token
from .agreed import PORTABLE_WORDS, UNPORTABLE_WORDS
from .state import Disagreement, Frame, Mixture, State, check_not_ordering
from .values import BRANCH_ENDS, INTEGER, check_argument, check_cast, note_operand

_STRING, _PARAMETER = Kind.STRING, Kind.PARAMETER
_CLAUSES = {
    "select": "select",
    "from": "from",
    "join": "from",
    "on": "condition",
    "where": "where",
    "group": "group",
    "having": "having",
    "window": "window",
    "limit": "limit",
    "offset": "limit",
    "fetch": "limit",
    "values": "values",
    "with": "with",
}


def read_word(state: State, i: int, token: Token, previous: Token) -> None:
    word = token.word
    if word in UNPORTABLE_WORDS:
        raise Disagreement(word.upper())
    frame = state.frames[-1]
    if word in PORTABLE_WORDS:
        if previous.text == "." or (previous.word == "as" and frame.call != "cast"):
            return
        _grammar(state, i, word, frame, previous)
    else:
        _name(state, i, token, frame, previous)


def _grammar(state: State, i: int, word: str, frame: Frame, previous: Token) -> None:
    following = state.at(i + 1)
    if word == "order":
        _order(frame)
    elif word == "from" and (
        frame.call in ("extract", "substring", "trim")
        or (previous.word == "distinct" and state.at(i - 2).word in ("is", "not"))
    ):
        check_argument(frame, following)
    elif word in _CLAUSES and not (word == "on" and frame.clause == "select"):
        _clause(state, word, frame, following)
    elif word == "distinct" and following.word == "on":
        raise Disagreement("DISTINCT ON")
    elif word in ("union", "intersect", "except"):
        state.mixes = state.unites = True
    elif word in ("using", "natural") and "full" in {t.word for t in state.part}:
        raise Disagreement("FULL JOIN, with columns that two tables share")
    elif word in ("in", "between", "like", "case"):
        _compare(state, word, frame, following)
    elif word in BRANCH_ENDS and frame.cases:
        _branch(state, i, word, frame)
    elif word == "then" and frame.cases:
        note_operand(state, i + 1, frame.cases[-1])
    elif word == "as" and frame.call == "cast":
        check_cast(state, i)
    elif word == "all" and previous.word == "by":
        raise Disagreement("BY ALL")
    elif word == "only" and previous.word not in ("row", "rows"):
        raise Disagreement("FROM ONLY")
    elif word == "for" and frame.call == "substring":
        check_argument(frame, following)


def _order(frame: Frame) -> None:
    if frame.query:
        frame.ordered = True
        frame.clause = "order"
    else:
        frame.clause = "window"


def _clause(state: State, word: str, frame: Frame, following: Token) -> None:
    if word in ("select", "values", "with") and not frame.query:
        frame.query = True
        state.queries += 1
    frame.clause = _CLAUSES[word]
    state.reads |= word == "from"
    if word == "values":
        state.mixes = True
    if frame.clause == "limit":
        frame.limited = True
        fixed = following.kind is _PARAMETER or INTEGER.fullmatch(following.text)
        if not fixed and following.word not in ("all", "first", "next"):
            raise Disagreement("LIMIT with an expression")


def _compare(state: State, word: str, frame: Frame, following: Token) -> None:
    if frame.call == "position":
        return
    state.compares |= frame.clause == "select"
    if word == "case":
        state.mixes = True
        frame.cases.append(Mixture())
    check_not_ordering(frame)
    if word == "like" and (following.kind is not _STRING or "\\" in following.text):
        raise Disagreement("LIKE with a backslash or an unknown pattern")


def _branch(state: State, i: int, word: str, frame: Frame) -> None:
    """WHEN, ELSE and END: the branch before has ended."""
    case = frame.cases[-1]
    case.safe |= state.is_double(i)
    if word == "else":
        note_operand(state, i + 1, case)
    elif word == "end":
        frame.cases.pop()
        if case.mixes_scales:
            raise Disagreement(
                "CASE with a numeric constant in some branches"
                if case.numbers
                else "CASE of branches that may differ in scale"
            )


def _name(state: State, i: int, token: Token, frame: Frame, previous: Token) -> None:
    if len(token.text) > 63:
        raise Disagreement("a name of more than 63 characters")
    following = state.at(i + 1)
    if frame.clause == "order" and frame.query and following.text == "(":
        if token.word != "count" or state.at(i + 2).text != "*":
            raise Disagreement("an expression in ORDER BY")
        return
    if following.text in (".", "("):
        return
    if frame.clause == "from":
        state.tables.add(token.word)
    elif previous.text == ".":
        return
    elif previous.word != "as" and not (frame.clause == "with" and following.word == "as"):
        state.used.add(token.word)


def read_quoted(state: State, i: int, token: Token, previous: Token) -> None:
    if token.word != token.text[1:-1].replace('""', '"'):
        raise Disagreement("a quoted name with capital letters")
    _name(state, i, token, state.frames[-1], previous)


def check_limit(state: State, frame: Frame) -> None:
    """The query in *frame* has ended."""
    if frame.limited and not frame.ordered and not _selects_constant(state, frame.start + 1):
        raise Disagreement("LIMIT without ORDER BY")


def _selects_constant(state: State, i: int) -> bool:
    """Whether all rows of the query at *i* are equal: `SELECT 1 AS "a" FROM`."""
    if state.at(i).word != "select" or not INTEGER.fullmatch(state.at(i + 1).text):
        return False
    end = i + 4 if state.at(i + 2).word == "as" else i + 2
    return state.at(end).word == "from"
