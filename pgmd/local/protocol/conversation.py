"""One client's conversation with the server. A thread drives it and may take its time."""

from __future__ import annotations

import logging
import secrets
import struct
from collections.abc import Iterator

import duckdb
from pygwire import PygwireError
from pygwire import messages as pg

from ..authentication import Denied
from ..backend.running import Backend
from .extended import ExtendedQueries
from .greeting import Greeting, Welcome
from .messages import Messages, Violation, error_response
from .replies import Replies
from .simple import SimpleQueries

_log = logging.getLogger("pgmd.local")

# Before a client is let in it may not send more than this, in bytes.
_MOST_UNKNOWN = 65_536


class Conversation:
    """One client's connection.

    `receive` yields what is to be sent. `wants_tls` is True after an answer that the client will
    follow with a TLS handshake; set `is_encrypted` when that is done. `is_over` ends it. `backend`
    is None until the client is let in.
    """

    def __init__(self, welcome: Welcome, process_id: int) -> None:
        self.process_id = process_id
        self.key = secrets.token_bytes(4)
        self.is_encrypted = False
        self.wants_tls = False
        self.is_over = False
        # Asks to cancel another client: its process id and key.
        self.cancels: tuple[int, bytes] | None = None
        self.backend: Backend | None = None
        self._welcome = welcome
        self._messages = Messages()
        self._greeting = Greeting(welcome, self._messages)
        self._received = 0
        self._is_mute = False

    def receive(self, data: bytes) -> Iterator[bytes]:
        """Take in what the client has sent; yield what to send back, piece by piece."""
        if self._is_mute or self.is_over:
            return
        if self.backend is None:
            self._received += len(data)
        try:
            if self.backend is None and self._received > _MOST_UNKNOWN:
                raise Violation("too much data before authentication")
            for message in self._messages.receive(data):
                yield from self._greet(message) if self.backend is None else self._answer(message)
                if self.is_over or self.wants_tls:
                    return
        except Denied as error:
            yield self._fatal("28P01", str(error))
        except (PygwireError, Violation, struct.error, IndexError, UnicodeError) as error:
            yield self._fatal("08P01", f"protocol violation: {error}")
        except Exception as error:  # noqa: BLE001  # the client is told, and the server lives on
            _log.exception("a client's conversation failed")
            yield self._fatal("XX000", f"internal error: {type(error).__name__}")

    def close(self) -> None:
        """The client has gone."""
        self.is_over = True
        if self.backend is not None:
            self.backend.close()

    def farewell(self, message: str) -> bytes:
        """What a client is told when the server ends the connection."""
        return self._fatal("57P01", message)

    def _fatal(self, code: str, message: str) -> bytes:
        self.is_over = True
        # Not through the connection: it may be in a phase that knows no such message.
        return error_response("FATAL", code, message).to_wire()

    # ---------------------------------------------------------------------------- letting in

    def _greet(self, message: pg.PGMessage) -> Iterator[bytes]:
        match message:
            case pg.SSLRequest():
                yield self._offer_tls()
            case pg.GSSEncRequest():
                yield self._messages.send(pg.GSSResponse(accepted=False))
            case pg.CancelRequest():
                self.cancels = (message.process_id, bytes(message.secret_key))
                self.is_over = True
            case pg.StartupMessage() if self._welcome.has_tls and not self.is_encrypted:
                yield from self._refuse_plaintext()
            case (
                pg.StartupMessage()
                | pg.PasswordMessage()
                | pg.SASLInitialResponse()
                | pg.SASLResponse()
            ):
                yield from self._greeting.take(message)
                if self._greeting.role is not None:
                    yield from self._let_in()
            case _:
                self.is_over = True

    def _offer_tls(self) -> bytes:
        wants_tls = self._welcome.has_tls and not self.is_encrypted
        if wants_tls and self._messages.has_more:
            # Else it would be taken for what came encrypted.
            raise Violation("data between the request for TLS and its handshake")
        self.wants_tls = wants_tls
        return self._messages.send(pg.SSLResponse(accepted=wants_tls))

    def _refuse_plaintext(self) -> Iterator[bytes]:
        if self._welcome.quirks.plaintext_hangs:
            self._is_mute = True
        else:
            yield self._fatal("28000", "this server wants TLS: use sslmode=require or better")

    def _let_in(self) -> Iterator[bytes]:
        if refusal := self._greeting.refusal():
            yield self._fatal(*refusal)
            return
        quirks = self._welcome.quirks
        try:
            self.backend = Backend(self._greeting.source(), quirks)
        except (duckdb.Error, OSError) as error:
            yield self._fatal("58000", str(error))
            return
        self._replies = Replies(self._messages, self.backend, quirks)
        self._simple = SimpleQueries(self.backend, self._replies)
        self._extended = ExtendedQueries(self.backend, self._replies)
        send = self._messages.send
        yield send(pg.AuthenticationOk())
        for name, value in self._greeting.parameters(self._replies.zone).items():
            yield send(pg.ParameterStatus(name=name, value=value))
        yield send(pg.BackendKeyData(process_id=self.process_id, secret_key=self.key))
        yield self._replies.ready()

    # ----------------------------------------------------------------------------- answering

    def _answer(self, message: pg.PGMessage) -> Iterator[bytes]:
        match message:
            case pg.CopyData() | pg.CopyDone() | pg.CopyFail():
                # Else it belongs to a COPY that was refused.
                if self._simple.is_copying:
                    yield from self._simple.continue_copy(message)
            case _ if self._simple.is_copying or isinstance(message, pg.Terminate):
                self.is_over = True
            case pg.Query():
                if not self._extended.is_skipping:
                    self._extended.forget_portals()
                    yield from self._simple.query(message)
            case pg.FunctionCall():
                yield self._replies.error("0A000", "function calls are not supported: use SELECT")
                yield self._replies.ready()
            case _:
                yield from self._extended.take(message)
