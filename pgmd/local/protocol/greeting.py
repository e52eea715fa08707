"""How a client is let in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pygwire import messages as pg

from ..authentication import Role, Scram, Tokens, Verifiers
from ..catalogue.macros import SERVER_VERSION
from ..database.duckling import Source
from ..quirks import Quirks
from .messages import Messages


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


class Greeting:
    """From a client's startup message to its role. Raises Denied."""

    def __init__(self, welcome: Welcome, messages: Messages) -> None:
        self._welcome = welcome
        self._send = messages.send
        self._scram: Scram | None = None
        self._startup: dict[str, str] = {}
        self.role: Role | None = None

    def take(self, message: pg.PGMessage) -> Iterator[bytes]:
        """One message before the client is let in; *role* is set once it is known."""
        match message:
            case pg.StartupMessage():
                yield from self._start(message)
            case pg.PasswordMessage():
                self._check_password(message)
            case pg.SASLInitialResponse():
                yield self._begin_scram(message)
            case pg.SASLResponse():
                yield self._end_scram(message)

    def _start(self, message: pg.StartupMessage) -> Iterator[bytes]:
        self._startup = dict(message.params)
        if message.protocol_version & 0xFFFF:
            yield self._send(pg.NegotiateProtocolVersion(newest_minor=0))
        match self._welcome.tokens.method:
            case "trust":
                self.role = Role.WRITER
            case "password":
                yield self._send(pg.AuthenticationCleartextPassword())
            case "scram":
                yield self._send(pg.AuthenticationSASL(mechanisms=["SCRAM-SHA-256"]))

    def _check_password(self, message: pg.PasswordMessage) -> None:
        given = message.password
        self.role = self._welcome.tokens.check(given if isinstance(given, str) else given.decode())

    def _begin_scram(self, message: pg.SASLInitialResponse) -> bytes:
        self._scram = self._welcome.verifiers.exchange()
        return self._send(pg.AuthenticationSASLContinue(data=self._scram.first(message.data)))

    def _end_scram(self, message: pg.SASLResponse) -> bytes:
        assert self._scram is not None
        self.role, answer = self._scram.final(message.data)
        return self._send(pg.AuthenticationSASLFinal(data=answer))

    # ------------------------------------------------------------------------ once it is known

    def refusal(self) -> tuple[str, str] | None:
        """Why a client whose role is known is still not let in: SQLSTATE and message."""
        if refusal := self._refuse_database():
            return "3D000", refusal
        if self._welcome.is_full():
            return "53300", "too many clients: raise max_clients"
        return None

    def _refuse_database(self) -> str | None:
        if not self._welcome.quirks.checks_database:
            return None
        given = self._startup.get("database")
        name = (given or self._startup.get("user", "")).removeprefix("md:").partition("?")[0]
        if (given and not name) or name in self._welcome.databases:
            return None
        # A client that was given no name sends the user's, or none.
        if name == self._startup.get("user"):
            return f"failed to attach '{name}'"
        return f"no database/share named '{name}' found"

    def source(self) -> Source:
        """The instance for the client. Raises duckdb's errors and OSError."""
        assert self.role is not None
        return self._welcome.source(self.role, self._startup)

    def parameters(self, time_zone: str) -> dict[str, str]:
        """What the client is told of the server."""
        return {
            "server_version": SERVER_VERSION,
            "server_encoding": "UTF8",
            "client_encoding": "UTF8",
            "application_name": self._startup.get("application_name", ""),
            "DateStyle": "ISO, MDY",
            "IntervalStyle": "postgres",
            "TimeZone": time_zone,
            "integer_datetimes": "on",
            "standard_conforming_strings": "on",
        }
