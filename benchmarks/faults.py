"""What an engine does while its replicas and its endpoint fail under load; all of it counted.

    python benchmarks/faults.py [--endpoint embedded|container|local] [--colour threads|asyncio]
                                [--seconds 120] [--each 5] [--workers 16] [--seed 1] [--only NAME]

The endpoint and two replicas are each behind a proxy that hangs, dies, refuses, slows down or
answers with errors: `embedded` and `container` are PostgreSQL with live replicas, `local` is a
local endpoint with replicas over the wire. Each fault lasts --each seconds; in the last one all
three come and go at random for --seconds.

Every answer is checked: a read of a table whose content is known; a session's own writes, of which
it never sees fewer than were acknowledged or than it has seen before. At the end each acknowledged
write is there exactly once, one whose outcome is unknown at most once, no other one at all.

A row has, for one fault: statements and how many ran on a replica, wrong answers, errors by class,
`back`, the seconds from the fault's end until both replicas and the endpoint have answered what
was asked after it, `lent`, the connections that are missing once all have come back, and `longest`,
the seconds that the slowest statement took. Ends with 1 if there is a wrong answer, a lost
connection or a recovery that took longer than 5 s.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
import secrets
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

sys.path.insert(0, str(Path(__file__).parent.parent))

import pgmd
from pgmd.local import LocalEndpoint
from pgmd.routing.decision import Decision
from pgmd.testing.servers import container_postgres, embedded_postgres
from tests.fixtures.proxy import Proxy, proxy_to

KEYS = 500
TIMEOUT = 2.0
# A statement's way to a replica and back takes so long (seconds) when nothing is wrong.
DISTANCE = 0.0005
# Between two statements of one worker: the machine is to have time for the upkeep, too.
THINKING = 0.004
RECOVERS_WITHIN = 5.0
GIVES_UP_AFTER = 30.0
ENDPOINT = "endpoint"

now = time.monotonic


def known(key: int) -> int:
    return key * 7919 % 10_007


@dataclass
class Stand:
    """The servers of one run. `dsn` is the endpoint's without a proxy."""

    dsn: str
    endpoint: pgmd.Endpoint
    replicas: list[pgmd.Replica]
    near: Proxy
    far: list[Proxy]
    # Takes from the replicas what they need to read, and gives it back; None where it cannot.
    revoke: Callable[[], None] | None = None
    grant: Callable[[], None] | None = None

    @property
    def proxies(self) -> list[Proxy]:
        return [self.near, *self.far]

    def heal(self) -> None:
        for proxy in self.proxies:
            proxy.heal()
        for proxy in self.far:
            proxy.slow = DISTANCE
        if self.grant is not None:
            self.grant()


def settings(conninfo: str) -> pgmd.Endpoint:
    return pgmd.Endpoint(conninfo, timeout=TIMEOUT, connect_timeout=2, min_size=4)


def load(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True, prepare_threshold=None) as admin:
        admin.execute("CREATE TABLE known (k INTEGER, v INTEGER)")
        admin.execute("CREATE TABLE written (worker INTEGER, number INTEGER)")
        rows = ", ".join(f"({key}, {known(key)})" for key in range(KEYS))
        admin.execute(f"INSERT INTO known VALUES {rows}".encode())


def through(dsn: str, proxy: Proxy, **changed: Any) -> str:
    return make_conninfo(dsn, host="127.0.0.1", port=proxy.port, **changed)


@contextmanager
def postgres(kind: str) -> Iterator[Stand]:
    with ExitStack() as stack:
        server = stack.enter_context(
            embedded_postgres() if kind == "embedded" else container_postgres()
        )
        where = conninfo_to_dict(server.dsn)
        host, port = str(where["host"]), int(str(where["port"]))
        target = f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, port)
        near, *far = (stack.enter_context(proxy_to(target)) for _ in range(3))
        load(server.dsn)
        password = secrets.token_hex(8)
        admin = stack.enter_context(psycopg.connect(server.dsn, autocommit=True))
        admin.execute(f"CREATE ROLE reader LOGIN PASSWORD '{password}'".encode())

        def grant() -> None:
            admin.execute("GRANT SELECT ON known, written TO reader")

        def revoke() -> None:
            admin.execute("REVOKE SELECT ON known, written FROM reader")

        reader = {"user": "reader", "password": password, "connect_timeout": 2}
        replicas = [pgmd.Replica(postgres=through(server.dsn, p, **reader)) for p in far]
        endpoint = settings(through(server.dsn, near))
        print(server.description)
        yield Stand(server.dsn, endpoint, replicas, near, far, revoke, grant)


