"""kill -9 in the middle of writes: what was acknowledged is there, nothing else by halves."""

from __future__ import annotations

import multiprocessing
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import psycopg
import pytest

from pgmd.local import LocalEndpoint
from pgmd.replicas.snapshots import folder_of

ROUNDS = 50
WRITERS = 3
# Each server has already imported what it needs: fifty would take a minute to do so.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__])


def serve(file: Path, started: Connection) -> None:
    with LocalEndpoint(file, snapshot_every=None) as endpoint:
        started.send(endpoint.dsn)
        signal.pause()


@contextmanager
def serving(file: Path) -> Iterator[tuple[BaseProcess, str]]:
    """A server in a process of its own, which is killed."""
    found, started = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=serve, args=(file, started))
    process.start()
    started.close()
    try:
        yield process, found.recv()
    finally:
        process.kill()
        process.join()
        found.close()


class Writer(threading.Thread):
    """Writes batches, each in one transaction over two tables, until the server is gone."""

    def __init__(self, dsn: str, number: int, enough: threading.Semaphore) -> None:
        super().__init__()
        self._dsn = dsn
        self._number = number
        self._enough = enough
        self.acknowledged: dict[int, int] = {}
        self.tried: set[int] = set()

    def run(self) -> None:
        rows = random.Random(self._number)
        batch = self._number
        try:
            with psycopg.connect(self._dsn, autocommit=True) as connection:
                while True:
                    size = rows.randint(1, 40)
                    self.tried.add(batch)
                    with connection.transaction():
                        connection.execute(
                            "INSERT INTO lines SELECT %s, i FROM range(%s) AS t(i)", [batch, size]
                        )
                        connection.execute("INSERT INTO batches VALUES (%s, %s)", [batch, size])
                    self.acknowledged[batch] = size
                    self._enough.release()
                    batch += WRITERS
        except psycopg.OperationalError:
            self._enough.release(1000)


@pytest.mark.slow
# Fifty rounds, however long a machine takes: this is for one that hangs.
@pytest.mark.timeout(900)
def test_what_was_acknowledged_survives_fifty_kills(tmp_path: Path) -> None:
    file = tmp_path / "app.duckdb"
    acknowledged: dict[int, int] = {}
    tried: set[int] = set()
    chance = random.Random(9)
    first = 0
    for number in range(ROUNDS):
        with serving(file) as (process, dsn):
            with psycopg.connect(dsn, autocommit=True) as connection:
                connection.execute("CREATE TABLE IF NOT EXISTS batches (id int, size int)")
                connection.execute("CREATE TABLE IF NOT EXISTS lines (batch int, n int)")
                if number % 3 == 0:
                    # DuckDB writes its log into the file now and then.
                    connection.execute("SET wal_autocheckpoint = '20KB'")
                check(connection, acknowledged, tried)
            enough = threading.Semaphore(0)
            writers = [Writer(dsn, first + n, enough) for n in range(WRITERS)]
            for writer in writers:
                writer.start()
            snapshots = threading.Thread(target=take_snapshots, args=[dsn])
            if number % 2:
                snapshots.start()
            for _ in range(chance.randint(1, 25)):
                enough.acquire()
            process.kill()
            for writer in writers:
                writer.join()
                acknowledged |= writer.acknowledged
                tried |= writer.tried
            if number % 2:
                snapshots.join()
        first = max(tried) // WRITERS * WRITERS + WRITERS
    with LocalEndpoint(file) as endpoint, psycopg.connect(endpoint.dsn) as connection:
        check(connection, acknowledged, tried)
    # What the killed ones left there is gone.
    assert not folder_of(file).exists()
    assert len(acknowledged) > ROUNDS


def check(connection: psycopg.Connection, acknowledged: dict[int, int], tried: set[int]) -> None:
    batches = connection.execute("SELECT id, size FROM batches").fetchall()
    counted = connection.execute("SELECT batch, count(*) FROM lines GROUP BY batch").fetchall()
    assert len(dict(batches)) == len(batches)
    assert dict(batches) == dict(counted)
    assert acknowledged.items() <= dict(batches).items()
    assert dict(batches).keys() <= tried


def take_snapshots(dsn: str) -> None:
    try:
        with psycopg.connect(dsn, autocommit=True) as connection:
            while True:
                connection.execute("CREATE SNAPSHOT OF app")
    except psycopg.OperationalError:
        pass
