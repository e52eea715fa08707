"""Copies of databases on disk that replicas read and share."""

from __future__ import annotations

import itertools
import tempfile
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path

from ..process.forking import remove_at_end
from ..routing.freshness import Freshness
from .holdings import Holdings

# No file is called as one was before: DuckDB may still have that open.
_numbers = itertools.count(1)


@dataclass(slots=True, eq=False)
class Copy:
    """One copy, gone with its last reader; whoever opens next counts as one for as long as it is
    the newest."""

    path: Path
    holdings: Holdings
    freshness: Freshness
    readers: int = 1


# Writes the file and says what it holds. Raises ReplicaError.
Make = Callable[[Path], tuple[Holdings, Freshness]]


class Copies:
    """The newest copy of each source, and older ones that are still read, of one engine.

    Any number of threads may use it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Held while one is made: who wants the same source waits for it.
        self._making = threading.Lock()
        self._newest: dict[Hashable, Copy] = {}
        self._folder = ""
        self._clean_up: Callable[[], object] = lambda: None

    def take(self, source: Hashable, make: Make) -> Copy:
        """The newest copy, made if there is none yet; see `release()`."""
        with self._making:
            copy = self._newest.get(source)
            if copy is None:
                copy = self._newest[source] = self._made(make)
            with self._lock:
                copy.readers += 1
            return copy

    def renew(self, source: Hashable, make: Make) -> None:
        """Copy a source anew, for those that take one from now on."""
        with self._making:
            new = self._made(make)
            old, self._newest[source] = self._newest.get(source), new
        if old is not None:
            self.release(old)

    def _made(self, make: Make) -> Copy:
        if not self._folder:
            self._folder = tempfile.mkdtemp(prefix="pgmd-")
            self._clean_up = remove_at_end(self, self._folder)
        path = Path(self._folder) / f"snapshot-{next(_numbers)}.duckdb"
        try:
            holdings, freshness = make(path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return Copy(path, holdings, freshness)

    def release(self, copy: Copy) -> None:
        """One who has taken it reads it no more."""
        with self._lock:
            copy.readers -= 1
            is_idle = copy.readers == 0
        if is_idle:
            copy.path.unlink(missing_ok=True)

    def clean_up(self) -> None:
        """Remove all copies; nothing is opened any more."""
        self._clean_up()
