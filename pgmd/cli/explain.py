"""Tell where a statement would run: the reason, its rule, what the statement does, and what would
have a replica run it. Nothing is run. Without --url it is judged by its words alone, for an engine
with replicas that have seen everything; with it, by an engine that connects there, which knows the
views and macros."""

from __future__ import annotations

import argparse
import sys

import pgmd
from pgmd.routing.router import Site, decide
from pgmd.servers.profile import Dialect
from pgmd.sql import analyse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sql", help="the statement, '-' to read it from standard input")
    parser.add_argument("--url", help="where to connect, as pgmd.connect() takes it")
    parser.add_argument(
        "--dialect",
        choices=[dialect.value for dialect in Dialect],
        default=Dialect.DUCKDB.value,
        help="the endpoint's SQL, without --url (%(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    sql = sys.stdin.read() if arguments.sql == "-" else arguments.sql
    if arguments.url is not None:
        with pgmd.connect(arguments.url) as engine, engine.session() as session:
            decision = session.explain(sql)
    else:
        decision = decide(analyse(sql), Site.imagined(Dialect(arguments.dialect)))
    print(decision.report())
    return 0
