"""What import-linter cannot say of the layers: how many modules speak to a driver."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1] / "pgmd"
DRIVERS = {"duckdb", "psycopg", "psycopg_pool"}
# What opens something, runs something or waits for a server; errors, types, adapters and
# enumerations of a driver are words that anybody may use.
SPEAKING = re.compile(
    r"connect|tokenize|PQGen\w*|generators|waiting"
    r"|\w*(Connection|Cursor|Pipeline|Transaction|Pool)"
)
# They use the drivers as any program does.
DOORS = {"psycopg", "psycopg_pool", "django", "testing", "demo", "cli"}
MOST = 25


def named(tree: ast.AST) -> Iterator[str]:
    """The names of a driver that a module imports or uses as an attribute of one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] in DRIVERS:
            yield from (alias.name for alias in node.names if not node.level)
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) in DRIVERS:
            yield node.attr


def speaks_to_a_driver(file: Path) -> bool:
    return any(map(SPEAKING.fullmatch, named(ast.parse(file.read_text()))))


def test_few_modules_speak_to_a_driver() -> None:
    by_hand = {
        file: file.relative_to(ROOT)
        for file in ROOT.rglob("*.py")
        if file.relative_to(ROOT).parts[0] not in {*DOORS, "_sync", "_tools"}
    }
    speakers = sorted(str(name) for file, name in by_hand.items() if speaks_to_a_driver(file))
    assert "replicas/instance.py" in speakers
    assert "_async/sides/pool.py" in speakers
    assert len(speakers) <= MOST, f"{len(speakers)} modules speak to a driver: {speakers}"
