"""The contract: a result does not tell which side ran it, whatever its type and however it is read.

Every type of the type table, in every place where a value can stand, read in every way. What the
routes cannot have alike is refused on both, or not routed; tests/corpora/types.toml has the types.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.rows import args_row, class_row, dict_row

import pgmd
import pgmd.answers.fetching
from pgmd.local import options
from pgmd.local.database.instance import Limits
from pgmd.parity import Inexact, arrow
from pgmd.parity.types import TWINS
from pgmd.testing.servers import Server

from ..fixtures.postgres import new_database
from ..fixtures.stands import local_stand
from .support import same

CORPUS = tomllib.loads((Path(__file__).parents[1] / "corpora" / "types.toml").read_text())
ZONE = "Europe/Berlin"


@dataclasses.dataclass(frozen=True)
class Case:
    """One query; `refused` when no route gives its values, `is_routed` when replicas may run it."""

    name: str
    query: str
    refused: bool = False
    is_routed: bool = True
    # Without it DuckDB's client does not tell the values, so that the endpoint must.
    needs_arrow: bool = False
    # Arrow has no type for the values.
    is_too_wide: bool = False
    ways: tuple[str, ...] = dataclasses.field(default_factory=lambda: tuple(EVERY_WAY))


Read = Callable[[Any, str, Any], Any]


# Each way to read a result returns something that tells all that the reader can see.


def shape(s: Any, query: str, route: Any) -> Any:
    result = s.execute(query, route=route)
    return [tuple(c) for c in result.description], result.rowcount, result.statusmessage


def fetched(s: Any, query: str, route: Any) -> Any:
    return s.execute(query, route=route).fetchall()


def one_by_one(s: Any, query: str, route: Any) -> Any:
    result = s.execute(query, route=route)
    return list(iter(result.fetchone, None))


def some_at_a_time(s: Any, query: str, route: Any) -> Any:
    result = s.execute(query, route=route)
    parts = list(iter(lambda: result.fetchmany(2), []))
    assert {len(part) for part in parts[:-1]} <= {2}
    return [row for part in parts for row in part]


def streamed(s: Any, query: str, route: Any) -> Any:
    with s.stream(query, route=route) as rows:
        return [tuple(c) for c in rows.description], list(rows)


def told(s: Any, query: str, route: Any) -> Any:
    return told_of(s.execute(query, route=route))


def told_of(result: Any) -> Any:
    shown = [tuple(c) for c in result.description], result.rowcount, result.statusmessage
    return result.fetchall(), shown


def objects(s: Any, query: str, route: Any) -> Any:
    found = s.execute(query, route=route, row_factory=class_row(SimpleNamespace)).fetchall()
    return [(type(row).__name__, vars(row)) for row in found]


def arguments(s: Any, query: str, route: Any) -> Any:
    return s.execute(query, route=route, row_factory=args_row(lambda *row: list(row))).fetchall()


def table(s: Any, query: str, route: Any) -> Any:
    found = s.execute(query, route=route).arrow()
    return found.schema.to_string(), repr(found.schema.metadata), found.to_pylist()


def batched(s: Any, query: str, route: Any) -> Any:
    found = list(s.execute(query, route=route).batches())
    return [row for batch in found for row in batch.to_pylist()]


def frame(s: Any, query: str, route: Any) -> Any:
    found = s.execute(query, route=route).df()
    return list(map(str, found.dtypes)), repr(found.to_dict("split"))


def polars_frame(s: Any, query: str, route: Any) -> Any:
    found = s.execute(query, route=route).pl()
    return repr(found.schema), found.rows()


WAYS: dict[str, Read] = {
    "shape": shape,
    "fetchall": fetched,
    "fetchone": one_by_one,
    "iteration": lambda s, query, route: list(s.execute(query, route=route)),
    "fetchmany": some_at_a_time,
    "stream": streamed,
    "dict_row": lambda s, query, route: s.execute(
        query, route=route, row_factory=dict_row
    ).fetchall(),
    "class_row": objects,
    "args_row": arguments,
}
COLUMNAR: dict[str, Read] = {
    "arrow": table,
    "batches": batched,
    "df": frame,
    "pl": polars_frame,
}
EVERY_WAY: dict[str, Read] = WAYS | COLUMNAR
# Those that differ in when a value is looked at.
MOMENTS = ("shape", "fetchall", "stream", "arrow")
# How the rows that a way has read are those of fetchall().
ROWS_OF: dict[str, Callable[[Any], list[tuple[Any, ...]]]] = {
    "fetchone": list,
    "iteration": list,
    "fetchmany": list,
    "stream": lambda found: found[1],
    "dict_row": lambda found: [tuple(row.values()) for row in found],
    "class_row": lambda found: [tuple(fields.values()) for _, fields in found],
    "args_row": lambda found: [tuple(row) for row in found],
}
# The other ways have nothing of their own for nested values, which come as text.
NESTED = (*MOMENTS, "fetchone", "dict_row", "df")


# Parts of the names of what is read by itself: as Arrow, or because of some values.
ALONE = {"nested", "edges"}


class Refused:
    """A refusal, equal to another one of its class."""

    def __init__(self, error: Exception) -> None:
        self.kind = type(error)
        self.error = error

    def __repr__(self) -> str:
        return f"{self.kind.__name__}: {self.error}"


def outcome(read: Read, s: Any, query: str, route: Any) -> Any:
    try:
        return read(s, query, route)
    except (psycopg.DataError, pgmd.ParityError) as error:
        return Refused(error)


def differences(ours: Any, theirs: Any) -> Iterator[str]:
    if isinstance(ours, Refused) and isinstance(theirs, Refused):
        if ours.kind is not theirs.kind:
            yield f"{ours!r} instead of {theirs!r}"
    elif isinstance(ours, list | tuple) and type(ours) is type(theirs) and len(ours) == len(theirs):
        for left, right in zip(ours, theirs, strict=True):
            yield from differences(left, right)
    elif not same(ours, theirs):
        yield f"{ours!r} instead of {theirs!r}"


MOST_SHOWN = 20


class Routes:
    """One engine's session, of which both routes are asked."""

    def __init__(self, session: pgmd.Session, dsn: str, *, reads_live: bool) -> None:
        self.session = session
        # From PostgreSQL, through DuckDB.
        self.reads_live = reads_live
        self.dsn = dsn
        self._numbers = itertools.count()

    def check(self, case: Case) -> None:
        """Compare every way of reading, and both ways in which a replica's rows are fetched."""
        check = self._compare if case.is_routed else self._stays
        rows = functools.cache(partial(fetched, self.session, self._fresh(case.query), "endpoint"))
        found = []
        for name in case.ways:
            read = EVERY_WAY[name]
            theirs = outcome(read, self.session, self._fresh(case.query), "endpoint")
            expected = case.refused or (case.is_too_wide and name in COLUMNAR)
            if isinstance(theirs, Refused) != expected:
                found.append(f"{name}: the endpoint gives {theirs!r}")
            found += [f"{name}: {text}" for text in check(case, read, theirs)]
            if name in ROWS_OF and not isinstance(theirs, Refused):
                given = ROWS_OF[name](theirs)
                found += [f"{name}, not fetchall: {text}" for text in differences(given, rows())]
        if case.is_routed and not case.refused and "fetchall" in case.ways:
            found += [f"together: {text}" for text in self._together(case)]
        assert not found, "\n".join([case.query, *found[:MOST_SHOWN], f"{len(found)} in all"])

    def _together(self, case: Case) -> Iterator[str]:
        """Compare what several get as one query, where that is possible."""
        query = self._fresh(case.query)
        read = partial(outcome, told, self.session, query)
        theirs, ours = read("endpoint"), [read("replica"), read("replica")]
        together = None
        # What DuckDB's rows do not tell exactly, each asks for as Arrow.
        with suppress(Inexact):
            together = self.session._asking.run_together([pgmd.Query(query)] * 3)
        if together is None and not self.reads_live and not ALONE & set(case.name.split("-")):
            yield "they did not run as one query"
        for each in [*ours, *map(told_of, together or ())]:
            yield from differences(each, theirs)

    def _compare(self, case: Case, read: Read, theirs: Any) -> Iterator[str]:
        for ours in (self._as_arrow(read, case), self._as_rows(read, case)):
            yield from differences(ours, theirs)

    def _stays(self, case: Case, read: Read, theirs: Any) -> Iterator[str]:
        """The endpoint answers, and a replica refuses to."""
        query = self._fresh(case.query)
        yield from differences(outcome(read, self.session, query, None), theirs)
        for asked in (query, self._fresh(case.query)):
            with suppress(pgmd.ParityError, pgmd.RoutingError, psycopg.DataError):
                yield f"a replica gives {read(self.session, asked, 'replica')!r}"

    def _as_arrow(self, read: Read, case: Case) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            # No result is small, so each of them comes as Arrow.
            patch.setattr(pgmd.answers.fetching, "_SMALL", -1)
            return self._once(read, case.query)

    def _as_rows(self, read: Read, case: Case) -> Any:
        if read in COLUMNAR.values():
            # As a statement that has returned few rows.
            query = self._fresh(case.query)
            outcome(fetched, self.session, query, "replica")
            return outcome(read, self.session, query, "replica")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(arrow, "is_there", lambda: False)
            if not case.needs_arrow:
                return self._once(read, case.query)
            query = self._fresh(case.query)
            with pytest.raises((psycopg.DataError, pgmd.ParityError)):
                fetched(self.session, query, "replica")
            return outcome(read, self.session, query, None)

    def _once(self, read: Read, query: str) -> Any:
        return outcome(read, self.session, self._fresh(query), "replica")

    def _fresh(self, query: str) -> str:
        """The same query, of which nothing is known yet."""
        return f"{query} /* {next(self._numbers)} */"


