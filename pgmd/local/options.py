"""What can be said of a local endpoint, checked when it is said."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from .authentication import Method, Tokens
from .database.instance import Limits
from .quirks import Quirks


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalOptions:
    """How a local endpoint is run; the parameters of `LocalEndpoint`."""

    host: str = "127.0.0.1"
    port: int = 0
    auth: Method = "trust"
    password: str | None = field(default=None, repr=False)
    read_scaling_token: str | tuple[str, ...] | None = field(default=None, repr=False)
    region: str | None = None
    certificate: str | Path | None = None
    private_key: str | Path | None = None
    ducklings: int = 2
    snapshot_every: float | None = 60.0
    pickup_every: float = 60.0
    memory_limit: str | None = None
    threads: int | None = None
    external_access: bool = False
    max_clients: int = 100
    quirks: Quirks = field(default_factory=Quirks)

    def __post_init__(self) -> None:
        for name in ("ducklings", "max_clients"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: must be at least 1")
        if self.snapshot_every is not None and self.snapshot_every <= 0:
            raise ValueError(f"snapshot_every={self.snapshot_every}: must be above 0, or None")
        if self.pickup_every < 0:
            raise ValueError(f"pickup_every={self.pickup_every}: must not be negative")
        if not 0 <= self.port < 65536:
            raise ValueError(f"port={self.port}: must be between 0 and 65535")
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("certificate and private_key go together")

    @property
    def tokens(self) -> Tokens:
        return Tokens(self.auth, self.password, self.read_scaling, self.region)

    @property
    def read_scaling(self) -> tuple[str, ...]:
        """The read-scaling tokens."""
        given = self.read_scaling_token
        return (given,) if isinstance(given, str) else given or ()

    @property
    def limits(self) -> Limits:
        return Limits(self.memory_limit, self.threads, self.external_access)
