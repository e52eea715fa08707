"""What a replica of any kind takes; what each kind takes besides, it says itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from .checks import check_seconds, require
from .secret import secrets_of


@dataclass(frozen=True, kw_only=True)
class AnyReplica:
    """How a replica is called and kept, whatever it reads."""

    # How replicas with these settings are read, see `pgmd.replicas.kinds`.
    kinds: ClassVar[tuple[Any, ...]] = ()

    name: str = ""
    refresh: float | None = None
    max_size: int = 4
    threads: int | None = None
    memory_limit: str | None = None
    open_timeout: float = 30.0
    max_lifetime: float = 82_800.0
    min_size: int = 1
    max_idle: float = 600.0

    def __post_init__(self) -> None:
        require(self.max_size >= 1, f"max_size={self.max_size}: must be at least 1")
        require(
            self.threads is None or self.threads >= 1,
            f"threads={self.threads}: must be at least 1",
        )
        require(self.min_size in (0, 1), f"min_size={self.min_size}: a replica takes 0 or 1")
        check_seconds(self, "open_timeout", "max_lifetime", "max_idle")
        if self.refresh is not None:
            check_seconds(self, "refresh")

    @property
    def secrets(self) -> list[str]:
        """Every password and token in here, as far as known without calling anything."""
        return list(secrets_of(self))
