"""What a session has set."""

from __future__ import annotations

import pytest

from pgmd.routing.ledger import Ledger
from pgmd.sql import analyse


def after(*statements: str, replays: bool = True) -> Ledger:
    ledger = Ledger()
    for statement in statements:
        ledger = ledger.after(analyse(statement), replays=replays)
    return ledger


def test_what_can_be_replayed_is_kept_in_order() -> None:
    ledger = after("USE a", "SELECT 1", "SET VARIABLE x = 1", "SET schema = 'b'", "DELETE FROM t")
    assert ledger.replay == ("USE a", "SET VARIABLE x = 1", "SET schema = 'b'")
    assert not ledger.pin


def test_the_last_value_of_a_variable_counts() -> None:
    ledger = after("SET VARIABLE x = 1", "SET VARIABLE y = 2", "set variable X = 3")
    assert ledger.replay == ("SET VARIABLE y = 2", "set variable X = 3")


def test_reset_takes_back() -> None:
    assert after("SET VARIABLE x = 1", "USE a", "RESET VARIABLE x").replay == ("USE a",)
    assert after("USE a", "SET search_path = 'b'", "RESET search_path").replay == ()


@pytest.mark.parametrize(
    ("statement", "pin"),
    [
        ("SET threads = 2", "SET threads"),
        ("SET motherduck_token TO secret", "SET motherduck_token"),
        ("CREATE TEMP TABLE t (a int)", "CREATE TEMP TABLE t"),
        ("CREATE SECRET s (TYPE s3, SECRET abc)", "CREATE SECRET s"),
        ("PRAGMA add_parquet_key('k', 'abc')", "PRAGMA add_parquet_key"),
        ("PREPARE p AS SELECT 'abc'", "PREPARE p"),
        ("SELECT currval('abc')", "calls currval(): SELECT currval"),
        ("SET VARIABLE x = (SELECT 1)", "SET VARIABLE x"),
        ("BEGIN", "BEGIN"),
        ("SET a = 1; SELECT 'abc'", "several statements: SET a"),
        ("ATTACH 'abc' AS x", "ATTACH"),
        ("FROBNICATE 'abc", "unterminated or unknown text at byte 11"),
    ],
)
def test_what_cannot_be_replayed_pins_and_tells_no_values(statement: str, pin: str) -> None:
    ledger = after(statement)
    assert ledger.pin == pin
    assert "abc" not in ledger.pin
    assert "secret" not in ledger.pin


def test_the_first_pin_stays() -> None:
    assert after("SET a = 1", "SET b = 2", "RESET a").pin == "SET a"


def test_nothing_is_replayed_where_it_would_mean_something_else() -> None:
    assert after("USE a", replays=False).pin == "USE a"


def test_a_ledger_does_not_grow_without_end() -> None:
    ledger = after(*(f"SET VARIABLE x{n} = {n}" for n in range(100)))
    assert ledger.pin == "SET VARIABLE x32"
    assert len(ledger.replay) == 32
