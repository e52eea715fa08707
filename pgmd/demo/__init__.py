"""`pgmd demo`: the flights of 2013, 200 dashboard queries, and the same answers on both routes."""

from __future__ import annotations

from .data import DemoError
from .run import Options, run_demo

__all__ = ["DemoError", "Options", "run_demo"]
