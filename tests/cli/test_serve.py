"""`pgmd serve`: a process of its own that serves a file until it is told to stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

import pgmd
from pgmd.cli import main as cli


@contextmanager
def serving(
    file: Path, *arguments: str, **environ: str
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process, and the conninfo that it printed."""
    command = [sys.executable, "-m", "pgmd", "serve", str(file), "--port", "0", *arguments]
    with subprocess.Popen(
        command,
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line.startswith(f"serving {file} for development: "), line
            yield process, line.rpartition(": ")[2].strip()
        finally:
            process.terminate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_stopped(tmp_path: Path, number: signal.Signals) -> None:
    file = tmp_path / "app.duckdb"
    with serving(file) as (process, dsn):
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("CREATE TABLE t AS SELECT 7/2 AS a")
            connection.execute("CREATE SNAPSHOT OF app")
            process.send_signal(number)
            assert process.wait(20) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["app.duckdb"]
    with serving(file) as (_, dsn), psycopg.connect(dsn) as connection:
        assert connection.execute("FROM t").fetchall() == [(3.5,)]


def test_an_engine_reads_what_another_process_serves(tmp_path: Path) -> None:
    file = tmp_path / "app.duckdb"
    with serving(file) as (_, dsn):
        endpoint, replica = pgmd.Endpoint(dsn), pgmd.Replica(local=file)
        with pgmd.Engine(endpoint, [replica]) as engine, engine.session() as s:
            s.execute("CREATE TABLE t AS SELECT 1 AS a")
            engine.publish()
            found = s.execute("SELECT a FROM t")
            assert (found.fetchall(), found.decision.route) == ([(1,)], pgmd.Route.REPLICA)
        # Without an endpoint it reads what was published last.
        with pgmd.Engine(replicas=[replica]) as engine, engine.session() as s:
            assert s.execute("SELECT a FROM t").fetchall() == [(1,)]


def test_two_on_one_file_is_a_clear_error(tmp_path: Path) -> None:
    file = tmp_path / "app.duckdb"
    with serving(file) as (process, _):
        with pytest.raises(pgmd.LocalError, match=f"in use by process {process.pid}"):
            pgmd.connect(f"local:{file}").open()
        assert cli.main(["serve", str(file), "--port", "0"]) == 1


def test_tokens_come_from_the_environment_and_are_not_printed(tmp_path: Path) -> None:
    tokens = {
        "MOTHERDUCK_TOKEN": "writers-secret",
        "MOTHERDUCK_READ_SCALING_TOKEN": "readers-secret",
    }
    with serving(tmp_path / "app.duckdb", "--auth", "scram", **tokens) as (_, dsn):
        assert "secret" not in dsn
        with psycopg.connect(dsn, password="writers-secret", autocommit=True) as writer:
            writer.execute("CREATE TABLE t (a int)")
        with psycopg.connect(dsn, password="readers-secret", autocommit=True) as reader:
            assert reader.execute("FROM t").fetchall() == []
            with pytest.raises(psycopg.DatabaseError, match="read-only mode"):
                reader.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(psycopg.OperationalError, match="authentication failed"):
            psycopg.connect(dsn, password="guess")


def test_quirks_are_switched_by_name(tmp_path: Path) -> None:
    with serving(tmp_path / "app.duckdb", "--quirk", "none", "--quirk", "count_rows=true") as (
        _,
        dsn,
    ):
        with psycopg.connect(dsn, autocommit=True) as connection:
            assert connection.execute("DISCARD ALL").statusmessage == "DISCARD ALL"
            connection.execute("CREATE TABLE t (a int)")
            assert connection.execute("UPDATE t SET a = 1").fetchall() == [(0,)]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--quirk", "nonsense"], "unknown quirk 'nonsense'"),
        (["--port", "99999"], "port=99999"),
        (["--auth", "scram"], "needs a password"),
        (["--certificate", "missing.pem", "--private-key", "missing.pem"], "certificate"),
        (["--snapshot-every", "-1"], "snapshot_every"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    arguments: list[str],
    says: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MOTHERDUCK_TOKEN", raising=False)
    assert cli.main(["serve", str(tmp_path / "app.duckdb"), *arguments]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert says in err


def test_a_refused_server_leaves_no_signal_handler(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with serving(tmp_path / "app.duckdb"):
        assert cli.main(["serve", str(tmp_path / "app.duckdb"), "--port", "0"]) == 1
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
