"""Statements written for PostgreSQL's catalogue, turned to the macros: pure."""

from __future__ import annotations

import re

from ...sql.grammar import RESERVED
from ...sql.lexer import Kind, Token, Unreadable, tokens
from .macros import FUNCTIONS, HOME, RELATIONS, SERVER_VERSION

_REG_TYPES = frozenset(["regclass", "regtype", "regnamespace"])
_RENAMED = {"json_build_object": "json_object"}
_LITERALS = (Kind.STRING, Kind.PARAMETER)
_NOTHING = Token(Kind.OPERATOR, "", "", -1)
# DuckDB's `~` matches the whole string, PostgreSQL's any part of it.
_SEARCH = "('(?s:.*)(?:' || {}::VARCHAR || ')(?s:.*)')"
# What psql asks of a table's publications has a subscript that DuckDB cannot bind.
_NO_PUBLICATION = "SELECT NULL AS pubname, NULL, NULL WHERE false"
# What stands behind a relation and is not its alias, beside the reserved words.
_NOT_ALIASES = RESERVED | {"anti", "asof", "cross", "full", "inner", "join", "left", "natural"}
_NOT_ALIASES |= {"positional", "right", "semi"}
_SETTINGS = {
    "client_encoding": "'UTF8'",
    "datestyle": "'ISO, MDY'",
    "default_transaction_isolation": "'repeatable read'",
    "default_transaction_read_only": "'off'",
    "in_hot_standby": "'off'",
    "integer_datetimes": "'on'",
    "intervalstyle": "'postgres'",
    "max_identifier_length": "'63'",
    "search_path": "coalesce(nullif(current_setting('search_path'), ''), current_schema())",
    "server_encoding": "'UTF8'",
    "server_version": f"'{SERVER_VERSION}'",
    "server_version_num": "'160000'",
    "standard_conforming_strings": "'on'",
    "timezone": "current_setting('TimeZone')",
    "transaction_isolation": "'repeatable read'",
    "transaction_read_only": "'off'",
}
_SHOW = re.compile(r"(?i)\s*show\s+([a-z_]+|transaction\s+isolation\s+level)\s*;?\s*")


def rewrite(sql: str) -> str:
    """The same for DuckDB, if *sql* asks PostgreSQL's catalogue or settings; else *sql* itself."""
    if "pg_catalog" in sql or "regtype" in sql or "regclass" in sql:
        try:
            return _Rewriting(sql).text()
        except Unreadable:
            return sql
    if sql.lstrip()[:4].lower() == "show" and (show := _SHOW.fullmatch(sql)):
        name = "_".join(show[1].lower().split()).removesuffix("_level")
        if name in _SETTINGS:
            return f"SELECT {_SETTINGS[name]} AS {name}"
    return sql


