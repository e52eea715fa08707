"""SQLAlchemy's Core and ORM on pgmd's connections.

On a DuckDB endpoint SQLAlchemy wants `use_native_hstore=False`; keys come from a Sequence, for there
are no serial columns; and there are neither savepoints nor server-side cursors.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg as theirs
import pytest

import pgmd
from pgmd import psycopg

from ..fixtures.stands import Stand
from .conftest import on_duckdb, on_postgres

sa = pytest.importorskip("sqlalchemy")
orm = pytest.importorskip("sqlalchemy.orm")
sa_async = pytest.importorskip("sqlalchemy.ext.asyncio")

JOINED = dt.datetime(2026, 1, 2, 3, 4, 5, 678901, dt.UTC)
DAY = dt.date(2026, 2, 3)
_metadata = sa.MetaData()
customer = sa.Table(
    "customer",
    _metadata,
    sa.Column("id", sa.BigInteger, sa.Sequence("customer_ids"), primary_key=True),
    sa.Column("name", sa.String(80), nullable=False),
    sa.Column("joined", sa.DateTime(timezone=True), nullable=False),
    sa.Column("is_active", sa.Boolean, nullable=False, default=True),
)
orders = sa.Table(
    "orders",
    _metadata,
    sa.Column("id", sa.BigInteger, sa.Sequence("order_ids"), primary_key=True),
    sa.Column("customer_id", sa.ForeignKey("customer.id"), nullable=False),
    sa.Column("amount", sa.Numeric(10, 2), nullable=False),
    sa.Column("day", sa.Date, nullable=False),
    sa.Column("note", sa.Text),
)
_registry = orm.registry()


class Customer:
    """Somebody who orders."""

    # As they are mapped.
    name: Any
    joined: Any
    is_active: Any
    orders: Any


class Order:
    """What they ordered."""

    amount: Any
    day: Any
    note: Any


_registry.map_imperatively(
    Customer,
    customer,
    properties={
        "orders": orm.relationship(
            Order, back_populates="customer", order_by=orders.c.id, cascade="all, delete-orphan"
        )
    },
)
_registry.map_imperatively(
    Order, orders, properties={"customer": orm.relationship(Customer, back_populates="orders")}
)


@dataclass(frozen=True, slots=True)
class Shop:
    """The application's database."""

    site: Stand
    engine: pgmd.Engine
    closing: ExitStack

    def connect(self, module: Any = psycopg, **settings: Any) -> Any:
        """An engine of SQLAlchemy's, with *settings* of pgmd.psycopg.connect() and its own."""
        arguments = {"engine": self.engine} if module is psycopg else {}
        arguments |= {name: settings.pop(name) for name in ("route_reads",) if name in settings}
        db = sa.create_engine(
            url_of(self.site),
            module=module,
            connect_args=arguments,
            **self.settings,
            **settings,
        )
        self.closing.callback(db.dispose)
        return db

    @property
    def settings(self) -> dict[str, Any]:
        return {} if self.site.is_postgres else {"use_native_hstore": False}

    def publish(self) -> None:
        if not self.site.is_live:
            self.engine.publish()


def url_of(site: Stand) -> Any:
    params = psycopg.conninfo.conninfo_to_dict(site.dsn)
    address = {name: params[name] for name in ("host", "port") if name in params}
    user, password, name = params["user"], params.get("password"), params["dbname"]
    return sa.URL.create("postgresql+psycopg", user, password, database=name, query=address)


def routing(connection: Any) -> Any:
    return connection.connection.driver_connection.pgmd


def routed(connection: Any) -> int:
    return int(routing(connection).stats.get("replica: READ", 0))


def customers() -> list[Any]:
    ada = Customer()
    ada.name, ada.joined = "Ada", JOINED
    for amount, note in ("10.50", "gift"), ("4.50", None):
        order = Order()
        order.amount, order.day, order.note = Decimal(amount), DAY, note
        ada.orders.append(order)
    bob = Customer()
    bob.name, bob.joined = "Bob", JOINED
    return [ada, bob]


@pytest.fixture
def shop(site: Stand) -> Iterator[Shop]:
    """Two customers and two orders, whom the replicas know."""
    with pgmd.Engine(site.endpoint(), site.replicas(1)) as engine, ExitStack() as closing:
        engine.wait()
        shop = Shop(site, engine, closing)
        db = shop.connect()
        _metadata.create_all(db)
        with orm.Session(db) as session:
            session.add_all(customers())
            session.commit()
        shop.publish()
        yield shop


