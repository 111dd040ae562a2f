"""What the task history knows about workers: how many of their tasks failed, and who sends task events."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from console.history.marks import CODE_OF
from console.history.model import TaskState
from console.history.schema import history_error, open_for_reading


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
        connection = open_for_reading(self._path)
        try:
            failed = connection.execute(
                "SELECT worker, count(*) FROM tasks WHERE state = ? AND worker != '' GROUP BY worker",
                (CODE_OF[TaskState.FAILED],),
            ).fetchall()
            heard = [
                worker
                for worker in workers
                if connection.execute(
                    "SELECT 1 FROM tasks WHERE worker = ? AND at >= ? LIMIT 1", (worker, since.timestamp())
                ).fetchone()
            ]
        except sqlite3.Error as error:
            raise history_error(error, self._path) from error
        finally:
            connection.close()
        return SeenInHistory(dict(failed), frozenset(heard))
