"""What MotherDuck's Postgres endpoint does unlike PostgreSQL, each behind a switch.

The defaults are those of production, as far as they are known; nothing here was measured against
the service itself. Delays and accidents are off: they would make tests slow or random.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Quirks:
    """Switches of the local endpoint. `Quirks()` is production, `Quirks.none()` a plain server.

    - `ambiguous_parameters`: a parameter without a type that decides the type of a result column
      is refused with `ambiguous result column types`. Source: github.com/hrl20/metabase, FIXES.md.
    - `strict_grammar`: what DuckDB cannot parse is refused: `DISCARD ALL`, `DEALLOCATE ALL`,
      `RESET ALL`, `CLOSE ALL`, `UNLISTEN *`. Off, these are accepted and do nothing but what they
      say. `SAVEPOINT` is refused either way. Source: DuckDB's parser; duckdb.org, "Statements".
    - `no_copy_from_stdin`: `COPY ... FROM STDIN` is refused. Source: github.com/hrl20/metabase,
      PLAN.md. `no_copy_to_stdout`: the same for `COPY ... TO STDOUT`, of which nothing is known.
    - `no_table_function_describe`: a statement that selects from a table function cannot be
      described before it runs, so only the simple protocol can run it. Source:
      github.com/motherduckdb/labs, motherduck-sql.ts.
    - `no_temporary_objects`: temporary tables, views and macros need a DuckDB client. Source:
      MotherDuck documentation, "Postgres endpoint".
    - `count_rows`: UPDATE, SET, DROP and COMMENT answer with a result set, a `Count` or `Success`
      column, as DuckDB does. Source: github.com/hrl20/metabase, FIXES.md, of August 2026.
    - `no_sqlstate`: every error has the code XXUUU, "uncategorised". Source: the same, and
      github.com/jeroenrinzema/psql-wire, on which the service is believed to be built.
    - `always_idle`: ReadyForQuery says "idle" inside a transaction. Off: believed to be mended in
      July 2026. Source: github.com/jeroenrinzema/psql-wire/pull/144.
    - `checks_database`: a database that does not exist refuses the connection, and without a
      database name the user's name is taken for it. Source: github.com/hrl20/metabase, FIXES.md.
    - `plaintext_hangs`: a connection without TLS is never answered; only with a certificate.
      Source: github.com/hrl20/metabase, FIXES.md.
    - `service_types`: TIMETZ arrives as TIME without its offset, elements of a text array are not
      quoted, and a list of lists has the type 17000 and DuckDB's text. Source: the same.
    - `cold_start`: seconds that the first statement takes when nobody was connected.
      `latency`: seconds added to each exchange. `reset_rate`: the share of exchanges that end
      with a connection reset, 0 to 1. All three have been seen in production.
    """

    ambiguous_parameters: bool = True
    strict_grammar: bool = True
    no_copy_from_stdin: bool = True
    no_copy_to_stdout: bool = False
    no_table_function_describe: bool = True
    no_temporary_objects: bool = True
    count_rows: bool = True
    no_sqlstate: bool = True
    always_idle: bool = False
    checks_database: bool = True
    plaintext_hangs: bool = True
    service_types: bool = True
    cold_start: float = 0.0
    latency: float = 0.0
    reset_rate: float = 0.0

    def __post_init__(self) -> None:
        if min(self.cold_start, self.latency) < 0:
            raise ValueError("cold_start and latency are seconds, 0 or more")
        if not 0 <= self.reset_rate <= 1:
            raise ValueError(f"reset_rate={self.reset_rate}: expected a share between 0 and 1")

    @classmethod
    def parse(cls, words: Iterable[str]) -> Quirks:
        """From `name=value` words, in order; `none` switches all off. Raises ValueError."""
        found = cls()
        kinds = {f.name: f.type for f in fields(cls)}
        for word in words:
            name, _, value = word.partition("=")
            if word == "none":
                found = cls.none()
            elif name not in kinds:
                raise ValueError(f"unknown quirk {name!r}; known: none, {', '.join(kinds)}")
            else:
                read = _read_switch if kinds[name] == "bool" else _read_number
                change: dict[str, Any] = {name: read(name, value)}
                found = replace(found, **change)
        return found

    @classmethod
    def none(cls) -> Quirks:
        """A server that behaves as psycopg expects wherever DuckDB can."""
        return replace(cls(), **{f.name: False for f in fields(cls) if f.type == "bool"})


def _read_switch(name: str, value: str) -> bool:
    if value.lower() not in ("true", "false", ""):
        raise ValueError(f"{name}={value}: expected true or false")
    return value.lower() != "false"


def _read_number(name: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"{name}={value}: expected a number") from None
