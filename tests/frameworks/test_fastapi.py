"""A FastAPI application with an asynchronous pool in its lifespan."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, cast

import pytest

import pgmd
from pgmd import psycopg, psycopg_pool
from pgmd.psycopg.rows import class_row, dict_row

from ..fixtures.stands import Stand

pytest.importorskip("fastapi")
httpx = pytest.importorskip("httpx")

from fastapi import Depends, FastAPI, HTTPException, Request  # noqa: E402
from pydantic import BaseModel  # noqa: E402

REQUESTS = 40


class Item(BaseModel):
    id: int
    name: str
    price: float


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    site: Stand = app.state.site
    settings = {"autocommit": True, "row_factory": dict_row}
    async with (
        pgmd.AsyncEngine(site.endpoint(), site.replicas(2)) as engine,
        psycopg_pool.AsyncConnectionPool(
            site.dsn, kwargs={**settings, "engine": engine}, min_size=2, max_size=4, open=False
        ) as pool,
    ):
        await engine.wait()
        app.state.engine, app.state.pool = engine, pool
        yield


async def connection(request: Request) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    async with request.app.state.pool.connection() as found:
        yield found
        request.app.state.routings.add(found.pgmd)


Connection = Annotated[psycopg.AsyncConnection[Any], Depends(connection)]


def application(site: Stand) -> FastAPI:
    app = FastAPI(lifespan=lifespan)
    app.state.site = site
    app.state.routings = set()

    @app.get("/items/{key}")
    async def read(key: int, connection: Connection) -> Item:
        async with connection.cursor(row_factory=class_row(Item)) as cursor:
            await cursor.execute("SELECT id, name, price FROM item WHERE id = %s", [key])
            found = await cursor.fetchone()
        if found is None:
            raise HTTPException(404)
        return found

    @app.get("/items")
    async def read_all(connection: Connection) -> list[dict[str, Any]]:
        cursor = await connection.execute("SELECT name FROM item WHERE price < 5 ORDER BY id")
        return await cursor.fetchall()

    @app.post("/items")
    async def write(item: Item, connection: Connection) -> dict[str, int]:
        async with connection.transaction():
            await connection.execute(
                "INSERT INTO item VALUES (%s, %s, %s)", [item.id, item.name, item.price]
            )
            cursor = await connection.execute("SELECT count(*) AS n FROM item")
            return cast("dict[str, int]", await cursor.fetchone())

    return app


def counted(app: FastAPI) -> Counter[str]:
    """How many statements of all connections ran where."""
    return sum((Counter(routing.stats) for routing in app.state.routings), Counter())


async def fill(site: Stand) -> None:
    async with await psycopg.AsyncConnection.connect(site.dsn, autocommit=True) as admin:
        await admin.execute("CREATE TABLE item (id integer, name varchar, price double precision)")
        rows = [(n, f"item {n}", n / 2) for n in range(REQUESTS)]
        await admin.cursor().executemany("INSERT INTO item VALUES (%s, %s, %s)", rows)


async def test_requests_at_once(site: Stand) -> None:
    await fill(site)
    app = application(site)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://shop") as client,
    ):
        answers = await asyncio.gather(*(client.get(f"/items/{n}") for n in range(REQUESTS)))
        assert [a.json() for a in answers] == [
            {"id": n, "name": f"item {n}", "price": n / 2} for n in range(REQUESTS)
        ]
        engine, pool = app.state.engine, app.state.pool
        assert counted(app) == {"replica: READ": REQUESTS}
        assert engine.stats()["routed"]["replica: READ"] == REQUESTS
        assert pool.get_stats()["pool_size"] <= 4
        assert (await client.get("/items/99")).status_code == 404
        assert (await client.get("/items")).json() == [{"name": f"item {n}"} for n in range(10)]
    assert pool.closed
    assert "closed" in repr(engine)


async def test_writes_among_reads(site: Stand) -> None:
    await fill(site)
    app = application(site)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://shop") as client,
    ):

        async def write_and_read(n: int) -> dict[str, Any]:
            item = {"id": n, "name": f"new {n}", "price": 100.0}
            assert (await client.post("/items", json=item)).json()["n"] > REQUESTS
            return dict((await client.get(f"/items/{n}")).json())

        found = await asyncio.gather(*(write_and_read(1000 + n) for n in range(8)))
        assert [item["name"] for item in found] == [f"new {1000 + n}" for n in range(8)]
        stats = counted(app)
        assert stats["endpoint: NOT_A_READ"] + stats["endpoint: TRANSACTION"] == 2 * 8
