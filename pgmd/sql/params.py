"""Turn psycopg's placeholders into DuckDB's.

The rules are psycopg's own, letter by letter: it looks at the raw text, so a `%s` inside a string
literal is a placeholder too. With `params=None` psycopg converts nothing; that is the caller's
business.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

# psycopg asks for len() of the parameters of a short query before it looks at anything else.
_SHORT_BYTES = 4096
_CACHED_CHARS = 16_384

_PLACEHOLDER = re.compile(rb"%(?:(?:\(([^)]+)\).)|(?:.))")
_FORMATS = b"sbt"


@dataclass(frozen=True, slots=True)
class Placeholders:
    """A query for DuckDB, and how its parameters are ordered."""

    text: str
    order: tuple[str, ...] | int  # the names, each once, or how many positions there are
    short: bool = True
    # What psycopg would raise for the text itself: its class and arguments.
    problem: tuple[type[Exception], tuple[Any, ...]] | None = None
    mentions: int = 0  # how often named placeholders occur, repeats included
    formats: str = ""  # the letter of each in `order`, if one is not `s`

    def arrange(self, params: Any) -> list[Any]:
        """Return the values for `$1`, `$2`, ...; raise what psycopg raises for a misfit."""
        if self.short:
            len(params)
        if self.problem:
            kind, args = self.problem
            raise kind(*args)
        if _is_sequence(params):
            return self._from_sequence(params)
        return self._from_mapping(params)

    def _from_sequence(self, params: Sequence[Any]) -> list[Any]:
        named = not isinstance(self.order, int)
        expected = self.order if isinstance(self.order, int) else self.mentions
        if len(params) != expected:
            raise psycopg.ProgrammingError(
                f"the query has {expected} placeholders but {len(params)} parameters were passed"
            )
        if params and named:
            raise TypeError("named placeholders require a mapping of parameters")
        return list(params)

    def _from_mapping(self, params: Mapping[str, Any]) -> list[Any]:
        if isinstance(self.order, int):
            if params and self.order:
                raise TypeError("positional placeholders (%s) require a sequence of parameters")
            return []
        try:
            return [params[name] for name in self.order]
        except KeyError:
            missing = ", ".join(sorted(name for name in self.order if name not in params))
            raise psycopg.ProgrammingError(f"query parameter missing: {missing}") from None


def convert(query: str) -> Placeholders:
    """Translate `%s` and `%(name)s` into `$1`, `$2`, ... without looking at any parameter.

    What psycopg would raise for the text is raised by `Placeholders.arrange`, as psycopg looks at
    the parameters first.
    """
    return _convert_cached(query) if len(query) <= _CACHED_CHARS else _convert(query)


def _convert(query: str) -> Placeholders:
    raw = query.encode()
    short = len(raw) <= _SHORT_BYTES
    try:
        chunks, order, mentions, formats = _translate(raw)
    except (psycopg.ProgrammingError, UnicodeDecodeError) as problem:
        return Placeholders(query, 0, short, (type(problem), problem.args))
    formats = formats if formats.strip("s") else ""
    return Placeholders(b"".join(chunks).decode(), order, short, None, mentions, formats)


_convert_cached = functools.lru_cache(maxsize=1024)(_convert)


def _translate(raw: bytes) -> tuple[list[bytes], tuple[str, ...] | int, int, str]:
    chunks: list[bytes] = []
    names: dict[str, tuple[int, str]] = {}
    uses: list[tuple[str, str]] = []
    positions: list[str] = []
    end = 0
    for match in _PLACEHOLDER.finditer(raw):
        chunks.append(raw[end : match.start()])
        end = match.end()
        if match[0] == b"%%":
            chunks.append(b"%")
            continue
        _check_placeholder(raw, match)
        form = chr(match[0][-1])
        if match[1] is None:
            positions.append(form)
            chunks.append(b"$%d" % len(positions))
        else:
            name = match[1].decode()
            uses.append((name, form))
            chunks.append(b"$%d" % names.setdefault(name, (len(names) + 1, form))[0])
        if positions and uses:
            raise psycopg.ProgrammingError("positional and named placeholders cannot be mixed")
    chunks.append(raw[end:])
    for name, form in uses:
        if names[name][1] != form:
            raise psycopg.ProgrammingError(f"placeholder '{name}' cannot have different formats")
    if uses:
        return chunks, tuple(names), len(uses), "".join(form for _, form in names.values())
    return chunks, len(positions), 0, "".join(positions)


def _check_placeholder(raw: bytes, match: re.Match[bytes]) -> None:
    found = match[0]
    if found == b"%(":
        shown = raw[match.start() :].split()[0].decode()
        raise psycopg.ProgrammingError(f"incomplete placeholder: '{shown}'")
    if found == b"% ":
        raise psycopg.ProgrammingError(
            "incomplete placeholder: '%'; if you want to use '%' as an operator you can double"
            " it up, i.e. use '%%'"
        )
    if found[-1] not in _FORMATS:
        raise psycopg.ProgrammingError(
            f"only '%s', '%b', '%t' are allowed as placeholders, got '{found.decode()}'"
        )


def _is_sequence(params: Any) -> bool:
    if isinstance(params, Sequence) and not isinstance(params, (bytes, str)):
        return True
    if isinstance(params, Mapping):
        return False
    raise TypeError(
        f"query parameters should be a sequence or a mapping, got {type(params).__qualname__}"
    )
