"""Every private name of psycopg that is used. Nothing else stands here, and they nowhere else:
tests say that each exists, and that there are no others."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import pq
from psycopg._queries import PostgresClientQuery as ClientQuery
from psycopg.abc import PQGen
from psycopg.adapt import AdaptersMap

__all__ = ["ClientQuery"]

# What our own classes define, because psycopg asks for it there.
OVERRIDDEN: dict[Any, tuple[str, ...]] = {
    psycopg.Connection: (
        "_cancel_gen",
        "_check_connection_ok",
        "_check_intrans_gen",
        "_get_tx_start_command",
        "_start_query",
    ),
    psycopg.Cursor: ("_loaders_changed", "_set_results"),
    psycopg.Transaction: (
        "_get_commit_commands",
        "_get_enter_commands",
        "_get_rollback_commands",
    ),
    pq.PGconn: ("_encoding",),
}
# What the functions below use besides.
USED: dict[Any, tuple[str, ...]] = {
    psycopg.Connection: ("_adapters", "_exec_command", "_num_transactions", "_pool"),
    psycopg.Cursor: (
        "_conn",
        "_last_query",
        "_pgconn",
        "_query",
        "_query_cls",
        "_results",
        "_rowcount",
        "_select_current_result",
        "_tx",
    ),
    psycopg.Transaction: ("_conn",),
}
# Where the oldest psycopg has it not, the first that has.
SINCE = {"_loaders_changed": (3, 3)}


# --------------------------------------------------------------------------------- a connection


def nesting(connection: Any) -> int:
    """How many transaction() blocks are open."""
    return int(connection._num_transactions)


def check_open(connection: Any) -> None:
    """Raise `OperationalError` for a connection that is closed."""
    connection._check_connection_ok()


def returns_to_pool(connection: Any) -> bool:
    """Whether close() gives it back to its pool."""
    return bool(getattr(getattr(connection, "_pool", None), "close_returns", False))


def adapt(connection: Any, adapters: AdaptersMap) -> None:
    """Have a connection start with a copy of these."""
    connection._adapters = AdaptersMap(adapters)


def command(connection: Any, text: bytes) -> PQGen[Any]:
    """Send what is no statement of the program's, and wait for the answer."""
    return connection._exec_command(text)  # type: ignore[no-any-return]


def start(connection: Any) -> PQGen[None]:
    """Begin a transaction, where one is to be begun before a statement."""
    return connection._start_query()  # type: ignore[no-any-return]


def start_command(connection: Any) -> bytes:
    """What begins a transaction of this connection."""
    return connection._get_tx_start_command()  # type: ignore[no-any-return]


# ------------------------------------------------------------------ its cursors and transactions


def belong(part: Any, connection: Any) -> None:
    """Make a cursor or transaction the *connection*'s."""
    part._conn = connection


def channel(cursor: Any) -> Any:
    """The libpq connection that a cursor sends through."""
    return cursor._pgconn


def send_through(cursor: Any, pgconn: Any) -> None:
    """Have a cursor send through this libpq connection."""
    cursor._pgconn = pgconn


def converter(cursor: Any) -> Any:
    """What makes of a query and its values what is sent."""
    return cursor._query_cls


def keep_query(cursor: Any, query: Any) -> None:
    """Have a cursor tell that it has sent this *query*."""
    cursor._query = query


def show(cursor: Any, shown: Any) -> None:
    """Have a cursor go over this answer, which is a result and the transformer for it."""
    # Else psycopg would go on with its transformer for an equal query.
    cursor._last_query = None
    cursor._results = [shown]
    cursor._tx = shown
    cursor._select_current_result(0)


def has_one_result(cursor: Any) -> bool:
    """Whether the last statement had one answer."""
    return len(cursor._results) == 1


def all_rows(cursor: Any) -> list[tuple[Any, ...]]:
    """The rows of the current answer; where fetching is at stays as it was."""
    return cursor._tx.load_rows(0, cursor.pgresult.ntuples, tuple)  # type: ignore[no-any-return]


def count_more(cursor: Any, rows: int) -> None:
    """Add to a cursor's rowcount."""
    cursor._rowcount += rows
