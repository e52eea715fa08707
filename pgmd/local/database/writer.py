"""The instance that writes: it has the database file open, and each client a cursor of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import duckdb

from ...errors import LocalError
from ...replicas.snapshots import Snapshot, SnapshotFolder
from .gate import Gate, Stopped
from .instance import Limits, labelled, open_file, prepare, record

_OPENING = threading.Lock()
_OPEN: set[Path] = set()


class Writer:
    """A database file, open for writing. Raises `LocalError` when somebody else has it open."""

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
            self._root = open_file(self.file, limits)
            _OPEN.add(self.file)
        # Closing any descriptor of the file drops the lock that DuckDB holds on it, whoever
        # opened it: this one is closed after DuckDB's.
        self._reader = self.file.open("rb")
        try:
            self.name = _current_database(self._root)
            prepare(self._root, limits)
            self._snapshots = SnapshotFolder(self.file)
        except BaseException:
            self._shut()
            raise

    @property
    def label(self) -> str:
        return "local.rw"

    def connect(self) -> duckdb.DuckDBPyConnection:
        """A cursor for one client."""
        return labelled(self._root.cursor(), self.label)

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
                record(cursor, self.name, [taken])
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


def _current_database(root: duckdb.DuckDBPyConnection) -> str:
    ((name,),) = root.execute("SELECT current_database()").fetchall()
    return str(name)
