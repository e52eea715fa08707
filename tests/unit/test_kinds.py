from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from pgmd import Replica
from pgmd.replicas.kinds import KINDS, ducklake, file, kind_of, motherduck, postgres
from pgmd.replicas.plans import Plan, Terms, search_path
from pgmd.replicas.postgres import copy_statements
from pgmd.replicas.publishing import publish_statement, refresh_statement
from pgmd.servers.profile import Dialect
from pgmd.sql.quoting import identifier, literal

RS = Replica(motherduck="analytics", token="tok-rs-7c1", session_name="alice", inactivity_ttl="0s")


def plan_of(replica: Replica) -> Plan:
    if replica.motherduck is not None:
        return motherduck.plan(replica, Terms(), replica.current_token(), number=1)
    return (file.plan if replica.file is not None else postgres.live_plan)(replica, Terms())


def published(replica: Replica) -> str | None:
    return kind_of(replica).publishes_as(replica)


def test_motherduck_path_has_every_setting_and_no_token() -> None:
    assert motherduck.path(RS, 7) == (
        "md:analytics?user=7&session_name=alice&attach_mode=single&saas_mode=true"
        "&access_mode=read_only&dbinstance_inactivity_ttl=0s"
    )


def test_values_in_the_path_cannot_add_parameters() -> None:
    replica = Replica(motherduck="a?b", token="t", session_name="x&saas_mode=false%25=y")
    path = motherduck.path(replica, 1)
    assert path.startswith("md:a%3Fb?user=1&session_name=x%26saas_mode%3Dfalse%2525%3Dy&")
    assert path.count("saas_mode=") == 1


def test_the_token_goes_through_config_only() -> None:
    token = RS.current_token()
    plan = motherduck.plan(RS, Terms(), token, number=1)
    assert plan.config["motherduck_token"] == "tok-rs-7c1"
    assert "tok-rs-7c1" not in plan.database
    assert "tok-rs-7c1" not in repr(plan)
    assert not any("tok-rs-7c1" in s for s in (*plan.setup, *plan.lock_down))
    assert plan.refresh == 'REFRESH DATABASE "analytics"'
    assert publish_statement("analytics") == 'CREATE SNAPSHOT OF "analytics"'


def test_a_motherduck_replica_proves_that_it_is_one() -> None:
    check = plan_of(RS).check
    connection = duckdb.connect()
    for duckling, expected in [("abc.rs.3", True), ("abc.rw", False), ("rs.x", False)]:
        connection.execute(
            f"CREATE OR REPLACE MACRO __md_duckling_id() AS TABLE SELECT '{duckling}' AS id"
        )
        assert connection.execute(check).fetchone() == (expected,)


def test_every_replica_keeps_names_from_resolving_to_python_variables() -> None:
    for replica in (RS, Replica(file="x.duckdb"), Replica(postgres="host=h")):
        plan = plan_of(replica)
        assert plan.config["python_enable_replacements"] == "false"
        assert "SET lock_configuration = true" in plan.lock_down


def test_local_replicas_are_cut_off_from_files_and_extensions() -> None:
    for replica in (Replica(file="x.duckdb"), Replica(postgres="host=h")):
        plan = plan_of(replica)
        assert "SET enable_external_access = false" in plan.lock_down
        assert plan.config["autoload_known_extensions"] == "false"


def test_the_postgres_password_is_in_the_secret_only() -> None:
    replica = Replica(postgres="postgresql://u:xy'zzy@h:5433/db?sslmode=require")
    secret, attach = postgres.attached(replica)
    assert "PASSWORD 'xy''zzy'" in secret
    assert "zzy" not in attach
    assert "sslmode=''require''" in attach
    assert "READ_ONLY" in attach


def test_nulls_are_ordered_as_the_endpoint_orders_them() -> None:
    replica = Replica(file="x.duckdb")
    terms = Terms("Europe/Berlin", Dialect.POSTGRES)
    setup = file.plan(replica, terms).setup
    assert any("nulls_last_on_asc_first_on_desc" in s for s in setup)
    assert "SET GLOBAL TimeZone = 'Europe/Berlin'" in setup
    assert not any("null_order" in s for s in file.plan(replica, Terms()).setup)


