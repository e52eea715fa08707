"""Promise 7 through the front door: none of the forms reaches a replica."""

from __future__ import annotations

import psycopg
import pytest

import pgmd
from pgmd.routing.decision import Route

from .forms import ONLY_NOT_ROUTED, REFUSED, WRITE_THROUGH_POSTGRES
from .places import WORD, Place

FORMS = {
    **REFUSED,
    "writes through the extension": WRITE_THROUGH_POSTGRES,
    "is not locked by DuckDB": ONLY_NOT_ROUTED,
}


@pytest.mark.parametrize("tries", FORMS)
def test_no_form_runs_on_a_replica_that_was_asked_for(place: Place, tries: str) -> None:
    before = place.state()
    ran = [form for form in FORMS[tries] if not _is_refused(place, form)]
    assert place.state() == before
    assert ran == []


def _is_refused(place: Place, form: str) -> bool:
    with place.engine.session() as s:
        try:
            s.execute(place.text(form), route="replica")
        except psycopg.Error as error:
            return WORD not in str(error)
    return False


@pytest.mark.parametrize("tries", [name for name in FORMS if name != "reaches the program"])
def test_no_form_is_sent_to_a_replica(place: Place, tries: str) -> None:
    with place.engine.session() as s:
        sent = [form for form in FORMS[tries] if s.explain(place.text(form)).route is Route.REPLICA]
    assert sent == []


@pytest.mark.parametrize("place", ["file"], indirect=True)
@pytest.mark.parametrize("tries", FORMS)
def test_with_nobody_else_to_ask_every_form_is_an_error(place: Place, tries: str) -> None:
    assert place.engine._core.settings.endpoint is None
    before = place.state()
    with place.engine.session() as s:
        for form in FORMS[tries]:
            with pytest.raises(psycopg.Error):
                s.execute(place.text(form))
    assert place.state() == before


def test_a_refused_form_names_the_reason(place: Place) -> None:
    with place.engine.session() as s:
        with pytest.raises(pgmd.RoutingError, match="reads a file"):
            s.execute("SELECT * FROM read_text('/etc/passwd')", route="replica")
