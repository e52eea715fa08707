"""The demo from start to end: start or find a server, load, measured rounds, the report."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from subprocess import SubprocessError
from typing import Literal

from psycopg.conninfo import conninfo_to_dict, make_conninfo

import pgmd
from pgmd.testing.servers import Server, find_postgres

from . import data
from .dashboard import Asked, queries
from .data import DemoError
from .progress import Progress
from .report import is_good, report
from .rounds import SIDE_BY_SIDE, Round, count_notes, run_round

_ENDPOINT = "PGMD_ENDPOINT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line may change. `rows` bounds the flights that are loaded; *endpoint* is
    the local one unless PGMD_ENDPOINT names a server."""

    endpoint: Literal["local", "postgres"] | None = None
    replicas: int = 2
    queries: int = 200
    sessions: int = 8
    rows: int | None = None
    keep: bool = False


def run_demo(options: Options) -> int:
    """Run the demo; return 0 when every answer was the same on both routes, else 1.

    Progress goes to stderr, the report to stdout. Raises `DemoError`, or psycopg's errors.
    """
    progress = Progress(sys.stderr)
    asked = queries(options.queries)
    with ExitStack() as stack:
        is_local = options.endpoint == "local" or not (options.endpoint or _ENDPOINT in os.environ)
        stage = _local_stage(stack) if is_local else _postgres_stage(stack)
        progress.say(f"endpoint: {stage.description}")
        demo = _Demo(stage, options, progress)
        demo.load()
        rounds = [demo.endpoint_only(asked), *(demo.round(act, asked) for act in stage.acts)]
        demo.clean_up()
    print(*report(rounds, asked), sep="\n")
    return 0 if is_good(rounds, asked) else 1


@dataclass(frozen=True, slots=True)
class _Act:
    """A round with replicas. Those that *lag* show new writes after a publish()."""

    name: str
    replica: pgmd.Replica
    lags: bool


@dataclass(frozen=True, slots=True)
class _Stage:
    """A database and the ways in which replicas can read it. *create* makes the tables, *drop*
    takes away what was made."""

    description: str
    conninfo: str
    acts: tuple[_Act, ...]
    create: Callable[[pgmd.Engine], None]
    drop: Callable[[pgmd.Engine], None] | None


def _local_stage(stack: ExitStack) -> _Stage:
    """A local endpoint on a file that is gone afterwards, with MotherDuck's ways."""
    try:
        from pgmd.local import LocalEndpoint
    except ImportError as error:
        raise DemoError(f"{error.name} is not installed: pip install 'pgmd[demo]'") from None
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="pgmd-demo-"))
    file = Path(folder) / "flights.duckdb"
    local = stack.enter_context(LocalEndpoint(file, snapshot_every=None))
    act = _Act("local replicas", pgmd.Replica(local=file), lags=True)
    return _Stage(
        "the local endpoint, DuckDB in this process behind the Postgres protocol",
        local.dsn,
        (act,),
        data.create_tables,
        None,
    )


def _postgres_stage(stack: ExitStack) -> _Stage:
    server = _find_server(stack)
    conninfo = _in_schema(server.dsn)
    live = pgmd.Replica(postgres=conninfo)
    copies = replace(live, mode="snapshot", tables=(*data.TABLES, data.WRITTEN))
    acts = (
        _Act("live replicas", live, lags=False),
        _Act("snapshot replicas", copies, lags=True),
    )
    return _Stage(server.description, conninfo, acts, data.create, data.drop)


def _find_server(stack: ExitStack) -> Server:
    """The server to run on, until *stack* is left."""
    if os.environ.get(_ENDPOINT, "").startswith("motherduck:"):
        raise DemoError(f"{_ENDPOINT}: the demo needs a PostgreSQL server, not motherduck://")
    try:
        return stack.enter_context(find_postgres(env=_ENDPOINT))
    except (ImportError, OSError, SubprocessError) as error:
        raise DemoError(f"no server to run on: {error}") from error


def _in_schema(dsn: str) -> str:
    """The same server, with the demo's schema as the search path."""
    given = conninfo_to_dict(dsn).get("options") or ""
    return make_conninfo(dsn, options=f"{given} -csearch_path={data.SCHEMA}".strip())


class _Demo:
    """The steps of one run, each with connections of its own."""

    def __init__(self, stage: _Stage, options: Options, progress: Progress) -> None:
        self._stage = stage
        self._options = options
        self._progress = progress

    def load(self) -> None:
        """Create the schema anew and fill it. After a failure it stays, until the next run."""
        if self._stage.drop is not None:
            self._progress.say(f"schema {data.SCHEMA}: dropped if it was there, and made anew")
        began = time.perf_counter()
        with self._engine() as engine:
            self._stage.create(engine)
            rows = data.load(engine, self._progress, self._options.rows)
        seconds = time.perf_counter() - began
        self._progress.say(f"loaded {rows:,} rows in {seconds:.1f} s, a transaction for each table")

    def endpoint_only(self, asked: Sequence[Asked]) -> Round:
        with self._engine() as engine:
            return self._round(engine, "endpoint only", asked)

    def round(self, act: _Act, asked: Sequence[Asked]) -> Round:
        callers = self._options.sessions * SIDE_BY_SIDE + 1
        began = time.perf_counter()
        with self._engine(replace(act.replica, max_size=callers)) as engine:
            seconds = time.perf_counter() - began
            self._progress.say(f"{act.name}: opened in {seconds:.1f} s")
            done = self._round(engine, act.name, asked)
            if act.lags:
                self._publish(engine, done)
        return done

    def _publish(self, engine: pgmd.Engine, done: Round) -> None:
        """Move the replicas on, and show where a session that has seen the writes reads then."""
        began = time.perf_counter()
        engine.publish()
        seconds = time.perf_counter() - began
        with engine.session(after=done.written.bookmark) as session:
            count, decision = count_notes(session, done.written.author)
        where = decision.replica or decision.route.value
        self._progress.say(
            f"publish() took {seconds:.1f} s; then {where} showed "
            f"{count} of the {done.written.rows} rows just written"
        )

    def clean_up(self) -> None:
        if self._options.keep or self._stage.drop is None:
            return
        with self._engine() as engine:
            self._stage.drop(engine)
        self._progress.say(f"schema {data.SCHEMA}: dropped")

    def _round(self, engine: pgmd.Engine, name: str, asked: Sequence[Asked]) -> Round:
        sessions = self._options.sessions
        return run_round(engine, name, asked, sessions=sessions, progress=self._progress)

    def _engine(self, replica: pgmd.Replica | None = None) -> pgmd.Engine:
        # As many connections as there are callers: the measured times hold no wait for one.
        callers = self._options.sessions * SIDE_BY_SIDE + 1
        endpoint = pgmd.Endpoint(self._stage.conninfo, min_size=callers, max_size=callers)
        engine = pgmd.Engine(endpoint, [replica] * self._options.replicas if replica else [])
        engine.open()
        self._check_replicas(engine)
        return engine

    def _check_replicas(self, engine: pgmd.Engine) -> None:
        failed = engine.stats()["replicas"]["replicas_failed"]
        if failed:
            engine.close()
            raise DemoError(
                f"{failed} of {self._options.replicas} replicas could not be opened, see above; "
                "what they need is in pip install 'pgmd[demo]'"
            )
