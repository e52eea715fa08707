"""The Postgres protocol as one client speaks it, without any I/O.

Bytes go in, bytes come out; a thread drives it and may take its time. pygwire reads and writes
the messages, and knows which may come when.
"""

from __future__ import annotations

import logging
import secrets
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import duckdb
import psycopg
from pygwire import BackendConnection, ConnectionPhase, PygwireError, TransactionStatus
from pygwire import messages as pg
from pygwire.codec import FrontendMessageDecoder

from ..parity.errors import from_duckdb
from .authentication import Denied, Role, Scram, Tokens, Verifiers
from .backend import SLICE, Answer, Backend, Refused
from .catalog import SERVER_VERSION
from .copying import BadCopy, CopyIn, CopyOut
from .database import Source, Stopped
from .quirks import Quirks
from .statements import Command, read
from .values import BadParameter, Column, read_parameter

_log = logging.getLogger("pgmd.local")

# Before a client is let in it may not send more than this, in bytes.
_MOST_UNKNOWN = 65_536
_UNCATEGORISED = "XXUUU"


@dataclass(frozen=True, slots=True)
class Welcome:
    """What the server has for a client: how it is let in, and what it gets then.

    *source* finds the instance for a role and the client's startup parameters; *databases* are
    the names that may be asked for. *has_tls* tells that the connection can be encrypted,
    *is_full* that there are as many clients as there may be.
    """

    tokens: Tokens
    verifiers: Verifiers
    quirks: Quirks
    source: Callable[[Role, dict[str, str]], Source]
    databases: frozenset[str]
    has_tls: bool = False
    is_full: Callable[[], bool] = lambda: False


@dataclass(slots=True)
class _Prepared:
    command: Command | None
    oids: list[int]


@dataclass(slots=True)
class _Portal:
    prepared: _Prepared
    values: list[object]
    formats: list[int]
    answer: Answer | None = None
    is_done: bool = False


_COPYING = (pg.CopyData, pg.CopyDone, pg.CopyFail)
_BETWEEN_COPIES = (ConnectionPhase.READY, ConnectionPhase.EXTENDED_QUERY)


class _Decoder(FrontendMessageDecoder):
    """Reads the data of a COPY also when none is on: a client sends on until it is refused."""

    def _parse(self) -> None:
        phase = self.phase
        identifier = bytes(self._buf[self._pos : self._pos + 1])
        if phase in _BETWEEN_COPIES and identifier in (b"d", b"c", b"f"):
            self.phase = ConnectionPhase.COPY_IN
        try:
            super()._parse()
        finally:
            self.phase = phase


class _Wire(BackendConnection):
    """Takes what PostgreSQL takes, too, and asyncpg sends.

    That is a Query where a Sync was to come, and the data of a COPY that has been refused.
    """

    def __init__(self) -> None:
        super().__init__()
        self._decoder = _Decoder()

    def _receive_to_state_machine(self, msg: pg.PGMessage) -> None:
        is_early = isinstance(msg, pg.Query) and self.phase is ConnectionPhase.EXTENDED_QUERY
        is_late = isinstance(msg, _COPYING) and self.phase in _BETWEEN_COPIES
        if not is_early and not is_late:
            super()._receive_to_state_machine(msg)

    @property
    def has_more(self) -> bool:
        """Whether more has arrived than was read."""
        return self._decoder.buffered > 0


class _Violation(Exception):
    """The client does not keep to the protocol: it is told so and let go."""


