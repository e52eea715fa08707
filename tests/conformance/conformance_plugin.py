"""A pytest plugin for psycopg's own suites: swaps a drop-in's classes in, writes outcomes down.

`run.py` loads it into a pytest that runs in a checkout of psycopg; see there.
"""

from __future__ import annotations

import functools
import importlib
import json
import pkgutil
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import FrameType, ModuleType
from typing import IO, Any
from weakref import WeakSet

import psycopg
import psycopg_pool
import pytest

TARGETS = (psycopg, psycopg_pool)
LEFT_ALONE = ("demo", "testing", "_tools", "__main__")
OBJECTS = """
SELECT 'TABLE', oid::regclass::text FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
UNION ALL
SELECT 'TYPE', oid::regtype::text FROM pg_type
WHERE typnamespace = 'public'::regnamespace AND typtype IN ('c', 'e', 'r') AND typrelid NOT IN (
    SELECT oid FROM pg_class WHERE relkind <> 'c')
UNION ALL
SELECT 'FUNCTION', oid::regprocedure::text FROM pg_proc AS p
WHERE pronamespace = 'public'::regnamespace AND prokind = 'f' AND NOT EXISTS (
    SELECT FROM pg_depend WHERE objid = p.oid AND deptype IN ('e', 'i'))
"""
original_connect = psycopg.connect


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance")
    group.addoption("--swap-in", metavar="PACKAGE", help="its psycopg and psycopg_pool are tested")
    group.addoption("--outcomes", metavar="FILE", help="a JSON line for each test goes there")
    group.addoption("--test-seconds", type=float, default=90, help="how long a test may take")
    group.addoption("--autocommit", action="store_true", help="conn and aconn are in autocommit")
    group.addoption("--replicas", type=int, default=0, help="attach an engine with that many")


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Swap before any module of the suite is imported."""
    options = early_config.known_args_namespace
    if options.swap_in:
        swap_in(options.swap_in)


def swap_in(package: str) -> None:
    """Put the classes of *package* in the place of psycopg's and psycopg_pool's."""
    drop_ins = [importlib.import_module(f"{package}.{target.__name__}") for target in TARGETS]
    _isolate(package)
    for target, drop_in in zip(TARGETS, drop_ins, strict=True):
        for name in target.__all__:
            setattr(target, name, getattr(drop_in, name))
    _count_statements(psycopg.Connection)
    _count_statements(psycopg.AsyncConnection)


def _isolate(package: str) -> None:
    """Let the modules of *package* keep the original psycopg: they make connections with it."""
    for found in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if found.name not in LEFT_ALONE:
            _import_all(f"{package}.{found.name}")
    originals = {id(target): _copy(target) for target in TARGETS}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == package:
            for key, value in list(vars(module).items()):
                if id(value) in originals:
                    setattr(module, key, originals[id(value)])


def _import_all(name: str) -> None:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError:
        return  # for a package that is not installed
    for child in pkgutil.iter_modules(getattr(module, "__path__", [])):
        _import_all(f"{name}.{child.name}")


def _copy(module: ModuleType) -> ModuleType:
    copy = ModuleType(module.__name__)
    vars(copy).update(vars(module))
    return copy


counts = Counter[str]()


def _count_statements(cls: Any) -> None:
    """Add up where the statements of each connection ran, when it is closed."""
    close = cls.close

    @functools.wraps(close)
    def close_and_count(self: Any) -> Any:
        routing = getattr(self, "pgmd", None)
        if routing is not None and self not in counted:
            counted.add(self)
            for where, count in routing.stats.items():
                counts[where.partition(":")[0]] += count
        return close(self)

    counted = WeakSet[Any]()
    cls.close = close_and_count


def pytest_configure(config: pytest.Config) -> None:
    if config.option.autocommit:
        config.pluginmanager.register(Autocommit(), "conformance-autocommit")
    if config.option.outcomes:
        config.pluginmanager.register(Outcomes(config.option), "conformance-out")
    if config.option.replicas:
        config.pluginmanager.register(Attached(config), "conformance-engine")


class Autocommit:
    """`conn` and `aconn` of the suite, in autocommit mode.

    Registered again when the suite's own fixtures are known: the last one of a name wins.
    """

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        session.config.pluginmanager.register(AutocommitFixtures(), "conformance-fixtures")


class AutocommitFixtures:
    @pytest.fixture
    def dropped(self, session_dsn: str) -> Iterator[None]:
        """Nothing is rolled back: drop what a test leaves, for the next one uses the same names."""
        with original_connect(session_dsn, autocommit=True) as conn:
            before = set(conn.execute(OBJECTS))
            yield
            conn.execute("SET lock_timeout = '2s'")
            for kind, name in conn.execute(OBJECTS).fetchall():
                if (kind, name) not in before:
                    conn.execute(f"DROP {kind} IF EXISTS {name} CASCADE")

    @pytest.fixture
    def conn(self, dropped: None, conn: Any) -> Any:
        conn.autocommit = True
        return conn

    @pytest.fixture
    async def aconn(self, dropped: None, aconn: Any) -> Any:
        await aconn.set_autocommit(True)
        return aconn


class Attached:
    """An engine with replicas for the session: one for threads, one for the loop of the tests.

    The loop of anyio's runner is kept for the whole session, for an engine belongs to one.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._stack = ExitStack()

    def pytest_sessionstart(self) -> None:
        from anyio.pytest_plugin import get_runner

        import pgmd

        dsn, replicas = self._config.option.test_dsn, self._config.option.replicas
        drop_in = importlib.import_module(f"{self._config.option.swap_in}.psycopg")
        engine = self._stack.enter_context(pgmd.connect(dsn, replicas=replicas))
        runner = self._stack.enter_context(get_runner("asyncio", {}))
        connect_async = functools.partial(pgmd.connect_async, dsn)
        engine_of_loop = runner.run_fixture(connect_async, {"replicas": replicas})
        self._stack.callback(runner.run_fixture, engine_of_loop.close, {})
        drop_in.attach(engine)
        drop_in.attach(engine_of_loop)

    def pytest_sessionfinish(self) -> None:
        self._stack.close()


class Outcomes:
    """Writes `[id, outcome, message]` for each test as it ends, and `["", "end", counts]` last."""

    def __init__(self, options: Any) -> None:
        self._path = Path(options.outcomes)
        self._seconds = options.test_seconds
        self._file: IO[str]
        self._outcome, self._message = "missing", ""

    def pytest_sessionstart(self) -> None:
        self._file = self._path.open("w", encoding="utf-8", errors="backslashreplace")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Iterator[None]:
        previous = signal.signal(signal.SIGALRM, _too_long)
        # Again and again: what comes after a test may hang, too.
        signal.setitimer(signal.ITIMER_REAL, self._seconds, self._seconds)
        try:
            return (yield)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)

    def pytest_runtest_logstart(self) -> None:
        self._outcome, self._message = "passed", ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.passed or self._outcome == "failed":
            return
        self._outcome, self._message = report.outcome, _message(report)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self._write(nodeid, self._outcome, self._message)

    def pytest_sessionfinish(self) -> None:
        self._write("", "end", counts)
        self._file.close()

    def _write(self, *line: Any) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


def _too_long(signum: int, frame: FrameType | None) -> None:
    pytest.fail("it takes too long")


def _message(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2]
    crash = getattr(report.longrepr, "reprcrash", None)
    return f"{report.when}: {crash.message if crash else report.longrepr}"[:600]
