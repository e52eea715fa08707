from __future__ import annotations

import threading

import pytest

from pgmd.routing.freshness import LIVE, Bookmark, Freshness, WriteLog
from pgmd.routing.router import required


def log() -> WriteLog:
    return WriteLog(threading.Lock())


def test_a_snapshot_contains_only_what_was_acknowledged_before_it() -> None:
    writes = log()
    first, second = writes.begin(), writes.begin()
    writes.finish(second)
    assert writes.settled == first - 1
    writes.finish(first)
    assert writes.settled == second


def test_positions_are_never_given_twice_under_threads() -> None:
    writes, seen = log(), []

    def write() -> None:
        for _ in range(500):
            position = writes.begin()
            seen.append(position)
            writes.finish(position)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(1, 4001))
    assert writes.settled == 4000


def test_a_bookmark_survives_its_text() -> None:
    bookmark = Bookmark("00ff00ff00ff00ff", 12)
    assert Bookmark.parse(str(bookmark)) == bookmark


@pytest.mark.parametrize(
    "text", ["", "12", "pgmd1:xyz:1", "pgmd1:00ff00ff00ff00ff:-1", "pgmd2:0:0"]
)
def test_what_is_no_bookmark_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a pgmd bookmark"):
        Bookmark.parse(text)


def test_bookmarks_compare_within_one_engine_only() -> None:
    assert Bookmark("a", 1) < Bookmark("a", 2)
    assert max(Bookmark("a", 1), Bookmark("a", 2)).position == 2
    with pytest.raises(ValueError, match="two engines"):
        _ = Bookmark("a", 1) < Bookmark("b", 2)


def test_another_engines_bookmark_needs_a_later_publish() -> None:
    writes = log()
    before = writes.settled
    floor = writes.floor(Bookmark("ffffffffffffffff", 99))
    assert not Freshness(before).serves(floor, None, 0.0)
    assert Freshness(writes.settled).serves(floor, None, 0.0)


def test_own_bookmark_and_none() -> None:
    writes = log()
    assert writes.floor(None) == 0
    assert writes.floor(Bookmark(writes.epoch, 7)) == 7


@pytest.mark.parametrize(
    ("freshness", "floor", "bound", "expected"),
    [
        (Freshness(3), 3, None, True),
        (Freshness(3), 4, None, False),
        (Freshness(LIVE), 10**9, 0.0, True),
        (Freshness(LIVE), LIVE, None, True),
        (Freshness(3, since=90.0), 0, 10.0, True),
        (Freshness(3, since=89.0), 0, 10.0, False),
        (Freshness(3), 0, 10.0, False),
        (Freshness(-1), 0, None, False),
    ],
)
def test_which_replica_serves(
    freshness: Freshness, floor: float, bound: float | None, expected: bool
) -> None:
    assert freshness.serves(floor, bound, 100.0) is expected


def test_what_each_level_requires() -> None:
    assert required("eventual", 5, 9) == 0
    assert required("session", 5, 9) == 5
    assert required("engine", 5, 9) == 9
    assert required("strong", 5, 9) == LIVE
