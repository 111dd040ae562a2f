"""The one writer of the history: batches of rows go in as one transaction each.

Either all of a batch is in the file or nothing of it, counters included; so a collector that is
killed at any moment leaves rows and counts that agree.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from console.history.ids import StoredId
from console.history.marks import CODE_OF, STATE_CODES
from console.history.model import Gap, TaskState, WorkerSeen
from console.history.schema import TASK_COLUMNS, history_error, open_for_writing

MinuteKey = tuple[int, str, int, int]  # minute of the epoch, task name, measure, bucket (-1: none)
IDS_PER_SELECT = 500

_COLUMNS = ", ".join(TASK_COLUMNS)
_INSERT = f"INSERT INTO tasks ({_COLUMNS}) VALUES ({', '.join('?' * len(TASK_COLUMNS))})"  # noqa: S608
_UPDATE = (
    f"UPDATE tasks SET {', '.join(f'{column} = ?' for column in TASK_COLUMNS[2:])} "  # noqa: S608
    "WHERE rowid = ?"
)


@dataclass(slots=True)
class Batch:
    """What one transaction stores.

    `inserts` are tuples in the order of `TASK_COLUMNS`, `updates` the same without id and with the
    rowid last. `minutes`, `events` and `malformed` are increments, `counts` absolute numbers.
    """

    change: int
    alive: float
    inserts: list[tuple[Any, ...]] = field(default_factory=list)
    updates: list[tuple[Any, ...]] = field(default_factory=list)
    counts: Mapping[TaskState, int] = field(default_factory=dict)
    minutes: Mapping[MinuteKey, int] = field(default_factory=dict)
    words: Iterable[tuple[str, str]] = ()
    workers: Sequence[WorkerSeen] = ()
    events: int = 0
    malformed: int = 0
    lag_s: float | None = None


class HistoryWriter:
    """The history at `path`. Raises `ConsoleError` from every call; nothing of a failed batch is kept."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = open_for_writing(path)

    def close(self, *, alive: float | None = None) -> None:
        """Close the file. `alive` is the instant of an end that was wanted, while events were read."""
        try:
            if alive is not None:
                self._connection.execute("UPDATE run SET clean = 1, alive = ?", (alive,))
            self._connection.close()
        except sqlite3.Error as error:
            raise history_error(error, self.path) from error

    def change(self) -> int:
        """The number of the last stored batch."""
        value: int = self._one("SELECT change FROM run")
        return value

    def next_rowid(self) -> int:
        highest: int | None = self._one("SELECT max(rowid) FROM tasks")
        return (highest or 0) + 1

    def counts(self) -> dict[TaskState, int]:
        """All tasks by state; every state is there."""
        rows = dict(self._all("SELECT state, n FROM counts"))
        return {state: rows.get(CODE_OF[state], 0) for state in STATE_CODES}

    def words(self) -> set[tuple[str, str]]:
        return set(self._all("SELECT kind, word FROM words"))

    def workers(self) -> list[WorkerSeen]:
        """The workers as they were when the last run ended."""
        return [worker_from(row) for row in self._all(f"SELECT {WORKER_COLUMNS} FROM workers")]  # noqa: S608

    def load(self, ids: Sequence[StoredId]) -> list[tuple[Any, ...]]:
        """The stored tasks among `ids`, as tuples in the order of `TASK_COLUMNS`."""
        found: list[tuple[Any, ...]] = []
        for start in range(0, len(ids), IDS_PER_SELECT):
            some = ids[start : start + IDS_PER_SELECT]
            marks = ", ".join("?" * len(some))
            found += self._all(f"SELECT {_COLUMNS} FROM tasks WHERE id IN ({marks})", some)  # noqa: S608
        return found

    def commit(self, batch: Batch) -> None:
        """Store `batch` as one transaction."""

        def write(connection: sqlite3.Connection) -> None:
            connection.executemany(_INSERT, batch.inserts)
            connection.executemany(_UPDATE, batch.updates)
            connection.executemany(
                "INSERT INTO minutes VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (minute, name, measure, bucket) DO UPDATE SET n = n + excluded.n",
                [(*key, count) for key, count in batch.minutes.items()],
            )
            connection.executemany(
                "INSERT INTO counts VALUES (?, ?) ON CONFLICT (state) DO UPDATE SET n = excluded.n",
                [(CODE_OF[state], count) for state, count in batch.counts.items()],
            )
            connection.executemany("INSERT OR IGNORE INTO words VALUES (?, ?)", batch.words)
            connection.executemany(
                "INSERT OR REPLACE INTO workers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [_worker_values(worker) for worker in batch.workers],
            )
            connection.execute(
                "UPDATE run SET change = ?, alive = ?, clean = 0, events = events + ?, "
                "malformed = malformed + ?, lag = ?",
                (batch.change, batch.alive, batch.events, batch.malformed, batch.lag_s),
            )

        self._transaction(write)

    def begin_run(self, now: datetime) -> bool:
        """Note that reading begins; the time since the last run becomes a gap that is still open.

        False when there is nothing to miss: the history is new, or a gap was open already.
        """
        alive, clean = self._all("SELECT alive, clean FROM run")[0]
        open_gaps: int = self._one("SELECT count(*) FROM gaps WHERE end IS NULL")
        if open_gaps:
            return True
        if not alive:
            return False
        reason = "The console was closed" if clean else "The reader of events ended unexpectedly"
        self.open_gap(min(datetime.fromtimestamp(alive, UTC), now), reason)
        return True

    def open_gap(self, start: datetime, reason: str, *, lost: int | None = None) -> None:
        """From `start` on events may be missed. Does nothing while a gap is open."""
        self._transaction(
            lambda connection: connection.execute(
                "INSERT INTO gaps (start, end, reason, lost) SELECT ?, NULL, ?, ? "
                "WHERE NOT EXISTS (SELECT 1 FROM gaps WHERE end IS NULL)",
                (start.timestamp(), reason, lost),
            )
        )

    def close_gap(self, end: datetime) -> None:
        """Events are read again."""
        self._transaction(
            lambda connection: connection.execute(
                "UPDATE gaps SET end = max(start, ?) WHERE end IS NULL", (end.timestamp(),)
            )
        )

    def gaps(self) -> list[Gap]:
        """All gaps, oldest first."""
        return [
            gap_from(row) for row in self._all("SELECT start, end, reason, lost FROM gaps ORDER BY number")
        ]

    def _transaction(self, write: Any) -> None:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                write(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise history_error(error, self.path) from error

    def _all(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise history_error(error, self.path) from error

    def _one(self, statement: str) -> Any:
        return self._all(statement)[0][0]


WORKER_COLUMNS = "hostname, online, last_heartbeat, interval_s, active, processed, load, pid, software"


def worker_from(row: tuple[Any, ...]) -> WorkerSeen:
    """A row of `WORKER_COLUMNS` as a worker."""
    hostname, online, last, interval_s, active, processed, load, pid, software = row
    return WorkerSeen(
        hostname=hostname,
        online=bool(online),
        last_heartbeat=datetime.fromtimestamp(last, UTC),
        interval_s=interval_s,
        active=active,
        processed=processed,
        load=tuple(float(part) for part in load.split()),
        pid=pid,
        software=software,
    )


def _worker_values(worker: WorkerSeen) -> tuple[Any, ...]:
    return (
        worker.hostname,
        int(worker.online),
        worker.last_heartbeat.timestamp(),
        worker.interval_s,
        worker.active,
        worker.processed,
        " ".join(f"{value:g}" for value in worker.load),
        worker.pid,
        worker.software,
    )


def gap_from(row: tuple[Any, ...]) -> Gap:
    """A row of start, end, reason, lost as a gap."""
    start, end, reason, lost = row
    return Gap(
        start=datetime.fromtimestamp(start, UTC),
        end=None if end is None else datetime.fromtimestamp(end, UTC),
        reason=reason,
        lost=lost,
    )
