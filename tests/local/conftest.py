"""Endpoints that a module's tests share, and what belongs to one test in them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from pgmd.local import LocalEndpoint, Quirks

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def local() -> Iterator[LocalEndpoint]:
    """With MotherDuck's ways, as by default."""
    with LocalEndpoint() as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def plain() -> Iterator[LocalEndpoint]:
    """Without any of MotherDuck's ways."""
    with LocalEndpoint(quirks=Quirks.none()) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def locked() -> Iterator[LocalEndpoint]:
    """Wants a password."""
    with LocalEndpoint(auth="scram", password="corréct horse") as endpoint:
        yield endpoint


@pytest.fixture
def table() -> str:
    """A name that no other test uses."""
    return f"t{next(_numbers)}"
