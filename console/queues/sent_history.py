"""What the task history knows about queues: what was sent to them, and when.

Only `task-sent` events carry a queue, so a queue without any has no rate here rather than a false zero.
Rows are counted in the order in which the collector stored them, on our own clock: the clocks of
producers and workers may be wrong by hours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from console.history.reader import HistoryReader

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
        with HistoryReader(self._path) as history:
            last_row = history.last_row()
            counted = (
                {}
                if after_row is None
                else history.sent_by_queue(max(after_row, last_row - MOST_ROWS), last_row)
            )
            return NewlySent(last_row, counted, history.known_queues(queues))

    def sent_at(self, ids: Sequence[str]) -> Mapping[str, datetime]:
        if not ids:
            return {}
        with HistoryReader(self._path) as history:
            return history.sent_at(ids[:MOST_IDS])

    def queue_names(self) -> frozenset[str]:
        with HistoryReader(self._path) as history:
            return frozenset(history.queues()[:MOST_NAMES])

    def oldest_waiting(self, ready: Mapping[str, int]) -> Mapping[str, datetime]:
        found: dict[str, datetime] = {}
        asked = [(queue, count) for queue, count in ready.items() if 0 < count <= MOST_WAITING]
        if not asked:
            return found
        with HistoryReader(self._path) as history:
            for queue, count in asked[:MOST_QUEUES]:
                since = history.waiting_since(queue, count, looked_at=2 * MOST_WAITING)
                if since is not None:
                    found[queue] = since
        return found
