"""The export that runs: one at a time, on a lane and with a reader of its own, so that the page reads on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from console.core.clock import Clock
from console.core.errors import ConsoleError
from console.core.happening import Happening
from console.core.lanes import Lane
from console.core.spawn import Tasks
from console.history.model import TaskDetail
from console.history.query import TaskQuery
from console.history.reader import HistoryReader
from console.tasks.export import Cancelled, Format, Progress, write_tasks

TELL_EVERY_S = 0.2
LONGEST_S = 6 * 3600.0
BATCH = 500


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What goes where. `ids` empty: what matches `query`. `expected` is how many were counted."""

    target: Path
    form: Format
    columns: tuple[str, ...]
    query: TaskQuery
    ids: tuple[str, ...] = ()
    expected: int | None = None


@dataclass(frozen=True, slots=True)
class ExportState:
    """How far it is. `rate` is tasks a second; `ended` says that nothing runs any more."""

    request: ExportRequest
    written: int = 0
    rate: float = 0.0
    ended: bool = False
    cancelled: bool = False
    error: ConsoleError | None = None

    @property
    def share(self) -> float | None:
        """From 0 to 1; None when nobody knows how many there are."""
        expected = self.request.expected
        return min(1.0, self.written / expected) if expected else None


class TaskExporter:
    """Writes tasks of a history to a file."""

    def __init__(
        self, *, clock: Clock, open_history: Callable[[Path], HistoryReader] = HistoryReader
    ) -> None:
        self._clock = clock
        self._open_history = open_history
        self._lane: Lane | None = None
        self._tasks = Tasks("export")
        self._progress: Progress | None = None
        self.state: ExportState | None = None
        self.changed: Happening[None] = Happening()

    @property
    def running(self) -> bool:
        """Whether one is under way."""
        return self.state is not None and not self.state.ended

    def start(self, history: Path, request: ExportRequest) -> None:
        """Begin; `changed` tells how far it is. Nothing happens while one is under way."""
        if self.running:
            return
        if self._lane is None:
            self._lane = Lane("export", timeout_s=LONGEST_S)
        self._progress = Progress()
        self._become(ExportState(request))
        self._tasks.start(self._run(self._lane, history, request, self._progress), name="run")

    def cancel(self) -> None:
        """End the one that runs; nothing is left of its file."""
        if self._progress is not None:
            self._progress.cancelled.set()

    def forget(self) -> None:
        """The outcome was seen."""
        if not self.running:
            self._become(None)

    async def aclose(self) -> None:
        """Cancel what runs and end."""
        self.cancel()
        while self.running:  # noqa: ASYNC110 - it ends within a batch
            await asyncio.sleep(0.01)
        await self._tasks.aclose()
        if self._lane is not None:
            await self._lane.aclose()

    async def _run(self, lane: Lane, history: Path, request: ExportRequest, progress: Progress) -> None:
        began_s = self._clock.monotonic_s()
        work = asyncio.ensure_future(lane.run(self._write, history, request, progress))
        state = ExportState(request)
        try:
            while not work.done():
                await asyncio.wait({work}, timeout=TELL_EVERY_S)
                took_s = max(self._clock.monotonic_s() - began_s, 1e-3)
                state = replace(state, written=progress.written, rate=progress.written / took_s)
                if not work.done():
                    self._become(state)
            try:
                state = replace(state, written=await work)
            except Cancelled:
                state = replace(state, cancelled=True)
            except ConsoleError as error:
                state = replace(state, error=error)
        finally:
            progress.cancelled.set()  # a closing program waits for nothing
            self._become(replace(state, ended=True))

    def _write(self, history: Path, request: ExportRequest, progress: Progress) -> int:
        reader = self._open_history(history)
        try:
            return write_tasks(
                request.target,
                _by_ids(reader, request.ids) if request.ids else reader.export(request.query, batch=BATCH),
                form=request.form,
                columns=request.columns,
                progress=progress,
            )
        finally:
            with contextlib.suppress(ConsoleError):
                reader.close()

    def _become(self, state: ExportState | None) -> None:
        self.state = state
        self.changed.emit(None)


def _by_ids(reader: HistoryReader, ids: Sequence[str]) -> Iterator[list[TaskDetail]]:
    for first in range(0, len(ids), BATCH):
        found = [reader.detail(task_id) for task_id in ids[first : first + BATCH]]
        yield [one for one in found if one is not None]
