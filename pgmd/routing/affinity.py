"""Which replica a user's sessions prefer."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Protocol, TypeVar


class _Named(Protocol):
    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=_Named)


def rendezvous(user: str, replicas: Sequence[N]) -> N:
    """The replica with the highest hash for this user: adding one moves only its own share."""
    return max(replicas, key=lambda replica: _weight(user, replica.name))


def _weight(user: str, name: str) -> bytes:
    return hashlib.blake2b(f"{user}\0{name}".encode(), digest_size=8).digest()
