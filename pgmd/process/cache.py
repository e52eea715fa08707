"""A bounded memory of what was worked out before."""

from __future__ import annotations

import threading
from typing import Any, TypeVar

K = TypeVar("K")
V = TypeVar("V")

# What an entry takes at most, measured with analysed statements: all of their words are kept.
_BYTES_PER_ENTRY = 2500
_BYTES_PER_CHARACTER = 32


class Cache(dict[K, V]):
    """A dict that starts anew when it is full, by entries or by bytes.

    Shared by threads: reading takes no lock, and any entry may be lost. The key is a text or a
    tuple that begins with one, from which the size of an entry is estimated; one that is larger
    than the whole cache is not kept. Written by `cache[key] = value`, `pop` and `clear` alone.
    """

    def __init__(self, most: int, max_bytes: int = 32_000_000) -> None:
        super().__init__()
        self._most = most
        self._max_bytes = max_bytes
        self._bytes = 0
        self._lock = threading.Lock()

    def __setitem__(self, key: K, value: V) -> None:
        size = _size(key)
        if size > self._max_bytes:
            return
        with self._lock:
            if key not in self:
                if len(self) >= self._most or self._bytes + size > self._max_bytes:
                    self._start_anew()
                self._bytes += size
            super().__setitem__(key, value)

    def pop(self, key: K, default: Any = None) -> Any:
        with self._lock:
            if key in self:
                self._bytes -= _size(key)
            return super().pop(key, default)

    def clear(self) -> None:
        with self._lock:
            self._start_anew()

    def _start_anew(self) -> None:
        super().clear()
        self._bytes = 0


def _size(key: Any) -> int:
    text = key[0] if isinstance(key, tuple) else key
    return _BYTES_PER_ENTRY + _BYTES_PER_CHARACTER * len(text)
