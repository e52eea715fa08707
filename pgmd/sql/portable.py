"""Find the first construct in a confirmed read about which PostgreSQL and DuckDB disagree.

For replicas that hold a PostgreSQL database's tables. The types and names of a result are compared
at run time, and PostgreSQL has accepted the statement when it described it; what is left is other
values at the same type, other rows, and errors that only one side raises while it runs. Types of
columns are not known here: `real`, `char(n)` and zone-less text in parameters stay with the caller.
"""

from __future__ import annotations

import re

from .grammar import (
    ARITHMETIC,
    COMPARISONS,
    EXTRACT_FIELDS,
    FUNCTIONS,
    INTEGER_TYPES,
    NOT_CALLS,
    NUMERIC_RESULTS,
    PORTABLE_FUNCTIONS,
    PORTABLE_OPERATORS,
    PORTABLE_WORDS,
    RESERVED,
    SCALE_MIXERS,
    UNPORTABLE_CALLS,
    UNPORTABLE_WORDS,
)
from .lexer import Kind, Token

_WORD, _QUOTED, _STRING = Kind.WORD, Kind.QUOTED, Kind.STRING
_NUMBER, _PARAMETER, _OPERATOR = Kind.NUMBER, Kind.PARAMETER, Kind.OPERATOR
_NOTHING = Token(Kind.OPERATOR, "", "", -1)

_INTEGER = re.compile(r"\d{1,18}")
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


def _is_ambiguous_literal(text: str) -> bool:
    if _DATE.fullmatch(text) or _TIMESTAMP.fullmatch(text) or _UUID.fullmatch(text):
        return False
    return _AMBIGUOUS.match(text) is not None


_AFTER_OPERAND = frozenset([_QUOTED, _STRING, _NUMBER, _PARAMETER])
# Of a time stamp with zone the two truncate to hours differently when clocks are set back, and to
# quarters in zones such as Africa/Cairo; an interval has no weeks in PostgreSQL.
_DATE_UNITS = frozenset(["year", "month", "day", "minute", "second"])
# Of an interval DuckDB gives none of these.
_OF_NUMBERS = frozenset(["sum", "abs", "floor", "ceil", "ceiling", "avg"])
_NUMERIC_TYPES = INTEGER_TYPES | {"double", "float8", "numeric", "decimal"}
# A numeric keeps its own scale in PostgreSQL; DuckDB gives all of them the widest.
_DEFAULTING = frozenset(["lag", "lead"])
_FIXED_UNITS = re.compile(r"'\d{1,6}( (hour|minute|second)s?)?'")
_TEMPORAL = frozenset(["date", "timestamp", "interval"])
_UNITS = frozenset(["year", "month", "week", "day", "hour", "minute", "second"])
_BRANCH_ENDS = frozenset(["when", "else", "end"])
_TYPED_LITERALS = {"date": _DATE, "timestamp": _TIMESTAMP, "interval": _INTERVAL}
_ORDER_WORDS = frozenset(["by", "asc", "desc", "nulls", "first", "last", "count"])
_LIST = ","  # no function is called so
_LISTS = frozenset(
    ["in", "values", "using", "sets", "rollup", "cube", "over", "grouping", "as", "on", "by"]
)
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


class _Mixture:
    """Expressions of which the result is one, or one of several, in one type."""

    __slots__ = ("numbers", "open", "safe")

    def __init__(self) -> None:
        self.open = 0  # of those that may be decimals
        self.numbers = 0  # whole constants
        self.safe = False  # one is known to be no decimal, and so the others are none

    @property
    def mixes_scales(self) -> bool:
        return not self.safe and self.open + (self.numbers > 0) > 1


class _Frame:
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
        self.call = call  # the function, _LIST where commas part things, "" for a plain one
        self.clause = clause
        self.start = start
        self.query = query
        self.ordered = self.limited = False
        self.arguments = 1
        self.mixture = _Mixture()
        self.cases: list[_Mixture] = []


class _Disagreement(Exception):
    pass


def disagreement(part: tuple[Token, ...]) -> str:
    """Return the first construct of *part* that the two may understand differently, or ""."""
    try:
        _Walk(part).walk()
    except _Disagreement as found:
        return str(found)
    return ""


