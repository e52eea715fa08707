"""`local:` URLs and replicas of snapshots: an engine that serves its own file."""

from __future__ import annotations

import builtins
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

import pgmd
from pgmd import Reason, Route
from pgmd.replicas.snapshots import folder_of, newest
from pgmd.settings.conninfo import parse_conninfo


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "app.duckdb"


def test_it_needs_nothing_and_leaves_one_file(file: Path) -> None:
    with pgmd.connect(f"local:{file}") as engine, engine.session() as s:
        s.execute("CREATE TABLE t AS SELECT 7/2 AS a")
        assert s.execute("FROM t").fetchall() == [(3.5,)]
        assert folder_of(file).is_dir()
    assert list(file.parent.iterdir()) == [file]
    with duckdb.connect(str(file), read_only=True) as plain:
        assert plain.execute("FROM t").fetchall() == [(3.5,)]


async def test_it_serves_an_asyncio_engine_in_the_same_loop(file: Path) -> None:
    async with await pgmd.connect_async(f"local:{file}", replicas=1) as engine:
        async with engine.session() as s:
            await s.execute("CREATE TABLE t AS SELECT 1 AS a")
            await engine.publish()
            found = await s.execute("SELECT a FROM t")
            assert (found.fetchall(), found.decision.route) == ([(1,)], Route.REPLICA)


def test_a_read_goes_to_a_replica_once_what_was_written_is_published(file: Path) -> None:
    with pgmd.connect(f"local:{file}", replicas=2) as engine, engine.session() as s:
        s.execute("CREATE TABLE t AS SELECT 1 AS a")
        stale = s.execute("SELECT count(*) FROM t")
        assert (stale.fetchall(), stale.decision.reason) == ([(1,)], Reason.STALE)
        engine.publish()
        fresh = s.execute("SELECT count(*) FROM t")
        assert (fresh.fetchall(), fresh.decision.route) == ([(1,)], Route.REPLICA)
        s.execute("INSERT INTO t VALUES (2)")
        assert s.execute("SELECT count(*) FROM t").fetchall() == [(2,)]
        with engine.session(consistency="eventual") as other:
            lagging = other.execute("SELECT count(*) FROM t")
            assert (lagging.fetchall(), lagging.decision.route) == ([(1,)], Route.REPLICA)


def test_replicas_move_on_by_themselves_when_told_to(file: Path) -> None:
    seen = threading.Event()
    with pgmd.connect(f"local:{file}", replicas=1, refresh=0.05) as engine, engine.session() as s:
        s.execute("CREATE TABLE t AS SELECT 1 AS a")
        for _ in range(400):
            if s.execute("SELECT a FROM t").decision.route is Route.REPLICA:
                break
            seen.wait(0.05)
        assert s.execute("SELECT a FROM t").decision.route is Route.REPLICA


def test_publishing_goes_on_beside_an_old_reader_and_a_change_of_the_schema(file: Path) -> None:
    with pgmd.connect(f"local:{file}", replicas=1) as engine:
        with engine.session() as s, engine.session() as old:
            s.execute("CREATE TABLE t AS SELECT 1 AS a")
            with old.transaction() as tx:
                assert tx.execute("SELECT a FROM t").fetchall() == [(1,)]
                s.execute("ALTER TABLE t ADD COLUMN b int DEFAULT 5")
                s.execute("CREATE TABLE u AS SELECT 2 AS a")
                # DuckDB cannot write its file up to date now; the snapshot has the log with it.
                engine.publish()
                found = s.execute("SELECT t.b, u.a FROM t, u")
                assert (found.fetchall(), found.decision.route) == ([(5, 2)], Route.REPLICA)
            engine.publish()
            assert s.execute("SELECT a FROM u").decision.route is Route.REPLICA


def test_a_changed_table_is_read_on_a_replica_at_once(file: Path) -> None:
    query = "SELECT * FROM t"
    with pgmd.connect(f"local:{file}", replicas=1) as engine, engine.session() as s:
        s.execute("CREATE TABLE t AS SELECT 1 AS a")
        engine.publish()
        assert s.execute(query).fetchall() == [(1,)]
        s.execute("ALTER TABLE t ADD COLUMN b varchar DEFAULT 'x'")
        engine.publish()
        with s.snapshot() as snap:
            found = snap.execute(query)
            assert (found.fetchall(), found.decision.route) == ([(1, "x")], Route.REPLICA)
            assert [c.name for c in found.description or ()] == ["a", "b"]


