"""psql and pgbench against the local endpoint, as somebody would type it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import psycopg
import pytest

from pgmd.local import LocalEndpoint

needs_psql = pytest.mark.skipif(shutil.which("psql") is None, reason="needs psql")
needs_pgbench = pytest.mark.skipif(shutil.which("pgbench") is None, reason="needs pgbench")


def psql(endpoint: LocalEndpoint, *commands: str, typed: str = "", **options: str) -> str:
    """What psql prints; errors are failures of the test."""
    run = try_psql(endpoint, *commands, typed=typed, **options)
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout


def try_psql(
    endpoint: LocalEndpoint, *commands: str, typed: str = "", **options: str
) -> subprocess.CompletedProcess[str]:
    given = [word for name, value in options.items() for word in (f"-{name}", value) if word]
    asked = [word for command in commands for word in ("-c", command)]
    return subprocess.run(
        ["psql", "-X", "-d", endpoint.dsn, *given, *asked],
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env={**os.environ, "PGCONNECT_TIMEOUT": "10", "LC_ALL": "C.UTF-8"},
    )


@pytest.fixture
def filled(local: LocalEndpoint, table: str) -> str:
    return _fill(local, table)


def _fill(endpoint: LocalEndpoint, table: str) -> str:
    with psycopg.connect(endpoint.dsn, autocommit=True) as connection:
        connection.execute(
            f"CREATE TABLE {table} (id int PRIMARY KEY, v varchar, d date NOT NULL, l int[])"
        )
        connection.execute(
            f"INSERT INTO {table} VALUES (1, 'a', '2024-02-29', [1, NULL]), "
            "(2, NULL, 'infinity', NULL)"
        )
    return table


@needs_psql
def test_a_query(local: LocalEndpoint, filled: str) -> None:
    assert psql(local, f"SELECT * FROM {filled} ORDER BY id") == (
        " id | v |     d      |    l     \n"
        "----+---+------------+----------\n"
        "  1 | a | 2024-02-29 | {1,NULL}\n"
        "  2 |   | infinity   | \n"
        "(2 rows)\n\n"
    )


@needs_psql
def test_several_statements_in_one_text(local: LocalEndpoint, filled: str) -> None:
    text = (
        f"SELECT 1 AS x; INSERT INTO {filled} VALUES (3, 'c', '2024-01-01', []); "
        f"UPDATE {filled} SET v = 'x' WHERE id = 3; DELETE FROM {filled} WHERE id = 3; SELECT 2"
    )
    # The row before UPDATE's tag is DuckDB's own result, see Quirks.count_rows.
    assert psql(local, text, A="", t="") == "1\nINSERT 0 1\n1\nUPDATE 1\nDELETE 1\n2\n"


@needs_psql
def test_statements_one_after_the_other(local: LocalEndpoint, filled: str) -> None:
    found = psql(
        local, "BEGIN", f"DELETE FROM {filled}", "ROLLBACK", f"SELECT count(*) FROM {filled}",
        A="", t="",
    )  # fmt: skip
    assert found == "BEGIN\nDELETE 2\nROLLBACK\n2\n"


@needs_psql
def test_what_is_typed(local: LocalEndpoint) -> None:
    typed = (
        "\\set x 5\nSELECT :x AS a, 'é' AS b \\gx\n"
        "SELECT 1 AS n, 'a' AS t, 1.5::decimal(5,2) AS d \\gdesc\n"
    )
    assert psql(local, typed=typed) == (
        "-[ RECORD 1 ]\na | 5\nb | é\n\n"
        " Column |     Type     \n--------+--------------\n"
        " n      | integer\n t      | text\n d      | numeric(5,2)\n(3 rows)\n\n"
    )


@needs_psql
def test_an_error_and_the_exit_code(local: LocalEndpoint, plain: LocalEndpoint) -> None:
    run = try_psql(local, "SELECT 1 AS one; SELECT nope; SELECT 2", A="", t="")
    assert run.returncode == 1
    assert run.stdout == "1\n"
    assert run.stderr.startswith('ERROR:  Binder Error: Referenced column "nope" was not found')
    typed = "SELECT nope;\n\\echo code :LAST_ERROR_SQLSTATE\n"
    assert try_psql(local, typed=typed).stdout == "code XXUUU\n"
    assert try_psql(plain, typed=typed).stdout == "code 42703\n"
    stopped = try_psql(local, typed="SELECT nope;\nSELECT 1;\n", v="ON_ERROR_STOP=1")
    assert (stopped.returncode, stopped.stdout) == (3, "")


@needs_psql
def test_a_wrong_password(locked: LocalEndpoint) -> None:
    assert psql(locked, "SELECT 1", A="", t="") == "1\n"
    run = subprocess.run(
        ["psql", "-X", "-w", "-d", locked.public_dsn, "-c", "SELECT 1"],
        env={**os.environ, "PGPASSWORD": "wrong"},
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert run.returncode == 2
    assert "password authentication failed" in run.stderr


@needs_psql
def test_the_relations() -> None:
    with LocalEndpoint() as own:
        assert try_psql(own, "\\dt").stderr == "Did not find any relations.\n"
        _fill(own, "things")
        psql(own, "CREATE VIEW few AS SELECT id FROM things")
        both = psql(own, "\\d", A="", t="")
        assert [line.split("|")[:3] for line in both.splitlines()] == [
            ["main", "few", "view"],
            ["main", "things", "table"],
        ]
        tables = psql(own, "\\dt", A="", t="")
        assert [line.split("|")[:3] for line in tables.splitlines()] == [
            ["main", "things", "table"]
        ]
        views = psql(own, "\\dv", A="", t="")
        assert [line.split("|")[:3] for line in views.splitlines()] == [["main", "few", "view"]]


@needs_psql
def test_one_table(local: LocalEndpoint, filled: str) -> None:
    lines = psql(local, f"\\d {filled}").splitlines()
    assert lines[0].strip() == f'Table "main.{filled}"'
    assert [[cell.strip() for cell in line.split("|")] for line in lines[1:7] if "+" not in line] == [
        ["Column", "Type", "Collation", "Nullable", "Default"],
        ["id", "integer", "", "not null", ""],
        ["v", "text", "", "", ""],
        ["d", "date", "", "not null", ""],
        ["l", "integer[]", "", "", ""],
    ]  # fmt: skip
    missing = try_psql(local, "\\d nowhere")
    assert (missing.returncode, missing.stderr) == (
        1,
        'Did not find any relation named "nowhere".\n',
    )


CSV = '1,"a,""b""",2024-02-29\n2,,1999-01-01\n'
TEXT = '1\ta,"b"\t2024-02-29\n2\t\\N\t1999-01-01\n'


