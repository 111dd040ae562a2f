"""The activity log on disk: two append-only tables in SQLite, one of acts, one of how they ended.

Nothing is ever updated or deleted: triggers refuse it, so that a bug of ours cannot either.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from console.activity.model import ActivityLine
from console.core.activity import ActivityEntry, Outcome
from console.core.errors import Cause, ConsoleError

VERSION = 1
_REFUSED = "BEGIN SELECT RAISE(ABORT, 'the activity log is append-only'); END"
_SCHEMA = f"""
CREATE TABLE act (
    number INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, who TEXT NOT NULL, connection TEXT NOT NULL,
    operation TEXT NOT NULL, target TEXT NOT NULL, reason TEXT NOT NULL
);
CREATE TABLE ending (
    number INTEGER PRIMARY KEY REFERENCES act(number), at REAL NOT NULL, outcome TEXT NOT NULL,
    said TEXT NOT NULL
);
CREATE TRIGGER act_stays BEFORE UPDATE ON act {_REFUSED};
CREATE TRIGGER act_kept BEFORE DELETE ON act {_REFUSED};
CREATE TRIGGER ending_stays BEFORE UPDATE ON ending {_REFUSED};
CREATE TRIGGER ending_kept BEFORE DELETE ON ending {_REFUSED};
"""
_SEARCHED = " || ' ' || ".join(("who", "connection", "operation", "target", "reason", "ifnull(said, '')"))


class SqliteActivity:
    """Blocking; used from one lane thread. Every method raises `ConsoleError`."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[int, int] | None = None

    def begin(self, entry: ActivityEntry) -> int:
        with self._open() as database:
            cursor = database.execute(
                "INSERT INTO act (at, who, connection, operation, target, reason) VALUES (?, ?, ?, ?, ?, ?)",
                (
                    entry.when.timestamp(),
                    entry.who,
                    entry.connection,
                    entry.operation,
                    entry.target,
                    entry.reason,
                ),
            )
            number = cursor.lastrowid
        if number is None:
            raise ConsoleError("The activity log gave no number")
        return number

    def finish(self, number: int, at: datetime, outcome: Outcome, said: str) -> None:
        with self._open() as database:
            database.execute(
                "INSERT INTO ending VALUES (?, ?, ?, ?)", (number, at.timestamp(), outcome.value, said)
            )

    def read(self, search: str, *, before: int | None = None, limit: int = 500) -> list[ActivityLine]:
        """The newest acts first; `search` words must all occur; `before` is the last number already shown."""
        where = [f"{_SEARCHED} LIKE ? ESCAPE '!'" for _ in search.split()]
        values: list[object] = [f"%{_escaped(word)}%" for word in search.split()]
        if before is not None:
            where.append("act.number < ?")
            values.append(before)
        condition = f"WHERE {' AND '.join(where)}" if where else ""
        sql = (
            "SELECT act.number, act.at, who, connection, operation, target, reason, outcome, said, ending.at"  # noqa: S608
            f" FROM act LEFT JOIN ending USING (number) {condition} ORDER BY act.number DESC LIMIT ?"
        )
        with self._open() as database:
            rows = database.execute(sql, (*values, limit)).fetchall()
        return [_line(row) for row in rows]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            if self._connection is not None and self._identity() != self._opened:
                # Somebody took the file away: what is written to it now, nobody would ever read.
                self.close()
            if self._connection is None:
                self._connection = self._connected()
                self._opened = self._identity()
            with self._connection:
                yield self._connection
        except sqlite3.Error as error:
            raise ConsoleError(
                "The activity log cannot be used",
                detail=f"{self._file.name}: {error}.",
                remedy="Nothing is changed while it cannot be recorded. Check the space and the rights"
                " of the home folder.",
                cause=Cause.NO_SPACE if "full" in str(error) else Cause.LOCKED,
                retryable=True,
            ) from error

    def _identity(self) -> tuple[int, int] | None:
        """Which file stands at our path; None when there is none."""
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _connected(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._file, timeout=3.0, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
        elif version > VERSION:
            connection.close()
            raise ConsoleError(
                "The activity log is of a newer console",
                detail=f"Its version is {version}, this console knows {VERSION}.",
                remedy="Use the newer console, or another home folder.",
                cause=Cause.CONFLICT,
            )
        return connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _escaped(word: str) -> str:
    return word.replace("!", "!!").replace("%", "!%").replace("_", "!_")


def _line(row: tuple[object, ...]) -> ActivityLine:
    number, at, who, connection, operation, target, reason, outcome, said, ended = row
    return ActivityLine(
        number=int(str(number)),
        when=_instant(at),
        who=str(who),
        connection=str(connection),
        operation=str(operation),
        target=str(target),
        reason=str(reason),
        outcome=Outcome(str(outcome)) if outcome is not None else Outcome.STARTED,
        said=str(said or ""),
        ended=None if ended is None else _instant(ended),
    )


def _instant(value: object) -> datetime:
    return datetime.fromtimestamp(float(str(value)), UTC)