# A DuckDB behind a wire

Columns = dict[str, list[str]]


def local_cases(zone: str) -> Iterator[Case]:
    for name, entry in CORPUS.items():
        if zone == "UTC" or name.startswith(ZONED):
            kind = _kind(name, entry)
            scalars, lists, nested = _columns(entry, kind)
            yield from _plain(name, entry, scalars)
            yield from _lists(name, entry, lists)
            yield from _nested(name, entry, nested, zone)
            yield from _refused(name, entry, kind)


def _plain(name: str, entry: dict[str, Any], columns: Columns) -> Iterator[Case]:
    yield from _filled_and_empty(
        Case(
            name,
            wide(columns),
            is_routed="always_endpoint_only" not in entry,
            needs_arrow="needs_arrow" in entry,
            is_too_wide="is_too_wide" in entry,
        )
    )


def _lists(name: str, entry: dict[str, Any], columns: Columns) -> Iterator[Case]:
    yield from _filled_and_empty(
        Case(
            f"{name}-lists",
            wide(columns),
            refused="lists_refused" in entry or "hidden" in entry,
            is_routed="endpoint_only" not in entry and "hidden" not in entry,
            needs_arrow="needs_arrow" in entry,
            is_too_wide="is_too_wide" in entry,
        )
    )


def _nested(name: str, entry: dict[str, Any], columns: Columns, zone: str) -> Iterator[Case]:
    hidden = "hidden" in entry or (zone != "UTC" and "hidden_in_zones" in entry)
    if "keys_refused" in entry:
        keys = wide({"map key": columns.pop("map key")})
        yield Case(f"{name}-keys", keys, refused=True, ways=MOMENTS)
    if "nested_lists_refused" in entry:
        for form in ("list of lists", "deep"):
            query = wide({form: columns.pop(form)})
            yield Case(f"{name}-{form}", query, refused=True, ways=MOMENTS)
    case = Case(f"{name}-nested", wide(columns), hidden, "hidden" not in entry, ways=NESTED)
    yield from _filled_and_empty(case)


