# Generated from tests/async_/test_replica_faults.py by pgmd._tools.unasync. Do not edit.
"""Replicas and endpoints that hang, die, refuse, slow down or answer with errors, under load.

Each is behind a proxy. Whatever fails, no answer is wrong, no statement fails that could run on the
other side, every connection comes back, and all is used again once it is well.
"""

from __future__ import annotations

import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import pgmd
from pgmd import Outcome, Reason, Route
from pgmd.local import LocalEndpoint
from pgmd.runtime import threads as runtime

from ..fixtures.proxy import Proxy, proxy_to
from .helpers import pause, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

ANSWER = 42
# Of the set's two replicas, in turn.
FIRST, SECOND = "replica-1", "replica-2"
Ill = Callable[[Proxy], None]


def fail(proxy: Proxy) -> None:
    proxy.fails = True


def slow_down(proxy: Proxy) -> None:
    proxy.slow = 0.01


@dataclass(frozen=True, slots=True)
class Faulty:
    """Servers behind proxies: `near` is the endpoint's, `far` the replicas'. `dsn` has none."""

    dsn: str = field(repr=False)
    near: Proxy
    far: list[Proxy]
    replicas: dict[str, Any] = field(repr=False)
    # On PostgreSQL, the role of the replicas.
    role: str = ""

    @property
    def proxies(self) -> list[Proxy]:
        return [self.near, *self.far]

    def admin(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(self.dsn, autocommit=True, prepare_threshold=None)

    def heal(self) -> None:
        for proxy in self.proxies:
            proxy.heal()
            proxy.slow = 0.0

    @contextmanager
    def engine(self, **settings: Any) -> Iterator[pgmd.Engine]:
        """An engine with both replicas open and published; well again and idle at the end."""
        endpoint = pgmd.Endpoint(
            through(self.dsn, self.near),
            **{"timeout": 20.0, "connect_timeout": 2, "max_size": 4, **settings},
        )
        (kind, conninfo), *_ = self.replicas.items()
        sources: list[dict[str, Any]] = [
            {kind: through(conninfo, proxy, connect_timeout=5)} for proxy in self.far
        ]
        replicas = [pgmd.Replica(**source, max_size=2) for source in sources]
        with pgmd.Engine(endpoint, replicas) as engine:
            until(lambda: len(engine._core.replicas.serving) == 2)
            engine.publish()
            try:
                yield engine
            finally:
                self.heal()
            until(lambda: not lent(engine))


def through(conninfo: str, proxy: Proxy, **changed: Any) -> str:
    return make_conninfo(conninfo, host="127.0.0.1", port=proxy.port, **changed)


def lent(engine: pgmd.Engine) -> int:
    stats = engine.stats()
    sides = (stats["endpoint"], stats["replicas"])
    return sum(side["pool_size"] - side["pool_available"] for side in sides)


def names(engine: pgmd.Engine) -> set[str]:
    return {member.name for member in engine._core.replicas.serving}


@pytest.fixture(params=[pytest.param("postgres", marks=pytest.mark.postgres), "wire"])
def faulty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Faulty]:
    """A database with the tables `t` and `w`, on PostgreSQL read live, on a local endpoint over the wire."""
    with ExitStack() as stack:
        if request.param == "postgres":
            yield on_postgres(stack, request.getfixturevalue("dsn"))
        else:
            yield on_wire(stack, tmp_path)


@pytest.fixture
def faulty_postgres(dsn: str) -> Iterator[Faulty]:
    with ExitStack() as stack:
        yield on_postgres(stack, dsn)


def on_postgres(stack: ExitStack, dsn: str) -> Faulty:
    where = conninfo_to_dict(dsn)
    host, port = str(where["host"]), int(str(where["port"]))
    proxies = proxies_to(stack, f"{host}/.s.PGSQL.{port}" if host[0] == "/" else (host, port))
    role, password = f"reader_of_{where['dbname']}", secrets.token_hex(8)
    admin = stack.enter_context(psycopg.connect(dsn, autocommit=True))
    load(admin)
    name = sql.Identifier(role)
    admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, password))
    stack.callback(lambda: admin.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(name)))
    admin.execute(sql.SQL("GRANT SELECT ON t, w TO {}").format(name))
    replicas = make_conninfo(dsn, user=role, password=password)
    return Faulty(dsn, proxies[0], proxies[1:], {"postgres": replicas}, role)


def on_wire(stack: ExitStack, folder: Path) -> Faulty:
    tokens = {"password": secrets.token_hex(8), "read_scaling_token": secrets.token_hex(8)}
    server = LocalEndpoint(folder / "app.duckdb", auth="password", snapshot_every=None, **tokens)
    stack.enter_context(server)
    target = ("127.0.0.1", int(str(conninfo_to_dict(server.dsn)["port"])))
    proxies = proxies_to(stack, target)
    with psycopg.connect(server.dsn, autocommit=True, prepare_threshold=None) as admin:
        load(admin)
    return Faulty(server.dsn, proxies[0], proxies[1:], {"wire": server.read_scaling_dsn})


