"""Settings of DuckDB that change a result: what the endpoint has, every replica has.

And no table's name ever means a variable of the calling program.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

import pgmd

from ..fixtures.stands import Stand

# By what they change; not all exist in every version.
RESULTS = {
    # rows and values
    "Calendar", "TimeZone", "default_collation", "default_null_order", "default_order", "null_order",
    "ieee_floating_point_ops", "integer_division", "old_implicit_casting",
    "order_by_non_integer_literal", "preserve_insertion_order",
    "scalar_subquery_error_on_multiple_rows", "disable_timestamptz_casts", "binary_as_string",
    "max_expression_depth", "pivot_limit", "debug_force_no_cross_product", "debug_window_mode",
    "debug_asof_iejoin", "ignore_unknown_crs", "deprecated_using_key_syntax",
    # names, and what is understood at all
    "preserve_identifier_case", "lambda_syntax", "file_search_path",
    "allow_parser_override_extension", "python_enable_replacements", "python_scan_all_frames",
    # errors, and what EXPLAIN returns
    "catalog_error_max_schemas", "errors_as_json", "warnings_as_errors", "explain_output",
    "current_transaction_invalidation_policy",
    # Arrow's types
    "arrow_large_buffer_size", "arrow_lossless_conversion", "arrow_output_list_view",
    "arrow_output_version", "produce_arrow_string_view",
}  # fmt: skip
# What these change is speed, memory, disk, logs, or what may be reached.
OTHERS = {
    "access_mode", "allowed_configs", "allowed_directories", "allowed_paths", "duckdb_api", "password",
    "user", "username", "schema", "search_path", "threads", "worker_threads", "external_threads",
    "home_directory", "lock_configuration", "memory_limit", "max_memory", "pin_threads",
    "checkpoint_threshold", "default_block_size", "default_secret_storage", "secret_directory",
    "streaming_buffer_size", "pandas_analyze_sample", "immediate_transaction_mode",
    "prefer_range_joins", "index_scan_max_count", "index_scan_percentage", "disabled_optimizers",
    "scheduler_process_partial", "storage_compatibility_version", "zstd_min_string_length",
    "late_materialization_max_rows", "block_allocator_memory", "geometry_minimum_shredding_size",
    "storage_block_prefetch", "variant_legacy_encoding", "validate_external_file_cache",
    "vacuum_rebuild_indexes", "max_temp_directory_size", "max_vacuum_tasks",
    "debug_verify_vector", "debug_verify_blocks", "debug_physical_table_scan_execution_strategy",
    "debug_force_external", "debug_eviction_queue_sleep_micro_seconds", "disable_database_invalidation",
    "custom_profiling_settings", "custom_user_agent", "custom_extension_repository",
    "experimental_metadata_reuse", "variant_minimum_shredding_size",
}  # fmt: skip
OTHER_PREFIXES = (
    "__delta", "allocator_", "allow_", "asof_", "auto_", "autoinstall_", "autoload_",
    "debug_checkpoint", "debug_skip_checkpoint", "disable_parquet", "disabled_", "dynamic_",
    "enable_", "enabled_", "extension_", "force_", "http_", "log_", "logging_", "merge_join_",
    "nested_loop_", "ordered_aggregate_", "parquet_", "partitioned_", "perfect_", "pivot_filter_",
    "prefetch_", "profile_", "profiling_", "progress_", "temp_", "wal_", "write_buffer_",
)  # fmt: skip
# What makes DuckDB answer as PostgreSQL does.
AS_POSTGRESQL = {
    "Calendar": "gregorian",
    "default_collation": "",
    "default_null_order": "NULLS_LAST_ON_ASC_FIRST_ON_DESC",
    "null_order": "NULLS_LAST_ON_ASC_FIRST_ON_DESC",
    "default_order": "ASCENDING",
    "old_implicit_casting": "false",
    "order_by_non_integer_literal": "false",
    "preserve_insertion_order": "true",
    "scalar_subquery_error_on_multiple_rows": "true",
    "disable_timestamptz_casts": "false",
    "errors_as_json": "false",
    "python_enable_replacements": "false",
    "python_scan_all_frames": "false",
}
# PostgreSQL differs whatever they are, so nothing that they change is routed: "/", for one.
NO_VALUE_AGREES = {"ieee_floating_point_ops", "integer_division", "preserve_identifier_case"}
ZONE = "Asia/Kathmandu"


def settings_of(connection: Any) -> dict[str, str]:
    rows = connection.execute("SELECT name, value FROM duckdb_settings()").fetchall()
    return {name: value for name, value in rows if name in RESULTS}


def of_every_replica(engine: pgmd.Engine) -> Iterator[dict[str, str]]:
    """What a cursor of each replica has."""
    engine.wait()
    for member in engine._core.replicas.members:
        instance: Any = member.instance
        yield settings_of(instance.cursor()._connection)


def test_every_setting_of_duckdb_has_been_thought_of() -> None:
    found = {name for (name,) in duckdb.execute("SELECT name FROM duckdb_settings()").fetchall()}
    left = {name for name in found - RESULTS - OTHERS if not name.startswith(OTHER_PREFIXES)}
    assert not left


def test_no_setting_is_listed_twice() -> None:
    assert not RESULTS & OTHERS
    assert {*AS_POSTGRESQL, *NO_VALUE_AGREES} <= RESULTS


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "copy.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS id")
    return path


def replicas_on(stand: Stand, file: Path) -> list[pgmd.Replica]:
    """One of each kind that such an endpoint can have."""
    if stand.is_postgres:
        return [*stand.replicas(1), pgmd.Replica(postgres=stand.dsn, mode="snapshot")]
    return [*stand.replicas(1), pgmd.Replica(file=file)]


@pytest.mark.only("local", reason="it has DuckDB's settings")
def test_replicas_have_the_settings_of_the_local_endpoint(stand: Stand, file: Path) -> None:
    names = [name for name in RESULTS if name in settings_of(duckdb.connect())]
    with psycopg.connect(stand.dsn, autocommit=True) as plain:
        asked = {
            name: plain.execute(f"SELECT current_setting('{name}')::text".encode()).fetchall()
            for name in names
        }
    theirs = {name: str(rows[0][0]) for name, rows in asked.items()}
    with pgmd.Engine(stand.endpoint(), replicas_on(stand, file)) as engine:
        replicas = list(of_every_replica(engine))
        assert len(replicas) == 2
        for ours in replicas:
            assert _lower(ours) == _lower(theirs)


def _lower(settings: dict[str, str]) -> dict[str, str]:
    """SET and duckdb_settings() spell some values differently."""
    return {name: str(value).lower() for name, value in settings.items()}


@pytest.mark.only("postgres", reason="the values that mean what PostgreSQL does")
def test_replicas_answer_as_postgresql_does(stand: Stand, file: Path) -> None:
    with psycopg.connect(stand.dsn, autocommit=True) as plain:
        plain.execute("CREATE TABLE t (id int)")
        plain.execute(f"ALTER DATABASE {plain.info.dbname} SET TimeZone = '{ZONE}'")
    wanted = _as_postgresql()
    with pgmd.Engine(stand.endpoint(), replicas_on(stand, file)) as engine:
        replicas = list(of_every_replica(engine))
        assert len(replicas) == 2
        for ours in replicas:
            assert ours == wanted


def _as_postgresql() -> dict[str, str]:
    """DuckDB's defaults, which are the same everywhere, but for those that PostgreSQL names."""
    defaults = settings_of(duckdb.connect())
    named = {name: value for name, value in AS_POSTGRESQL.items() if name in defaults}
    return {**defaults, **named, "TimeZone": ZONE}


