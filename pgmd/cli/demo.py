"""Load the 336,776 flights that left New York City in 2013, run dashboard queries on the endpoint
and on replicas while another session writes, and compare all answers. Needs pip install
'pgmd[demo]'. The endpoint is a local one in this process, with --endpoint postgres a PostgreSQL:
PGMD_ENDPOINT if that is set, else a container, else an embedded one. In its database the schema
pgmd_demo is dropped, made anew and dropped at the end."""

from __future__ import annotations

import argparse
from dataclasses import fields

from pgmd.demo import Options, run_demo

from .arguments import count


def add_arguments(parser: argparse.ArgumentParser) -> None:
    default = Options()
    parser.add_argument(
        "--endpoint",
        choices=("local", "postgres"),
        help="where to run (local, unless PGMD_ENDPOINT is set)",
    )
    for name, text in (
        ("replicas", "replicas to read from"),
        ("queries", "dashboard queries to run in each round"),
        ("sessions", "sessions that ask at the same time"),
    ):
        parser.add_argument(
            f"--{name}",
            type=count,
            default=getattr(default, name),
            metavar="N",
            help=f"{text} (%(default)s)",
        )
    parser.add_argument("--rows", type=count, metavar="N", help="load only the first N flights")
    parser.add_argument("--keep", action="store_true", help="leave the schema pgmd_demo there")


def run(arguments: argparse.Namespace) -> int:
    names = [field.name for field in fields(Options)]
    return run_demo(Options(**{name: getattr(arguments, name) for name in names}))