def proxies_to(stack: ExitStack, target: str | tuple[str, int]) -> list[Proxy]:
    return [stack.enter_context(proxy_to(target)) for _ in range(3)]


def load(admin: psycopg.Connection[tuple[Any, ...]]) -> None:
    admin.execute(f"CREATE TABLE t AS SELECT {ANSWER} AS n".encode())
    admin.execute("CREATE TABLE w AS SELECT 0 AS n")


class Readers:
    """Read `t` over and over, each in sessions of its own, and count who answers."""

    def __init__(self, engine: pgmd.Engine, count: int = 6) -> None:
        self._engine = engine
        self._stopped = False
        self._jobs = runtime.Jobs(count)
        self.answers: Counter[str] = Counter()
        self.wrong: list[Any] = []
        self._running = [self._jobs.start(self._read, print) for _ in range(count)]

    def _read(self) -> None:
        while not self._stopped:
            try:
                with self._engine.session() as s:
                    result = s.execute("SELECT n FROM t")
            except psycopg.Error as error:
                self.wrong.append(error)
                continue
            if result.fetchall() != [(ANSWER,)]:
                self.wrong.append(result)
            self.answers[result.decision.replica or "endpoint"] += 1
            # What is waited for takes seconds, and readers are there, not fast.
            pause(0.01)

    def more_of(self, *who: str, count: int = 3) -> None:
        """Wait until each of these has answered some more."""
        before = Counter(self.answers)
        until(lambda: all(self.answers[name] >= before[name] + count for name in who))

    def stop(self) -> None:
        self._stopped = True

    def end(self) -> None:
        """Stop them; all must end, and all must have been right."""
        self.stop()
        for job in self._running:
            self._jobs.result(job)
        self._jobs.close()
        assert not self.wrong


@contextmanager
def readers(engine: pgmd.Engine) -> Iterator[Readers]:
    found = Readers(engine)
    try:
        found.more_of(FIRST, SECOND)
        yield found
    except BaseException:
        # A test that has failed does not wait for them.
        found.stop()
        raise
    found.end()


def is_withdrawn(engine: pgmd.Engine, *who: str) -> None:
    until(lambda: names(engine).isdisjoint(who))


def is_back(engine: pgmd.Engine, load: Readers) -> None:
    until(lambda: names(engine) == {FIRST, SECOND})
    load.more_of(FIRST, SECOND)


# -------------------------------------------------------------------------------- one replica


@pytest.mark.parametrize("ill", [Proxy.hang, Proxy.kill, fail])
def test_a_replica_that_does_not_answer_is_left_out_until_it_does(faulty: Faulty, ill: Ill) -> None:
    with faulty.engine() as engine, readers(engine) as load:
        ill(faulty.far[0])
        is_withdrawn(engine, FIRST)
        assert names(engine) == {SECOND}
        assert set(engine._core.replicas.failures) == {FIRST}
        load.more_of(SECOND, count=20)
        faulty.heal()
        is_back(engine, load)
        assert engine._core.replicas.failures == {}


@pytest.mark.parametrize("ill", [Proxy.cut, Proxy.refuse, slow_down])
def test_a_replica_with_a_lesser_trouble_may_serve_on(faulty: Faulty, ill: Ill) -> None:
    with faulty.engine() as engine, readers(engine) as load:
        ill(faulty.far[0])
        load.more_of(SECOND, count=20)
        faulty.heal()
        is_back(engine, load)


def test_a_replica_that_may_not_read_leaves_it_to_the_endpoint(
    faulty_postgres: Faulty,
) -> None:
    role = sql.Identifier(faulty_postgres.role)
    with faulty_postgres.engine() as engine:
        with faulty_postgres.admin() as admin:
            admin.execute(sql.SQL("REVOKE SELECT ON t FROM {}").format(role))
            with engine.session() as s:
                for _ in range(5):
                    result = s.execute("SELECT n FROM t")
                    assert result.fetchall() == [(ANSWER,)]
                    assert result.decision.reason in (Reason.FAILED, Reason.REPLICAS_DOWN)
                admin.execute(sql.SQL("GRANT SELECT ON t TO {}").format(role))
                until(lambda: len(engine._core.replicas.serving) == 2)
                result = s.execute("SELECT n FROM t")
                assert (result.fetchall(), result.decision.route) == ([(ANSWER,)], Route.REPLICA)


# ------------------------------------------------------------------------------- all replicas


@pytest.mark.parametrize("ill", [Proxy.hang, Proxy.kill, fail])
def test_without_replicas_the_endpoint_answers(faulty: Faulty, ill: Ill) -> None:
    with faulty.engine() as engine, readers(engine) as load:
        for proxy in faulty.far:
            ill(proxy)
        is_withdrawn(engine, FIRST, SECOND)
        load.more_of("endpoint", count=20)
        faulty.heal()
        is_back(engine, load)


