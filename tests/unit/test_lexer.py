"""The tokens of a text, and which texts cannot be read."""

from __future__ import annotations

import inspect
import re
import sys
import tracemalloc

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgmd.sql import analyse
from pgmd.sql.lexer import MAX_BYTES, Kind, Unreadable, tokens


def texts(sql: str) -> list[str]:
    return [token.text for token in tokens(sql)]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select a,b", ["select", "a", ",", "b"]),
        ("a>=1 b<>-1 c!=+1", ["a", ">=", "1", "b", "<>", "-", "1", "c", "!=", "+", "1"]),
        ("a - -b", ["a", "-", "-", "b"]),
        ("a--b\n-c", ["a", "-", "c"]),
        ("a -/*x*/- b", ["a", "-", "-", "b"]),
        ("a/* /* n */ */b", ["a", "b"]),
        ("a::int[1:2]", ["a", "::", "int", "[", "1", ":", "2", "]"]),
        ("a->>'k' || x", ["a", "->>", "'k'", "||", "x"]),
        ("$1 $name ?", ["$1", "$name", "?"]),
        ("1.5e3 .5 1_000 1.", ["1.5e3", ".5", "1_000", "1."]),
        (
            "'a''b' E'a\\'b' $$a;$b$ $$ $t$ $$ $t$",
            ["'a''b'", "E'a\\'b'", "$$a;$b$ $$", "$t$ $$ $t$"],
        ),
        ("'a' \n 'b'", ["'a' \n 'b'"]),
        ("x'1f' b'01'", ["x'1f'", "b'01'"]),
        ('"a""b"."C"', ['"a""b"', ".", '"C"']),
        ("é, 'é', x", ["é", ",", "'é'", ",", "x"]),
        ("\ufeffselect 1", ["select", "1"]),
        ("-- only\n/* a */", []),
        ("a$b", ["a$b"]),
    ],
)
def test_texts(sql: str, expected: list[str]) -> None:
    assert texts(sql) == expected


def test_words() -> None:
    assert [(t.kind, t.word, t.start) for t in tokens('SeLECT "A""b", É, 1, \'X\'')] == [
        (Kind.WORD, "select", 0),
        (Kind.QUOTED, 'a"b', 7),
        (Kind.OPERATOR, "", 13),
        (Kind.WORD, "É", 15),
        (Kind.OPERATOR, "", 17),
        (Kind.NUMBER, "", 19),
        (Kind.OPERATOR, "", 20),
        (Kind.STRING, "", 22),
    ]


def test_case_is_folded_as_duckdb_does() -> None:
    # The Kelvin sign is not a k.
    assert tokens("ran\u212a")[0].word == "ran\u212a"


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("select 'abc", "unterminated"),
        ('select "abc', "unterminated"),
        ("select /* abc", "differently"),
        ("/* abc", "differently"),
        ("select $$abc", "differently"),
        ("select $a$b", "differently"),
        ("select E'a\\'", "unterminated"),
        ("select x'a", "unterminated"),
        ("select a\0", "NUL"),
        ("select '\ud800'", "surrogate"),
        ("select\u00a0nextval('s')", "white space"),
        ("select a\u2028b", "white space"),
        ("select U&'a'", ""),
        ("x" * (MAX_BYTES + 1), "longer"),
        ("/*" * 10 + "*/" * 10, ""),
    ],
)
def test_unreadable(sql: str, why: str) -> None:
    with pytest.raises(Unreadable):
        tokens(sql)


