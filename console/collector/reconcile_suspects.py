"""Which tasks have fallen silent, read from the history over a connection of its own.

The collector's thread must never wait for it. Each state is walked in the order of time a part at a time, so
that a backlog of a million waiting tasks costs a round no more than a few do.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from console.collector.reconcile_evidence import Suspect
from console.history.ids import unpack_id
from console.history.marks import CODE_OF, STATE_CODES, VERDICT, Mark, decode_marks, derive
from console.history.model import Gap, TaskState, WorkerSeen
from console.history.schema import WordKind, history_error, open_for_reading
from console.history.writer import WORKER_COLUMNS, gap_from, worker_from

ROWS_PER_STATE = 2000
MOST_RECORDS = 50_000
MOST_WORDS = 2000
DAY_S = 86_400.0
# Where a clock is a little ahead, a task is not younger than now.
AHEAD_S = 1.0

_SUSPECTS = (
    "SELECT tasks.rowid, id, state, (SELECT word FROM words WHERE id = worker), "
    "(SELECT word FROM words WHERE id = queue), at, pid, eta, expires, marks "
    "FROM tasks JOIN texts USING (rowid) "
    "WHERE state = ? AND (at, tasks.rowid) > (?, ?) AND at < ? ORDER BY at, tasks.rowid LIMIT ?"
)


@dataclass(frozen=True, slots=True)
class Timings:
    """How patient the reconciler is, in seconds.

    - `quiet_s`: a task is suspect when nothing was heard of it for so long; `sent_quiet_s` for one that waits
      in a queue, `eta_quiet_s` for one whose time is yet to come.
    - `ending_s`: so long a worker that said goodbye may finish what it runs.
    - `round_s`: between two rounds at least. `longest_s`: between two looks at the same task at most.
    - `silent_s`: after so long without a heartbeat a worker has ended. `answer_s`: workers have so long.
    - `look_share`: looking through queues may take one part in so many of the time.
    """

    quiet_s: float = 60.0
    sent_quiet_s: float = 120.0
    eta_quiet_s: float = 300.0
    round_s: float = 10.0
    longest_s: float = 1800.0
    silent_s: float = 20.0
    ending_s: float = 900.0
    answer_s: float = 3.0
    look_share: float = 50.0
    lost_again_s: float = 2 * DAY_S


@dataclass(slots=True)
class Record:
    """What is remembered of a suspect between rounds. `due`: not before this instant; `unsure`: why it could
    not be judged the last time, "" when it could.
    """

    events: int
    first_seen: float
    due: float = 0.0
    pause_s: float = 0.0
    unheld: bool = False
    missing: bool = False
    unsure: str = ""


class Suspects:
    """The silent tasks of a history. Used by one thread. All calls raise `ConsoleError`."""

    def __init__(self, history_file: Path, timings: Timings) -> None:
        self._file = history_file
        self._timings = timings
        self._connection: sqlite3.Connection | None = None
        self._cursors: dict[TaskState, tuple[float, int]] = {}
        self._met: set[str] = set()
        self.records: dict[str, Record] = {}

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def due(self, now: float) -> list[Suspect]:
        """The tasks that are to be looked at now (seconds of the epoch)."""
        timings, found = self._timings, []
        whole, self._met = not self._cursors, set()
        for state, younger, older in (
            (TaskState.STARTED, -1.0, timings.quiet_s),
            (TaskState.RECEIVED, -1.0, timings.quiet_s),
            (TaskState.RETRYING, -1.0, timings.quiet_s),
            (TaskState.SENT, -1.0, timings.sent_quiet_s),
            (TaskState.LOST, now - timings.lost_again_s, 0.0),
        ):
            found += self._part(state, now, after=younger, before=now - older + AHEAD_S)
        if whole and not self._cursors:
            for task_id, record in self.records.items():
                if task_id not in self._met:
                    record.unsure = ""  # it has gone on by itself
        if len(self.records) > MOST_RECORDS:
            needed = {suspect.id for suspect in found}
            for task_id in list(self.records)[: MOST_RECORDS // 2]:
                if task_id not in needed:
                    del self.records[task_id]
        return found

    def _part(self, state: TaskState, now: float, *, after: float, before: float) -> list[Suspect]:
        at, rowid = max(self._cursors.get(state, (after, 0)), (after, 0))
        rows = self._all(_SUSPECTS, (CODE_OF[state], at, rowid, before, ROWS_PER_STATE))
        if len(rows) == ROWS_PER_STATE:
            self._cursors[state] = rows[-1][5], rows[-1][0]
        else:
            self._cursors.pop(state, None)
        suspects = (self._suspect(row, now) for row in rows)
        return [one for one in suspects if self._is_due(one, now)]

    def _suspect(self, row: tuple[Any, ...], now: float) -> Suspect:
        _, stored_id, state, worker, queue, _, pid, eta, expires, blob = row
        task_id = unpack_id(stored_id)
        self._met.add(task_id)
        events = [mark for mark in decode_marks(blob) if mark[0] != VERDICT]
        newest = max((mark[1] for mark in events), default=0.0)
        record = self.records.get(task_id)
        if record is None or record.events != len(events):
            record = self.records[task_id] = Record(len(events), now)
        return Suspect(
            id=task_id,
            state=STATE_CODES[state],
            told=_told(events, STATE_CODES[state]),
            worker=worker or "",
            queue=queue or "",
            quiet_since=newest if 0.0 < newest <= now + AHEAD_S else record.first_seen,
            newest=newest,
            events=len(events),
            pid=pid,
            eta=_instant(eta),
            expires=_instant(expires),
        )

    def unjudged(self) -> tuple[int, str]:
        """How many silent tasks could not be judged, and why the last of them; (0, "") when all could."""
        reasons = [record.unsure for record in self.records.values() if record.unsure]
        return len(reasons), reasons[-1] if reasons else ""

    def _is_due(self, suspect: Suspect, now: float) -> bool:
        timings = self._timings
        record = self.records[suspect.id]
        if record.due:
            return record.due <= now
        quiet_s = timings.sent_quiet_s if suspect.told is TaskState.SENT else timings.quiet_s
        if suspect.eta > now and suspect.told is not TaskState.STARTED:
            return suspect.quiet_since + timings.eta_quiet_s <= now
        return max(suspect.quiet_since, min(suspect.eta, now)) + quiet_s <= now

    def workers(self) -> Mapping[str, WorkerSeen]:
        """All workers that were ever heard of, by name."""
        rows = self._all(f"SELECT {WORKER_COLUMNS} FROM workers")  # noqa: S608 - our own names
        return {worker.hostname: worker for worker in map(worker_from, rows)}

    def heard(self, now: float) -> Mapping[str, float]:
        """When each worker has last told of receiving a task, by its clock."""
        rows = self._all(
            "SELECT word, (SELECT max(at) FROM tasks WHERE worker = words.id AND at < ?) FROM words "
            "WHERE kind = ? LIMIT ?",
            (now + AHEAD_S, int(WordKind.WORKER), MOST_WORDS),
        )
        return {worker: at for worker, at in rows if at is not None}

    def gaps(self) -> tuple[Gap, ...]:
        """The times in which events may have been missed, oldest first."""
        return tuple(
            gap_from(row) for row in self._all("SELECT start, end, reason, lost FROM gaps ORDER BY number")
        )

    def queues(self) -> tuple[str, ...]:
        """The names of queues that were ever heard of."""
        rows = self._all("SELECT word FROM words WHERE kind = ? LIMIT ?", (int(WordKind.QUEUE), MOST_WORDS))
        return tuple(word for (word,) in rows)

    def _all(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        if self._connection is None:
            self._connection = open_for_reading(self._file)
        try:
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise history_error(error, self._file) from error


def _told(events: list[Mark], shown: TaskState) -> TaskState:
    return STATE_CODES[derive(events).state] if events else shown


def _instant(text: str | None) -> float:
    """An ISO instant as epoch seconds; 0.0 for none. One without a zone is UTC, as Celery means it."""
    if not text:
        return 0.0
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return 0.0
