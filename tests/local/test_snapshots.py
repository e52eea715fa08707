"""Snapshots and ducklings over the wire."""

from __future__ import annotations

import random
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors

from pgmd.local import LocalEndpoint, Quirks
from pgmd.replicas.snapshots import folder_of, newest

from .support import beside, client, is_asked, is_gate_closed, until


@contextmanager
def served(tmp_path: Path, **options: Any) -> Iterator[LocalEndpoint]:
    """Nothing moves by itself unless told to."""
    settings: dict[str, Any] = {
        "auth": "password",
        "password": "writes",
        "read_scaling_token": "reads",
        "snapshot_every": None,
        "pickup_every": 1000.0,
        "quirks": Quirks.none(),
    }
    with LocalEndpoint(tmp_path / "app.duckdb", **{**settings, **options}) as endpoint:
        with client(endpoint.dsn) as writer:
            writer.execute("CREATE TABLE t AS SELECT 1 AS a")
        yield endpoint


def rows(
    connection: psycopg.Connection[Any], query: str = "SELECT a FROM t ORDER BY a"
) -> list[Any]:
    found = connection.execute(query).fetchall()
    return [row[0] if len(row) == 1 else row for row in found]


# ------------------------------------------------------------------------------------ what is seen


def test_a_reader_shows_the_snapshot_it_picked_up(tmp_path: Path) -> None:
    with served(tmp_path) as endpoint, client(endpoint.dsn) as writer:
        with client(endpoint.read_scaling_dsn) as reader:
            assert rows(reader) == [1]
            writer.execute("INSERT INTO t VALUES (2)")
            assert rows(reader) == [1]
            writer.execute("CREATE SNAPSHOT OF app")
            assert rows(reader) == [1]
            refreshed = reader.execute("REFRESH DATABASE app")
            assert [c.name for c in refreshed.description or ()] == [
                "name", "type", "fully_qualified_name", "refreshed",
            ]  # fmt: skip
            assert refreshed.fetchall() == [("app", "motherduck", "md:app", True)]
            assert rows(reader) == [1, 2]


@pytest.mark.parametrize(
    "statement", ["REFRESH DATABASE", "REFRESH DATABASES", "refresh database APP", 'REFRESH DATABASE "app";']
)  # fmt: skip
def test_refresh_says_whether_there_was_something_newer(tmp_path: Path, statement: str) -> None:
    with served(tmp_path) as endpoint:
        with client(endpoint.dsn) as writer, client(endpoint.read_scaling_dsn) as reader:
            assert reader.execute(statement).fetchone() == ("app", "motherduck", "md:app", False)
            writer.execute("CREATE SNAPSHOT OF app")
            assert reader.execute(statement).fetchone() == ("app", "motherduck", "md:app", True)
            assert reader.execute(statement).fetchone() == ("app", "motherduck", "md:app", False)
            # The one that writes has nothing to pick up.
            assert writer.execute(statement).fetchone() == ("app", "motherduck", "md:app", False)


def test_a_prepared_statement_goes_on_after_the_reader_has_moved(tmp_path: Path) -> None:
    with served(tmp_path, pickup_every=0.0) as endpoint, client(endpoint.dsn) as writer:
        with client(endpoint.read_scaling_dsn, prepare_threshold=0) as reader:
            for last in range(1, 6):
                assert rows(reader) == list(range(1, last + 1))
                writer.execute("INSERT INTO t VALUES (%s)", [last + 1])
                writer.execute("CREATE SNAPSHOT OF app")


def test_the_columns_of_a_new_snapshot_are_those_that_are_told(tmp_path: Path) -> None:
    with served(tmp_path, pickup_every=0.0) as endpoint, client(endpoint.dsn) as writer:
        with client(endpoint.read_scaling_dsn) as reader:
            assert rows(reader, "FROM t") == [1]
            writer.execute("ALTER TABLE t ADD COLUMN b text DEFAULT 'x'")
            writer.execute("CREATE SNAPSHOT OF app")
            assert rows(reader, "FROM t") == [(1, "x")]


def test_readers_pick_up_by_themselves(tmp_path: Path) -> None:
    with served(tmp_path, pickup_every=0.05) as endpoint, client(endpoint.dsn) as writer:
        with client(endpoint.read_scaling_dsn) as reader:
            assert rows(reader) == [1]
            writer.execute("INSERT INTO t VALUES (2)")
            writer.execute("CREATE SNAPSHOT OF app")
            until(lambda: rows(reader) == [1, 2])


