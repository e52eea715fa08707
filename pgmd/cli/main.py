"""The command line. What can be expected to go wrong is one line on stderr."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from pgmd._version import __version__

# Each is a module beside this one.
COMMANDS = {
    "demo": "load the flights of 2013 and compare both routes",
    "serve": "serve a DuckDB file as MotherDuck's Postgres endpoint would",
    "explain": "tell where a statement would run, and why",
    "types": "print the type table",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code. Raises SystemExit for arguments it cannot read."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help(sys.stderr)
        return 2
    return _run(arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pgmd", description="One session over a Postgres endpoint and DuckDB replicas."
    )
    parser.add_argument("--version", action="version", version=f"pgmd {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command", parser_class=_Command)
    for name, text in COMMANDS.items():
        commands.add_parser(name, help=text)
    return parser


class _Command(argparse.ArgumentParser):
    """Learns its arguments when it is chosen: what a command imports, others need not have."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        module = import_module(f".{self.prog.split()[-1]}", __package__)
        self.description = module.__doc__
        module.add_arguments(self)
        self.set_defaults(run=module.run)
        return super().parse_known_args(args, namespace)


def _run(arguments: argparse.Namespace) -> int:
    # Imported late: it takes longer than all that --version does.
    import psycopg

    try:
        return int(arguments.run(arguments))
    except psycopg.Error as error:
        print(f"pgmd: {_one_line(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("pgmd: interrupted", file=sys.stderr)
        return 130


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
