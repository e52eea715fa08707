# Generated from tests/async_/test_engine.py by pgmd._tools.unasync. Do not edit.
"""Opening, closing, bad input, and secrets that stay secret."""

from __future__ import annotations

import logging
import secrets
import traceback
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import pgmd
from pgmd import Reason, Route
from pgmd.runtime import threads as runtime

from ..fixtures.stands import Stand
from .helpers import engine_on, until


def test_an_unreachable_endpoint_is_said_at_once(unused_port: int) -> None:
    with pytest.raises(psycopg.OperationalError, match="refused"):
        pgmd.connect(f"postgresql://u:tok-rw-9f2@127.0.0.1:{unused_port}/db")


def test_a_wrong_password(stand: Stand) -> None:
    wrong = secrets.token_hex(8)
    with pytest.raises(psycopg.OperationalError, match="authentication failed") as caught:
        pgmd.connect(make_conninfo(stand.dsn, password=wrong), replicas=1)
    assert wrong not in "".join(traceback.format_exception(caught.value))


def test_an_unknown_database(stand: Stand) -> None:
    said = 'database "nowhere" does not exist' if stand.is_postgres else "'nowhere' found"
    with pytest.raises(psycopg.OperationalError, match=said):
        pgmd.connect(make_conninfo(stand.dsn, dbname="nowhere"))


def test_missing_token() -> None:
    with pytest.raises(pgmd.ConfigurationError, match="MOTHERDUCK_TOKEN"):
        pgmd.connect("motherduck://db?region=us-east-1", environ={})


def test_malformed_url() -> None:
    with pytest.raises(pgmd.ConfigurationError, match="malformed"):
        pgmd.connect("postgresql://h:bad/db")


def test_a_new_engine_has_to_be_opened(stand: Stand) -> None:
    engine = pgmd.Engine(stand.endpoint())
    with pytest.raises(pgmd.UsageError, match="not open"):
        engine.session()
    with engine, engine.session() as s:
        assert (s.execute("SELECT 1")).fetchone() == (1,)


def test_a_closed_engine_and_its_sessions_say_so(stand: Stand) -> None:
    engine = engine_on(stand, 1)
    s = engine.session()
    engine.close()
    engine.close()
    with pytest.raises(pgmd.UsageError, match="engine is closed"):
        s.execute("SELECT 1")
    with pytest.raises(pgmd.UsageError, match="engine is closed"):
        engine.session()
    with pytest.raises(pgmd.UsageError, match="make a new one"):
        engine.open()


def test_a_closed_session_says_so(stand: Stand) -> None:
    with engine_on(stand, 0) as engine:
        s = engine.session()
        s.close()
        s.close()
        with pytest.raises(pgmd.UsageError, match="session is closed"):
            s.execute("SELECT 1")
        with pytest.raises(pgmd.UsageError, match="session is closed"):
            with s.transaction():
                pass


def test_a_session_used_twice_at_once_says_so(stand: Stand) -> None:
    with engine_on(stand, 0) as engine, engine.session() as s:
        jobs = runtime.Jobs(2)
        held = jobs.start(lambda: s.endpoint.execute(stand.long_query), getattr(s, "cancel", print))
        until(lambda: "in use" in repr(s))
        with pytest.raises(pgmd.UsageError, match="session of its own"):
            s.execute("SELECT 1")
        held.stop()
        jobs.close()
        assert (s.execute("SELECT 1")).fetchone() == (1,)


def test_wrong_parameters_are_refused_before_anything_is_sent(stand: Stand) -> None:
    wrong: list[tuple[str, Any, str]] = [
        ("SELECT %s, %s", [1], "the query has 2 placeholders but 1 parameters were passed"),
        ("SELECT %s", [1, 2], "the query has 1 placeholders but 2 parameters were passed"),
        ("SELECT %(a)s, %s", [1], "positional and named placeholders cannot be mixed"),
        ("SELECT %(a)s", {"b": 1}, "a"),
    ]
    with engine_on(stand, 1) as engine, engine.session() as s:
        for query, params, message in wrong:
            for view in (s, s.endpoint, s.replica):
                with pytest.raises(psycopg.ProgrammingError, match=message) as caught:
                    view.execute(query, params)
                assert caught.value.outcome is pgmd.Outcome.NOT_APPLIED  # type: ignore[attr-defined]
        assert engine.stats()["routed"] == {}


