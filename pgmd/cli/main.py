"""The command line: `pgmd demo`, `pgmd serve`, `pgmd explain`. What can be expected to go wrong is
one line on stderr."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from queue import Empty, SimpleQueue
from typing import Any

import psycopg

import pgmd
from pgmd.demo import DemoError, Options, run_demo
from pgmd.errors import ConfigurationError
from pgmd.local import Quirks
from pgmd.local.opening import make_local
from pgmd.parity.types import TWINS, pg_name
from pgmd.routing.router import Site, decide
from pgmd.servers.profile import Dialect
from pgmd.sql import analyse

_QUIRKS_OFF = "none"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code. Raises SystemExit for arguments it cannot read."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        return int(arguments.run(arguments))
    except (DemoError, psycopg.Error) as error:
        print(f"pgmd: {_one_line(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("pgmd: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pgmd", description="One session over a Postgres endpoint and DuckDB replicas."
    )
    parser.add_argument("--version", action="version", version=f"pgmd {pgmd.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command")
    _add_demo(commands)
    _add_serve(commands)
    _add_explain(commands)
    _add_types(commands)
    return parser


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    demo = commands.add_parser(
        "demo",
        help="load the flights of 2013 and compare both routes",
        description="Load the 336,776 flights that left New York City in 2013, run dashboard "
        "queries on the endpoint and on replicas while another session writes, and compare all "
        "answers. Needs pip install 'pgmd[demo]'. The endpoint is a local one in this process, "
        "with --endpoint postgres a PostgreSQL: PGMD_ENDPOINT if that is set, else a container, "
        "else an embedded one. In its database the schema pgmd_demo is dropped, made anew and "
        "dropped at the end.",
    )
    demo.set_defaults(run=_demo)
    default = Options()
    demo.add_argument(
        "--endpoint",
        choices=("local", "postgres"),
        help="where to run (local, unless PGMD_ENDPOINT is set)",
    )
    for name, text in (
        ("replicas", "replicas to read from"),
        ("queries", "dashboard queries to run in each round"),
        ("sessions", "sessions that ask at the same time"),
    ):
        demo.add_argument(
            f"--{name}",
            type=_count,
            default=getattr(default, name),
            metavar="N",
            help=f"{text} (%(default)s)",
        )
    demo.add_argument("--rows", type=_count, metavar="N", help="load only the first N flights")
    demo.add_argument("--keep", action="store_true", help="leave the schema pgmd_demo there")


def _add_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    serve = commands.add_parser(
        "serve",
        help="serve a DuckDB file as MotherDuck's Postgres endpoint would",
        description="Serve a DuckDB file over the Postgres protocol, with MotherDuck's ways, for "
        "development and tests; never for production. Needs pip install 'pgmd[local]'. Prints the "
        "connection string and serves until it is interrupted. Passwords come from "
        "MOTHERDUCK_TOKEN and MOTHERDUCK_READ_SCALING_TOKEN, with --auth.",
    )
    serve.set_defaults(run=_serve)
    serve.add_argument("file", help="the database file, made if it does not exist")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    serve.add_argument("--port", type=int, default=5433, help="port, 0 for any (%(default)s)")
    serve.add_argument("--auth", choices=("trust", "password", "scram"), default="trust")
    serve.add_argument("--certificate", metavar="PEM", help="certificate for TLS")
    serve.add_argument("--private-key", metavar="PEM", help="its private key")
    serve.add_argument("--memory-limit", metavar="SIZE", help="DuckDB's memory_limit, such as 4GB")
    serve.add_argument("--threads", type=_count, metavar="N", help="DuckDB's threads")
    serve.add_argument(
        "--snapshot-every", type=float, default=60.0, metavar="S", help="seconds (%(default)s)"
    )
    serve.add_argument(
        "--external-access", action="store_true", help="let SQL reach files and extensions"
    )
    serve.add_argument(
        "--quirk",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="switch one of MotherDuck's ways, such as always_idle=true or latency=0.02; "
        f"{_QUIRKS_OFF} switches all of them off; see pgmd.local.Quirks",
    )


def _add_explain(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    explain = commands.add_parser(
        "explain",
        help="tell where a statement would run, and why",
        description="Tell where a statement would run: the reason, its rule, what the statement "
        "does, and what would have a replica run it. Nothing is run. Without --url it is judged "
        "by its words alone, for an engine with replicas that have seen everything; with it, by "
        "an engine that connects there, which knows the views and macros.",
    )
    explain.set_defaults(run=_explain)
    explain.add_argument("sql", help="the statement, '-' to read it from standard input")
    explain.add_argument("--url", help="where to connect, as pgmd.connect() takes it")
    explain.add_argument(
        "--dialect",
        choices=[dialect.value for dialect in Dialect],
        default=Dialect.DUCKDB.value,
        help="the endpoint's SQL, without --url (%(default)s)",
    )


def _add_types(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    types = commands.add_parser(
        "types",
        help="print the type table",
        description="Print each DuckDB type, the PostgreSQL type that a client sees it as, the "
        "Python class of its values on both routes, the Python values that psycopg sends as it, "
        "and what happens at its edges.",
    )
    types.set_defaults(run=_types)


def _count(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number above 0")
    return value


def _demo(arguments: argparse.Namespace) -> int:
    names = [field.name for field in fields(Options)]
    return run_demo(Options(**{name: getattr(arguments, name) for name in names}))


def _serve(arguments: argparse.Namespace) -> int:
    options: dict[str, Any] = {
        "host": arguments.host,
        "port": arguments.port,
        "auth": arguments.auth,
        "read_scaling_token": os.environ.get("MOTHERDUCK_READ_SCALING_TOKEN"),
        "certificate": arguments.certificate,
        "private_key": arguments.private_key,
        "memory_limit": arguments.memory_limit,
        "threads": arguments.threads,
        "snapshot_every": arguments.snapshot_every,
        "external_access": arguments.external_access,
    }
    if arguments.quirk:
        options["quirks"] = _quirks(arguments.quirk)
    local = make_local(arguments.file, os.environ.get("MOTHERDUCK_TOKEN"), options)
    with _until_told() as stopped, local:
        print(f"serving {arguments.file} for development: {local.public_dsn}", flush=True)
        _wait(stopped)
    return 0


def _types(_: argparse.Namespace) -> int:
    rows = [("DuckDB", "PostgreSQL", "oid", "Python", "sent for", "at the edges")]
    for twin in TWINS.values():
        names = twin.name, pg_name(twin.oid), str(twin.oid)
        rows.append((*names, twin.python, twin.sent_for, twin.edges))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
    return 0


def _explain(arguments: argparse.Namespace) -> int:
    sql = sys.stdin.read() if arguments.sql == "-" else arguments.sql
    if arguments.url is not None:
        with pgmd.connect(arguments.url) as engine, engine.session() as session:
            decision = session.explain(sql)
    else:
        decision = decide(analyse(sql), Site.imagined(Dialect(arguments.dialect)))
    print(decision.report())
    return 0


@contextmanager
def _until_told() -> Iterator[SimpleQueue[int]]:
    """A queue into which SIGINT and SIGTERM put their numbers inside the block."""
    # Its put() may interrupt its get(), where setting an Event may wait for ever for the lock that
    # the interrupted wait() holds.
    stopped: SimpleQueue[int] = SimpleQueue()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda number, _: stopped.put(number)) for number in numbers]
    try:
        yield stopped
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _wait(stopped: SimpleQueue[int]) -> None:
    while True:
        try:
            stopped.get(timeout=_LOOK_EVERY)
        except Empty:
            # A signal that came just before get() has not interrupted it.
            continue
        return


_LOOK_EVERY = 0.5


def _quirks(given: Sequence[str]) -> Quirks:
    try:
        return Quirks.parse(given)
    except ValueError as error:
        raise ConfigurationError(f"--quirk: {error}") from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
