from __future__ import annotations

from decimal import Decimal

import pytest

from pgmd.profile import Dialect, Profile, recognise


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
