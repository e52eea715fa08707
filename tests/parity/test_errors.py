"""The same mistake is the same error: on a replica, on the local endpoint, and on PostgreSQL."""

from __future__ import annotations

import pickle
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import psycopg
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from psycopg import errors as pg

import pgmd
from pgmd import Replica
from pgmd.errors import Outcome, annotate
from pgmd.parity import errors, from_duckdb, from_endpoint, is_write_refusal
from pgmd.parity.rules import KINDS, rule_for
from pgmd.replicas.cursor import NotOneStatement, Run
from pgmd.replicas.instance import Instance
from pgmd.replicas.kinds import file
from pgmd.replicas.plans import Terms
from pgmd.routing.decision import Route
from pgmd.testing.servers import Server

from ..fixtures.postgres import new_database
from ..fixtures.stands import Stand, local_stand

CORPUS = tomllib.loads(
    (Path(__file__).parent.parent / "corpora" / "errors.toml").read_text(encoding="utf-8")
)
MANY = settings(max_examples=500, derandomize=True, deadline=None)


class Case(NamedTuple):
    """Statements of which the last one fails; on whom, and with what."""

    steps: tuple[str, ...]
    state: str
    on: frozenset[str]
    postgres: str | None

    def __str__(self) -> str:
        return "; ".join(self.steps)


def cases() -> Iterator[Case]:
    for group in [*CORPUS["errors"], *CORPUS["differs"]]:
        on = frozenset(group["on"])
        postgres = group["state"] if "postgres" in on else group.get("postgres")
        for statement in group["statements"]:
            steps = (statement,) if isinstance(statement, str) else tuple(statement)
            yield Case(steps, group["state"], on, postgres)


CASES = list(cases())
READS = [case for case in CASES if "replica" in case.on]
LOCAL = [case for case in CASES if "local" in case.on]
# What only an unusual machine does: no statement brings these about everywhere.
UNREACHED = {
    "Failed to .*: ERROR:": "a server that refuses a write, see test_duck_errors",
    "Cannot open file .*: Permission denied": "root is not refused anything",
    "Could not set lock on file": "needs a second process",
    "Could not write file .*: No space left": "needs a full disk, or Linux's /dev/full",
    "Extension .* not found": "depends on what is installed",
}


def refused(work: Callable[[], object]) -> Exception:
    """The error that *work* ends in."""
    try:
        work()
    except Exception as error:
        return error
    raise AssertionError("it did not fail")


def known(work: Callable[[], object]) -> psycopg.Error:
    """What becomes of a DuckDB error."""
    return from_duckdb(refused(work), str)


def told(work: Callable[[], object]) -> psycopg.Error:
    """What becomes of the error of an endpoint that speaks DuckDB."""
    error = refused(work)
    assert isinstance(error, psycopg.Error)
    return from_endpoint(error)


def run(cursor: Any, *steps: str, folder: Path | None = None) -> None:
    """Run them all; one that begins with `!` fails."""
    for step in steps:
        if step.startswith("!"):
            refused(lambda: cursor.execute(step[1:]))  # noqa: B023
            continue
        answer = cursor.execute(step.replace("{folder}", str(folder)))
        if answer.description:
            answer.fetchall()


def wrong(cases: list[Case], attempt: Callable[[Case], psycopg.Error]) -> dict[str, Any]:
    """The cases whose class or SQLSTATE is another one."""
    found: dict[str, Any] = {}
    for case in cases:
        try:
            error = attempt(case)
        except AssertionError as nothing:
            found[str(case)] = nothing
            continue
        if (type(error), error.sqlstate) != (pg.lookup(case.state), case.state):
            found[str(case)] = (type(error).__name__, error.sqlstate, str(error))
    return found


