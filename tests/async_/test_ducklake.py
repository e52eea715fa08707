"""Replicas that read a DuckLake, and a writer that goes on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import pgmd
from pgmd import Route

from ..fixtures.lakes import Lake, lake_in
from ..fixtures.stands import local_stand
from .helpers import instance_of, pause, until

MANY = "CREATE TABLE t AS SELECT range AS n, 'x' || range AS s FROM range(1000)"


def reading(lake: Lake, **settings: Any) -> pgmd.AsyncEngine:
    return pgmd.AsyncEngine(replicas=[pgmd.Replica(ducklake=lake.catalogue, **settings)])


async def count(s: pgmd.AsyncSession[Any]) -> Any:
    return (await s.execute("SELECT count(*) FROM t")).fetchall()[0][0]


async def test_a_lake_is_read_whatever_its_catalogue_is_in(lake: Lake) -> None:
    lake.write(
        MANY,
        "INSERT INTO t VALUES (-1, NULL)",
        "DELETE FROM t WHERE n = 7",
        "CREATE VIEW v AS SELECT count(*) AS n FROM t",
        "CREATE MACRO twice(x) AS 2 * x",
        "CREATE SCHEMA other",
        "CREATE TABLE other.u (d DECIMAL(9, 2), l INTEGER[], m STRUCT(a INTEGER))",
        "INSERT INTO other.u VALUES (1.25, [1, 2], {'a': 3})",
    )
    async with reading(lake) as engine, engine.session() as s:
        assert await count(s) == 1000
        result = await s.execute("SELECT n, twice(n) FROM v")
        assert result.fetchall() == [(1000, 2000)]
        assert result.decision.route is Route.REPLICA
        found = await s.execute("SELECT s FROM t WHERE n < %s ORDER BY n", [2])
        assert found.fetchall() == [(None,), ("x0",), ("x1",)]
        with duckdb.connect() as plain:
            expected = plain.execute("SELECT 1.25::DECIMAL(9, 2), [1, 2], {'a': 3}").fetchall()
        assert (await s.execute("SELECT * FROM other.u")).fetchall() == expected


async def test_an_older_snapshot_is_read_by_its_number(lake: Lake) -> None:
    lake.write(MANY, "DELETE FROM t")
    async with reading(lake) as engine, engine.session() as s:
        assert await count(s) == 0
        found = await s.execute("SELECT count(*) FROM t AT (VERSION => 1)")
        assert found.fetchall() == [(1000,)]


async def test_a_replica_shows_one_snapshot_until_it_moves_on(shared_lake: Lake) -> None:
    shared_lake.write(MANY)
    async with reading(shared_lake, max_size=2) as engine, engine.session() as s:
        async with s.snapshot() as snap:
            shared_lake.write("INSERT INTO t VALUES (1, 'y')", "CREATE TABLE later (n int)")
            assert await count(s) == 1000
            await engine.publish()
            assert (await snap.execute("SELECT count(*) FROM t")).fetchone() == (1000,)
        assert await count(s) == 1001
        assert (await s.execute("SELECT count(*) FROM later")).fetchone() == (0,)


async def test_a_replica_of_the_newest_snapshot_is_not_opened_anew(shared_lake: Lake) -> None:
    shared_lake.write(MANY)
    async with reading(shared_lake) as engine:
        before = engine._core.replicas.members
        since = before[0].freshness.since
        assert since is not None
        await engine.publish()
        assert engine._core.replicas.members == before
        assert (before[0].freshness.since or 0) > since
        shared_lake.write("DELETE FROM t")
        await engine.publish()
        assert engine._core.replicas.members != before


async def test_refresh_moves_it_on_by_itself(shared_lake: Lake) -> None:
    shared_lake.write(MANY)
    async with reading(shared_lake, refresh=0.05) as engine, engine.session() as s:
        first = engine._core.replicas.members
        shared_lake.write("DELETE FROM t")
        await until(lambda: engine._core.replicas.members != first)
        assert await count(s) == 0


async def test_a_session_reads_what_it_has_written(tmp_path: Path) -> None:
    lake = lake_in(tmp_path, "sqlite")
    lake.write("CREATE TABLE t (n int)")
    with local_stand(tmp_path) as stand:
        replicas = [pgmd.Replica(ducklake=lake.catalogue)]
        async with pgmd.AsyncEngine(stand.endpoint(), replicas) as engine, engine.session() as s:
            await engine.wait()
            await s.execute("CREATE TABLE t (n int)")
            assert (await s.execute("SELECT * FROM t")).decision.route is Route.ENDPOINT
            lake.write("INSERT INTO t VALUES (1)")
            await engine.publish()
            result = await s.execute("SELECT * FROM t")
            assert (result.fetchall(), result.decision.route) == ([(1,)], Route.REPLICA)
            await s.execute("INSERT INTO t VALUES (2)")
            assert (await s.execute("SELECT * FROM t")).decision.route is Route.ENDPOINT


async def test_a_snapshot_that_expires_while_it_is_shown_is_given_up(shared_lake: Lake) -> None:
    shared_lake.write(MANY)
    async with reading(shared_lake) as engine, engine.session() as s:
        assert await count(s) == 1000
        shared_lake.write(
            "DELETE FROM t",
            "INSERT INTO t SELECT range, 'z' FROM range(500)",
            "CALL ducklake_expire_snapshots('lake', older_than => now())",
            "CALL ducklake_cleanup_old_files('lake', cleanup_all => true)",
        )

        async def is_back() -> bool:
            try:
                return bool(await count(s) == 500)
            except psycopg.Error:
                return False

        while not await is_back():
            await pause()
        assert engine._core.replicas.failures == {}


# ------------------------------------------------------------------------------- boundaries


async def test_a_replica_changes_nothing_in_its_lake(shared_lake: Lake) -> None:
    shared_lake.write(MANY, "DELETE FROM t", "INSERT INTO t VALUES (1, 'y')")
    shared_lake.write("CALL ducklake_expire_snapshots('lake', older_than => now())")
    before = shared_lake.files()
    async with reading(shared_lake) as engine, engine.session() as s:
        slot = await engine._core.replicas.lend(lambda _: True)
        lent: Any = engine._core.lent_of(slot)
        try:
            for statement in (
                "INSERT INTO t VALUES (2, 'y')",
                "CREATE TABLE mine (n int)",
                "DROP TABLE t",
                "CALL ducklake_expire_snapshots('lake', older_than => now())",
                "SET enable_external_access = true",
                "SET allowed_directories = ['/']",
                f"FROM read_text('{shared_lake.data}/../*')",
                f"COPY (SELECT 1) TO '{shared_lake.data}.csv'",
                f"ATTACH '{shared_lake.data}.duckdb' AS another",
            ):
                with pytest.raises(duckdb.Error):
                    await lent._command(statement)
        finally:
            engine._core.replicas.give_back(slot)
        # DuckLake would remove these files even where it may not note that it has.
        remove = "SELECT * FROM ducklake_cleanup_old_files(%s, cleanup_all => true)"
        for ask in (s.execute, s.replica.execute):
            with pytest.raises(pgmd.RoutingError, match="not confirmed to be a read"):
                await ask(remove, [lake_name(engine)])
    assert shared_lake.files() == before


def files_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def lake_name(engine: pgmd.AsyncEngine) -> Any:
    asked = "SELECT database_name FROM duckdb_databases() WHERE type = 'ducklake'"
    return instance_of(engine._core.replicas.members[0]).ask(asked)[0]


async def test_the_data_may_be_elsewhere_than_the_catalogue_says(lake: Lake) -> None:
    lake.write(MANY)
    moved = lake.data.rename(lake.data.with_name("moved"))
    async with reading(lake, data_path=moved) as engine, engine.session() as s:
        assert await count(s) == 1000
    shutil.move(moved, lake.data)


@pytest.mark.parametrize("given", ["in the conninfo", "as a setting"])
async def test_the_catalogues_password_is_shown_nowhere(
    dsn: str, tmp_path: Path, given: str
) -> None:
    lake = Lake(f"postgres:{dsn}", tmp_path / "data")
    lake.write(MANY)
    password = str(conninfo_to_dict(dsn)["password"])
    assert password
    bare = make_conninfo("", **{k: v for k, v in conninfo_to_dict(dsn).items() if k != "password"})
    settings: dict[str, Any] = {"ducklake": f"ducklake:{lake.catalogue}"}
    if given == "as a setting":
        settings = {"ducklake": f"postgres:{bare}", "password": password}
    replica = pgmd.Replica(**settings)
    async with pgmd.AsyncEngine(replicas=[replica]) as engine, engine.session() as s:
        assert await count(s) == 1000
        instance = instance_of(engine._core.replicas.members[0])
        shown = [
            instance.ask(f"SELECT list(x::VARCHAR) FROM {name}() AS x")
            for name in ("duckdb_databases", "duckdb_secrets", "duckdb_settings")
        ]
        assert password not in repr(
            [replica, engine, engine._core.settings, engine._core.replicas.members, shown]
        )


async def test_a_catalogue_that_is_not_there_is_a_replica_that_does_not_open(
    tmp_path: Path, unused_port: int
) -> None:
    for catalogue in (
        str(tmp_path / "none.ducklake"),
        f"sqlite:{tmp_path}/none.sqlite",
        f"postgres:host=127.0.0.1 port={unused_port} dbname=d password=hush-7c1",
    ):
        with pytest.raises(pgmd.ReplicaError, match="no replica could be opened") as caught:
            await reading(Lake(catalogue, tmp_path)).open()
        assert "hush-7c1" not in str(caught.value)
    assert files_in(tmp_path) == []
