"""Promise 6: whatever goes wrong, no password and no token is in anything that pgmd says."""

from __future__ import annotations

import logging
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import pgmd
from pgmd.testing.servers import Server

from ..fixtures.postgres import new_database
from ..fixtures.stands import local_stand
from .places import counting_server, instance_of

# The second one is written differently in a URL, in a keyword string and in SQL.
SECRETS = ["hunter2-c0ffee", "it's a \\ p@ss&w=rd%"]


def forms_of(secret: str) -> set[str]:
    """How a secret may be written."""
    doubled = secret.replace("'", "''")
    escaped = secret.replace("\\", "\\\\").replace("'", "\\'")
    return {
        secret,
        quote(secret),
        quote(secret, safe=""),
        doubled,
        escaped,
        escaped.replace("'", "''"),
    }


class Said:
    """Everything that was said, and whether a secret is in it."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, *things: object) -> None:
        for thing in things:
            self.texts += [str(thing), repr(thing)]

    def error(self, error: BaseException) -> None:
        """All of an error: its chain is what a debugger or an error tracker shows."""
        self.texts += traceback.format_exception(error)
        pending: list[BaseException | None] = [error]
        seen: list[BaseException] = []
        while pending:
            one = pending.pop()
            if one is None or one in seen:
                continue
            seen.append(one)
            self.note(one, one.args, getattr(one, "__notes__", ""))
            pending += [one.__cause__, one.__context__]

    def failing(self, work: Callable[[], object], kind: type[Exception] = psycopg.Error) -> None:
        with pytest.raises(kind) as caught:
            work()
        self.error(caught.value)

    def with_secret(self, *secrets: str) -> list[str]:
        forms = set().union(*map(forms_of, secrets))
        return [text for text in self.texts if any(form in text for form in forms)]


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[Said]:
    caplog.set_level(logging.DEBUG)
    told = Said()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        yield told
    told.note(*(w.message for w in warned))
    told.note(*(record.getMessage() for record in caplog.records))
    told.texts.append(caplog.text)
    assert told.with_secret(*SECRETS) == []


@pytest.fixture
def role(embedded: Server) -> Iterator[Callable[[str], str]]:
    """Makes the URL of an empty database for a user with this password."""
    with new_database(embedded) as name, psycopg.connect(embedded.dsn, autocommit=True) as admin:
        where = urlsplit(embedded.dsn)
        made: list[str] = []

        def make(password: str) -> str:
            user = f"{name}_{len(made)}"
            made.append(user)
            literal = psycopg.sql.Literal(password)
            admin.execute(
                psycopg.sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                    psycopg.sql.Identifier(user), literal
                )
            )
            admin.execute(
                psycopg.sql.SQL("ALTER DATABASE {} OWNER TO {}").format(
                    psycopg.sql.Identifier(name), psycopg.sql.Identifier(user)
                )
            )
            at = f"{user}:{quote(password, safe='')}@"
            return where._replace(netloc=at, path=f"/{name}").geturl()

        yield make
        admin.execute(
            psycopg.sql.SQL("DROP DATABASE {} WITH (FORCE)").format(psycopg.sql.Identifier(name))
        )
        for user in made:
            admin.execute(psycopg.sql.SQL("DROP ROLE {}").format(psycopg.sql.Identifier(user)))
        admin.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name)))


def _look_around(said: Said, engine: pgmd.Engine) -> None:
    said.note(engine, engine._core.settings, engine.stats(), engine._core.replicas.failures)
    said.note(*engine._core.settings.replicas, engine._core.settings.endpoint)
    with engine.session() as s:
        result = s.execute("SELECT 1 AS a")
        said.note(s, result, result.decision, s.explain("SELECT 1 AS a"), s.bookmark)
        said.failing(lambda: s.execute("SELECT nothing FROM nowhere"))
        said.failing(lambda: s.execute("SELECT * FROM read_text('/etc/passwd')", route="replica"))


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("mode", ["live", "snapshot"])
def test_an_engine_that_works_and_one_whose_database_is_gone(
    said: Said, role: Callable[[str], str], embedded: Server, mode: str, secret: str
) -> None:
    dsn = role(secret)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS a")
    with pgmd.connect(dsn, replicas=1, replica_mode=mode, timeout=2) as engine:
        assert engine.stats()["replicas"]["replicas"] == 1
        _look_around(said, engine)
        said.note(_what_the_instance_shows(engine))
        name = conninfo_to_dict(dsn)["dbname"]
        with psycopg.connect(embedded.dsn, autocommit=True) as admin:
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        with engine.session() as s:
            said.failing(lambda: s.execute("SELECT 1 AS a", route="endpoint"))
            if mode == "live":
                said.failing(lambda: _read_the_catalogue(engine))
            else:
                said.failing(engine.publish)
        said.note(engine.stats(), engine)
    with psycopg.connect(embedded.dsn, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"')


def _what_the_instance_shows(engine: pgmd.Engine) -> list[Any]:
    cursor = instance_of(engine).cursor()
    questions = [
        "FROM duckdb_secrets()", "FROM duckdb_databases()", "FROM duckdb_settings()",
        "FROM duckdb_logs()", "FROM duckdb_views()", "FROM which_secret('', 'postgres')",
        "FROM pragma_database_list", "FROM duckdb_variables()", "FROM duckdb_prepared_statements()",
    ]  # fmt: skip
    shown = [cursor._connection.execute(question).fetchall() for question in questions]
    cursor.close()
    return shown


def _read_the_catalogue(engine: pgmd.Engine) -> None:
    """What a live replica does from time to time, told as pgmd tells it."""
    instance = engine._core.replicas.members[0].instance
    try:
        instance.look()
    except Exception as error:
        raise pgmd.ReplicaError(engine._core.redact(str(error))) from error


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("wrong", ["password", "host", "database", "hangs up"])
@pytest.mark.parametrize("side", ["endpoint", "replica", "copy", "beside an endpoint"])
def test_what_cannot_be_reached(
    said: Said, role: Callable[[str], str], secret: str, wrong: str, side: str, unused_port: int
) -> None:
    good = role("another-one")
    with counting_server() as visitors:
        wrongs: dict[str, dict[str, Any]] = {
            "password": {"password": secret},
            "host": {"host": "127.0.0.1", "port": unused_port, "password": secret},
            "hangs up": {"host": "127.0.0.1", "port": visitors.port, "password": secret},
            "database": {"dbname": secret, "password": "another-one"},
        }
        bad = make_conninfo(good, connect_timeout=5, **wrongs[wrong])
        if wrong == "database":
            # Then it is no secret, but the password is.
            bad = make_conninfo(good, dbname="nowhere")
        mode: Any = "snapshot" if side == "copy" else "live"
        replica = pgmd.Replica(postgres=bad, mode=mode)
        endpoint = pgmd.Endpoint(good if side == "beside an endpoint" else bad)
        said.note(replica, endpoint)
        if side == "beside an endpoint":
            with pgmd.Engine(endpoint, [replica]) as engine:
                assert engine.stats()["replicas"]["replicas"] == 0
                _look_around(said, engine)
        elif side == "endpoint":
            said.failing(lambda: pgmd.Engine(endpoint).open())
        else:
            said.failing(lambda: pgmd.Engine(replicas=[replica]).open(), pgmd.ReplicaError)
    assert said.with_secret("another-one") == []


@pytest.mark.parametrize("secret", SECRETS)
def test_a_local_endpoint_that_ends(said: Said, tmp_path: Path, secret: str) -> None:
    with local_stand(tmp_path, password=secret, read_scaling_token=f"{secret}-reader") as stand:
        engine = pgmd.Engine(stand.endpoint(timeout=2), stand.replicas(1))
        engine.open()
        _look_around(said, engine)
    with engine.session() as s:
        said.failing(lambda: s.execute("CREATE TABLE n AS SELECT 1 AS a"))
    said.failing(engine.publish)
    said.note(engine, engine.stats())
    engine.close()
    said.failing(lambda: pgmd.Engine(stand.endpoint()).open())


@pytest.mark.parametrize("secret", SECRETS)
def test_what_is_refused_before_anything_is_tried(said: Said, tmp_path: Path, secret: str) -> None:
    quoted = quote(secret, safe="")
    refused: list[Callable[[], object]] = [
        lambda: pgmd.connect(f"postgresql://u:{quoted}@[nowhere/db"),
        lambda: pgmd.connect(f"postgresql://u:{quoted}@h/db?flock=3"),
        lambda: pgmd.connect(f"postgresql://u:{quoted}@h/db", flock=3),
        lambda: pgmd.connect(f"postgresql://u:{quoted}@h/db", password=secret),
        lambda: pgmd.connect(f"mysql://u:{quoted}@h/db"),
        lambda: pgmd.connect(f"motherduck://db?token={quoted}&flock=3"),
        lambda: pgmd.connect(f"motherduck://db?region=x&token={quoted}"),
        lambda: pgmd.connect("motherduck://db?region=x", environ={"MOTHERDUCK_TOKEN": secret}),
        lambda: pgmd.connect(environ={"PGMD_ENDPOINT": f"postgresql://u:{quoted}@[h"}),
        lambda: pgmd.Endpoint(f"postgresql://u:{quoted}@h/db", password=secret),
        lambda: pgmd.Endpoint(f"host=h password='{secret}"),
        lambda: pgmd.Endpoint.motherduck("db", region="nowhere", token=secret),
        lambda: pgmd.Endpoint("host=pg.us-east-1-aws.motherduck.com sslmode=disable", password=secret),
        lambda: pgmd.Replica(postgres=f"postgresql://u:{quoted}@[h"),
        lambda: pgmd.Replica(file="a", password=secret),
        lambda: pgmd.Replica(file="a", token=secret),
        lambda: pgmd.Replica(motherduck="db", token=secret, inactivity_ttl="soon"),
        lambda: pgmd.Replica(motherduck="db", token=secret, file="a"),
        lambda: pgmd.Engine(replicas=[pgmd.Replica(file=tmp_path / "none")]).open(),
        lambda: pgmd.Engine(replicas=[pgmd.Replica(local=tmp_path / "none")]).open(),
    ]  # fmt: skip
    for work in refused:
        said.failing(work)
    said.note(
        pgmd.Replica(motherduck="db", token=secret),
        pgmd.Endpoint.motherduck("db", region="us-east-1", token=secret),
        pgmd.Engine(
            pgmd.Endpoint.motherduck("db", region="us-east-1", token=secret),
            [pgmd.Replica(motherduck="db", token=secret)],
        )._core.settings,
    )


def test_the_scan_finds_a_secret_in_every_place(caplog: pytest.LogCaptureFixture) -> None:
    said = Said()
    try:
        try:
            raise ValueError("hunter2-c0ffee")
        except ValueError:
            raise RuntimeError("hidden") from None
    except RuntimeError as error:
        said.error(error)
    assert len(said.with_secret("hunter2-c0ffee")) >= 2
    said.texts = ["it''s a \\ p@ss&w=rd%", "it%27s%20a%20%5C%20p%40ss%26w%3Drd%25"]
    assert len(said.with_secret(SECRETS[1])) == 2
