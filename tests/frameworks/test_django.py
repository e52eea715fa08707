"""A Django application on `"ENGINE": "pgmd.django"`."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import psycopg
import pytest

import pgmd

pytest.importorskip("django")

from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import (
    IntegrityError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    connections,
    models,
    transaction,
)
from django.test import Client, SimpleTestCase
from psycopg.conninfo import make_conninfo

from ..fixtures.stands import Stand
from .conftest import on_duckdb, on_postgres
from .django_site import database
from .shop.models import Customer, Order

UTC = dt.UTC
JOINED = dt.datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
# What DuckDB has instead of identity columns.
TABLES = """
CREATE SEQUENCE ids;
CREATE TABLE customer (
    id bigint PRIMARY KEY DEFAULT nextval('ids'), name varchar NOT NULL, city varchar NOT NULL,
    joined timestamptz NOT NULL, is_active boolean NOT NULL
);
CREATE TABLE orders (
    id bigint PRIMARY KEY DEFAULT nextval('ids'), customer_id bigint REFERENCES customer (id),
    amount numeric(10, 2) NOT NULL, day date NOT NULL, note text
)
"""


class Shop:
    """The application, its connection, and a way to have its replicas see what was written."""

    def __init__(self, connection: Any, engine: pgmd.Engine | None) -> None:
        self.connection = connection
        self.engine = engine

    def publish(self) -> None:
        if self.engine is not None:
            self.engine.publish()

    def routed(self) -> int:
        """How many reads have run on replicas."""
        stats = self.connection.connection.pgmd.stats
        return sum(n for where, n in stats.items() if where.startswith("replica: "))


def open_shop(site: Stand, stack: ExitStack) -> Shop:
    if site.is_postgres:
        connection = stack.enter_context(database(site.dsn, replicas=1))
        call_command("migrate", verbosity=0)
        return Shop(connection, None)
    engine = pgmd.Engine(site.endpoint(), site.replicas(1))
    stack.enter_context(engine)
    connection = stack.enter_context(database(site.dsn, engine=lambda: engine))
    with connection.cursor() as cursor:
        for statement in TABLES.split(";"):
            cursor.execute(statement)
    return Shop(connection, engine)


@pytest.fixture
def shop(site: Stand) -> Iterator[Shop]:
    """An application with two customers and three orders, whose replicas know them."""
    with ExitStack() as stack:
        shop = open_shop(site, stack)
        ada = Customer.objects.create(name="Ada", city="London", joined=JOINED)
        bob = Customer.objects.create(name="Bob 50%", city="Paris", joined=JOINED)
        day = dt.date(2026, 2, 3)
        Order.objects.create(customer=ada, amount="10.50", day=day)
        Order.objects.bulk_create(
            [
                Order(customer=ada, amount="4.50", day=day, note="gift"),
                Order(customer=bob, amount="7.00", day=day + dt.timedelta(1)),
            ]
        )
        shop.publish()
        yield shop


QUERIES: dict[str, Callable[[], Any]] = {
    "all": lambda: Customer.objects.all(),
    "filter": lambda: Order.objects.filter(amount__gt=Decimal("5")),
    "exclude": lambda: Order.objects.exclude(customer__name="Ada").values("id", "amount"),
    "join": lambda: Order.objects.select_related("customer").values_list("customer__name", "day"),
    "related": lambda: Customer.objects.prefetch_related("orders"),
    "sum": lambda: (
        Customer.objects.annotate(total=models.Sum("orders__amount")).order_by("id").values()
    ),
    "count": lambda: (
        Customer.objects.annotate(many=models.Count("orders")).order_by("id").values_list()
    ),
    "distinct": lambda: Order.objects.order_by("day").values("day").distinct(),
    "slice": lambda: Order.objects.order_by("-amount")[1:3],
    "null": lambda: Order.objects.filter(note__isnull=True),
    "in": lambda: Order.objects.filter(customer__in=Customer.objects.filter(city="London")),
    "exists": lambda: Customer.objects.filter(
        models.Exists(Order.objects.filter(customer=models.OuterRef("pk"), note="gift"))
    ),
    "window": lambda: Order.objects.annotate(
        nth=models.Window(models.functions.RowNumber(), "customer", "id")
    ).values_list("nth", "amount"),
    "raw": lambda: Customer.objects.raw("SELECT * FROM customer WHERE city = %s", ["Paris"]),
    "contains": lambda: Customer.objects.filter(name__contains="50%"),
    "icontains": lambda: Customer.objects.filter(name__icontains="aD"),
    "startswith": lambda: Customer.objects.filter(name__startswith=models.F("name")),
    "regex": lambda: Customer.objects.filter(name__regex="^B.b"),
    "year": lambda: Customer.objects.filter(joined__year=2026),
    "days": lambda: Order.objects.dates("day", "month"),
    "iterator": lambda: Customer.objects.iterator(chunk_size=1),
}
# What must leave the endpoint; for the rest it is enough to be right.
ROUTED = {
    "all", "join", "related", "sum", "count", "distinct", "null", "in", "raw", "slice", "filter"
}  # fmt: skip


def look(found: Any) -> list[Any]:
    """All that an application sees of its rows."""
    return [
        {name: repr(value) for name, value in vars(row).items() if not name.startswith("_")}
        if isinstance(row, models.Model)
        else repr(row)
        for row in found
    ]


def test_queries_are_routed_and_give_the_same(shop: Shop) -> None:
    routing = shop.connection.connection.pgmd
    moved = set()
    for name, query in QUERIES.items():
        routing.route_reads = "off"
        expected = look(query())
        routing.route_reads = "autocommit"
        before = shop.routed()
        assert look(query()) == expected, name
        assert expected, name
        if shop.routed() > before:
            moved.add(name)
    assert moved >= ROUTED


def test_single_answers_are_routed(shop: Shop) -> None:
    before = shop.routed()
    assert Customer.objects.count() == 2
    assert Customer.objects.filter(city="Paris").exists()
    assert Customer.objects.earliest("id").name == "Ada"
    assert Order.objects.aggregate(total=models.Sum("amount")) == {"total": Decimal("22.00")}
    assert shop.routed() == before + 4


@on_postgres
def test_same_as_plain_django(shop: Shop, site: Stand) -> None:
    ours = {name: look(query()) for name, query in QUERIES.items()}
    with database(site.dsn, backend="django.db.backends.postgresql"):
        assert {name: look(query()) for name, query in QUERIES.items()} == ours


def test_pages(shop: Shop) -> None:
    client = Client()
    before = shop.routed()
    assert client.get("/totals/").json() == {"Ada": "15.00", "Bob 50%": "7.00"}
    assert shop.routed() == before + 1
    form = {"name": "Cy", "city": "Rome", "joined": JOINED.isoformat()}
    answer = client.post(
        "/join/", urlencode(form), content_type="application/x-www-form-urlencoded"
    )
    made = Customer.objects.get(pk=answer.json()["id"])
    assert (made.name, made.joined) == ("Cy", JOINED)
    assert client.get("/totals/").json() == {"Ada": "15.00", "Bob 50%": "7.00", "Cy": "None"}


def test_writes_are_seen(shop: Shop) -> None:
    assert Customer.objects.filter(name="Ada").update(city="Oslo") == 1
    assert [c.city for c in Customer.objects.all()] == ["Oslo", "Paris"]
    ada = Customer.objects.get(name="Ada")
    ada.is_active = False
    ada.save()
    assert list(Customer.objects.filter(is_active=False)) == [ada]
    assert Order.objects.filter(customer=ada).delete()[0] == 2
    assert list(Order.objects.values_list("customer__name")) == [("Bob 50%",)]


def test_a_transaction_stays_on_the_endpoint(shop: Shop) -> None:
    before = shop.routed()
    with transaction.atomic():
        Customer.objects.create(name="Cy", city="Rome", joined=JOINED)
        locked = Customer.objects.select_for_update().get(name="Ada")
        assert locked.city == "London"
        assert len(Customer.objects.all()) == 3
        transaction.set_rollback(True)
    assert shop.routed() == before
    assert [c.name for c in Customer.objects.all()] == ["Ada", "Bob 50%"]
    assert shop.routed() > before or not shop.connection.features.uses_savepoints


def test_a_failed_block_is_rolled_back(shop: Shop) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Customer.objects.filter(name="Ada").update(city="Oslo")
        Customer.objects.bulk_create([Customer(pk=1, name="x", city="x", joined=JOINED)])
    assert Customer.objects.get(name="Ada").city == "London"


def test_blocks_within_blocks(shop: Shop) -> None:
    with transaction.atomic():
        Customer.objects.filter(name="Ada").update(city="Oslo")
        with transaction.atomic():
            Customer.objects.filter(name="Ada").update(city="Bergen")
    assert Customer.objects.get(name="Ada").city == "Bergen"


@on_postgres
def test_an_inner_block_is_rolled_back_alone(shop: Shop) -> None:
    with transaction.atomic():
        Customer.objects.filter(name="Ada").update(city="Oslo")
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            Customer.objects.all().delete()
            raise ZeroDivisionError
    assert [c.city for c in Customer.objects.all()] == ["Oslo", "Paris"]


def test_errors_are_djangos(shop: Shop) -> None:
    with shop.connection.cursor() as cursor, pytest.raises(ProgrammingError) as caught:
        cursor.execute("SELECT nothing FROM customer")
    assert isinstance(caught.value.__cause__, psycopg.errors.UndefinedColumn)


def test_get_or_create(shop: Shop) -> None:
    with transaction.atomic():
        found, made = Customer.objects.get_or_create(name="Ada", defaults={"joined": JOINED})
        assert (found.city, made) == ("London", False)
        new = {"city": "Rome", "joined": JOINED}
        assert Customer.objects.update_or_create(name="Cy", defaults=new)[1]
        assert not Customer.objects.update_or_create(name="Cy", defaults={"city": "Bari"})[1]
    assert [c.city for c in Customer.objects.all()] == ["London", "Paris", "Bari"]


def test_threads(shop: Shop) -> None:
    """Each has a connection of its own; what one writes the others see."""

    def write_and_read(name: str) -> list[str]:
        try:
            Customer.objects.create(name=name, city="Rome", joined=JOINED)
            return [c.name for c in Customer.objects.all()]
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as threads:
        names = [f"new {n}" for n in range(4)]
        for name, found in zip(names, threads.map(write_and_read, names), strict=True):
            assert {"Ada", name} < set(found)
    assert {c.name for c in Customer.objects.all()} == {"Ada", "Bob 50%", *names}


def test_the_log_of_queries(shop: Shop) -> None:
    """As with DEBUG; what Django shows needs no connection to the server either."""
    assert shop.connection.profile
    shop.connection.close()
    shop.connection.force_debug_cursor = True
    found = Customer.objects.filter(city="Paris").values_list("name")
    assert list(found) == [("Bob 50%",)]
    assert """"city" = 'Paris'""" in shop.connection.queries[-1]["sql"]
    assert shop.routed() == 1
    assert shop.connection.connection._is_unopened


# ------------------------------------------------------------------------- the backend's settings


@on_postgres
def test_a_routed_read_needs_no_connection(shop: Shop, site: Stand) -> None:
    shop.connection.close()
    assert look(Customer.objects.all())
    assert shop.routed() == 1
    assert shop.connection.connection._is_unopened
    assert Customer.objects.create(name="Cy", city="Rome", joined=JOINED).pk
    assert not shop.connection.connection._is_unopened


@on_postgres
def test_cursors_on_the_server(shop: Shop) -> None:
    """iterator() has one, unless the settings say otherwise."""
    shop.connection.close()
    assert [c.name for c in Customer.objects.iterator(chunk_size=1)] == ["Ada", "Bob 50%"]
    assert shop.routed() == 0
    shop.connection.settings_dict["DISABLE_SERVER_SIDE_CURSORS"] = True
    assert [c.name for c in Customer.objects.iterator(chunk_size=1)] == ["Ada", "Bob 50%"]
    assert shop.routed() == 1


@on_postgres
def test_a_pool(shop: Shop, site: Stand) -> None:
    pool = {"min_size": 1, "max_size": 2, "timeout": 10}
    with database(site.dsn, replicas=1, pool=pool) as connection:
        assert [c.name for c in Customer.objects.all()] == ["Ada", "Bob 50%"]
        stats = connection.connection.pgmd.stats
        assert stats["replica: READ"] == 1
        assert connection.pool.get_stats()["pool_size"] >= 1


@on_postgres
def test_an_engine_of_the_applications(shop: Shop, site: Stand) -> None:
    dsn = make_conninfo(site.dsn, options="-c TimeZone=UTC")
    with pgmd.connect(dsn, replicas=1) as engine:
        engine.wait()
        with database(site.dsn, engine=engine):
            assert len(Customer.objects.all()) == 2
        assert engine.stats()["routed"]["replica: READ"] == 1


@on_postgres
def test_replicas_from_the_environment(
    shop: Shop, site: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGMD_REPLICAS", "1")
    with database(site.dsn) as connection:
        assert [c.name for c in Customer.objects.all()] == ["Ada", "Bob 50%"]
        assert connection.connection.pgmd.stats.get("replica: READ", 0) >= 1


@on_postgres
def test_an_engine_in_another_time_zone(site: Stand) -> None:
    dsn = make_conninfo(site.dsn, options="-c TimeZone=Asia/Tokyo")
    with pgmd.connect(dsn) as engine, database(site.dsn, engine=engine) as connection:
        with pytest.raises(ImproperlyConfigured, match=r"'Asia/Tokyo'.*TimeZone=UTC"):
            connection.ensure_connection()


@on_postgres
def test_one_engine_only(site: Stand) -> None:
    with pgmd.connect(site.dsn) as engine:
        with database(site.dsn, engine=engine, replicas=2) as connection:
            with pytest.raises(ImproperlyConfigured, match="replicas"):
                connection.ensure_connection()


def move(connection: Any, time_zone: str) -> None:
    """As Django does when its settings change."""
    connection.settings_dict["TIME_ZONE"] = time_zone
    for name in ("timezone", "timezone_name"):
        vars(connection).pop(name, None)
    connection.ensure_timezone()


def test_another_time_zone(shop: Shop) -> None:
    routed = Customer.objects.all()[0]
    assert routed.joined.tzinfo is UTC
    shop.connection.close()
    move(shop.connection, "Asia/Tokyo")
    assert look(Customer.objects.values_list("joined")) == look(
        [(JOINED.astimezone(ZoneInfo("Asia/Tokyo")),)] * 2
    )
    # The replicas of a DuckDB endpoint stay in its own time zone.
    assert shop.routed() == (0 if shop.engine else 1)
    move(shop.connection, "UTC")
    assert [c.joined.tzinfo for c in Customer.objects.all()] == [UTC, UTC]


@on_postgres
def test_routing_off(shop: Shop, site: Stand) -> None:
    with database(site.dsn, replicas=1, route_reads="off") as connection:
        assert len(Customer.objects.all()) == 2
        assert not any(w.startswith("replica") for w in connection.connection.pgmd.stats)


@on_postgres
def test_a_connection_that_was_lost_is_not_usable(shop: Shop, site: Stand) -> None:
    Customer.objects.create(name="Cy", city="Rome", joined=JOINED)
    pid = shop.connection.connection.info.backend_pid
    assert shop.connection.is_usable()
    with psycopg.connect(site.dsn, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
    assert not shop.connection.is_usable()


@on_postgres
def test_djangos_own_test_database(site: Stand) -> None:
    with database(site.dsn, replicas=1) as connection:
        name = connection.settings_dict["NAME"]
        connection.settings_dict["TEST"]["NAME"] = f"{name}_django"
        assert connection.creation.create_test_db(verbosity=0, autoclobber=True)
        Customer.objects.create(name="Ada", city="London", joined=JOINED)
        assert [c.name for c in Customer.objects.all()] == ["Ada"]
        assert connection.connection.pgmd.stats["replica: READ"] >= 1
        connection.creation.destroy_test_db(name, verbosity=0)


# ------------------------------------------------------------------- what DuckDB as a server lacks


@on_duckdb
def test_duckdb_creates_no_tables_for_models(shop: Shop) -> None:
    """There are no identity columns, and no constraints that are added later."""
    with shop.connection.cursor() as cursor:
        cursor.execute("DROP TABLE orders")
    with pytest.raises(ProgrammingError), shop.connection.schema_editor() as editor:
        editor.create_model(Order)


@on_duckdb
def test_duckdb_locks_no_rows(shop: Shop) -> None:
    with transaction.atomic():
        query = Customer.objects.select_for_update().filter(name="Ada")
        assert "FOR UPDATE" not in str(query.query)
        assert len(query) == 1


@on_duckdb
def test_savepoints_are_refused(shop: Shop) -> None:
    with transaction.atomic(), shop.connection.cursor() as cursor:
        with pytest.raises(NotSupportedError, match="SAVEPOINT"):
            cursor.execute("SAVEPOINT a")


def test_sql_is_written_without_a_server(unused_port: int) -> None:
    nowhere = f"host=127.0.0.1 port={unused_port} dbname=a user=b"
    query = Customer.objects.filter(name__startswith="A")
    with database(nowhere), pytest.raises(OperationalError):
        list(query)
    with database(nowhere):
        assert "LIKE A%" in str(query.query)

    class Forbidding(SimpleTestCase):
        def test(self) -> None:
            assert "LIKE A%" in str(query.query)

    with database(nowhere):
        result = Forbidding("test").run()
        assert result is not None
        assert result.wasSuccessful(), result.errors + result.failures


def test_pgmd_needs_no_django() -> None:
    code = "import pgmd, pgmd.psycopg, pgmd.psycopg_pool, sys; sys.exit('django' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
