"""What the drop-in's connections and cursors have in common, whatever the colour.

psycopg's cursors read a result through a few attributes of a libpq result and of a transformer:
`Shown` has these for an answer that came from a replica.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, get_args

import psycopg
from psycopg import pq
from psycopg._queries import PostgresClientQuery, PostgresQuery
from psycopg.adapt import AdaptersMap, PyFormat, Transformer

from ..answers.columns import Column
from ..answers.result import Done, Result
from ..errors import ConfigurationError, NotSupportedError
from ..parity.load import SHIPPED
from ..process.collector import collector_paused
from ..request import unconnected
from ..servers.profile import Profile, recognise
from ..settings.conninfo import is_motherduck

RouteReads = Literal["autocommit", "lazy-begin", "off"]


def check_route_reads(value: str) -> RouteReads:
    """Raise `ConfigurationError` unless it says when reads may leave the endpoint."""
    for known in get_args(RouteReads):
        if value == known:
            return known  # type: ignore[no-any-return]
    raise ConfigurationError(f"route_reads={value!r}: {', '.join(get_args(RouteReads))}")


# ------------------------------------------------------------------------------- which server

# What decides which data a connection sees, and through which eyes.
_IDENTITY = ("host", "hostaddr", "port", "user", "dbname", "options")
Identity = tuple[str, ...]


def identity(params: Mapping[str, Any]) -> Identity:
    """Equal for two connections that see the same."""
    defaults = {
        option.keyword.decode(): option.val.decode()
        for option in pq.Conninfo.get_defaults()
        if option.val is not None
    }
    found = {name: str(params.get(name) or defaults.get(name, "")) for name in _IDENTITY}
    found["dbname"] = found["dbname"] or found["user"]
    return tuple(found.values())


def may_wait(params: Mapping[str, Any]) -> bool:
    """Whether connecting can wait: unless connecting itself is what is asked for."""
    return params.get("target_session_attrs") in (None, "", "any")


def is_addressed(params: Mapping[str, Any]) -> bool:
    """Whether these libpq keywords say where to connect to."""
    return any(params.get(name) for name in (*_IDENTITY, "service"))


_profiles: dict[tuple[str, ...], Profile] = {}


def known_profile(pgconn: Any) -> Profile | None:
    """What is known of the server that a connection leads to."""
    return _profiles.get(_server(pgconn))


def learn_profile(pgconn: Any, answer: Any, *, reports_transactions: bool) -> Profile:
    """What the server is that gave this *answer* to PROBE."""
    version, quotient, zone = (answer.get_value(0, n).decode() for n in range(3))
    profile = _profiles[_server(pgconn)] = recognise(
        (version, float(quotient), zone),
        is_motherduck=is_motherduck({"host": pgconn.host.decode()}),
        reports_transactions=reports_transactions,
    )
    return profile


def _server(pgconn: Any) -> tuple[str, ...]:
    version = pgconn.parameter_status(b"server_version") or b""
    return tuple(part.decode() for part in (pgconn.host, pgconn.port, pgconn.db, version))


# ---------------------------------------------------------------------------- adapters and types


def same_dumpers(adapters: AdaptersMap, values: Sequence[Any]) -> bool:
    """Whether these *adapters* write the values as the program's own ones do."""
    kinds = set(_kinds(values))
    try:
        return all(_writes_alike(adapters, kind) for kind in kinds)
    except psycopg.ProgrammingError:
        return False  # only one of them can write it, or neither


def _kinds(values: Iterable[Any]) -> Iterator[type]:
    """The types of the values, and of those in lists."""
    for value in values:
        if isinstance(value, list | tuple | set | frozenset):
            yield from _kinds(value)
        elif value is not None:
            yield type(value)


def _writes_alike(adapters: AdaptersMap, kind: type) -> bool:
    found = adapters.get_dumper(kind, PyFormat.AUTO)
    ours = psycopg.adapters.get_dumper(kind, PyFormat.AUTO)
    return found is ours or (kind is str and found in _TEXT_DUMPERS)


