"""What the world did to us, as one type; everything that is not a `ConsoleError` is a bug of ours.

Stands in the core because every gateway raises it and every page shows it.
"""

from __future__ import annotations

from enum import StrEnum


class Cause(StrEnum):
    """Why something could not be done; pages choose their reaction by it, never by the text."""

    UNREACHABLE = "unreachable"
    REFUSED_LOGIN = "refused login"
    CERTIFICATE = "certificate"
    PROTOCOL = "protocol"
    NOT_PERMITTED = "not permitted"
    TIMEOUT = "timeout"
    LOCKED = "locked"
    NOT_MIGRATED = "not migrated"
    NO_SPACE = "no space"
    NOT_FOUND = "not found"
    INVALID = "invalid"
    CONFLICT = "conflict"
    BUSY = "busy"
    OTHER = "other"


class ConsoleError(Exception):
    """A failure of the outside world in words for a person.

    `title` is one short sentence without a full stop, `detail` what exactly was seen, `remedy` what
    to do about it. Raise it `from` the library's error. None of the texts may contain a secret.
    """

    def __init__(
        self,
        title: str,
        *,
        detail: str = "",
        remedy: str = "",
        cause: Cause = Cause.OTHER,
        retryable: bool = False,
    ) -> None:
        super().__init__(title)
        self.title = title
        self.detail = detail
        self.remedy = remedy
        self.cause = cause
        self.retryable = retryable

    def __str__(self) -> str:
        return " ".join(part for part in (self.title, self.detail, self.remedy) if part)


def unexpected(title: str, error: Exception) -> ConsoleError:
    """A bug in words: what it broke, its kind, and that trying again is worth it. Its text stays in the log,
    because nobody knows what it holds.
    """
    return ConsoleError(
        title,
        detail=f"{type(error).__name__}: this is an error of the console itself.",
        remedy="Try again. The log has the details.",
        retryable=True,
    )
