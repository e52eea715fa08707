"""Snapshots of a database file, kept in a folder beside it.

The folder is the meeting place of the local endpoint, which adds snapshots, and of replicas in
this or another process, which open the newest one. A replica that holds a snapshot open keeps
reading it after it was removed.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
import uuid
from dataclasses import dataclass, field
from pathlib import Path

# A replica may have chosen the newest but one when the newest appears.
_KEPT = 2
_SUFFIX = ".duckdb"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of a database."""

    number: int
    path: Path
    name: str | None = None
    id: uuid.UUID = field(default_factory=uuid.uuid4)
    created: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.UTC))
    size: int = 0


def folder_of(file: Path) -> Path:
    """Where the snapshots of a database file are."""
    return file.with_name(f"{file.name}.snapshots")


def newest(file: Path) -> Path | None:
    """The newest snapshot of a database file, None when there is none."""
    try:
        found = [path for path in folder_of(file).iterdir() if path.suffix == _SUFFIX]
    except FileNotFoundError:
        return None
    return max(found, key=_number, default=None)


def _number(path: Path) -> int:
    return int(path.stem) if path.stem.isdecimal() else -1


class SnapshotFolder:
    """The writing side; whoever has the database file open for writing is the only one."""

    def __init__(self, file: Path) -> None:
        self._path = folder_of(file)
        self._taken: list[Snapshot] = []
        # A server that was killed may have left its own.
        self.remove()
        self._path.mkdir()

    @property
    def taken(self) -> list[Snapshot]:
        """All snapshots, the newest last."""
        return list(self._taken)

    def add(self, source: int, name: str | None, log: Path | None = None) -> Snapshot:
        """Copy the file that is open as *source*, and the *log* that belongs to it.

        Raises OSError; nothing is left then.
        """
        number = len(self._taken) + 1
        path = self._path / f"{number}{_SUFFIX}"
        unfinished = path.with_suffix(".unfinished")
        try:
            size = _copy(source, unfinished)
            if log is not None:
                shutil.copyfile(log, _log_of(path))
            unfinished.rename(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            _log_of(path).unlink(missing_ok=True)
            raise
        snapshot = Snapshot(number, path, name, size=size)
        self._taken.append(snapshot)
        for old in self._taken[:-_KEPT]:
            old.path.unlink(missing_ok=True)
            _log_of(old.path).unlink(missing_ok=True)
        return snapshot

    def remove(self) -> None:
        """Remove the folder and all snapshots."""
        shutil.rmtree(self._path, ignore_errors=True)


def _log_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.wal")


def _copy(source: int, target: Path) -> int:
    size = os.fstat(source).st_size
    with target.open("wb") as out:
        at = 0
        while at < size:
            at += os.sendfile(out.fileno(), source, at, size - at)
    return size
