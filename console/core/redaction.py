"""Keeping secrets out of everything that is written or shown.

Secrets that live in memory register themselves here; logs, crash reports and error texts go through
`redact`. URLs are masked by their form, whether their password was registered or not.
"""

from __future__ import annotations

import logging
import re
from urllib.parse import quote

MASK = "••••"
_URL_PASSWORD = re.compile(
    r"(?P<head>\b[a-z][a-z0-9+.\-]*://[^\s:/@]*:)(?P<password>[^\s@/]+)(?=@)", re.IGNORECASE
)
_MIN_LENGTH = 4


class Secret:
    """A password in memory. `reveal()` is the only way to it; `repr` and `str` show the mask."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value
        register_secret(value)

    def reveal(self) -> str:
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return f"Secret({MASK})" if self._value else "Secret()"

    __str__ = __repr__

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a secret is not pickled")


_known: set[str] = set()


def register_secret(value: str) -> None:
    """From now on `redact` removes `value`, plain and percent-encoded (short ones would eat the text)."""
    if len(value) >= _MIN_LENGTH:
        _known.add(value)
        _known.add(quote(value, safe=""))


def mask_url(url: str) -> str:
    """`url` with its password shown as dots."""
    return _URL_PASSWORD.sub(lambda found: found.group("head") + MASK, url)


def redact(text: str) -> str:
    """`text` without any registered secret and without passwords in URLs."""
    for value in sorted(_known, key=len, reverse=True):
        if value in text:
            text = text.replace(value, MASK)
    return mask_url(text)


class RedactingFormatter(logging.Formatter):
    """Formats a record, traceback included, and then redacts the whole."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))
