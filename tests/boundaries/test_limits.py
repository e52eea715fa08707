"""The limits of a replica arrive in its instance, and a query that meets one does no harm."""

from __future__ import annotations

import gc
from pathlib import Path

import duckdb
import psycopg
import pytest

import pgmd
from pgmd.routing.decision import Route

from .places import Place, files, instance_of

# A million and a half different rows: more than the replica may use.
TOO_MUCH = (
    "SELECT count(*) FROM "
    "(SELECT DISTINCT x.n AS a, y.n AS b, z.n AS c FROM many AS x, many AS y, many AS z) AS s"
)


def test_threads_and_memory_arrive_in_the_instance(place: Place) -> None:
    with place.connection() as connection:
        row = connection.execute(
            "SELECT current_setting('threads'), current_setting('memory_limit')"
        ).fetchone()
    assert row == (1, "30.5 MiB")  # 32 MB


def test_a_replica_without_limits_has_those_of_duckdb(tmp_path: Path) -> None:
    duckdb.connect(tmp_path / "app.duckdb").close()
    plain = duckdb.connect().execute("SELECT current_setting('memory_limit')").fetchone()
    with pgmd.Engine(replicas=[pgmd.Replica(file=tmp_path / "app.duckdb")]) as engine:
        cursor = instance_of(engine).cursor()
        row = cursor._connection.execute("SELECT current_setting('memory_limit')").fetchone()
        cursor.close()
    assert row == plain


def test_a_query_that_needs_more_memory_fails_and_the_replica_serves_on(place: Place) -> None:
    before = place.state()
    with place.engine.session() as s:
        with pytest.raises(psycopg.errors.OutOfMemory) as caught:
            s.execute(TOO_MUCH, route="replica")
        assert caught.value.sqlstate == "53200"
        assert caught.value.outcome is pgmd.Outcome.NOT_APPLIED  # type: ignore[attr-defined]
        result = s.execute("SELECT a FROM t", route="replica")
        assert result.fetchall() == [(1,)]
        assert result.decision.route is Route.REPLICA
    # Not even in a folder of temporary files.
    assert place.state() == before


def test_nothing_is_spilled(place: Place) -> None:
    with place.connection() as connection:
        row = connection.execute("SELECT current_setting('temp_directory')").fetchone()
        assert row == ("",)
        with pytest.raises(duckdb.OutOfMemoryException):
            connection.execute(TOO_MUCH)


@pytest.mark.parametrize("place", ["copy"], indirect=True)
def test_the_endpoint_answers_what_is_too_much_for_a_replica(place: Place) -> None:
    with place.engine.session() as s:
        result = s.execute(TOO_MUCH)
    assert result.fetchone() == (120**3,)
    assert result.decision.route is Route.ENDPOINT


@pytest.mark.parametrize("place", ["copy"], indirect=True)
def test_the_copy_of_a_database_leaves_nothing_but_itself(place: Place) -> None:
    place.engine.publish()
    gc.collect()
    assert [Path(name).suffix for name in files(place.database.parent)] == [".duckdb"]
