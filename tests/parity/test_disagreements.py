"""Where PostgreSQL's SQL and DuckDB's disagree, and that no such statement is routed.

tests/corpora/disagreements.toml is the list, each entry with what both sides answered. An entry
that stops being true fails here, and so does one that a PostgreSQL endpoint's replica would run.
"""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import pgmd
from pgmd.answers.fetching import Answer
from pgmd.replicas.cursor import Cursor, NotOneStatement, Run
from pgmd.replicas.instance import Instance
from pgmd.replicas.kinds import postgres as kind
from pgmd.replicas.plans import Terms
from pgmd.servers.profile import Dialect
from pgmd.testing.servers import Server

from ..fixtures.postgres import new_database

pytestmark = pytest.mark.postgres

CORPUS: dict[str, Any] = tomllib.loads(
    (Path(__file__).parents[1] / "corpora" / "disagreements.toml").read_text()
)
DISAGREEMENTS: list[dict[str, Any]] = CORPUS["disagreement"]
ROUTED: list[str] = CORPUS["routed"]
RECORDED_ON = 18  # PostgreSQL
ZONE = "Europe/Berlin"


class Both(NamedTuple):
    """A PostgreSQL database, and the same read by a replica's DuckDB."""

    postgres: psycopg.Connection[Any]
    duck: Cursor
    engine: pgmd.Engine

    def answers(self, sql: str) -> tuple[str, str, bool]:
        """What PostgreSQL and DuckDB answer, and whether that is the same."""
        theirs, ours = self._of_postgres(sql), self._of_duckdb(sql)
        agree = (
            isinstance(theirs, list)
            and isinstance(ours, Answer)
            and [_plain(row) for row in theirs] == [_plain(row) for row in ours.rows]
        )
        return str(theirs), _shown(ours), agree

    def _of_postgres(self, sql: str) -> list[Any] | str:
        try:
            return self.postgres.execute(sql.encode()).fetchall()
        except psycopg.Error as error:
            return type(error).__name__

    def _of_duckdb(self, sql: str) -> Answer | str:
        try:
            return self.duck.execute(Run(), sql, ())
        except (duckdb.Error, NotOneStatement) as error:
            return type(error).__name__


def _shown(answer: Answer | str) -> str:
    if isinstance(answer, str):
        return answer
    return f"{', '.join(str(column[1]) for column in answer.description)}: {answer.rows}"


def _plain(row: tuple[Any, ...]) -> list[str]:
    """The values below what a loader makes of them: a moment is told by its offset alone."""
    return [v.isoformat() if isinstance(v, dt.datetime) else str(v) for v in row]


@pytest.fixture(scope="module")
def both(server: Server) -> Iterator[Both]:
    with new_database(server) as name:
        dsn = make_conninfo(server.dsn, dbname=name)
        with psycopg.connect(dsn, autocommit=True) as admin:
            admin.execute(f"ALTER DATABASE {name} SET TimeZone = '{ZONE}'")
        with psycopg.connect(dsn, autocommit=True) as postgres:
            postgres.execute(CORPUS["schema"])
            replica = pgmd.Replica(postgres=dsn)
            plan = kind.live_plan(replica, Terms(ZONE, Dialect.POSTGRES))
            with closing(Instance(plan, str)) as instance:
                with pgmd.Engine(pgmd.Endpoint(dsn), [replica]) as engine:
                    yield Both(postgres, instance.cursor(), engine)


def is_routed(engine: pgmd.Engine, sql: str) -> bool:
    """Whether a replica gives the answer; one that it gives up on is the endpoint's after all."""
    with engine.session() as s:
        if s.explain(sql).route is pgmd.Route.ENDPOINT:
            return False
        try:
            return s.execute(sql).decision.route is pgmd.Route.REPLICA
        except psycopg.Error:
            # Only the endpoint raises what the program sees.
            return False


@pytest.mark.parametrize("entry", DISAGREEMENTS, ids=lambda entry: entry["construct"])
def test_they_disagree_and_it_is_not_routed(both: Both, entry: dict[str, Any]) -> None:
    for shown in entry["shown"]:
        theirs, ours, agree = both.answers(shown["sql"])
        assert not agree, (shown["sql"], theirs)
        assert not (theirs.isidentifier() and ours.isidentifier()), "both fail: not a disagreement"
        assert not is_routed(both.engine, shown["sql"]), shown["sql"]
        if duckdb.__version__.startswith("1.5."):
            assert ours == shown["duckdb"], shown["sql"]
        if both.postgres.info.server_version // 10000 == RECORDED_ON:
            assert theirs == shown["postgres"], shown["sql"]


def test_the_list_is_long_and_names_each_construct_once() -> None:
    names = [entry["construct"] for entry in DISAGREEMENTS]
    assert len(names) == len(set(names)) >= 80
    assert all(entry["why"] and entry["shown"] for entry in DISAGREEMENTS)


def test_what_is_routed_gives_the_same_rows(both: Both) -> None:
    different = []
    with both.engine.session() as s:
        for sql in ROUTED:
            routed = s.execute(sql)
            assert routed.decision.route is pgmd.Route.REPLICA, (sql, routed.decision)
            theirs, ours = _seen(sql, s.endpoint.execute(sql)), _seen(sql, routed)
            if theirs != ours:
                different.append((sql, theirs, ours))
    assert not different


def _seen(sql: str, result: pgmd.Result[Any]) -> list[str]:
    """Rows with the classes of their values, in the order that the statement asks for."""
    rows = [str(row) for row in result]
    return rows if "order by" in sql else sorted(rows)
