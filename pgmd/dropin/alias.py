"""`pgmd.psycopg.rows` is `psycopg.rows` itself, whatever is imported of it, and when.

Type checkers read the stubs beside, which say the same.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType


class Alias(MetaPathFinder, Loader):
    """Finds the modules below *ours* below *theirs*."""

    def __init__(self, ours: str, theirs: str) -> None:
        self._ours, self._theirs = f"{ours}.", f"{theirs}."

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - the import system gives it
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if fullname.startswith(self._ours) and find_spec(self._other(fullname)) is not None:
            return ModuleSpec(fullname, self)
        return None

    def exec_module(self, module: ModuleType) -> None:
        # What then stands there is what is imported.
        sys.modules[module.__name__] = import_module(self._other(module.__name__))

    def _other(self, name: str) -> str:
        return self._theirs + name.removeprefix(self._ours)


def install(ours: str, theirs: str) -> None:
    """Have `import` know it. Before all others: a package of theirs would find its own twice."""
    sys.meta_path.insert(0, Alias(ours, theirs))
