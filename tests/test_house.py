"""What import-linter cannot say of the layers: how many modules speak to a driver."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1] / "pgmd"
DRIVERS = {"duckdb", "psycopg", "psycopg_pool"}
# Of these only types are wanted.
TYPES = {"psycopg.abc", "psycopg.rows"}
# They use the drivers as any program does.
DOORS = {"psycopg", "psycopg_pool", "django", "testing", "demo", "cli"}
MOST = 25


def imported(tree: ast.AST) -> Iterator[str]:
    """The names of the modules that are imported when the code runs."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module)
        yield from imported(node)


def speaks_to_a_driver(file: Path) -> bool:
    names = set(imported(ast.parse(file.read_text()))) - TYPES
    return bool({name.partition(".")[0] for name in names} & DRIVERS)


def test_few_modules_speak_to_a_driver() -> None:
    by_hand = {
        file: file.relative_to(ROOT)
        for file in ROOT.rglob("*.py")
        if file.relative_to(ROOT).parts[0] not in {*DOORS, "_sync"}
    }
    speakers = sorted(str(name) for file, name in by_hand.items() if speaks_to_a_driver(file))
    assert len(speakers) <= MOST, f"{len(speakers)} modules import a driver: {speakers}"
