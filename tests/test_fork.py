"""A forked child must not use its parent's handles."""

from __future__ import annotations

import os
import warnings

import pytest

import pgmd


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this platform")
def test_a_child_is_told_to_open_an_engine_of_its_own(dsn: str) -> None:
    with pgmd.connect(dsn, replicas=1) as engine, engine.session() as s:
        s.execute("SELECT 1 AS a")
        with warnings.catch_warnings():
            # Forking a process with threads is what is tested.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            os._exit(_refused(engine, s))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert s.execute("SELECT 2 AS a").fetchone() == (2,)


def _refused(engine: pgmd.Engine, session: pgmd.Session[tuple[object, ...]]) -> int:
    for use in (lambda: session.execute("SELECT 1 AS a"), engine.session):
        try:
            use()
        except pgmd.UsageError as error:
            if "fork" not in str(error):
                return 1
        else:
            return 2
    return 0
