"""What a DuckDB error becomes: message, diagnostics, position, cause; and no secret in any."""

from __future__ import annotations

import pickle
from pathlib import Path

import duckdb
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import errors as pg

from pgmd.errors import Outcome, annotate
from pgmd.parity import from_duckdb, from_endpoint, is_write_refusal
from pgmd.settings.redact import Redactor


@pytest.fixture
def connection(tmp_path: Path) -> duckdb.DuckDBPyConnection:
    path = tmp_path / "x.duckdb"
    with duckdb.connect(str(path)) as writer:
        writer.execute("CREATE TABLE t AS SELECT 1 AS a; CREATE SEQUENCE s")
    connection = duckdb.connect()
    connection.execute(f"ATTACH '{path}' AS x (READ_ONLY); USE x")
    return connection


def error(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Error:
    with pytest.raises(duckdb.Error) as caught:
        connection.execute(sql).fetchall()
    return caught.value


def wired(text: str) -> psycopg.Error:
    """What psycopg makes of an error whose SQLSTATE is not PostgreSQL's."""
    return psycopg.InternalError(text, info={67: b"XXUUU", 77: text.encode(), 83: b"ERROR"})


@pytest.mark.parametrize(
    ("sql", "cls"),
    [
        ("SELEC", pg.SyntaxError),
        ("SELECT * FROM missing", pg.UndefinedTable),
        ("SELECT missing FROM t", pg.UndefinedColumn),
        ("SELECT missing(1)", pg.UndefinedFunction),
        ("SELECT * FROM nowhere.t", pg.UndefinedTable),
        ("SELECT abs('a', 1)", pg.UndefinedFunction),
        ("SELECT a, count(*) FROM t", pg.GroupingError),
        ("SELECT 'x'::INTEGER", pg.InvalidTextRepresentation),
        ("SELECT 1000::TINYINT", pg.NumericValueOutOfRange),
        ("SELECT 2147483647 + 1::INTEGER", pg.NumericValueOutOfRange),
        ("INSERT INTO t VALUES (1)", pg.ReadOnlySqlTransaction),
        ("SELECT (SELECT range FROM range(2))", pg.CardinalityViolation),
        ("SELECT error('boom')", pg.DataException),
    ],
)
def test_the_class_that_psycopg_has_for_it(
    connection: duckdb.DuckDBPyConnection, sql: str, cls: type[psycopg.Error]
) -> None:
    mapped = from_duckdb(error(connection, sql), str)
    assert type(mapped) is cls
    assert mapped.diag.sqlstate == mapped.sqlstate == cls.sqlstate
    assert mapped.diag.severity == mapped.diag.severity_nonlocalized == "ERROR"
    assert "unsuccessful or closed" not in str(mapped)
    assert mapped.diag.message_primary
    assert "Error:" not in mapped.diag.message_primary
    assert str(mapped).startswith(mapped.diag.message_primary)


def test_the_message_is_without_the_line_shown(connection: duckdb.DuckDBPyConnection) -> None:
    mapped = from_duckdb(error(connection, "SELECT missing FROM t"), str)
    said = 'Referenced column "missing" not found in FROM clause!\nCandidate bindings: "a"'
    assert mapped.diag.message_primary == said
    assert str(mapped) == f"{said}\nLINE 1: SELECT missing FROM t\n               ^"


def test_what_wears_the_wrapper_is_what_is_inside() -> None:
    """Over the wire, too."""
    text = (
        "Invalid Input Error: Attempting to execute an unsuccessful or closed pending query result"
        "\nError: Conversion Error: Could not convert string 'x' to INT32"
    )
    for mapped in (
        from_duckdb(duckdb.InvalidInputException(text), str),
        from_endpoint(wired(text)),
    ):
        assert type(mapped) is pg.InvalidTextRepresentation
        assert mapped.diag.message_primary == "Could not convert string 'x' to INT32"


def test_over_the_wire_it_is_the_same(connection: duckdb.DuckDBPyConnection) -> None:
    sql = "SELECT missing FROM t"
    theirs = error(connection, sql)
    there = from_endpoint(wired(str(theirs)), text=sql)
    here = from_duckdb(theirs, str, text=sql)
    for mapped in (here, there):
        assert type(mapped) is pg.UndefinedColumn
        assert mapped.diag.sqlstate == "42703"
        assert mapped.diag.statement_position == "8"
    assert str(here) == str(there)
    assert here.diag.message_primary == there.diag.message_primary


def test_what_the_server_told_better_stays() -> None:
    told = pg.UniqueViolation("x", info={67: b"23505", 77: b"Catalog Error: x"})
    assert from_endpoint(told) is told
    strange = wired("no kind of DuckDB's")
    assert from_endpoint(strange) is strange


@pytest.mark.parametrize("text", ["Catalog Error: x", "Unheard-of Error: x", "x"])
def test_it_can_be_pickled(text: str) -> None:
    for mapped in (from_duckdb(duckdb.Error(text), str), from_endpoint(wired(text))):
        again = pickle.loads(pickle.dumps(mapped))
        assert type(again) is type(mapped)
        assert str(again) == str(mapped)
        assert again.diag.message_primary == mapped.diag.message_primary


def test_an_unknown_kind_has_the_base_class_of_duckdbs() -> None:
    mapped = from_duckdb(duckdb.OperationalError("Unheard-of Error: x"), str)
    assert type(mapped) is psycopg.OperationalError
    assert type(from_duckdb(OverflowError("date"), str)) is psycopg.DataError


# --------------------------------------------------------------------------------------- position


@pytest.mark.parametrize(
    ("sql", "at"),
    [
        ("SELECT missing", "missing"),
        ("SELECT 1,\n       missing", "missing"),
        ("SELECT 1,\r\n  2,\r  missing", "missing"),
        ("-- a comment\n\n/* another */ SELECT missing", "missing"),
        ("\n\n  SELECT missing  -- end", "missing"),
        ("SELECT 'é', 'ж', missing", "missing"),
        ("SELECT '漢字', missing", "missing"),
        ("SELECT " + "1 + " * 60 + "missing + " + "2 + " * 60 + "3", "missing"),
        ("SELECT '...', missing", "missing"),
        ("SELEC 1", "SELEC"),
        ("SELECT * FROM missing", "missing"),
        ("SELECT '12x'::INTEGER", "::"),
    ],
)
def test_the_position(connection: duckdb.DuckDBPyConnection, sql: str, at: str) -> None:
    mapped = from_duckdb(error(connection, sql), str, text=sql)
    assert mapped.diag.statement_position == str(sql.index(at) + 1)


LONG = "SELECT " + "1 + " * 90 + "missing" + " + 1" * 90


@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("SELECT missing", None),
        ("SELECT missing", "SELECT  missing"),
        ("SELECT 1,\nmissing", "SELECT 1, missing"),
        # The line is shortened, and what is shown occurs twice.
        (LONG, f"{LONG} {LONG}"),
        # Nobody knows how wide these are.
        ("SELECT '🏳️‍🌈', missing", "SELECT '🏳️‍🌈', missing"),
        ("SELECT 1 LIMIT", "SELECT 1 LIMIT"),
    ],
)
def test_no_position_unless_it_is_certain(
    connection: duckdb.DuckDBPyConnection, sql: str, text: str | None
) -> None:
    mapped = from_duckdb(error(connection, sql), str, text=text)
    assert mapped.diag.statement_position is None