by_id = customer.c.id
SELECTS = {
    "all": sa.select(customer).order_by(by_id),
    "columns": sa.select(customer.c.name.label("n"), customer.c.joined).order_by(by_id.desc()),
    "join": sa.select(customer.c.name, orders.c.amount).join(orders).order_by(orders.c.id),
    "outer": sa.select(customer, orders).outerjoin(orders).order_by(by_id, orders.c.id),
    "group": sa.select(customer.c.name, sa.func.sum(orders.c.amount), sa.func.count())
    .join(orders)
    .group_by(customer.c.name),
    "boolean": sa.select(customer.c.id).where(customer.c.is_active).order_by(by_id),
    "numeric": sa.select(orders.c.id).where(orders.c.amount > Decimal("5")),
    "null": sa.select(orders.c.id, orders.c.note).where(orders.c.note.is_(None)),
    "exists": sa.select(customer.c.name).where(
        sa.exists().where(orders.c.customer_id == customer.c.id)
    ),
    "text": sa.text("SELECT * FROM customer WHERE name = :name").bindparams(name="Ada"),
    "equal": sa.select(customer.c.id).where(customer.c.name == "Ada"),
    "in": sa.select(orders.c.amount).where(orders.c.id.in_([1, 2])).order_by(orders.c.id),
    "day": sa.select(orders.c.id).where(orders.c.day == DAY).order_by(orders.c.id),
    "like": sa.select(customer.c.id).where(customer.c.name.startswith("A", autoescape=True)),
    "slice": sa.select(customer.c.name).order_by(by_id).limit(1).offset(1),
    "case": sa.select(sa.case((customer.c.name == "Ada", 1), else_=2)).order_by(by_id),
}  # fmt: skip
# What must leave the endpoint, whatever its dialect; for the rest it is enough to be right.
ROUTED = {"all", "columns", "join", "outer", "group", "boolean", "null", "exists"}


def look(result: Any) -> Any:
    return list(result.keys()), [repr(tuple(row)) for row in result]


def test_core_selects(shop: Shop) -> None:
    db, plain = shop.connect(isolation_level="AUTOCOMMIT"), shop.connect(module=theirs)
    moved = set()
    with db.connect() as ours, plain.connect() as other:
        for name, select in SELECTS.items():
            before = routed(ours)
            found = look(ours.execute(select))
            assert found == look(other.execute(select)), name
            assert found[1], name
            if routed(ours) > before:
                moved.add(name)
    assert moved >= ROUTED


def test_orm_reads(shop: Shop) -> None:
    db = shop.connect(isolation_level="AUTOCOMMIT")
    with orm.Session(db) as session:
        ada, bob = session.scalars(sa.select(Customer).order_by(by_id))
        assert routed(session.connection()) == 1
        assert (ada.name, ada.joined, bob.is_active) == ("Ada", JOINED, True)
        assert [(o.amount, o.day, o.note) for o in ada.orders] == [
            (Decimal("10.50"), DAY, "gift"),
            (Decimal("4.50"), DAY, None),
        ]
    with orm.Session(db) as session:
        before = routed(session.connection())
        joined = orm.joinedload(Customer.orders)
        ada, bob = session.scalars(sa.select(Customer).options(joined).order_by(by_id)).unique()
        assert routed(session.connection()) == before + 1
        assert [len(ada.orders), len(bob.orders)] == [2, 0]


def test_orm_writes(shop: Shop) -> None:
    db = shop.connect(isolation_level="AUTOCOMMIT")
    with orm.Session(db) as session:
        ada = session.scalars(sa.select(Customer).where(Customer.name == "Ada")).one()
        ada.is_active = False
        ada.orders.pop()
        session.commit()
        assert session.scalar(sa.select(sa.func.count()).select_from(Order)) == 1
        changed = session.execute(sa.update(Customer).values(name=Customer.name + "!"))
        assert changed.rowcount == 2
        # Its own writes are seen: on PostgreSQL by a replica.
        names = sa.select(Customer.name, Customer.is_active).order_by(by_id)
        before = routed(session.connection())
        assert session.execute(names).all() == [("Ada!", False), ("Bob!", True)]
        assert (routed(session.connection()) > before) is shop.site.is_live
        session.execute(sa.delete(Order))
        session.delete(session.scalars(sa.select(Customer).where(Customer.name == "Bob!")).one())
        session.commit()
        assert session.execute(names).all() == [("Ada!", False)]


