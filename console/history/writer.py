"""The one writer of the history: batches of rows go in as one transaction each.

Either all of a batch is in the file or nothing of it, counters, figures and full text included; so a
collector that is killed at any moment leaves rows, counts and a search that agree.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from console.history.bounds import Retention
from console.history.figures import KEPT_STEPS, NO_FIGURES, FigureBatch, store_figures
from console.history.ids import StoredId
from console.history.marks import CODE_OF, STATE_CODES
from console.history.model import Gap, TaskState, WorkerSeen
from console.history.retention import Trimming
from console.history.schema import (
    ROW_COLUMNS,
    TEXT_COLUMNS,
    Sign,
    WordKind,
    history_error,
    open_for_writing,
)

Text = tuple[int, str | None, str | None]  # rowid, and the two texts of a full-text table
IDS_PER_SELECT = 500

_INSERT = f"INSERT INTO tasks ({', '.join(ROW_COLUMNS)}) VALUES ({', '.join('?' * len(ROW_COLUMNS))})"  # noqa: S608
_UPDATE = (
    f"UPDATE tasks SET {', '.join(f'{column} = ?' for column in ROW_COLUMNS[2:])} "  # noqa: S608
    "WHERE rowid = ?"
)
_TEXTS = (
    f"INSERT OR REPLACE INTO texts ({', '.join(TEXT_COLUMNS)}) "  # noqa: S608
    f"VALUES ({', '.join('?' * len(TEXT_COLUMNS))})"
)
LOADED_COLUMNS = (
    "rowid", "id", "state", "name", "queue", "args", "kwargs", "result", "exception", "root_id", "parent_id",
    "eta", "expires", "routing_key", "exchange", "client", "marks",
)  # fmt: skip
_LOAD = (
    "SELECT tasks.rowid, tasks.id, tasks.state, (SELECT word FROM words WHERE id = tasks.name), "  # noqa: S608
    "(SELECT word FROM words WHERE id = tasks.queue), "
    f"{', '.join(LOADED_COLUMNS[5:])} FROM tasks JOIN texts USING (rowid) WHERE tasks.id IN "
)


@dataclass(slots=True)
class Batch:
    """What one transaction stores.

    `inserts` are tuples in the order of `ROW_COLUMNS`, `updates` the same without rowid and id and with the
    rowid last; `texts` are tuples in the order of `TEXT_COLUMNS` of rows that are new or changed. What is
    searched: `forget_call` and `forget_outcome` say exactly what was indexed so far of rows whose texts
    change, `call` (args, kwargs) and `outcome` (result, exception) what is indexed from now on.
    `figures`, `events` and `malformed` are increments, `counts` absolute numbers; `words` are new ones:
    number, kind, word.
    """

    change: int
    alive: float
    inserts: list[tuple[Any, ...]] = field(default_factory=list)
    updates: list[tuple[Any, ...]] = field(default_factory=list)
    texts: list[tuple[Any, ...]] = field(default_factory=list)
    forget_call: list[Text] = field(default_factory=list)
    call: list[Text] = field(default_factory=list)
    forget_outcome: list[Text] = field(default_factory=list)
    outcome: list[Text] = field(default_factory=list)
    counts: Mapping[TaskState, int] = field(default_factory=dict)
    figures: FigureBatch = NO_FIGURES
    words: Iterable[tuple[int, int, str]] = ()
    workers: Sequence[WorkerSeen] = ()
    events: int = 0
    malformed: int = 0
    lag_s: float | None = None


class HistoryWriter:
    """The history at `path`. Raises `ConsoleError` from every call; nothing of a failed batch is kept.

    `sign` as in `open_for_writing`.
    """

    def __init__(self, path: Path, sign: Sign = lambda: True) -> None:
        self.path = path
        self._connection = open_for_writing(path, sign)

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

    def next_word(self) -> int:
        """The number of the next new word."""
        highest: int | None = self._one("SELECT max(id) FROM words")
        return (highest or 0) + 1

    def word_id(self, kind: WordKind, word: str) -> int:
        """The number of a word; 0 when the history does not have it."""
        found = self._all("SELECT id FROM words WHERE kind = ? AND word = ?", (int(kind), word))
        return found[0][0] if found else 0

    def workers(self) -> list[WorkerSeen]:
        """The workers as they were when the last run ended."""
        return [worker_from(row) for row in self._all(f"SELECT {WORKER_COLUMNS} FROM workers")]  # noqa: S608

    def figure_steps(self) -> list[bytes]:
        """What a run before has counted and not stored everywhere."""
        return [row[0] for row in self._all(KEPT_STEPS)]

    def load(self, ids: Sequence[StoredId]) -> list[tuple[Any, ...]]:
        """The stored tasks among `ids`, as tuples in the order of `LOADED_COLUMNS`."""
        found: list[tuple[Any, ...]] = []
        for start in range(0, len(ids), IDS_PER_SELECT):
            some = ids[start : start + IDS_PER_SELECT]
            found += self._all(f"{_LOAD}({', '.join('?' * len(some))})", some)
        return found

    def trimming(self, retention: Retention) -> Trimming:
        """What keeps this history within `retention`, to be called between batches."""
        return Trimming(self._connection, self.path, retention)

    def release_memory(self) -> None:
        """Free what is only held to be faster."""
        self._all("PRAGMA shrink_memory")

    def commit(self, batch: Batch) -> None:
        """Store `batch` as one transaction."""

        def write(connection: sqlite3.Connection) -> None:
            connection.executemany("INSERT INTO words VALUES (?, ?, ?)", batch.words)
            connection.executemany(_INSERT, batch.inserts)
            connection.executemany(_UPDATE, batch.updates)
            connection.executemany(_TEXTS, batch.texts)
            _index(connection, batch)
            store_figures(connection, batch.figures)
            connection.executemany(
                "INSERT INTO counts VALUES (?, ?) ON CONFLICT (state) DO UPDATE SET n = excluded.n",
                [(CODE_OF[state], count) for state, count in batch.counts.items()],
            )
            connection.executemany(
                f"INSERT OR REPLACE INTO workers ({WORKER_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
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

    def close_gap(self, end: datetime, *, lost: int | None = None) -> None:
        """Events are read again. `lost` is how many were missed, as far as that is known now."""
        self._transaction(
            lambda connection: connection.execute(
                "UPDATE gaps SET end = max(start, ?), lost = ifnull(?, lost) WHERE end IS NULL",
                (end.timestamp(), lost),
            )
        )

    def add_lost(self, tasks: int) -> None:
        """So many more tasks are known to have been missed in the last gap."""
        self._transaction(
            lambda connection: connection.execute(
                "UPDATE gaps SET lost = ifnull(lost, 0) + ? WHERE number = (SELECT max(number) FROM gaps)",
                (tasks,),
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


def _index(connection: sqlite3.Connection, batch: Batch) -> None:
    """What is searched: first what no longer holds, word for word as it was indexed, then the new texts."""
    forget = "INSERT INTO {0} ({0}, rowid, {1}) VALUES ('delete', ?, ?, ?)"
    add = "INSERT INTO {0} (rowid, {1}) VALUES (?, ?, ?)"
    connection.executemany(forget.format("call", "args, kwargs"), batch.forget_call)
    connection.executemany(add.format("call", "args, kwargs"), batch.call)
    connection.executemany(forget.format("outcome", "result, exception"), batch.forget_outcome)
    connection.executemany(add.format("outcome", "result, exception"), batch.outcome)


WORKER_COLUMNS = (
    "hostname, online, last_heartbeat, interval_s, active, processed, load, pid, software, clock_offset"
)


def worker_from(row: tuple[Any, ...]) -> WorkerSeen:
    """A row of `WORKER_COLUMNS` as a worker."""
    hostname, online, last, interval_s, active, processed, load, pid, software, clock_offset_s = row
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
        clock_offset_s=clock_offset_s,
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
        worker.clock_offset_s,
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
