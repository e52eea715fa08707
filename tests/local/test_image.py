"""The local endpoint in a container."""

from __future__ import annotations

import os
import secrets
import warnings
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

import pgmd
from pgmd.testing.servers import engine_answers

IMAGE = os.environ.get("PGMD_LOCAL_IMAGE", "pgmd-local:latest")

pytestmark = [pytest.mark.container, pytest.mark.slow]


@pytest.fixture
def tokens() -> dict[str, str]:
    names = ("MOTHERDUCK_TOKEN", "MOTHERDUCK_READ_SCALING_TOKEN")
    return {name: secrets.token_urlsafe() for name in names}


@pytest.fixture
def address(tokens: dict[str, str]) -> Iterator[str]:
    """The conninfo of a container of this test's own, without the password."""
    if not engine_answers():
        assert not os.environ.get("PGMD_REQUIRE_CONTAINER"), "no container engine answers"
        pytest.skip("needs a container engine")
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    container = DockerContainer(IMAGE)
    ports: dict[Any, Any] = container.ports
    ports[5432] = ("127.0.0.1", None)
    for name, value in tokens.items():
        container = container.with_env(name, value)
    container = container.waiting_for(LogMessageWaitStrategy("for development"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        container.start()
    try:
        port = container.get_exposed_port(5432)
        yield f"host=127.0.0.1 port={port} user=postgres dbname=app"
    finally:
        container.stop()


def test_an_engine_on_the_image(address: str, tokens: dict[str, str]) -> None:
    writer, reader = tokens.values()
    with pytest.raises(psycopg.OperationalError, match="authentication failed"):
        psycopg.connect(address, password="guess")
    endpoint = pgmd.Endpoint(address, password=writer)
    with pgmd.Engine(endpoint) as engine, engine.session() as s:
        s.execute("CREATE TABLE t AS SELECT 7/2 AS a")
        assert s.execute("FROM t").fetchall() == [(3.5,)]
        with psycopg.connect(address, password=reader, autocommit=True) as lagging:
            assert lagging.execute("FROM t").fetchall() == [(3.5,)]
            s.execute("INSERT INTO t VALUES (1)")
            assert lagging.execute("FROM t").fetchall() == [(3.5,)]
            s.execute("CREATE SNAPSHOT OF app")
            lagging.execute("REFRESH DATABASE app")
            assert lagging.execute("FROM t ORDER BY a").fetchall() == [(1.0,), (3.5,)]
