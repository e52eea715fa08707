"""The local endpoint: a server in a thread of its own.

The loop has a thread of its own, so that a program may use the endpoint from the very thread, or
loop, that started it.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Self

from psycopg.conninfo import make_conninfo

from ..errors import LocalError
from ..process.ending import Thread
from ..process.forking import hold, leak, remove_at_end
from .options import LocalOptions
from .server import Server


class LocalEndpoint:
    """A Postgres wire server over one DuckDB file, for development and tests.

        with LocalEndpoint("app.duckdb") as endpoint:
            psycopg.connect(endpoint.dsn)

    Also `async with`. *file* is made if it does not exist; None is a temporary one. It speaks
    DuckDB's SQL and has MotherDuck's ways, see `Quirks`. Listens on 127.0.0.1 unless told
    otherwise, port 0 is any free one. **Not for production**: one process, no replication, no
    users, and with `auth="trust"`, the default, no passwords.

    A client whose password is *read_scaling_token*, or one of several, lands on one of
    *ducklings* read-only replicas, which pick the newest snapshot up every *pickup_every* seconds
    or at `REFRESH DATABASE`; the startup option `session_name` keeps a client on the same one.
    Snapshots are taken every *snapshot_every* seconds while nobody writes, None for never, and at
    `CREATE SNAPSHOT`.

    `memory_limit` and `threads` are DuckDB's. SQL cannot reach files, extensions and URLs unless
    *external_access*. *certificate* and *private_key* are PEM files for TLS.

    psycopg's old `connection.cancel()` hangs against a server in the program's own process: use
    `cancel_safe()`.

    Raises ValueError for options that make no sense, and `LocalError` on entering when the file is
    in use, by this or another process, or the port is. Leaving ends every client, rolls open
    transactions back and closes the file; a process that is killed loses no acknowledged commit.
    """

    def __init__(self, file: str | Path | None = None, **options: object) -> None:
        self._options = LocalOptions(**options)  # type: ignore[arg-type]
        self._options.tokens  # noqa: B018  # checked here rather than in the server's thread
        self._file = Path(file) if file is not None else None
        self._server: Server | None = None
        self._thread: Thread | None = None
        self._stop: Callable[[], object] = _nothing
        self._stopping = threading.Lock()
        self._clean_up: Callable[[], object] = _nothing

    # ------------------------------------------------------------------------------ life cycle

    def start(self) -> None:
        """Open the file and listen. Raises `LocalError`."""
        if self._thread is not None:
            raise LocalError("the local endpoint has been started already")
        server = Server(self._place(), self._options)
        ready: threading.Event = threading.Event()
        failure: list[BaseException] = []
        work = partial(self._run, server, ready, failure)
        # There is nothing to stop it by before it runs.
        self._thread = Thread(work, "pgmd-local", lambda: self._stop())
        self._thread.start()
        ready.wait()
        if failure:
            self._thread.join()
            self._thread = None
            self._clean_up()
            raise failure[0]
        self._server = server
        hold(self)

    def abandon(self) -> None:
        """It belongs to the parent of this process."""
        leak(self)
        self._thread = None

    def stop(self) -> None:
        """End every client and close the file. Does nothing when it is stopped already."""
        with self._stopping:
            if self._thread is None:
                return
            self._stop()
            self._thread.join()
            self._thread = None
            self._server = None
            self._clean_up()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.stop)

    def _place(self) -> Path:
        if self._file is not None:
            return self._file
        folder = tempfile.mkdtemp(prefix="pgmd-local-")
        self._clean_up = remove_at_end(self, folder)
        return Path(folder) / "local.duckdb"

    def _run(self, server: Server, ready: threading.Event, failure: list[BaseException]) -> None:
        async def serve() -> None:
            try:
                await server.open()
            except BaseException as error:  # noqa: BLE001  # raised where start() was called
                failure.append(error)
                ready.set()
                return
            stopping = asyncio.Event()
            loop = asyncio.get_running_loop()
            self._stop = partial(loop.call_soon_threadsafe, stopping.set)
            ready.set()
            await stopping.wait()
            await server.close()

        asyncio.run(serve())

    # ------------------------------------------------------------------------------ what it is

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._running.port

    @property
    def dsn(self) -> str:
        """A conninfo for a client that writes; with the password, if there is one."""
        return self._dsn(self._options.password)

    @property
    def public_dsn(self) -> str:
        """The conninfo without a password."""
        return self._dsn(None)

    @property
    def read_scaling_dsn(self) -> str:
        """A conninfo for a client that lands on a read-only replica."""
        if self._options.auth == "trust" or not self._options.read_scaling:
            raise LocalError("needs auth='password' or 'scram' and a read_scaling_token")
        return self._dsn(self._options.read_scaling[0])

    def _dsn(self, password: str | None) -> str:
        conninfo: dict[str, Any] = {
            "host": self._options.host,
            "port": self.port,
            "user": "postgres",
            "dbname": self.database,
            "password": password if self._options.auth != "trust" else None,
        }
        return make_conninfo("", **{k: v for k, v in conninfo.items() if v is not None})

    @property
    def database(self) -> str:
        """The database's name: that of the file without its suffix."""
        return self._running.database.name

    @property
    def _running(self) -> Server:
        if self._server is None:
            raise LocalError("the local endpoint is not running; use it in a `with` block")
        return self._server

    def __repr__(self) -> str:
        state = f"{self._options.host}:{self.port}" if self._server is not None else "not running"
        return f"<LocalEndpoint {self._file or 'temporary'} {state}>"


def _nothing() -> None:
    """There is nothing to stop yet."""