def _kind(name: str, entry: dict[str, Any]) -> str:
    return "" if "no_cast" in entry else str(entry.get("type", name))


def _filled_and_empty(case: Case) -> Iterator[Case]:
    yield case
    query = f"{case.query} LIMIT 0"
    yield Case(f"{case.name}-no rows", query, is_routed=case.is_routed, ways=MOMENTS)


def _columns(entry: dict[str, Any], kind: str) -> tuple[Columns, Columns, Columns]:
    """SQL expressions by column: of scalars, of lists of them, and of nested values."""
    values = [cast(value, kind) for value in entry["values"]]
    scalars = {"scalar": [*values, "NULL"]}
    lists = {
        "list": [
            f"[{', '.join(values)}, NULL]", *(f"[{value}]" for value in values),
            "[]", "[NULL]", "NULL",
        ],
        "array": [f"array_value({values[-1]}, NULL)", f"array_value({values[0]}, {values[1]})", "NULL"],
    }  # fmt: skip
    nested = {form: [text.replace("{}", value) for value in values] for form, text in FORMS.items()}
    for form, text in FORMS.items():
        if form != "map key":
            nested[form].append(text.replace("{}", cast("NULL", kind)))
    return scalars, lists, nested


def _refused(name: str, entry: dict[str, Any], kind: str) -> Iterator[Case]:
    for value in entry.get("refused", ()):
        found = cast(value, kind)
        for form, text in {"alone": "{}", "list": "[NULL, {}]"}.items():
            query = f"SELECT {text.replace('{}', found)} AS v"
            yield Case(
                f"{name}-{value} {form}", query, refused=True, needs_arrow=kind != "INTERVAL"
            )
        for form in ("struct", "map key", "list of lists"):
            query = f"SELECT {FORMS[form].replace('{}', found)} AS v"
            yield Case(f"{name}-{value} {form}", query, refused=True, ways=MOMENTS)


