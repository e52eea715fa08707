"""Serve a DuckDB file over the Postgres protocol, with MotherDuck's ways, for development and
tests; never for production. Needs pip install 'pgmd[local]'. Prints the connection string and
serves until it is interrupted. Passwords come from MOTHERDUCK_TOKEN and
MOTHERDUCK_READ_SCALING_TOKEN, with --auth."""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any

from pgmd.errors import ConfigurationError
from pgmd.local import Quirks
from pgmd.local.opening import make_local

from .arguments import count

_QUIRKS_OFF = "none"
_LOOK_EVERY = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="the database file, made if it does not exist")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=5433, help="port, 0 for any (%(default)s)")
    parser.add_argument("--auth", choices=("trust", "password", "scram"), default="trust")
    parser.add_argument("--certificate", metavar="PEM", help="certificate for TLS")
    parser.add_argument("--private-key", metavar="PEM", help="its private key")
    parser.add_argument("--memory-limit", metavar="SIZE", help="DuckDB's memory_limit, such as 4GB")
    parser.add_argument("--threads", type=count, metavar="N", help="DuckDB's threads")
    parser.add_argument(
        "--snapshot-every", type=float, default=60.0, metavar="S", help="seconds (%(default)s)"
    )
    parser.add_argument(
        "--external-access", action="store_true", help="let SQL reach files and extensions"
    )
    parser.add_argument(
        "--quirk",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="switch one of MotherDuck's ways, such as always_idle=true or latency=0.02; "
        f"{_QUIRKS_OFF} switches all of them off; see pgmd.local.Quirks",
    )


def run(arguments: argparse.Namespace) -> int:
    options: dict[str, Any] = {
        "host": arguments.host,
        "port": arguments.port,
        "auth": arguments.auth,
        "read_scaling_token": os.environ.get("MOTHERDUCK_READ_SCALING_TOKEN"),
        "certificate": arguments.certificate,
        "private_key": arguments.private_key,
        "memory_limit": arguments.memory_limit,
        "threads": arguments.threads,
        "snapshot_every": arguments.snapshot_every,
        "external_access": arguments.external_access,
    }
    if arguments.quirk:
        options["quirks"] = _quirks(arguments.quirk)
    local = make_local(arguments.file, os.environ.get("MOTHERDUCK_TOKEN"), options)
    with _until_told() as stopped, local:
        print(f"serving {arguments.file} for development: {local.public_dsn}", flush=True)
        _wait(stopped)
    return 0


@contextmanager
def _until_told() -> Iterator[SimpleQueue[int]]:
    """A queue into which SIGINT and SIGTERM put their numbers inside the block."""
    # Its put() may interrupt its get(), where setting an Event may wait for ever for the lock that
    # the interrupted wait() holds.
    stopped: SimpleQueue[int] = SimpleQueue()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda number, _: stopped.put(number)) for number in numbers]
    try:
        yield stopped
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _wait(stopped: SimpleQueue[int]) -> None:
    while True:
        try:
            stopped.get(timeout=_LOOK_EVERY)
        except Empty:
            # A signal that came just before get() has not interrupted it.
            continue
        return


def _quirks(given: Sequence[str]) -> Quirks:
    try:
        return Quirks.parse(given)
    except ValueError as error:
        raise ConfigurationError(f"--quirk: {error}") from None
