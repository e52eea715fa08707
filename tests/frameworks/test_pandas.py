"""pandas.read_sql on pgmd's connections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg as theirs
import pytest

import pgmd
from pgmd import psycopg

from ..fixtures.stands import Stand

pandas = pytest.importorskip("pandas")
sa = pytest.importorskip("sqlalchemy")

TABLE = """
CREATE TABLE t AS SELECT
    CAST(n AS integer) AS i,
    CAST(n AS bigint) * 1000000007 AS l,
    CAST(n AS double precision) / 4 AS f,
    CAST(n AS numeric(12, 2)) AS d,
    CASE WHEN n % 3 = 0 THEN NULL ELSE CAST(n AS varchar) END AS s,
    n % 2 = 0 AS b,
    CAST('2026-01-01' AS date) + CAST(n AS integer) AS day,
    CAST('2026-01-01 00:00:00.5' AS timestamp) AS at,
    CAST('2026-01-01 00:00:00.5+00' AS timestamptz) AS tz
FROM {numbers}
"""
NUMBERS = {True: "generate_series(0, 99) AS s(n)", False: "range(100) AS s(n)"}
QUERY = "SELECT * FROM t WHERE i > %(least)s ORDER BY i"
# pandas says so of every connection that is neither SQLAlchemy's nor SQLite's.
untested = pytest.mark.filterwarnings("ignore:pandas only supports SQLAlchemy:UserWarning")


@pytest.fixture
def engine(site: Stand) -> Iterator[pgmd.Engine]:
    with psycopg.connect(site.dsn, autocommit=True) as admin:
        admin.execute(TABLE.format(numbers=NUMBERS[site.is_postgres]))
    with pgmd.Engine(site.endpoint(), site.replicas(1)) as engine:
        engine.wait()
        yield engine


@untested
def test_a_connection(site: Stand, engine: pgmd.Engine) -> None:
    params = {"least": 7}
    with theirs.connect(site.dsn, autocommit=True, prepare_threshold=None) as plain:
        expected = pandas.read_sql(QUERY, plain, params=params)
    with psycopg.connect(site.dsn, autocommit=True, engine=engine) as connection:
        found = pandas.read_sql(QUERY, connection, params=params)
        assert connection.pgmd.stats == {"replica: READ": 1}
    assert len(found) == 92
    pandas.testing.assert_frame_equal(found, expected)


@untested
def test_parts(site: Stand, engine: pgmd.Engine) -> None:
    settings = {"index_col": "i", "parse_dates": ["day"], "params": {"least": -1}, "chunksize": 30}
    with theirs.connect(site.dsn, autocommit=True, prepare_threshold=None) as plain:
        expected = list(pandas.read_sql_query(QUERY, plain, **settings))
    with psycopg.connect(site.dsn, autocommit=True, engine=engine) as connection:
        found = list(pandas.read_sql_query(QUERY, connection, **settings))
        assert connection.pgmd.stats == {"replica: READ": 1}
    assert [len(part) for part in found] == [30, 30, 30, 10]
    pandas.testing.assert_frame_equal(pandas.concat(found), pandas.concat(expected))


def test_through_sqlalchemy(site: Stand, engine: pgmd.Engine) -> None:
    def read(connect: object) -> Any:
        db = sa.create_engine(
            "postgresql+psycopg://",
            creator=connect,
            isolation_level="AUTOCOMMIT",
            use_native_hstore=False,
        )
        with db.connect() as connection:
            frame = pandas.read_sql(sa.text("SELECT * FROM t ORDER BY i"), connection)
            routing = getattr(connection.connection.driver_connection, "pgmd", None)
        db.dispose()
        assert routing is None or routing.stats["replica: READ"] == 1
        return frame

    expected = read(lambda: theirs.connect(site.dsn, prepare_threshold=None))
    found = read(lambda: psycopg.connect(site.dsn, engine=engine))
    assert len(found) == 100
    pandas.testing.assert_frame_equal(found, expected)