def leaves_texts_open(adapters: AdaptersMap) -> bool:
    """Whether a str is written as psycopg does by itself: without a type."""
    found = adapters.get_dumper(str, PyFormat.AUTO)
    return found is SHIPPED.get_dumper(str, PyFormat.AUTO)


def _text_dumpers() -> set[Any]:
    scratch = AdaptersMap(psycopg.adapters)
    scratch.register_dumper(str, psycopg.types.string.StrDumper)
    return {scratch.get_dumper(str, PyFormat.AUTO), psycopg.types.string.StrDumper}


_TEXT_DUMPERS = _text_dumpers()


def own_loader(adapters: AdaptersMap, columns: Sequence[Column], form: pq.Format) -> str:
    """The name of a column that would be loaded in another way than the program's own, or ""."""
    ours = psycopg.adapters
    for column in columns:
        oid = column.type_code
        if adapters.get_loader(oid, form) is not ours.get_loader(oid, form):
            return column.name
        if form == pq.Format.BINARY and ours.get_loader(oid, form) is None:
            return column.name  # psycopg would return its bytes
    return ""


def merged(query: Any, params: Any, adapters: AdaptersMap) -> str:
    """The text that a cursor sends which binds on the client; it needs no connection for it."""
    merging = PostgresClientQuery(Transformer(unconnected(adapters)))
    merging.convert(query, params)
    return merging.query.decode()


class Unconverted:
    """What psycopg would have sent, worked out when somebody looks at it."""

    def __init__(self, kind: type[PostgresQuery], query: Any, params: Any, adapters: Any) -> None:
        self._kind, self._given, self._adapters = kind, (query, params), adapters

    def __getattr__(self, name: str) -> Any:
        converted = self._kind(Transformer(unconnected(self._adapters)))
        converted.convert(*self._given)
        return getattr(converted, name)


# -------------------------------------------------------------------------------------- results