def test_a_reader_in_a_transaction_does_not_move(tmp_path: Path) -> None:
    with served(tmp_path, pickup_every=0.0) as endpoint, client(endpoint.dsn) as writer:
        with client(endpoint.read_scaling_dsn) as reader:
            with reader.transaction():
                assert rows(reader) == [1]
                writer.execute("INSERT INTO t VALUES (2)")
                writer.execute("CREATE SNAPSHOT OF app")
                assert rows(reader) == [1]
                with client(endpoint.read_scaling_dsn) as other:
                    assert rows(other) == [1, 2]
                assert rows(reader) == [1]
            assert rows(reader) == [1, 2]


def test_all_clients_of_a_duckling_move_even_when_another_refreshed_it(tmp_path: Path) -> None:
    with served(tmp_path, ducklings=1) as endpoint, client(endpoint.dsn) as writer:
        with client(endpoint.read_scaling_dsn) as one, client(endpoint.read_scaling_dsn) as two:
            assert rows(one) == rows(two) == [1]
            writer.execute("INSERT INTO t VALUES (2)")
            writer.execute("CREATE SNAPSHOT OF app")
            one.execute("REFRESH DATABASE app")
            assert rows(one) == rows(two) == [1, 2]


def test_the_time_zone_survives_moving_on(tmp_path: Path) -> None:
    moment = "SELECT TIMESTAMPTZ '2024-07-01 00:00:00+00'::text"
    with served(tmp_path, pickup_every=0.0) as endpoint, client(endpoint.dsn) as writer:
        with client(endpoint.read_scaling_dsn) as reader:
            assert reader.info.parameter_status("TimeZone") == "UTC"
            reader.execute("SET TimeZone = 'Asia/Tokyo'")
            assert reader.info.parameter_status("TimeZone") == "Asia/Tokyo"
            before = rows(reader, moment)
            writer.execute("INSERT INTO t VALUES (2)")
            writer.execute("CREATE SNAPSHOT OF app")
            assert rows(reader) == [1, 2]
            assert rows(reader, "SELECT current_setting('TimeZone')") == ["Asia/Tokyo"]
            assert rows(reader, moment) == before
        with client(endpoint.read_scaling_dsn) as other:
            assert rows(other, "SELECT current_setting('TimeZone')") == ["UTC"]


def test_a_reader_beside_readers_of_older_snapshots(tmp_path: Path) -> None:
    """Each is in a transaction on a snapshot of its own; the files are long gone."""
    with served(tmp_path, pickup_every=0.0) as endpoint, client(endpoint.dsn) as writer:
        readers = []
        try:
            for last in range(1, 6):
                reader = psycopg.connect(endpoint.read_scaling_dsn)
                readers.append(reader)
                assert rows(reader) == list(range(1, last + 1))
                writer.execute("INSERT INTO t VALUES (%s)", [last + 1])
                writer.execute("CREATE SNAPSHOT OF app")
            for last, reader in enumerate(readers, 1):
                assert rows(reader) == list(range(1, last + 1))
                reader.rollback()
                assert rows(reader) == [1, 2, 3, 4, 5, 6]
        finally:
            for reader in readers:
                reader.close()


# --------------------------------------------------------------------------------------- ducklings


def duckling(connection: psycopg.Connection[Any]) -> str:
    (name,) = rows(connection, "FROM __md_duckling_id()")
    return str(name)


def test_who_is_on_which_duckling(tmp_path: Path) -> None:
    with served(tmp_path, ducklings=3) as endpoint:
        with client(endpoint.dsn) as writer:
            assert duckling(writer).endswith(".rw")
        spread = set()
        for _ in range(3):
            with client(endpoint.read_scaling_dsn) as reader:
                spread.add(duckling(reader))
        assert {re.fullmatch(r".*\.rs\.(\d+)", name)[1] for name in spread} == {"0", "1", "2"}  # type: ignore[index]


def test_a_session_name_keeps_a_client_on_one(tmp_path: Path) -> None:
    with served(tmp_path, ducklings=4) as endpoint:
        landed: dict[str, set[Any]] = {}
        for name in ("one", "two", "three", "four", "five", "six"):
            for options in (f"-c session_name={name}", f"-csession_name={name} -c x=y"):
                with client(endpoint.read_scaling_dsn, options=options) as reader:
                    landed.setdefault(name, set()).add(duckling(reader))
        assert all(len(found) == 1 for found in landed.values())
        assert len(set.union(*landed.values())) > 1
        # For the one that writes it means nothing.
        with client(endpoint.dsn, options="-c session_name=one") as writer:
            assert duckling(writer).endswith(".rw")


