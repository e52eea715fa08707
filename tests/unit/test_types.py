from __future__ import annotations

import duckdb
import pytest

from pgmd.parity.types import describe, parse


@pytest.mark.parametrize(
    ("text", "name", "oid", "is_array"),
    [
        ("DECIMAL(10,2)", "DECIMAL", 1700, False),
        ("INTEGER[]", "INTEGER", 1007, True),
        ("INTEGER[3]", "INTEGER", 1007, True),
        ("ENUM('a', 'b[]')", "ENUM", 25, False),
        ("TIMESTAMP WITH TIME ZONE", "TIMESTAMP WITH TIME ZONE", 1184, False),
    ],
)
def test_parse(text: str, name: str, oid: int, is_array: bool) -> None:
    kind = parse(text)
    assert kind is not None
    assert (kind.twin.name, kind.oid, kind.is_array) == (name, oid, is_array)


@pytest.mark.parametrize(
    ("expression", "oid", "size"),
    [
        ("true", 16, 1), ("1::TINYINT", 21, 2), ("1", 23, 4), ("1::BIGINT", 20, 8),
        ("1::HUGEINT", 1700, None), ("1.5::FLOAT", 700, 4), ("'x'", 25, None),
        ("now()::TIMESTAMPTZ", 1184, 8), ("[1]", 1007, None), ("'{}'::JSON", 114, None),
        ("['a']", 1009, None), ("uuid()", 2950, 16), ("INTERVAL 1 DAY", 1186, 16),
    ],
)  # fmt: skip
def test_duckdbs_own_names_are_known(expression: str, oid: int, size: int | None) -> None:
    description = duckdb.connect().execute(f"SELECT {expression}").description
    assert description is not None
    assert describe(str(description[0][1]))[:3:2] == (oid, size)


def test_a_decimal_has_precision_and_scale() -> None:
    assert describe("DECIMAL(12,3)") == (1700, None, None, 12, 3)


@pytest.mark.parametrize(
    ("expression", "oid", "fields"),
    [
        ("{'a': 1}", 25, [("a", "INTEGER")]),
        ("{'b c': 1, 'd\"e': [1.5]}", 25, [("b c", "INTEGER"), ('d"e', "DECIMAL")]),
        ("row(1, TIMESTAMPTZ '2024-01-01')", 25, [("", "INTEGER"), ("", "TIMESTAMP WITH TIME ZONE")]),
        ("{'TIMESTAMP': 'x'::ENUM('x', 'y,)')}", 25, [("TIMESTAMP", "ENUM")]),
        ("MAP {1: {'a': 2}}", 25, [("key", "INTEGER"), ("value", "STRUCT")]),
        ("[{'a': 1}]", 25, [("", "STRUCT")]),
        ("[[1], [2]]", 17000, [("", "INTEGER")]),
        ("['1'::BIT]", 25, [("", "BIT")]),
        ("'1'::BIT", 25, []),
        ("union_value(a := 1)", 25, []),
    ],
)  # fmt: skip
def test_types_without_a_twin_travel_as_text(
    expression: str, oid: int, fields: list[tuple[str, str]]
) -> None:
    description = duckdb.connect().execute(f"SELECT {expression}").description
    assert description is not None
    kind = parse(str(description[0][1]))
    assert kind is not None
    assert kind.is_text
    assert not kind.has_twin
    assert kind.oid == oid
    assert [(name, field.twin.name) for name, field in kind.fields] == fields


@pytest.mark.parametrize(
    "text", ["POINT_2D", "STRUCT(a POINT_2D)", "INTEGER(3)", "list of list", ""]
)
def test_types_that_are_not_known(text: str) -> None:
    assert parse(text) is None
    assert describe(text)[0] == 0
