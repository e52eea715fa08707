"""Which server a connection leads to, and what is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import pq
from psycopg.abc import PQGen

from ..servers.profile import PROBE, Profile, recognise
from ..settings.conninfo import is_motherduck
from . import seam

# What decides which data a connection sees, and through which eyes.
_IDENTITY = ("host", "hostaddr", "port", "user", "dbname", "options")
Identity = tuple[str, ...]


def identity(params: Mapping[str, Any]) -> Identity:
    """Equal for two connections that see the same."""
    defaults = {
        option.keyword.decode(): option.val.decode()
        for option in pq.Conninfo.get_defaults()
        if option.val is not None
    }
    found = {name: str(params.get(name) or defaults.get(name, "")) for name in _IDENTITY}
    found["dbname"] = found["dbname"] or found["user"]
    return tuple(found.values())


def may_wait(params: Mapping[str, Any]) -> bool:
    """Whether connecting can wait: unless connecting itself is what is asked for."""
    return params.get("target_session_attrs") in (None, "", "any")


def is_addressed(params: Mapping[str, Any]) -> bool:
    """Whether these libpq keywords say where to connect to."""
    return any(params.get(name) for name in (*_IDENTITY, "service"))


# ------------------------------------------------------------------------------------- profiles

# What psycopg is written for.
PLAIN = Profile("postgres", "", "")
_profiles: dict[tuple[str, ...], Profile] = {}


def known_profile(pgconn: Any) -> Profile | None:
    """What is known of the server that a connection leads to."""
    return _profiles.get(_server(pgconn))


def probe_gen(connection: Any) -> PQGen[Profile]:
    """Ask a server what it can do. What it does not understand at all is taken for PostgreSQL."""
    try:
        answer = yield from seam.command(connection, PROBE.encode())
        profile = _learn(connection.pgconn, answer, reports_transactions=True)
        if not profile.needs_coping:
            return profile
        yield from seam.command(connection, b"BEGIN")
        reports = connection.pgconn.transaction_status == pq.TransactionStatus.INTRANS
        yield from seam.command(connection, b"ROLLBACK")
        return _learn(connection.pgconn, answer, reports_transactions=reports)
    except psycopg.DatabaseError as error:
        if error.sqlstate is None:
            raise
        return PLAIN


def _learn(pgconn: Any, answer: Any, *, reports_transactions: bool) -> Profile:
    version, quotient, zone = (answer.get_value(0, n).decode() for n in range(3))
    profile = _profiles[_server(pgconn)] = recognise(
        (version, float(quotient), zone),
        is_motherduck=is_motherduck({"host": pgconn.host.decode()}),
        reports_transactions=reports_transactions,
    )
    return profile


def _server(pgconn: Any) -> tuple[str, ...]:
    version = pgconn.parameter_status(b"server_version") or b""
    return tuple(part.decode() for part in (pgconn.host, pgconn.port, pgconn.db, version))