@settings(max_examples=300, derandomize=True, deadline=None)
@given(
    before=st.lists(
        st.text(st.characters(exclude_characters="'\0", exclude_categories=["Cs"]), max_size=90),
        max_size=5,
    ),
    between=st.sampled_from([", ", ",\n", ",\r\n", " ,\t"]),
)
def test_the_position_is_right_or_missing(before: list[str], between: str) -> None:
    sql = "SELECT " + between.join([*(f"'{part}'" for part in before), "missing_name"])
    if "missing_name" in "".join(before):
        return
    with duckdb.connect() as connection:
        mapped = from_duckdb(error(connection, sql), str, text=sql)
    assert mapped.diag.statement_position in (None, str(sql.index("missing_name") + 1))
    if sql.isascii() and sql.isprintable():
        assert mapped.diag.statement_position is not None


# ---------------------------------------------------------------------------------------- secrets


def test_no_secret_in_the_error_nor_in_its_cause(connection: duckdb.DuckDBPyConnection) -> None:
    sql = "SELECT error('postgresql://u:hunter2@h password=hunter3 hunter4'), missing"
    for statement in (sql, "SELECT error('postgresql://u:hunter2@h password=hunter3 hunter4')"):
        theirs = error(connection, statement)
        assert "hunter2" in str(theirs)
        mapped = from_duckdb(theirs, Redactor(["hunter4"]), text=statement)
        mapped.__cause__ = theirs
        for said in (mapped, theirs, mapped.diag.message_primary, pickle.dumps(mapped)):
            assert "hunter" not in str(said)
            assert "hunter" not in repr(said)