@contextmanager
def local() -> Iterator[Stand]:
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        server = stack.enter_context(
            LocalEndpoint(
                Path(folder) / "app.duckdb",
                auth="password",
                password=secrets.token_hex(8),
                read_scaling_token=secrets.token_hex(8),
                snapshot_every=None,
            )
        )
        target = ("127.0.0.1", int(str(conninfo_to_dict(server.dsn)["port"])))
        near, *far = (stack.enter_context(proxy_to(target)) for _ in range(3))
        load(server.dsn)
        replicas = [
            pgmd.Replica(wire=through(server.read_scaling_dsn, p, connect_timeout=2)) for p in far
        ]
        print("local endpoint, replicas over the wire")
        yield Stand(server.dsn, settings(through(server.dsn, near)), replicas, near, far)


# ------------------------------------------------------------------------------------- the load


@dataclass(frozen=True, slots=True)
class Ask:
    """What a worker runs next, in a new session or the same."""

    text: str
    params: tuple[Any, ...] = ()
    anew: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """How that ended."""

    began: float
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    decision: Decision | None = None
    error: Exception | None = None


class Book:
    """Counts what all workers see. Any number of threads may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.acknowledged: set[tuple[int, int]] = set()
        self.unknown: set[tuple[int, int]] = set()
        self.failed: set[tuple[int, int]] = set()
        # When the newest statement began that each has answered, by name.
        self.answered: dict[str, float] = {}
        self.begin()

    def begin(self) -> None:
        """A new phase."""
        with self._lock:
            self.statements = self.on_replicas = 0
            self.longest = 0.0
            self.wrong: list[str] = []
            self.errors: Counter[str] = Counter()

    def note(self, ask: Ask, told: Told) -> None:
        with self._lock:
            self.statements += 1
            self.longest = max(self.longest, now() - told.began)
            if told.error is not None:
                self.errors[described(told.error)] += 1
            elif told.decision is not None:
                by = told.decision.replica or ENDPOINT
                self.on_replicas += by != ENDPOINT
                self.answered[by] = max(self.answered.get(by, 0.0), told.began)
            if isinstance(told.error, psycopg.Error) and not hasattr(told.error, "outcome"):
                self.wrong.append(f"{ask.text}: {told.error!r} has no outcome")

    def check(self, expected: bool, what: str) -> None:
        if not expected:
            with self._lock:
                self.wrong.append(what)

    def wrote(self, write: tuple[int, int], told: Told) -> bool:
        """Note how a write ended; whether it was acknowledged."""
        outcome = getattr(told.error, "outcome", None)
        kept = self.acknowledged if told.error is None else self.unknown
        if outcome is pgmd.Outcome.NOT_APPLIED:
            kept = self.failed
        with self._lock:
            kept.add(write)
        return told.error is None

    def has_answered(self, names: list[str], since: float) -> bool:
        with self._lock:
            return all(self.answered.get(name, 0.0) >= since for name in names)


def described(error: Exception) -> str:
    outcome = getattr(error, "outcome", None)
    unknown = " unknown" if outcome is pgmd.Outcome.UNKNOWN else ""
    return f"{type(error).__name__}{unknown}"


Work = Generator[Ask, Told, None]


def worker(book: Book, number: int, seed: int, stopped: Callable[[], bool]) -> Work:
    """What one worker asks, a session of about twenty statements after the other; endless."""
    chance = random.Random(f"{seed}-{number}")
    written = itself = 0
    acknowledged = 0
    while not stopped():
        seen = 0
        reads_only = chance.random() < 0.5
        for turn in range(20):
            draw = chance.random()
            if not reads_only and draw < 0.15:
                written += 1
                ask = Ask("INSERT INTO written VALUES (%s, %s)", (number, written), turn == 0)
                told = yield ask
                if book.wrote((number, written), told):
                    acknowledged += 1
                    seen = max(seen, acknowledged)
            elif not reads_only and draw < 0.5:
                ask = Ask("SELECT count(*) FROM written WHERE worker = %s", (number,), turn == 0)
                told = yield ask
                if told.error is None:
                    itself = told.rows[0][0]
                    book.check(seen <= itself <= written, f"{itself} written, {seen} seen")
                    seen = itself
            elif draw < 0.55:
                told = yield Ask("SELECT count(*), sum(v) FROM known", (), turn == 0)
                total = sum(map(known, range(KEYS)))
                book.check(told.error is not None or told.rows == [(KEYS, total)], "the sum")
            else:
                key = chance.randrange(KEYS)
                told = yield Ask("SELECT v FROM known WHERE k = %s", (key,), turn == 0)
                right = told.error is not None or told.rows == [(known(key),)]
                book.check(right, f"{key}: {told.rows}")


def until_serving(engine: Any) -> None:
    """Unlike `wait()` this goes on when a first attempt took too long."""
    end = now() + GIVES_UP_AFTER
    while len(engine._core.replicas.serving) < len(engine._core.settings.replicas):
        if now() > end:
            raise TimeoutError(f"not all replicas open: {engine._core.replicas.failures}")
        time.sleep(0.01)


class Threads:
    """The workers, a thread each."""

    def __init__(self, stand: Stand) -> None:
        self.engine: Any = pgmd.Engine(stand.endpoint, stand.replicas)
        self.engine.open()
        until_serving(self.engine)
        self.engine.publish()
        self._threads: list[threading.Thread] = []

    def start(self, works: list[Work], book: Book) -> None:
        for work in works:
            thread = threading.Thread(target=self._drive, args=(work, book), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _drive(self, work: Work, book: Book) -> None:
        session = self.engine.session()
        ask = next(work, None)
        while ask is not None:
            if ask.anew:
                session.close()
                session = self.engine.session()
            began = now()
            try:
                result = session.execute(ask.text, ask.params)
                told = Told(began, result.fetchall() if result.description else [], result.decision)
            except Exception as error:  # noqa: BLE001 - each is counted
                told = Told(began, error=error)
            book.note(ask, told)
            time.sleep(THINKING)
            ask = following(work, told)
        session.close()

    def join(self) -> int:
        """Wait for all workers, once they are to stop; how many do not."""
        end = now() + GIVES_UP_AFTER
        for thread in self._threads:
            thread.join(max(0.0, end - now()))
        return sum(thread.is_alive() for thread in self._threads)

    def close(self) -> None:
        self.engine.close()


class Tasks:
    """The workers, a task each, in a loop that has a thread."""

    def __init__(self, stand: Stand) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._drivers: list[Any] = []
        self.engine: Any
        self._call(self._open(stand))
        until_serving(self.engine)
        self._call(self.engine.publish())

    async def _open(self, stand: Stand) -> None:
        self.engine = pgmd.AsyncEngine(stand.endpoint, stand.replicas)
        await self.engine.open()

    def _call(self, work: Any) -> Any:
        """What *work* returns, in this thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def start(self, works: list[Work], book: Book) -> None:
        for work in works:
            driver = asyncio.run_coroutine_threadsafe(self._drive(work, book), self._loop)
            self._drivers.append(driver)

    async def _drive(self, work: Work, book: Book) -> None:
        session = self.engine.session()
        ask = next(work, None)
        while ask is not None:
            if ask.anew:
                await session.close()
                session = self.engine.session()
            began = now()
            try:
                result = await session.execute(ask.text, ask.params)
                told = Told(began, result.fetchall() if result.description else [], result.decision)
            except Exception as error:  # noqa: BLE001 - each is counted
                told = Told(began, error=error)
            book.note(ask, told)
            await asyncio.sleep(THINKING)
            ask = following(work, told)
        await session.close()

    def join(self) -> int:
        end = now() + GIVES_UP_AFTER
        for driver in self._drivers:
            try:
                driver.result(max(0.0, end - now()))
            except TimeoutError:
                continue
        return sum(not driver.done() for driver in self._drivers)

    def close(self) -> None:
        self._call(self.engine.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


Load = Threads | Tasks


def following(work: Work, told: Told) -> Ask | None:
    try:
        return work.send(told)
    except StopIteration:
        return None


# ----------------------------------------------------------------------------------- the faults

Fault = Callable[[Stand], None]


def slow_down(stand: Stand) -> None:
    stand.far[0].slow = 10 * DISTANCE


def to_all(what: Callable[[Proxy], None]) -> Fault:
    def fault(stand: Stand) -> None:
        for proxy in stand.far:
            what(proxy)

    return fault


def fail(proxy: Proxy) -> None:
    proxy.fails = True


def faults(stand: Stand) -> dict[str, Fault]:
    found: dict[str, Fault] = {
        "nothing": lambda _: None,
        "replica hangs": lambda s: s.far[0].hang(),
        "replica dies": lambda s: s.far[0].kill(),
        "replica refuses": lambda s: s.far[0].refuse(),
        "replica cuts off": lambda s: s.far[0].cut(),
        "replica slows down": slow_down,
        "replica says errors": lambda s: fail(s.far[0]),
        "replicas hang": to_all(Proxy.hang),
        "replicas die": to_all(Proxy.kill),
        "replicas say errors": to_all(fail),
        "endpoint hangs": lambda s: s.near.hang(),
        "endpoint dies": lambda s: s.near.kill(),
        "endpoint says errors": lambda s: fail(s.near),
    }
    if stand.revoke is not None:
        found["replicas may not read"] = lambda _: stand.revoke() if stand.revoke else None
    return found


FLAPPING = "all come and go"


def flap(stand: Stand, seconds: float, seed: int) -> None:
    """Let each of the three be well and ill in turn, each in a thread and at times of its own."""
    end = now() + seconds
    ills: list[Callable[[Proxy], None]] = [Proxy.hang, Proxy.kill, Proxy.refuse, Proxy.cut, fail]

    def shake(proxy: Proxy, number: int) -> None:
        chance = random.Random(f"{seed}-flap-{number}")
        while now() < end:
            chance.choice(ills)(proxy)
            time.sleep(min(max(0.0, end - now()), chance.uniform(0.2, 4.0)))
            proxy.heal()
            time.sleep(min(max(0.0, end - now()), chance.uniform(0.2, 4.0)))

    threads = [
        threading.Thread(target=shake, args=(proxy, number), daemon=True)
        for number, proxy in enumerate(stand.proxies)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# ---------------------------------------------------------------------------------- one run


@dataclass(frozen=True, slots=True)
class Row:
    fault: str
    statements: int
    on_replicas: int
    wrong: list[str]
    errors: Counter[str]
    back: float
    longest: float
    lent: int


class Run:
    def __init__(self, stand: Stand, load: Load, options: argparse.Namespace) -> None:
        self._stand = stand
        self._load = load
        self._options = options
        self.book = Book()
        self.stopped = threading.Event()
        self._names = [ENDPOINT, *(r.name for r in load.engine._core.settings.replicas)]

    def all_rows(self) -> Iterator[Row]:
        options, book = self._options, self.book
        wanted = faults(self._stand)
        with self._loaded():
            for name, fault in wanted.items():
                if options.only in name:
                    yield self._row(name, partial(self._lasting, fault))
            if options.seconds and options.only in FLAPPING:
                shake = lambda: flap(self._stand, options.seconds, options.seed)  # noqa: E731
                yield self._row(FLAPPING, shake)
        book.begin()
        self._verify()
        yield Row("the end", 0, 0, book.wrong, book.errors, 0.0, 0.0, self._missing(GIVES_UP_AFTER))

    @contextmanager
    def _loaded(self) -> Iterator[None]:
        count, seed = self._options.workers, self._options.seed
        works = [worker(self.book, n, seed, self.stopped.is_set) for n in range(count)]
        self._load.start(works, self.book)
        try:
            yield
        finally:
            self.stopped.set()
            stuck = self._load.join()
            print(f"{count - stuck} of {count} workers ended")

    def _lasting(self, fault: Fault) -> None:
        fault(self._stand)
        time.sleep(self._options.each)

    def _row(self, name: str, fault: Callable[[], None]) -> Row:
        book, replicas = self.book, self._load.engine._core.replicas
        book.begin()
        fault()
        self._stand.heal()
        ended = now()
        while now() - ended < GIVES_UP_AFTER:
            if len(replicas.serving) == 2 and book.has_answered(self._names, ended):
                break
            time.sleep(0.01)
        back = now() - ended
        time.sleep(1.0)
        statements, on_replicas, longest = book.statements, book.on_replicas, book.longest
        return Row(name, statements, on_replicas, book.wrong, book.errors, back, longest, 0)

    def _missing(self, seconds: float) -> int:
        """How many connections have not come back, a while after the last statement."""
        end = now() + seconds
        while True:
            stats = self._load.engine.stats()
            missing = sum(
                stats[side]["pool_size"] - stats[side]["pool_available"]
                for side in ("endpoint", "replicas")
            )
            if not missing or now() > end:
                return int(missing)
            time.sleep(0.05)

    def _verify(self) -> None:
        """Compare what was written with what was acknowledged."""
        book = self.book
        with psycopg.connect(self._stand.dsn, autocommit=True, prepare_threshold=None) as admin:
            there = Counter(admin.execute("SELECT worker, number FROM written").fetchall())
        for write, count in there.items():
            book.check(count == 1, f"{write} is there {count} times")
            book.check(write not in book.failed, f"{write} failed and is there")
        for write in book.acknowledged:
            book.check(write in there, f"{write} was acknowledged and is not there")
        kept = sum(write in there for write in book.unknown)
        print(
            f"writes: {len(book.acknowledged)} acknowledged, {len(book.failed)} not applied, "
            f"{len(book.unknown)} unknown of which {kept} are there, {there.total()} in the table"
        )


HEADER = f"{'fault':22}{'stmts':>8}{'replica':>9}{'wrong':>7}{'back':>7}{'longest':>9}{'lent':>6}"


def show(row: Row) -> None:
    errors = ", ".join(f"{n} {name}" for name, n in row.errors.most_common()) or "-"
    share = row.on_replicas / row.statements if row.statements else 0.0
    print(
        f"{row.fault:22}{row.statements:8}{share:9.0%}{len(row.wrong):7}{row.back:7.2f}"
        f"{row.longest:9.2f}{row.lent:6}  {errors}",
        flush=True,
    )
    for what in row.wrong[:5]:
        print(f"    wrong: {what}")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--endpoint", choices=("embedded", "container", "local"), default="local")
    parser.add_argument("--colour", choices=("threads", "asyncio"), default="threads")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--each", type=float, default=5.0)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    logging.disable()
    # The proxies are threads of this process, too, and each answer waits for them several times.
    sys.setswitchinterval(0.0005)
    make = local() if options.endpoint == "local" else postgres(options.endpoint)
    is_well = True
    with make as stand:
        stand.heal()
        load = Threads(stand) if options.colour == "threads" else Tasks(stand)
        run = Run(stand, load, options)
        print(f"{options.colour}, {options.workers} workers, faults of {options.each:g} s\n")
        print(f"{HEADER}  errors")
        for row in run.all_rows():
            show(row)
            is_well &= not row.wrong and not row.lent and row.back <= RECOVERS_WITHIN
        load.close()
    print("\nas it should be" if is_well else "\nNOT as it should be")
    return 0 if is_well else 1


if __name__ == "__main__":
    # Threads that wait for a server that is gone must not keep the program.
    code = main()
    sys.stdout.flush()
    os._exit(code)
