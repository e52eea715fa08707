"""SQLAlchemy's Core over psycopg against the local endpoint, and what it must be told."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest

from pgmd.local import LocalEndpoint

sa = pytest.importorskip("sqlalchemy")
postgresql = pytest.importorskip("sqlalchemy.dialects.postgresql")

# By default it looks for hstore inside the first transaction, behind a SAVEPOINT. Without
# prepare_threshold psycopg sends DEALLOCATE ALL after a rollback. DuckDB has neither.
TRANSACTIONAL = {"use_native_hstore": False, "connect_args": {"prepare_threshold": None}}
AUTOCOMMIT = {"isolation_level": "AUTOCOMMIT"}
BOTH = pytest.mark.parametrize(
    "options", [TRANSACTIONAL, AUTOCOMMIT], ids=["default", "autocommit"]
)


@contextmanager
def engine(endpoint: LocalEndpoint, **options: Any) -> Iterator[Any]:
    url = sa.URL.create(
        "postgresql+psycopg",
        username="postgres",
        host="127.0.0.1",
        port=endpoint.port,
        database=endpoint.database,
    )
    found = sa.create_engine(url, **options)
    try:
        yield found
    finally:
        found.dispose()


def _table(name: str) -> Any:
    return sa.Table(
        name,
        sa.MetaData(),
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("name", sa.String(20), nullable=False),
        sa.Column("made", sa.DateTime),
        sa.Column("price", sa.Numeric(10, 2)),
        sa.Column("score", sa.Double),
        sa.Column("is_good", sa.Boolean),
        sa.Column("key", sa.Uuid),
        sa.Column("raw", sa.LargeBinary),
    )


@BOTH
def test_a_table_and_its_rows(local: LocalEndpoint, table: str, options: dict[str, Any]) -> None:
    things = _table(table)
    made = dt.datetime(2024, 2, 29, 12, 34, 56)
    row = {
        "id": 1, "name": "a'b", "made": made, "price": Decimal("1.50"), "score": 0.5,
        "is_good": True, "key": None, "raw": b"\x00\xff",
    }  # fmt: skip
    with engine(local, **options) as e:
        things.metadata.create_all(e)
        things.metadata.create_all(e)
        with e.begin() as connection:
            assert connection.execute(things.insert(), row).inserted_primary_key == (1,)
            connection.execute(things.insert(), [{"id": i, "name": f"n{i}"} for i in range(2, 30)])
        with e.connect() as connection:
            found = connection.execute(sa.select(things).where(things.c.id == 1)).mappings().one()
            assert dict(found) == row
            names = sa.select(things.c.name).where(things.c.id.in_([3, 5])).order_by(things.c.id)
            assert connection.execute(names).scalars().all() == ["n3", "n5"]
            assert connection.execute(sa.select(sa.func.count()).select_from(things)).scalar() == 29
        assert sa.inspect(e).has_table(table)
        things.metadata.drop_all(e)
        assert not sa.inspect(e).has_table(table)


@BOTH
def test_changes(local: LocalEndpoint, table: str, options: dict[str, Any]) -> None:
    things = _table(table)
    with engine(local, **options) as e:
        things.metadata.create_all(e)
        with e.begin() as connection:
            connection.execute(things.insert(), [{"id": i, "name": "a"} for i in range(3)])
            update = things.update().where(things.c.id >= 1).values(name="b", score=2.5)
            # The count is that of DuckDB's own result, one row: see Quirks.count_rows.
            assert connection.execute(update).rowcount == 1
            returning = things.delete().where(things.c.id == 2).returning(things.c.name)
            assert connection.execute(returning).scalars().all() == ["b"]
            insert = postgresql.insert(things).values(id=1, name="c")
            connection.execute(
                insert.on_conflict_do_update(
                    index_elements=["id"], set_={"name": insert.excluded.name}
                )
            )
        with e.connect() as connection:
            query = sa.select(things.c.id, things.c.name, things.c.score).order_by(things.c.id)
            assert connection.execute(query).all() == [(0, "a", None), (1, "c", 2.5)]


def test_a_rollback(local: LocalEndpoint, table: str) -> None:
    things = _table(table)
    count = sa.select(sa.func.count()).select_from(things)
    with engine(local, **TRANSACTIONAL) as e:
        things.metadata.create_all(e)
        with e.connect() as connection:
            connection.execute(things.insert(), {"id": 1, "name": "a"})
            assert connection.execute(count).scalar() == 1
            connection.rollback()
            assert connection.execute(count).scalar() == 0
        with pytest.raises(ZeroDivisionError), e.begin() as connection:
            connection.execute(things.insert(), {"id": 1, "name": "a"})
            raise ZeroDivisionError
        with pytest.raises(sa.exc.DBAPIError, match=r"(?i)duplicate key"), e.begin() as connection:
            connection.execute(things.insert(), {"id": 1, "name": "a"})
            connection.execute(things.insert(), {"id": 1, "name": "a"})
        with e.connect() as connection:
            assert connection.execute(count).scalar() == 0


def test_a_pool_reuses_its_connections(local: LocalEndpoint) -> None:
    with engine(local, **TRANSACTIONAL, pool_size=1, max_overflow=0, pool_pre_ping=True) as e:
        for i in range(10):
            with e.connect() as connection:
                query = sa.select(sa.cast(sa.bindparam("n"), sa.Integer) + 1)
                assert connection.execute(query, {"n": i}).scalar() == i + 1


def test_what_it_must_be_told(local: LocalEndpoint, plain: LocalEndpoint) -> None:
    with engine(local, connect_args={"prepare_threshold": None}) as e:
        with pytest.raises(sa.exc.DBAPIError, match="SAVEPOINT"), e.connect():
            pass
    with engine(local, use_native_hstore=False) as e:
        query = sa.text("SELECT CAST(:n AS int)")
        with pytest.raises(sa.exc.DBAPIError, match="DEALLOCATE"), e.connect() as connection:
            for i in range(10):
                connection.execute(query, {"n": i})
            connection.rollback()
    with engine(plain, use_native_hstore=False) as e, e.connect() as connection:
        # This quirk, strict_grammar, is not of DuckDB but of the service.
        for i in range(10):
            assert connection.execute(query, {"n": i}).scalar() == i
        connection.rollback()
        assert connection.execute(query, {"n": 1}).scalar() == 1
