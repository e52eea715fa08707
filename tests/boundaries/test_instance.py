"""Promise 7, as if routing had failed: what a replica's own instance refuses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import duckdb
import pandas
import polars
import pyarrow
import pytest

import pgmd
from pgmd.replicas.kinds.postgres import copy_plan
from pgmd.replicas.plans import Terms
from pgmd.settings.conninfo import parse_conninfo

from .forms import HARMLESS, REFUSED, WRITE_THROUGH_POSTGRES
from .places import WORD, Place, fill, filled_in

# What runs on no plain DuckDB either, or not in the way it is run here.
EVEN_REFUSED_WITHOUT_A_LOCK = {
    "FROM '{database}'",
    "FROM read_duckdb('{database}', table_name = 't')",
    "ATTACH '{database}' AS again (READ_ONLY)",
}


def _run(connection: duckdb.DuckDBPyConnection, text: str) -> list[tuple[object, ...]]:
    # These stand in the frame that calls DuckDB, where it would look for them.
    a_pandas_frame = pandas.DataFrame({"word": [WORD]})  # noqa: F841
    an_arrow_table = pyarrow.table({"word": [WORD]})
    a_polars_frame = polars.DataFrame({"word": [WORD]})  # noqa: F841
    an_arrow_reader = an_arrow_table.to_reader()  # noqa: F841
    a_relation = connection.sql("SELECT 1 AS word")  # noqa: F841
    return connection.execute(text).fetchall()


def _refusal(place: Place, form: str) -> str | None:
    """What is wrong with how a form was received; None if it was refused."""
    with place.connection() as connection:
        try:
            rows = _run(connection, place.text(form))
        except duckdb.Error as error:
            return f"shows the secret: {error}" if WORD in str(error) else None
    return f"runs and gives {str(rows)[:60]}"


@pytest.mark.parametrize(
    "tries",
    [
        "reads a file",
        "lists a folder",
        "writes a file",
        "reaches the program",
        "writes to the database",
    ],
)
def test_the_forms_do_something_where_nothing_is_locked(
    tries: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "place"
    fill(folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder))
    refused = {
        form
        for number, form in enumerate(REFUSED[tries])
        if not _runs_unlocked(form, folder, tmp_path / str(number) / "app.duckdb")
    }
    assert refused - EVEN_REFUSED_WITHOUT_A_LOCK == set()


def _runs_unlocked(form: str, folder: Path, database: Path) -> bool:
    database.parent.mkdir()
    with duckdb.connect(database) as made:
        made.execute("CREATE TABLE t AS SELECT 1 AS a")
    config: dict[str, Any] = {
        "autoload_known_extensions": "false",
        "autoinstall_known_extensions": "false",
    }
    connection = duckdb.connect(config=config)
    try:
        connection.execute(f"ATTACH '{database}' AS app; USE app")
        _run(connection, filled_in(form, folder=folder, database=database))
    except (duckdb.Error, UnicodeDecodeError):
        return False
    finally:
        connection.close()
    return True


@pytest.mark.parametrize("tries", REFUSED)
def test_every_form_is_refused_by_the_instance_itself(place: Place, tries: str) -> None:
    _check_all(place, REFUSED[tries])


def test_nothing_is_written_through_the_postgres_extension(place: Place) -> None:
    _check_all(place, WRITE_THROUGH_POSTGRES)


def _held(place: Place, forms: list[str]) -> list[str]:
    """Those that the instance of this place can hold back. A lake's files are opened as it is read,
    so DuckDB cannot be told to leave them alone, and a folder is made for a table before that is
    refused: only routing stands before these forms, see test_routes."""
    if place.kind != "lake":
        return forms
    return [f for f in forms if "{database}" not in f and f != "CREATE TABLE n AS SELECT 1"]


def _check_all(place: Place, forms: list[str]) -> None:
    before = place.state()
    received = {form: _refusal(place, form) for form in _held(place, forms)}
    after = place.state()
    assert [name for name in before if before[name] != after[name]] == []
    assert {form: wrong for form, wrong in received.items() if wrong} == {}


@pytest.mark.parametrize("form", HARMLESS)
def test_what_is_not_refused_leaves_no_trace_outside_its_cursor(place: Place, form: str) -> None:
    before = place.state()
    with place.connection() as connection:
        shown = connection.execute(form).fetchall()
        assert place.secret is None or place.secret not in str(shown)
    assert place.state() == before


# Some of these keep each other's doors shut, too: each must hold by itself.
LOCKS = {
    "enable_external_access": False,
    "lock_configuration": True,
    "python_enable_replacements": False,
    "autoload_known_extensions": False,
    "autoinstall_known_extensions": False,
    "allow_persistent_secrets": False,
    "temp_directory": "",
}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_lock_is_in_place(place: Place, lock: str) -> None:
    with place.connection() as connection:
        row = connection.execute(f"SELECT current_setting('{lock}')").fetchone()
    assert row == (LOCKS[lock],)


def test_what_a_copy_spills_stands_beside_it_and_not_in_the_working_folder() -> None:
    replica = pgmd.Replica(postgres="host=h", mode="snapshot")
    plan = copy_plan(replica, Path("/copies/one.duckdb"), Terms())
    assert plan.config["temp_directory"] == "/copies/one.duckdb.tmp"


# Whatever shows a path; a replica may show its own source.
SHOWS = [
    "FROM duckdb_databases()",
    "FROM pragma_database_list",
    "FROM pragma_database_size()",
    "FROM duckdb_settings()",
    "FROM duckdb_secrets()",
    "FROM duckdb_variables()",
    "FROM duckdb_temporary_files()",
    "FROM duckdb_external_file_cache()",
    "FROM duckdb_logs()",
    "FROM duckdb_log_contexts()",
    "FROM duckdb_tables()",
    "FROM duckdb_views()",
    "FROM duckdb_prepared_statements()",
    "FROM duckdb_memory()",
]


def test_the_only_paths_shown_are_those_of_the_source_and_of_the_home_folder(place: Place) -> None:
    with place.connection() as connection:
        shown = str([connection.execute(question).fetchall() for question in SHOWS])
    paths = set(re.findall(r"/(?:tmp|root|home|etc|usr|var)/[^\s'\",;\]\\]+", shown))
    source = str(place.database)
    own = {source, *(f"{source}.wal{more}" for more in ("", ".checkpoint", ".recovery"))}
    own.add(f"{place.folder}/.duckdb/stored_secrets")
    if place.kind == "lake":
        own.add(f"{place.database.parent}/data/")
    if place.kind == "live":
        # DuckDB takes what the extension connects with for a path.
        own.add(f"{place.folder}/connect_timeout=")
        (replica,) = place.engine._core.settings.replicas
        assert isinstance(replica, pgmd.Replica)
        own.add(str(parse_conninfo(replica.postgres)["host"]))
    assert paths <= own


def test_a_cursor_has_no_part_in_the_transaction_of_another_one(place: Place) -> None:
    with place.connection() as one, place.connection() as other:
        one.execute("BEGIN")
        one.execute("CREATE TEMP TABLE mine AS SELECT 1 AS a")
        one.execute("CREATE TABLE memory.main.ours AS SELECT 1 AS a")
        for statement in ("COMMIT", "ROLLBACK", "FROM mine", "FROM memory.main.ours"):
            with pytest.raises(duckdb.Error):
                other.execute(statement)
        assert one.execute("FROM mine").fetchall() == [(1,)]
        one.execute("ROLLBACK")


def test_an_extension_would_load_from_its_path_if_only_the_settings_were_locked(
    place: Place,
) -> None:
    connection = duckdb.connect(config={"lock_configuration": "true"})
    connection.execute(f"LOAD '{place.extension}'")
    connection.close()
    with place.connection() as locked, pytest.raises(duckdb.PermissionException):
        locked.execute(f"LOAD '{place.extension}'")
