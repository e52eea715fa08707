"""Each of MotherDuck's ways: what plain psycopg meets, and what pgmd's engine makes of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors

import pgmd
from pgmd.local import LocalEndpoint, Quirks
from pgmd.process.clock import now


@contextmanager
def served(**quirks: Any) -> Iterator[LocalEndpoint]:
    """An endpoint with these quirks and no others, and a small table."""
    with LocalEndpoint(
        quirks=Quirks.parse(["none", *(f"{k}={v}" for k, v in quirks.items())])
    ) as local:
        with plain(local) as connection:
            connection.execute("CREATE TABLE flights (id int PRIMARY KEY, carrier text)")
            connection.execute("INSERT INTO flights VALUES (1, 'UA'), (2, 'B6')")
        yield local


@contextmanager
def plain(local: LocalEndpoint, **options: Any) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(local.dsn, **{"autocommit": True, **options}) as connection:
        yield connection


@contextmanager
def session(local: LocalEndpoint, **settings: Any) -> Iterator[pgmd.Session]:
    endpoint = pgmd.Endpoint(local.dsn, min_size=0, max_size=2)
    with pgmd.Engine(endpoint, **settings) as engine, engine.session() as s:
        yield s


def test_production_is_the_default_and_none_switches_everything_off() -> None:
    off = {"no_copy_to_stdout", "always_idle"}  # nothing is known; believed to be mended
    for field in fields(Quirks):
        if field.type == "bool":
            assert getattr(Quirks(), field.name) is (field.name not in off), field.name
            assert getattr(Quirks.none(), field.name) is False
        else:
            assert getattr(Quirks(), field.name) == 0.0


@pytest.mark.parametrize("word", ["nonsense", "always_idle=maybe", "latency=long", "latency=-1"])
def test_a_quirk_that_makes_no_sense_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match=word.partition("=")[0]):
        Quirks.parse([word])


@pytest.mark.parametrize(
    "query",
    [
        "SELECT %s",
        "SELECT CASE WHEN id = 1 THEN %s END FROM flights",
        "SELECT concat(carrier, %s) FROM flights",
    ],
)
def test_ambiguous_parameters(query: str) -> None:
    with served(ambiguous_parameters=True) as local:
        with plain(local) as connection:
            with pytest.raises(psycopg.DatabaseError, match="ambiguous result column types"):
                connection.execute(query, ["x"])
            # A cast settles it, and a condition decides no column.
            assert connection.execute("SELECT %s::text", ["x"]).fetchall() == [("x",)]
            found = connection.execute("SELECT id FROM flights WHERE carrier = %s", ["B6"])
            assert found.fetchall() == [(2,)]
        with session(local) as s:
            assert "x" in str(s.execute(query, ["x"]).fetchall())


def test_without_the_quirk_a_parameter_is_text() -> None:
    with served() as local, plain(local) as connection:
        assert connection.execute("SELECT %s", ["x"]).fetchall() == [("x",)]


def test_strict_grammar_breaks_prepared_statements() -> None:
    with served(strict_grammar=True) as local:
        with plain(local) as connection:
            for _ in range(7):
                connection.execute("SELECT carrier FROM flights WHERE id = %s", [1])
            connection.execute("CREATE TABLE other (a int)")
            # psycopg forgets its prepared statements then, all at once.
            with pytest.raises(psycopg.DatabaseError, match="DEALLOCATE requires a name"):
                connection.execute("DROP TABLE other")
        with session(local) as s:
            for _ in range(7):
                s.execute("SELECT carrier FROM flights WHERE id = %s", [1])
            s.execute("CREATE TABLE other (a int)")
            s.execute("DROP TABLE other")
            for _ in range(7):
                s.execute("SELECT carrier FROM flights WHERE id = %s", [1])


@pytest.mark.parametrize(
    "statement", ["DISCARD ALL", "RESET ALL", "CLOSE ALL", "UNLISTEN *", "DEALLOCATE ALL"]
)
def test_strict_grammar_refuses_what_only_postgresql_can_parse(statement: str) -> None:
    with served(strict_grammar=True) as local:
        with plain(local) as connection, pytest.raises(psycopg.DatabaseError):
            connection.execute(statement)
        with session(local) as s, pytest.raises(pgmd.NotSupportedError):
            s.execute(statement)
    with served() as local, plain(local) as connection:
        assert connection.execute(statement).statusmessage == statement


def test_there_is_no_savepoint() -> None:
    with served(strict_grammar=True) as local:
        with plain(local) as connection:
            with pytest.raises(psycopg.DatabaseError), connection.transaction():
                with connection.transaction():
                    pass
        with session(local) as s:
            with s.transaction() as tx:
                tx.execute("INSERT INTO flights VALUES (3, 'AA')")
                with pytest.raises(pgmd.NotSupportedError, match="SAVEPOINT"), s.transaction():
                    pass
            # The outer one has not noticed.
            assert s.execute("SELECT count(*) FROM flights").fetchall() == [(3,)]


def test_no_copy_from_stdin() -> None:
    with served(no_copy_from_stdin=True) as local:
        with plain(local) as connection, connection.cursor() as cursor:
            with pytest.raises(psycopg.DatabaseError, match="COPY FROM STDIN"):
                with cursor.copy("COPY flights FROM STDIN"):
                    pass
        with session(local) as s:
            with pytest.raises(pgmd.NotSupportedError, match="INSERT many rows"):
                s.execute("COPY flights FROM STDIN")
    with served() as local, plain(local) as connection, connection.cursor() as cursor:
        with cursor.copy("COPY flights FROM STDIN") as copy:
            copy.write_row((3, "with\ttab"))
            copy.write_row((4, None))
        found = connection.execute("SELECT carrier FROM flights WHERE id > 2 ORDER BY id")
        assert found.fetchall() == [("with\ttab",), (None,)]


def test_no_copy_to_stdout_is_a_switch_too() -> None:
    with served(no_copy_to_stdout=True) as local, plain(local) as connection:
        with pytest.raises(psycopg.DatabaseError, match="COPY TO STDOUT"):
            with connection.cursor().copy("COPY flights TO STDOUT"):
                pass
    with served() as local, plain(local) as connection:
        with connection.cursor().copy("COPY flights TO STDOUT") as copy:
            assert sorted(copy.rows()) == [("1", "UA"), ("2", "B6")]


def test_no_table_function_describe() -> None:
    query = "SELECT * FROM range(3)"
    with served(no_table_function_describe=True) as local:
        with plain(local) as connection:
            with pytest.raises(psycopg.DatabaseError, match="table function"):
                # psycopg prepares it the sixth time.
                for _ in range(7):
                    assert connection.execute(query).fetchall() == [(0,), (1,), (2,)]
        with session(local) as s:
            for _ in range(7):
                assert s.execute(query).fetchall() == [(0,), (1,), (2,)]
            with pytest.raises(psycopg.NotSupportedError, match="simple query protocol"):
                s.execute("SELECT * FROM range(%s)", [3])


@pytest.mark.parametrize("kind", ["TABLE t AS SELECT 1", "VIEW v AS SELECT 1", "MACRO m() AS 1"])
def test_no_temporary_objects(kind: str) -> None:
    with served(no_temporary_objects=True, no_sqlstate=True) as local:
        with (
            plain(local) as connection,
            pytest.raises(psycopg.InternalError, match="DuckDB client"),
        ):
            connection.execute(f"CREATE TEMP {kind}")
        with session(local) as s, pytest.raises(errors.FeatureNotSupported, match="DuckDB client"):
            s.execute(f"CREATE TEMP {kind}")
    with served() as local, plain(local) as connection:
        connection.execute(f"CREATE TEMP {kind}")


def test_count_rows() -> None:
    update = "UPDATE flights SET carrier = 'XX'"
    with served(count_rows=True) as local:
        with plain(local) as connection:
            cursor = connection.execute(update)
            assert [c.name for c in cursor.description or ()] == ["Count"]
            assert cursor.fetchall() == [(2,)]
        with session(local) as s:
            result = s.execute(update)
            assert (result.description, result.rowcount) == (None, 2)
            assert result.statusmessage == "UPDATE 2"
            with pytest.raises(psycopg.ProgrammingError):
                result.fetchall()
            assert s.execute("SET threads = 2").description is None
            # A column that is called so is a column.
            named = s.execute('SELECT 7 AS "Count" FROM range(1)')
            assert named.fetchall() == [(7,)]
            named = s.execute(
                "UPDATE flights SET carrier = 'YY' WHERE id = 1 RETURNING 8 AS \"Count\""
            )
            assert named.fetchall() == [(8,)]
    with served() as local, plain(local) as connection:
        cursor = connection.execute(update)
        assert (cursor.description, cursor.rowcount) == (None, 2)


@pytest.mark.parametrize(
    ("statement", "known"),
    [
        ("SELECT * FROM nothing", errors.UndefinedTable),
        ("SELECT nothing FROM flights", errors.UndefinedColumn),
        ("SELEC 1", errors.SyntaxError),
        ("INSERT INTO flights VALUES (1, 'UA')", errors.UniqueViolation),
        ("SELECT 'x'::int", errors.InvalidTextRepresentation),
    ],
)
def test_no_sqlstate(statement: str, known: type[psycopg.Error]) -> None:
    with served(no_sqlstate=True) as local:
        with plain(local) as connection:
            with pytest.raises(psycopg.InternalError) as untold:
                connection.execute(statement)
            assert untold.value.sqlstate == "XXUUU"
        with session(local) as s:
            with pytest.raises(known) as told:
                s.execute(statement)
            assert str(told.value.diag.message_primary) in str(untold.value.diag.message_primary)
            assert isinstance(told.value.__cause__, psycopg.InternalError)
    with served() as local, plain(local) as connection, pytest.raises(known):
        connection.execute(statement)


def test_always_idle_loses_commits() -> None:
    with served(always_idle=True) as local:
        with plain(local, autocommit=False) as connection:
            connection.execute("INSERT INTO flights VALUES (3, 'AA')")
            # Nothing is sent: psycopg believes that there is no transaction.
            connection.commit()
        with session(local) as s:
            assert s.execute("SELECT count(*) FROM flights").fetchall() == [(2,)]
            with s.transaction() as tx:
                tx.execute("INSERT INTO flights VALUES (4, 'AA')")
            with pytest.raises(ZeroDivisionError), s.transaction() as tx:
                tx.execute("INSERT INTO flights VALUES (5, 'AA')")
                raise ZeroDivisionError
            with s.transaction():
                assert s.execute("SELECT max(id) FROM flights").fetchall() == [(4,)]
        with plain(local) as connection:
            assert connection.execute("SELECT max(id) FROM flights").fetchall() == [(4,)]


def test_checks_database() -> None:
    with served(checks_database=True) as local:
        where = f"host=127.0.0.1 port={local.port}"
        with pytest.raises(psycopg.OperationalError, match="failed to attach 'someone'"):
            psycopg.connect(f"{where} user=someone")
        with pytest.raises(psycopg.OperationalError, match="named 'elsewhere' found"):
            psycopg.connect(f"{where} user=postgres dbname=elsewhere")
        for name in ("md:", "local", "md:local", "local?session_name=a"):
            with psycopg.connect(f"{where} user=anyone dbname={name}") as connection:
                assert connection.execute("SELECT current_database()").fetchall() == [("local",)]
        endpoint = pgmd.Endpoint(f"{where} user=postgres dbname=elsewhere")
        with pytest.raises(psycopg.OperationalError, match="named 'elsewhere' found"):
            pgmd.Engine(endpoint).open()


def test_service_types() -> None:
    query = "SELECT ['a,b', 'c'] AS names, TIMETZ '10:00:00+02' AS at, [[1], [2, 3]] AS nested"
    with LocalEndpoint() as local:
        with plain(local) as connection:
            cursor = connection.execute(query)
            # The comma parts an element, the offset is lost, and a list of lists is text.
            assert cursor.fetchall() == [(["a", "b", "c"], dt.time(10), "[[1], [2, 3]]")]
            assert [c.type_code for c in cursor.description or ()] == [1009, 1083, 17000]
    with served() as local, plain(local) as connection:
        zone = dt.timezone(dt.timedelta(hours=2))
        found = connection.execute(query).fetchall()
        assert found == [(["a,b", "c"], dt.time(10, tzinfo=zone), "[[1], [2, 3]]")]


@pytest.mark.parametrize("column", ["['a,b']", "TIMETZ '10:00:00+02'", "['\\x61'::BLOB]"])
def test_what_the_service_changes_has_one_answer_all_the_same(tmp_path: Path, column: str) -> None:
    file = tmp_path / "app.duckdb"
    with pgmd.connect(f"local:{file}", replicas=1) as engine, engine.session() as s:
        s.execute(f"CREATE TABLE t AS SELECT {column} AS a, 1 AS b")
        engine.publish()
        assert s.execute("SELECT b FROM t").decision.route is pgmd.Route.REPLICA
        found = s.execute("SELECT a FROM t")
        assert (found.decision.route, found.decision.reason) == (
            pgmd.Route.ENDPOINT,
            pgmd.Reason.RESULT,
        )
        assert found.fetchall() == s.endpoint.execute("SELECT a FROM t").fetchall()


def test_latency_and_cold_start_only_take_time() -> None:
    with served(latency=0.02, cold_start=0.05) as local, session(local) as s:
        began = now()
        assert s.execute("SELECT carrier FROM flights WHERE id = %s", [1]).fetchall() == [("UA",)]
        assert now() - began >= 0.02


def test_resets_leave_no_doubt_about_what_happened(tmp_path: Path) -> None:
    file = tmp_path / "app.duckdb"
    with LocalEndpoint(file) as local, plain(local) as connection:
        connection.execute("CREATE TABLE written (n int)")
    done: list[int] = []
    in_doubt: list[int] = []
    with LocalEndpoint(file, quirks=Quirks(reset_rate=0.1)) as local, _opened(local) as engine:
        for n in range(200):
            try:
                with engine.session() as s:
                    s.execute("INSERT INTO written VALUES (%s)", [n])
                done.append(n)
            except psycopg.OperationalError as error:
                if error.outcome is pgmd.Outcome.UNKNOWN:  # type: ignore[attr-defined]
                    in_doubt.append(n)
        assert in_doubt
        assert len(done) > 100
    with LocalEndpoint(file) as local, plain(local) as connection:
        found = [n for (n,) in connection.execute("SELECT n FROM written ORDER BY n")]
    assert set(done) <= set(found) <= set(done) | set(in_doubt)
    assert len(set(found)) == len(found)


def _opened(local: LocalEndpoint) -> pgmd.Engine:
    """Also the first connection may be reset."""
    while True:
        engine = pgmd.Engine(pgmd.Endpoint(local.dsn, min_size=0, max_size=1))
        try:
            engine.open()
        except psycopg.OperationalError:
            continue
        return engine
