"""What libpq makes of a connection string, and what MotherDuck demands of it."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
from psycopg import conninfo as libpq
from psycopg import pq

from .checks import require
from .secret import Secret, revealed

MOTHERDUCK_DOMAIN = ".motherduck.com"
_PLAINTEXT_MODES = ("disable", "allow", "prefer")


def parse_conninfo(conninfo: str | Secret | None) -> dict[str, Any]:
    """The libpq keywords in a conninfo. Raises `ConfigurationError`."""
    options: dict[str, Any] = {}
    trouble = ""
    try:
        options = dict(libpq.conninfo_to_dict(revealed(conninfo)))
    except psycopg.ProgrammingError as error:
        # libpq quotes the part that it could not read, which may be a piece of the password.
        word = re.search(r'invalid (?:URI query parameter:|connection option) "(\w+)"', str(error))
        trouble = f"unknown connection option {word[1]!r}" if word else "malformed URL or conninfo"
    # Not in the block above: libpq's error would be the context of this one.
    require(not trouble, f"{trouble}: libpq cannot read it")
    # libpq takes any text for a port and complains only when it connects.
    ports = str(options.get("port") or "").split(",")
    require(all(p.isdigit() or not p for p in ports), "malformed URL: the port is not a number")
    return options


def sealed_conninfo(conninfo: str | Secret, prefix: str = "") -> str | Secret:
    """A conninfo, with what stands before it: a secret if it holds one. Raises
    `ConfigurationError`."""
    if isinstance(conninfo, Secret):
        return conninfo
    parse_conninfo(conninfo)
    # libpq marks what is not to be displayed: `password`, `sslpassword` and the like.
    found = [
        option.val.decode()
        for option in pq.Conninfo.parse(conninfo.encode())
        if option.val and option.dispchar == b"*"
    ]
    return Secret(prefix + conninfo, tuple(found)) if found else prefix + conninfo


def libpq_defaults() -> dict[str, Any]:
    """What pgmd connects with unless told otherwise: a server that has gone is noticed."""
    return {
        "connect_timeout": 10,
        "application_name": "pgmd",
        "keepalives": 1,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        # Milliseconds; else what was sent to a machine that has vanished is repeated for minutes.
        "tcp_user_timeout": 30_000,
    }


def motherduck_conninfo(database: str, *, region: str, host: str | None = None) -> str:
    """Where the Postgres endpoint of a MotherDuck database is; `md:` is the default database."""
    return libpq.make_conninfo(
        "",
        host=host or f"pg.{region}-aws{MOTHERDUCK_DOMAIN}",
        port=5432,
        dbname=database or "md:",
        user="postgres",
    )


def is_motherduck(options: Mapping[str, Any]) -> bool:
    hosts = str(options.get("host") or "").lower().split(",")
    return any(host.rstrip(".").endswith(MOTHERDUCK_DOMAIN) for host in hosts)


def check_tls(options: Mapping[str, Any]) -> None:
    mode = options.get("sslmode")
    require(
        not is_motherduck(options) or mode not in _PLAINTEXT_MODES,
        f"sslmode={mode}: could send the token in plain text; "
        "leave it out (verify-full) or use 'require'",
    )


def motherduck_tls() -> dict[str, str]:
    if psycopg.pq.version() >= 160000:
        return {"sslmode": "verify-full", "sslrootcert": "system"}
    # libpq before 16 does not know the word `system`.
    spec = importlib.util.find_spec("certifi")
    require(
        spec is not None and spec.origin is not None,
        "sslrootcert: this libpq is older than 16; install psycopg[binary] or certifi",
    )
    assert spec is not None
    assert spec.origin is not None
    return {"sslmode": "verify-full", "sslrootcert": str(Path(spec.origin).with_name("cacert.pem"))}


def escape_option(value: str) -> str:
    return re.sub(r"([\\\s])", r"\\\1", value)
