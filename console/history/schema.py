"""The history database: its tables, its versions, and how it is opened for writing and for reading.

One file per connection (SQLite, WAL). The collector is the only writer; the window reads.
Every column that can be sorted by is NOT NULL with a value that means unknown ('' for text, 0.0 for
instants, -1.0 for durations): so a page is always `(column, rowid) < (?, ?)` on an index.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from console.core.errors import Cause, ConsoleError

# Short: the collector tries again by itself and must give a sign of life every 2 s.
BUSY_TIMEOUT_S = 1.0

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE tasks (
        rowid INTEGER PRIMARY KEY,
        id NOT NULL,
        name TEXT NOT NULL, state INTEGER NOT NULL, worker TEXT NOT NULL, queue TEXT NOT NULL,
        at REAL NOT NULL, sent REAL NOT NULL, received REAL NOT NULL, started REAL NOT NULL,
        ended REAL NOT NULL, waited REAL NOT NULL, runtime REAL NOT NULL, retries INTEGER NOT NULL,
        change INTEGER NOT NULL, pid INTEGER NOT NULL,
        args TEXT, kwargs TEXT, result TEXT, exception TEXT,
        root_id, parent_id, eta TEXT, expires TEXT, routing_key TEXT, exchange TEXT, client TEXT,
        marks BLOB NOT NULL
    );
    CREATE UNIQUE INDEX tasks_id ON tasks (id);
    CREATE INDEX tasks_at ON tasks (at);
    CREATE INDEX tasks_state_at ON tasks (state, at);
    CREATE INDEX tasks_name_at ON tasks (name, at);
    CREATE INDEX tasks_worker_at ON tasks (worker, at);
    CREATE INDEX tasks_queue_at ON tasks (queue, at);
    CREATE INDEX tasks_runtime ON tasks (runtime);
    CREATE INDEX tasks_waited ON tasks (waited);
    CREATE INDEX tasks_retries ON tasks (retries);
    CREATE INDEX tasks_root ON tasks (root_id) WHERE root_id IS NOT NULL;
    CREATE INDEX tasks_parent ON tasks (parent_id) WHERE parent_id IS NOT NULL;

    -- How many tasks are in each state: kept as it goes, because GROUP BY of a million rows takes seconds.
    CREATE TABLE counts (state INTEGER PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID;

    -- Per minute and task name: events by kind (bucket -1), runtimes and waits by logarithmic bucket.
    CREATE TABLE minutes (
        minute INTEGER NOT NULL, name TEXT NOT NULL, measure INTEGER NOT NULL, bucket INTEGER NOT NULL,
        n INTEGER NOT NULL,
        PRIMARY KEY (minute, name, measure, bucket)
    ) WITHOUT ROWID;

    CREATE TABLE words (kind TEXT NOT NULL, word TEXT NOT NULL, PRIMARY KEY (kind, word)) WITHOUT ROWID;

    CREATE TABLE workers (
        hostname TEXT PRIMARY KEY, online INTEGER NOT NULL, last_heartbeat REAL NOT NULL,
        interval_s REAL NOT NULL, active INTEGER, processed INTEGER, load TEXT NOT NULL,
        pid INTEGER, software TEXT NOT NULL
    ) WITHOUT ROWID;

    CREATE TABLE gaps (
        number INTEGER PRIMARY KEY, start REAL NOT NULL, end REAL, reason TEXT NOT NULL, lost INTEGER
    );

    -- change: number of the last batch; alive: instant of the last sign of life; clean: ended on purpose.
    CREATE TABLE run (one INTEGER PRIMARY KEY CHECK (one = 1), change INTEGER NOT NULL, alive REAL NOT NULL,
        clean INTEGER NOT NULL);
    INSERT INTO run VALUES (1, 0, 0.0, 1);
    """,
    """
    -- For collectors that read along: events and messages that were none, of all runs, and the last lag.
    ALTER TABLE run ADD COLUMN events INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE run ADD COLUMN malformed INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE run ADD COLUMN lag REAL;
    """,
)
VERSION = len(MIGRATIONS)

TASK_COLUMNS = (
    "rowid", "id", "name", "state", "worker", "queue", "at", "sent", "received", "started", "ended",
    "waited", "runtime", "retries", "change", "pid", "args", "kwargs", "result", "exception", "root_id",
    "parent_id", "eta", "expires", "routing_key", "exchange", "client", "marks",
)  # fmt: skip
ROW_COLUMNS = TASK_COLUMNS[:15]


def open_for_writing(path: Path) -> sqlite3.Connection:
    """The database at `path`, made or migrated to `VERSION`; autocommit, so that transactions are explicit.

    Raises `ConsoleError` when it cannot be opened, is damaged or was written by a newer program.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    except (OSError, sqlite3.Error) as error:
        raise history_error(error, path) from error
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA cache_size = -65536")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        _migrate(connection, path)
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
