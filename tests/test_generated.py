"""The committed synchronous half is the one its sources generate."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_generated_files_are_up_to_date() -> None:
    command = [sys.executable, "-m", "pgmd._tools.unasync", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"run `python -m pgmd._tools.unasync`\n{done.stdout}{done.stderr}"
