from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from pgmd import Replica
from pgmd.routing.affinity import rendezvous
from pgmd.routing.catalogue import Catalogue
from pgmd.routing.decision import Decision, Reason, Route
from pgmd.routing.router import Site, decide, objection, stale
from pgmd.servers.profile import Dialect
from pgmd.sql import Fact, analyse

ROOT = Path(__file__).parents[2]
SITE = Site(
    has_endpoint=True,
    has_replicas=True,
    dialect=Dialect.POSTGRES,
    catalogues=(Catalogue.read(["s"], [("s", "amounts", "amount", "numeric", True, True)]),),
)


@pytest.mark.parametrize(
    ("sql", "site", "reason"),
    [
        ("SELECT 1", SITE, None),
        ("SELECT 1", replace(SITE, has_replicas=False), Reason.NO_REPLICAS),
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


# ------------------------------------------------------------------------------ explaining


def test_the_readme_lists_every_reason() -> None:
    table = {f"| {r.name} | {r.value} | {r.remedy or '-'} |" for r in Reason}
    lines = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("|")]
    assert table <= set(lines)
    named = {line.split("|")[1].strip() for line in lines if re.match(r"\| [A-Z_]+ \|", line)}
    assert named == {reason.name for reason in Reason}


def test_what_runs_on_a_replica_needs_no_remedy_and_all_else_has_one() -> None:
    on_replicas = {Reason.READ, Reason.SNAPSHOT, Reason.NO_ENDPOINT}
    assert {reason for reason in Reason if not reason.remedy} == on_replicas


@pytest.mark.parametrize(
    ("sql", "remedy"),
    [
        ("DELETE FROM t", "it writes"),
        ("SELECT 1; SELECT 2", "one by one"),
        ("SET a = 1", "state of one connection"),
        ("CREATE TEMP TABLE x (a int)", "it writes"),
        ("SELECT * FROM temp.x", "temporary"),
        ("FROM 'x.csv'", "replicas reach no files"),
        ("FROM 'https://x/y.csv'", "replicas reach no files"),
        ("FROM checkpoint()", "outside of the database"),
        ("SELECT current_user", "asks about the server"),
        ("BEGIN", "transaction()"),
        ("SELECT f(1)", "that the replicas know"),
        ("FROBNICATE", "that the replicas know"),
    ],
)
def test_every_statement_that_stays_is_told_what_to_do(sql: str, remedy: str) -> None:
    decision = decide(analyse(sql), SITE)
    assert decision.reason is Reason.NOT_A_READ
    assert remedy in decision.remedy
    assert f"remedy: {decision.remedy}" in decision.report()


def test_a_report_has_all_of_it() -> None:
    decision = decide(analyse("SELECT nextval('s')"), Site.imagined(Dialect.DUCKDB))
    assert decision.report().splitlines() == [
        "endpoint: not confirmed to be a read (calls nextval())",
        "  rule:   NOT_A_READ",
        "  facts:  reads, writes",
        "  remedy: nothing: it writes",
    ]
    assert decide(analyse("SELECT 1"), Site.imagined(Dialect.DUCKDB)).report().count("\n") == 2


def test_a_read_only_transaction_is_for_replicas_that_speak_the_endpoints_sql() -> None:
    begin = analyse("BEGIN TRANSACTION READ ONLY")
    imagined = Site.imagined(Dialect.DUCKDB)
    assert decide(begin, imagined).reason is Reason.SNAPSHOT
    for site in (replace(imagined, has_replicas=False), Site.imagined(Dialect.POSTGRES)):
        assert decide(begin, site).reason is Reason.NOT_A_READ


def test_a_hint_moves_a_read_to_the_endpoint_and_nothing_else_anywhere() -> None:
    site = Site.imagined(Dialect.DUCKDB)
    assert decide(analyse("/*+ pgmd: endpoint */ SELECT 1"), site).reason is Reason.ASKED
    unknown = decide(analyse("/*+ pgmd: replica */ SELECT 1"), site)
    assert (unknown.route, unknown.reason) == (Route.ENDPOINT, Reason.ASKED)
    assert "not known" in unknown.detail
    assert decide(analyse("/*+ pgmd: replica */ DELETE FROM t"), site).reason is Reason.NOT_A_READ