class _Rewriting:
    """One statement's tokens and the texts that take their places."""

    def __init__(self, sql: str) -> None:
        self._sql = sql
        self._tokens = tokens(sql)
        self._texts = [token.text for token in self._tokens]
        self._is_postgres = False

    def text(self) -> str:
        if self._at(0).word == "create":
            # What it makes may outlive the macros.
            return self._sql
        place = 0
        while place < len(self._tokens):
            place = self._step(place)
        if not self._is_postgres:
            return self._sql
        if any(token.word == "pg_publication" for token in self._tokens):
            return _NO_PUBLICATION
        source = self._sql.removeprefix("\ufeff").encode()
        parts, end = [], 0
        for token, text in zip(self._tokens, self._texts, strict=True):
            parts += [source[end : token.start].decode(), text]
            end = token.start + len(token.text.encode())
        return "".join(parts) + source[end:].decode()

    def _at(self, place: int) -> Token:
        return self._tokens[place] if 0 <= place < len(self._tokens) else _NOTHING

    def _replace(self, start: int, end: int, text: str = "") -> int:
        """Put *text* in the place of some tokens, and go on after them."""
        if end > len(self._texts):
            raise Unreadable("ends too early")
        self._texts[start:end] = [text] + [""] * (end - start - 1)
        self._is_postgres = True
        return end

    def _step(self, place: int) -> int:
        """Rewrite what begins at *place*; return where to go on."""
        token = self._at(place)
        match token.word or token.text:
            case "operator" if self._is_qualified(place + 2):
                operator = self._at(place + 4).text
                self._search(operator, place + 6)
                return self._replace(place, place + 6, f" {operator} ")
            case "collate" if self._is_qualified(place + 1):
                return self._replace(place, place + 4)
            case "~" | "!~":
                self._search(token.text, place + 1)
            case "::" if end := self._reg_type(place + 1):
                start = self._operand(place - 1)
                self._texts[start] = self._reg_function(start, place, end) + self._texts[start]
                return self._replace(place, end, ")")
            case "as" if (end := self._reg_type(place + 1)) and self._is_cast(end):
                start = self._opening(end)
                self._texts[start - 1] = self._reg_function(start + 1, place, end)[:-1]
                return self._replace(place, end)
            case _ if self._is_qualified(place):
                return self._qualified(place)
            case name if token.word and self._at(place - 1).text != ".":
                self._unqualified(place, name)
        return place + 1

    def _search(self, operator: str, place: int) -> None:
        is_whole = self._at(place + 1).text != "||"
        if operator in ("~", "!~") and self._at(place).kind in _LITERALS and is_whole:
            self._texts[place] = _SEARCH.format(self._texts[place])

    def _is_qualified(self, place: int) -> bool:
        is_first = self._at(place - 1).text != "."
        return is_first and self._at(place).word == "pg_catalog" and self._at(place + 1).text == "."

    def _qualified(self, place: int) -> int:
        name, before = self._at(place + 2).word, self._at(place - 1)
        follower = self._at(place + 3).text
        if follower == "(":
            self._replace(place, place + 2, HOME if name in FUNCTIONS else "")
        elif name in RELATIONS:
            self._replace(place, place + 2)
            if follower != ".":
                self._relation(place + 2)
        elif before.text == "::" or before.word == "as":
            self._replace(place, place + 2)
        self._is_postgres = True
        return place + 3

    def _unqualified(self, place: int, name: str) -> None:
        before = self._at(place - 1)
        is_source = before.word in ("from", "join") or before.text == ","
        if self._at(place + 1).text == "(":
            self._texts[place] = _RENAMED.get(name, self._texts[place])
            if name in FUNCTIONS and name.startswith(("pg_", "to_reg")):
                self._texts[place] = HOME + name
                self._is_postgres |= name.startswith("to_reg")
        elif name in RELATIONS and name.startswith("pg_") and is_source:
            self._relation(place)

    def _relation(self, place: int) -> None:
        """Call the table macro, under the relation's name if it gets no other."""
        token, follower = self._at(place), self._at(place + 1)
        is_alias = follower.word and follower.word not in _NOT_ALIASES
        alias = "" if is_alias or follower.word == "as" else f" AS {token.text}"
        self._texts[place] = f"{HOME}{token.text}(){alias}"

    def _reg_type(self, place: int) -> int:
        """Where the name of a reg type that begins at *place* ends, or 0."""
        place += 2 if self._is_qualified(place) else 0
        return place + 1 if self._at(place).word in _REG_TYPES else 0

    def _is_cast(self, end: int) -> bool:
        return self._at(end).text == ")" and self._at(self._opening(end) - 1).word == "cast"

    def _reg_function(self, start: int, place: int, end: int) -> str:
        """A literal becomes the OID that it names; anything else is one, and becomes a name."""
        is_literal = place == start + 1 and self._at(start).kind in _LITERALS
        name = self._at(end - 1).word
        return f"{HOME}to_{name}(" if is_literal else f"{HOME}{name}_name("

    def _operand(self, place: int) -> int:
        """Where the operand that ends at *place* begins: a name with its path, or a call."""
        if self._at(place).text == ")":
            place = self._opening(place)
            place -= 1 if self._at(place - 1).word not in RESERVED | {""} else 0
        while self._at(place - 1).text == "." and place > 1:
            place -= 2
        return place

    def _opening(self, place: int) -> int:
        """The parenthesis that the one at *place* closes."""
        depth = 0
        for start in range(place, -1, -1):
            depth += {")": 1, "(": -1}.get(self._at(start).text, 0)
            if depth == 0:
                return start
        raise Unreadable("unbalanced parentheses")