def test_the_cause_keeps_its_class_and_words(connection: duckdb.DuckDBPyConnection) -> None:
    theirs = error(connection, "SELECT * FROM missing")
    said = str(theirs)
    from_duckdb(theirs, Redactor(["hunter"]))
    assert type(theirs) is duckdb.CatalogException
    assert str(theirs) == said


# ------------------------------------------------------------------------------- what may be done


@pytest.mark.parametrize(
    ("text", "retryable"),
    [
        ("TransactionContext Error: Conflict on update!", True),
        ('TransactionContext Error: Catalog write-write conflict on alter with "t"', True),
        ("TransactionContext Error: Failed to commit: PRIMARY KEY or UNIQUE constraint violation: "
         'duplicate key "5"', False),
        ("TransactionContext Error: Current transaction is aborted (please ROLLBACK)", False),
        ("INTERRUPT Error: Interrupted!", False),
        ('Catalog Error: Table with name "Conflict on update!" already exists!', False),
    ],
)  # fmt: skip
def test_whether_to_try_again(text: str, retryable: bool) -> None:
    for mapped in (from_duckdb(duckdb.Error(text), str), from_endpoint(wired(text))):
        known = annotate(mapped, is_read=False)
        assert known.outcome is Outcome.NOT_APPLIED  # type: ignore[attr-defined]
        assert known.retryable is retryable  # type: ignore[attr-defined]


def test_an_interrupt_is_a_cancelled_query() -> None:
    text = "INTERRUPT Error: Interrupted!"
    for mapped in (from_duckdb(duckdb.InterruptException(text), str), from_endpoint(wired(text))):
        assert type(mapped) is pg.QueryCanceled
        assert str(mapped) == "canceling statement due to user request"
        assert mapped.diag.message_primary == str(mapped)


def test_a_closed_connection_is_psycopgs() -> None:
    with duckdb.connect() as connection:
        pass
    mapped = from_duckdb(error(connection, "SELECT 1"), str)
    assert type(mapped) is psycopg.OperationalError
    assert str(mapped) == "the connection is closed"


# -------------------------------------------------------------------------------- refused writes


@pytest.mark.parametrize("sql", ["INSERT INTO t VALUES (1)", "SELECT nextval('s')", "DROP TABLE t"])
def test_a_refused_write_is_known(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    assert is_write_refusal(error(connection, sql))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM missing",
        "SELECT 'x'::INTEGER",
        "SELEC",
        'SELECT * FROM "cannot execute nextval() in a read-only transaction"',
        "SELECT error('there: cannot execute nextval() in a read-only transaction')",
        "SELECT error('Failed to x: ERROR:  cannot execute nextval() in a read-only transaction')",
    ],
)
def test_other_errors_are_not_taken_for_one(
    connection: duckdb.DuckDBPyConnection, sql: str
) -> None:
    assert not is_write_refusal(error(connection, sql))


@pytest.mark.parametrize("kind", ["", "IO Error: "])
def test_what_the_postgres_extension_passes_on_is_known_too(kind: str) -> None:
    refusal = "ERROR:  cannot execute nextval() in a read-only transaction\n"
    assert is_write_refusal(duckdb.Error(f"{kind}Failed to execute query: {refusal}"))
    assert not is_write_refusal(duckdb.Error(f"{kind}Failed to execute query: {refusal} x"))