class Shown:
    """A replica's answer, as psycopg's cursors know a libpq result and a transformer."""

    error_message = ""
    nparams = 0

    def __init__(
        self,
        columns: Sequence[Column] | None,
        rows: Iterator[list[Any]],
        done: Done,
        adapters: AdaptersMap,
        form: pq.Format = pq.Format.TEXT,
    ) -> None:
        self._columns = columns
        self._rows: list[Any] = []
        self._more = rows
        self._adapters = AdaptersMap(adapters)
        self._format = form
        self._loads: list[Callable[[Any], Any] | None] = []
        count = done.rowcount
        self.status = pq.ExecStatus.COMMAND_OK if columns is None else pq.ExecStatus.TUPLES_OK
        self.nfields = len(columns or ())
        self.ntuples = 0 if columns is None else count
        self.command_tuples = None if count < 0 else count
        self.command_status = (done.statusmessage or "").encode() or None
        self.binary_tuples = int(form)

    @classmethod
    def of_result(cls, result: Result[Any], adapters: AdaptersMap, form: pq.Format) -> Shown:
        """What a replica answered."""
        done = Done(None, result.rowcount, result.statusmessage)
        return cls(result.description, result.lists(), done, adapters, form)

    @classmethod
    def of_command(cls, done: Done, adapters: AdaptersMap) -> Shown:
        """What a statement without rows has done."""
        return cls(None, iter(()), done, adapters)

    # -------------------------------------------------------------------------- a libpq result

    def fname(self, index: int) -> bytes | None:
        return self._column(index).name.encode()

    def ftype(self, index: int) -> int:
        return self._column(index).type_code

    def fmod(self, index: int) -> int:
        return modifier(self._column(index))

    def fsize(self, index: int) -> int:
        size = self._column(index).internal_size
        return -1 if size is None else size

    def fformat(self, index: int) -> pq.Format:  # noqa: ARG002 - all have the same
        return self._format

    def ftable(self, index: int) -> int:  # noqa: ARG002 - nothing tells
        return 0

    ftablecol = ftable

    def get_value(self, row: int, index: int) -> bytes | None:
        """The value as psycopg would send it, in text."""
        self._load(row + 1)
        return self._written(self._rows[row][index])

    def get_error_message(self, encoding: str = "utf-8") -> str:  # noqa: ARG002
        return ""

    def clear(self) -> None:
        self._rows = []

    def _column(self, index: int) -> Column:
        assert self._columns is not None
        return self._columns[index]

    # -------------------------------------------------------------------------- a transformer

    def load_row(self, row: int, make_row: Callable[[Sequence[Any]], Any]) -> Any:
        if row >= self.ntuples:
            return None
        self._load(row + 1)
        found = self._rows[row]
        return found if make_row is tuple else make_row(found)

    def load_rows(
        self, first: int, end: int, make_row: Callable[[Sequence[Any]], Any]
    ) -> list[Any]:
        if not 0 <= first <= end <= self.ntuples:
            raise psycopg.InterfaceError(f"rows must be included between 0 and {self.ntuples}")
        self._load(end)
        rows = self._rows[first:end]
        return rows if make_row is tuple else list(map(make_row, rows))

    def _load(self, end: int) -> None:
        if len(self._rows) < end:
            with collector_paused():
                self._load_parts(end)

    def _load_parts(self, end: int) -> None:
        while len(self._rows) < end:
            part = next(self._more)
            if self._loads:
                part = [self._reloaded(row) for row in part]
            if self._rows:
                self._rows += part
            else:
                self._rows = part

    # ------------------------------------------------------------- loaders that came afterwards

    def reload(self, adapters: AdaptersMap) -> None:
        """Load the values anew, through loaders that were registered after they had come."""
        self._load(self.ntuples)
        self._loads = [self._loader(adapters, column) for column in self._columns or ()]
        self._rows = [self._reloaded(row) for row in self._rows]

    def _loader(self, adapters: AdaptersMap, column: Column) -> Callable[[Any], Any] | None:
        oid = column.type_code
        found = adapters.get_loader(oid, self._format)
        if found is self._adapters.get_loader(oid, self._format):
            return None
        if found is None or oid not in _REWRITABLE or self._format != pq.Format.TEXT:
            raise NotSupportedError(
                f"column {column.name!r} came from a replica: register its loader before "
                "executing, or begin the query with /*+ pgmd: endpoint */"
            )
        return found(oid, None).load

    def _reloaded(self, row: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(
            value if load is None or value is None else load(self._written(value))
            for value, load in zip(row, self._loads, strict=True)
        )

    @cached_property
    def _writer(self) -> Any:
        return Transformer(self._adapters)

    def _written(self, value: Any) -> bytes | None:
        if value is None:
            return None
        written = self._writer.get_dumper(value, PyFormat.TEXT).dump(value)
        return None if written is None else bytes(written)


def miscounted(results: Iterable[Any]) -> int:
    """By how much the command tags of writes are short, where the server sends the count as a row
    and counts that: DuckDB's own result of an UPDATE is such a row."""
    return sum(
        int(result.get_value(0, 0)) - (result.command_tuples or 0)
        for result in results
        if result.ntuples == 1 and result.nfields == 1 and result.fname(0) == b"Count"
    )


# bool, integers, text, numeric, uuid, date: psycopg writes them as PostgreSQL does.
_REWRITABLE = frozenset({16, 20, 21, 23, 25, 1043, 1700, 2950, 1082})
_HEADER = 4
_LENGTHS = frozenset({1042, 1043, 1014, 1015})


def modifier(column: Column) -> int:
    """The libpq type modifier from which psycopg works out a column's sizes."""
    if column.scale is not None and column.precision is not None:
        return (column.precision << 16 | column.scale & 0x7FF) + _HEADER
    if column.precision is not None:
        return column.precision
    if column.display_size is not None:
        return column.display_size + (_HEADER if column.type_code in _LENGTHS else 0)
    return -1
