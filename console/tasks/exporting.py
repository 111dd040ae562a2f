"""The export that runs: one at a time, in a process of its own, so that the page stays smooth."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from console.core.clock import Clock
from console.core.errors import Cause, ConsoleError
from console.core.happening import Happening
from console.core.spawn import Tasks
from console.history.query import TaskQuery
from console.tasks.export import Format
from console.tasks.export_process import error_from, order_line

log = logging.getLogger(__name__)

END_WITHIN_S = 5.0


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
    """Has tasks of a history written to a file. `environment` is that of the process that does it."""

    def __init__(
        self, *, clock: Clock, python: str = sys.executable, environment: dict[str, str] | None = None
    ) -> None:
        self._clock = clock
        self._python = python
        self._environment = environment
        self._tasks = Tasks("export")
        self._process: asyncio.subprocess.Process | None = None
        self._cancelled = False
        self.state: ExportState | None = None
        self.changed: Happening[None] = Happening()

    @property
    def running(self) -> bool:
        """Whether one is under way."""
        return self.state is not None and not self.state.ended

    def start(self, history: Path, request: ExportRequest) -> None:
        """Begin; `changed` tells how far it is. Nothing happens while one is under way."""
        if not self.running:
            self._cancelled = False
            self._become(ExportState(request))
            self._tasks.start(self._run(history, request), name="run")

    def cancel(self) -> None:
        """End the one that runs; nothing is left of its file."""
        self._cancelled = True
        stdin = None if self._process is None else self._process.stdin
        if stdin is not None:
            stdin.close()

    def forget(self) -> None:
        """The outcome was seen."""
        if not self.running:
            self._become(None)

    async def aclose(self) -> None:
        """Cancel what runs and wait for its end."""
        self.cancel()
        process = self._process
        if process is not None:
            try:
                async with asyncio.timeout(END_WITHIN_S):
                    await process.wait()
            except TimeoutError:
                log.warning("an export did not end in time and is killed")
                process.kill()
        await self._tasks.aclose()

    async def _run(self, history: Path, request: ExportRequest) -> None:
        try:
            outcome = await self._written(history, request)
        except OSError as error:
            failed = ConsoleError(
                "The export could not be started", detail=str(error.strerror or error), cause=Cause.OTHER
            )
            outcome = {"failed": failed}
        now = self.state if self.state is not None else ExportState(request)
        if "done" in outcome:
            now = replace(now, written=int(outcome["done"]))
        elif "error" in outcome:
            now = replace(now, error=error_from(outcome["error"]))
        elif "failed" in outcome:
            now = replace(now, error=outcome["failed"])
        elif not self._cancelled:
            ended = ConsoleError(
                "The export ended early",
                detail="Its process was ended from outside. Nothing was written.",
                remedy="Try again.",
                cause=Cause.OTHER,
                retryable=True,
            )
            now = replace(now, error=ended)
        cancelled = self._cancelled and "done" not in outcome and now.error is None
        self._become(replace(now, ended=True, cancelled=cancelled))

    async def _written(self, history: Path, request: ExportRequest) -> dict[str, Any]:
        """One life of the process; the last thing that it said. Raises `OSError`."""
        began_s = self._clock.monotonic_s()
        query = request.query
        process = await asyncio.create_subprocess_exec(
            self._python,
            "-m",
            "console.tasks.export_process",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            env=self._environment,
        )
        self._process = process
        said: dict[str, Any] = {}
        try:
            if process.stdin is None or process.stdout is None:
                raise RuntimeError("the child has no pipes")
            process.stdin.write(
                order_line(
                    history=history, target=request.target, form=request.form, columns=request.columns,
                    text=query.text, sort=query.sort, descending=query.descending, ids=request.ids,
                )
            )  # fmt: skip
            if self._cancelled:  # before it could be told
                process.stdin.close()
            while line := await process.stdout.readline():
                said = json.loads(line)
                self._tell(said, began_s)
            await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
            self._process = None
        return said

    def _tell(self, said: dict[str, Any], began_s: float) -> None:
        if "written" in said and self.state is not None:
            took_s = max(self._clock.monotonic_s() - began_s, 1e-3)
            written = int(said["written"])
            self._become(replace(self.state, written=written, rate=written / took_s))

    def _become(self, state: ExportState | None) -> None:
        self.state = state
        self.changed.emit(None)