# ------------------------------------------------------------------------------- the endpoint


@pytest.mark.parametrize("ill", [Proxy.hang, Proxy.kill, fail])
def test_without_an_endpoint_the_replicas_answer(faulty: Faulty, ill: Ill) -> None:
    settings = {"timeout": 3.0, "max_size": 1}
    jobs = runtime.Jobs(1)
    with faulty.engine(**settings) as engine, readers(engine) as load:
        ill(faulty.near)
        # One that is on its way to a server that hangs is not given up.
        job = jobs.start(lambda: write(engine.session()), print)
        load.more_of(FIRST, SECOND, count=20)
        if ill is Proxy.hang:
            began = time.monotonic()
            assert write(engine.session()) is Outcome.NOT_APPLIED
            assert time.monotonic() - began < 10
            faulty.heal()
            assert jobs.result(job) is Outcome.APPLIED
        else:
            assert jobs.result(job) is not Outcome.APPLIED
            faulty.heal()
        written = int(ill is Proxy.hang)
        while write(engine.session()) is not Outcome.APPLIED:
            pause()
        assert counted(faulty) == written + 1
        load.more_of(FIRST, SECOND)
    jobs.close()


# --------------------------------------------------------------------------------- the schema


def test_a_change_of_the_schema_does_not_wait_for_a_replica_that_hangs(
    faulty_postgres: Faulty,
) -> None:
    jobs = runtime.Jobs(1)
    with faulty_postgres.engine() as engine, readers(engine) as load:
        faulty_postgres.far[0].hang()
        job = jobs.start(lambda: create(engine), print)
        until(lambda: engine.stats()["routed"].get("endpoint: NOT_A_READ", 0) > 0)
        is_withdrawn(engine, FIRST)
        jobs.result(job)
        assert names(engine) == {SECOND}
        faulty_postgres.heal()
        is_back(engine, load)
    jobs.close()


def test_a_replica_that_missed_a_change_of_the_schema_is_soon_back(
    faulty_postgres: Faulty,
) -> None:
    with faulty_postgres.engine() as engine:
        faulty_postgres.far[0].kill()
        create(engine)
        faulty_postgres.heal()
        with readers(engine) as load:
            is_back(engine, load)


def create(engine: pgmd.Engine) -> None:
    with engine.session() as s:
        s.execute("CREATE TABLE another (n int)")


def test_whoever_waits_for_the_endpoint_gets_it_soon_after_it_is_back(faulty: Faulty) -> None:
    jobs = runtime.Jobs(1)
    with faulty.engine(timeout=60.0, max_size=1) as engine:
        faulty.near.kill()
        job = jobs.start(lambda: write(engine.session()), print)
        # Long enough for attempts that come ever more seldom.
        gone = time.monotonic() + 8.0
        until(lambda: time.monotonic() > gone)
        faulty.heal()
        back = time.monotonic()
        assert jobs.result(job) is Outcome.APPLIED
        assert time.monotonic() - back < 3.0
    jobs.close()


# ---------------------------------------------------------------------------------- all of it


def test_a_session_sees_its_writes_whatever_fails(faulty: Faulty) -> None:
    chance = random.Random(7)
    ills: list[Ill] = [Proxy.kill, Proxy.cut, Proxy.refuse, fail]
    done = unknown = seen = 0
    with faulty.engine(timeout=0.5) as engine, engine.session() as s:
        for turn in range(18):
            ill = chance.choice(ills)
            # The endpoint in every third turn, one or both replicas in the others.
            for proxy in faulty.proxies[:1] if turn % 3 == 0 else faulty.proxies[turn % 3 :]:
                ill(proxy)
            for _ in range(2):
                outcome = write(s)
                done += outcome is Outcome.APPLIED
                unknown += outcome is Outcome.UNKNOWN
                found = look(s)
                if found is not None:
                    assert max(done, seen) <= found <= done + unknown
                    seen = found
            faulty.heal()
    assert done <= counted(faulty) <= done + unknown
    assert done >= 12


def look(s: pgmd.Session[Any]) -> int | None:
    """What a session sees of its writes; None when that fails."""
    try:
        result = s.execute("SELECT n FROM w")
    except psycopg.Error as error:
        failed = error
    else:
        return int(result.fetchall()[0][0])
    assert outcome_of(failed) is Outcome.NOT_APPLIED
    return None


def write(s: pgmd.Session[Any]) -> Outcome:
    """Write what no reader of `t` looks at, and say what became of it."""
    try:
        s.execute("UPDATE w SET n = n + 1")
    except psycopg.Error as error:
        return outcome_of(error)
    return Outcome.APPLIED


def outcome_of(error: psycopg.Error) -> Outcome:
    outcome = error.outcome  # type: ignore[attr-defined]
    assert isinstance(outcome, Outcome)
    return outcome


def counted(faulty: Faulty) -> int:
    with faulty.admin() as admin:
        row = admin.execute("SELECT n FROM w").fetchone()
    assert row is not None
    return int(row[0])
