"""What is done for a server that lacks something; what it lacks, its profile says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from psycopg import BaseConnection
from psycopg.types.string import StrDumper

from ..errors import NotSupportedError
from ..sql import Statement
from .profile import Profile


def send_texts(connection: BaseConnection[Any]) -> None:
    """Have a str sent as text."""
    # psycopg leaves its type open, and a parameter without a type that decides a result column is
    # "ambiguous" to MotherDuck (github.com/hrl20/metabase, FIXES.md).
    connection.adapters.register_dumper(str, StrDumper)


def check_sendable(profile: Profile, statement: Statement) -> None:
    """Raise `NotSupportedError` for what the endpoint is known to lack."""
    reason = profile.refusal(statement.why, statement.words)
    if reason is not None:
        raise NotSupportedError(f"a {profile.name} endpoint has no {reason}")


def unsupported(profile: Profile, what: str, advice: str) -> NotSupportedError:
    """What meets who asks for what the endpoint has not."""
    return NotSupportedError(f"a {profile.name} endpoint has no {what}: {advice}")


def unsupported_savepoint(profile: Profile) -> NotSupportedError:
    """What a nested transaction() meets where there is no SAVEPOINT."""
    return NotSupportedError(
        f"a nested transaction() needs SAVEPOINT, which a {profile.name} endpoint does not have; "
        "use one transaction() for all of it"
    )


def begin_command(*, read_only: bool | None) -> bytes:
    """What begins a transaction where there are no isolation levels."""
    if read_only is None:
        return b"BEGIN"
    return b"BEGIN TRANSACTION READ ONLY" if read_only else b"BEGIN TRANSACTION READ WRITE"


def miscounted(results: Iterable[Any]) -> int:
    """By how much the command tags of writes are short, where the server sends the count as a row
    and counts that: DuckDB's own result of an UPDATE is such a row."""
    return sum(
        int(result.get_value(0, 0)) - (result.command_tuples or 0)
        for result in results
        if result.ntuples == 1 and result.nfields == 1 and result.fname(0) == b"Count"
    )
