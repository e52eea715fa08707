"""Secrets that nobody sees who does not ask for them."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from dataclasses import fields
from typing import Any, NoReturn

from .redact import MASK


class Secret:
    """A password or token, or a text of which *parts* are such.

    Only `reveal()` gives it: it is in no repr, in no dict that `asdict()` makes, and what holds it
    cannot be pickled. Equal to another of the same text.
    """

    __slots__ = ("_parts", "_text")

    def __init__(self, text: str, parts: tuple[str, ...] = ()) -> None:
        self._text = text
        self._parts = parts or (text,)

    def reveal(self) -> str:
        """The text."""
        return self._text

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __repr__(self) -> str:
        return MASK

    def __deepcopy__(self, _: object) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled: give it anew where it is needed")


def sealed(value: Any) -> Any:
    """A text as a secret; anything else, such as a function that returns one, as it is."""
    return Secret(value) if isinstance(value, str) else value


def revealed(value: str | Secret | None) -> str:
    """The text of what may be a secret; "" for None."""
    return value.reveal() if isinstance(value, Secret) else value or ""


def secrets_of(settings: Any) -> Iterator[str]:
    """Every password and token in a dataclass."""
    for field in fields(settings):
        value = getattr(settings, field.name)
        if isinstance(value, Secret):
            yield from value._parts
