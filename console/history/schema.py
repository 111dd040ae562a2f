"""The history database: its tables, its versions, and how it is opened for writing and for reading.

One file per connection (SQLite, WAL). The collector is the only writer; the window reads.
Every column that can be sorted by is NOT NULL with a value that means unknown (0 for words, 0.0 for
instants, -1.0 for durations): so a page is always `(column, rowid) < (?, ?)` on an index.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path

from console.core.errors import Cause, ConsoleError
from console.history.errors import fingerprint
from console.history.migrations import MIGRATIONS

log = logging.getLogger(__name__)

# Short: the collector tries again by itself and must give a sign of life every 2 s.
BUSY_TIMEOUT_S = 1.0

VERSION = len(MIGRATIONS)
CACHE_KIB = 16_384
WAL_KEPT_BYTES = 33_554_432
STEPS_BETWEEN_SIGNS = 100_000
INCREMENTAL = 2
# 564 MB of version 2 (1,000,000 tasks) took 890 MB more until they were written as version 3.
ROOM_TO_MIGRATE = 1.8

ROW_COLUMNS = (
    "rowid", "id", "state", "name", "worker", "queue", "at", "sent", "received", "started", "ended",
    "waited", "runtime", "retries", "change", "error",
)  # fmt: skip
TEXT_COLUMNS = (
    "rowid", "pid", "args", "kwargs", "result", "exception", "root_id", "parent_id", "eta", "expires",
    "routing_key", "exchange", "client", "reason", "marks",
)  # fmt: skip


class WordKind(IntEnum):
    """What a row of `words` is."""

    NAME = 0
    WORKER = 1
    QUEUE = 2
    ERROR = 3


Sign = Callable[[], bool]
"""Called again and again during something long; it goes on as long as the answer is true."""


def open_for_writing(path: Path, sign: Sign = lambda: True) -> sqlite3.Connection:
    """The database at `path`, made or migrated to `VERSION`; autocommit, so that transactions are explicit.

    A migration of a large history takes minutes; `sign` is called meanwhile and can end it, and then nothing
    of it is kept. Raises `ConsoleError` when the file cannot be opened, is damaged or was written by a newer
    program, and when `sign` ended it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    except (OSError, sqlite3.Error) as error:
        raise history_error(error, path) from error
    try:
        connection.set_progress_handler(lambda: int(not sign()), STEPS_BETWEEN_SIGNS)
        connection.execute(f"PRAGMA auto_vacuum = {INCREMENTAL}")  # before anything writes the first page
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_KEPT_BYTES}")
        _migrate(connection, path)
        _make_shrinkable(connection, path)
        # Only now: a migration would sort and rewrite all of the history in memory.
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.set_progress_handler(None, 0)
    except sqlite3.Error as error:
        connection.close()
        raise history_error(error, path) from error
    except ConsoleError:
        connection.close()
        raise
    return connection


def open_for_reading(path: Path) -> sqlite3.Connection:
    """A connection that cannot write. Raises `ConsoleError`; `Cause.NOT_FOUND` before the first run."""
    if not path.exists():
        raise ConsoleError(
            "There is no task history yet",
            detail="The event stream of this connection has not been read so far.",
            cause=Cause.NOT_FOUND,
            retryable=True,
        )
    try:
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=2.0, isolation_level=None
        )
    except sqlite3.Error as error:
        raise history_error(error, path) from error
    try:
        connection.execute("PRAGMA query_only = ON")
        version = _version(connection)
    except sqlite3.Error as error:
        connection.close()
        raise history_error(error, path) from error
    if version != VERSION:
        connection.close()
        if version > VERSION:
            raise _newer(path, version)
        raise ConsoleError(
            "The task history is being prepared", detail=f"{path.name} has version {version}.",
            cause=Cause.NOT_MIGRATED, retryable=True,
        )  # fmt: skip
    return connection


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    before = _version(connection)
    if before == VERSION:
        return
    if 0 < before < VERSION:
        _need_room(path)
    connection.create_function("fingerprint", 1, lambda text: text and fingerprint(text), deterministic=True)
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection)
        if version > VERSION:
            raise _newer(path, version)
        for number, script in enumerate(MIGRATIONS[version:], version + 1):
            for statement in _statements(script):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _need_room(path: Path) -> None:
    """Nobody is served by a try that fills the disk for a minute, fails, and begins again."""
    needed = int(path.stat().st_size * ROOM_TO_MIGRATE)
    if shutil.disk_usage(path.parent).free < needed:
        raise ConsoleError(
            "No space to make the task history ready",
            detail=f"{path} needs {needed / 1e6:,.0f} MB more for the time in which it is rewritten.",
            remedy="Free some space on this disk; it goes on by itself.",
            cause=Cause.NO_SPACE,
            retryable=True,
        )


def _make_shrinkable(connection: sqlite3.Connection, path: Path) -> None:
    """Files of version 2 and before cannot give space back; a rewrite of the file changes that."""
    if connection.execute("PRAGMA auto_vacuum").fetchone()[0] == INCREMENTAL:
        return
    try:
        connection.execute(f"PRAGMA auto_vacuum = {INCREMENTAL}")
        connection.execute("VACUUM")
    except sqlite3.Error as error:  # no room for a second copy, for example: it works as it is
        log.warning("%s cannot be rewritten so that it can shrink: %s", path.name, error)


def _statements(script: str) -> list[str]:
    # executescript() would commit, and a half migration must not stay.
    without_comments = "\n".join(line.split("--")[0] for line in script.splitlines())
    return [statement for statement in without_comments.split(";") if statement.strip()]


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _newer(path: Path, version: int) -> ConsoleError:
    return ConsoleError(
        "The task history was written by a newer Celery Console",
        detail=f"{path.name} has version {version}, this program knows {VERSION}.",
        remedy="Update this program, or use another home folder.",
        cause=Cause.NOT_MIGRATED,
    )


def history_error(error: OSError | sqlite3.Error, path: Path) -> ConsoleError:
    """What went wrong with the history file, in words."""
    text = str(error)
    code = getattr(error, "sqlite_errorname", "") or ""
    if code.startswith("SQLITE_FULL") or getattr(error, "errno", None) == 28:
        return ConsoleError(
            "No space for the task history",
            detail=f"{path} cannot grow.",
            remedy="Free some space on this disk; reading goes on by itself.",
            cause=Cause.NO_SPACE,
            retryable=True,
        )
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return ConsoleError(
            "The task history is locked",
            detail=f"Another program holds {path.name}.",
            remedy="Close the program that has it open; reading goes on by itself.",
            cause=Cause.LOCKED,
            retryable=True,
        )
    if code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return ConsoleError(
            "The task history is damaged",
            detail=f"{path}: {text}.",
            remedy="Move the file away; a new history begins by itself.",
            cause=Cause.INVALID,
        )
    if isinstance(error, PermissionError) or code.startswith(
        ("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")
    ):
        return ConsoleError(
            "The task history cannot be written",
            detail=f"{path}: {getattr(error, 'strerror', None) or text}.",
            remedy="Give yourself the right to write there, or choose another home folder.",
            cause=Cause.NOT_PERMITTED,
            retryable=True,
        )
    return ConsoleError(
        "The task history failed", detail=f"{path}: {text}.", cause=Cause.OTHER, retryable=True
    )