def test_a_transaction_is_rolled_back(shop: Shop) -> None:
    """By default every statement is in a transaction, and none is routed."""
    db = shop.connect()
    with db.connect() as connection:
        connection.execute(sa.insert(customer), [{"name": n, "joined": JOINED} for n in "CD"])
        count = sa.select(sa.func.count()).select_from(customer)
        assert connection.scalar(count) == 4
        connection.rollback()
        assert connection.scalar(count) == 2
        assert routed(connection) == 0
        assert routing(connection).decision.reason is pgmd.Reason.TRANSACTION
    with pytest.raises(sa.exc.ProgrammingError) as caught, db.begin() as connection:
        connection.execute(sa.delete(orders))
        connection.execute(sa.text("SELECT nothing FROM customer"))
    assert isinstance(caught.value.orig, theirs.errors.UndefinedColumn)
    with db.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(orders)) == 2


def test_reads_before_a_transaction_begins(shop: Shop) -> None:
    db = shop.connect(route_reads="lazy-begin")
    names = sa.select(customer.c.name).order_by(by_id)
    with db.connect() as connection:
        assert connection.scalars(names).all() == ["Ada", "Bob"]
        assert routed(connection) == 1
        connection.execute(sa.update(customer).values(name="x"))
        assert connection.scalars(names).all() == ["x", "x"]
        assert routed(connection) == 1
        connection.rollback()
        assert connection.scalars(names).all() == ["Ada", "Bob"]


def test_autocommit_for_one_connection(shop: Shop) -> None:
    db = shop.connect()
    with db.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        assert connection.scalar(sa.select(customer.c.name).order_by(by_id)) == "Ada"
        assert routed(connection) == 1
    with db.connect() as connection:
        assert connection.scalar(sa.select(customer.c.name).order_by(by_id)) == "Ada"
        assert routed(connection) == 1, "the pool gave the same connection, in a transaction now"


def test_a_creator(shop: Shop) -> None:
    def connect() -> Any:
        return psycopg.connect(shop.site.dsn, engine=shop.engine)

    db = sa.create_engine(
        "postgresql+psycopg://", creator=connect, isolation_level="AUTOCOMMIT", **shop.settings
    )
    shop.closing.callback(db.dispose)
    with db.connect() as connection:
        assert connection.scalars(SELECTS["columns"]).all() == ["Bob", "Ada"]
        assert routed(connection) == 1


async def test_asyncio(shop: Shop) -> None:
    async with pgmd.AsyncEngine(shop.site.endpoint(), shop.site.replicas(1)) as engine:
        await engine.wait()

        async def connect() -> Any:
            return await psycopg.AsyncConnection.connect(shop.site.dsn, engine=engine)

        db = sa_async.create_async_engine(
            "postgresql+psycopg://",
            async_creator=connect,
            isolation_level="AUTOCOMMIT",
            **shop.settings,
        )
        try:
            async with sa_async.AsyncSession(db) as session:
                found = await session.scalars(sa.select(Customer).order_by(by_id))
                assert [c.name for c in found] == ["Ada", "Bob"]
                connection = await session.connection()
                raw = await connection.get_raw_connection()
                assert raw.driver_connection.pgmd.stats["replica: READ"] == 1
        finally:
            await db.dispose()


@on_postgres
def test_savepoints(shop: Shop) -> None:
    db = shop.connect()
    with db.begin() as connection:
        with pytest.raises(ZeroDivisionError), connection.begin_nested():
            connection.execute(sa.delete(orders))
            raise ZeroDivisionError
        connection.execute(sa.update(customer).values(name="x"))
    with db.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(orders)) == 2
        assert connection.scalars(sa.select(customer.c.name)).all() == ["x", "x"]


@on_duckdb
def test_savepoints_are_refused(shop: Shop) -> None:
    db = shop.connect()
    with db.begin() as connection:
        with pytest.raises(sa.exc.NotSupportedError, match="SAVEPOINT"):
            connection.begin_nested()
        assert connection.scalar(sa.select(sa.func.count()).select_from(orders)) == 2


def test_reflection(shop: Shop) -> None:
    db = shop.connect()
    inspector = sa.inspect(db)
    assert sorted(inspector.get_table_names()) == ["customer", "orders"]
    assert [c["name"] for c in inspector.get_columns("orders")] == list(orders.c.keys())
    assert inspector.has_table("nothing") is False
    _metadata.drop_all(db, tables=[orders])
    assert sa.inspect(db).get_table_names() == ["customer"]
