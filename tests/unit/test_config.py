from __future__ import annotations

from typing import Any

import pytest

from pgmd.config import Endpoint, Replica, Settings, named
from pgmd.errors import ConfigurationError
from pgmd.urls import from_url

TOKENS = {"MOTHERDUCK_TOKEN": "tok-rw-9f2", "MOTHERDUCK_READ_SCALING_TOKEN": "tok-rs-7c1"}
URL = "motherduck://analytics?region=us-east-1"


def read(url: str | None, environ: dict[str, str] | None = None, **keywords: Any) -> Settings:
    return from_url(url, keywords, environ or {})


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
    replicas = read(URL, TOKENS).replicas
    assert [r.session_name for r in replicas] == ["pgmd-1", "pgmd-2", "pgmd-3", "pgmd-4"]
    assert {r.motherduck for r in replicas} == {"analytics"}
    assert {r.secret for r in replicas} == {"tok-rs-7c1"}
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
    assert settings.replicas[0].mode == "live"


def test_a_socket_folder_as_host_survives_the_url() -> None:
    settings = read("postgresql://postgres@/db?host=/tmp/socket%20dir&replicas=1")
    assert settings.endpoint is not None
    assert settings.endpoint.options["host"] == "/tmp/socket dir"


def test_a_local_url_serves_a_file_and_reads_its_snapshots() -> None:
    settings = read("local:./app.duckdb?replicas=3&max_size=4&refresh=5")
    assert settings.endpoint is not None
    assert (settings.endpoint.file, settings.endpoint.max_size) == ("./app.duckdb", 4)
    assert [(r.local, r.refresh, r.name) for r in settings.replicas] == [
        ("./app.duckdb", 5.0, f"replica-{n}") for n in (1, 2, 3)
    ]
    assert len(read("local:/data/app.duckdb").replicas) == 2
    assert read("local:app%20one.duckdb").endpoint.file == "app one.duckdb"  # type: ignore[union-attr]


def test_a_served_file_has_a_password_that_nobody_sees() -> None:
    one, two = (read("local:app.duckdb").endpoint for _ in range(2))
    assert one is not None
    assert two is not None
    assert len(str(one.secret)) > 20
    assert one.secret != two.secret
    assert str(one.secret) not in repr(one)
    assert one.secret in read("local:app.duckdb", password=one.secret).secrets
    served = one.served_at(f"host=127.0.0.1 port=1 password={one.secret}")
    assert (served.file, served.secret, served.max_size) == (None, one.secret, one.max_size)


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
