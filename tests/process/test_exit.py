"""A program that has used pgmd ends with its own exit code, whatever is being opened or runs then.

Each form runs in fresh processes, PGMD_TEST_EXITS of them, side by side.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

RUNS = int(os.environ.get("PGMD_TEST_EXITS", "1"))
SIDE_BY_SIDE = 6

# Opening takes some time inside DuckDB, another each time.
_HEAD = """
import asyncio, contextlib, os, random, sys, threading, time
sys.modules["pandas"] = None  # it takes longer than all the rest
import duckdb

connect = duckdb.connect

def slowly(*args, **kwargs):
    root = connect(*args, **kwargs)
    root.execute(f"SELECT sleep_ms({random.randrange(400)})").fetchall()
    return root

duckdb.connect = slowly
import pgmd
from pgmd.local import LocalEndpoint

LONG = "SELECT count(*) FROM range(1000000000000) AS r(n) WHERE n % 7 = 1"

def until(condition):
    while not condition():
        time.sleep(0.005)

def made(file):
    connect(file).execute("CREATE TABLE t AS SELECT 42 AS a").close()
    return pgmd.Replica(file=file)

def unopenable():
    # Whoever opens it waits for somebody who writes, inside the operating system.
    os.mkfifo("pipe.duckdb")
    return pgmd.Replica(file="pipe.duckdb")

def lent(engine):
    stats = engine.stats()["replicas"]
    return stats["pool_size"] - stats["pool_available"]
"""

# By name: the program, and the code with which it ends.
FORMS = {
    "closed": (
        """
with pgmd.connect("local:./a.duckdb"):
    pass
""",
        0,
    ),
    "closed with several replicas": (
        """
with pgmd.connect("local:./a.duckdb", replicas=4) as engine:
    sys.exit(3)
""",
        3,
    ),
    "asyncio, closed": (
        """
async def main():
    async with await pgmd.connect_async("local:./a.duckdb", replicas=1):
        pass
asyncio.run(main())
""",
        0,
    ),
    "asyncio, closed with several replicas": (
        """
async def main():
    async with await pgmd.connect_async("local:./a.duckdb", replicas=4):
        pass
asyncio.run(main())
""",
        0,
    ),
    "never closed": (
        """
engine = pgmd.connect("local:./a.duckdb", replicas=4)
""",
        0,
    ),
    "asyncio, never closed": (
        """
async def main():
    global engine
    engine = await pgmd.connect_async("local:./a.duckdb", replicas=4)
asyncio.run(main())
sys.exit(4)
""",
        4,
    ),
    "asyncio, a loop that is left": (
        """
async def main():
    global engine, task
    engine = pgmd.AsyncEngine(replicas=[made("a.duckdb")])
    await engine.open()
    task = asyncio.ensure_future(engine.session().execute(LONG))
    while not lent(engine):
        await asyncio.sleep(0.005)
loop = asyncio.new_event_loop()
loop.run_until_complete(main())
loop._log_destroy_pending = task._log_destroy_pending = False
""",
        0,
    ),
    "an exception ends it": (
        """
sys.excepthook = lambda *_: None
engine = pgmd.connect("local:./a.duckdb", replicas=4)
raise ValueError
""",
        1,
    ),
    "a local endpoint is left": (
        """
import psycopg
endpoint = LocalEndpoint("a.duckdb")
endpoint.start()
connections = [psycopg.connect(endpoint.dsn, autocommit=True) for _ in range(3)]
def read():
    with contextlib.suppress(psycopg.Error):
        connections[0].execute(LONG)
threading.Thread(target=read, daemon=True).start()
connections[1].execute("SELECT 1")
""",
        0,
    ),
    "a stream is left": (
        """
engine = pgmd.Engine(replicas=[made("a.duckdb")])
engine.open()
stream = engine.session().stream("SELECT * FROM range(10000000)").__enter__()
next(iter(stream))
""",
        0,
    ),
    "a thread of the program's reads on": (
        """
engine = pgmd.Engine(replicas=[made("a.duckdb")])
engine.open()
def read():
    while True:
        engine.session().execute("SELECT count(*) FROM range(10000)")
thread = threading.Thread(target=read, daemon=True)
thread.start()
until(lambda: lent(engine))
""",
        0,
    ),
    "a thread of the program's outlives the main one": (
        """
engine = pgmd.connect("local:./a.duckdb", replicas=1)
def work():
    until(lambda: not threading.main_thread().is_alive())
    with engine.session() as s:
        s.execute("CREATE TABLE t AS SELECT 42 AS a")
        code = s.endpoint.execute("SELECT a FROM t").fetchone()[0]
    print(code, flush=True)
threading.Thread(target=work).start()
""",
        0,
    ),
    "a replica hangs": (
        """
engine = pgmd.Engine(replicas=[made("a.duckdb"), unopenable()])
engine.open()
sys.exit(5)
""",
        5,
    ),
    "a replica hangs, closed": (
        """
with pgmd.Engine(replicas=[made("a.duckdb"), unopenable()]):
    sys.exit(5)
""",
        5,
    ),
    "asyncio, a replica hangs": (
        """
async def main():
    async with pgmd.AsyncEngine(replicas=[made("a.duckdb"), unopenable()]):
        sys.exit(5)
asyncio.run(main())
""",
        5,
    ),
    "a replica hangs and comes back too late": (
        """
class Last:
    # Python ends threads that come back by now.
    def __del__(self, os=os, sleep=time.sleep):
        for _ in range(50):
            try:
                os.close(os.open("pipe.duckdb", os.O_WRONLY | os.O_NONBLOCK))
            except OSError:
                pass  # nobody waits for it just now
            sleep(0.01)
sys.modules["last"] = Last()
engine = pgmd.Engine(replicas=[made("a.duckdb"), unopenable()])
engine.open()
sys.exit(6)
""",
        6,
    ),
}


def ending(program: str, folder: Path) -> tuple[int, str]:
    """The exit code of *program*, and its complaints."""
    folder.mkdir()
    command = [sys.executable, "-c", _HEAD + program]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240)
    return done.returncode, done.stderr


@pytest.mark.slow
@pytest.mark.timeout(300 + 20 * RUNS)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
@pytest.mark.parametrize("form", FORMS)
def test_a_program_ends_with_its_own_exit_code(form: str, tmp_path: Path) -> None:
    program, code = FORMS[form]
    with ThreadPoolExecutor(SIDE_BY_SIDE) as threads:
        folders = [tmp_path / str(number) for number in range(RUNS)]
        endings = list(threads.map(lambda folder: ending(program, folder), folders))
    assert [e for e in endings if e != (code, "")] == []
