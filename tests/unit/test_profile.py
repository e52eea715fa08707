from __future__ import annotations

from decimal import Decimal

import pytest

from pgmd.servers.profile import Dialect, Profile, recognise
from pgmd.sql import analyse


def probe(row: object, *, motherduck: bool = False, reports: bool = True) -> Profile:
    return recognise(row, is_motherduck=motherduck, reports_transactions=reports)


@pytest.mark.parametrize(
    ("row", "motherduck", "name"),
    [
        (("PostgreSQL 17.2 on x86_64", 3, "UTC"), False, "postgres"),
        (("v1.5.5", 3.5, "UTC"), False, "duckdb"),
        (("v1.5.5", Decimal("3.5"), "UTC"), False, "duckdb"),
        # A DuckDB server may call itself PostgreSQL for its clients' sake.
        (("PostgreSQL 15.0", 3.5, "UTC"), False, "duckdb"),
        (("v1.5.5", 3.5, "UTC"), True, "motherduck"),
    ],
)
def test_a_server_is_known_by_what_it_answers(row: object, motherduck: bool, name: str) -> None:
    assert probe(row, motherduck=motherduck).name == name


def test_what_a_duckdb_dialect_endpoint_lacks() -> None:
    duck = probe(("v1.5.5", 3.5, "UTC"), motherduck=True, reports=False)
    assert duck.dialect is Dialect.DUCKDB
    assert duck.prepare_threshold is None
    assert not duck.has_savepoints
    assert not duck.reports_transactions
    assert duck.begin_snapshot == "BEGIN TRANSACTION READ ONLY"


def test_what_postgres_has() -> None:
    postgres = probe(("PostgreSQL 17", 3, "Europe/Berlin"))
    assert postgres.prepare_threshold == 5
    assert postgres.has_savepoints
    assert postgres.time_zone == "Europe/Berlin"
    assert "REPEATABLE READ READ ONLY" in postgres.begin_snapshot


DUCK = probe(("v1.5.5", 3.5, "UTC"))


@pytest.mark.parametrize(
    ("statement", "instead"),
    [
        ("COPY t FROM STDIN", "INSERT many rows"),
        ("SAVEPOINT a", "one transaction()"),
        ("RELEASE SAVEPOINT a", "one transaction()"),
        ("ROLLBACK TO SAVEPOINT a", "one transaction()"),
        ("DECLARE c CURSOR FOR SELECT 1", "execute the query"),
        ("FETCH ALL FROM c", "execute the query"),
        ("LISTEN news", "poll a table"),
        ("NOTIFY news", "poll a table"),
        ("LOCK t", "try it again"),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE", "leave it out"),
        ("START TRANSACTION DEFERRABLE", "leave it out"),
        ("DISCARD ALL", "close the session"),
        ("DEALLOCATE ALL", "close the session"),
        ("RESET ALL", "close the session"),
        ("CLOSE ALL", "close the session"),
    ],
)
def test_what_duckdb_cannot_parse_is_refused_with_the_alternative(
    statement: str, instead: str
) -> None:
    found = analyse(statement)
    assert instead in (DUCK.refusal(found.why, found.words) or "")
    postgres = probe(("PostgreSQL 17", 3, "UTC"))
    assert postgres.refusal(found.why, found.words) is None


@pytest.mark.parametrize(
    "statement",
    [
        "COPY t TO STDOUT",
        "COPY t FROM 's3://bucket/stdin.csv'",
        "BEGIN",
        "BEGIN TRANSACTION READ ONLY",
        "ROLLBACK",
        "RESET threads",
        "DEALLOCATE p",
        "CREATE TABLE savepoint (a int)",
        "INSERT INTO lock VALUES (1)",
    ],
)
def test_what_duckdb_can_parse_is_sent(statement: str) -> None:
    found = analyse(statement)
    assert DUCK.refusal(found.why, found.words) is None
