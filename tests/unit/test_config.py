from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from dataclasses import asdict, fields, replace
from typing import Any

import pytest

from pgmd import Database, Endpoint, Replica
from pgmd.errors import ConfigurationError
from pgmd.replicas.kinds import wire
from pgmd.settings.engine import Settings, named
from pgmd.settings.secret import Secret
from pgmd.urls import from_url

TOKENS = {"MOTHERDUCK_TOKEN": "tok-rw-9f2", "MOTHERDUCK_READ_SCALING_TOKEN": "tok-rs-7c1"}
URL = "motherduck://analytics?region=us-east-1"


def read(url: str | None, environ: dict[str, str] | None = None, **keywords: Any) -> Settings:
    return from_url(url, keywords, environ or {})


def replicas_of(settings: Settings | Database) -> list[Replica]:
    return [replica for replica in settings.replicas if isinstance(replica, Replica)]


def test_motherduck_url_reaches_the_regions_endpoint_with_verified_tls() -> None:
    settings = read(URL, TOKENS)
    assert settings.endpoint is not None
    options = settings.endpoint.options
    assert options["host"] == "pg.us-east-1-aws.motherduck.com"
    assert (options["port"], options["dbname"], options["user"]) == (
        "5432",
        "analytics",
        "postgres",
    )
    assert (options["sslmode"], options["sslrootcert"]) == ("verify-full", "system")
    assert options["connect_timeout"] == 10
    assert options["keepalives"] == 1
    assert options["application_name"] == "pgmd"
    assert settings.endpoint.secret == "tok-rw-9f2"
    assert settings.endpoint.min_size == 0


def test_a_read_scaling_token_brings_four_replicas_each_with_its_own_session_name() -> None:
    replicas = replicas_of(read(URL, TOKENS))
    assert [r.session_name for r in replicas] == ["pgmd-1", "pgmd-2", "pgmd-3", "pgmd-4"]
    assert {r.motherduck for r in replicas} == {"analytics"}
    assert {r.current_token() for r in replicas} == {"tok-rs-7c1"}
    assert read(URL, {"MOTHERDUCK_TOKEN": "t"}).replicas == ()


def test_without_a_database_name_the_default_database_is_meant() -> None:
    endpoint = read("motherduck://?region=eu-west-1", TOKENS).endpoint
    assert endpoint is not None
    assert endpoint.options["dbname"] == "md:"


def test_libpq_before_16_gets_certifis_roots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psycopg.pq.version", lambda: 150018)
    endpoint = read(URL, TOKENS).endpoint
    assert endpoint is not None
    assert endpoint.options["sslrootcert"].endswith("cacert.pem")


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer"])
def test_plaintext_towards_motherduck_is_refused(mode: str) -> None:
    with pytest.raises(ConfigurationError, match=f"sslmode={mode}"):
        read(f"postgresql://postgres:x@pg.us-east-1-aws.motherduck.com/md:?sslmode={mode}")


def test_a_motherduck_host_in_a_postgresql_url_gets_the_same_tls() -> None:
    endpoint = read("postgresql://postgres:x@pg.us-east-1-aws.MotherDuck.com./analytics").endpoint
    assert endpoint is not None
    assert endpoint.is_motherduck
    assert endpoint.options["sslmode"] == "verify-full"


def test_postgresql_url_keeps_libpqs_own_parameters() -> None:
    settings = read("postgresql://u@h:5433/db?sslmode=require&replicas=2&connect_timeout=3")
    assert settings.endpoint is not None
    options = settings.endpoint.options
    assert (options["sslmode"], options["connect_timeout"]) == ("require", "3")
    assert [r.name for r in settings.replicas] == ["replica-1", "replica-2"]
    assert replicas_of(settings)[0].mode == "live"


def test_a_socket_folder_as_host_survives_the_url() -> None:
    settings = read("postgresql://postgres@/db?host=/tmp/socket%20dir&replicas=1")
    assert settings.endpoint is not None
    assert settings.endpoint.options["host"] == "/tmp/socket dir"