@pytest.mark.parametrize("name", ['we"ird', "Mixed Case", "select", "a.b", "it's"])
def test_odd_names_are_quoted(name: str, tmp_path: Path) -> None:
    connection = duckdb.connect()
    connection.execute(f"ATTACH ':memory:' AS {identifier(name)}")
    connection.execute(f"CREATE SCHEMA {identifier(name)}.{identifier(name)}")
    for statement in search_path(name, [name]):
        connection.execute(statement)
    connection.execute(f"CREATE TABLE t AS SELECT {literal(name)} AS x")
    assert connection.execute("SELECT x FROM t").fetchone() == (name,)


def test_a_copy_keeps_json_as_json() -> None:
    assert copy_statements([("s", "t", [("a", "integer"), ("j", "jsonb")])]) == [
        'CREATE SCHEMA IF NOT EXISTS copy."s"',
        'CREATE TABLE copy."s"."t" AS SELECT "a", "j"::JSON AS "j" FROM pgmd_source."s"."t"',
    ]


def test_no_two_instances_of_a_process_share_a_motherduck_path() -> None:
    """DuckDB would hand out the cached one, with the old token, or refuse another configuration."""
    paths = {motherduck.path(RS, number) for number in range(1, 4)}
    assert len(paths) == 3
    plain = Replica(motherduck="analytics", token="t")
    assert motherduck.path(plain, 1).endswith("&dbinstance_inactivity_ttl=0s")


def test_a_probe_reaches_what_is_behind_the_instance() -> None:
    plans = {
        name: plan_of(replica).probe
        for name, replica in {
            "motherduck": RS,
            "postgres": Replica(postgres="host=h"),
            "file": Replica(file="x.duckdb"),
        }.items()
    }
    assert "__md_duckling_id()" in plans["motherduck"]
    assert "postgres_query" in plans["postgres"]
    assert plans["file"] == "SELECT 1"


def test_databases_that_publish_by_snapshots() -> None:
    assert published(Replica(local="dir/app.duckdb")) == "app"
    assert published(RS) == "analytics"
    assert published(Replica(wire="host=h dbname=shop")) == "shop"
    assert published(Replica(postgres="host=h")) is None
    assert refresh_statement("shop") == 'REFRESH DATABASE "shop"'
    assert refresh_statement("") == "REFRESH DATABASES"


@pytest.mark.parametrize(
    ("settings", "attach"),
    [
        ({"ducklake": "x/app.ducklake"}, "'ducklake:x/app.ducklake' AS \"app\" (READ_ONLY)"),
        ({"ducklake": Path("app.db")}, "'ducklake:app.db' AS \"app\" (READ_ONLY)"),
        ({"ducklake": "ducklake:it's"}, "'ducklake:it''s' AS \"it's\" (READ_ONLY)"),
        (
            {"ducklake": "ducklake:sqlite:temp.sqlite", "data_path": "d/"},
            "'ducklake:sqlite:temp.sqlite' AS \"temp_file\" "
            "(READ_ONLY, DATA_PATH 'd/', OVERRIDE_DATA_PATH true)",
        ),
    ],
)
def test_a_lake_is_attached_as_ducklake_says_it(settings: dict[str, Any], attach: str) -> None:
    replica = Replica(**settings)
    assert ducklake.attached(replica) == (f"ATTACH {attach}",)
    pinned = f"ATTACH {attach.removesuffix(')')}, SNAPSHOT_VERSION 7)"
    assert ducklake.attached(replica, 7) == (pinned,)


@pytest.mark.parametrize(
    ("catalogue", "password"),
    [
        ("postgres:host=h dbname=lake password=xyzzy", None),
        ("postgres:host=h dbname=lake", "xyzzy"),
        ("ducklake:postgresql://h/lake", "xyzzy"),
        ("postgres:postgresql://:xyzzy@h/lake", None),
    ],
)
def test_a_lakes_password_is_in_the_secret_only(catalogue: str, password: str | None) -> None:
    replica = Replica(ducklake=catalogue, password=password)
    secret, attach = ducklake.attached(replica)
    assert "PASSWORD 'xyzzy'" in secret
    assert "HOST 'h'" in secret
    assert "xyzzy" not in attach
    assert 'AS "lake" (READ_ONLY, META_SECRET pgmd)' in attach
    assert replica.secrets == ["xyzzy"]
    assert "xyzzy" not in repr(replica)


def test_each_kind_of_replica_is_told_of() -> None:
    for kind in KINDS:
        assert f"- `{kind.source}`: " in str(Replica.__doc__)
