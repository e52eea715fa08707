"""A read-scaling endpoint, read over the Postgres wire: no DuckDB instance in this process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ...errors import ReplicaError
from ...servers.profile import Dialect
from ...settings.checks import require
from ...settings.conninfo import (
    check_tls,
    escape_option,
    is_motherduck,
    libpq_defaults,
    motherduck_tls,
    parse_conninfo,
    sealed_conninfo,
)
from ...settings.secret import Secret
from ..members import Kind, Member, Opening
from ..wire import Wire
from .duckling import Duckling, open_duckling


@dataclass(frozen=True, kw_only=True)
class OverWire(Duckling):
    """`wire` is a libpq URL or keyword string of a read-scaling endpoint, of which the token is
    the password. All connections name the same session, so that they reach one duckling."""

    wire: str | Secret | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.wire is not None:
            object.__setattr__(self, "wire", sealed_conninfo(self.wire))


def _check(replica: OverWire) -> None:
    given = parse_conninfo(replica.wire)
    check_tls(given)
    require(
        replica.token is None or not given.get("password"),
        "token: given both in the conninfo and as a setting; give it once",
    )
    for name in ("threads", "memory_limit"):
        require(getattr(replica, name) is None, f"{name}: a replica with wire= has no instance")


def options(replica: OverWire) -> dict[str, Any]:
    """The libpq keywords to connect with, without the password."""
    found = {**libpq_defaults(), **parse_conninfo(replica.wire)}
    found.pop("password", None)
    if is_motherduck(found):
        found = {**motherduck_tls(), **found}
    named = f"-c session_name={escape_option(replica.session_name or f'pgmd-{replica.name}')}"
    found["options"] = " ".join(filter(None, [found.get("options"), named]))
    return found


def database(replica: OverWire) -> str:
    """The database that is read; "" for the account's default one."""
    name = str(options(replica).get("dbname") or "")
    return "" if name == "md:" else name


def _open(replica: OverWire, opening: Opening) -> Member:
    if opening.terms.dialect is not Dialect.DUCKDB:
        raise ReplicaError("a wire= replica needs an endpoint that speaks DuckDB's SQL")

    def reach(token: str) -> Wire:
        password = token or parse_conninfo(replica.wire).get("password")
        given = {"password": password} if password else {}
        return Wire({**options(replica), **given}, database(replica), opening.redact)

    return open_duckling(KIND, replica, opening, reach)


KIND: Kind[OverWire] = Kind(
    said="wire=",
    source="wire",
    takes=frozenset({"token", "session_name"}),
    check=_check,
    open=_open,
    side="wire",
    moves_on=True,
    bundles=False,
    refreshes=True,
    publishes_as=database,
)
OverWire.kinds = (KIND,)
