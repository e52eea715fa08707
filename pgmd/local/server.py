"""The local endpoint's server: sockets, threads, timers.

asyncio moves the bytes; each client's conversation runs in a thread of a pool, one call at a
time, since DuckDB blocks.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import itertools
import logging
import random
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from ..errors import LocalError
from ..process.clock import now
from ..process.workers import Workers
from .authentication import Role, Verifiers
from .database.duckling import Ducklings, Source
from .database.writer import Writer
from .options import LocalOptions
from .protocol.conversation import Conversation
from .protocol.greeting import Welcome

T = TypeVar("T")

_log = logging.getLogger("pgmd.local")

_CHUNK = 262_144
# A client that does not read what it asked for holds its thread no longer than this, in seconds,
# once the server is to stop.
_PATIENCE = 2.0
_CANCEL_EVERY = 0.01
_TURNS = 10
_NAMES = ("md:",)


class _Client:
    """A conversation and the connection it is carried on."""

    def __init__(
        self, talk: Conversation, writer: asyncio.StreamWriter, task: asyncio.Task[Any]
    ) -> None:
        self.talk = talk
        self.writer = writer
        self.task = task


class Server:
    """What runs in the server's thread."""

    def __init__(self, file: Path, options: LocalOptions) -> None:
        self._file = file
        self._options = options
        self._clients: dict[int, _Client] = {}
        self._numbers = itertools.count(1)
        # One for each client, one for snapshots, one for those that are not let in yet.
        self._threads = Workers(options.max_clients + 2, "pgmd-local")
        self._snapshots: asyncio.Task[None] | None = None
        self.port = 0

    async def open(self) -> None:
        options = self._options
        tls = self._tls()
        self.database = Writer(self._file, options.limits)
        every = options.pickup_every
        self._ducklings = Ducklings(self.database, options.ducklings, pickup_every=every)
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
        self._ducklings.close()
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
        if talk.backend is None or (exchange := talk.backend.cursor.exchange) is None:
            return
        while not talk.backend.cursor.cancel(exchange):  # noqa: ASYNC110  # what ends it is DuckDB
            await asyncio.sleep(_CANCEL_EVERY)

    # ----------------------------------------------------------------------------- instances

    def _source(self, role: Role, startup: dict[str, str]) -> Source:
        if role is Role.WRITER:
            return self.database
        return self._ducklings.find(startup.get("options", ""))

    async def _take_snapshots(self, every: float) -> None:
        while True:
            await asyncio.sleep(every)
            try:
                await self._in_thread(self.database.snapshot_if_idle)
            except (duckdb.Error, OSError) as error:
                _log.warning("no snapshot: %s", error)


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