@pytest.mark.parametrize(
    ("kind", "statement"),
    [
        ("INSERT", "INSERT INTO t VALUES (2)"),
        ("UPDATE", "UPDATE t SET a = 2"),
        ("DELETE", "DELETE FROM t"),
        ("CREATE", "CREATE TABLE u (a int)"),
        ("DROP", "DROP TABLE t"),
        ("ALTER", "ALTER TABLE t ADD COLUMN b int"),
    ],
)
def test_readers_do_not_write(tmp_path: Path, kind: str, statement: str) -> None:
    text = (
        f'Cannot execute statement of type "{kind}" on database "app" '
        "which is attached in read-only mode!"
    )
    with served(tmp_path) as endpoint, client(endpoint.read_scaling_dsn) as reader:
        with pytest.raises(psycopg.Error, match=re.escape(text)):
            reader.execute(statement)
        assert rows(reader) == [1]
        with pytest.raises(psycopg.Error, match="read-only"):
            reader.execute("CREATE SNAPSHOT OF app")


# --------------------------------------------------------------------------------- taking snapshots


def test_snapshots_are_listed(tmp_path: Path) -> None:
    query = (
        "SELECT database_name, snapshot_name FROM MD_INFORMATION_SCHEMA.DATABASE_SNAPSHOTS "
        "ORDER BY created_ts"
    )
    with served(tmp_path) as endpoint, client(endpoint.dsn) as writer:
        assert rows(writer, query) == []
        writer.execute("CREATE SNAPSHOT first OF app")
        writer.execute("CREATE SNAPSHOT OF app")
        writer.execute('CREATE SNAPSHOT "The ""third""" OF "app"')
        expected = [("app", "first"), ("app", None), ("app", 'The "third"')]
        assert rows(writer, query) == expected
        with client(endpoint.read_scaling_dsn) as reader:
            assert rows(reader, query) == expected
        (sizes,) = rows(
            writer, "SELECT min(active_bytes) FROM md_information_schema.database_snapshots"
        )
        assert sizes > 0


def test_of_another_database(tmp_path: Path) -> None:
    with served(tmp_path) as endpoint, client(endpoint.dsn) as writer:
        for statement in ("CREATE SNAPSHOT OF nothing", "REFRESH DATABASE nothing"):
            with pytest.raises(psycopg.Error, match="no database/share named 'nothing' found"):
                writer.execute(statement)
        assert newest(tmp_path / "app.duckdb") is None


def test_not_inside_a_transaction(tmp_path: Path) -> None:
    with served(tmp_path) as endpoint, client(endpoint.dsn) as writer:
        for statement in ("CREATE SNAPSHOT OF app", "REFRESH DATABASE app"):
            with writer.transaction():
                with pytest.raises(errors.ActiveSqlTransaction):
                    writer.execute(statement)
        assert newest(tmp_path / "app.duckdb") is None


def test_it_waits_for_a_writer_and_keeps_others_out(tmp_path: Path) -> None:
    with served(tmp_path, pickup_every=0.0) as endpoint, beside() as start:
        with (
            client(endpoint.dsn) as first,
            client(endpoint.dsn) as second,
            client(endpoint.dsn) as taker,
            client(endpoint.dsn) as looker,
        ):
            first.execute("BEGIN")
            first.execute("INSERT INTO t VALUES (2)")
            taken = start(taker.execute, "CREATE SNAPSHOT OF app")
            until(lambda: is_gate_closed(endpoint))
            written = start(second.execute, "INSERT INTO t VALUES (3)")
            until(lambda: is_asked(endpoint, second))
            # Who reads need not wait, nor who writes already.
            for _ in range(20):
                assert rows(looker) == [1]
            first.execute("INSERT INTO t VALUES (4)")
            assert not taken.done()
            assert not written.done()
            first.execute("COMMIT")
            taken.result(10)
            written.result(10)
            # The snapshot came first.
            with client(endpoint.read_scaling_dsn) as reader:
                assert rows(reader) == [1, 2, 4]
            assert rows(looker) == [1, 2, 3, 4]


