# Generated from tests/sides/async_/places.py by pgmd._tools.unasync. Do not edit.
"""The three sides, each in front of the same table."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from psycopg.conninfo import conninfo_to_dict, make_conninfo

import pgmd
from pgmd.local import LocalEndpoint
from pgmd.request import Request
from pgmd.runtime import threads as runtime

SIDES = ("endpoint", "instance", "wire")
TOKEN = "tok-rs-3f0"
ROWS = 25_000


class Place:
    """A side to borrow of, and a session that writes what it shows."""

    def __init__(self, side: str, engine: pgmd.Engine) -> None:
        self.side = side
        self.engine = engine
        self.core = engine._core

    def lend(self) -> Any:
        """What the side lends: its only one."""
        if self.side == "endpoint":
            return self.core.lend()
        return self.core.lent_of(self.core.replicas.lend(lambda _: True))

    def rest(self) -> None:
        """Wait until nothing is lent: a pool replaces what was discarded in the background."""
        end, kind = time.monotonic() + 40.0, "endpoint" if self.side == "endpoint" else "replicas"
        while (stats := self.engine.stats()[kind])["pool_available"] != stats["pool_size"]:
            assert time.monotonic() < end, "something is still lent"
            pause()


@contextmanager
def place_on(side: str, folder: Path) -> Iterator[Place]:
    """An engine that lends one thing at a time of this side; table t has ROWS rows."""
    file = folder / "app.duckdb"
    with LocalEndpoint(
        file,
        auth="password",
        password=secrets.token_hex(8),
        read_scaling_token=TOKEN,
        snapshot_every=None,
    ) as local:
        address = make_conninfo("", **{**conninfo_to_dict(local.dsn), "password": None})
        replica = {
            "endpoint": [],
            "instance": [pgmd.Replica(local=file, max_size=1)],
            "wire": [pgmd.Replica(wire=address, token=TOKEN, max_size=1)],
        }[side]
        # One more than is lent, for whoever publishes meanwhile.
        endpoint = pgmd.Endpoint(local.dsn, min_size=0, max_size=2)
        with pgmd.Engine(endpoint, replica) as engine:
            with engine.session() as s:
                s.execute(
                    f"CREATE TABLE t AS SELECT range AS n, 'x' || range AS name FROM range({ROWS})"
                )
            engine.publish()
            engine.wait()
            yield Place(side, engine)


def asked(query: str, params: Any = None) -> Request:
    return Request.read(query, params, None)


def cancel(lent: Any) -> None:
    """Cancel what runs, from where that may block."""
    lent.cancel()


def pause() -> None:
    """Let others run."""
    time.sleep(0.001)