def shape(kind: str, size: int) -> str:
    """A text of about *size* characters that is hard in one way."""
    return {
        "white space": " \n" * (size // 2),
        "identifier": "a" * size,
        "number": "1" * size,
        "numbers": "1_0." * (size // 4),
        "operator": "*" * size,
        "signs": "+" * size,
        "signs apart": "+ " * (size // 2),
        "operators and signs": "<-" * (size // 2),
        "parentheses": "(" * (size // 2) + ")" * (size // 2),
        "brackets": "[" * size,
        "quotes": "'" * size,
        "odd quotes": "'" * (size + 1 - size % 2),
        "quotes apart": "' " * (size // 2),
        "double quotes": '"' * size,
        "literals": "N'a'" * (size // 4),
        "escapes": "E'" + "\\" * size,
        "pieces of a literal": "select 'a'" + "\n'b'" * (size // 4),
        "pieces without end": "select 'a'" + "\n'b'" * (size // 4) + "\n'",
        "space after a literal": "select 'a'" + "\n" * size + "x",
        "open literal": "select '" + "a" * size,
        "open name": 'select "' + "a" * size,
        "open comment": "select /*" + "a" * size,
        "open comments": "/*" * (size // 2),
        "nested comments": "/*" * (size // 4) + "*/" * (size // 4),
        "comments in one": "/*" + "/**/" * (size // 4),
        "comments": "/**/" * (size // 4),
        "comments apart": "/**/ " * (size // 5),
        "stars": "/" + "*" * size,
        "lines": "--\n" * (size // 3),
        "open dollar quote": "select $$" + "a" * size,
        "open tags": "".join(f"$a{n}$ " for n in range(size // 8)),
        "dollars": "$" * size,
        "dollars apart": "$ " * (size // 2),
        "parameters": "$1" * (size // 2),
        "names after dollars": "$a " * (size // 3),
        "no ASCII": "é" * (size // 2),
        "names without ASCII": "é," * (size // 3),
        "NUL": "select " + "\0" * size,
        "surrogates": "select '" + "\ud800" * size,
        "brackets of a type": "a::" * (size // 3),
    }[kind]


SHAPES = re.findall(r'^        "(.*)": ', inspect.getsource(shape), re.M)


def is_answered(sql: str) -> bool:
    """Whether there are tokens; nothing but Unreadable may be raised."""
    try:
        tokens(sql)
    except Unreadable:
        return False
    return True


@pytest.mark.parametrize("kind", SHAPES)
def test_hard_texts_are_answered(kind: str) -> None:
    is_answered(shape(kind, 40_000))
    assert analyse(shape(kind, 5_000)).text


@pytest.mark.parametrize("kind", SHAPES)
def test_memory_is_in_proportion_to_the_text(kind: str) -> None:
    sql = shape(kind, 20_000)
    tracemalloc.start()
    try:
        is_answered(sql)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 700 * len(sql.encode(errors="surrogatepass"))


@pytest.mark.parametrize("text", ["select 1;", "é", "'", "(", "\ud800"])
def test_what_is_too_long_is_not_looked_at(text: str) -> None:
    sql = text * (10 * MAX_BYTES // len(text))
    tracemalloc.start()
    try:
        with pytest.raises(Unreadable, match="longer"):
            tokens(sql)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10_000
    assert "longer" in analyse(sql).why


def test_bytes_count_not_characters() -> None:
    assert is_answered("é" * (MAX_BYTES // 2))
    with pytest.raises(Unreadable, match="longer"):
        tokens("é" * (MAX_BYTES // 2) + "a")


def test_ten_thousand_parentheses() -> None:
    sql = "select " + "(" * 10_000 + "1" + ")" * 10_000
    assert len(tokens(sql)) == 20_002
    analyse(sql)


def test_ten_thousand_nested_comments() -> None:
    assert not is_answered("select 1 " + "/*" * 10_000 + "*/" * 10_000)


def test_pieces_of_a_literal_are_one() -> None:
    sql = "select 'a'" + "\n'b'" * 10_000
    assert [token.kind for token in tokens(sql)] == [Kind.WORD, Kind.STRING]


@pytest.mark.parametrize("kind", SHAPES)
def test_work_grows_with_the_text(kind: str) -> None:
    """Nothing is looked up for each token in a list of all tokens."""
    steps = []
    for size in (1_000, 4_000):
        seen = Lines()
        sys.settrace(seen)
        try:
            is_answered(shape(kind, size))
        finally:
            sys.settrace(None)
        steps.append(seen.count)
    assert steps[1] < 5 * steps[0] + 100


class Lines:
    """Counts the lines of Python that run."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, *_: object) -> Lines:
        self.count += 1
        return self


@pytest.mark.parametrize("kind", [kind for kind in SHAPES if "open" in kind or "odd" in kind])
def test_a_megabyte_is_answered(kind: str) -> None:
    # Were anything tried again from each place, this would take hours.
    is_answered(shape(kind, MAX_BYTES - 100))


WORDS = r"""
select from nextval a é _ e5 1 1.5 $1 $ $$ $t$ ' '' " \ E' e' x' N' U& -- /* */
; ( ) , . :: : - + = < > [ ] { } % ?
"""
PIECES = st.sampled_from([*WORDS.split(), " ", "\n", "\r", "\u00a0", "\ufeff"])
# What the expression means to know better than DuckDB, or leaves alone.
EXCEPTIONS = ("\u00a0", "\ufeff", "U&", "N'", "n'")


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.lists(PIECES, max_size=12).map("".join))
def test_tokens_never_differ_from_duckdbs(sql: str) -> None:
    try:
        found = tokens(sql)
    except Unreadable:
        if not any(text in sql for text in EXCEPTIONS):
            assert not _parses(sql), sql
        return
    raw = sql.removeprefix("\ufeff").encode()
    assert b"".join(token.text.encode() for token in found) in _without_space(raw, found)
    theirs = {start for start, _ in duckdb.tokenize(sql.removeprefix("\ufeff"))}
    ours = {t.start for t in found if t.kind in (Kind.WORD, Kind.QUOTED, Kind.STRING)}
    assert ours <= theirs


def _without_space(raw: bytes, found: tuple[object, ...]) -> bytes:
    out = b""
    for token in found:
        start, text = token.start, token.text.encode()  # type: ignore[attr-defined]
        assert raw[start : start + len(text)] == text
        out += text
    return out


def _parses(sql: str) -> bool:
    with duckdb.connect() as connection:
        try:
            return bool(connection.extract_statements(sql))
        except (duckdb.Error, ValueError):
            return False


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(max_size=30))
def test_any_text_has_tokens_or_a_reason(sql: str) -> None:
    try:
        tokens(sql)
    except Unreadable as why:
        reason = str(why)
        assert reason
