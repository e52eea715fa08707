"""A forked child must not use its parent's handles, and must not disturb them either."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import traceback
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

import pgmd

from .fixtures.stands import local_stand

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

ROOT = Path(__file__).parents[1]
# A child that hangs is killed after so many seconds.
PATIENCE = 15


def forked(work: Callable[[], object]) -> str:
    """Do *work* in a child; return what went wrong there."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # Forking a process with threads is what is tested.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os.close(reading)
        os.write(writing, _told(work).encode()[-4000:])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return told if status == 0 else f"ended by {status} {told}"


def _told(work: Callable[[], object]) -> str:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(PATIENCE)
    try:
        work()
    except BaseException:
        return traceback.format_exc()
    return ""


def refused(use: Callable[[], object]) -> None:
    """Raise unless *use* is refused because of the fork."""
    with pytest.raises(pgmd.UsageError, match="fork"):
        use()


@pytest.fixture
def shared(dsn: str) -> Iterator[pgmd.Engine]:
    """An engine that a fork finds open, with a table `t` that holds 1."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS a")
    with pgmd.connect(dsn, replicas=1) as engine:
        yield engine


def _answers(session: pgmd.Session[Any]) -> None:
    for view in (session, session.endpoint, session.replica):
        assert view.execute("SELECT a FROM t").fetchall() == [(1,)]


USES: dict[str, Callable[[pgmd.Engine, pgmd.Session[Any]], object]] = {
    "session": lambda engine, s: engine.session(),
    "publish": lambda engine, s: engine.publish(),
    "execute": lambda engine, s: s.execute("SELECT a FROM t"),
    "on the endpoint": lambda engine, s: s.endpoint.execute("SELECT a FROM t"),
    "on a replica": lambda engine, s: s.replica.execute("SELECT a FROM t"),
    "explain": lambda engine, s: s.explain("SELECT a FROM t"),
    "map": lambda engine, s: list(s.map("SELECT a FROM t WHERE a = %s", [[1], [2]])),
    "gather": lambda engine, s: s.gather([pgmd.Query("SELECT a FROM t")]),
    "stream": lambda engine, s: s.stream("SELECT a FROM t").__enter__(),
    "transaction": lambda engine, s: s.transaction().__enter__(),
    "snapshot": lambda engine, s: s.snapshot().__enter__(),
    "session as a context": lambda engine, s: s.__enter__(),
}


@pytest.mark.parametrize("name", USES)
def test_a_child_is_told_to_open_an_engine_of_its_own(shared: pgmd.Engine, name: str) -> None:
    with shared.session() as s:
        _answers(s)
        assert forked(lambda: refused(lambda: USES[name](shared, s))) == ""
        _answers(s)


def test_a_child_may_look_at_an_engine(shared: pgmd.Engine) -> None:
    with shared.session() as s:
        assert forked(lambda: (shared.stats(), repr(shared), repr(s), s.bookmark)) == ""
        _answers(s)


def test_a_child_may_close_what_it_has_inherited(shared: pgmd.Engine) -> None:
    with shared.session() as s:
        _answers(s)
        before = _servers(s)

        def close() -> None:
            s.close()
            shared.close()
            shared.close()

        assert forked(close) == ""
        _answers(s)
        assert _servers(s) == before


def test_a_child_may_close_a_session_that_has_a_connection_of_its_own(shared: pgmd.Engine) -> None:
    with shared.session() as s:
        s.execute("SET work_mem = '8MB'")
        before = _servers(s)
        assert forked(s.close) == ""
        assert s.execute("SHOW work_mem").fetchall() == [("8MB",)]
        assert _servers(s) == before


def _servers(session: pgmd.Session[Any]) -> list[Any]:
    """The server's processes for this engine: other ones after a reconnect."""
    query = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'pgmd%' ORDER BY pid"
    return session.endpoint.execute(query).fetchall()


def test_a_child_that_leaves_a_block_does_not_end_it(shared: pgmd.Engine) -> None:
    with shared.session() as s:
        block = s.transaction()
        tx = block.__enter__()
        tx.execute("INSERT INTO t VALUES (2)")
        told = forked(lambda: block.__exit__(ValueError, ValueError("x"), None))
        tx.execute("INSERT INTO t VALUES (3)")
        block.__exit__(None, None, None)
        assert told == ""
        assert s.endpoint.execute("SELECT a FROM t ORDER BY a").fetchall() == [(1,), (2,), (3,)]


