from __future__ import annotations

import pytest

from pgmd.routing.catalogue import Catalogue
from pgmd.sql import analyse

# Schema, table, column, type, ordered by code point, stores rows.
ROWS = [
    ("public", "flights", "id", "integer", True, True),
    ("public", "flights", "carrier", "text", True, True),
    ("public", "Words", "Word", "text", False, True),
    ("public", "Words", "n", "integer", True, True),
    ("public", "amounts", "amount", "numeric", True, True),
    ("public", "amounts", "fee", "numeric(10,2)", True, True),
    ("public", "amounts", "ratio", "real", True, True),
    ("public", "amounts", "code", "character(3)", True, True),
    ("public", "amounts", "data", "jsonb", True, True),
    ("public", "recent", "id", "bigint", True, False),
]
CATALOGUE = Catalogue.read(["public"], ROWS)


@pytest.mark.parametrize(
    ("sql", "column"),
    [
        ("SELECT id, carrier FROM flights ORDER BY carrier", ""),
        ("SELECT word FROM words", ""),
        ("SELECT word FROM words WHERE word = 'a'", ""),
        ("SELECT word FROM words ORDER BY word", "Words.word"),
        ("SELECT max(word) FROM words", "Words.word"),
        ("SELECT word FROM words WHERE word > 'a'", "Words.word"),
        ("SELECT n FROM words ORDER BY n", ""),
        ("SELECT * FROM words", ""),
        ("SELECT DISTINCT * FROM words", ""),
        ("SELECT fee FROM amounts WHERE fee > 1", ""),
        ("SELECT amount FROM amounts", "amounts.amount"),
        ("SELECT fee FROM amounts WHERE ratio = 1", "amounts.ratio"),
        ("SELECT fee FROM amounts WHERE code = 'a'", "amounts.code"),
        # Types of a result are compared when it is described; rows are not.
        ("SELECT * FROM amounts", ""),
        ("SELECT * FROM amounts UNION SELECT * FROM amounts", "amounts.amount"),
        ("SELECT * FROM amounts NATURAL JOIN flights", "amounts.amount"),
        ("SELECT id FROM nowhere ORDER BY word", ""),
    ],
)
def test_objection(sql: str, column: str) -> None:
    assert CATALOGUE.objection(analyse(sql)) == column


def test_a_copy_takes_the_tables_that_store_rows() -> None:
    assert [t.name for t in CATALOGUE.only([]).tables] == ["flights", "Words", "amounts"]
    assert [t.name for t in CATALOGUE.only(["words"]).tables] == ["Words"]
    with pytest.raises(LookupError, match="no such table: nope, recent"):
        CATALOGUE.only(["flights", "nope", "recent"])


@pytest.mark.parametrize(
    ("kind", "exact"),
    [
        ("integer", True), ("integer[]", True), ("numeric(38,2)", True), ("numeric(39,2)", False),
        ("numeric", False), ("timestamp(3) without time zone", True), ("interval day", True),
        ("character varying(10)[]", True), ("character(1)", False), ("time with time zone", False),
        ("mood", False), ("inet", False), ('"char"', False), ("real[]", False),
    ],
)  # fmt: skip
def test_which_types_a_replica_reads_exactly(kind: str, exact: bool) -> None:
    table = Catalogue.read(["s"], [("s", "t", "c", kind, True, True)]).tables[0]
    assert ("c" not in table.inexact) is exact
