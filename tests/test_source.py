"""Lint and types, as tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_check() -> None:
    run("ruff", "check", ".")


def test_ruff_format() -> None:
    run("ruff", "format", "--check", ".")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_mypy_strict() -> None:
    run("mypy")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_public_names_are_typed() -> None:
    run("mypy", "--strict", "tests/typing")
