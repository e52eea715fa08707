# Generated from tests/async_/test_snapshot_mode.py by pgmd._tools.unasync. Do not edit.
"""Replicas that lag: what a session may see of them, and how they move on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

import pgmd
from pgmd import Reason, Route
from pgmd.replicas.snapshots import folder_of
from pgmd.routing.freshness import Freshness
from pgmd.runtime import threads as runtime

from ..fixtures.stands import Stand
from .helpers import engine_on, instance_of, until


def lagging_on(stand: Stand, replicas: int = 2, **each: Any) -> pgmd.Engine:
    """An engine with replicas on a copy of what is there: PostgreSQL's have to be told so."""
    mode = {"mode": "snapshot"} if stand.is_postgres else {}
    return engine_on(stand, replicas, each={**mode, **each})


def engine_with(stand: Stand, **each: Any) -> pgmd.Engine:
    """An engine with two replicas on a copy that has one row."""
    with engine_on(stand, 0) as first, first.session() as s:
        kind = "jsonb" if stand.is_postgres else "json"
        s.execute(f"CREATE TABLE t (n int, j {kind})")
        s.execute("INSERT INTO t VALUES (1, '{\"a\": 1}')")
        s.execute("CREATE TABLE other (n int)")
    return lagging_on(stand, **each)


def count(s: pgmd.Session[Any]) -> tuple[Any, Route]:
    result = s.execute("SELECT count(*) FROM t")
    return result.fetchall()[0][0], result.decision.route


def test_a_session_never_misses_its_own_write(stand: Stand) -> None:
    with engine_with(stand) as engine, engine.session() as s, engine.session() as other:
        assert count(s) == (1, Route.REPLICA)
        s.execute("INSERT INTO t (n) VALUES (2)")
        assert count(s) == (2, Route.ENDPOINT)
        assert (s.execute("SELECT 1 AS a")).decision.reason is Reason.STALE
        assert count(other) == (1, Route.REPLICA)
        engine.publish()
        assert count(s) == (2, Route.REPLICA)
        assert count(other) == (2, Route.REPLICA)


def test_a_session_never_goes_back_in_time(stand: Stand) -> None:
    with engine_with(stand) as engine, engine.session() as s, engine.session() as other:
        other.execute("INSERT INTO t (n) VALUES (2)")
        assert (s.endpoint.execute("SELECT count(*) FROM t")).fetchone() == (2,)
        assert count(s) == (2, Route.ENDPOINT)


def test_consistency_hands_over_to_another_engine(stand: Stand) -> None:
    with engine_with(stand) as engine, lagging_on(stand, 1) as elsewhere:
        with engine.session() as s:
            s.execute("INSERT INTO t (n) VALUES (2)")
            bookmark = str(s.bookmark)
        with engine.session(after=bookmark) as same:
            assert count(same) == (2, Route.ENDPOINT)
        with elsewhere.session() as unaware, elsewhere.session(after=bookmark) as aware:
            assert count(unaware) == (1, Route.REPLICA)
            assert count(aware) == (2, Route.ENDPOINT)
            elsewhere.publish()
            assert count(aware) == (2, Route.REPLICA)
        with pytest.raises(ValueError, match="not a pgmd bookmark"):
            engine.session(after="yesterday")


def test_consistency_levels(stand: Stand) -> None:
    with engine_with(stand) as engine, engine.session() as writer:
        writer.execute("INSERT INTO t (n) VALUES (2)")
        for level, expected in (
            ("eventual", (1, Route.REPLICA)),
            ("session", (1, Route.REPLICA)),
            ("engine", (2, Route.ENDPOINT)),
            ("strong", (2, Route.ENDPOINT)),
        ):
            with engine.session(consistency=level) as s:  # type: ignore[call-overload]
                assert count(s) == expected, level
        with engine.session(consistency="eventual") as s:
            s.execute("INSERT INTO t (n) VALUES (3)")
            assert count(s) == (1, Route.REPLICA)
        with engine.session(max_staleness=0.0) as s:
            assert (s.execute("SELECT 1 AS a")).decision.reason is Reason.STALE
        with engine.session(max_staleness=600) as s:
            result = s.execute("SELECT 1 AS a")
            assert result.decision.route is Route.REPLICA
            assert result.decision.staleness is not None
            assert 0 < result.decision.staleness < 600
        with pytest.raises(pgmd.ConfigurationError, match="consistency='some'"):
            engine.session(consistency="some")  # type: ignore[call-overload]


def test_publishing_while_a_snapshot_is_open_leaves_it_alone(stand: Stand) -> None:
    with (
        engine_with(stand) as engine,
        engine.session() as s,
        engine.session() as writer,
    ):
        with s.snapshot() as snap:
            assert (snap.execute("SELECT count(*) FROM t")).fetchone() == (1,)
            writer.execute("INSERT INTO t (n) VALUES (2)")
            engine.publish()
            assert (snap.execute("SELECT count(*) FROM t")).fetchone() == (1,)
            assert count(writer) == (2, Route.REPLICA)
        assert count(s) == (2, Route.REPLICA)
        stats = engine.stats()["replicas"]
        assert (stats["replicas"], stats["pool_available"]) == (2, stats["pool_size"])


