"""Runs programs on psycopg or the drop-in, sync or async, and writes down what they could see."""

from __future__ import annotations

import inspect
import re
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, cast

import psycopg
from psycopg import rows, sql

from .programs import Options, Program, Query, Step


@dataclass(frozen=True)
class Names:
    """The names of a module, psycopg or the drop-in, in one colour."""

    module: ModuleType
    is_async: bool = False

    def cursor_class(self, kind: str) -> Any:
        return getattr(self.module, f"{'Async' if self.is_async else ''}{kind}Cursor")

    def connection_class(self) -> Any:
        return self.module.AsyncConnection if self.is_async else self.module.Connection


ROW_FACTORIES: dict[str, Any] = {
    "tuple": rows.tuple_row,
    "dict": rows.dict_row,
    "namedtuple": rows.namedtuple_row,
    "scalar": rows.scalar_row,
    "args": rows.args_row(lambda *values: list(values)),
    "kwargs": rows.kwargs_row(dict),
}


def given(options: Options, names: Names) -> dict[str, Any]:
    """The keywords of connect()."""
    found: dict[str, Any] = {"autocommit": options.autocommit}
    if options.prepare_threshold != 5:
        found["prepare_threshold"] = options.prepare_threshold
    if options.row_factory != "tuple":
        found["row_factory"] = ROW_FACTORIES[options.row_factory]
    if options.cursor_factory:
        found["cursor_factory"] = names.cursor_class(options.cursor_factory)
    return found


# ------------------------------------------------------------------------------- one step's effect

# What may differ in texts, and why.
SAID_OTHERWISE = {
    # The classes have a module of their own.
    "pgmd.psycopg.": "psycopg.",
    # Only what is sent to the endpoint counts for prepare_threshold.
    "sending prepared query failed": "sending query failed",
    "sending query and params failed": "sending query failed",
}
_ADDRESS = re.compile(r"0x[0-9a-f]{6,}")


def shown(value: Any) -> str:
    """A value with its types, in the same words for both modules."""
    if isinstance(value, memoryview):
        value = bytes(value)
    text = f"{type(value).__name__} {value!r}"
    for ours, theirs in SAID_OTHERWISE.items():
        text = text.replace(ours, theirs)
    return _ADDRESS.sub("0x", text)


def told(error: BaseException) -> str:
    """What a program can see of an error."""
    diag = getattr(error, "diag", None)
    details = [getattr(diag, name) for name in DIAGNOSES] if diag is not None else []
    kind = type(error)
    seen = (kind.__module__, kind.__qualname__, getattr(error, "sqlstate", "-"), details)
    return f"raised {shown(seen)} {shown(str(error))}"


DIAGNOSES = (
    "severity", "sqlstate", "message_primary", "message_detail", "message_hint",
    "statement_position", "context", "schema_name", "table_name", "column_name", "constraint_name",
)  # fmt: skip


def look_at_cursor(cursor: Any) -> tuple[Any, ...]:
    return (
        cursor.closed,
        cursor.rowcount,
        cursor.statusmessage,
        cursor.rownumber,
        description(cursor),
        cursor.arraysize,
        cursor.format,
        cursor.pgresult is None,
    )


def description(cursor: Any) -> Any:
    try:
        found = cursor.description
    except psycopg.Error as error:
        return told(error)
    if found is None:
        return None
    return [(*tuple(column), column.type_display) for column in found]


def look_at_connection(connection: Any) -> tuple[Any, ...]:
    return (
        connection.closed,
        connection.broken,
        connection.autocommit,
        connection.read_only,
        connection.isolation_level,
        connection.deferrable,
    )


async def maybe(value: Any) -> Any:
    """The value, of a sync call or an async one."""
    return await value if inspect.isawaitable(value) else value


@asynccontextmanager
async def entered(manager: Any) -> AsyncIterator[Any]:
    """Within a context manager of either colour."""
    if hasattr(manager, "__aenter__"):
        async with manager as found:
            yield found
    else:
        with manager as found:
            yield found


async def each(found: Any) -> AsyncIterator[Any]:
    if hasattr(found, "__aiter__"):
        async for value in found:
            yield value
    else:
        for value in found:
            yield value


