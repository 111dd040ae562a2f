"""Django's database exceptions as what happened, in words; one place for SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.core.exceptions import ValidationError
from django.db import DatabaseError, InterfaceError

from console.core.errors import Cause, ConsoleError

# PostgreSQL's own codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
_BY_SQLSTATE = {
    "28P01": Cause.REFUSED_LOGIN,
    "28000": Cause.REFUSED_LOGIN,
    "3D000": Cause.NOT_FOUND,
    "42P01": Cause.NOT_MIGRATED,
    "42703": Cause.NOT_MIGRATED,
    "42501": Cause.NOT_PERMITTED,
    "25006": Cause.NOT_PERMITTED,
    "57014": Cause.TIMEOUT,
    "55P03": Cause.LOCKED,
    "40P01": Cause.LOCKED,
    "53100": Cause.NO_SPACE,
    "53300": Cause.BUSY,
    # The server is shut down, was killed or is starting; the line broke or was never there.
    **dict.fromkeys(("57P01", "57P02", "57P03", "08006", "08003", "08001"), Cause.UNREACHABLE),
}
# The texts of SQLite and of libpq's failures to connect, which carry no code.
_BY_TEXT = (
    ("database is locked", Cause.LOCKED),
    ("table is locked", Cause.LOCKED),
    ("no such table", Cause.NOT_MIGRATED),
    ("no such column", Cause.NOT_MIGRATED),
    ("readonly database", Cause.NOT_PERMITTED),
    ("disk is full", Cause.NO_SPACE),
    ("not a database", Cause.INVALID),
    ("malformed", Cause.INVALID),
    ("password authentication failed", Cause.REFUSED_LOGIN),
    ("no password supplied", Cause.REFUSED_LOGIN),
    ("does not exist", Cause.NOT_FOUND),
    ("timeout expired", Cause.TIMEOUT),
    ("too many connections", Cause.BUSY),
    ("too many clients", Cause.BUSY),
    ("connection slots are reserved", Cause.BUSY),
    ("unable to open database file", Cause.UNREACHABLE),
)
_TITLES: dict[Cause, tuple[str, str, bool]] = {
    Cause.LOCKED: (
        "The schedules database is locked",
        "Another program is writing to it for long; it is tried again.",
        True,
    ),
    Cause.NOT_MIGRATED: (
        "The schedules database has no usable beat tables",
        "Run the project's migrations for django_celery_beat; this console never migrates.",
        True,
    ),
    Cause.NOT_PERMITTED: (
        "The schedules database may not be changed or read",
        "Ask for the right on django-celery-beat's tables, or check the file's permissions.",
        False,
    ),
    Cause.NO_SPACE: ("The disk of the schedules database is full", "Free some space on it.", True),
    Cause.INVALID: (
        "The schedules database cannot be read",
        "Check that the connection names the right file.",
        False,
    ),
    Cause.REFUSED_LOGIN: (
        "The schedules database refused the login",
        "Check its user and password in the connection.",
        False,
    ),
    Cause.NOT_FOUND: (
        "The schedules database does not exist",
        "Check its name in the connection, or start the project once to make it.",
        True,
    ),
    Cause.BUSY: (
        "The schedules database takes no more connections",
        "Somebody else holds all that it allows; it is tried again.",
        True,
    ),
    Cause.TIMEOUT: ("The schedules database does not answer in time", "It may be overloaded.", True),
    Cause.UNREACHABLE: (
        "The schedules database cannot be reached",
        "Check that it runs and that this machine may reach it.",
        True,
    ),
}


@contextmanager
def database_errors(file: Path | None) -> Iterator[None]:
    """Inside it, whatever the database raises becomes a `ConsoleError`; `file` is SQLite's."""
    try:
        yield
    except (DatabaseError, InterfaceError) as error:
        raise _translated(error, file) from error
    except (ValidationError, ValueError, TypeError) as error:
        raise ConsoleError(
            "A schedule in the database cannot be read",
            detail=str(error),
            remedy="A column holds a value of the wrong kind.",
            cause=Cause.INVALID,
        ) from error


def _translated(error: Exception, file: Path | None) -> ConsoleError:
    text = str(error).strip()
    cause = _cause(error, text, file)
    title, remedy, retryable = _TITLES.get(cause, ("The schedules database refused a command", "", True))
    return ConsoleError(title, detail=_first_line(text), remedy=remedy, cause=cause, retryable=retryable)


def _cause(error: Exception, text: str, file: Path | None) -> Cause:
    code = getattr(error.__cause__, "sqlstate", None)
    if code in _BY_SQLSTATE:
        return _BY_SQLSTATE[code]
    if file is not None and not file.exists():
        return Cause.NOT_FOUND
    for part, cause in _BY_TEXT:
        if part in text:
            return cause
    if code is None and file is None:  # libpq could not connect, or the line broke
        return Cause.UNREACHABLE
    return Cause.OTHER


def _first_line(text: str) -> str:
    return text.splitlines()[0].rstrip(".") + "." if text else ""
