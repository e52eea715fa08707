"""Promise 7 where the replica is MotherDuck's: what is planned, since none can be opened here."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

import pgmd
from pgmd.replicas.kinds import motherduck
from pgmd.replicas.plans import Plan, Terms

TOKEN = "tok-4b7e"


@pytest.fixture
def plan() -> Plan:
    replica = pgmd.Replica(
        motherduck="my&saas_mode=false db",
        token=TOKEN,
        session_name="a&access_mode=x",
        threads=2,
        memory_limit="1GB",
    )
    return motherduck.plan(replica, Terms(), TOKEN, number=7)


def test_a_replica_asks_for_saas_mode_and_only_to_read(plan: Plan) -> None:
    parameters = parse_qs(urlsplit(plan.database).query, strict_parsing=True)
    assert parameters["saas_mode"] == ["true"]
    assert parameters["access_mode"] == ["read_only"]
    assert parameters["attach_mode"] == ["single"]
    assert parameters["session_name"] == ["a&access_mode=x"]


def test_its_settings_are_locked_and_the_program_is_out_of_reach(plan: Plan) -> None:
    assert plan.lock_down[-1] == "SET lock_configuration = true"
    assert plan.config["python_enable_replacements"] == "false"
    assert (plan.config["threads"], plan.config["memory_limit"]) == ("2", "1GB")


def test_its_token_is_in_the_settings_only(plan: Plan) -> None:
    assert plan.config["motherduck_token"] == TOKEN
    statements = [
        *plan.setup,
        *plan.lock_down,
        plan.refresh,
        plan.check,
        plan.probe,
    ]
    for text in (plan.database, repr(plan), *map(str, statements)):
        assert TOKEN not in text


def test_nothing_can_be_smuggled_into_the_path() -> None:
    replica = pgmd.Replica(motherduck="db?saas_mode=false", token=TOKEN)
    path = motherduck.path(replica, 7)
    assert path.startswith("md:db%3Fsaas_mode%3Dfalse?")
    assert path.count("saas_mode=") == 1
