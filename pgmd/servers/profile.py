"""What an endpoint can do, from what it answered when it was first connected to."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Literal

# One round trip. PostgreSQL divides integers, DuckDB does not: whatever a server calls itself,
# this tells which dialect it speaks. Both know current_setting('TimeZone').
PROBE = "SELECT version(), 7/2, current_setting('TimeZone')"


class Dialect(enum.Enum):
    """The SQL that a server speaks."""

    POSTGRES = "postgres"
    DUCKDB = "duckdb"


@dataclass(frozen=True, slots=True)
class Profile:
    """An endpoint's abilities. `reports_transactions` is False for a server that says "idle"
    inside a transaction, as MotherDuck's did before July 2026
    (github.com/jeroenrinzema/psql-wire/pull/144)."""

    name: Literal["motherduck", "duckdb", "postgres"]
    version: str
    time_zone: str
    reports_transactions: bool = True

    @property
    def dialect(self) -> Dialect:
        return Dialect.POSTGRES if self.name == "postgres" else Dialect.DUCKDB

    @property
    def prepare_threshold(self) -> int | None:
        """psycopg sends DEALLOCATE ALL for its prepared statements, which DuckDB cannot parse."""
        return 5 if self.dialect is Dialect.POSTGRES else None

    @property
    def can_reset(self) -> bool:
        """Whether DISCARD ALL makes a connection as good as new; DuckDB cannot parse it."""
        return self.dialect is Dialect.POSTGRES

    @property
    def begin_snapshot(self) -> str:
        """What opens a read-only transaction that sees one moment."""
        if self.dialect is Dialect.POSTGRES:
            return "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        return "BEGIN TRANSACTION READ ONLY"

    def refusal(self, verb: str, words: frozenset[str]) -> str | None:
        """What a statement that begins with *verb* needs and this endpoint lacks, and what to do
        instead; None when it may be sent. Source: DuckDB's grammar, and github.com/hrl20/metabase,
        PLAN.md, for COPY."""
        if self.dialect is Dialect.POSTGRES:
            return None
        if verb == "COPY" and "stdin" in words:
            return "COPY ... FROM STDIN: INSERT many rows at once, or read a remote file in a query"
        if verb in ("BEGIN", "START") and words & {"isolation", "deferrable"}:
            return f"{verb} with an isolation level: there is one, snapshot isolation; leave it out"
        if verb == "ROLLBACK" and "to" in words:
            verb = "SAVEPOINT"
        if verb in ("DISCARD", "DEALLOCATE", "CLOSE", "RESET") and "all" in words:
            return f"{verb} ALL: close the session, and its connection is not handed on"
        return _LACKING.get(verb)

    @property
    def describes_alike(self) -> bool:
        """Whether it names and types the columns of a result as a replica does."""
        return self.dialect is Dialect.DUCKDB

    @property
    def has_savepoints(self) -> bool:
        return self.dialect is Dialect.POSTGRES

    # ----------------------------------------- what psycopg and Django expect, and DuckDB has not

    @property
    def needs_coping(self) -> bool:
        """Whether psycopg, which is written for PostgreSQL, cannot be left to itself."""
        return self.dialect is not Dialect.POSTGRES

    @property
    def has_isolation_levels(self) -> bool:
        """Whether BEGIN takes them, and DEFERRABLE; else every transaction sees one moment."""
        return self.dialect is Dialect.POSTGRES

    @property
    def has_two_phase(self) -> bool:
        return self.dialect is Dialect.POSTGRES

    @property
    def has_named_cursors(self) -> bool:
        return self.dialect is Dialect.POSTGRES

    @property
    def has_row_locks(self) -> bool:
        return self.dialect is Dialect.POSTGRES

    @property
    def has_deferred_constraints(self) -> bool:
        return self.dialect is Dialect.POSTGRES

    @property
    def infers_parameters(self) -> bool:
        """Whether it works out the type of a parameter that comes without one."""
        return self.dialect is Dialect.POSTGRES

    @property
    def counts_in_tags(self) -> bool:
        """Whether a write is counted in its command tag, and not in a row of its own."""
        return self.dialect is Dialect.POSTGRES

    @property
    def tells_sqlstates(self) -> bool:
        return self.dialect is Dialect.POSTGRES

    @property
    def fails_transactions(self) -> bool:
        """Whether a statement that fails takes the rest of its transaction with it."""
        return self.dialect is Dialect.POSTGRES

    @property
    def sends_nested_as_text(self) -> bool:
        """Whether lists and structs come in a form that psycopg takes for text."""
        return self.dialect is Dialect.DUCKDB

    @property
    def shares_settings(self) -> bool:
        """Whether SET means on a replica, which is a DuckDB, what it means here."""
        return self.dialect is Dialect.DUCKDB

    @property
    def takes_options(self) -> bool:
        """Whether libpq's `options` set TimeZone and others for a connection."""
        return self.dialect is Dialect.POSTGRES

    @property
    def escapes_in_patterns(self) -> bool:
        """Whether LIKE escapes with a backslash of itself, and ~ finds a part of a text."""
        return self.dialect is Dialect.POSTGRES

    @property
    def unnests_together(self) -> bool:
        """Whether UNNEST takes several arrays."""
        return self.dialect is Dialect.POSTGRES


_SAVEPOINT = "SAVEPOINT: use one transaction() for all of it"
_CURSOR = "cursors in SQL: execute the query itself"
_LISTEN = "LISTEN and NOTIFY: poll a table, or use a message broker"
_LACKING = {
    **dict.fromkeys(("SAVEPOINT", "RELEASE"), _SAVEPOINT),
    **dict.fromkeys(("DECLARE", "FETCH", "MOVE"), _CURSOR),
    **dict.fromkeys(("LISTEN", "UNLISTEN", "NOTIFY"), _LISTEN),
    "LOCK": "LOCK: a transaction that conflicts with another fails; try it again",
}


def recognise(row: Any, *, is_motherduck: bool, reports_transactions: bool) -> Profile:
    """The profile of a server that answered PROBE with *row*."""
    version, quotient, time_zone = row
    name: Literal["motherduck", "duckdb", "postgres"]
    name = "motherduck" if is_motherduck else "postgres" if quotient == 3 else "duckdb"
    return Profile(name, str(version), str(time_zone), reports_transactions)