def test_replicas_alone_have_the_settings_of_a_local_endpoint(file: Path) -> None:
    wanted = {**settings_of(duckdb.connect()), "python_enable_replacements": "false"}
    with pgmd.Engine(None, [pgmd.Replica(file=file)]) as engine:
        (ours,) = of_every_replica(engine)
    assert ours == {**wanted, "TimeZone": "UTC"}


def test_a_setting_in_the_callers_own_duckdb_reaches_no_replica(file: Path) -> None:
    duckdb.execute("SET GLOBAL integer_division = true")
    try:
        with pgmd.Engine(None, [pgmd.Replica(file=file)]) as engine, engine.session() as s:
            assert s.execute("SELECT 7 / 2 AS a").fetchall() == [(3.5,)]
    finally:
        duckdb.execute("RESET GLOBAL integer_division")


# Variables of the calling program

pandas_table = pytest.importorskip("pandas").DataFrame({"id": [1]})
arrow_table = pytest.importorskip("pyarrow").table({"id": [1]})


@pytest.mark.parametrize("name", ["pandas_table", "arrow_table", "local_table", "local_rows"])
def test_a_name_is_never_a_variable_of_the_program(stand: Stand, name: str, file: Path) -> None:
    local_table, local_rows = pandas_table, duckdb.sql("SELECT 1 AS id")
    assert local_table is not None
    assert local_rows is not None
    with ExitStack() as stack:
        engine = stack.enter_context(pgmd.Engine(stand.endpoint(), stand.replicas(1)))
        alone = stack.enter_context(pgmd.Engine(None, [pgmd.Replica(file=file)]))
        plain = stack.enter_context(psycopg.connect(stand.dsn, autocommit=True))
        s, own = stack.enter_context(engine.session()), stack.enter_context(alone.session())
        query = f"SELECT id FROM {name}"
        for run in (s.execute, s.endpoint.execute, s.replica.execute, own.execute):
            with pytest.raises(psycopg.errors.UndefinedTable):
                run(query)
        with pytest.raises(psycopg.Error):
            plain.execute(query.encode())


def test_duckdb_itself_would_have_taken_the_variable() -> None:
    with duckdb.connect() as connection:
        assert connection.execute("SELECT id FROM arrow_table").fetchall() == [(1,)]


def test_replicas_have_the_zone_of_the_endpoint(stand: Stand) -> None:
    query = "SELECT tz FROM t"
    with psycopg.connect(stand.dsn, autocommit=True) as plain:
        plain.execute("CREATE TABLE t (tz timestamptz)")
        plain.execute("INSERT INTO t VALUES ('2024-01-01 00:00:00+00')")
        if stand.is_postgres:
            plain.execute(f"ALTER DATABASE {plain.info.dbname} SET TimeZone = '{ZONE}'")
    with pgmd.Engine(stand.endpoint(), stand.replicas(1)) as engine, engine.session() as s:
        ((ours,),) = s.replica.execute(query).fetchall()
        ((theirs,),) = s.endpoint.execute(query).fetchall()
    assert (ours, repr(ours.tzinfo)) == (theirs, repr(theirs.tzinfo))
    assert ours.utcoffset() == dt.timedelta(hours=5, minutes=45) * stand.is_postgres