class _Walk:
    __slots__ = (
        "_compares",
        "_computes",
        "_decimals",
        "_frames",
        "_last_call",
        "_mixes",
        "_part",
        "_queries",
        "_reads",
        "_tables",
        "_unites",
        "_used",
    )

    def __init__(self, part: tuple[Token, ...]) -> None:
        self._part = part
        self._frames = [_Frame("", "", -1, query=True)]
        self._queries = 0
        self._compares = self._computes = self._decimals = self._mixes = False
        self._reads = self._unites = False  # FROM, and UNION or the like
        self._tables: set[str] = set()
        self._used: set[str] = set()
        self._last_call = ""

    def walk(self) -> None:
        first = next(token for token in self._part if token.text != "(")
        if first.word == "from":
            raise _Disagreement("FROM first")
        previous = _NOTHING
        for i, token in enumerate(self._part):
            kind = token.kind
            if kind is _WORD:
                self._word(i, token, previous)
            elif kind is _OPERATOR:
                self._operator(i, token, previous)
            elif kind is _STRING:
                self._string(token, previous)
            elif kind is _NUMBER:
                self._number(i, token)
            elif kind is _QUOTED:
                self._quoted(i, token, previous)
            elif not token.text[1:].isdigit():
                raise _Disagreement(f"parameter {token.text}")
            previous = token
        self._finish()

    def _finish(self) -> None:
        self._check_limit(self._frames[0])
        if self._computes and self._compares:
            raise _Disagreement("arithmetic beside a comparison")
        if self._decimals and self._mixes:
            raise _Disagreement("a decimal constant among other numbers")
        if self._unites and self._reads:
            raise _Disagreement("UNION, INTERSECT or EXCEPT, which may mix scales")
        if shared := self._tables & self._used:
            raise _Disagreement(f"{min(shared)} may be a whole row")

    def _at(self, i: int) -> Token:
        return self._part[i] if 0 <= i < len(self._part) else _NOTHING

    # words

    def _word(self, i: int, token: Token, previous: Token) -> None:
        word = token.word
        if word in UNPORTABLE_WORDS:
            raise _Disagreement(word.upper())
        frame = self._frames[-1]
        if word in PORTABLE_WORDS:
            if previous.text == "." or (previous.word == "as" and frame.call != "cast"):
                return
            self._grammar(i, word, frame, previous)
        else:
            self._name(i, token, frame, previous)

    def _grammar(self, i: int, word: str, frame: _Frame, previous: Token) -> None:
        following = self._at(i + 1)
        if word == "order":
            self._order(frame)
        elif word == "from" and (
            frame.call in ("extract", "substring", "trim")
            or (previous.word == "distinct" and self._at(i - 2).word in ("is", "not"))
        ):
            self._argument(frame, following)
        elif word in _CLAUSES and not (word == "on" and frame.clause == "select"):
            self._clause(word, frame, following)
        elif word == "distinct" and following.word == "on":
            raise _Disagreement("DISTINCT ON")
        elif word in ("union", "intersect", "except"):
            self._mixes = self._unites = True
        elif word in ("using", "natural") and "full" in {t.word for t in self._part}:
            raise _Disagreement("FULL JOIN, with columns that two tables share")
        elif word in ("in", "between", "like", "case"):
            self._compare(word, frame, following)
        elif word in _BRANCH_ENDS and frame.cases:
            self._branch(i, word, frame)
        elif word == "then" and frame.cases:
            self._operand(i + 1, frame.cases[-1])
        elif word == "as" and frame.call == "cast":
            self._cast(i)
        elif word == "all" and previous.word == "by":
            raise _Disagreement("BY ALL")
        elif word == "only" and previous.word not in ("row", "rows"):
            raise _Disagreement("FROM ONLY")
        elif word == "for" and frame.call == "substring":
            self._argument(frame, following)

    def _order(self, frame: _Frame) -> None:
        if frame.query:
            frame.ordered = True
            frame.clause = "order"
        else:
            frame.clause = "window"

    def _clause(self, word: str, frame: _Frame, following: Token) -> None:
        if word in ("select", "values", "with") and not frame.query:
            frame.query = True
            self._queries += 1
        frame.clause = _CLAUSES[word]
        self._reads |= word == "from"
        if word == "values":
            self._mixes = True
        if frame.clause == "limit":
            frame.limited = True
            fixed = following.kind is _PARAMETER or _INTEGER.fullmatch(following.text)
            if not fixed and following.word not in ("all", "first", "next"):
                raise _Disagreement("LIMIT with an expression")

    def _compare(self, word: str, frame: _Frame, following: Token) -> None:
        if frame.call == "position":
            return
        self._compares |= frame.clause == "select"
        if word == "case":
            self._mixes = True
            frame.cases.append(_Mixture())
        self._check_not_ordering(frame)
        if word == "like" and (following.kind is not _STRING or "\\" in following.text):
            raise _Disagreement("LIKE with a backslash or an unknown pattern")

    def _branch(self, i: int, word: str, frame: _Frame) -> None:
        """WHEN, ELSE and END: the branch before has ended."""
        case = frame.cases[-1]
        case.safe |= self._is_double(i)
        if word == "else":
            self._operand(i + 1, case)
        elif word == "end":
            frame.cases.pop()
            if case.mixes_scales:
                raise _Disagreement(
                    "CASE with a numeric constant in some branches"
                    if case.numbers
                    else "CASE of branches that may differ in scale"
                )

    def _operand(self, i: int, mixture: _Mixture) -> None:
        """Note what the expression that begins at *i* may be."""
        first, second = self._at(i), self._at(i + 1)
        if first.text in ("-", "+"):
            first, second = second, self._at(i + 2)
        alone = second.text in (",", ")") or second.word in _BRANCH_ENDS
        if first.word == "null" and alone:
            return
        if first.kind is _NUMBER and alone:
            mixture.numbers += 1
        elif first.kind is _STRING and alone:
            read_as_number = _INTEGER.fullmatch(first.text[1:-1]) is not None
            mixture.open += read_as_number
            mixture.safe |= not read_as_number
        elif first.word in _TEMPORAL and second.kind is _STRING:
            mixture.safe = True
        elif first.word in ("true", "false"):
            mixture.safe |= alone
            mixture.open += not alone
        else:
            mixture.open += 1

    def _argument(self, frame: _Frame, following: Token) -> None:
        if frame.call in ("substring", "substr") and not (
            following.kind is _NUMBER and following.text.strip("0")
        ):
            raise _Disagreement("substring() from a place that is not a positive constant")
        if frame.call in ("trim", "ltrim", "rtrim"):
            raise _Disagreement(f"{frame.call}() of other characters")

    def _name(self, i: int, token: Token, frame: _Frame, previous: Token) -> None:
        if len(token.text) > 63:
            raise _Disagreement("a name of more than 63 characters")
        following = self._at(i + 1)
        if frame.clause == "order" and frame.query and following.text == "(":
            if token.word != "count" or self._at(i + 2).text != "*":
                raise _Disagreement("an expression in ORDER BY")
            return
        if following.text in (".", "("):
            return
        if frame.clause == "from":
            self._tables.add(token.word)
        elif previous.text == ".":
            return
        elif previous.word != "as" and not (frame.clause == "with" and following.word == "as"):
            self._used.add(token.word)

    def _quoted(self, i: int, token: Token, previous: Token) -> None:
        if token.word != token.text[1:-1].replace('""', '"'):
            raise _Disagreement("a quoted name with capital letters")
        self._name(i, token, self._frames[-1], previous)

    # operators

    def _operator(self, i: int, token: Token, previous: Token) -> None:
        text = token.text
        if text not in PORTABLE_OPERATORS:
            raise _Disagreement(f"operator {text}")
        frame = self._frames[-1]
        if text == "(":
            self._push(i, previous, frame)
        elif text == ")":
            self._pop(i)
        elif text == ",":
            self._comma(i, frame)
        elif text == "::":
            self._cast(i)
        elif text in COMPARISONS:
            self._check_not_ordering(frame)
            self._compares |= frame.clause == "select"
        elif text in ARITHMETIC:
            self._arithmetic(i, text, frame, previous)

    def _push(self, i: int, previous: Token, frame: _Frame) -> None:
        call, clause = "", frame.clause
        if previous.kind is _WORD or previous.kind is _QUOTED:
            call = previous.word
            if call == "filter" and self._at(i - 2).text == ")":
                call = _LIST
            self._check_call(i, call, previous)
            if call in _LISTS or call == _LIST:
                clause = "using" if call in ("using", "as") else clause
                call = _LIST
            elif call not in FUNCTIONS and call not in NOT_CALLS:
                call, clause = _LIST, "using"
            elif call in RESERVED and call != "cast":
                call = ""
            self._mixes |= call in SCALE_MIXERS
        elif previous.text == "," and frame.clause == "values":
            call = _LIST
        self._frames.append(_Frame(call, clause, i))
        if call in SCALE_MIXERS or call in _DEFAULTING:
            self._operand(i + 1, self._frames[-1].mixture)

    def _check_call(self, i: int, call: str, name: Token) -> None:
        if call in UNPORTABLE_CALLS or (
            call in FUNCTIONS and (call not in PORTABLE_FUNCTIONS or name.kind is _QUOTED)
        ):
            raise _Disagreement(f"{call}()")
        if self._at(i - 2).text == ".":
            raise _Disagreement(f"a qualified {call}()")
        following = self._at(i + 1)
        if call == "extract" and following.word not in EXTRACT_FIELDS:
            raise _Disagreement(f"extract({following.word or following.text})")
        if call == "date_trunc" and following.text[1:-1] not in _DATE_UNITS:
            raise _Disagreement("date_trunc() to an unknown unit")

    def _pop(self, i: int) -> None:
        if len(self._frames) == 1:
            raise _Disagreement("a parenthesis too many")
        frame = self._frames.pop()
        if frame.query:
            self._queries -= 1
            self._check_limit(frame)
        if frame.call == "avg" and not self._is_double(i):
            raise _Disagreement("avg() without a cast to double precision")
        frame.mixture.safe |= self._is_double(i)
        if frame.mixture.mixes_scales:
            raise _Disagreement(f"{frame.call}() of what may differ in scale")
        self._last_call = frame.call

    def _is_double(self, end: int) -> bool:
        """Whether what ends before *end* is cast to double precision."""
        last = self._at(end - 1)
        if last.text == ")" and self._last_call == "cast":
            return self._is_type_double(end - 2, "as")
        return self._is_type_double(end - 1, "::")

    def _is_type_double(self, i: int, before: str) -> bool:
        if self._at(i).word == "precision":
            i -= 1
            if self._at(i).word != "double":
                return False
        elif self._at(i).word != "float8":
            return False
        return self._at(i - 1).text.lower() == before

    def _check_limit(self, frame: _Frame) -> None:
        if frame.limited and not frame.ordered and not self._selects_constant(frame.start + 1):
            raise _Disagreement("LIMIT without ORDER BY")

    def _selects_constant(self, i: int) -> bool:
        """Whether all rows of the query at *i* are equal: `SELECT 1 AS "a" FROM`."""
        if self._at(i).word != "select" or not _INTEGER.fullmatch(self._at(i + 1).text):
            return False
        end = i + 4 if self._at(i + 2).word == "as" else i + 2
        return self._at(end).word == "from"

    def _comma(self, i: int, frame: _Frame) -> None:
        if frame.clause == "condition" and not frame.call:
            frame.clause = "from"
        if not frame.call and not frame.query:
            raise _Disagreement("a row value")
        following = self._at(i + 1)
        self._argument(frame, following)
        if frame.call == "nth_value" and not (
            following.kind is _NUMBER and following.text.strip("0") and self._at(i + 2).text == ")"
        ):
            raise _Disagreement("nth_value() with no positive constant")
        frame.arguments += 1
        frame.mixture.safe |= self._is_double(i)
        if frame.call in SCALE_MIXERS or (frame.call in _DEFAULTING and frame.arguments == 3):
            self._operand(i + 1, frame.mixture)

    def _arithmetic(self, i: int, text: str, frame: _Frame, previous: Token) -> None:
        following = self._at(i + 1)
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
            self._check_moves_no_zone(i)
            return
        if binary and previous.kind is _NUMBER and following.kind is _NUMBER:
            return
        if any(f.call == "count" for f in self._frames):
            raise _Disagreement("arithmetic in count(), which DuckDB leaves out")
        if frame.clause != "select" or self._queries:
            # i + 1 > 5 overflows in PostgreSQL; DuckDB turns it into i > 4.
            raise _Disagreement("arithmetic outside the outermost SELECT list")
        if binary and text != "*":
            self._check_sum_or_difference(i, text, frame)
        self._computes = True

    def _check_moves_no_zone(self, i: int) -> None:
        """Adding days to a time stamp with zone may lead to an hour that is there twice, of which
        the two choose another."""
        if _FIXED_UNITS.fullmatch(self._at(i + 2).text) and self._at(i + 3).word not in _UNITS:
            return
        i -= 1
        while self._at(i - 1 - (self._at(i).word in _UNITS)).word == "interval":
            i -= 3 + (self._at(i).word in _UNITS)
        if self._at(i).kind is not _STRING or self._at(i - 1).word not in _TEMPORAL:
            raise _Disagreement("days or months added to what may have a time zone")

    def _check_sum_or_difference(self, i: int, text: str, frame: _Frame) -> None:
        """Of time stamps with zone PostgreSQL's difference is exact, DuckDB's has whole days; and
        DuckDB adds a constant to the sum() instead, where nothing overflows."""
        around = next((f.call for f in reversed(self._frames) if f.call), "")
        if around == "sum" and text == "+":
            self._check_not_constant(i, frame)
        numbers = around in _OF_NUMBERS or self._is_number_before(i) or self._is_number_after(i)
        if not numbers:
            raise _Disagreement("a sum or difference of what may have a time zone")

    def _check_not_constant(self, i: int, frame: _Frame) -> None:
        if self._is_name(i - 1) and self._is_name(i + 1):
            return
        before = frame.start - 2
        is_factor = not frame.call and self._at(before + 1).text == "*"
        before -= self._at(before).text == ")"
        if not (is_factor and self._is_name(before)):
            raise _Disagreement("sum() of a sum with a constant")

    def _is_name(self, i: int) -> bool:
        token = self._at(i)
        return token.kind is _QUOTED or (token.kind is _WORD and token.word not in RESERVED)

    def _is_number_before(self, i: int) -> bool:
        last = self._at(i - 1)
        if last.kind is _NUMBER or self._at(i - 2).text == "*" or self._is_double(i):
            return True
        if last.text == ")":
            return self._last_call in NUMERIC_RESULTS
        return last.word in INTEGER_TYPES and self._at(i - 2).text == "::"

    def _is_number_after(self, i: int) -> bool:
        first, second = self._at(i + 1), self._at(i + 2)
        if first.kind is _NUMBER or second.text == "*":
            return True
        if second.text == "(":
            return first.word in NUMERIC_RESULTS
        return second.text == "::" and self._at(i + 3).word in _NUMERIC_TYPES

    def _check_not_ordering(self, frame: _Frame) -> None:
        if frame.clause == "order":
            raise _Disagreement("an expression in ORDER BY")

    # casts and literals

    def _cast(self, i: int) -> None:
        operand = self._at(i - 1)
        words = (self._at(i + 1).word, self._at(i + 2).word)
        target = words[0]
        number = operand.kind is _NUMBER or (
            operand.text == ")" and self._last_call in NUMERIC_RESULTS
        )
        string = operand.text if operand.kind is _STRING else ""
        if words == ("double", "precision") or target == "float8":
            fine = not string or _INTEGER.fullmatch(string[1:-1]) is not None
        elif target in INTEGER_TYPES:
            fine = number or _INTEGER.fullmatch(string[1:-1]) is not None
        elif target in ("numeric", "decimal"):
            fine = operand.kind is _NUMBER and self._at(i + 2).text == "("
        elif target in ("text", "varchar"):
            fine = bool(string) and self._at(i + 2).text != "("
        elif target in ("date", "timestamp"):
            fine = _TYPED_LITERALS[target].fullmatch(string) is not None
            fine = fine and words[1] not in ("with", "without")
        else:
            fine = False
        if not fine and not (operand.word == "null" and target in INTEGER_TYPES):
            raise _Disagreement(f"a cast to {target[:40]}")

    def _string(self, token: Token, previous: Token) -> None:
        text = token.text
        if text[0] not in "'$":
            raise _Disagreement(f"a literal {text[0]}'...'")
        if "\n" in text and text[0] == "'" and _PIECES.search(text):
            raise _Disagreement("a literal in several pieces")
        if previous.word == "like" or self._frames[-1].call == "date_trunc":
            return
        self._check_not_ordering(self._frames[-1])
        if previous.kind is _WORD and previous.word not in RESERVED:
            pattern = _TYPED_LITERALS.get(previous.word)
            if pattern:
                if not pattern.fullmatch(text):
                    raise _Disagreement(f"a {previous.word} written {text[:40]}")
                return
            if previous.word not in NOT_CALLS and previous.word != "by":
                raise _Disagreement(f"a literal of type {previous.word[:40]}")
        if text[0] == "'" and _is_ambiguous_literal(text):
            raise _Disagreement(f"the text {text[:40]}, which may be read as another type")

    def _number(self, i: int, token: Token) -> None:
        following = self._at(i + 1)
        if following.kind is _WORD and following.start == token.start + len(token.text):
            raise _Disagreement(f"the number {(token.text + following.text)[:40]}")
        if _INTEGER.fullmatch(token.text):
            if self._frames[-1].call in SCALE_MIXERS:
                raise _Disagreement(f"{self._frames[-1].call}() with a numeric constant")
        elif _DECIMAL.fullmatch(token.text):
            self._decimals = True
        else:
            raise _Disagreement(f"the number {token.text[:40]}")