def test_what_waits_can_be_cancelled(tmp_path: Path) -> None:
    with served(tmp_path) as endpoint, beside() as start:
        with (
            client(endpoint.dsn) as first,
            client(endpoint.dsn) as second,
            client(endpoint.dsn) as taker,
        ):
            first.execute("BEGIN")
            first.execute("INSERT INTO t VALUES (2)")
            taken = start(taker.execute, "CREATE SNAPSHOT OF app")
            until(lambda: is_gate_closed(endpoint))
            written = start(second.execute, "INSERT INTO t VALUES (3)")
            until(lambda: is_asked(endpoint, second))
            second.cancel_safe(timeout=10)
            with pytest.raises(errors.QueryCanceled):
                written.result(10)
            assert not taken.done()
            taker.cancel_safe(timeout=10)
            with pytest.raises(errors.QueryCanceled):
                taken.result(10)
            # Nobody is kept out any longer.
            second.execute("INSERT INTO t VALUES (4)")
            first.execute("COMMIT")
            taker.execute("CREATE SNAPSHOT OF app")
            assert rows(taker) == [1, 2, 4]


def test_a_writer_that_waited_in_its_transaction_can_go_on(tmp_path: Path) -> None:
    with served(tmp_path) as endpoint, beside() as start:
        with (
            client(endpoint.dsn) as first,
            client(endpoint.dsn) as second,
            client(endpoint.dsn) as taker,
        ):
            second.execute("BEGIN")
            assert rows(second) == [1]
            first.execute("BEGIN")
            first.execute("INSERT INTO t VALUES (2)")
            taken = start(taker.execute, "CREATE SNAPSHOT OF app")
            until(lambda: is_gate_closed(endpoint))
            written = start(second.execute, "INSERT INTO t VALUES (3)")
            until(lambda: is_asked(endpoint, second))
            second.cancel_safe(timeout=10)
            with pytest.raises(errors.QueryCanceled):
                written.result(10)
            second.execute("ROLLBACK")
            first.execute("COMMIT")
            taken.result(10)
            second.execute("INSERT INTO t VALUES (5)")
            assert rows(second) == [1, 2, 5]


def test_a_client_that_goes_leaves_the_gate(tmp_path: Path) -> None:
    with served(tmp_path) as endpoint, client(endpoint.dsn) as taker, beside() as start:
        first = psycopg.connect(endpoint.dsn)
        first.execute("INSERT INTO t VALUES (2)")
        taken = start(taker.execute, "CREATE SNAPSHOT OF app")
        until(lambda: is_gate_closed(endpoint))
        assert not taken.done()
        first.close()
        taken.result(10)
        assert rows(taker) == [1]


def test_a_failed_write_leaves_the_gate(tmp_path: Path) -> None:
    with served(tmp_path) as endpoint, client(endpoint.dsn) as writer:
        for statement in (
            "INSERT INTO t VALUES ('x')",
            "INSERT INTO nothing VALUES (1)",
            "DROP TABLE u",
        ):
            with pytest.raises(psycopg.Error):
                writer.execute(statement)
        with client(endpoint.dsn) as taker:
            taker.execute("CREATE SNAPSHOT OF app")


def test_a_snapshot_that_cannot_be_kept_is_an_error(tmp_path: Path) -> None:
    with served(tmp_path) as endpoint, client(endpoint.dsn) as writer:
        shutil.rmtree(folder_of(tmp_path / "app.duckdb"))
        with pytest.raises(errors.IoError):
            writer.execute("CREATE SNAPSHOT OF app")
        # The connection lives on, and nobody is kept out.
        writer.execute("INSERT INTO t VALUES (2)")
        folder_of(tmp_path / "app.duckdb").mkdir()
        writer.execute("CREATE SNAPSHOT OF app")


def test_snapshots_are_taken_by_themselves_but_not_while_somebody_writes(tmp_path: Path) -> None:
    file = tmp_path / "app.duckdb"
    with served(tmp_path, snapshot_every=0.02) as endpoint, client(endpoint.dsn) as writer:
        until(lambda: newest(file) is not None)
        latest = newest(file)
        with client(endpoint.dsn) as other, writer.transaction():
            writer.execute("INSERT INTO t VALUES (2)")
            # Many times the interval, in round trips; a write of another is not kept out.
            for n in range(200):
                other.execute("INSERT INTO t VALUES (%s)", [n + 10])
                assert newest(file) == latest
        until(lambda: newest(file) != latest)

        def is_shown() -> bool:
            with client(endpoint.read_scaling_dsn) as reader:
                reader.execute("REFRESH DATABASE app")
                return rows(reader, "SELECT count(*) FROM t") == [202]

        until(is_shown)