def finished(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that awaits nothing."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    coroutine.close()
    raise AssertionError("it waits for something")


class Wrong(Exception):
    """A program's own error."""


# ---------------------------------------------------------------------------------------- running


@dataclass
class Trace:
    """What was seen, step by step; and what is compared with nothing."""

    seen: list[tuple[Any, ...]] = field(default_factory=list)
    reads: int = 0
    routed: int = 0


Connect = Callable[..., Any]


async def run(
    program: Program, names: Names, connect: Connect, *, with_status: bool = True
) -> Trace:
    """Run a program on a new connection, which is closed at the end."""
    connection = await maybe(connect(**given(program.options, names)))
    other = await maybe(connect(autocommit=True))
    runner = Runner(names, connection, other, with_status=with_status)
    try:
        for step in program.steps:
            await runner.run(step)
        await runner.leave()
    finally:
        await maybe(connection.close())
        await maybe(other.close())
    runner.trace.seen.append(("notices", tuple(runner.notices)))
    runner.trace.routed = routed(connection) + routed(other)
    return runner.trace


def routed(connection: Any) -> int:
    """How many statements ran on replicas."""
    stats = connection.pgmd.stats if hasattr(connection, "pgmd") else {}
    return sum(n for why, n in stats.items() if why.startswith("replica"))


class Runner:
    """Runs steps on a connection and its cursors, which it knows by number."""

    def __init__(self, names: Names, connection: Any, other: Any, *, with_status: bool) -> None:
        self.names = names
        self.connection = connection
        self.other_connection = other
        self.with_status = with_status
        self.cursors: dict[int, Any] = {}
        self.trace = Trace()
        self.notices: list[Any] = []
        self.in_pipeline = False
        connection.add_notice_handler(self.note)

    def note(self, notice: Any) -> None:
        self.notices.append((notice.severity, notice.sqlstate, notice.message_primary))

    async def run(self, step: Step) -> None:
        if self.in_pipeline:
            # When an error arrives there is a matter of time: it ends the block, wherever it does.
            found = await self.outcome(step)
            if step.do.startswith("fetch"):
                self.trace.seen.append((step.do, shown(found)))
            return
        try:
            found = shown(await self.outcome(step))
        except Exception as error:
            # Which of a pipeline's errors comes first is a matter of time, too.
            found = "failed" if step.do == "pipeline" else told(error)
        self.trace.seen.append((step.do, found, *self.look()))

    async def outcome(self, step: Step) -> Any:
        body = [step.body] if step.do in BLOCKS else []
        return await getattr(self, step.do)(*step.args, *body)

    def look(self) -> Iterable[Any]:
        yield look_at_connection(self.connection)
        if self.with_status:
            yield self.connection.info.transaction_status.name
        yield {slot: look_at_cursor(cursor) for slot, cursor in self.cursors.items()}

    async def leave(self) -> None:
        for cursor in self.cursors.values():
            try:
                await maybe(cursor.close())
            except psycopg.Error as error:
                self.trace.seen.append(("leave", told(error)))

    def cursor_at(self, slot: int) -> Any:
        if slot not in self.cursors:
            self.cursors[slot] = self.connection.cursor()
        return self.cursors[slot]

    # ------------------------------------------------------------------------------- statements

    def written(self, query: Query, cursor: Any, *, is_named: bool = False) -> tuple[Any, Any]:
        """The query and its parameters as this kind of cursor takes them."""
        text, params = query.text, cast("Any", query.params or None)
        if isinstance(cursor, psycopg.raw_cursor.RawCursorMixin):
            text = numbered(text)
        elif params is not None and is_named:
            text, params = renamed(text), {f"p{n}": value for n, value in enumerate(params)}
        return FORMS[query.form](text), params

    async def open(self, slot: int, kind: str, keywords: tuple[tuple[str, Any], ...]) -> None:
        given = dict(keywords)
        if "row_factory" in given:
            given["row_factory"] = ROW_FACTORIES[given["row_factory"]]
        if kind == "named":
            self.cursors[slot] = self.connection.cursor(f"c{slot}", **given)
        elif kind:
            self.cursors[slot] = self.names.cursor_class(kind)(self.connection, **given)
        else:
            self.cursors[slot] = self.connection.cursor(**given)

    async def execute(
        self, slot: int, query: Query, *, named: bool = False, **keywords: Any
    ) -> bool:
        cursor = self.cursor_at(slot)
        text, params = self.written(query, cursor, is_named=named)
        found = await maybe(cursor.execute(text, params, **keywords))
        self.trace.reads += query.is_read
        return found is cursor

    async def execute_with(
        self, slot: int, query: Query, named: bool, keywords: tuple[tuple[str, Any], ...]
    ) -> bool:
        return await self.execute(slot, query, named=named, **dict(keywords))

    async def conn_execute(
        self, slot: int, query: Query, keywords: tuple[tuple[str, Any], ...]
    ) -> str:
        sample = self.connection.cursor()
        text, params = self.written(query, sample)
        found = await maybe(self.connection.execute(text, params, **dict(keywords)))
        self.trace.reads += query.is_read
        self.cursors[slot] = found
        return type(found).__name__

    async def other(self, query: Query) -> Any:
        cursor = await maybe(self.other_connection.execute(query.text, query.params or None))
        self.trace.reads += query.is_read
        return await maybe(cursor.fetchall()) if query.is_read else cursor.statusmessage

    async def executemany(self, slot: int, query: Query, many: Any, returning: bool) -> Any:
        cursor = self.cursor_at(slot)
        text, _ = self.written(query, cursor)
        return await maybe(cursor.executemany(text, many, returning=returning))

    async def stream(self, slot: int, query: Query, keywords: Any) -> Any:
        cursor = self.cursor_at(slot)
        text, params = self.written(query, cursor)
        found = []
        rows = cursor.stream(text, params, **dict(keywords))
        try:
            async for row in each(rows):
                found.append((row, cursor.rowcount, description(cursor)))
        finally:
            await maybe(rows.aclose() if self.names.is_async else rows.close())
        return found

    async def mogrify(self, slot: int, query: Query) -> Any:
        return self.cursor_at(slot).mogrify(query.text, query.params or None)

    # ---------------------------------------------------------------------------------- fetching

    async def fetchone(self, slot: int) -> Any:
        return await maybe(self.cursor_at(slot).fetchone())

    async def fetchmany(self, slot: int, size: int) -> Any:
        return await maybe(self.cursor_at(slot).fetchmany(size))

    async def fetchall(self, slot: int) -> Any:
        return await maybe(self.cursor_at(slot).fetchall())

    async def iterate(self, slot: int, most: int) -> Any:
        found = []
        async for row in each(self.cursor_at(slot)):
            found.append(row)
            if len(found) >= most:
                break
        return found

    async def scroll(self, slot: int, by: int, mode: str) -> Any:
        return await maybe(self.cursor_at(slot).scroll(by, mode))

    async def nextset(self, slot: int) -> Any:
        return self.cursor_at(slot).nextset()

    async def results(self, slot: int) -> Any:
        cursor = self.cursor_at(slot)
        return [look_at_cursor(found) async for found in each(cursor.results())]

    async def set_result(self, slot: int, index: int) -> Any:
        return (await maybe(self.cursor_at(slot).set_result(index))) is not None

    async def raw_values(self, slot: int) -> Any:
        """What is below a cursor."""
        found = self.cursor_at(slot).pgresult
        if found is None:
            return None
        names = [found.fname(n) for n in range(found.nfields)]
        formats = [int(found.fformat(n)) for n in range(found.nfields)]
        return formats, int(found.status), found.ntuples, found.nfields, found.command_tuples, names

    # ----------------------------------------------------------------------- settings of a cursor

    async def set_arraysize(self, slot: int, size: int) -> None:
        self.cursor_at(slot).arraysize = size

    async def set_row_factory(self, slot: int, name: str) -> None:
        self.cursor_at(slot).row_factory = ROW_FACTORIES[name]

    async def set_row_factory_of_all(self, name: str) -> None:
        self.connection.row_factory = ROW_FACTORIES[name]

    async def set_format(self, slot: int, form: int) -> None:
        self.cursor_at(slot).format = psycopg.pq.Format(form)

    async def load(self, slot: int | None, kind: str) -> None:
        place = self.connection if slot is None else self.cursor_at(slot)
        place.adapters.register_loader(kind, Shouting)

    async def dump(self, slot: int | None, kind: type) -> None:
        place = self.connection if slot is None else self.cursor_at(slot)
        place.adapters.register_dumper(kind, Whispering if kind is str else Doubling)

    async def close_cursor(self, slot: int) -> None:
        await maybe(self.cursor_at(slot).close())

    async def cursor_block(self, slot: int) -> Any:
        async with entered(self.connection.cursor()) as cursor:
            self.cursors[slot] = cursor
        return cursor.closed

    # ------------------------------------------------------------------------------ transactions

    async def commit(self) -> None:
        await maybe(self.connection.commit())

    async def rollback(self) -> None:
        await maybe(self.connection.rollback())

    async def set_autocommit(self, value: bool) -> None:
        await maybe(self.connection.set_autocommit(value))

    async def set_read_only(self, value: bool | None) -> None:
        await maybe(self.connection.set_read_only(value))

    async def set_isolation_level(self, level: int | None) -> None:
        found = None if level is None else psycopg.IsolationLevel(level)
        await maybe(self.connection.set_isolation_level(found))

    async def set_deferrable(self, value: bool | None) -> None:
        await maybe(self.connection.set_deferrable(value))

    async def transaction(
        self, name: str | None, force_rollback: bool, end: str, body: tuple[Step, ...]
    ) -> Any:
        manager = self.connection.transaction(name, force_rollback=force_rollback)
        async with entered(manager) as transaction:
            for step in body:
                await self.run(step)
            if end == "wrong":
                raise Wrong
            if end == "rollback":
                raise psycopg.Rollback
            if end == "this":
                raise psycopg.Rollback(transaction)
        return transaction.savepoint_name

    async def block(self, end: str, body: tuple[Step, ...]) -> None:
        """`with connection:`"""
        async with entered(self.connection):
            for step in body:
                await self.run(step)
            if end == "wrong":
                raise Wrong

    async def pipeline(self, body: tuple[Step, ...]) -> None:
        outside, self.in_pipeline = self.in_pipeline, True
        try:
            async with entered(self.connection.pipeline()) as pipeline:
                for step in body:
                    if not is_simple_read(step):
                        await maybe(pipeline.sync())
                    await self.run(step)
        except Exception:
            self.cursors.clear()
            raise
        finally:
            self.in_pipeline = outside

    # --------------------------------------------------------------------------------------- COPY

    async def copy_out(self, slot: int, query: Query, how: str) -> Any:
        found = []
        cursor = self.cursor_at(slot)
        text, params = self.written(query, cursor)
        async with entered(cursor.copy(text, params)) as copy:
            if how == "types":
                copy.set_types(["int4", "text"])
            source = copy if how == "blocks" else copy.rows()
            async for part in each(source):
                found.append(bytes(part) if how == "blocks" else part)
        return found

    async def copy_in(self, slot: int, query: Query, how: str, lines: Any, end: str) -> Any:
        cursor = self.cursor_at(slot)
        async with entered(cursor.copy(query.text)) as copy:
            for line in lines:
                written = copy.write_row(line) if how == "rows" else copy.write(line)
                await maybe(written)
            if end == "wrong":
                raise Wrong
        return cursor.rowcount

    # --------------------------------------------------------------------------------- connection

    async def close(self) -> None:
        await maybe(self.connection.close())

    async def cancel(self) -> None:
        self.connection.cancel()

    async def cancel_safe(self) -> None:
        await maybe(self.connection.cancel_safe())

    async def cancelled(self, slot: int) -> Any:
        """Cancel a statement that runs."""
        ended = threading.Event()
        cursor = self.cursor_at(slot)

        def cancel() -> None:
            while not ended.wait(0.02):
                self.connection.cancel()

        thread = threading.Thread(target=cancel)
        thread.start()
        try:
            return await maybe(cursor.execute("SELECT pg_sleep(30)"))
        finally:
            ended.set()
            thread.join()

    async def info(self) -> Any:
        # Not error_message: it is of the last statement on the endpoint.
        info = self.connection.info
        return info.dbname, info.user, info.encoding, info.server_version

    async def fileno(self) -> Any:
        return self.connection.fileno() > 0


BLOCKS = ("transaction", "block", "pipeline")


def numbered(text: str) -> str:
    """With $1, $2 for %s, as a raw cursor takes it."""
    parts = text.replace("%%", "%").split("%s")
    return "".join(
        part + (f"${n}" if n < len(parts) else "") for n, part in enumerate(parts, start=1)
    )


def renamed(text: str) -> str:
    parts = text.split("%s")
    return "".join(
        part + (f"%(p{n})s" if n < len(parts) - 1 else "") for n, part in enumerate(parts)
    )


FORMS: dict[str, Callable[[str], Any]] = {
    "str": str,
    "bytes": str.encode,
    "sql": sql.SQL,
    "composed": lambda text: sql.SQL("{}").format(sql.SQL(text)),
}


def is_simple_read(step: Step) -> bool:
    """Whether it fails, if it does, on the server."""
    return step.do == "execute_with" and step.args[1].is_read and not step.args[-1]


class Shouting(psycopg.adapt.Loader):
    """A loader that the application brings."""

    def load(self, data: Any) -> Any:
        return f"{bytes(data).decode()}!"


class Whispering(psycopg.adapt.Dumper):
    oid = 25

    def dump(self, value: str) -> bytes:
        return value.lower().encode()


class Doubling(psycopg.adapt.Dumper):
    oid = 23

    def dump(self, value: int) -> bytes:
        return str(value * 2).encode()