# The types that a time zone may change.
ZONED = ("DATE", "TIME", "INTERVAL")
# Where a value can stand, with quotes in the names of fields.
FORMS = {
    "struct": """{'a': {}, 'it''s "b"': {}}""",
    "row": "row({}, 1)",
    "map value": "MAP {'k': {}, 'l': NULL}",
    "map key": "MAP {{}: 1}",
    "list of lists": "[[{}, NULL], [], NULL, [{}]]",
    "structs in a list": "[{'a': {}}, NULL, {'a': NULL}]",
    "deep": "{'a': [MAP {'k': [{}]}], 'b': row({})}",
}


def cast(value: str, kind: str) -> str:
    return f"CAST({value} AS {kind})" if kind else value


def wide(columns: Columns) -> str:
    """A query with these columns; the shorter ones end with NULLs."""
    rows = itertools.zip_longest(*columns.values(), fillvalue="NULL")
    listed = ", ".join(f"({n}, {', '.join(row)})" for n, row in enumerate(rows))
    names = ", ".join(f'"{name}"' for name in columns)
    return f"SELECT {names} FROM (VALUES {listed}) AS t(n, {names}) ORDER BY n"


def by_name(cases: Iterator[Case]) -> list[Any]:
    return [pytest.param(case, id=case.name) for case in cases]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Routes]]:
    """By time zone, endpoints of which a replica reads the same file."""
    with ExitStack() as stack:
        yield {
            zone: stack.enter_context(_local_in(zone, tmp_path_factory.mktemp("contract")))
            for zone in ("UTC", ZONE)
        }


@contextmanager
def _local_in(zone: str, folder: Path) -> Iterator[Routes]:
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            # No option of the local endpoint: MotherDuck is in UTC.
            patch.setattr(options, "Limits", partial(Limits, time_zone=zone))
            stand = stack.enter_context(local_stand(folder))
        engine = stack.enter_context(pgmd.Engine(stand.endpoint(), stand.replicas(1)))
        assert engine._core.zone == zone
        yield Routes(stack.enter_context(engine.session()), stand.dsn, reads_live=False)


def test_every_type_is_in_the_corpus() -> None:
    assert {name.partition("-")[0] for name in CORPUS} == set(TWINS)


@pytest.mark.parametrize("case", by_name(local_cases("UTC")))
def test_local(local: dict[str, Routes], case: Case) -> None:
    local["UTC"].check(case)


@pytest.mark.parametrize("case", by_name(local_cases(ZONE)))
def test_local_in_a_time_zone(local: dict[str, Routes], case: Case) -> None:
    local[ZONE].check(case)


@pytest.mark.parametrize("name", [name for name in CORPUS if not name.startswith("LIST")])
def test_psycopgs_binary_format(local: dict[str, Routes], name: str) -> None:
    """It gives what its text format gives."""
    entry = CORPUS[name]
    scalars, lists, nested = _columns(entry, _kind(name, entry))
    columns = scalars if "endpoint_only" in entry else scalars | lists
    # psycopg does not know its OID: bytes.
    del nested["list of lists"]
    for zone in local:
        with psycopg.connect(local[zone].dsn, autocommit=True) as plain:
            for query in (wide(columns), wide(nested)):
                text, binary = (_rows_of(plain, query, is_binary) for is_binary in (False, True))
                if name == "FLOAT":
                    # The text is the shortest that reads back: another double, the same float.
                    text, binary = _as_floats(text), _as_floats(binary)
                assert list(differences(binary, text)) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, entry in CORPUS.items() for value in entry.get("refused", ())],
)
def test_psycopgs_binary_format_refuses_the_same(
    local: dict[str, Routes], name: str, value: str
) -> None:
    found = cast(value, name)
    with psycopg.connect(local["UTC"].dsn, autocommit=True) as plain:
        for query in (f"SELECT {found} AS v", f"SELECT [{found}] AS v"):
            for is_binary in (False, True):
                with pytest.raises(psycopg.DataError):
                    _rows_of(plain, query, is_binary)