def test_unreadable_sql_gets_the_endpoints_error(stand: Stand) -> None:
    with engine_on(stand, 1) as engine, engine.session() as s:
        for query in ("SELEC 1", "SELECT 'abc", "SELECT (1", "/* open", 'SELECT "a'):
            with pytest.raises(psycopg.errors.SyntaxError):
                s.execute(query)
            assert (s.execute("SELECT 1")).fetchone() == (1,)


def test_sql_that_no_server_can_be_sent(stand: Stand) -> None:
    with engine_on(stand, 1) as engine, engine.session() as s:
        for text in ("SELECT 1\0; DROP TABLE x", "SELECT '\ud800'"):
            with pytest.raises(pgmd.UsageError, match="cannot be sent"):
                s.execute(text)
        with pytest.raises(pgmd.UsageError, match="not int"):
            s.execute(1)  # type: ignore[call-overload]


def test_empty_sql_does_what_psycopg_does(stand: Stand) -> None:
    with engine_on(stand, 1) as engine, engine.session() as s:
        for query in ("", "  ", ";", "-- nothing"):
            result = s.execute(query)
            assert result.description is None
            with pytest.raises(psycopg.ProgrammingError, match="didn't produce records"):
                result.fetchall()


def test_replicas_that_cannot_open_leave_the_endpoint_working(
    stand: Stand, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    replicas = [
        pgmd.Replica(file=tmp_path / "missing.duckdb"),
        pgmd.Replica(postgres="host=127.0.0.1 port=1", password="tok-rs-7c1"),
    ]
    with pgmd.Engine(stand.endpoint(), replicas) as engine, engine.session() as s:
        result = s.execute("SELECT 1 AS a")
        assert result.fetchone() == (1,)
        assert result.decision.reason is Reason.REPLICAS_DOWN
        assert engine.stats()["replicas"]["replicas_failed"] == 2
        with pytest.raises(pgmd.RoutingError, match="no replica serves"):
            s.replica.execute("SELECT 1 AS a")
    assert "replica-1" in caplog.text
    assert "tok-rs-7c1" not in caplog.text


def test_one_replica_of_two_is_enough(stand: Stand, tmp_path: Path) -> None:
    replicas = [pgmd.Replica(file=tmp_path / "missing.duckdb"), *stand.replicas(1)]
    with pgmd.Engine(stand.endpoint(), replicas) as engine, engine.session() as s:
        assert (s.execute("SELECT 1 AS a")).decision.replica == "replica-2"


def test_a_replica_that_is_not_read_only_is_refused(tmp_path: Path) -> None:
    with pytest.raises(pgmd.ReplicaError, match="not read-only"):
        _writable_instance(tmp_path)


def _writable_instance(tmp_path: Path) -> None:
    from dataclasses import replace

    from pgmd.replicas.instance import Instance
    from pgmd.replicas.kinds import file
    from pgmd.replicas.plans import Terms

    path = tmp_path / "x.duckdb"
    duckdb.connect(str(path)).close()
    plan = file.plan(pgmd.Replica(file=path), Terms())
    writable = tuple(s.replace(" (READ_ONLY)", "") for s in plan.setup)
    Instance(replace(plan, setup=writable), str)


def test_without_an_endpoint_it_is_a_replica_pool(tmp_path: Path) -> None:
    path = tmp_path / "flights.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE flights AS SELECT range AS id FROM range(10)")
    replicas = [pgmd.Replica(file=path, name="a"), pgmd.Replica(file=path, name="b")]
    with pgmd.Engine(replicas=replicas) as engine, engine.session() as s:
        result = s.execute("SELECT count(*) AS n, 7/2 AS q FROM flights WHERE id > %s", [4])
        assert result.fetchall() == [(5, 3.5)]
        assert (result.decision.route, result.decision.reason) == (
            Route.REPLICA,
            Reason.NO_ENDPOINT,
        )
        with s.snapshot() as snap:
            assert (snap.execute("SELECT max(id) FROM flights")).fetchone() == (9,)
        with pytest.raises(pgmd.RoutingError, match="INSERT"):
            s.execute("INSERT INTO flights VALUES (1)")
        with pytest.raises(psycopg.errors.UndefinedTable):
            s.execute("SELECT * FROM missing")
        with pytest.raises(pgmd.NotSupportedError, match="'a' reads a file"):
            engine.publish()
        with pytest.raises(pgmd.UsageError, match="no endpoint"):
            with s.transaction():
                pass


