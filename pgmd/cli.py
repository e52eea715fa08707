"""The command line: `pgmd demo`. What can be expected to go wrong is one line on stderr."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import psycopg

import pgmd
from pgmd.demo import DemoError, Options, run_demo


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code. Raises SystemExit for arguments it cannot read."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help(sys.stderr)
        return 2
    try:
        return _demo(arguments)
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
    _add_demo(parser.add_subparsers(dest="command", metavar="command"))
    return parser


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    demo = commands.add_parser(
        "demo",
        help="load the flights of 2013 and compare both routes",
        description="Load the 336,776 flights that left New York City in 2013, run dashboard "
        "queries on the endpoint, on live and on snapshot replicas while another session writes, "
        "and compare all answers. Needs pip install 'pgmd[demo]'. The server is PGMD_ENDPOINT if "
        "that is set, else a container, else an embedded PostgreSQL. In its database the schema "
        "pgmd_demo is dropped, made anew and dropped at the end.",
    )
    default = Options()
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


def _count(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number above 0")
    return value


def _demo(arguments: argparse.Namespace) -> int:
    return run_demo(
        Options(
            replicas=arguments.replicas,
            queries=arguments.queries,
            sessions=arguments.sessions,
            rows=arguments.rows,
            keep=arguments.keep,
        )
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
