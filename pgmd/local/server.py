"""The local endpoint's server: sockets, threads, timers.

asyncio moves the bytes; each client's conversation runs in a thread of a pool, one call at a
time, since DuckDB blocks. The loop has a thread of its own, so that a program may use the
endpoint from the very thread, or loop, that started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import itertools
import logging
import random
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import duckdb
from psycopg.conninfo import make_conninfo

from ..errors import LocalError
from ..process.clock import now
from ..process.ending import Thread
from ..process.forking import hold, leak, remove_at_end
from ..process.workers import Workers
from .authentication import Method, Role, Tokens, Verifiers
from .conversation import Conversation, Welcome
from .database import Database, Duckling, Limits, Source
from .quirks import Quirks

T = TypeVar("T")

_log = logging.getLogger("pgmd.local")

_CHUNK = 262_144
# A client that does not read what it asked for holds its thread no longer than this, in seconds,
# once the server is to stop.
_PATIENCE = 2.0
_CANCEL_EVERY = 0.01
_TURNS = 10
_NAMES = ("md:",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a local endpoint is run; the parameters of `LocalEndpoint`."""

    host: str = "127.0.0.1"
    port: int = 0
    auth: Method = "trust"
    password: str | None = field(default=None, repr=False)
    read_scaling_token: str | tuple[str, ...] | None = field(default=None, repr=False)
    region: str | None = None
    certificate: str | Path | None = None
    private_key: str | Path | None = None
    ducklings: int = 2
    snapshot_every: float | None = 60.0
    pickup_every: float = 60.0
    memory_limit: str | None = None
    threads: int | None = None
    external_access: bool = False
    max_clients: int = 100
    quirks: Quirks = field(default_factory=Quirks)

    def __post_init__(self) -> None:
        for name in ("ducklings", "max_clients"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: must be at least 1")
        if self.snapshot_every is not None and self.snapshot_every <= 0:
            raise ValueError(f"snapshot_every={self.snapshot_every}: must be above 0, or None")
        if self.pickup_every < 0:
            raise ValueError(f"pickup_every={self.pickup_every}: must not be negative")
        if not 0 <= self.port < 65536:
            raise ValueError(f"port={self.port}: must be between 0 and 65535")
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("certificate and private_key go together")

    @property
    def tokens(self) -> Tokens:
        return Tokens(self.auth, self.password, self.read_scaling, self.region)

    @property
    def read_scaling(self) -> tuple[str, ...]:
        """The read-scaling tokens."""
        given = self.read_scaling_token
        return (given,) if isinstance(given, str) else given or ()

    @property
    def limits(self) -> Limits:
        return Limits(self.memory_limit, self.threads, self.external_access)


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
        self._options = Options(**options)  # type: ignore[arg-type]
        self._options.tokens  # noqa: B018  # checked here rather than in the server's thread
        self._file = Path(file) if file is not None else None
        self._server: _Server | None = None
        self._thread: Thread | None = None
        self._stop: Callable[[], object] = _nothing
        self._stopping = threading.Lock()
        self._clean_up: Callable[[], object] = _nothing

    # ------------------------------------------------------------------------------ life cycle

    def start(self) -> None:
        """Open the file and listen. Raises `LocalError`."""
        if self._thread is not None:
            raise LocalError("the local endpoint has been started already")
        server = _Server(self._place(), self._options)
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

    def _run(self, server: _Server, ready: threading.Event, failure: list[BaseException]) -> None:
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
    def _running(self) -> _Server:
        if self._server is None:
            raise LocalError("the local endpoint is not running; use it in a `with` block")
        return self._server

    def __repr__(self) -> str:
        state = f"{self._options.host}:{self.port}" if self._server is not None else "not running"
        return f"<LocalEndpoint {self._file or 'temporary'} {state}>"


def _nothing() -> None:
    """There is nothing to stop yet."""


class _Client:
    """A conversation and the connection it is carried on."""

    def __init__(
        self, talk: Conversation, writer: asyncio.StreamWriter, task: asyncio.Task[Any]
    ) -> None:
        self.talk = talk
        self.writer = writer
        self.task = task


class _Server:
    """What runs in the server's thread."""

    def __init__(self, file: Path, options: Options) -> None:
        self._file = file
        self._options = options
        self._clients: dict[int, _Client] = {}
        self._numbers = itertools.count(1)
        # One for each client, one for snapshots, one for those that are not let in yet.
        self._threads = Workers(options.max_clients + 2, "pgmd-local")
        self._ducklings: dict[int, Duckling] = {}
        self._next_duckling = itertools.count()
        self._making_duckling = threading.Lock()
        self._snapshots: asyncio.Task[None] | None = None
        self.port = 0

    async def open(self) -> None:
        options = self._options
        tls = self._tls()
        self.database = Database(self._file, options.limits)
        try:
            self._welcome = Welcome(
                options.tokens,
                Verifiers(options.tokens),
                options.quirks,
                self._source,
                frozenset({self.database.name, *_NAMES}),
                has_tls=tls is not None,
                is_full=self._is_full,
            )
            self._certificate = tls
            self._listener = await asyncio.start_server(self._serve, options.host, options.port)
        except OSError as error:
            self.database.close()
            raise LocalError(f"cannot listen on {options.host}:{options.port}: {error}") from None
        except BaseException:
            self.database.close()
            raise
        self.port = self._listener.sockets[0].getsockname()[1]
        if options.snapshot_every is not None:
            self._snapshots = asyncio.create_task(self._take_snapshots(options.snapshot_every))

    def _tls(self) -> ssl.SSLContext | None:
        if self._options.certificate is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(self._options.certificate, self._options.private_key)
        except (OSError, ssl.SSLError) as error:
            raise LocalError(f"certificate: {error}") from None
        return context

    async def close(self) -> None:
        await self._stop_listening()
        if self._snapshots is not None:
            self._snapshots.cancel()
        while self._clients:
            await asyncio.gather(*map(self._say_goodbye, list(self._clients.values())))
        self._threads.shutdown()
        for duckling in self._ducklings.values():
            duckling.close()
        self.database.close()

    async def _stop_listening(self) -> None:
        # asyncio forgets, without closing them, connections that it has accepted but not handed
        # over yet: that takes a few turns of the loop, in which no more are accepted.
        loop = asyncio.get_running_loop()
        for listening in self._listener.sockets:
            loop.remove_reader(listening.fileno())
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        self._listener.close()

    async def _say_goodbye(self, client: _Client) -> None:
        client.talk.is_over = True
        await self._cancel(client.talk)
        with contextlib.suppress(OSError):
            client.writer.write(client.talk.farewell("the local endpoint is being stopped"))
            client.writer.close()
        end = now() + _PATIENCE
        while not client.task.done():
            # What it had just asked for may have begun only now.
            await self._cancel(client.talk)
            await asyncio.wait([client.task], timeout=_CANCEL_EVERY)
            if now() > end:
                client.writer.transport.abort()

    # ------------------------------------------------------------------------------- clients

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = next(self._numbers)
        talk = Conversation(self._welcome, number)
        task = asyncio.current_task()
        assert task is not None
        self._clients[number] = _Client(talk, writer, task)
        try:
            await self._converse(talk, reader, writer)
        except (OSError, EOFError, ssl.SSLError):
            # The client has gone, in whatever way.
            pass
        finally:
            try:
                await self._in_thread(talk.close)
            finally:
                del self._clients[number]
                writer.close()

    async def _converse(
        self, talk: Conversation, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        quirks = self._options.quirks
        is_cold = len(self._clients) == 1
        while not talk.is_over and (data := await reader.read(_CHUNK)):
            await asyncio.sleep(quirks.latency)
            if is_cold and talk.backend is not None:
                is_cold = False
                await asyncio.sleep(quirks.cold_start)
            if quirks.reset_rate and random.random() < quirks.reset_rate:
                writer.transport.abort()
                return
            await self._reply(talk, data, writer)
            if talk.wants_tls:
                await writer.start_tls(self._certificate)  # type: ignore[arg-type]
                talk.wants_tls, talk.is_encrypted = False, True
        if talk.cancels is not None:
            await self._cancel_other(*talk.cancels)

    def _is_full(self) -> bool:
        clients = list(self._clients.values())
        return sum(c.talk.backend is not None for c in clients) >= self._options.max_clients

    async def _reply(self, talk: Conversation, data: bytes, writer: asyncio.StreamWriter) -> None:
        replies = talk.receive(data)
        is_last = False
        while not is_last:
            reply, is_last = await self._in_thread(_gather, replies)
            writer.write(reply)
            await writer.drain()

    async def _in_thread(self, work: Callable[..., T], *args: Any) -> T:
        # Never cancelled: whatever happens, a conversation is in one thread at a time.
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)

    async def _cancel_other(self, number: int, key: bytes) -> None:
        client = self._clients.get(number)
        if client is not None and hmac.compare_digest(client.talk.key, key):
            await self._cancel(client.talk)

    async def _cancel(self, talk: Conversation) -> None:
        backend = talk.backend
        exchange = backend.exchange if backend is not None else None
        if backend is None or exchange is None:
            return
        while not backend.cancel(exchange):  # noqa: ASYNC110  # what ends it is DuckDB
            await asyncio.sleep(_CANCEL_EVERY)

    # ----------------------------------------------------------------------------- instances

    def _source(self, role: Role, startup: dict[str, str]) -> Source:
        if role is Role.WRITER:
            return self.database
        number = self._duckling_number(startup)
        with self._making_duckling:
            duckling = self._ducklings.get(number)
            if duckling is None:
                every = self._options.pickup_every
                duckling = Duckling(self.database, number, pickup_every=every)
                self._ducklings[number] = duckling
            return duckling

    def _duckling_number(self, startup: dict[str, str]) -> int:
        name = _session_name(startup.get("options", ""))
        if name is None:
            return next(self._next_duckling) % self._options.ducklings
        return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % self._options.ducklings

    async def _take_snapshots(self, every: float) -> None:
        while True:
            await asyncio.sleep(every)
            try:
                await self._in_thread(self.database.snapshot_if_idle)
            except (duckdb.Error, OSError) as error:
                _log.warning("no snapshot: %s", error)


def _session_name(options: str) -> str | None:
    """`-c session_name=...` among libpq's options."""
    for setting in options.replace("-c ", "-c").split():
        name, _, value = setting.removeprefix("-c").partition("=")
        if name == "session_name":
            return value
    return None


def _gather(replies: Iterator[bytes]) -> tuple[bytes, bool]:
    """The next replies, as many as make a good piece to send, and whether these are the last."""
    found: list[bytes] = []
    size = 0
    for reply in replies:
        found.append(reply)
        size += len(reply)
        if size >= _CHUNK:
            return b"".join(found), False
    return b"".join(found), True
