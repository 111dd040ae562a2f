"""What the task history knows about queues: what was sent to them, and when.

Only `task-sent` events carry a queue, so a queue without any has no rate here rather than a false zero.
Rows are counted in the order in which the collector stored them, on our own clock: the clocks of
producers and workers may be wrong by hours.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from console.history.ids import pack_id, unpack_id
from console.history.schema import history_error, open_for_reading

MOST_ROWS = 50_000
MOST_IDS = 400
MOST_NAMES = 1_000
MOST_WAITING = 5_000
MOST_QUEUES = 100
"""Looking back over so many rows of one queue takes a few milliseconds."""


@dataclass(frozen=True, slots=True)
class NewlySent:
    """Messages by queue stored after the row asked about, and the last row now.

    `known` are those of the queues asked about to which anything was ever sent with an event.
    """

    last_row: int
    by_queue: Mapping[str, int]
    known: frozenset[str]


class SentHistory(Protocol):
    """Blocking (the history lane); raises `ConsoleError`, also while there is no history yet."""

    def newly_sent(self, after_row: int | None, queues: Sequence[str]) -> NewlySent:
        """What was sent since row `after_row`; with None nothing is counted, only the last row told."""
        ...

    def sent_at(self, ids: Sequence[str]) -> Mapping[str, datetime]:
        """When the tasks of these ids were sent, for those known (at most 400)."""
        ...

    def queue_names(self) -> frozenset[str]:
        """All queues that a task was ever sent to, at most 1,000."""
        ...

    def oldest_waiting(self, ready: Mapping[str, int]) -> Mapping[str, datetime]:
        """When the oldest waiting message of each queue was sent, given how many are `ready`.

        For brokers that tell no message's id: of the messages that no worker has received, the last `ready`
        are those that wait. Without an answer where fewer are known, or more than 5,000 wait.
        """
        ...


class SqliteSentHistory:
    """`SentHistory` of the database that the collector writes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def newly_sent(self, after_row: int | None, queues: Sequence[str]) -> NewlySent:
        with self._reading() as connection:
            last_row: int = connection.execute("SELECT max(rowid) FROM tasks").fetchone()[0] or 0
            counted = (
                []
                if after_row is None
                else connection.execute(
                    "SELECT queue, count(*) FROM tasks WHERE rowid > ? AND rowid > ? AND rowid <= ?"
                    " AND queue != '' AND sent > 0 GROUP BY queue",
                    (after_row, last_row - MOST_ROWS, last_row),
                ).fetchall()
            )
            known = [
                queue
                for queue in queues
                if connection.execute("SELECT 1 FROM tasks WHERE queue = ? LIMIT 1", (queue,)).fetchone()
            ]
        return NewlySent(last_row, dict(counted), frozenset(known))

    def sent_at(self, ids: Sequence[str]) -> Mapping[str, datetime]:
        asked = [pack_id(task_id) for task_id in ids[:MOST_IDS]]
        if not asked:
            return {}
        marks = ", ".join("?" * len(asked))
        with self._reading() as connection:
            rows = connection.execute(
                f"SELECT id, sent FROM tasks WHERE id IN ({marks}) AND sent > 0",  # noqa: S608 - only marks
                asked,
            ).fetchall()
        return {unpack_id(stored): datetime.fromtimestamp(sent, UTC) for stored, sent in rows}

    def queue_names(self) -> frozenset[str]:
        with self._reading() as connection:
            rows = connection.execute("SELECT word FROM words WHERE kind = 'queue' LIMIT ?", (MOST_NAMES,))
            return frozenset(word for (word,) in rows if word)

    def oldest_waiting(self, ready: Mapping[str, int]) -> Mapping[str, datetime]:
        found: dict[str, datetime] = {}
        asked = [(queue, count) for queue, count in ready.items() if 0 < count <= MOST_WAITING]
        if not asked:
            return found
        with self._reading() as connection:
            for queue, count in asked[:MOST_QUEUES]:
                row = connection.execute(
                    "SELECT sent FROM"
                    " (SELECT sent, received FROM tasks WHERE queue = ? ORDER BY at DESC LIMIT ?)"
                    " WHERE sent > 0 AND received = 0 ORDER BY sent DESC LIMIT 1 OFFSET ?",
                    (queue, 2 * MOST_WAITING, count - 1),
                ).fetchone()
                if row is not None:
                    found[queue] = datetime.fromtimestamp(row[0], UTC)
        return found

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        connection = open_for_reading(self._path)
        try:
            yield connection
        except sqlite3.Error as error:
            raise history_error(error, self._path) from error
        finally:
            connection.close()
