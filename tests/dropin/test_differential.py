"""The same programs on plain psycopg and on the drop-in: nothing that they can see differs.

PGMD_PROGRAMS raises how many there are, and PGMD_PROGRAM_SEED takes others than the usual ones.
"""

from __future__ import annotations

import asyncio
import gc
import os
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from typing import Any

import psycopg as plain
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from psycopg import sql

import pgmd
from pgmd import psycopg as ours

from ..fixtures.stands import Stand
from .programs import (
    CLEAR,
    EXTRA,
    ITEMS,
    LOCAL_SCHEMA,
    LOCAL_SEED,
    LOCAL_STATE,
    SCHEMA,
    SEED,
    STATE,
    Options,
    Program,
    Query,
    Step,
    known,
    plain_reads,
    programs,
)
from .running import Names, Trace, entered, finished, maybe, run

WANTED = int(os.environ.get("PGMD_PROGRAMS", "200"))
SEED_OF_ALL = os.environ.get("PGMD_PROGRAM_SEED")

pytestmark = [
    # Programs drop cursors on the server without closing them, with psycopg as well.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    # So many programs, however long a machine takes: this is for one that hangs.
    pytest.mark.timeout(300 + 5 * WANTED),
]


@dataclass(frozen=True)
class Arm:
    """How the drop-in is used, and for which part of the programs."""

    name: str
    share: float
    route_reads: str = ""
    is_async: bool = False
    autocommit: tuple[bool, ...] = (True, True, False)
    least_routed: float = 0.0


ARMS = (
    Arm("fixes", 0.25),
    Arm("autocommit", 0.35, "autocommit", least_routed=0.2),
    Arm("lazy-begin", 0.2, "lazy-begin", autocommit=(False,), least_routed=0.2),
    Arm("async", 0.2, "autocommit", is_async=True, least_routed=0.2),
)


@dataclass
class Counts:
    programs: int = 0
    steps: int = 0
    reads: int = 0
    routed: int = 0

    def add(self, trace: Trace) -> None:
        self.programs += 1
        self.steps += len(trace.seen)
        self.reads += trace.reads
        self.routed += trace.routed

    def __str__(self) -> str:
        share = self.routed / max(self.reads, 1)
        return (
            f"{self.programs} programs, {self.steps} steps, {self.reads} reads, "
            f"{self.routed} routed ({share:.0%})"
        )


class Bench:
    """One database, and what is needed to run programs on it as on a new one."""

    def __init__(self, dsn: str, arm: Arm, stack: ExitStack) -> None:
        self.dsn, self.arm = dsn, arm
        self.admin = stack.enter_context(plain.connect(dsn, autocommit=True))
        self.admin.execute(SCHEMA, prepare=False)
        name = sql.Identifier(self.admin.info.dbname)
        self.admin.execute(sql.SQL("ALTER DATABASE {} SET lock_timeout = '10s'").format(name))
        self.counts = Counts()
        self.finish: Any = finished
        if arm.is_async:
            self.finish = stack.enter_context(asyncio.Runner()).run
        self.engine = self.new_engine(stack) if arm.route_reads else None

    def new_engine(self, stack: ExitStack) -> Any:
        kind = pgmd.AsyncEngine if self.arm.is_async else pgmd.Engine
        engine = kind(pgmd.Endpoint(self.dsn), [pgmd.Replica(postgres=self.dsn)])
        stack.callback(lambda: self.finish(maybe(engine.close())))
        self.finish(maybe(engine.open()))
        self.finish(maybe(engine.wait()))
        return engine

    # --------------------------------------------------------------------------------- the database

    def reset(self) -> None:
        names = self.extra()
        self.admin.execute(f"{CLEAR};{ITEMS};{SEED}", prepare=False)
        if names:
            self.finish(self.drop(names))

    async def drop(self, names: list[str]) -> None:
        """Through the drop-in: an engine is to hear of it."""
        connection = await maybe(self.connect_ours(autocommit=True))
        async with entered(connection):
            await maybe(connection.execute(f"DROP TABLE {', '.join(names)}"))

    def extra(self) -> list[str]:
        return [name for (name,) in self.admin.execute(FIND_EXTRA, [list(EXTRA)])]

    def state(self) -> list[str]:
        """What a program has left behind."""
        texts = [*STATE, *(f"TABLE {name} ORDER BY 1" for name in self.extra())]
        return [repr(self.admin.execute(text).fetchall()) for text in texts]

    # ------------------------------------------------------------------------------------ both runs

    def connect_plain(self, **keywords: Any) -> Any:
        return Names(plain, self.arm.is_async).connection_class().connect(self.dsn, **keywords)

    def connect_ours(self, **keywords: Any) -> Any:
        if self.engine is not None:
            keywords |= {"engine": self.engine, "route_reads": self.arm.route_reads}
        return Names(ours, self.arm.is_async).connection_class().connect(self.dsn, **keywords)

    def trace(self, program: Program, module: Any, connect: Any) -> Trace:
        self.reset()
        names = Names(module, self.arm.is_async)
        with_status = self.arm.route_reads != "lazy-begin"
        trace: Trace = self.finish(run(program, names, connect, with_status=with_status))
        trace.seen += [("left behind", text) for text in self.state()]
        return trace

    def difference(self, program: Program) -> str:
        """What a program sees differently on the drop-in, or nothing."""
        if self.arm.route_reads == "lazy-begin":
            program = Program(program.options, settled(program.steps))
        expected = self.trace(program, plain, self.connect_plain)
        found = self.trace(program, ours, self.connect_ours)
        self.counts.add(found)
        return first_difference(expected, found)