def test_a_child_that_leaves_a_snapshot_does_not_end_it(shared: pgmd.Engine) -> None:
    with shared.session() as s, shared.session() as writer:
        block = s.snapshot()
        snap = block.__enter__()
        assert snap.execute("SELECT a FROM t").fetchall() == [(1,)]

        def leave() -> None:
            refused(lambda: snap.execute("SELECT a FROM t"))
            with suppress(pgmd.UsageError):
                block.__exit__(ValueError, ValueError("x"), None)

        told = forked(leave)
        writer.execute("INSERT INTO t VALUES (2)")
        assert snap.execute("SELECT a FROM t").fetchall() == [(1,)]
        block.__exit__(None, None, None)
        assert told == ""


def test_a_child_in_the_middle_of_a_map_is_refused_and_can_drop_it(shared: pgmd.Engine) -> None:
    with shared.session() as s:
        results: Any = s.map("SELECT a FROM t WHERE a = %s", ([1] for _ in range(20)))
        assert next(results).fetchall() == [(1,)]

        def go_on() -> None:
            refused(lambda: list(results))
            results.close()

        told = forked(go_on)
        assert [r.fetchall() for r in results] == [[(1,)]] * 19
        assert told == ""


# ----------------------------------------------------------------------- how a child may end

# Goes through the whole of Python's exit, which a test's own process must not.
ENDS = """
import gc, json, os, signal, sys
import pgmd

def of_this_kind():
    kind, where = sys.argv[1:]
    if kind == "file":
        return pgmd.Engine(replicas=[pgmd.Replica(file=where)])
    if kind == "local":
        return pgmd.connect("local:" + where)
    return pgmd.connect(where, replicas=1, replica_mode="live" if kind == "live" else "snapshot")

def look():
    seen = [s.execute("SELECT a FROM t", route="replica").fetchall()]
    if engine._core.endpoint is not None:
        seen.append(s.endpoint.execute("SELECT a FROM t").fetchall())
        engine.publish()
    return seen

def drop():
    global engine, s
    s.close()
    del engine, s
    gc.collect()

def fail():
    raise RuntimeError("on purpose")

ways = {
    "os._exit": lambda: os._exit(0),
    "sys.exit": lambda: sys.exit(0),
    "close, os._exit": lambda: (engine.close(), os._exit(0)),
    "close, sys.exit": lambda: (engine.close(), sys.exit(0)),
    "drop, os._exit": lambda: (drop(), os._exit(0)),
    "drop, sys.exit": lambda: (drop(), sys.exit(0)),
    "fail": fail,
}
engine = of_this_kind()
engine.open()
s = engine.session()
look()
seen = {}
for name, end in ways.items():
    child = os.fork()
    if child == 0:
        signal.alarm(15)
        sys.stderr = open(os.devnull, "w")
        end()
        os._exit(99)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        seen[name] = [status, *look()]
    except Exception as error:
        seen[name] = [status, repr(error)]
engine.close()
print(json.dumps(seen))
"""


@pytest.mark.parametrize("kind", ["file", "local", "live", "copy"])
def test_a_child_may_end_in_any_way(kind: str, tmp_path: Path, request: Any) -> None:
    if kind in ("live", "copy"):
        where = request.getfixturevalue("dsn")
        with psycopg.connect(where, autocommit=True) as connection:
            connection.execute("CREATE TABLE t AS SELECT 1 AS a")
    else:
        where = str(tmp_path / "app.duckdb")
        with local_stand(tmp_path) as stand, psycopg.connect(stand.dsn, autocommit=True) as c:
            c.execute("CREATE TABLE t AS SELECT 1 AS a")
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ENDS, kind, where],
        cwd=ROOT, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    rows = [[[1]]] * (1 if kind == "file" else 2)
    seen = json.loads(ended.stdout)
    assert seen.pop("fail") == [1, *rows]
    assert seen == {name: [0, *rows] for name in seen}
    assert len(seen) == 6


# --------------------------------------------------------------------- an engine in each process


