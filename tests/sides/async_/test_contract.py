"""What a session may expect of a side, whichever it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from pgmd.answers.found import Found, Setback
from pgmd.runtime import aio as runtime

from .places import ROWS, SIDES, Place, asked, cancel, pause, place_on

pytestmark = pytest.mark.parametrize("side", SIDES)

LONG = "SELECT count(*) FROM range(1000000000000) AS r(n) WHERE n % 7 = 1"


async def rows(lent: Any, query: str, params: Any = None, before: Any = ()) -> list[Any]:
    found = await lent.run(asked(query, params), before)
    assert isinstance(found, Found), found
    return [row for part in found.rows.lists() for row in part]  # type: ignore[union-attr]


async def refused(place: Place, lent: Any, query: str) -> psycopg.Error:
    """The error that a statement gets, raised or as the value that says why another must run it."""
    try:
        found = await lent.run(asked(query))
    except psycopg.Error as error:
        return place.core.explained(error, query)
    assert isinstance(found, Setback)
    assert found.error is not None
    return found.error


async def test_it_answers(side: str, tmp_path: Path) -> None:
    async with place_on(side, tmp_path) as place:
        lent = await place.lend()
        found = await lent.run(asked("SELECT n, name FROM t WHERE n < %s ORDER BY n", [2]))
        columns = found.columns if isinstance(found.columns, list) else found.columns.description
        assert [(c.name, c.type_code) for c in columns] == [("n", 20), ("name", 25)]
        assert (found.rowcount, found.statusmessage) == (2, "SELECT 2")
        assert [row for part in found.rows.lists() for row in part] == [(0, "x0"), (1, "x1")]
        await lent.give_back()
        await place.rest()


async def test_it_says_what_it_is(side: str, tmp_path: Path) -> None:
    async with place_on(side, tmp_path) as place:
        lent = await place.lend()
        assert lent.name == (None if side == "endpoint" else "replica-1")
        assert lent.freshness.is_live == (side == "endpoint")
        assert lent.freshness.position >= 1
        await lent.give_back()


async def test_an_error_is_the_statements_and_the_next_one_runs(side: str, tmp_path: Path) -> None:
    async with place_on(side, tmp_path) as place:
        lent = await place.lend()
        assert isinstance(
            await refused(place, lent, "SELECT nope FROM t"), psycopg.errors.UndefinedColumn
        )
        failed = await refused(place, lent, "SELECT 'x'::int")
        assert isinstance(failed, psycopg.errors.InvalidTextRepresentation)
        assert await rows(lent, "SELECT 42") == [(42,)]
        await lent.give_back()
        await place.rest()


async def test_a_cancel_stops_what_runs_and_nothing_else(side: str, tmp_path: Path) -> None:
    async with place_on(side, tmp_path) as place:
        lent = await place.lend()
        assert await rows(lent, "SELECT 41") == [(41,)]
        await cancel(lent)
        assert await rows(lent, "SELECT 42") == [(42,)]
        jobs: Any = runtime.Jobs(1)
        job = jobs.start(lambda: lent.run(asked(LONG)), lambda: None)
        ended: list[BaseException] = []
        stopper: Any = runtime.Jobs(1)
        watch = stopper.start(lambda: _caught(place, jobs, job, ended), lambda: None)
        # Repeated, as one that comes before the statement has begun may be forgotten.
        while not ended:
            await cancel(lent)
            await pause()
        await stopper.result(watch)
        assert isinstance(ended[0], psycopg.errors.QueryCanceled)
        await jobs.close()
        await stopper.close()
        assert await rows(lent, "SELECT 43") == [(43,)]
        await lent.give_back()


async def _caught(place: Place, jobs: Any, job: Any, ended: list[BaseException]) -> None:
    try:
        await jobs.result(job)
    except psycopg.Error as error:
        ended.append(place.core.explained(error, LONG))


async def test_a_transaction_sees_one_moment(side: str, tmp_path: Path) -> None:
    async with place_on(side, tmp_path) as place:
        lent = await place.lend()
        await lent.begin()
        assert await rows(lent, "SELECT count(*) FROM t") == [(ROWS,)]
        await _delete_all(place)
        assert await rows(lent, "SELECT count(*) FROM t") == [(ROWS,)]
        await lent.end()
        await place.rest()
        await place.engine.publish()
        lent = await place.lend()
        assert await rows(lent, "SELECT count(*) FROM t") == [(0,)]
        await lent.give_back()


async def _delete_all(place: Place) -> None:
    async with place.engine.session() as s:
        await s.execute("DELETE FROM t")


async def test_a_transaction_only_reads(side: str, tmp_path: Path) -> None:
    async with place_on(side, tmp_path) as place:
        lent = await place.lend()
        await lent.begin()
        if side == "instance":
            # What is no query is not even sent.
            assert isinstance(await lent.run(asked("DELETE FROM t")), Setback)
        else:
            await refused(place, lent, "DELETE FROM t")
        await lent.end()
        lent = await place.lend()
        assert await rows(lent, "SELECT count(*) FROM t") == [(ROWS,)]
        await lent.give_back()


async def test_one_that_could_not_begin_is_ended_all_the_same(side: str, tmp_path: Path) -> None:
    async with place_on(side, tmp_path) as place:
        lent = await place.lend()
        with pytest.raises(Exception, match="nope"):
            await lent.begin(["SET nope = 1"])
        await lent.end()
        await place.rest()
        lent = await place.lend()
        assert await rows(lent, "SELECT 42") == [(42,)]
        await lent.give_back()


async def test_rows_come_as_they_are_taken(side: str, tmp_path: Path) -> None:
    async with place_on(side, tmp_path) as place:
        lent = await place.lend()
        async with lent.stream(asked("SELECT n FROM t ORDER BY n")) as parts:
            assert [column.name for column in parts.columns] == ["n"]
            sizes = []
            found = []
            async for part in parts.rows:
                sizes.append(len(part))
                found += part
        assert found == [(n,) for n in range(ROWS)]
        assert len(sizes) > 1
        await lent.give_back(discard=True)
        await place.rest()


async def test_a_stream_that_is_left_stops(side: str, tmp_path: Path) -> None:
    async with place_on(side, tmp_path) as place:
        lent = await place.lend()
        async with lent.stream(asked("SELECT n FROM t")) as parts:
            async for _ in parts.rows:
                break
        await lent.give_back(discard=True)
        await place.rest()
        lent = await place.lend()
        assert await rows(lent, "SELECT 42") == [(42,)]
        await lent.give_back()


async def test_what_was_set_before_is_for_nobody_else(side: str, tmp_path: Path) -> None:
    async with place_on(side, tmp_path) as place:
        lent = await place.lend()
        before = ["SET VARIABLE mine = 7"]
        assert await rows(lent, "SELECT getvariable('mine')", None, before) == [(7,)]
        await lent.give_back(discard=True)
        lent = await place.lend()
        assert await rows(lent, "SELECT getvariable('mine')") == [(None,)]
        await lent.give_back()


async def test_what_is_discarded_is_for_nobody_else(side: str, tmp_path: Path) -> None:
    async with place_on(side, tmp_path) as place:
        lent = await place.lend()
        await rows(lent, "SELECT 1")
        first = lent.connection if side == "endpoint" else lent.slot.cursor
        await lent.give_back(discard=True)
        await place.rest()
        lent = await place.lend()
        await rows(lent, "SELECT 1")
        assert (lent.connection if side == "endpoint" else lent.slot.cursor) is not first
        await lent.give_back()
