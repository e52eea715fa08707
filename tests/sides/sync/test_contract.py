# Generated from tests/sides/async_/test_contract.py by pgmd._tools.unasync. Do not edit.
"""What a session may expect of a side, whichever it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from pgmd.answers.found import Found, Setback
from pgmd.runtime import threads as runtime

from .places import ROWS, SIDES, Place, asked, cancel, pause, place_on

pytestmark = pytest.mark.parametrize("side", SIDES)

LONG = "SELECT count(*) FROM range(1000000000000) AS r(n) WHERE n % 7 = 1"


def rows(lent: Any, query: str, params: Any = None, before: Any = ()) -> list[Any]:
    found = lent.run(asked(query, params), before)
    assert isinstance(found, Found), found
    return [row for part in found.rows.lists() for row in part]  # type: ignore[union-attr]


def refused(place: Place, lent: Any, query: str) -> psycopg.Error:
    """The error that a statement gets, raised or as the value that says why another must run it."""
    try:
        found = lent.run(asked(query))
    except psycopg.Error as error:
        return place.core.explained(error, query)
    assert isinstance(found, Setback)
    assert found.error is not None
    return found.error


def test_it_answers(side: str, tmp_path: Path) -> None:
    with place_on(side, tmp_path) as place:
        lent = place.lend()
        found = lent.run(asked("SELECT n, name FROM t WHERE n < %s ORDER BY n", [2]))
        columns = found.columns if isinstance(found.columns, list) else found.columns.description
        assert [(c.name, c.type_code) for c in columns] == [("n", 20), ("name", 25)]
        assert (found.rowcount, found.statusmessage) == (2, "SELECT 2")
        assert [row for part in found.rows.lists() for row in part] == [(0, "x0"), (1, "x1")]
        lent.give_back()
        place.rest()


def test_it_says_what_it_is(side: str, tmp_path: Path) -> None:
    with place_on(side, tmp_path) as place:
        lent = place.lend()
        assert lent.name == (None if side == "endpoint" else "replica-1")
        assert lent.freshness.is_live == (side == "endpoint")
        assert lent.freshness.position >= 1
        lent.give_back()


def test_an_error_is_the_statements_and_the_next_one_runs(side: str, tmp_path: Path) -> None:
    with place_on(side, tmp_path) as place:
        lent = place.lend()
        assert isinstance(
            refused(place, lent, "SELECT nope FROM t"), psycopg.errors.UndefinedColumn
        )
        failed = refused(place, lent, "SELECT 'x'::int")
        assert isinstance(failed, psycopg.errors.InvalidTextRepresentation)
        assert rows(lent, "SELECT 42") == [(42,)]
        lent.give_back()
        place.rest()


def test_a_cancel_stops_what_runs_and_nothing_else(side: str, tmp_path: Path) -> None:
    with place_on(side, tmp_path) as place:
        lent = place.lend()
        assert rows(lent, "SELECT 41") == [(41,)]
        cancel(lent)
        assert rows(lent, "SELECT 42") == [(42,)]
        jobs: Any = runtime.Jobs(1)
        job = jobs.start(lambda: lent.run(asked(LONG)), lambda: None)
        ended: list[BaseException] = []
        stopper: Any = runtime.Jobs(1)
        watch = stopper.start(lambda: _caught(place, jobs, job, ended), lambda: None)
        # Repeated, as one that comes before the statement has begun may be forgotten.
        while not ended:
            cancel(lent)
            pause()
        stopper.result(watch)
        assert isinstance(ended[0], psycopg.errors.QueryCanceled)
        jobs.close()
        stopper.close()
        assert rows(lent, "SELECT 43") == [(43,)]
        lent.give_back()


def _caught(place: Place, jobs: Any, job: Any, ended: list[BaseException]) -> None:
    try:
        jobs.result(job)
    except psycopg.Error as error:
        ended.append(place.core.explained(error, LONG))


def test_a_transaction_sees_one_moment(side: str, tmp_path: Path) -> None:
    with place_on(side, tmp_path) as place:
        lent = place.lend()
        lent.begin()
        assert rows(lent, "SELECT count(*) FROM t") == [(ROWS,)]
        _delete_all(place)
        assert rows(lent, "SELECT count(*) FROM t") == [(ROWS,)]
        lent.end()
        place.rest()
        place.engine.publish()
        lent = place.lend()
        assert rows(lent, "SELECT count(*) FROM t") == [(0,)]
        lent.give_back()


def _delete_all(place: Place) -> None:
    with place.engine.session() as s:
        s.execute("DELETE FROM t")


def test_a_transaction_only_reads(side: str, tmp_path: Path) -> None:
    with place_on(side, tmp_path) as place:
        lent = place.lend()
        lent.begin()
        if side == "instance":
            # What is no query is not even sent.
            assert isinstance(lent.run(asked("DELETE FROM t")), Setback)
        else:
            refused(place, lent, "DELETE FROM t")
        lent.end()
        lent = place.lend()
        assert rows(lent, "SELECT count(*) FROM t") == [(ROWS,)]
        lent.give_back()


def test_one_that_could_not_begin_is_ended_all_the_same(side: str, tmp_path: Path) -> None:
    with place_on(side, tmp_path) as place:
        lent = place.lend()
        with pytest.raises(Exception, match="nope"):
            lent.begin(["SET nope = 1"])
        lent.end()
        place.rest()
        lent = place.lend()
        assert rows(lent, "SELECT 42") == [(42,)]
        lent.give_back()


def test_rows_come_as_they_are_taken(side: str, tmp_path: Path) -> None:
    with place_on(side, tmp_path) as place:
        lent = place.lend()
        with lent.stream(asked("SELECT n FROM t ORDER BY n")) as parts:
            assert [column.name for column in parts.columns] == ["n"]
            sizes = []
            found = []
            for part in parts.rows:
                sizes.append(len(part))
                found += part
        assert found == [(n,) for n in range(ROWS)]
        assert len(sizes) > 1
        lent.give_back(discard=True)
        place.rest()


def test_a_stream_that_is_left_stops(side: str, tmp_path: Path) -> None:
    with place_on(side, tmp_path) as place:
        lent = place.lend()
        with lent.stream(asked("SELECT n FROM t")) as parts:
            for _ in parts.rows:
                break
        lent.give_back(discard=True)
        place.rest()
        lent = place.lend()
        assert rows(lent, "SELECT 42") == [(42,)]
        lent.give_back()


def test_what_was_set_before_is_for_nobody_else(side: str, tmp_path: Path) -> None:
    with place_on(side, tmp_path) as place:
        lent = place.lend()
        before = ["SET VARIABLE mine = 7"]
        assert rows(lent, "SELECT getvariable('mine')", None, before) == [(7,)]
        lent.give_back(discard=True)
        lent = place.lend()
        assert rows(lent, "SELECT getvariable('mine')") == [(None,)]
        lent.give_back()


def test_what_is_discarded_is_for_nobody_else(side: str, tmp_path: Path) -> None:
    with place_on(side, tmp_path) as place:
        lent = place.lend()
        rows(lent, "SELECT 1")
        first = lent.connection if side == "endpoint" else lent.slot.cursor
        lent.give_back(discard=True)
        place.rest()
        lent = place.lend()
        rows(lent, "SELECT 1")
        assert (lent.connection if side == "endpoint" else lent.slot.cursor) is not first
        lent.give_back()