class Writer:
    """A writable database in memory with the schema, a new one for what changes it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._shared = self._new()

    def message(self, case: Case) -> Exception:
        if len(case.steps) == 1:
            return refused(lambda: run(self._shared.cursor(), *case.steps, folder=self.folder))
        with self._new() as own:
            run(own, *case.steps[:-1], folder=self.folder)
            error = refused(lambda: run(own, case.steps[-1], folder=self.folder))
        for left in self.folder.iterdir():
            left.unlink()
        return error

    def race(self, steps: list[str]) -> Exception:
        with self._new() as own:
            cursors = {"a": own.cursor(), "b": own.cursor()}
            *before, last = [step.split(": ", 1) for step in steps]
            for name, statement in before:
                run(cursors[name], statement)
            return refused(lambda: run(cursors[last[0]], last[1]))

    def execute(self, statement: str) -> None:
        run(self._shared.cursor(), statement)

    def _new(self) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect(config={"python_enable_replacements": False})
        connection.execute(CORPUS["schema"])
        return connection


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    folder = tmp_path / "files"
    folder.mkdir()
    return Writer(folder)


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Instance]:
    path = tmp_path / "replica.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(CORPUS["schema"])
    instance = Instance(file.plan(Replica(file=path), Terms()), str)
    yield instance
    instance.close()


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Stand]:
    with local_stand(tmp_path) as stand:
        with psycopg.connect(stand.dsn, autocommit=True) as connection:
            for statement in CORPUS["schema"].split(";"):
                connection.execute(statement)
        yield stand


@pytest.fixture
def postgres(server: Server) -> Iterator[str]:
    schema = CORPUS["schema"]
    for duckdbs, postgres in CORPUS["postgres"].items():
        assert duckdbs in schema
        schema = schema.replace(duckdbs, postgres)
    with new_database(server) as name:
        dsn = psycopg.conninfo.make_conninfo(server.dsn, dbname=name)
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(schema.encode())
        yield dsn


# ------------------------------------------------------------------------------------- statements


def test_on_a_writable_connection(writer: Writer) -> None:
    assert not wrong(CASES, lambda case: from_duckdb(writer.message(case), str))


def test_on_a_replica(replica: Instance) -> None:
    def attempt(case: Case) -> psycopg.Error:
        cursor = replica.cursor()
        for step in case.steps[:-1]:
            cursor.execute(Run(), step, ())
        return known(lambda: cursor.execute(Run(), case.steps[-1], ()))

    assert len(READS) >= 60
    assert not wrong(READS, attempt)


def test_a_write_on_a_replica_is_refused_as_one(replica: Instance) -> None:
    """Where DuckDB finds nothing else wrong first."""
    for write in (
        "insert into t values (1, 'x')", "update t set a = 1", "delete from t",
        "create table n(a int)", "drop table t", "alter table t add column c int",
        "select nextval('sq')",
    ):  # fmt: skip
        root = replica._root.cursor()
        root.execute("use replica")
        error = refused(lambda: run(root, write))  # noqa: B023
        assert is_write_refusal(error), write
        assert type(from_duckdb(error, str)) is pg.ReadOnlySqlTransaction, write
    with pytest.raises(NotOneStatement):
        replica.cursor().execute(Run(), "insert into t values (1, 'x')", ())


def test_on_the_local_endpoint_through_psycopg(local: Stand) -> None:
    def attempt(case: Case) -> psycopg.Error:
        with psycopg.connect(local.dsn, autocommit=True) as connection:
            run(connection, *case.steps[:-1])
            return told(lambda: run(connection, case.steps[-1]))

    assert len(LOCAL) >= 60
    assert not wrong(LOCAL, attempt)


def test_on_the_local_endpoint_through_an_engine(local: Stand) -> None:
    single = [case for case in LOCAL if len(case.steps) == 1]
    with pgmd.Engine(local.endpoint()) as engine, engine.session() as session:
        assert not wrong(single, lambda case: _raised(session, case, "endpoint"))


def test_both_routes_of_an_engine_agree(local: Stand) -> None:
    """Class, SQLSTATE, text and outcome."""
    with pgmd.Engine(local.endpoint(), local.replicas(1)) as engine:
        engine.publish()
        with engine.session() as session:
            seen, differing = 0, {}
            for case in READS:
                route = session.explain(case.steps[0]).route
                if len(case.steps) > 1 or route is not Route.REPLICA:
                    continue
                here, there = (_raised(session, case, r) for r in ("replica", "endpoint"))
                seen += 1
                if not _agree(here, there):
                    differing[str(case)] = (_facts(here), str(here), _facts(there), str(there))
    assert seen >= 60
    assert not differing


def _raised(session: Any, case: Case, route: str) -> psycopg.Error:
    error = refused(lambda: session.execute(case.steps[-1], route=route))
    assert isinstance(error, psycopg.Error), error
    assert (error.outcome, error.retryable) == (Outcome.NOT_APPLIED, False)  # type: ignore[attr-defined]
    return error


def _facts(error: psycopg.Error) -> tuple[Any, ...]:
    diag = error.diag
    return type(error), error.sqlstate, diag.sqlstate, diag.severity, diag.message_primary


def _agree(here: psycopg.Error, there: psycopg.Error) -> bool:
    """Their texts, too, but for the line: the local endpoint describes some statements in a way
    that does not show it."""
    (told, _, line), (same, _, other) = (str(e).partition("\nLINE ") for e in (here, there))
    return _facts(here) == _facts(there) and told == same and (not other or line == other)


def test_on_postgres(postgres: str) -> None:
    def attempt(case: Case) -> psycopg.Error:
        own = case.steps[0].startswith(("begin", "commit", "rollback"))
        with psycopg.connect(postgres, autocommit=own) as connection:
            run(connection, *case.steps[:-1])
            error = refused(lambda: run(connection, case.steps[-1]))
            connection.rollback()
        assert isinstance(error, psycopg.Error)
        return error

    theirs = [case._replace(state=case.postgres) for case in CASES if case.postgres]
    assert len(theirs) >= 60
    assert not wrong(theirs, attempt)


def test_what_differs_says_why() -> None:
    assert all(
        group["reason"] and group["postgres"] != group["state"] for group in CORPUS["differs"]
    )


@pytest.mark.parametrize("race", CORPUS["races"], ids=lambda race: race["steps"][-1])
def test_a_race_is_lost(writer: Writer, race: dict[str, Any]) -> None:
    error = from_duckdb(writer.race(race["steps"]), str)
    assert (type(error), error.sqlstate) == (pg.lookup(race["state"]), race["state"])
    annotate(error, is_read=False)
    assert error.outcome is Outcome.NOT_APPLIED  # type: ignore[attr-defined]
    assert error.retryable is (race["state"] == "40001")  # type: ignore[attr-defined]


# ------------------------------------------------------------------------------------------ rules


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """All that DuckDB says about the corpus: messages by kind."""
    writer = Writer(tmp_path_factory.mktemp("files"))
    texts = [str(writer.message(case)) for case in CASES]
    texts += [str(writer.race(race["steps"])) for race in CORPUS["races"]]
    texts.append('IO Error: Failed to execute query "x": ERROR:  cannot execute INSERT in a '
                 "read-only transaction")  # fmt: skip
    found: dict[str, set[str]] = {}
    for text in texts:
        kind, message, _ = errors._Told.read(text)
        found.setdefault(kind, set()).add(message)
    return found


def test_a_statement_reaches_every_rule(said: dict[str, set[str]]) -> None:
    unreached = [
        rule.pattern.pattern.replace('"', "")
        for kind, (rules, _) in KINDS.items()
        for rule in rules
        if not any(rule_for(kind, message) is rule for message in said.get(kind, ()))
    ]
    left = [pattern for pattern in unreached if not pattern.startswith(tuple(UNREACHED))]
    assert not left


# A statement with room for a name or literal, and what it is whatever stands there.
ROOMY = (
    ('select * from "{name}"', "42P01"),
    ('select "{name}" from t', "42703"),
    ('select t."{name}" from t', "42703"),
    ('select "{name}".a from t', "42P01"),
    ('select "{name}"(1)', "42883"),
    ('select * from "{name}"(1)', "42883"),
    ('select 1::"{name}"', "42704"),
    ('select * from sc."{name}"', "42P01"),
    ('select * from "{name}".t', "42P01"),
    ('drop schema "{name}"', "3F000"),
    ('create table "{name}".t(a int)', "3F000"),
    ('insert into t("{name}") values (1)', "42703"),
    ('update t set "{name}" = 1', "42703"),
    ('create table z("{name}" int, "{name}" int)', "42701"),
    ('select * from t join par using ("{name}")', "42703"),
    ('set "{name}" = 1', "42704"),
    ('select * from t "{name}", t "{name}"', "42712"),
    ('with "{name}" as (select 1), "{name}" as (select 2) select 1', "42712"),
    ('select sum(a) over "{name}" from t', "42704"),
    ('select "{name}" from (select 1 as "{name}", 2 as z) group by z', "42803"),
    ('select z from (select 1 as "{name}", 2 as z) group by "{name}"', "42803"),
    ("select x::int from (select '{text}' as x)", "22P02"),
    ("""select "{name}"::int from (select 'x' as "{name}")""", "22P02"),
    ("select '{text}'::boolean", "22P02"),
    ("select '{text}'::date", "22007"),
    ("select 'x{text}'::interval", "22007"),
    ("select '{text}'::timestamp", "22007"),
    ("select '{text}'::decimal(5, 2)", "22P02"),
    ("select '{text}'::int[]", "22P02"),
    ("select date_trunc('{text}', now())", "22023"),
    ("insert into pk values (1, '{text}')", "23505"),
    ("select now() at time zone '{text}'", "22023"),
    ("select length(1, '{text}')", "42883"),
)  # fmt: skip


def test_names_and_literals_never_decide(writer: Writer, said: dict[str, set[str]]) -> None:
    """Not even those that say what DuckDB says elsewhere."""
    messages = sorted(m[:300] for ms in said.values() for m in ms if "\0" not in m)
    phrases = ["conflict", "not supported", "it's", 'a "name"', *messages]
    found: dict[str, tuple[str, str]] = {}
    for statement, state in ROOMY:
        for phrase in phrases[:: 1 + len(phrases) // 250]:
            error, filled = _imitate(writer, statement, phrase)
            if error.sqlstate not in _allowed(state, phrase):
                found[statement] = (filled, str(error))
    assert not found


def test_where_nobody_can_tell_it_is_the_default(writer: Writer) -> None:
    """Names and literals that end as DuckDB's messages do."""
    endings = (
        "' to INT32", "' to INTERVAL", '" to DECIMAL(5,2)', "' to INT32 when casting from source column a",
        "' to INTERVAL when casting from source column a", '" already exists!', " does not exist!",
        ' does not exist!\nDid you mean "x"?', "\n\nLINE 1: select\n        ^",
    )  # fmt: skip
    found: dict[str, tuple[str, str]] = {}
    for statement, state in ROOMY:
        for phrase in (f"{head}{a}{b}" for head in ("5", "x") for a in endings for b in endings):
            error, filled = _imitate(writer, statement, phrase)
            if error.sqlstate not in _allowed(state, phrase):
                found[statement] = (filled, str(error))
    assert not found


