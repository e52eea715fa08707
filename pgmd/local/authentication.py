"""Who a client is: by its password or token, over cleartext or SCRAM."""

from __future__ import annotations

import base64
import enum
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import scramp

Method = Literal["trust", "password", "scram"]
_MECHANISM = scramp.ScramMechanism("SCRAM-SHA-256")


class Role(enum.Enum):
    """What a token entitles to."""

    WRITER = "read-write"
    READER = "read-scaling"


class Denied(Exception):
    """The client is not let in."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """The passwords that are known. A reader's is one of MotherDuck's read-scaling tokens."""

    method: Method = "trust"
    password: str | None = field(default=None, repr=False)
    read_scaling: tuple[str, ...] = field(default=(), repr=False)
    region: str | None = None

    def __post_init__(self) -> None:
        if self.method not in ("trust", "password", "scram"):
            raise ValueError(f"auth={self.method!r}: expected 'trust', 'password' or 'scram'")
        if self.method != "trust" and not self.password:
            raise ValueError(f"auth={self.method!r} needs a password")

    @property
    def known(self) -> Mapping[str, Role]:
        """Roles by token."""
        found = {token: Role.READER for token in self.read_scaling}
        return {self.password: Role.WRITER, **found} if self.password else found

    def check(self, given: str) -> Role:
        """The role of a token. Raises Denied."""
        self._check_region(given)
        for token, role in self.known.items():
            if hmac.compare_digest(token.encode(), given.encode()):
                return role
        raise Denied("password authentication failed: the token is not known")

    def _check_region(self, given: str) -> None:
        """A token of another region is refused there, and says in its claims which region it is
        of (github.com/motherduckdb/motherduck-cookbook, cloudflare-workers)."""
        region = _claims(given).get("mdRegion")
        if self.region is not None and region not in (None, f"aws-{self.region}"):
            raise Denied(f"the token belongs to the region {region}, not to aws-{self.region}")


def _claims(token: str) -> dict[str, Any]:
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        found = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


class Verifiers:
    """What SCRAM needs to know of the tokens: worked out once, since it is slow on purpose."""

    def __init__(self, tokens: Tokens) -> None:
        salt = secrets.token_bytes(16)
        self._infos = [
            (role, _MECHANISM.make_auth_info(token, salt=salt))
            for token, role in tokens.known.items()
        ]

    def exchange(self) -> Scram:
        return Scram(self._infos)


class Scram:
    """One SCRAM-SHA-256 exchange in which any of several tokens may be the password.

    The user's name says nothing, so the proof is checked against each token. They share salt and
    nonce, which makes what the server says first the same for all.
    """

    def __init__(self, infos: Sequence[tuple[Role, Any]]) -> None:
        nonce = secrets.token_hex(24)
        self._servers = [
            (role, _MECHANISM.make_server(lambda _, info=info: info, s_nonce=nonce))
            for role, info in infos
        ]

    def first(self, message: bytes) -> bytes:
        """Answer the client's first message. Raises Denied."""
        answer = ""
        try:
            for _, server in self._servers:
                # libpq leaves the name empty, since the server knows it from the startup message;
                # scramp wants one, but signs what the client has really sent.
                header, _, bare = message.decode().partition("n=,")
                server.set_client_first(f"{header}n=*,{bare}" if bare else message.decode())
                server.client_first_bare = f"n=,{bare}" if bare else server.client_first_bare
                answer = server.get_server_first()
        except (scramp.ScramException, ValueError, KeyError) as error:
            raise Denied(f"SCRAM: {error}") from None
        return answer.encode()

    def final(self, message: bytes) -> tuple[Role, bytes]:
        """Check the client's proof; its role and the last answer. Raises Denied."""
        for role, server in self._servers:
            try:
                server.set_client_final(message.decode())
                return role, server.get_server_final().encode()
            except (scramp.ScramException, ValueError, KeyError):
                continue
        raise Denied("password authentication failed: the token is not known")
