"""What is known of a text, as far as it has been read: its parentheses, and what stands in them."""

from __future__ import annotations

from ..lexer import Kind, Token

NOTHING = Token(Kind.OPERATOR, "", "", -1)
LIST = ","  # in place of a call: no function is called so


class Disagreement(Exception):
    """The two may understand this differently; the message names the construct."""


class Mixture:
    """Expressions of which the result is one, or one of several, in one type."""

    __slots__ = ("numbers", "open", "safe")

    def __init__(self) -> None:
        self.open = 0  # of those that may be decimals
        self.numbers = 0  # whole constants
        self.safe = False  # one is known to be no decimal, and so the others are none

    @property
    def mixes_scales(self) -> bool:
        return not self.safe and self.open + (self.numbers > 0) > 1


class Frame:
    """What is known of one parenthesis, or of the whole statement."""

    __slots__ = (
        "arguments",
        "call",
        "cases",
        "clause",
        "limited",
        "mixture",
        "ordered",
        "query",
        "start",
    )

    def __init__(self, call: str, clause: str, start: int, *, query: bool = False) -> None:
        self.call = call  # the function, LIST where commas part things, "" for a plain one
        self.clause = clause
        self.start = start
        self.query = query
        self.ordered = self.limited = False
        self.arguments = 1
        self.mixture = Mixture()
        self.cases: list[Mixture] = []


class State:
    """The tokens of a part, and what those before the present one have told."""

    __slots__ = (
        "compares",
        "computes",
        "decimals",
        "frames",
        "last_call",
        "mixes",
        "part",
        "queries",
        "reads",
        "tables",
        "unites",
        "used",
    )

    def __init__(self, part: tuple[Token, ...]) -> None:
        self.part = part
        self.frames = [Frame("", "", -1, query=True)]
        self.queries = 0
        self.compares = self.computes = self.decimals = self.mixes = False
        self.reads = self.unites = False  # FROM, and UNION or the like
        self.tables: set[str] = set()
        self.used: set[str] = set()
        self.last_call = ""

    def at(self, i: int) -> Token:
        return self.part[i] if 0 <= i < len(self.part) else NOTHING

    def is_double(self, end: int) -> bool:
        """Whether what ends before *end* is cast to double precision."""
        last = self.at(end - 1)
        if last.text == ")" and self.last_call == "cast":
            return self._is_type_double(end - 2, "as")
        return self._is_type_double(end - 1, "::")

    def _is_type_double(self, i: int, before: str) -> bool:
        if self.at(i).word == "precision":
            i -= 1
            if self.at(i).word != "double":
                return False
        elif self.at(i).word != "float8":
            return False
        return self.at(i - 1).text.lower() == before


def check_not_ordering(frame: Frame) -> None:
    if frame.clause == "order":
        raise Disagreement("an expression in ORDER BY")