def _allowed(state: str, phrase: str) -> set[str]:
    """A failed cast is not known better where a name or literal ends as its message does."""
    return {state, "22000"} if state[:2] == "22" and re.search(r"['\"] to \w", phrase) else {state}


def _imitate(writer: Writer, statement: str, phrase: str) -> tuple[psycopg.Error, str]:
    name, text = phrase.replace('"', '""'), phrase.replace("'", "''")
    filled = statement.replace("{name}", name).replace("{text}", text)
    return known(lambda: writer.execute(filled)), filled


@pytest.mark.parametrize(
    "text",
    [
        "Table with name x does not exist", "Catalog Error: Table with name x does not exist!",
        "boom Conflict on update!", "there is no read-only mode", "NOT NULL constraint failed: t.a",
        "cannot execute INSERT in a read-only transaction",
    ],
)  # fmt: skip
def test_error_says_what_it_likes(writer: Writer, text: str) -> None:
    error = refused(lambda: writer.execute(f"select error('{text}')"))
    assert type(from_duckdb(error, str)) is pg.DataException
    assert not is_write_refusal(error)


KIND = st.sampled_from([*KINDS, "Unknown", ""])


@MANY
@given(kind=KIND, message=st.text(), text=st.none() | st.text())
@example(kind="Catalog", message="\n\nLINE 1: ...\n^", text="")
@example(kind="Parser", message="x\n\nLINE 99999: ......\n          ^", text="......")
@example(kind="IO", message="\ud800", text="\ud800")
def test_any_text_is_some_error(kind: str, message: str, text: str | None) -> None:
    whole = f"{kind} Error: {message}" if kind else message
    ours = from_duckdb(duckdb.Error(whole), str, text=text)
    assert isinstance(ours, psycopg.DatabaseError)
    assert isinstance(is_write_refusal(duckdb.Error(whole)), bool)
    plain = psycopg.InternalError(whole, info={77: whole.encode("utf-8", "replace")})
    assert isinstance(from_endpoint(plain, text=text), psycopg.DatabaseError)
    assert type(pickle.loads(pickle.dumps(ours))) is type(ours)


@MANY
@given(kind=st.sampled_from(list(KINDS)), message=st.text())
def test_what_no_rule_knows_gets_the_default(kind: str, message: str) -> None:
    ours = from_duckdb(duckdb.Error(f"{kind} Error: zzz {message}"), str)
    assert type(ours) is KINDS[kind].default
