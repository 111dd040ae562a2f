"""Reading along: what a collector tells while another one writes the history.

It has no connection to the broker. SQLite's data version says for nothing whether anything was stored; only
then are counts, workers and gaps read again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from console.core.errors import ConsoleError
from console.history.model import CollectorState, Gap, RunFigures, TaskState, WorkerSeen
from console.history.reader import HistoryReader

# The writer stores a sign of life every two seconds as long as it is subscribed.
SILENT_AFTER_S = 10.0


@dataclass(frozen=True, slots=True)
class Followed:
    """What the history says of its writer. `events` and `malformed`: since the following began."""

    state: CollectorState = CollectorState.CONNECTING
    error: str = ""
    change: int = 0
    events: int = 0
    malformed: int = 0
    lag_s: float | None = None
    counts: dict[TaskState, int] | None = None
    workers: tuple[WorkerSeen, ...] = ()


class HistoryFollower:
    """Follows the history at `history_file` from now on; the file need not exist yet."""

    def __init__(self, history_file: Path, *, now: Callable[[], float] = time.time) -> None:
        self._reader = HistoryReader(history_file, now=now)
        self._now = now
        self._version: int | None = None
        self._began: RunFigures | None = None
        self._run: RunFigures | None = None
        self._gap: Gap | None = None
        self._counts: dict[TaskState, int] | None = None
        self._workers: tuple[WorkerSeen, ...] = ()

    def look(self) -> Followed:
        """How things stand now. Blocking, shortly; failures are in what it returns."""
        try:
            version = self._reader.data_version()
            if version != self._version:
                self._read()
                self._version = version
        except ConsoleError as error:
            self._version = None
            state = CollectorState.CONNECTING if error.retryable else CollectorState.FAILED
            return self._followed(state, "" if error.retryable else str(error))
        return self._followed(*self._condition())

    def close(self) -> None:
        self._reader.close()

    def _read(self) -> None:
        run = self._reader.run()
        self._began = self._began or run
        self._run = run
        self._gap = next((gap for gap in self._reader.gaps() if gap.end is None), None)
        self._counts = self._reader.totals()
        self._workers = tuple(self._reader.workers())

    def _condition(self) -> tuple[CollectorState, str]:
        run = self._run
        if run is None or not run.alive:
            return CollectorState.CONNECTING, ""
        if self._gap is not None:
            return CollectorState.RECONNECTING, self._gap.reason
        silent_s = self._now() - run.alive
        if silent_s > SILENT_AFTER_S:
            return (
                CollectorState.RECONNECTING,
                f"Another window reads, and stored nothing for {silent_s:.0f} s",
            )
        return CollectorState.READING, ""

    def _followed(self, state: CollectorState, error: str) -> Followed:
        run, began = self._run, self._began
        if run is None or began is None:
            return Followed(state, error)
        return Followed(
            state,
            error,
            change=run.change,
            events=run.events - began.events,
            malformed=run.malformed - began.malformed,
            lag_s=run.lag_s,
            counts=self._counts,
            workers=self._workers,
        )