def read_in_a_process(dsn: str) -> list[list[Any]]:
    """What an engine of this process' own reads on both sides."""
    with pgmd.connect(dsn, replicas=1) as engine, engine.session() as s:
        return [view.execute("SELECT a FROM t").fetchall() for view in (s.replica, s.endpoint)]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_worker_processes_have_engines_of_their_own(
    shared: pgmd.Engine, dsn: str, method: str
) -> None:
    context = multiprocessing.get_context(method)
    with warnings.catch_warnings(), shared.session() as s:
        warnings.simplefilter("ignore", DeprecationWarning)
        _answers(s)
        with ProcessPoolExecutor(2, mp_context=context) as workers:
            found = list(workers.map(read_in_a_process, [dsn] * 4, timeout=50))
        assert found == [[[(1,)], [(1,)]]] * 4
        _answers(s)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_process_has_an_engine_of_its_own(shared: pgmd.Engine, dsn: str, method: str) -> None:
    context = multiprocessing.get_context(method)
    with warnings.catch_warnings(), shared.session() as s:
        warnings.simplefilter("ignore", DeprecationWarning)
        _answers(s)
        process = context.Process(target=read_in_a_process, args=(dsn,))  # type: ignore[attr-defined]
        process.start()
        process.join(50)
        assert process.exitcode == 0
        process.close()
        _answers(s)


# ----------------------------------------------------------------------------------- gunicorn

APP = """
import json, os
import pgmd

dsn = os.environ["APP_DSN"]
engine = pgmd.Engine(pgmd.Endpoint(dsn), [pgmd.Replica(postgres=dsn)])
if os.environ["APP_OPENS"] == "before the fork":
    engine.open()

def application(environ, start_response):
    with engine.session() as s:
        results = [view.execute("SELECT a FROM t") for view in (s.replica, s.endpoint)]
    body = {
        "pid": os.getpid(),
        "rows": [r.fetchall() for r in results],
        "routes": [r.decision.route.value for r in results],
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(body).encode()]
"""

CONFIG = """
import os

def post_fork(server, worker):
    if os.environ["APP_OPENS"] == "after the fork":
        from app import engine
        engine.open()

def worker_exit(server, worker):
    from app import engine
    engine.close()
"""


@contextmanager
def gunicorn(folder: Path, port: int, dsn: str, opens: str) -> Iterator[Path]:
    """Two preloaded workers on *port*; yield the file of their log."""
    (folder / "app.py").write_text(APP)
    (folder / "gunicorn.conf.py").write_text(CONFIG)
    log = folder / "log.txt"
    command = [
        sys.executable, "-W", "ignore", "-m", "gunicorn", "--preload", "--workers=2",
        f"--bind=127.0.0.1:{port}", "--timeout=20", "--graceful-timeout=5", "app",
    ]  # fmt: skip
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "APP_DSN": dsn, "APP_OPENS": opens}
    with log.open("w") as out:
        master = subprocess.Popen(command, cwd=folder, env=environ, stdout=out, stderr=out)
        try:
            yield log
        finally:
            master.terminate()
            status = master.wait(20)
    assert status == 0, log.read_text()


def _get(port: int, seconds: float = 20) -> tuple[int, Any]:
    """Ask until somebody listens."""
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=seconds) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except urllib.error.URLError:
            assert time.monotonic() < end, "nobody listens"
            time.sleep(0.02)


def _table(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS a")


def test_gunicorn_workers_that_open_the_engine_themselves(
    tmp_path: Path, dsn: str, unused_port: int
) -> None:
    _table(dsn)
    with gunicorn(tmp_path, unused_port, dsn, "after the fork") as log:
        served = [_get(unused_port) for _ in range(20)]
    for status, body in served:
        assert status == 200, log.read_text()
        assert body["rows"] == [[[1]], [[1]]]
        assert body["routes"] == ["replica", "endpoint"]
    assert "Traceback" not in log.read_text()
    with psycopg.connect(dsn) as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'pgmd%'"
        assert connection.execute(query).fetchone() == (0,)


def test_gunicorn_workers_say_so_when_the_engine_was_opened_before_they_were_forked(
    tmp_path: Path, dsn: str, unused_port: int
) -> None:
    _table(dsn)
    with gunicorn(tmp_path, unused_port, dsn, "before the fork") as log:
        served = [_get(unused_port) for _ in range(3)]
        told = log.read_text()
    assert [status for status, _ in served] == [500] * 3
    assert "opened before a fork" in told