def _rows_of(plain: psycopg.Connection[Any], query: str, is_binary: bool) -> list[Any]:
    return plain.cursor(binary=is_binary).execute(query.encode()).fetchall()


def _as_floats(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_as_floats(item) for item in value]
    return float(np.float32(value)) if isinstance(value, float) else value


# PostgreSQL, and a replica that reads it live


def postgres_entries() -> dict[str, tuple[str, dict[str, Any]]]:
    """By the name of its table, each type that PostgreSQL has."""
    found = {name: entry for name, entry in CORPUS.items() if "postgres" in entry}
    return {f"t{n}": pair for n, pair in enumerate(found.items())}


def postgres_cases() -> Iterator[Case]:
    for table, (name, entry) in postgres_entries().items():
        never = "postgres_never" in entry
        routed = not never and "postgres_endpoint_only" not in entry
        query = f"SELECT v, a FROM {table} WHERE n < {REFUSED} ORDER BY n"
        yield Case(name, query, is_routed=routed, needs_arrow="needs_arrow" in entry)
        yield Case(f"{name}-no rows", f"{query} LIMIT 0", is_routed=not never, ways=MOMENTS)
        for n, value in enumerate(_refused_by_postgres(entry), REFUSED):
            for column in ("v", "a"):
                query = f"SELECT {column} FROM {table} WHERE n = {n}"
                needs_arrow = entry["postgres"] != "interval"
                yield Case(f"{name}-{value} {column}", query, True, needs_arrow=needs_arrow)


# Rows from here on hold one refused value each.
REFUSED = 100


def _refused_by_postgres(entry: dict[str, Any]) -> list[str]:
    found: list[str] = entry.get("postgres_refused", entry.get("refused", []))
    return found


@pytest.fixture(scope="module")
def postgres(server: Server) -> Iterator[Routes]:
    with new_database(server) as name:
        dsn = make_conninfo(server.dsn, dbname=name)
        with psycopg.connect(dsn, autocommit=True) as plain:
            plain.execute(f"ALTER DATABASE {name} SET TimeZone = '{ZONE}'".encode())
            for table, (_, entry) in postgres_entries().items():
                for statement in _filling(table, entry):
                    plain.execute(statement.encode())
        engine = pgmd.Engine(pgmd.Endpoint(dsn), [pgmd.Replica(postgres=dsn)])
        with engine, engine.session() as session:
            yield Routes(session, dsn, reads_live=True)


def _filling(table: str, entry: dict[str, Any]) -> Iterator[str]:
    kind = entry["postgres"]
    yield f"CREATE TABLE {table} (n integer, v {kind}, a {kind}[])"
    values = [cast(value, kind) for value in entry.get("postgres_values", entry["values"])]
    lists = [f"ARRAY[{', '.join(values)}, NULL]", "'{}'", "'{NULL}'", "NULL"]
    rows = itertools.zip_longest([*values, "NULL"], lists, fillvalue="NULL")
    for n, (value, listed) in enumerate(rows):
        yield f"INSERT INTO {table} VALUES ({n}, {value}, {listed})"
    for n, value in enumerate(_refused_by_postgres(entry), REFUSED):
        refused = cast(value, kind)
        yield f"INSERT INTO {table} VALUES ({n}, {refused}, ARRAY[NULL, {refused}])"


@pytest.mark.postgres
@pytest.mark.parametrize("case", by_name(postgres_cases()))
def test_postgres(postgres: Routes, case: Case) -> None:
    postgres.check(case)


@pytest.mark.parametrize("query", ["SELECT chr(0) AS v", "SELECT {'a': 'a' || chr(0)} AS v"])
def test_a_zero_byte_in_a_text(local: dict[str, Routes], query: str) -> None:
    """PostgreSQL has no such text, and its wire cannot carry one."""
    kinds = set()
    for route in ("replica", "endpoint", None):
        with pytest.raises(psycopg.Error) as caught:
            local["UTC"].session.execute(query, route=route).fetchall()
        kinds.add(type(caught.value))
    assert len(kinds) == 1
