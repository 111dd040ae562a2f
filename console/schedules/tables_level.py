"""Which release of django-celery-beat a database was migrated to: for the test of a connection.

Blocking; on one thread for the call's whole time, because Django's connections belong to their thread. It
only reads, and never migrates.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from console.broker.database import DatabaseAddress
from console.core.errors import Cause, ConsoleError

# The last migration of each release that changed the tables (FACTS, 2.3), newest first.
_RELEASES = (
    ("0019", "2.7 or later"),
    ("0017", "2.5"),
    ("0016", "2.3"),
    ("0015", "2.2"),
    ("0013", "2.1"),
    ("0012", "1.6"),
    ("0009", "1.5"),
    ("0006", "1.1 to 1.4"),
    ("0002", "1.1"),
    ("0001", "1.0"),
)
_OLDEST = 12
"""expire_seconds came with 0012; the console reads it."""
_TABLE = "django_celery_beat_periodictask"
_RESULTS = "django_celery_results_taskresult"
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class TablesLevel:
    """`beat` empty: not known. `schedules` None: not readable. `problem`: why the tables are of no use."""

    beat: str = ""
    schedules: int | None = None
    results: bool = False
    problem: ConsoleError | None = None


def read_tables_level(database: DatabaseAddress) -> TablesLevel:
    """What `database` holds. Raises `ConsoleError` when it cannot be reached or read at all."""
    from console.schedules.django_setup import database_settings, set_up_django

    set_up_django()
    from django.db import connections

    from console.schedules.connect_errors import connect
    from console.schedules.database_errors import database_errors

    alias = f"level-{next(_numbers)}"
    filled = connections.configure_settings({"default": {}, alias: database_settings(database)})
    connections.settings[alias] = filled[alias]
    try:
        connect(connections[alias], database)
        with database_errors(database):
            return _read(connections[alias])
    finally:
        connections[alias].close()
        del connections[alias]
        del connections.settings[alias]


def _read(connection: Any) -> TablesLevel:
    with connection.cursor() as cursor:
        tables = set(connection.introspection.table_names(cursor))
    results = _RESULTS in tables
    if _TABLE not in tables:
        return TablesLevel(results=results, problem=_missing())
    applied = _migrations(connection) if "django_migrations" in tables else ()
    newest = max((name[:4] for name in applied if name[:4].isdigit()), default="")
    beat = next((release for number, release in _RELEASES if number <= newest), "")
    if newest and int(newest) < _OLDEST:
        return TablesLevel(beat, results=results, problem=_too_old(beat))
    try:
        rows = _one(connection, f"SELECT COUNT(*) FROM {_TABLE}")  # noqa: S608
    except Exception as error:
        return TablesLevel(beat, results=results, problem=_unreadable(error))
    return TablesLevel(beat, int(rows), results)


def _migrations(connection: Any) -> tuple[str, ...]:
    """The names of beat's migrations; none when they may not be read, which tells nothing."""
    from django.db import DatabaseError

    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT name FROM django_migrations WHERE app = 'django_celery_beat'")
            return tuple(str(row[0]) for row in cursor.fetchall())
    except DatabaseError:
        connection.close()  # PostgreSQL: a transaction that has failed takes nothing more
        return ()


def _one(connection: Any, query: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchone()[0]


def _missing() -> ConsoleError:
    return ConsoleError(
        "The database has no tables of django-celery-beat",
        detail="It can be reached, and its login works.",
        remedy="Check that it is the project's database, and run its migrations for django_celery_beat.",
        cause=Cause.NOT_MIGRATED,
    )


def _too_old(beat: str) -> ConsoleError:
    return ConsoleError(
        "The tables of django-celery-beat are too old",
        detail=f"They are those of release {beat}; this console reads those of 1.6 and later.",
        remedy="Update django-celery-beat in the project and run its migrations.",
        cause=Cause.NOT_MIGRATED,
    )


def _unreadable(error: Exception) -> ConsoleError:
    lines = str(error).strip().splitlines()
    return ConsoleError(
        "The schedules may not be read",
        detail=f"{lines[0].rstrip('.')}." if lines else "",
        remedy=f"Ask for the right to SELECT on {_TABLE} and its neighbours.",
        cause=Cause.NOT_PERMITTED,
    )
