"""The layer rule: who may import whom."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "pgmd"

# Decided in plain functions: no I/O, clock, thread or driver.
PURE = ("sql", "routing", "pooling", "bundling", "profile", "sources", "parity/types")
FORBIDDEN_IN_PURE = {
    "asyncio",
    "threading",
    "logging",
    "time",
    "socket",
    "subprocess",
    "psycopg_pool",
}
# The drivers, and who may speak to them.
DUCKDB = {
    "duck", "parity/load", "parity/dump", "parity/errors", "sql/lexer",
    "local/backend", "local/conversation", "local/database", "local/server", "local/values",
}  # fmt: skip
PSYCOPG = {
    "errors", "config", "conninfo", "urls", "wire", "outcome", "query", "result", "shape", "sql/params", "parity/load",
    "parity/arrow", "parity/dump", "parity/errors", "parity/texts", "parity/types",
    "local/backend", "local/conversation", "local/copying", "local/server", "local/values",
    "_async/endpoint", "_async/engine", "_async/session", "_async/runner", "_async/blocks", "_async/stream",
    "dropin", "standin", "_async/across",
    "_async/routing", "_async/cursors", "_async/connection", "_async/attached",
    "_sync/routing", "_sync/cursors", "_sync/connection", "_sync/attached", "_async/keeper", "_async/replicas", "_sync/across", "_sync/keeper", "_sync/replicas",
    "_sync/endpoint", "_sync/engine", "_sync/session", "_sync/runner", "_sync/blocks", "_sync/stream",
}  # fmt: skip
# Each may import what stands before it, and its own package.
ORDER = [
    {"errors", "cache", "clock", "forking", "redact", "_version", "profile"},
    {"conninfo", "sql"},
    {"config"},
    {"urls", "parity", "pooling", "sources"},
    {"routing", "outcome", "query", "rows", "progress", "bundling"},
    {"result", "duck"},
    {"wire"},
    {"shape"},
    {"knowledge", "dropin", "standin"},
    {"local"},
    {"serving", "members"},
    {"runtime"},
    {"_async", "_sync"},
    {"__init__"},
    {"psycopg"},
    {"psycopg_pool", "django"},
    {"testing"},
    {"demo"},
    {"cli"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(ORDER) for name in names}
MODULES = sorted(
    str(path.relative_to(ROOT).with_suffix(""))
    for path in ROOT.rglob("*.py")
    if "_tools" not in path.parts
)


def imports(module: str) -> list[str]:
    """The absolute names that a module imports outside of type checking."""
    path = ROOT / f"{module}.py"
    package = ["pgmd", *module.split("/")[:-1]]
    found = []
    for node in _running(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            name = ".".join([*base, *([node.module] if node.module else [])])
            found += [f"{name}.{alias.name}" for alias in node.names] if not node.module else [name]
    return found


def _running(tree: ast.AST) -> list[ast.AST]:
    nodes: list[ast.AST] = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        nodes += [node, *_running(node)]
    return nodes


def top(module: str) -> str:
    return module.split("/")[0]


@pytest.mark.parametrize("module", MODULES)
def test_module_has_a_level(module: str) -> None:
    assert top(module) in LEVEL, f"{module}: say in ORDER where it stands"


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down_only(module: str) -> None:
    for name in imports(module):
        if name.startswith("pgmd."):
            other = name.split(".")[1]
            same = other == top(module)
            assert same or LEVEL[other] < LEVEL[top(module)], f"{module} imports {name}"


@pytest.mark.parametrize("module", MODULES)
def test_drivers_are_spoken_to_in_few_places(module: str) -> None:
    roots = {name.split(".")[0] for name in imports(module)}
    outside = LEVEL[top(module)] > LEVEL["_async"]
    assert "duckdb" not in roots or module in DUCKDB
    assert "psycopg" not in roots or module in PSYCOPG or outside


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith(PURE)])
def test_pure_modules_stay_pure(module: str) -> None:
    roots = {name.split(".")[0] for name in imports(module)}
    assert not roots & FORBIDDEN_IN_PURE


def test_the_colours_never_meet() -> None:
    for module in MODULES:
        if top(module) in ("_async", "_sync"):
            other = "pgmd._sync" if top(module) == "_async" else "pgmd._async"
            assert not any(name.startswith(other) for name in imports(module)), module


def test_only_clock_reads_the_clock() -> None:
    readers = [m for m in MODULES if "time" in {n.split(".")[0] for n in imports(m)}]
    # A cancelling thread sleeps between two attempts; demo and cli measure.
    allowed = {"clock", "_async/runner", "_sync/runner"}
    assert {m for m in readers if LEVEL[top(m)] <= LEVEL["__init__"]} <= allowed
