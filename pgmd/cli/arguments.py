"""How arguments are read that several commands have."""

from __future__ import annotations

import argparse


def count(text: str) -> int:
    """A number above 0."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number above 0")
    return value
