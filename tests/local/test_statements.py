"""What the local endpoint reads out of a client's text."""

from __future__ import annotations

import pytest

from pgmd.local.backend.statements import Action, Command, read


def one(text: str) -> Command:
    (command,) = read(text)
    return command


@pytest.mark.parametrize("text", ["", " ", ";", ";;", "-- nothing", "/* ; */ ;"])
def test_nothing_is_no_statement(text: str) -> None:
    assert read(text) == ()


def test_statements_are_parted_where_they_end_and_nowhere_else() -> None:
    text = "SELECT ';' AS \"a;b\" -- ;\n; INSERT INTO t VALUES ('ä;') /* ; */;\nFROM t"
    assert [command.verb for command in read(text)] == ["select", "insert", "from"]
    assert [command.text.strip() for command in read(text)] == [
        "SELECT ';' AS \"a;b\" -- ;",
        "INSERT INTO t VALUES ('ä;') /* ; */",
        "FROM t",
    ]


def test_what_cannot_be_cut_into_words_is_left_to_the_parser() -> None:
    assert read("SELECT 'open; FROM t") == (Command("SELECT 'open; FROM t"),)


@pytest.mark.parametrize(
    ("text", "snapshot", "database"),
    [
        ("CREATE SNAPSHOT OF app", None, "app"),
        ("create snapshot before of app", "before", "app"),
        ('CREATE SNAPSHOT "of" OF "My ""App"""', "of", 'My "App"'),
        ("/* now */ CREATE SNAPSHOT OF app;", None, "app"),
    ],
)
def test_create_snapshot(text: str, snapshot: str | None, database: str) -> None:
    command = one(text)
    assert command.action is Action.SNAPSHOT
    assert (command.snapshot, command.database) == (snapshot, database)


@pytest.mark.parametrize(
    "text",
    ["CREATE SNAPSHOT", "CREATE SNAPSHOT app", "CREATE SNAPSHOT a b OF c", "REFRESH DATABASE a b"],
)
def test_what_is_malformed_is_left_to_the_parser(text: str) -> None:
    assert one(text).action is Action.DUCKDB


@pytest.mark.parametrize(
    ("text", "database"),
    [("REFRESH DATABASE", None), ("refresh databases;", None), ('REFRESH DATABASE "app"', "app")],
)
def test_refresh(text: str, database: str | None) -> None:
    command = one(text)
    assert (command.action, command.database) == (Action.REFRESH, database)


@pytest.mark.parametrize(
    ("text", "action", "copied", "options"),
    [
        ("COPY t FROM STDIN", Action.COPY_IN, "t", ""),
        (
            "COPY s.t (a, b) FROM STDIN WITH (FORMAT csv)",
            Action.COPY_IN,
            "s.t (a, b)",
            "WITH (FORMAT csv)",
        ),
        ("COPY t TO STDOUT", Action.COPY_OUT, "t", ""),
        (
            "x; COPY (SELECT 'ä', 1 FROM t) TO STDOUT CSV",
            Action.COPY_OUT,
            "(SELECT 'ä', 1 FROM t)",
            "CSV",
        ),
        ("COPY t TO 'file.csv'", Action.DUCKDB, "", ""),
    ],
)
def test_copy(text: str, action: Action, copied: str, options: str) -> None:
    command = read(text)[-1]
    assert (command.action, command.copied, command.options) == (action, copied, options)


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("SELECT 1", "SELECT"),
        ("FROM t", "SELECT"),
        ("(VALUES (1))", "SELECT"),
        ("INSERT INTO t VALUES (1)", "INSERT 0"),
        ("CREATE OR REPLACE TEMP TABLE t AS SELECT 1", "CREATE TABLE"),
        ("CREATE UNIQUE INDEX i ON t (a)", "CREATE INDEX"),
        ("DROP SCHEMA s", "DROP SCHEMA"),
        ("end", "COMMIT"),
        ("ABORT", "ROLLBACK"),
        ("START TRANSACTION", "START TRANSACTION"),
        ("TRUNCATE t", "TRUNCATE TABLE"),
        ("SET a = 1", "SET"),
    ],
)
def test_tags_are_postgresqls(text: str, tag: str) -> None:
    assert one(text).tag == tag


@pytest.mark.parametrize(
    ("text", "casts"),
    [
        ("SELECT $1::int, $2", {1: 23}),
        ("SELECT CAST($1 AS varchar), TRY_CAST($3 AS uuid)", {1: 25, 3: 2950}),
        ("SELECT $1::no_such_type", {}),
        ("SELECT '$1::int'", {}),
    ],
)
def test_a_cast_tells_the_type_of_a_parameter(text: str, casts: dict[int, int]) -> None:
    assert dict(one(text).casts) == casts


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("SELECT * FROM range(3)", True),
        ("SELECT * FROM t JOIN unnest([1]) ON true", True),
        ("SELECT count(*) FROM t", False),
        ("SELECT * FROM (SELECT 1)", False),
        ("SELECT extract(year FROM abs(a)) FROM t", True),  # in doubt, the service would refuse
    ],
)
def test_table_functions(text: str, *, found: bool) -> None:
    assert one(text).from_function is found


@pytest.mark.parametrize(
    ("text", "returning", "target"),
    [
        ("INSERT INTO t VALUES (1) RETURNING a, b AS c", "a, b AS c", "t"),
        ("UPDATE s.t AS x SET a = 1 RETURNING *", "*", "s.t AS x"),
        ('DELETE FROM "T" RETURNING "T".a', '"T".a', '"T"'),
        ("DELETE FROM t", "", ""),
    ],
)
def test_what_dml_returns(text: str, returning: str, target: str) -> None:
    command = one(text)
    assert (command.returning, command.target) == (returning, target)
    assert command.returns is bool(returning)


def test_reads_are_told_from_writes() -> None:
    assert one("SELECT a FROM t").is_read
    assert not one("SELECT nextval('s')").is_read
    assert not one("WITH x AS (INSERT INTO t VALUES (1) RETURNING a) SELECT a FROM x").is_read
    assert not one("EXPLAIN ANALYZE INSERT INTO t VALUES (1)").is_read
