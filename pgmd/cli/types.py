"""Print each DuckDB type, the PostgreSQL type that a client sees it as, the Python class of its
values on both routes, the Python values that psycopg sends as it, and what happens at its edges."""

from __future__ import annotations

import argparse

from pgmd.parity.types import TWINS, pg_name


def add_arguments(_: argparse.ArgumentParser) -> None:
    """It has none."""


def run(_: argparse.Namespace) -> int:
    rows = [("DuckDB", "PostgreSQL", "oid", "Python", "sent for", "at the edges")]
    for twin in TWINS.values():
        names = twin.name, pg_name(twin.oid), str(twin.oid)
        rows.append((*names, twin.python, twin.sent_for, twin.edges))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
    return 0
