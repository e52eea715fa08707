"""The extended query protocol: prepared statements and portals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pygwire import messages as pg

from ..backend.result import QueryResult, Refused
from ..backend.running import Backend
from ..backend.statements import Command, read
from ..values.columns import Column
from ..values.parameters import read_parameter
from .messages import Violation
from .replies import ERRORS, Replies


@dataclass(slots=True)
class _Prepared:
    command: Command | None
    oids: list[int]


@dataclass(slots=True)
class _Portal:
    prepared: _Prepared
    values: list[object]
    formats: list[int]
    result: QueryResult | None = None
    is_done: bool = False


class ExtendedQueries:
    def __init__(self, backend: Backend, replies: Replies) -> None:
        self._backend = backend
        self._replies = replies
        self._statements: dict[str, _Prepared] = {}
        self._portals: dict[str, _Portal] = {}
        # After an error nothing counts but a Sync.
        self.is_skipping = False

    def forget_portals(self) -> None:
        self._portals.clear()

    def take(self, message: pg.PGMessage) -> Iterator[bytes]:
        """Answer one message. Raises Violation."""
        if isinstance(message, pg.Sync):
            self.is_skipping = False
            if not self._backend.transaction.is_open:
                self._portals.clear()
                self._backend.cursor.drop()
            yield self._replies.ready()
            return
        if self.is_skipping or isinstance(message, pg.Flush):
            return
        if self._backend.cursor.exchange is None:
            self._backend.cursor.begin()
        try:
            match message:
                case pg.Parse():
                    yield self._parse(message)
                case pg.Bind():
                    yield self._bind(message)
                case pg.Describe():
                    yield from self._describe(message)
                case pg.Execute():
                    yield from self._execute(message)
                case pg.Close():
                    yield self._close(message)
                case _:
                    raise Violation(f"{type(message).__name__} was not expected")
        except ERRORS as error:
            self.is_skipping = True
            yield self._replies.explain(error)

    def _parse(self, message: pg.Parse) -> bytes:
        commands = read(message.query)
        if len(commands) > 1:
            raise Refused("cannot insert multiple commands into a prepared statement", "42601")
        if message.statement and message.statement in self._statements:
            raise Refused(f'prepared statement "{message.statement}" already exists', "42P05")
        command = commands[0] if commands else None
        oids = list(message.param_types)
        if command is not None:
            self._backend.describing.check(command, oids)
        self._statements[message.statement] = _Prepared(command, oids)
        return self._replies.send(pg.ParseComplete())

    def _bind(self, message: pg.Bind) -> bytes:
        prepared = self._prepared(message.statement)
        oids = self._parameter_oids(prepared)
        given = message.param_values
        if len(given) != len(oids):
            raise Refused(
                f"bind message supplies {len(given)} parameters, "
                f"but the prepared statement requires {len(oids)}",
                "08P01",
            )
        formats = message.param_formats or [0]
        if len(formats) == 1:
            formats = formats * len(given)
        if len(formats) != len(given) or not set([*formats, *message.result_formats]) <= {0, 1}:
            raise Refused("the format codes do not fit the parameters", "08P01")
        if message.portal and message.portal in self._portals:
            raise Refused(f'cursor "{message.portal}" already exists', "42P03")
        values = [
            read_parameter(data, oid, f) for data, oid, f in zip(given, oids, formats, strict=True)
        ]
        self._portals[message.portal] = _Portal(prepared, values, list(message.result_formats))
        return self._replies.send(pg.BindComplete())

    def _parameter_oids(self, prepared: _Prepared) -> list[int]:
        """What each parameter is: as declared, as cast in the text, or text."""
        if prepared.command is None:
            return []
        casts = prepared.command.casts
        declared = prepared.command.declared(prepared.oids)
        return [oid or casts.get(n, 25) for n, oid in enumerate(declared, 1)]

    def _describe(self, message: pg.Describe) -> Iterator[bytes]:
        if message.kind == "S":
            prepared = self._prepared(message.name)
            oids = self._parameter_oids(prepared)
            columns = self._columns(prepared)
            yield self._replies.send(pg.ParameterDescription(type_oids=oids))
            yield self._replies.shape(columns, [])
        elif message.kind == "P":
            portal = self._portal(message.name)
            self._run_early(portal)
            result = portal.result
            columns = result.columns if result is not None else self._columns(portal.prepared)
            yield self._replies.shape(columns, portal.formats)
        else:
            raise Violation(f"cannot describe {message.kind!r}")

    def _run_early(self, portal: _Portal) -> None:
        """A query has all it needs: run, it tells its columns with certainty."""
        command = portal.prepared.command
        if command is None or not command.is_read or not command.is_select or portal.result:
            return
        if self._backend.describing.is_opaque(command):
            return
        result = self._backend.run(command, portal.values, portal.formats)
        assert isinstance(result, QueryResult)
        portal.result = result

    def _columns(self, prepared: _Prepared) -> Sequence[Column] | None:
        if prepared.command is None:
            return None
        return self._backend.describing.describe(prepared.command, self._parameter_oids(prepared))

    def _execute(self, message: pg.Execute) -> Iterator[bytes]:
        portal = self._portal(message.portal)
        command = portal.prepared.command
        if command is None:
            yield self._replies.send(pg.EmptyQueryResponse())
            return
        if portal.is_done and not command.is_select:
            raise Refused(f'portal "{message.portal}" cannot be run anymore', "55000")
        if portal.result is None:
            result = self._backend.run(command, portal.values, portal.formats)
            if not isinstance(result, QueryResult):
                raise Refused("COPY needs the simple query protocol")
            portal.result = result
        yield from self._run_portal(portal, portal.result, message.max_rows)
        yield from self._replies.time_zone(command)

    def _run_portal(self, portal: _Portal, result: QueryResult, limit: int) -> Iterator[bytes]:
        if result.columns is not None:
            yield from self._replies.rows(result, limit)
            # Also when nothing is left: so does PostgreSQL.
            if limit and result.fetched == limit:
                yield self._replies.send(pg.PortalSuspended())
                return
        portal.is_done = True
        yield self._replies.completed(result.tag)

    def _close(self, message: pg.Close) -> bytes:
        if message.kind == "S":
            self._statements.pop(message.name, None)
        elif message.kind == "P":
            self._portals.pop(message.name, None)
        else:
            raise Violation(f"cannot close {message.kind!r}")
        return self._replies.send(pg.CloseComplete())

    def _prepared(self, name: str) -> _Prepared:
        if name not in self._statements:
            raise Refused(f'prepared statement "{name}" does not exist', "26000")
        return self._statements[name]

    def _portal(self, name: str) -> _Portal:
        if name not in self._portals:
            raise Refused(f'portal "{name}" does not exist', "34000")
        return self._portals[name]