@needs_psql
@pytest.mark.parametrize(("options", "data"), [("csv", CSV), ("", TEXT)], ids=["csv", "text"])
def test_copy_from_a_file_and_back(
    plain: LocalEndpoint, table: str, tmp_path: Path, options: str, data: str
) -> None:
    given, found = tmp_path / "in", tmp_path / "out"
    given.write_text(data)
    psql(plain, f"CREATE TABLE {table} (id int, v varchar, d date)")
    assert psql(plain, f"\\copy {table} from '{given}' {options}") == "COPY 2\n"
    query = f"SELECT *, v IS NULL FROM {table} ORDER BY id"
    assert psql(plain, query, A="", t="") == '1|a,"b"|2024-02-29|f\n2||1999-01-01|t\n'
    assert psql(plain, f"\\copy {table} to '{found}' {options}") == "COPY 2\n"
    assert found.read_text() == data
    of_query = f"\\copy (SELECT id, v FROM {table} WHERE id = 1) to stdout csv header"
    assert psql(plain, of_query) == 'id,v\n1,"a,""b"""\n'


@needs_psql
def test_copy_from_is_refused_by_default(local: LocalEndpoint, filled: str, tmp_path: Path) -> None:
    given = tmp_path / "in"
    given.write_text(CSV)
    run = try_psql(local, f"\\copy {filled} from '{given}' csv")
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr == "ERROR:  Parser Error: COPY FROM STDIN is not supported\n"
    assert psql(local, f"\\copy {filled} to stdout csv") == (
        '1,a,2024-02-29,"{1,NULL}"\n2,,infinity,\n'
    )


@needs_psql
def test_copy_of_what_does_not_fit_changes_nothing(
    plain: LocalEndpoint, table: str, tmp_path: Path
) -> None:
    given = tmp_path / "in"
    given.write_text("1\n2\nthree\n")
    psql(plain, f"CREATE TABLE {table} (id int)")
    run = try_psql(plain, f"\\copy {table} from '{given}'")
    assert run.returncode == 1
    assert "three" in run.stderr
    assert psql(plain, f"SELECT count(*) FROM {table}", A="", t="") == "0\n"


@needs_pgbench
@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_pgbench(local: LocalEndpoint, table: str, tmp_path: Path, mode: str) -> None:
    script = tmp_path / "script.sql"
    # Each client has a row of its own: DuckDB lets the second of two writers fail.
    script.write_text(
        f"SELECT v FROM {table} WHERE id = :client_id;\n"
        f"UPDATE {table} SET v = v + 1 WHERE id = :client_id;\n"
    )
    with psycopg.connect(local.dsn, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE {table} (id int PRIMARY KEY, v int)")
        connection.execute(f"INSERT INTO {table} VALUES (0, 0), (1, 0)")
        run = subprocess.run(
            ["pgbench", "-n", "-f", str(script), "-M", mode, "-c", "2", "-t", "50", local.dsn],
            capture_output=True, text=True, check=False, timeout=40,
        )  # fmt: skip
        assert (run.returncode, run.stderr) == (0, "")
        assert "number of transactions actually processed: 100/100" in run.stdout
        assert connection.execute(f"FROM {table} ORDER BY id").fetchall() == [(0, 50), (1, 50)]