def test_a_local_url_serves_a_file_and_reads_its_snapshots() -> None:
    settings = read("local:./app.duckdb?replicas=3&max_size=4&refresh=5")
    assert settings.endpoint is not None
    assert (settings.endpoint.file, settings.endpoint.max_size) == ("./app.duckdb", 4)
    assert [(r.local, r.refresh, r.name) for r in replicas_of(settings)] == [
        ("./app.duckdb", 5.0, f"replica-{n}") for n in (1, 2, 3)
    ]
    assert len(read("local:/data/app.duckdb").replicas) == 2
    assert read("local:app%20one.duckdb").endpoint.file == "app one.duckdb"  # type: ignore[union-attr]


def test_a_served_file_has_a_password_that_nobody_sees() -> None:
    one, two = (read(f"local:{name}.duckdb").endpoint for name in ("app", "other"))
    assert one is not None
    assert two is not None
    assert len(str(one.secret)) > 20
    assert one.secret != two.secret
    assert str(one.secret) not in repr(one)
    assert one.secret in read("local:app.duckdb", password=one.secret).secrets
    served = one.served_at(f"host=127.0.0.1 port=1 password={one.secret}")
    assert (served.file, served.secret, served.max_size) == (None, one.secret, one.max_size)


def test_equal_settings_of_a_file_are_equal() -> None:
    assert Endpoint(file="app.duckdb") == Endpoint(file="app.duckdb")
    assert Endpoint(file="app.duckdb").secret == Endpoint(file="app.duckdb").secret
    assert Endpoint(file="app.duckdb") != Endpoint(file="app.duckdb", password="w")


