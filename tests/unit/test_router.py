from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from pgmd.config import Replica
from pgmd.profile import Dialect
from pgmd.routing.affinity import rendezvous
from pgmd.routing.catalogue import Catalogue
from pgmd.routing.decision import Decision, Reason, Route
from pgmd.routing.router import Site, objection, stale
from pgmd.sql import Fact, analyse

ROOT = Path(__file__).parents[2]
SITE = Site(
    has_endpoint=True,
    has_replicas=True,
    replicas_open=True,
    dialect=Dialect.POSTGRES,
    catalogues=(Catalogue.read(["s"], [("s", "amounts", "amount", "numeric", True, True)]),),
)


@pytest.mark.parametrize(
    ("sql", "site", "reason"),
    [
        ("SELECT 1", SITE, None),
        ("SELECT 1", replace(SITE, replicas_open=False), Reason.REPLICAS_DOWN),
        ("SELECT 1", replace(SITE, has_replicas=False, replicas_open=False), Reason.NO_REPLICAS),
        ("DELETE FROM t", SITE, Reason.NOT_A_READ),
        ("SELEC 1", SITE, Reason.NOT_A_READ),
        ("SELECT 7/2", SITE, Reason.DIALECT),
        ("SELECT 7/2", replace(SITE, dialect=Dialect.DUCKDB), None),
        ("SELECT amount FROM amounts", SITE, Reason.CATALOGUE),
    ],
)
def test_rules(sql: str, site: Site, reason: Reason | None) -> None:
    found = objection(analyse(sql), site)
    assert (found.reason if found else None) is reason
    assert found is None or found.route is Route.ENDPOINT


def test_stale_says_how_old_the_freshest_is() -> None:
    facts = Fact.READS
    assert "the freshest is 2.5 s old" in stale("session", [None, 7.0, 2.5], facts).explain()
    assert stale("session", [None], facts).detail == ""
    assert stale("strong", [1.0], facts).reason is Reason.STRONG


def test_a_decision_is_one_line_for_people() -> None:
    decision = Decision(Route.REPLICA, Reason.READ, replica="replica-1")
    assert decision.explain().startswith("replica-1: a confirmed read")
    for reason in Reason:
        assert "\n" not in reason.value
        assert not reason.value.endswith(".")


def test_every_reason_is_given_somewhere() -> None:
    code = "".join(path.read_text() for path in (ROOT / "pgmd").rglob("*.py"))
    for reason in Reason:
        assert re.search(rf"Reason\.{reason.name}\b", code), reason


def test_adding_a_replica_moves_only_its_own_share_of_users() -> None:
    replicas = [Replica(file="x", name=f"replica-{n}") for n in range(1, 6)]
    users = [f"user-{n}" for n in range(2000)]
    before = {user: rendezvous(user, replicas[:4]).name for user in users}
    after = {user: rendezvous(user, replicas).name for user in users}
    moved = [user for user in users if before[user] != after[user]]
    assert {after[user] for user in moved} == {"replica-5"}
    assert 300 < len(moved) < 500
