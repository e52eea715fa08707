"""The tokens of a text, and which texts cannot be read."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