def first_mended(expected: Trace, found: Trace) -> int | None:
    """The first step that works only on the drop-in."""
    for n, (theirs, mine) in enumerate(zip(expected.seen, found.seen, strict=False)):
        if str(theirs[1]).startswith("raised") and not str(mine[1]).startswith("raised"):
            return n
    return None


def first_difference(expected: Trace, found: Trace) -> str:
    for theirs, mine in zip_longest(expected.seen, found.seen):
        if theirs != mine:
            return f"psycopg: {theirs}\n   ours: {mine}"
    return ""


class LocalBench(Bench):
    """A local endpoint, whose replicas show what was published before a program began."""

    def __init__(self, stand: Stand, arm: Arm, stack: ExitStack) -> None:
        self.stand, self.dsn, self.arm = stand, stand.dsn, arm
        self.admin = stack.enter_context(ours.connect(stand.dsn, autocommit=True))
        self.counts = Counts()
        self.finish = finished
        for text in LOCAL_SCHEMA.split(";\n"):
            self.admin.execute(text)
        self.engine = self.new_engine(stack) if arm.route_reads else None

    def new_engine(self, stack: ExitStack) -> pgmd.Engine:
        engine = pgmd.Engine(self.stand.endpoint(), self.stand.replicas(1))
        stack.enter_context(engine)
        engine.wait()
        return engine

    def reset(self) -> None:
        for name in self.extra():
            self.admin.execute(f"DROP TABLE {name}")
        for text in f"{CLEAR};{ITEMS};{LOCAL_SEED}".split(";\n"):
            self.admin.execute(text)
        if self.engine is not None:
            self.engine.publish()

    def extra(self) -> list[str]:
        return [name for (name,) in self.admin.execute(FIND_EXTRA_LOCALLY)]

    def state(self) -> list[str]:
        return [repr(self.admin.execute(text).fetchall()) for text in LOCAL_STATE]

    def difference(self, program: Program) -> str:
        """Routed against not routed; without routing, against psycopg as far as that works."""
        program = Program(program.options, without_cancel(program.steps))
        if self.engine is None:
            expected = self.trace(program, plain, self.connect_plain)
        else:
            expected = self.trace(program, ours, partial(ours.connect, self.dsn))
        found = self.trace(program, ours, self.connect_ours)
        self.counts.add(found)
        until = self.engine is None and first_mended(expected, found)
        if until is not False:
            del expected.seen[until:], found.seen[until:]
        return first_difference(expected, found)


FIND_EXTRA_LOCALLY = (
    "SELECT table_name FROM information_schema.tables WHERE table_name IN ('made', 'kept')"
)
FIND_EXTRA = (
    "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relname = ANY(%s) "
    "AND relnamespace = 'public'::regnamespace ORDER BY 1"
)
# What asks whether a transaction has begun.
ASKING = ("transaction", "pipeline", "set_autocommit", "set_read_only", "set_deferrable")


def settled(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Without what "lazy-begin" is known to change: a read begins no transaction, so it is ended
    before each step for which that matters, and there is one isolation level."""
    found: list[Step] = []
    for step in steps:
        if step.do in ASKING or is_about_transaction(step):
            found.append(Step("commit"))
        if step.do != "set_isolation_level":
            found.append(Step(step.do, step.args, settled(step.body)))
    return tuple(found)


def is_about_transaction(step: Step) -> bool:
    return any(
        isinstance(value, Query) and value.text.startswith("SET TRANSACTION") for value in step.args
    )


def without_cancel(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """libpq waits for the server with the interpreter's lock held, and this server is in the same
    process."""
    return tuple(
        Step(step.do, step.args, without_cancel(step.body))
        for step in steps
        if step.do not in ("cancel", "cancelled")
    )


def check_all(bench: Bench, wanted: int, made: Any = None) -> None:
    many = settings(
        max_examples=wanted,
        derandomize=SEED_OF_ALL is None,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )

    def compare(program: Program) -> None:
        difference = bench.difference(program)
        assert not difference, f"{program}\n{difference}"

    for autocommit in sorted(set(bench.arm.autocommit)):
        for program in known(Options(autocommit)):
            compare(program)

    @given(programs(bench.arm.autocommit) if made is None else made)
    def check(program: Program) -> None:
        compare(program)

    check = many(check)
    if SEED_OF_ALL is not None:
        check = seed(int(SEED_OF_ALL))(check)
    try:
        check()
    finally:
        # Their warnings are for here.
        gc.collect()


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.name)
def test_a_program_sees_the_same_on_postgres(dsn: str, arm: Arm) -> None:
    with ExitStack() as stack:
        bench = Bench(dsn, arm, stack)
        check_all(bench, round(WANTED * arm.share))
    print(f"{arm.name}: {bench.counts}")
    assert bench.counts.routed >= arm.least_routed * bench.counts.reads


@pytest.mark.only("local", reason="the other dialect has the test above")
def test_a_program_sees_the_same_from_replicas_of_a_local_endpoint(stand: Stand) -> None:
    with ExitStack() as stack:
        bench = LocalBench(stand, Arm("routed", 0.1, "autocommit"), stack)
        check_all(bench, round(WANTED * bench.arm.share))
    print(f"local, routed: {bench.counts}")
    assert bench.counts.routed >= 0.2 * bench.counts.reads


@pytest.mark.only("local", reason="the other dialect has the test above")
def test_what_works_on_a_local_endpoint_is_left_as_it_is(stand: Stand) -> None:
    with ExitStack() as stack:
        bench = LocalBench(stand, Arm("fixes", 0.1), stack)
        check_all(bench, round(WANTED * bench.arm.share), plain_reads())
    print(f"local, fixes: {bench.counts}")
