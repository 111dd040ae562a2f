"""What the task history knows about workers: how many of their tasks failed, and who sends task events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from console.history.reader import HistoryReader


@dataclass(frozen=True, slots=True)
class SeenInHistory:
    """`failed` tasks by worker, all that the history holds; `heard` are workers that send task events."""

    failed: Mapping[str, int]
    heard: frozenset[str]


class WorkerHistory(Protocol):
    """Blocking (the history lane); raises `ConsoleError`, also while there is no history yet."""

    def seen(self, workers: Sequence[str], *, since: datetime) -> SeenInHistory:
        """Counts of failed tasks, and which of `workers` have sent a task event since `since`."""
        ...


class SqliteWorkerHistory:
    """`WorkerHistory` of the database that the collector writes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def seen(self, workers: Sequence[str], *, since: datetime) -> SeenInHistory:
        with HistoryReader(self._path) as history:
            return SeenInHistory(history.failed_by_worker(), history.heard_from(workers, since))
