"""The instances that read: for clients with a read-scaling token.

A duckling is on a snapshot, and moves on to the newest one now and then, or when told to.
"""

from __future__ import annotations

import hashlib
import itertools
import threading

import duckdb

from ...process.clock import now
from ...replicas.snapshots import Snapshot
from ...sql.quoting import identifier, literal
from .gate import Gate
from .instance import labelled, prepare, record
from .writer import Writer


class Duckling:
    """A read-only instance on a snapshot of a database."""

    def __init__(self, writer: Writer, number: int, *, pickup_every: float) -> None:
        self.name = writer.name
        self.number = number
        self.gate = Gate()
        self.schema_version = 0
        self._writer = writer
        self._pickup_every = pickup_every
        self._lock = threading.Lock()
        self._root: duckdb.DuckDBPyConnection | None = None
        self._shown = -1
        self._looked = 0.0

    @property
    def label(self) -> str:
        return f"local.rs.{self.number}"

    @property
    def generation(self) -> int:
        """The snapshot that is shown; looks for a newer one when it is time."""
        if now() - self._looked > self._pickup_every:
            self.refresh()
        return self._shown

    def connect(self) -> duckdb.DuckDBPyConnection:
        """A cursor for one client."""
        with self._lock:
            if self._root is None:
                self._pick_up()
            assert self._root is not None
            cursor = self._root.cursor()
        cursor.execute(f"USE {identifier(self.name)}")
        return labelled(cursor, self.label)

    def refresh(self) -> bool:
        """Move on to the newest snapshot; whether there was a newer one."""
        with self._lock:
            before = self._shown
            self._pick_up()
            return self._shown != before

    def _pick_up(self) -> None:
        snapshot = self._writer.newest()
        self._looked = now()
        if snapshot.number == self._shown:
            return
        try:
            root = self._open(snapshot)
        except duckdb.IOException:
            if snapshot is self._writer.newest():
                raise
            # Newer ones came meanwhile, and it was removed.
            self._pick_up()
            return
        # Not closed: that would close the cursors of clients that have not moved on yet. The last
        # of them takes the instance with it.
        self._root = root
        self._shown = snapshot.number
        self.schema_version += 1

    def _open(self, snapshot: Snapshot) -> duckdb.DuckDBPyConnection:
        limits = self._writer.limits
        root = duckdb.connect(":memory:", config=limits.config)
        try:
            path = literal(str(snapshot.path))
            root.execute(f"ATTACH {path} AS {identifier(self.name)} (READ_ONLY)")
            prepare(root, limits)
            record(root, self.name, self._writer.snapshots)
        except BaseException:
            root.close()
            raise
        return root

    def wrote(self) -> None:
        """Nothing is ever written here."""

    def close(self) -> None:
        with self._lock:
            if self._root is not None:
                self._root.close()
                self._root = None


Source = Writer | Duckling


class Ducklings:
    """The ducklings of a writer, each made when its first client comes."""

    def __init__(self, writer: Writer, count: int, *, pickup_every: float) -> None:
        self._writer = writer
        self._count = count
        self._pickup_every = pickup_every
        self._made: dict[int, Duckling] = {}
        self._making = threading.Lock()
        self._next = itertools.count()

    def find(self, startup_options: str) -> Duckling:
        """The one for a client, by libpq's *options*: the same for the same `session_name`."""
        number = self._number(_session_name(startup_options))
        with self._making:
            found = self._made.get(number)
            if found is None:
                found = Duckling(self._writer, number, pickup_every=self._pickup_every)
                self._made[number] = found
            return found

    def _number(self, name: str | None) -> int:
        if name is None:
            return next(self._next) % self._count
        return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % self._count

    def close(self) -> None:
        for duckling in self._made.values():
            duckling.close()


def _session_name(options: str) -> str | None:
    """`-c session_name=...` among libpq's options."""
    for setting in options.replace("-c ", "-c").split():
        name, _, value = setting.removeprefix("-c").partition("=")
        if name == "session_name":
            return value
    return None