@dataclass(slots=True)
class Conversation:
    """One client's connection.

    `receive` yields what is to be sent. `wants_tls` is True after an answer that the client will
    follow with a TLS handshake; set `is_encrypted` when that is done. `is_over` ends it.
    """

    welcome: Welcome
    process_id: int
    is_encrypted: bool = False
    wants_tls: bool = False
    is_over: bool = False
    # Asks to cancel another client: its process id and key.
    cancels: tuple[int, bytes] | None = None
    key: bytes = field(default_factory=lambda: secrets.token_bytes(4), repr=False)
    backend: Backend | None = None
    _wire: _Wire = field(default_factory=_Wire, repr=False)
    _received: int = 0
    _is_mute: bool = False
    _startup: dict[str, str] = field(default_factory=dict, repr=False)
    _scram: Scram | None = None
    _statements: dict[str, _Prepared] = field(default_factory=dict)
    _portals: dict[str, _Portal] = field(default_factory=dict)
    _is_skipping: bool = False
    _copy: CopyIn | None = None
    _suspended: Iterator[bytes] | None = None
    _time_zone: str = ""

    def receive(self, data: bytes) -> Iterator[bytes]:
        """Take in what the client has sent; yield what to send back, piece by piece."""
        if self._is_mute or self.is_over:
            return
        if self.backend is None:
            self._received += len(data)
        try:
            if self.backend is None and self._received > _MOST_UNKNOWN:
                raise _Violation("too much data before authentication")
            for message in self._wire.receive(data):
                yield from self._handle(message)
                if self.is_over or self.wants_tls:
                    return
        except Denied as error:
            yield self._fatal("28P01", str(error))
        except (PygwireError, _Violation, struct.error, IndexError, UnicodeError) as error:
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

    def _handle(self, message: pg.PGMessage) -> Iterator[bytes]:
        if self.backend is None:
            yield from self._greet(message)
        elif self._copy is not None:
            yield from self._continue_copy(message)
        elif isinstance(message, pg.Terminate):
            self.is_over = True
        elif isinstance(message, _COPYING):
            pass
        elif isinstance(message, pg.Query):
            # After an error nothing counts but a Sync.
            if not self._is_skipping:
                self.backend.begin()
                yield from self._drive(self._simple(message.query_string))
        elif isinstance(message, pg.FunctionCall):
            yield self._error("0A000", "function calls are not supported: use SELECT")
            yield self._ready()
        else:
            yield from self._extended(message)

    # ---------------------------------------------------------------------------- letting in

    def _greet(self, message: pg.PGMessage) -> Iterator[bytes]:
        match message:
            case pg.SSLRequest():
                wants_tls = self.welcome.has_tls and not self.is_encrypted
                if wants_tls and self._wire.has_more:
                    # Else it would be taken for what came encrypted.
                    raise _Violation("data between the request for TLS and its handshake")
                self.wants_tls = wants_tls
                yield self._send(pg.SSLResponse(accepted=self.wants_tls))
            case pg.GSSEncRequest():
                yield self._send(pg.GSSResponse(accepted=False))
            case pg.CancelRequest():
                self.cancels = (message.process_id, bytes(message.secret_key))
                self.is_over = True
            case pg.StartupMessage():
                yield from self._start(message)
            case pg.PasswordMessage():
                yield from self._check_password(message)
            case pg.SASLInitialResponse():
                yield from self._begin_scram(message)
            case pg.SASLResponse():
                yield from self._end_scram(message)
            case _:
                self.is_over = True

    def _start(self, message: pg.StartupMessage) -> Iterator[bytes]:
        welcome = self.welcome
        if welcome.has_tls and not self.is_encrypted:
            if welcome.quirks.plaintext_hangs:
                self._is_mute = True
                return
            yield self._fatal("28000", "this server wants TLS: use sslmode=require or better")
            return
        self._startup = dict(message.params)
        if message.protocol_version & 0xFFFF:
            yield self._send(pg.NegotiateProtocolVersion(newest_minor=0))
        match welcome.tokens.method:
            case "trust":
                yield from self._let_in(Role.WRITER)
            case "password":
                yield self._send(pg.AuthenticationCleartextPassword())
            case "scram":
                yield self._send(pg.AuthenticationSASL(mechanisms=["SCRAM-SHA-256"]))

    def _check_password(self, message: pg.PasswordMessage) -> Iterator[bytes]:
        given = message.password
        role = self.welcome.tokens.check(given if isinstance(given, str) else given.decode())
        yield from self._let_in(role)

    def _begin_scram(self, message: pg.SASLInitialResponse) -> Iterator[bytes]:
        self._scram = self.welcome.verifiers.exchange()
        yield self._send(pg.AuthenticationSASLContinue(data=self._scram.first(message.data)))

    def _end_scram(self, message: pg.SASLResponse) -> Iterator[bytes]:
        assert self._scram is not None
        role, answer = self._scram.final(message.data)
        yield self._send(pg.AuthenticationSASLFinal(data=answer))
        yield from self._let_in(role)

    def _let_in(self, role: Role) -> Iterator[bytes]:
        refusal = self._refuse_database()
        if refusal:
            yield self._fatal("3D000", refusal)
            return
        if self.welcome.is_full():
            yield self._fatal("53300", "too many clients: raise max_clients")
            return
        try:
            self.backend = Backend(self.welcome.source(role, self._startup), self.welcome.quirks)
        except (duckdb.Error, OSError) as error:
            yield self._fatal("58000", str(error))
            return
        self._time_zone = self.backend.time_zone()
        yield self._send(pg.AuthenticationOk())
        for name, value in self._parameters().items():
            yield self._send(pg.ParameterStatus(name=name, value=value))
        yield self._send(pg.BackendKeyData(process_id=self.process_id, secret_key=self.key))
        yield self._ready()

    def _refuse_database(self) -> str | None:
        if not self.welcome.quirks.checks_database:
            return None
        given = self._startup.get("database")
        name = (given or self._startup.get("user", "")).removeprefix("md:").partition("?")[0]
        if (given and not name) or name in self.welcome.databases:
            return None
        # A client that was given no name sends the user's, or none.
        if name == self._startup.get("user"):
            return f"failed to attach '{name}'"
        return f"no database/share named '{name}' found"

    def _parameters(self) -> dict[str, str]:
        return {
            "server_version": SERVER_VERSION,
            "server_encoding": "UTF8",
            "client_encoding": "UTF8",
            "application_name": self._startup.get("application_name", ""),
            "DateStyle": "ISO, MDY",
            "IntervalStyle": "postgres",
            "TimeZone": self._time_zone,
            "integer_datetimes": "on",
            "standard_conforming_strings": "on",
        }

    # -------------------------------------------------------------------------- simple queries

    def _simple(self, text: str) -> Iterator[bytes]:
        self._portals.clear()
        try:
            commands = read(text)
            if not commands:
                yield self._send(pg.EmptyQueryResponse())
            for command in commands:
                self._backend.check(command, ())
                yield from self._deliver(self._backend.run(command))
                yield from self._tell_time_zone(command)
        except _ERRORS as error:
            yield self._explain(error)
        yield self._ready()

    def _deliver(self, answer: Answer | CopyIn | CopyOut) -> Iterator[bytes]:
        if isinstance(answer, CopyIn):
            yield from self._copy_in(answer)
            return
        if isinstance(answer, CopyOut):
            yield from self._copy_out(answer)
            return
        if answer.columns is not None:
            yield self._send(_row_description(answer.columns, ()))
            yield from self._rows(answer, 0)
        yield self._send(pg.CommandComplete(tag=answer.tag))

    def _rows(self, answer: Answer, limit: int) -> Iterator[bytes]:
        """At most *limit* rows, 0 for all."""
        answer.fetched = 0
        while not limit or answer.fetched < limit:
            written = answer.rows(min(limit - answer.fetched, SLICE) if limit else SLICE)
            if not written:
                return
            yield bytes(written)

    def _copy_out(self, copy: CopyOut) -> Iterator[bytes]:
        yield self._send(pg.CopyOutResponse(overall_format=0, col_formats=[0] * copy.columns))
        for line in copy.lines():
            yield self._send(pg.CopyData(data=line))
        yield self._send(pg.CopyDone())
        yield self._send(pg.CommandComplete(tag=f"COPY {copy.count}"))

    def _copy_in(self, copy: CopyIn) -> Iterator[bytes]:
        yield self._send(pg.CopyInResponse(overall_format=0, col_formats=[0] * copy.columns))
        self._copy = copy
        # Goes on in _continue_copy, when the client has sent its data.
        yield _SUSPEND
        yield self._send(pg.CommandComplete(tag=self._backend.insert(copy)))

    def _continue_copy(self, message: pg.PGMessage) -> Iterator[bytes]:
        assert self._copy is not None
        assert self._suspended is not None
        if isinstance(message, pg.CopyData):
            self._copy.feed(bytes(message.data))
            return
        self._copy = None
        suspended, self._suspended = self._suspended, None
        if isinstance(message, pg.CopyDone):
            yield from self._drive(suspended)
        elif isinstance(message, pg.CopyFail):
            yield self._error("57014", f"COPY from stdin failed: {message.error_message}")
            yield self._ready()
        else:
            self.is_over = True

    def _drive(self, replies: Iterator[bytes]) -> Iterator[bytes]:
        for reply in replies:
            if reply is _SUSPEND:
                self._suspended = replies
                return
            yield reply

    # ------------------------------------------------------------------------ extended queries

    def _extended(self, message: pg.PGMessage) -> Iterator[bytes]:
        if isinstance(message, pg.Sync):
            self._is_skipping = False
            if self._backend.is_idle:
                self._portals.clear()
                self._backend.drop()
            yield self._ready()
            return
        if self._is_skipping or isinstance(message, pg.Flush):
            return
        if self._backend.exchange is None:
            self._backend.begin()
        try:
            match message:
                case pg.Parse():
                    yield from self._parse(message)
                case pg.Bind():
                    yield from self._bind(message)
                case pg.Describe():
                    yield from self._describe(message)
                case pg.Execute():
                    yield from self._execute(message)
                case pg.Close():
                    yield from self._close(message)
                case _:
                    raise _Violation(f"{type(message).__name__} was not expected")
        except _ERRORS as error:
            self._is_skipping = True
            yield self._explain(error)

    def _parse(self, message: pg.Parse) -> Iterator[bytes]:
        commands = read(message.query)
        if len(commands) > 1:
            raise Refused("cannot insert multiple commands into a prepared statement", "42601")
        if message.statement and message.statement in self._statements:
            raise Refused(f'prepared statement "{message.statement}" already exists', "42P05")
        command = commands[0] if commands else None
        oids = list(message.param_types)
        if command is not None:
            self._backend.check(command, oids)
        self._statements[message.statement] = _Prepared(command, oids)
        yield self._send(pg.ParseComplete())

    def _bind(self, message: pg.Bind) -> Iterator[bytes]:
        prepared = self._prepared(message.statement)
        oids = self._parameter_oids(prepared)
        given = message.param_values
        if len(given) != len(oids):
            raise Refused(
                f"bind message supplies {len(given)} parameters, "
                f"but the prepared statement requires {len(oids)}",
                "08P01",
            )
        formats = message.param_formats or [0]
        if len(formats) == 1:
            formats = formats * len(given)
        if len(formats) != len(given) or not set([*formats, *message.result_formats]) <= {0, 1}:
            raise Refused("the format codes do not fit the parameters", "08P01")
        if message.portal and message.portal in self._portals:
            raise Refused(f'cursor "{message.portal}" already exists', "42P03")
        values = [
            read_parameter(data, oid, f) for data, oid, f in zip(given, oids, formats, strict=True)
        ]
        self._portals[message.portal] = _Portal(prepared, values, list(message.result_formats))
        yield self._send(pg.BindComplete())

    def _parameter_oids(self, prepared: _Prepared) -> list[int]:
        """What each parameter is: as declared, as cast in the text, or text."""
        if prepared.command is None:
            return []
        casts = prepared.command.casts
        declared = prepared.command.declared(prepared.oids)
        return [oid or casts.get(n, 25) for n, oid in enumerate(declared, 1)]

    def _describe(self, message: pg.Describe) -> Iterator[bytes]:
        if message.kind == "S":
            prepared = self._prepared(message.name)
            oids = self._parameter_oids(prepared)
            columns = self._columns(prepared)
            yield self._send(pg.ParameterDescription(type_oids=oids))
            yield self._shape(columns, [])
        elif message.kind == "P":
            portal = self._portal(message.name)
            self._run_early(portal)
            answer = portal.answer
            columns = answer.columns if answer is not None else self._columns(portal.prepared)
            yield self._shape(columns, portal.formats)
        else:
            raise _Violation(f"cannot describe {message.kind!r}")

    def _run_early(self, portal: _Portal) -> None:
        """A query has all it needs: run, it tells its columns with certainty."""
        command = portal.prepared.command
        if command is None or not command.is_read or not command.is_select or portal.answer:
            return
        if self._backend.cannot_describe(command):
            return
        answer = self._backend.run(command, portal.values, portal.formats)
        assert isinstance(answer, Answer)
        portal.answer = answer

    def _columns(self, prepared: _Prepared) -> Sequence[Column] | None:
        if prepared.command is None:
            return None
        return self._backend.describe(prepared.command, self._parameter_oids(prepared))

    def _shape(self, columns: Sequence[Column] | None, formats: list[int]) -> bytes:
        if columns is None:
            return self._send(pg.NoData())
        return self._send(_row_description(columns, formats))

    def _execute(self, message: pg.Execute) -> Iterator[bytes]:
        portal = self._portal(message.portal)
        command = portal.prepared.command
        if command is None:
            yield self._send(pg.EmptyQueryResponse())
            return
        if portal.is_done and not command.is_select:
            raise Refused(f'portal "{message.portal}" cannot be run anymore', "55000")
        if portal.answer is None:
            answer = self._backend.run(command, portal.values, portal.formats)
            if not isinstance(answer, Answer):
                raise Refused("COPY needs the simple query protocol")
            portal.answer = answer
        yield from self._run_portal(portal, portal.answer, message.max_rows)
        yield from self._tell_time_zone(command)

    def _run_portal(self, portal: _Portal, answer: Answer, limit: int) -> Iterator[bytes]:
        if answer.columns is not None:
            yield from self._rows(answer, limit)
            # Also when nothing is left: so does PostgreSQL.
            if limit and answer.fetched == limit:
                yield self._send(pg.PortalSuspended())
                return
        portal.is_done = True
        yield self._send(pg.CommandComplete(tag=answer.tag))

    def _close(self, message: pg.Close) -> Iterator[bytes]:
        if message.kind == "S":
            self._statements.pop(message.name, None)
        elif message.kind == "P":
            self._portals.pop(message.name, None)
        else:
            raise _Violation(f"cannot close {message.kind!r}")
        yield self._send(pg.CloseComplete())

    def _prepared(self, name: str) -> _Prepared:
        if name not in self._statements:
            raise Refused(f'prepared statement "{name}" does not exist', "26000")
        return self._statements[name]

    def _portal(self, name: str) -> _Portal:
        if name not in self._portals:
            raise Refused(f'portal "{name}" does not exist', "34000")
        return self._portals[name]

    # -------------------------------------------------------------------------------- replies

    @property
    def _backend(self) -> Backend:
        assert self.backend is not None
        return self.backend

    def _tell_time_zone(self, command: Command) -> Iterator[bytes]:
        """psycopg reads timestamps in the zone that the server has reported."""
        if command.verb not in ("set", "reset"):
            return
        zone = self._backend.time_zone()
        if zone != self._time_zone:
            self._time_zone = zone
            yield self._send(pg.ParameterStatus(name="TimeZone", value=zone))

    def _ready(self) -> bytes:
        self._backend.end()
        return self._send(pg.ReadyForQuery(status=TransactionStatus(self._backend.status)))

    def _explain(self, error: Exception) -> bytes:
        message = str(error)
        if isinstance(error, duckdb.Error):
            known = from_duckdb(error, lambda text: text)
            code = known.sqlstate or "XX000"
        elif isinstance(error, Refused):
            code = error.code
        elif isinstance(error, psycopg.DataError) and "NUL" in message:
            code = "22021"
        elif isinstance(error, OSError):
            message, code = f"IO Error: {error}", "58030"
        elif isinstance(error, Stopped):
            message, code = "INTERRUPT Error: Interrupted!", "57014"
        else:
            code = "22P02"
        return self._error(_UNCATEGORISED if self.welcome.quirks.no_sqlstate else code, message)

    def _error(self, code: str, message: str) -> bytes:
        return self._send(pg.ErrorResponse(fields={"S": "ERROR", "V": "ERROR", "C": code,
                                                   "M": message.replace("\0", "")}))  # fmt: skip

    def _fatal(self, code: str, message: str) -> bytes:
        self.is_over = True
        fields = {"S": "FATAL", "V": "FATAL", "C": code, "M": message.replace("\0", "")}
        # Not through the connection: it may be in a phase that knows no such message.
        return pg.ErrorResponse(fields=fields).to_wire()

    def _send(self, message: pg.PGMessage) -> bytes:
        return self._wire.send(message)


# Told from every reply by identity.
_SUSPEND = b"suspend"
_ERRORS = (
    *(Refused, BadParameter, BadCopy, Stopped),
    *(duckdb.Error, psycopg.Error, OverflowError, OSError),
)


def _row_description(columns: Sequence[Column], formats: Sequence[int]) -> pg.RowDescription:
    given = list(formats) or [0]
    spread = given * len(columns) if len(given) == 1 else given
    return pg.RowDescription(
        fields=[
            pg.FieldDescription(
                name=c.name, type_oid=c.oid, type_size=c.size, type_modifier=c.modifier,
                format_code=f,
            )
            for c, f in zip(columns, spread, strict=False)
        ]
    )  # fmt: skip
