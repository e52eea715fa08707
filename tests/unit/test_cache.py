"""A cache keeps to its bounds, whatever is put into it and by whomever."""

from __future__ import annotations

import gc
import random
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from pgmd.process.cache import Cache
from pgmd.sql import analyse

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def test_keeps_what_it_is_given() -> None:
    cache: Cache[object, int] = Cache(4)
    cache["a"] = 1
    cache["b", 2] = 2
    assert cache["a"] == 1
    assert cache.get(("b", 2)) == 2
    assert cache.get("c") is None


def test_starts_anew_when_it_has_enough_entries() -> None:
    cache: Cache[str, int] = Cache(3)
    for key in "abcd":
        cache[key] = 1
    assert list(cache) == ["d"]


def test_starts_anew_when_it_has_enough_bytes() -> None:
    cache: Cache[str, int] = Cache(1000, max_bytes=100_000)
    for letter in "abcd":
        cache[letter * 1000] = 1
    assert [key[0] for key in cache] == ["c", "d"]


def test_a_tuple_counts_by_its_text() -> None:
    cache: Cache[tuple[str, int], int] = Cache(1000, max_bytes=100_000)
    for n in range(4):
        cache["a" * 1000, n] = 1
    assert [n for _, n in cache] == [2, 3]


def test_what_is_too_large_is_not_kept_and_drives_nothing_out() -> None:
    cache: Cache[str, int] = Cache(10, max_bytes=10_000)
    cache["a"] = 1
    cache["b" * 10_000] = 2
    assert list(cache) == ["a"]


def test_a_key_counts_once() -> None:
    cache: Cache[str, int] = Cache(2, max_bytes=10_000)
    cache["a"] = 1
    for n in range(100):
        cache["b"] = n
    assert cache == {"a": 1, "b": 99}


def test_what_was_taken_out_does_not_count() -> None:
    cache: Cache[str, int] = Cache(10, max_bytes=10_000)
    cache["a"] = 1
    for n in range(100):
        cache["b"] = n
        assert cache.pop("b") == n
        assert cache.pop("b", None) is None
    assert cache == {"a": 1}


def test_clear_makes_room() -> None:
    cache: Cache[str, int] = Cache(10, max_bytes=6000)
    for n in range(2):
        cache["a"] = cache["b"] = n
        assert len(cache) == 2
        cache.clear()
        assert not cache


def short(n: int) -> str:
    return f"SELECT a FROM t WHERE b = {n}"


def many_names(n: int) -> str:
    names = (f"{a}{b}{c}" for a in LETTERS for b in LETTERS for c in LETTERS[:6])
    return f"SELECT {','.join(names)} FROM t{n}"


def no_ascii(n: int) -> str:
    return many_names(n).replace("a", "é")


def one_literal(n: int) -> str:
    return f"SELECT '{'x' * 15_000}{n}'"


@contextmanager
def traced() -> Iterator[Callable[[], int]]:
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        yield lambda: tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("text", [short, many_names, no_ascii, one_literal])
def test_its_bytes_are_those_of_the_memory(text: Callable[[int], str]) -> None:
    max_bytes = 2_000_000
    # Long texts are not remembered elsewhere; the first call makes what is made once.
    analyse(text(-1))
    cache: Cache[str, object] = Cache(10_000, max_bytes=max_bytes)
    with traced() as memory:
        largest = 0
        for n in range(1000 if text is short else 12):
            key = text(n)
            cache[key] = analyse.__globals__["_analyse"](key)
            largest = max(largest, memory())
    assert largest < 1.5 * max_bytes
    if text is not one_literal:
        assert largest > 0.4 * max_bytes


def test_threads_do_not_lose_the_bounds() -> None:
    most, max_bytes = 5, 15_000
    cache: Cache[str, int] = Cache(most, max_bytes=max_bytes)
    errors: list[BaseException] = []
    begin = threading.Barrier(8)

    def work(seed: int) -> None:
        numbers = random.Random(seed)
        try:
            begin.wait()
            for _ in range(2000):
                n = numbers.randrange(12)
                key = f"{n} " * n
                cache[key] = n
                assert cache.get(key, n) == n
                if n % 4 == 0:
                    cache.pop(key)
                if n == 5:
                    cache.clear()
                assert len(cache) <= most
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not errors
    assert cache._bytes == sum(2500 + 32 * len(key) for key in cache) <= max_bytes


class Slow(str):
    """A text that is hashed a second time only once somebody else has had time to interfere."""

    __slots__ = ("hashed", "interfered")
    hashed: int
    interfered: threading.Event

    def __hash__(self) -> int:
        self.hashed += 1
        if self.hashed == 2:
            self.interfered.wait(0.5)
        return str.__hash__(self)

    __eq__ = str.__eq__


def test_two_threads_that_put_the_same_in_count_it_once() -> None:
    cache: Cache[str, int] = Cache(10, max_bytes=10_000)
    slow = Slow("a")
    slow.hashed, slow.interfered = 0, threading.Event()

    def interfere() -> None:
        cache["a"] = 2
        slow.interfered.set()

    first = threading.Thread(target=lambda: cache.__setitem__(slow, 1))
    first.start()
    second = threading.Thread(target=interfere)
    second.start()
    first.join()
    second.join()
    assert slow.hashed >= 2
    assert cache._bytes == 2500 + 32
