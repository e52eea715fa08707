"""Fixtures, and the one hook that runs coroutine tests."""

from __future__ import annotations

import asyncio
import inspect

import pytest

pytest_plugins = [
    "tests.fixtures.extensions",
    "tests.fixtures.lakes",
    "tests.fixtures.postgres",
    "tests.fixtures.stands",
]


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run `async def` tests in a fresh loop; what a loop reports as unhandled fails the test."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(_strict(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in wanted})))
    return True


async def _strict(test: object) -> None:
    unhandled: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
    await test  # type: ignore[misc]
    assert not unhandled, unhandled
