"""The DuckDB instances behind the local endpoint: the one that writes, and those that read.

One instance has a database file open; each client has a cursor of it. A client with a
read-scaling token gets a cursor of a duckling instead: an instance of its own on a snapshot,
which moves on to the newest one now and then, or when told to.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from ..errors import LocalError
from ..process.clock import now
from ..replicas.snapshots import Snapshot, SnapshotFolder
from ..sql.quoting import identifier, literal
from .catalog import DATABASE as CATALOG
from .catalog import SETUP as CATALOG_SETUP

_INFORMATION = "md_information_schema"
_INFORMATION_SETUP = (
    f"CREATE TABLE {_INFORMATION}.database_snapshots (database_name VARCHAR, database_id UUID, "
    "snapshot_id UUID, snapshot_name VARCHAR, created_ts TIMESTAMP WITH TIME ZONE, "
    "active_bytes BIGINT, bytes_written BIGINT, bytes_deleted BIGINT, user_name VARCHAR, "
    "user_id UUID)",
)
# How often a wait looks whether it was cancelled, in seconds.
_LOOK = 0.02
_OPENING = threading.Lock()
_OPEN: set[Path] = set()


class Stopped(Exception):
    """A wait was cancelled."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the instances may use. *external_access* lets SQL reach files, extensions, URLs."""

    memory_limit: str | None = None
    threads: int | None = None
    external_access: bool = False
    time_zone: str = "UTC"

    @property
    def config(self) -> dict[str, Any]:
        given: dict[str, Any] = {"threads": self.threads, "memory_limit": self.memory_limit}
        fixed: dict[str, Any] = {"python_enable_replacements": "false"}
        if not self.external_access:
            fixed |= {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
        return fixed | {k: str(v) for k, v in given.items() if v is not None}


class Gate:
    """Writers pass side by side; a snapshot waits until they have left and keeps others out."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._writers = 0
        self._closed = False

    def enter(self, is_stopped: Callable[[], bool]) -> None:
        """Become a writer. Waits while the gate is closed; raises Stopped."""
        with self._changed:
            self._wait(lambda: not self._closed, is_stopped)
            self._writers += 1

    def leave(self) -> None:
        with self._changed:
            self._writers -= 1
            self._changed.notify_all()

    @contextmanager
    def closed(self, is_stopped: Callable[[], bool]) -> Iterator[None]:
        """Nobody writes inside the block. Waits for writers; raises Stopped."""
        with self._changed:
            self._wait(lambda: not self._closed, is_stopped)
            self._closed = True
        try:
            with self._changed:
                self._wait(lambda: self._writers == 0, is_stopped)
            yield
        finally:
            with self._changed:
                self._closed = False
                self._changed.notify_all()

    @property
    def is_busy(self) -> bool:
        return self._writers > 0 or self._closed

    def _wait(self, is_ready: Callable[[], bool], is_stopped: Callable[[], bool]) -> None:
        while not self._changed.wait_for(is_ready, _LOOK):
            if is_stopped():
                raise Stopped


class Database:
    """A database file, open for writing. Raises `LocalError` when somebody else has it open."""

    is_read_only = False

    def __init__(self, file: Path, limits: Limits) -> None:
        self.file = file.resolve()
        self.limits = limits
        self.gate = Gate()
        self.schema_version = 0
        self._writes = 0
        self._writes_seen = 0
        with _OPENING:
            if self.file in _OPEN:
                raise LocalError(f"{file} is open in this process already: use that engine")
            self._root = _open(self.file, limits)
            _OPEN.add(self.file)
        # Closing any descriptor of the file drops the lock that DuckDB holds on it, whoever
        # opened it: this one is closed after DuckDB's.
        self._reader = self.file.open("rb")
        try:
            self.name = _current_database(self._root)
            _prepare(self._root, limits)
            self._snapshots = SnapshotFolder(self.file)
        except BaseException:
            self._shut()
            raise

    @property
    def label(self) -> str:
        return "local.rw"

    def connect(self) -> duckdb.DuckDBPyConnection:
        """A cursor for one client."""
        return _labelled(self._root.cursor(), self.label)

    @property
    def generation(self) -> int:
        """Goes up when cursors that were lent have become old; never, here."""
        return 0

    def refresh(self) -> bool:
        """The writer shows what is newest."""
        return False

    def wrote(self) -> None:
        """Note that a write may have been committed."""
        self._writes += 1

    def snapshot(
        self, name: str | None = None, is_stopped: Callable[[], bool] = lambda: False
    ) -> Snapshot:
        """Take a snapshot: waits for writers and blocks new ones.

        Raises Stopped, duckdb's errors and OSError.
        """
        with self.gate.closed(is_stopped):
            cursor = self._root.cursor()
            try:
                taken = self._snapshots.add(self._reader.fileno(), name, self._write_log(cursor))
                _record(cursor, self.name, [taken])
            finally:
                cursor.close()
            self._writes_seen = self._writes
        return taken

    def _write_log(self, cursor: duckdb.DuckDBPyConnection) -> Path | None:
        """Bring the file up to date; where DuckDB cannot, the log of what it lacks.

        A reader in a transaction that is older than a change of the schema is in the way.
        """
        try:
            cursor.execute("CHECKPOINT")
        except duckdb.TransactionException:
            return self.file.with_name(f"{self.file.name}.wal")
        return None

    def snapshot_if_idle(self) -> None:
        """Take a snapshot if something was written and nobody writes now."""
        if self._writes == self._writes_seen or self.gate.is_busy:
            return
        # Whoever begins to write right now is not waited for, which would keep all others out.
        with suppress(Stopped):
            self.snapshot(is_stopped=lambda: True)

    @property
    def snapshots(self) -> list[Snapshot]:
        """All snapshots, the newest last."""
        return self._snapshots.taken

    def newest(self) -> Snapshot:
        """The newest snapshot; the first one is taken when it is asked for."""
        return self._snapshots.taken[-1] if self._snapshots.taken else self.snapshot()

    def close(self) -> None:
        self._snapshots.remove()
        self._shut()

    def _shut(self) -> None:
        self._root.close()
        self._reader.close()
        with _OPENING:
            _OPEN.discard(self.file)


class Duckling:
    """A read-only instance on a snapshot of a database."""

    is_read_only = True

    def __init__(self, database: Database, number: int, *, pickup_every: float) -> None:
        self.name = database.name
        self.number = number
        self.gate = Gate()
        self.schema_version = 0
        self._database = database
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
        return _labelled(cursor, self.label)

    def refresh(self) -> bool:
        """Move on to the newest snapshot; whether there was a newer one."""
        with self._lock:
            before = self._shown
            self._pick_up()
            return self._shown != before

    def _pick_up(self) -> None:
        snapshot = self._database.newest()
        self._looked = now()
        if snapshot.number == self._shown:
            return
        try:
            root = self._open(snapshot)
        except duckdb.IOException:
            if snapshot is self._database.newest():
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
        limits = self._database.limits
        root = duckdb.connect(":memory:", config=limits.config)
        try:
            path = literal(str(snapshot.path))
            root.execute(f"ATTACH {path} AS {identifier(self.name)} (READ_ONLY)")
            _prepare(root, limits)
            _record(root, self.name, self._database.snapshots)
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


Source = Database | Duckling


def _open(file: Path, limits: Limits) -> duckdb.DuckDBPyConnection:
    try:
        return duckdb.connect(str(file), config=limits.config)
    except duckdb.Error as error:
        raise LocalError(_explained(file, str(error))) from None


def _explained(file: Path, message: str) -> str:
    if held := re.search(r"Could not set lock.*?\(PID (\d+)\)", message, re.DOTALL):
        return (
            f"{file} is in use by process {held[1]}: stop that one, connect to it "
            "if it is `pgmd serve`, or use another file"
        )
    if "different configuration" in message:
        return f"{file} is open in this process through duckdb.connect(): close that first"
    return f"{file} cannot be opened: {message}"


def _current_database(root: duckdb.DuckDBPyConnection) -> str:
    ((name,),) = root.execute("SELECT current_database()").fetchall()
    return str(name)


def _prepare(root: duckdb.DuckDBPyConnection, limits: Limits) -> None:
    root.execute(f"SET GLOBAL TimeZone = '{limits.time_zone}'")
    for name in (CATALOG, _INFORMATION):
        root.execute(f"ATTACH ':memory:' AS {name}")
    for statement in (*CATALOG_SETUP, *_INFORMATION_SETUP):
        root.execute(statement)
    if not limits.external_access:
        root.execute("SET enable_external_access = false")


def _labelled(cursor: duckdb.DuckDBPyConnection, label: str) -> duckdb.DuckDBPyConnection:
    cursor.execute(
        f"CREATE TEMP MACRO __md_duckling_id() AS TABLE SELECT '{label}' AS __md_duckling_id"
    )
    return cursor


def _record(cursor: duckdb.DuckDBPyConnection, database: str, snapshots: list[Snapshot]) -> None:
    for s in snapshots:
        cursor.execute(
            f"INSERT INTO {_INFORMATION}.database_snapshots VALUES "
            "(?, NULL, ?, ?, ?, ?, ?, 0, 'local', NULL)",
            [database, s.id, s.name, s.created, s.size, s.size],
        )