def test_another_process_cannot_tell_the_password_of_a_served_file() -> None:
    shown = subprocess.run(
        [sys.executable, "-c", "import pgmd; print(pgmd.Endpoint(file='app.duckdb').secret)"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert len(shown.strip()) == len(str(Endpoint(file="app.duckdb").secret))
    assert shown.strip() != Endpoint(file="app.duckdb").secret


def test_keywords_come_before_the_environment() -> None:
    environ = {"PGMD_ENDPOINT": "postgresql://h/db", "PGMD_MAX_SIZE": "7", "PGMD_REPLICAS": "1"}
    assert read(None, environ).endpoint.max_size == 7  # type: ignore[union-attr]
    assert read(None, environ, max_size=3).endpoint.max_size == 3  # type: ignore[union-attr]
    assert len(read(None, environ).replicas) == 1


@pytest.mark.parametrize(
    ("url", "environ", "keywords", "named_in_message"),
    [
        (None, {}, {}, "PGMD_ENDPOINT"),
        ("mysql://h/db", {}, {}, "'mysql'"),
        ("just-a-word", {}, {}, "'none'"),
        ("postgresql://h:notaport/db", {}, {}, "malformed URL"),
        ("postgresql://[::1/db", {}, {}, "malformed URL"),
        ("postgresql://h/db?sslmod=require", {}, {}, "'sslmod'"),
        ("motherduck://user:pw@db?region=us-east-1", TOKENS, {}, "malformed URL"),
        ("motherduck://db/x?region=us-east-1", TOKENS, {}, "malformed URL"),
        ("motherduck://db?region=us-east-1&token=abc", TOKENS, {}, "token: must not be in a URL"),
        ("motherduck://db?region=mars", TOKENS, {}, "region='mars'"),
        ("motherduck://db", TOKENS, {}, "region: missing"),
        (URL, {}, {}, "MOTHERDUCK_TOKEN"),
        (URL, {"MOTHERDUCK_TOKEN": "t"}, {"replicas": 2}, "MOTHERDUCK_READ_SCALING_TOKEN"),
        (URL, TOKENS, {"replica_mode": "snapshot"}, "replica_mode"),
        (URL + "&replicas=2", TOKENS, {"replicas": 3}, "replicas: the URL and the keyword"),
        (URL, TOKENS, {"flock": 3}, "unknown keyword flock"),
        (URL + "&flock=3", TOKENS, {}, "unknown URL parameter flock"),
        (URL, {**TOKENS, "PGMD_FLOCK": "3"}, {}, "PGMD_FLOCK"),
        (URL, {**TOKENS, "PGMD_MAX_SIZE": "many"}, {}, "PGMD_MAX_SIZE"),
        (URL, TOKENS, {"replicas": 1000}, "replicas=1000"),
        (URL, TOKENS, {"inactivity_ttl": "soon"}, "inactivity_ttl='soon'"),
        ("postgresql://h/db", {}, {"region": "us-east-1"}, "region"),
        ("postgresql://h/db", {}, {"refresh": 5}, "refresh"),
        ("postgresql://h/db", {}, {"replicas": 1, "refresh": 5}, "mode='snapshot'"),
        ("local:", {}, {}, "local:<file>"),
        ("local://host/app.duckdb", {}, {}, "local:<file>"),
        ("local::memory:", {}, {}, "local:<file>"),
        ("local:./folder/", {}, {}, "local:<file>"),
        ("local:app.duckdb?region=us-east-1", {}, {}, "region: a local: URL"),
        ("local:app.duckdb", {}, {"replica_mode": "snapshot"}, "replica_mode: a local: URL"),
        ("local:app.duckdb", {}, {"refresh": 0}, "refresh=0"),
        ("postgresql://h/db", {}, {"replicas": 1, "replica_mode": "lazy"}, "mode='lazy'"),
        ("postgresql://h/db", {}, {"max_size": 0}, "max_size=0"),
        ("postgresql://h/db", {}, {"min_size": 5, "max_size": 2}, "min_size=5"),
        ("postgresql://h/db", {}, {"timeout": 0}, "timeout=0"),
        ("postgresql://h/db", {}, {"max_size": True}, "max_size"),
        ("postgresql://h/db", {}, {"consistency": "maybe"}, "consistency='maybe'"),
        ("postgresql://h/db", {}, {"max_staleness": -1}, "max_staleness=-1"),
        ("postgresql://u:pw@h/db", {}, {"password": "other"}, "password: given both"),
    ],
)
def test_a_bad_setting_is_named(
    url: str | None, environ: dict[str, str], keywords: dict[str, Any], named_in_message: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(url, environ, **keywords)
    assert named_in_message in str(caught.value)


@pytest.mark.parametrize(
    "keywords",
    [
        {},
        {"file": "a", "postgres": "b"},
        {"file": "a", "token": "t"},
        {"file": "a", "mode": "snapshot"},
        {"postgres": "", "tables": ["t"]},
        {"postgres": "", "mode": "snapshot", "refresh": 0},
        {"file": "a", "max_size": 0},
        {"file": "a", "threads": 0},
        {"motherduck": "db"},
        {"file": "a", "password": "p"},
        {"local": "a", "file": "a"},
        {"local": "a", "tables": ["t"]},
        {"local": "a", "refresh": -1},
        {"file": "a", "refresh": 1},
    ],
)
def test_a_replica_that_contradicts_itself_is_refused(keywords: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Replica(**keywords)


@pytest.mark.parametrize(
    "keywords", [{"conninfo": "host=h", "file": "a"}, {"file_options": {"port": 1}}]
)
def test_an_endpoint_that_contradicts_itself_is_refused(keywords: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Endpoint(**keywords)


@pytest.mark.parametrize(
    "settings",
    [
        Endpoint("host=h", password="tok-rw-9f2"),
        Endpoint("postgresql://u:tok-rw-9f2@h/db"),
        Endpoint("host=h sslpassword=tok-rw-9f2"),
        Endpoint(file="app.duckdb", password="tok-rw-9f2"),
        Endpoint.motherduck("db", region="us-east-1", token="tok-rw-9f2"),
        Replica(motherduck="db", token="tok-rw-9f2"),
        Replica(wire="host=h", token="tok-rw-9f2"),
        Replica(wire="host=h password=tok-rw-9f2"),
        Replica(postgres="host=h", password="tok-rw-9f2"),
        Replica(postgres="postgresql://u:tok-rw-9f2@h/db", mode="snapshot"),
        Replica(ducklake="postgres:host=h password=tok-rw-9f2"),
        Replica(ducklake="ducklake:postgres:host=h", password="tok-rw-9f2"),
        read("postgresql://u@h/db", password="tok-rw-9f2", replicas=1),
        read(f"{URL}&replicas=1", {**TOKENS, "MOTHERDUCK_READ_SCALING_TOKEN": "tok-rw-9f2"}),
        Settings(databases={"a": Database(Endpoint("host=h password=tok-rw-9f2"))}),
    ],
    ids=repr,
)
def test_what_holds_a_secret_shows_it_to_nobody(settings: Any) -> None:
    assert set(settings.secrets) == {"tok-rw-9f2"}
    for shown in (repr(settings), str(asdict(settings)), str(vars_of(settings))):
        assert "tok-" not in shown
    with pytest.raises(TypeError, match="a secret is not pickled"):
        pickle.dumps(settings)
    assert copy.deepcopy(settings) == settings
    assert copy.deepcopy(settings).secrets == settings.secrets


def vars_of(settings: Any) -> dict[str, Any]:
    return {f.name: getattr(settings, f.name) for f in fields(settings)}


def test_a_replica_shows_what_was_given() -> None:
    replica = Replica(postgres="host=h password=p", mode="snapshot", tables=("t",), refresh=5)
    assert repr(replica) == "Replica(refresh=5, mode='snapshot', tables=('t',))"
    assert repr(Replica(file="x.duckdb", max_size=3)) == "Replica(max_size=3, file='x.duckdb')"


def test_settings_without_secrets_can_be_pickled() -> None:
    for settings in (Endpoint("host=h"), Replica(file="a"), read("postgresql://u@h/d", replicas=1)):
        assert pickle.loads(pickle.dumps(settings)) == settings


def test_a_secret_may_be_given_as_one() -> None:
    token = Secret("tok-rw-9f2")
    assert Endpoint("host=h", password=token) == Endpoint("host=h", password="tok-rw-9f2")
    assert Endpoint("host=h", password=token) != Endpoint("host=h", password="tok-rw-9f3")
    assert Replica(motherduck="d", token=token).current_token() == "tok-rw-9f2"
    given = read("postgresql://u@h/db", password=token, replicas=1)
    assert given == read("postgresql://u@h/db", password="tok-rw-9f2", replicas=1)
    assert Replica(postgres="host=h", password=token, name="a") == replace(
        Replica(postgres="host=h", password=token), name="a"
    )
    assert hash(token) == hash(Secret("tok-rw-9f2"))
    assert token != "tok-rw-9f2"


def test_two_replicas_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="name"):
        Settings(replicas=named((Replica(file="a", name="x"), Replica(file="b", name="x"))))


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError):
        Endpoint("host=h").max_size = 3  # type: ignore[misc]


SECRET = "s3cr3t/p%40ss"


@pytest.mark.parametrize(
    "settings",
    [
        read(URL, TOKENS),
        read("postgresql://u:tok-rw-9f2@h/db", replicas=1),
        read("postgresql://u@h/db", password="tok-rw-9f2", replicas=1),
    ],
)
def test_no_secret_in_a_repr(settings: Settings) -> None:
    for part in (settings, settings.endpoint, *settings.replicas):
        assert "tok-" not in repr(part)
        assert "tok-" not in str(part)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:tok-rw-9f2@h:bad/db",
        "postgresql://u:tok-rw-9f2@[h/db",
        "postgresql://u:tok rw@h/db?x",
        "tok-rw-9f2://h",
        "mysql://u:tok-rw-9f2@h",
        "host=h password='tok-rw-9f2",
        "motherduck://db?region=us-east-1&token=tok-rw-9f2",
    ],
)
def test_no_secret_in_a_message_about_a_bad_url(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(url, TOKENS)
    chain: BaseException | None = caught.value
    while chain is not None:
        assert "tok-rw" not in str(chain)
        assert chain.__suppress_context__ or chain.__context__ is None
        chain = chain.__cause__


def test_a_motherduck_url_may_name_several_databases() -> None:
    settings = read("motherduck://sales,stock?region=us-east-1&replicas=2", TOKENS)
    assert (settings.endpoint, settings.replicas) == (None, ())
    assert list(settings.databases) == ["sales", "stock"]
    for name, database in settings.databases.items():
        assert database.endpoint is not None
        assert database.endpoint.options["dbname"] == name
        assert [r.motherduck for r in replicas_of(database)] == [name, name]
        assert [r.name for r in database.replicas] == [f"{name}/replica-1", f"{name}/replica-2"]
    assert set(settings.secrets) == {"tok-rw-9f2", "tok-rs-7c1"}


@pytest.mark.parametrize("names", ["sales,", ",sales", "sales,sales"])
def test_each_of_several_databases_has_a_name_of_its_own(names: str) -> None:
    with pytest.raises(ConfigurationError, match="each has a name of its own"):
        read(f"motherduck://{names}?region=us-east-1", TOKENS)


def test_replicas_over_the_wire_use_the_read_scaling_token_and_stay_on_one_duckling() -> None:
    replicas = replicas_of(read(f"{URL}&replica_mode=wire&replicas=2&session_name=web", TOKENS))
    for number, replica in enumerate(replicas, start=1):
        options = wire.options(replica)
        assert options["host"] == "pg.us-east-1-aws.motherduck.com"
        assert options["options"] == f"-c session_name=web-{number}"
        assert (options["sslmode"], options["sslrootcert"]) == ("verify-full", "system")
        assert "password" not in options
        assert replica.current_token() == "tok-rs-7c1"
        assert wire.database(replica) == "analytics"
    with pytest.raises(ConfigurationError, match="'duckdb' or 'wire'"):
        read(f"{URL}&replica_mode=live", TOKENS)


def test_the_default_database_has_no_name_over_the_wire() -> None:
    settings = read("motherduck://?region=us-east-1&replica_mode=wire&replicas=1", TOKENS)
    (replica,) = replicas_of(settings)
    assert wire.options(replica)["dbname"] == "md:"
    assert wire.database(replica) == ""


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"wire": "host=h", "threads": 2}, "threads: a replica with wire= has no instance"),
        ({"wire": "host=h password=p", "token": "t"}, "token: given both"),
        (
            {"wire": "host=pg.us-east-1-aws.motherduck.com sslmode=prefer", "token": "t"},
            "sslmode=prefer",
        ),
        ({"wire": "host=h", "inactivity_ttl": "1m"}, "inactivity_ttl: only"),
        ({"file": "f", "token": "t"}, "token: only a replica with motherduck= or wire="),
        ({"file": "f", "wire": "host=h"}, "exactly one source"),
        ({"ducklake": "mysql:db=x"}, "ducklake: expected a file"),
        ({"ducklake": "ducklake:"}, "ducklake: expected a file"),
        ({"ducklake": "f", "password": "p"}, "password: for a catalogue in Postgres"),
        ({"ducklake": "postgres:password=p", "password": "p"}, "given once"),
        ({"ducklake": "postgres:host"}, "malformed URL or conninfo"),
        ({"ducklake": "f", "tables": ["t"]}, "tables: only a replica with mode='snapshot' takes"),
        ({"file": "f", "data_path": "d"}, "data_path: only a replica with ducklake= takes it"),
        ({"file": "f", "min_size": 2}, "min_size=2: a replica takes 0 or 1"),
        ({"file": "f", "open_timeout": 0}, "open_timeout=0: must be a number of seconds"),
        ({"file": "f", "max_lifetime": -1}, "max_lifetime=-1: must be a number of seconds"),
    ],
)
def test_a_replicas_settings_that_make_no_sense(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Replica(**settings)


def test_upkeep_can_be_set_in_a_url() -> None:
    settings = read(
        f"{URL}&replicas=1&open_timeout=5&replica_max_lifetime=60&replica_min_size=0"
        "&replica_max_idle=7&endpoint_spill=3",
        TOKENS,
    )
    (replica,) = settings.replicas
    assert (replica.open_timeout, replica.max_lifetime) == (5, 60)
    assert (replica.min_size, replica.max_idle) == (0, 7)
    assert settings.spill == 3


def test_a_token_function_is_called_when_a_token_is_needed_only() -> None:
    calls: list[int] = []

    def token() -> str:
        calls.append(1)
        return "tok-rs-7c1"

    replica = Replica(motherduck="analytics", token=token)
    assert (replica.secrets, calls) == ([], [])
    assert replica.current_token() == "tok-rs-7c1"
    assert calls == [1]


def test_a_database_is_not_empty_and_names_are_unique_in_an_engine() -> None:
    with pytest.raises(ConfigurationError, match="an endpoint, replicas or both"):
        Database()
    twice = {name: Database(replicas=(Replica(file="f", name="r"),)) for name in ("a", "b")}
    with pytest.raises(ConfigurationError, match="two replicas are called the same"):
        Settings(databases=twice)