def test_a_snapshot_block_sees_one_moment(file: Path) -> None:
    with pgmd.connect(f"local:{file}", replicas=1) as engine, engine.session() as s:
        s.execute("CREATE TABLE t AS SELECT 1 AS a")
        engine.publish()
        with s.snapshot() as snap, engine.session() as other:
            assert snap.execute("SELECT count(*) FROM t").fetchall() == [(1,)]
            other.execute("INSERT INTO t VALUES (2)")
            engine.publish()
            assert snap.execute("SELECT count(*) FROM t").fetchall() == [(1,)]


def test_replicas_can_do_no_more_than_the_endpoint(file: Path) -> None:
    with pgmd.connect(f"local:{file}", replicas=1) as engine, engine.session() as s:
        s.execute("CREATE TABLE t AS SELECT 1 AS a")
        engine.publish()
        for statement in ("SELECT * FROM read_text('/etc/passwd')", "FROM '/etc/passwd'"):
            with pytest.raises(psycopg.Error):
                s.execute(statement)
        with pytest.raises(pgmd.RoutingError):
            s.replica.execute("INSERT INTO t VALUES (2)")


def test_two_engines_on_one_file_are_refused(file: Path) -> None:
    with pgmd.connect(f"local:{file}"):
        with pytest.raises(pgmd.LocalError, match="open in this process already"):
            pgmd.connect(f"local:{file}").open()
        # By whatever path.
        link = file.with_name("link.duckdb")
        link.symlink_to(file)
        with pytest.raises(pgmd.LocalError, match="open in this process already"):
            pgmd.connect(f"local:{link}").open()
    with pgmd.connect(f"local:{file}") as engine, engine.session() as s:
        assert s.execute("SELECT 1").fetchall() == [(1,)]


def test_a_replica_alone_says_that_there_is_no_snapshot(file: Path) -> None:
    with pytest.raises(pgmd.ReplicaError, match="CREATE SNAPSHOT OF app"):
        pgmd.Engine(replicas=[pgmd.Replica(local=file)]).open()
    assert newest(file) is None


def test_a_lost_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(pgmd.LocalError, match="no/such/folder"):
        pgmd.connect(f"local:{tmp_path}/no/such/folder/app.duckdb").open()
    (tmp_path / "text.duckdb").write_text("no database " * 1000)
    with pytest.raises(pgmd.LocalError, match=r"text\.duckdb"):
        pgmd.connect(f"local:{tmp_path}/text.duckdb").open()


def test_options_of_the_server_are_checked_when_it_opens(file: Path) -> None:
    endpoint = pgmd.Endpoint(file=file, file_options={"no_such_option": 1})
    with pytest.raises(pgmd.ConfigurationError, match="no_such_option"):
        pgmd.Engine(endpoint).open()
    assert not file.exists()


def test_without_the_extra_it_says_what_to_install(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [n for n in sys.modules if n.startswith(("pgmd.local.", "pygwire"))]:
        monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("pygwire"):
            raise ModuleNotFoundError("No module named 'pygwire'", name="pygwire")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(pgmd.ConfigurationError, match=r"pip install 'pgmd\[local\]'"):
        pgmd.connect(f"local:{file}").open()


KILLED = """
import os, signal, sys
import pgmd
engine = pgmd.connect("local:" + sys.argv[1])
engine.open()
with engine.session() as s:
    s.execute("CREATE TABLE t AS SELECT 1 AS a")
    engine.publish()
    with s.transaction() as tx:
        tx.execute("INSERT INTO t VALUES (2)")
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_an_unclean_exit_loses_nothing_that_was_acknowledged(file: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(file)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert folder_of(file).is_dir()
    with pgmd.connect(f"local:{file}") as engine, engine.session() as s:
        assert s.execute("FROM t").fetchall() == [(1,)]
    assert not folder_of(file).exists()


def test_the_password_appears_nowhere(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    engine = pgmd.connect(f"local:{file}")
    secret = str(engine._core.settings.endpoint.secret)  # type: ignore[union-attr]
    with engine, engine.session() as s:
        s.execute("CREATE TABLE t (a int)")
        with pytest.raises(psycopg.Error) as failed:
            s.execute("SELECT nothing")
        shown = [repr(engine), repr(s), str(failed.value), caplog.text, str(engine.stats())]
        assert not any(secret in text for text in shown)
        # Nobody else on this machine gets in without it.
        options = parse_conninfo(engine._core.endpoint._settings.conninfo)  # type: ignore[union-attr]
        options.pop("password")
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(**options, passfile=os.devnull)
