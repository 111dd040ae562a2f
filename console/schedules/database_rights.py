"""Whether the database lets this user change schedules: asked without changing anything.

What is needed is exactly what `DjangoSchedules` writes: three columns of the schedules and beat's signal.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from django.db import DatabaseError

from console.core.connection import Right

_TASKS, _SIGNAL = "django_celery_beat_periodictask", "django_celery_beat_periodictasks"
_WRITTEN = (
    (_TASKS, "enabled"),
    (_TASKS, "date_changed"),
    (_TASKS, "last_run_at"),
    (_SIGNAL, "last_update"),
)
# All names in these statements are ours.
_SIGNALLED = f"SELECT 1 FROM {_SIGNAL} WHERE ident = 1"  # noqa: S608
_FIRST_SIGNAL = f"EXPLAIN INSERT INTO {_SIGNAL} (ident, last_update) VALUES (1, UTC_TIMESTAMP(6))"  # noqa: S608
_DENIED = range(1142, 1144)
"""MySQL's ER_TABLEACCESS_DENIED_ERROR and ER_COLUMNACCESS_DENIED_ERROR."""
# SQLite's header: a file whose write version is above 2 is for reading only,
# https://www.sqlite.org/fileformat2.html#file_format_version_numbers
_WRITE_VERSION, _NEWEST_WRITE_VERSION = 18, 2


def why_no_changes(connection: Any, file: Path | None) -> str:
    """The reason in words; empty when changes are permitted. Raises Django's `DatabaseError`.

    `connection` is Django's and open; `file` is SQLite's.
    """
    match connection.vendor:
        case "postgresql":
            return _postgresql(connection)
        case "mysql":
            return _mysql(connection)
        case _:
            return "" if file is None else _sqlite(file)


def _postgresql(connection: Any) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('transaction_read_only'), pg_is_in_recovery()")
        read_only, standby = cursor.fetchone()
        if standby:
            return "The schedules database is a standby: it takes no changes"
        if read_only == "on":
            return "The schedules database lets this user only read"
        for table, column in _WRITTEN:
            cursor.execute("SELECT has_column_privilege(%s, %s, 'UPDATE')", [table, column])
            if not cursor.fetchone()[0]:
                return _may_not(f"PostgreSQL refuses UPDATE on {table}")
        cursor.execute("SELECT has_table_privilege(%s, 'INSERT')", [_SIGNAL])
        (may_insert,) = cursor.fetchone()
        if not (may_insert or _is_signalled(cursor)):
            return _may_not(f"PostgreSQL refuses INSERT on {_SIGNAL}")
    return ""


def _mysql(connection: Any) -> str:
    """EXPLAIN needs the rights of what it explains, whatever roles and columns they come from."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@global.read_only")
        if cursor.fetchone()[0]:
            return "The schedules database is a replica: it takes no changes"
        for table, column in _WRITTEN:
            update = f"EXPLAIN UPDATE {table} SET {column} = {column} WHERE 1 = 0"  # noqa: S608
            if _is_denied(cursor, update):
                return _may_not(f"MySQL refuses UPDATE on {table}")
        if not _is_signalled(cursor) and _is_denied(cursor, _FIRST_SIGNAL):
            return _may_not(f"MySQL refuses INSERT on {_SIGNAL}")
    return ""


def _is_denied(cursor: Any, explain: str) -> bool:
    try:
        cursor.execute(explain)
    except DatabaseError as error:
        if error.args and error.args[0] in _DENIED:
            return True
        raise
    return False


def _is_signalled(cursor: Any) -> bool:
    """Whether beat's change signal was ever given; the first time it is inserted."""
    cursor.execute(_SIGNALLED)
    return cursor.fetchone() is not None


def _sqlite(file: Path) -> str:
    if not os.access(file, os.W_OK):
        return _may_not(f"{file.name} may only be read")
    if not os.access(file.parent, os.W_OK):
        return _may_not(f"nothing may be written in {file.parent}, where SQLite needs a journal")
    with file.open("rb") as opened:
        header = opened.read(_WRITE_VERSION + 1)
    if len(header) > _WRITE_VERSION and header[_WRITE_VERSION] > _NEWEST_WRITE_VERSION:
        return _may_not(f"{file.name} is marked as for reading only")
    return ""


def _may_not(reason: str) -> str:
    return f"The database user may not {Right.CHANGE_SCHEDULES}: {reason}"
