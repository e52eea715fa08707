"""`pgmd explain`: the decision, on the command line."""

from __future__ import annotations

import io
from pathlib import Path

import psycopg
import pytest

from pgmd.cli import main as cli
from pgmd.local import LocalEndpoint


def explain(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(["explain", *arguments]) == 0
    return capsys.readouterr().out


def test_a_write_is_told_its_facts_its_rule_and_what_to_do(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert explain(capsys, "SELECT nextval('ids')").splitlines() == [
        "endpoint: not confirmed to be a read (calls nextval())",
        "  rule:   NOT_A_READ",
        "  facts:  reads, writes",
        "  remedy: nothing: it writes",
    ]


def test_a_read_has_no_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    out = explain(capsys, "SELECT random()")
    assert out.startswith("replica: a confirmed read")
    assert "volatile" in out
    assert "remedy" not in out


def test_the_dialect_of_the_endpoint_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert explain(capsys, "SELECT 7/2").startswith("replica")
    assert "DIALECT" in explain(capsys, "--dialect", "postgres", "SELECT 7/2")


def test_a_statement_from_standard_input(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("DELETE FROM t"))
    assert "DELETE" in explain(capsys, "-")


def test_an_engine_looks_through_views_and_macros(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "app.duckdb"
    with LocalEndpoint(file, auth="trust") as endpoint:
        with psycopg.connect(endpoint.dsn, autocommit=True) as connection:
            connection.execute("CREATE SEQUENCE ids")
            connection.execute("CREATE MACRO draw() AS nextval('ids')")
            connection.execute("CREATE MACRO plus_one(x) AS x + 1")
    url = f"local:{file}"
    assert explain(capsys, "SELECT plus_one(1)").startswith("endpoint")
    assert explain(capsys, "--url", url, "SELECT plus_one(1)").startswith("replica")
    assert "draw: calls nextval()" in explain(capsys, "--url", url, "SELECT draw()")


def test_an_engine_that_cannot_connect_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", "--url", "nonsense://x", "SELECT 1"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("pgmd: ")
    assert err.count("\n") == 1