def test_publish_shows_what_others_wrote(stand: Stand) -> None:
    with engine_with(stand) as engine, engine.session() as s:
        for n in range(2, 5):
            with psycopg.connect(stand.dsn, autocommit=True) as other:
                other.execute("INSERT INTO t (n) VALUES (0)")
            engine.publish()
            assert count(s) == (n, Route.REPLICA)


def test_callers_of_publish_share_a_round(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    with engine_with(stand) as engine, engine.session() as s:
        rounds: list[Freshness] = []
        calls: list[int] = []
        publish = engine._core.replicas.publish

        def held(published: Freshness, replicas: Any) -> None:
            rounds.append(published)
            until(lambda: len(calls) == 9)
            publish(published, replicas)

        monkeypatch.setattr(engine._core.replicas, "publish", held)
        monkeypatch.setattr(engine._core.replicas, "check_publishable", lambda: calls.append(1))
        jobs = runtime.Jobs(9)
        first = jobs.start(engine.publish, print)
        until(lambda: len(rounds) == 1)
        s.execute("INSERT INTO t (n) VALUES (2)")
        others = [jobs.start(engine.publish, print) for _ in range(8)]
        for job in (first, *others):
            jobs.result(job)
        jobs.close()
        # The round that was under way cannot count for those who came later; one more does, and
        # another one if a caller was held up between its two first steps.
        assert len(rounds) in (2, 3)
        assert count(s) == (2, Route.REPLICA)


def test_old_copies_are_deleted(stand: Stand) -> None:
    with engine_with(stand) as engine, engine.session() as s:
        folder, kept = copies(stand, engine)
        for n in range(5):
            s.execute("INSERT INTO t (n) VALUES (%s)", [n])
            engine.publish()
            assert count(s) == (n + 2, Route.REPLICA)
        assert len(list(folder.glob("*.duckdb"))) == kept
    if stand.is_postgres:
        assert not folder.exists()


def copies(stand: Stand, engine: pgmd.Engine) -> tuple[Path, int]:
    """Where the copies are, and how many are kept."""
    if stand.file is not None:
        # They are the local endpoint's, and other engines may be about to open the newest but one.
        return folder_of(stand.file), 2
    attached = "SELECT path FROM duckdb_databases() WHERE database_name = 'pgmd_source'"
    return Path(instance_of(engine._core.replicas.members[0]).ask(attached)[0]).parent, 1


@pytest.mark.only("postgres", reason="a snapshot of a local endpoint has all tables")
def test_chosen_tables_only(stand: Stand) -> None:
    with engine_with(stand, tables=("t",)) as engine, engine.session() as s:
        assert count(s) == (1, Route.REPLICA)
        other = s.execute("SELECT count(*) FROM other")
        assert other.fetchone() == (0,)
        assert other.decision.reason is Reason.FAILED


@pytest.mark.only("postgres", reason="a snapshot of a local endpoint has all tables")
def test_a_missing_table_is_named(stand: Stand, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(pgmd.PoolTimeout, match="no such table: nope"):
        engine_with(stand, tables=("t", "nope"))
    replicas = stand.replicas(1, mode="snapshot", tables=("nope",))
    with pgmd.Engine(stand.endpoint(), replicas) as engine, engine.session() as s:
        assert (count(s))[1] is Route.ENDPOINT
    assert "no such table: nope" in caplog.text


def test_a_copy_keeps_json(stand: Stand) -> None:
    with engine_with(stand) as engine, engine.session() as s:
        result = s.replica.execute("SELECT * FROM t")
        assert result.fetchall() == [(1, {"a": 1})]


def test_each_replica_moves_on_in_its_own_time(stand: Stand) -> None:
    with engine_with(stand):
        pass
    mode: dict[str, Any] = {"mode": "snapshot"} if stand.is_postgres else {}
    replicas = [
        *stand.replicas(1, name="often", refresh=0.05, **mode),
        *stand.replicas(1, name="seldom", refresh=3600, **mode),
        *stand.replicas(1, name="never", **mode),
    ]
    with pgmd.Engine(stand.endpoint(), replicas) as engine, engine.session() as s:
        engine.wait()
        s.execute("INSERT INTO t (n) VALUES (2)")

        def shown() -> dict[str, float]:
            return {m.name: m.freshness.position for m in engine._core.replicas.members}

        until(lambda: shown()["often"] > 0)
        # Another round may be under way; whom else it would move on is seen when it has ended.
        first = next(m for m in engine._core.replicas.members if m.name == "often")
        until(lambda: all(m is not first for m in engine._core.replicas.members))
        assert shown() == {"often": 1, "seldom": 0, "never": 0}
        engine.publish()
        assert set(shown().values()) == {1}


def test_refresh_moves_the_copy_on_by_itself(stand: Stand) -> None:
    with engine_with(stand, refresh=0.05) as engine, engine.session() as s:
        s.execute("INSERT INTO t (n) VALUES (2)")
        until(lambda: s.explain("SELECT count(*) FROM t").route is Route.REPLICA)
        assert count(s) == (2, Route.REPLICA)
