"""A MotherDuck database, read by a DuckDB instance of this process and a duckling behind it."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from urllib.parse import quote

from ..._version import __version__
from ...settings.checks import require
from ...sql.quoting import literal
from ..instance import Instance
from ..members import Kind, Member, Opening
from ..plans import COMMON, Plan, Terms, resources
from ..publishing import IS_READ_SCALING, refresh_statement
from .duckling import Duckling, open_duckling

# What `md:` takes for dbinstance_inactivity_ttl, see "Connection string parameters" in the
# MotherDuck documentation.
_TTL = re.compile(r"\d+(?:ms|s|m|h)")
# DuckDB's cache of instances goes by path: one number for each that this process ever opens.
_numbers = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class MotherDuck(Duckling):
    """`motherduck` is a database name, `inactivity_ttl` (such as `15m`) how long DuckDB keeps the
    instance after it was closed."""

    motherduck: str | None = None
    inactivity_ttl: str | None = None


def _check(replica: MotherDuck) -> None:
    require(
        bool(replica.token),
        "read_scaling_token: missing; set MOTHERDUCK_READ_SCALING_TOKEN "
        "or pass read_scaling_token=",
    )
    ttl = replica.inactivity_ttl
    require(
        ttl is None or _TTL.fullmatch(ttl) is not None,
        f"inactivity_ttl={ttl!r}: expected a duration such as '15m'",
    )


def path(replica: MotherDuck, number: int) -> str:
    """The `md:` path of a replica. Values are read literally by the service, so `&`, `=` and `%`
    are escaped; the token is not in it, since paths end up in error messages.

    DuckDB gives the same instance to all who open the same path, in one configuration, for as
    long as it is cached: with its *number* no path is opened twice, so a new token is heeded.
    """
    parameters = {
        "user": str(number),
        "session_name": replica.session_name,
        # Without it the catalog of every attached database is resolved at each open.
        "attach_mode": "single",
        # No local files, no extensions, no other databases.
        "saas_mode": "true",
        "access_mode": "read_only",
        # Nobody will open it again once it is closed.
        "dbinstance_inactivity_ttl": replica.inactivity_ttl or "0s",
    }
    query = "&".join(f"{k}={quote(v, safe='')}" for k, v in parameters.items() if v is not None)
    return f"md:{quote(replica.motherduck or '', safe='')}?{query}"


def plan(replica: MotherDuck, terms: Terms, token: str, number: int) -> Plan:
    """Plan how to open it with a *token*, and a *number* that no other has in this process."""
    config = {
        **COMMON,
        **resources(replica),
        "motherduck_token": token,
        "custom_user_agent": f"pgmd/{__version__}",
    }
    return Plan(
        path(replica, number),
        config,
        setup=(f"SET GLOBAL TimeZone = {literal(terms.time_zone)}",),
        lock_down=("SET lock_configuration = true",),
        refresh=refresh_statement(replica.motherduck),
        check=IS_READ_SCALING,
        probe=IS_READ_SCALING,
    )


def _open(replica: MotherDuck, opening: Opening) -> Member:
    def reach(token: str) -> Instance:
        return Instance(plan(replica, opening.terms, token, next(_numbers)), opening.redact)

    return open_duckling(KIND, replica, opening, reach)


KIND: Kind[MotherDuck] = Kind(
    said="motherduck=",
    source="motherduck",
    takes=frozenset({"token", "session_name", "inactivity_ttl"}),
    check=_check,
    open=_open,
    moves_on=True,
    refreshes=True,
    publishes_as=lambda replica: replica.motherduck,
)
MotherDuck.kinds = (KIND,)
