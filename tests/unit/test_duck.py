"""One cursor, one statement at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb
import psycopg
import pytest

from pgmd import Replica
from pgmd.errors import ReplicaError, UsageError
from pgmd.parity import from_duckdb
from pgmd.replicas.cursor import Cursor, Interrupted, NotOneStatement, Run, _reader
from pgmd.replicas.instance import Instance, tells_of_replica
from pgmd.replicas.kinds import file
from pgmd.replicas.plans import Plan, Terms

LONG = "SELECT count(*) FROM range(100000) a, range(100000) b WHERE a.range * b.range = 7"


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[Instance]:
    path = tmp_path / "x.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE t AS SELECT range AS n FROM range(100)")
    plan = file.plan(Replica(file=path), Terms())
    opened = Instance(plan, str)
    yield opened
    opened.close()


def start(cursor: Cursor, run: Run) -> tuple[threading.Thread, list[object]]:
    """Run LONG in a thread; return when it is under way."""
    ended: list[object] = []

    def work() -> None:
        try:
            ended.append(cursor.execute(run, LONG, ()))
        except Interrupted as error:
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while cursor._run is not run:
        pass
    return thread, ended


def stop(cursor: Cursor, run: Run, thread: threading.Thread) -> None:
    while thread.is_alive():
        cursor.interrupt(run)
        thread.join(0.02)


def test_a_second_caller_is_refused_and_the_first_undisturbed(instance: Instance) -> None:
    cursor, run = instance.cursor(), Run()
    thread, ended = start(cursor, run)
    with pytest.raises(UsageError, match="two callers at once"):
        cursor.execute(Run(), "SELECT 1", ())
    assert ended == []
    stop(cursor, run, thread)
    assert isinstance(ended[0], Interrupted)


def test_an_interrupt_that_comes_too_late_does_not_hit_the_next_query(instance: Instance) -> None:
    cursor, late, run = instance.cursor(), Run(), Run()
    cursor.execute(late, "SELECT 1", ())
    thread, ended = start(cursor, run)
    for _ in range(20):
        cursor.interrupt(late)
    assert not cursor.broken
    thread.join(0.1)
    assert ended == []
    stop(cursor, run, thread)
    assert cursor.broken


def test_an_interrupt_that_comes_too_early_is_not_forgotten(instance: Instance) -> None:
    cursor, run = instance.cursor(), Run()
    cursor.interrupt(run)
    with pytest.raises(Interrupted):
        cursor.execute(run, "SELECT 1", ())
    assert cursor.execute(Run(), "SELECT 1", ()).rows == [(1,)]


@pytest.mark.parametrize("text", ["SELECT 1; SELECT 2", "SET threads = 1", "", "BEGIN"])
def test_duckdbs_own_parser_has_a_say_too(instance: Instance, text: str) -> None:
    with pytest.raises(NotOneStatement):
        instance.cursor().execute(Run(), text, ())


def test_a_failure_to_open_shows_no_secret_and_leaves_nothing_open(tmp_path: Path) -> None:
    replica = Replica(file=tmp_path / "postgresql:u:hunter2@h.duckdb")
    plan = file.plan(replica, Terms())
    with pytest.raises(ReplicaError) as caught:
        Instance(plan, lambda text: text.replace("hunter2", "***"))
    assert "hunter2" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("query", "known"),
    [
        ("SELECT range FROM range(100000000)", duckdb.InterruptException),
        (
            "SELECT CASE WHEN n < 90000 THEN 1 ELSE error('Conversion Error: x') END FROM big",
            duckdb.Error,
        ),
    ],
)
def test_errors_in_the_middle_of_arrow_are_duckdbs(query: str, known: type[duckdb.Error]) -> None:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE big AS SELECT range AS n FROM range(100000)")
        with pytest.raises(known) as caught:
            connection.execute(query)
            for number, _ in enumerate(_reader(connection, 10_000)):
                if number == 1 and known is duckdb.InterruptException:
                    connection.interrupt()
        assert isinstance(from_duckdb(caught.value, str), psycopg.Error)


def test_a_conflict_over_a_path_is_explained(tmp_path: Path) -> None:
    path = str(tmp_path / "x.duckdb")
    plan = Plan(path, {"python_enable_replacements": "false"})
    with (
        duckdb.connect(path),
        pytest.raises(ReplicaError, match="another part of this program has opened the same path"),
    ):
        Instance(plan, str)


def test_an_error_tells_of_the_replica_by_its_class() -> None:
    for told, kinds in {
        True: (duckdb.IOException, duckdb.ConnectionException, duckdb.FatalException),
        False: (duckdb.BinderException, duckdb.ConversionException, duckdb.OutOfMemoryException),
        # MotherDuck's word for a token that is not valid, and DuckDB's for a bad argument.
        None: (duckdb.InvalidInputException,),
    }.items():
        for kind in kinds:
            # Never by its words, which a query may have chosen.
            assert tells_of_replica(kind("IO Error: connection refused")) is told