def test_without_writes_no_snapshot_follows(tmp_path: Path) -> None:
    file = tmp_path / "app.duckdb"
    with served(tmp_path, snapshot_every=0.01) as endpoint, client(endpoint.dsn) as writer:
        database = endpoint._running.database
        until(lambda: newest(file) is not None and not database.gate.is_busy)
        # The one that is on its way when the table is made counts no less.
        until(lambda: database._writes == database._writes_seen)
        count = len(database.snapshots)
        for _ in range(100):
            assert rows(writer) == [1]
        assert len(database.snapshots) == count


def test_files_come_and_go(tmp_path: Path) -> None:
    file = tmp_path / "app.duckdb"
    folder = folder_of(file)
    with served(tmp_path) as endpoint, client(endpoint.dsn) as writer:
        assert newest(file) is None
        for n in range(1, 12):
            writer.execute("INSERT INTO t VALUES (%s)", [n])
            writer.execute("CREATE SNAPSHOT OF app")
            found = newest(file)
            assert found is not None
            assert found.name == f"{n}.duckdb"
            assert len(list(folder.iterdir())) == min(n, 2)
    assert newest(file) is None
    assert not folder.exists()


def test_leftovers_are_removed_at_the_start(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "app.duckdb")
    folder.mkdir()
    (folder / "7.duckdb").write_bytes(b"old")
    (folder / "8.unfinished").write_bytes(b"older")
    with served(tmp_path) as endpoint:
        assert list(folder.iterdir()) == []
        with client(endpoint.read_scaling_dsn) as reader:
            assert rows(reader) == [1]


def test_beside_a_reader_that_is_older_than_a_change_of_the_schema(tmp_path: Path) -> None:
    with served(tmp_path, pickup_every=0.0) as endpoint:
        with client(endpoint.dsn) as writer, client(endpoint.dsn) as old:
            with old.transaction():
                assert rows(old) == [1]
                writer.execute("ALTER TABLE t ADD COLUMN b int DEFAULT 5")
                # Twice: the second time there is nothing new in the log.
                for _ in range(2):
                    writer.execute("CREATE SNAPSHOT OF app")
                    with client(endpoint.read_scaling_dsn) as reader:
                        assert rows(reader, "SELECT a, b FROM t") == [(1, 5)]
            writer.execute("CREATE SNAPSHOT OF app")
            with client(endpoint.read_scaling_dsn) as reader:
                assert rows(reader, "SELECT a, b FROM t") == [(1, 5)]
        assert len(list(folder_of(tmp_path / "app.duckdb").iterdir())) <= 4


def test_readers_see_whole_transactions(tmp_path: Path) -> None:
    enough = threading.Event()
    with served(tmp_path, pickup_every=0.0) as endpoint, beside() as start:
        with client(endpoint.dsn) as writer:
            writer.execute(
                "CREATE TABLE accounts AS SELECT i::int AS id, 100 AS amount FROM range(10) r(i)"
            )

        def move(seed: int) -> None:
            chance = random.Random(seed)
            with client(endpoint.dsn) as connection:
                while not enough.is_set():
                    give, take = chance.sample(range(10), 2)
                    try:
                        with connection.transaction():
                            for account, amount in ((give, -7), (take, 7)):
                                connection.execute(
                                    "UPDATE accounts SET amount = amount + %s WHERE id = %s",
                                    [amount, account],
                                )
                    except errors.SerializationFailure:
                        continue

        sums: set[Any] = set()
        shown: set[Any] = set()
        movers = [start(move, seed) for seed in (1, 2)]
        try:
            with client(endpoint.dsn) as taker, client(endpoint.read_scaling_dsn) as reader:
                while len(shown) < 12 and not any(m.done() for m in movers):
                    taken = start(taker.execute, "CREATE SNAPSHOT OF app")
                    sums.update(rows(reader, "SELECT sum(amount)::int FROM accounts"))
                    shown.update(
                        rows(reader, "SELECT list(amount ORDER BY id)::text FROM accounts")
                    )
                    taken.result()
        finally:
            enough.set()
        for mover in movers:
            mover.result()
        assert sums == {1000}
        assert len(shown) == 12