def test_no_replica_and_no_endpoint_is_an_error(tmp_path: Path) -> None:
    engine = pgmd.Engine(replicas=[pgmd.Replica(file=tmp_path / "missing.duckdb")])
    with pytest.raises(pgmd.ReplicaError, match="no replica could be opened"):
        engine.open()


def test_replicas_are_cut_off_from_the_machine(stand: Stand, tmp_path: Path) -> None:
    path = tmp_path / "x.duckdb"
    duckdb.connect(str(path)).close()
    secret = tmp_path / "secret.csv"
    secret.write_text("a\n1\n")
    replicas = [pgmd.Replica(file=path), *stand.replicas(1)]
    with pgmd.Engine(stand.endpoint(), replicas) as engine:
        engine.wait()
        for name in ("replica-1", "replica-2"):
            slot = engine._core.replicas.lend(lambda member, name=name: member.name == name)  # type: ignore[misc]
            lent: Any = engine._core.lent_of(slot)
            try:
                for attack in (
                    f"SELECT * FROM read_csv('{secret}')",
                    f"SELECT * FROM '{secret}'",
                    f"ATTACH '{tmp_path}/y.duckdb'",
                    f"COPY (SELECT 1) TO '{tmp_path}/out.csv'",
                    "SET threads = 3",
                    "SET enable_external_access = true",
                    "INSTALL httpfs",
                ):
                    with pytest.raises(duckdb.Error):
                        lent._command(attack)
            finally:
                engine._core.replicas.give_back(slot)
    assert not (tmp_path / "out.csv").exists()


def test_a_full_pool_says_how_to_help_itself(stand: Stand) -> None:
    settings: dict[str, Any] = {"max_size": 1, "timeout": 0.2, "min_size": 1}
    with engine_on(stand, 0, **settings) as engine:
        with engine.session() as holder, holder.transaction(), engine.session() as s:
            with pytest.raises(pgmd.PoolTimeout, match="raise max_size or timeout") as caught:
                s.execute("SELECT 1")
        assert caught.value.outcome is pgmd.Outcome.NOT_APPLIED


def test_a_table_name_never_means_a_python_variable(stand: Stand) -> None:
    frame = duckdb.sql("SELECT 42 AS answer").arrow()
    assert frame is not None
    with engine_on(stand, 1) as engine, engine.session() as s:
        with pytest.raises(psycopg.errors.UndefinedTable):
            s.execute("SELECT answer FROM frame")


def test_secrets_stay_out_of_logs_reprs_and_errors(
    stand: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    secret = str(conninfo_to_dict(stand.dsn).get("password") or "no password")
    shown: list[Any] = []
    with caplog.at_level(logging.DEBUG):
        with engine_on(stand, 2) as engine:
            with engine.session() as s:
                for query in ("SELECT 1 AS a", "SELECT * FROM missing", "SELEC", "SELECT 1/0"):
                    try:
                        shown.append((s.execute(query)).decision)
                    except psycopg.Error as error:
                        shown += traceback.format_exception(error)
                shown += [
                    engine,
                    s,
                    engine._core.settings,
                    engine.stats(),
                    engine._core.replicas.members,
                ]
                shown += [engine._core.endpoint, engine._core.replicas, engine._core.redact]
    text = "\n".join(map(repr, shown)) + "\n".join(map(str, shown)) + caplog.text
    assert len(text) > 500
    assert secret not in text
