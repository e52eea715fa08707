"""Keep secrets out of text that leaves pgmd."""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = "***"

# Drivers print connection strings in their errors: a URL's password and `key=value` secrets.
_URL_PASSWORD = re.compile(r"(://[^\s:/@]*):[^\s@]+@")
_KEY_VALUE = re.compile(
    r"(?i)\b((?:motherduck_|read_scaling_)?token|password|passwd|sslpassword)"
    r"(\s*=\s*|%3D)('(?:[^'\\]|\\.)*'|[^\s&'\"]+)"
)


class Redactor:
    """Replace known secrets, and whatever looks like one, by `***`."""

    __slots__ = ("_secrets",)

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: list[str] = []
        self.learn(*secrets)

    def learn(self, *secrets: str) -> None:
        """Replace these, too, from now on."""
        # The longest first: a secret that contains another one must not leave its rest behind.
        self._secrets = sorted({*self._secrets, *filter(None, secrets)}, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        text = _URL_PASSWORD.sub(rf"\1:{MASK}@", text)
        return _KEY_VALUE.sub(rf"\1\2{MASK}", text)

    def __repr__(self) -> str:
        return f"<Redactor of {len(self._secrets)} secrets>"
