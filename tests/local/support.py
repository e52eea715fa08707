"""What several tests of the local endpoint need."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg

from pgmd.local import LocalEndpoint


def until(condition: Callable[[], object], seconds: float = 15.0) -> None:
    """Wait for a condition; how long it takes says nothing."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        pause.wait(0.005)


@contextmanager
def client(dsn: str, **options: Any) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(dsn, **{"autocommit": True, **options}) as connection:
        yield connection


@contextmanager
def beside() -> Iterator[Callable[..., Future[Any]]]:
    """Runs calls in threads of their own, all of which have ended after the block."""
    with ThreadPoolExecutor(8) as pool:
        yield pool.submit


def is_asked(endpoint: LocalEndpoint, connection: psycopg.Connection[Any]) -> bool:
    """Whether the server is at work for this client."""
    server = endpoint._running
    found = server._clients[connection.info.backend_pid].talk.backend
    return found is not None and found.cursor.exchange is not None


def is_gate_closed(endpoint: LocalEndpoint) -> bool:
    return endpoint._running.database.gate._closed
