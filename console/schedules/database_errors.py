"""Django's database exceptions as what happened, in words; one place for all kinds of database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.db import DatabaseError, InterfaceError

from console.broker.database import DatabaseAddress, DatabaseKind
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
# MySQL's numbers: https://dev.mysql.com/doc/mysql-errors/8.0/en/server-error-reference.html and MariaDB's:
# https://mariadb.com/kb/en/mariadb-error-code-reference/
_BY_NUMBER = {
    # A wrong login, a host that may not connect, an account that is locked or whose password has expired.
    **dict.fromkeys((1045, 1130, 1698, 1820, 1862, 3118, 4151, 2059), Cause.REFUSED_LOGIN),
    # No right on the database, a table, a column; a server, replica or transaction that only reads.
    **dict.fromkeys((1044, 1142, 1143, 1227, 1290, 1792, 1836), Cause.NOT_PERMITTED),
    1049: Cause.NOT_FOUND,
    **dict.fromkeys((1146, 1054), Cause.NOT_MIGRATED),
    **dict.fromkeys((1205, 1213), Cause.LOCKED),
    **dict.fromkeys((1969, 3024), Cause.TIMEOUT),
    **dict.fromkeys((1021, 1114), Cause.NO_SPACE),
    **dict.fromkeys((1040, 1129, 1203, 1226), Cause.BUSY),
    # The server is going away, the line broke or was never there.
    **dict.fromkeys((1053, 1152, 1158, 1159, 1160, 1161, 1927, 2002, 2003, 2006, 2013), Cause.UNREACHABLE),
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
    ("too many connections", Cause.BUSY),
    ("too many clients", Cause.BUSY),
    ("connection slots are reserved", Cause.BUSY),
    ('role "', Cause.REFUSED_LOGIN),
    ("no password supplied", Cause.REFUSED_LOGIN),
    ("authentication failed", Cause.REFUSED_LOGIN),
    ("no pg_hba.conf entry", Cause.REFUSED_LOGIN),
    ("is not permitted to log in", Cause.REFUSED_LOGIN),
    ("permission denied", Cause.NOT_PERMITTED),
    ("does not exist", Cause.NOT_FOUND),
    ("timeout expired", Cause.TIMEOUT),
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
def database_errors(database: DatabaseAddress) -> Iterator[None]:
    """Inside it, whatever an open database raises becomes a `ConsoleError`."""
    try:
        yield
    except (DatabaseError, InterfaceError) as error:
        raise failure(cause_of(error, database), first_line(text_of(error))) from error
    except (ValidationError, ValueError, TypeError) as error:
        raise ConsoleError(
            "A schedule in the database cannot be read",
            detail=str(error),
            remedy="A column holds a value of the wrong kind.",
            cause=Cause.INVALID,
        ) from error


def failure(cause: Cause, detail: str) -> ConsoleError:
    """What `cause` means for the schedules database."""
    title, remedy, retryable = _TITLES.get(cause, ("The schedules database refused a command", "", True))
    return ConsoleError(title, detail=detail, remedy=remedy, cause=cause, retryable=retryable)


def cause_of(error: Exception, database: DatabaseAddress) -> Cause:
    """Which of the causes Django's `error` has."""
    text = str(error)
    if isinstance(first_os_error(error), TimeoutError):
        return Cause.TIMEOUT
    if database.kind is DatabaseKind.MYSQL:
        return _BY_NUMBER.get(_number(error), Cause.OTHER)
    code = getattr(error.__cause__, "sqlstate", None)
    if code in _BY_SQLSTATE:
        return _BY_SQLSTATE[code]
    is_file = database.kind is DatabaseKind.SQLITE
    if is_file and not Path(database.path).exists():
        return Cause.NOT_FOUND
    for part, cause in _BY_TEXT:
        if part in text:
            return cause
    if code is None and not is_file:  # libpq could not connect, or the line broke
        return Cause.UNREACHABLE
    return Cause.OTHER


def text_of(error: Exception) -> str:
    """What the driver says; of MySQL's pair of number and words the words."""
    if len(error.args) == 2 and isinstance(error.args[0], int):
        return str(error.args[1]).strip()
    return str(error).strip()


def _number(error: Exception) -> int:
    """MySQL's number of an error; 0 when PyMySQL gives none. An interface error: the line was closed."""
    arguments: tuple[Any, ...] = getattr(error, "args", ())
    number = arguments[0] if arguments else None
    if isinstance(error, InterfaceError):
        return 2006
    return number if isinstance(number, int) else 0


def first_os_error(error: BaseException) -> OSError | None:
    """What the system said below the driver's error: of the line, of TLS, of the name."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        if isinstance(one, OSError):
            return one
        one = getattr(one, "original_exception", None) or one.__cause__ or one.__context__
    return None


def first_line(text: str) -> str:
    return text.splitlines()[0].rstrip(".") + "." if text else ""
