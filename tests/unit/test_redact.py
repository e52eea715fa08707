from __future__ import annotations

import pytest

from pgmd.settings.redact import Redactor


def test_known_secrets_go_the_longest_first() -> None:
    assert Redactor(["abc", "abcdef"])("x abcdef y abc") == "x *** y ***"


@pytest.mark.parametrize(
    "text",
    [
        "cannot reach postgresql://u:hunter2@h/db",
        "dsn: host=h password=hunter2 dbname=d",
        "dsn: host=h password='hunter2' dbname=d",
        "md:db?motherduck_token=hunter2&session_name=a",
        "TOKEN = hunter2",
    ],
)
def test_what_looks_like_a_secret_goes_too(text: str) -> None:
    assert "hunter2" not in Redactor()(text)


def test_the_rest_stays() -> None:
    text = 'relation "flights" does not exist at postgresql://u@h/db'
    assert Redactor(["", "s3"])(text) == text


def test_repr_shows_no_secret() -> None:
    assert "hunter2" not in repr(Redactor(["hunter2"]))


def test_a_secret_that_is_learnt_later_is_replaced_from_then_on() -> None:
    redact = Redactor(["tok-1"])
    assert redact("tok-1 tok-1-new") == "*** ***-new"
    redact.learn("tok-1-new", "")
    assert redact("tok-1 tok-1-new") == "*** ***"
