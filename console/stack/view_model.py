"""The state of the Local stack page: what can be pressed and why not, and what pressing it does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from enum import Enum
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from console.core.errors import ConsoleError
from console.core.notices import Level, NoticeBoard
from console.core.operations import Operation, OperationRunner
from console.core.spawn import Tasks
from console.stack.model import (
    LogEntry,
    Mail,
    Pool,
    ServiceName,
    ServiceState,
    StackSnapshot,
    StackState,
    WorkerOptions,
)
from console.stack.operations import change_service, end_stack, set_traffic, start_stack, stop_stack
from console.stack.service import StackService

VERBS = ("Start", "Stop", "Restart")
AT_ONCE_S = 8.0  # the service kills after 5 s; the rest is for the activity log
_SHOWN_LINES = 2_000
log = logging.getLogger(__name__)


class StopChoice(Enum):
    """What a person wants for the tasks that still run."""

    WAIT = "Wait for them"
    NOW = "Stop now"


AskAboutTasks = Callable[[int | None], Awaitable[StopChoice | None]]
"""Asks once what to do with this many running tasks (None: the worker does not say); None: do not stop."""


class StackViewModel(QObject):
    """What `LocalStackPage` shows and does. `log_added` carries a list of `LogEntry`."""

    changed = Signal()
    log_added = Signal(list)

    def __init__(self, service: StackService, runner: OperationRunner, notices: NoticeBoard) -> None:
        super().__init__()
        self._service = service
        self._runner = runner
        self._notices = notices
        self._tasks = Tasks("stack page", on_failure=self._on_failure)
        self._acting: set[ServiceName] = set()
        self._asking = False
        self._closing = False
        self.ask_about_tasks: AskAboutTasks | None = None
        service.changed.connect(lambda _snapshot: self.changed.emit())
        service.log.added.connect(self.log_added.emit)

    @property
    def snapshot(self) -> StackSnapshot:
        return self._service.snapshot

    @property
    def options(self) -> WorkerOptions:
        return self._service.options

    @property
    def pools(self) -> tuple[Pool, ...]:
        return self._service.pools

    @property
    def zone(self) -> str:
        return self._service.zone

    @property
    def stack_folder(self) -> Path:
        return self._service.files.root

    def now(self) -> datetime:
        return self._service.clock.now()

    def now_s(self) -> float:
        """The monotonic time that snapshots use."""
        return self._service.clock.monotonic_s()

    @property
    def can_start(self) -> bool:
        state = self.snapshot.state
        if state is StackState.READY:
            return any(status.state is ServiceState.STOPPED for status in self.snapshot.services)
        return state in (StackState.STOPPED, StackState.FAILED)

    @property
    def can_stop(self) -> bool:
        return self._service.running and self.snapshot.state is not StackState.STOPPING

    def why_not(self, verb: str, name: ServiceName) -> str:
        """Why `verb` cannot be done to a service now; "" when it can."""
        status = self.snapshot.service(name)
        if self.snapshot.state in (StackState.STARTING, StackState.STOPPING) or name in self._acting:
            return f"{name} is being changed"
        if verb == "Start":
            if status.running:
                return f"{name} runs already"
            broker = self.snapshot.service(ServiceName.BROKER)
            if name is not ServiceName.BROKER and broker.state is not ServiceState.READY:
                return "The broker does not run"
            return ""
        if verb == "Stop" and status.state is ServiceState.FAILED:
            return ""  # it may be about to start again
        return "" if status.running else f"{name} does not run"

    def set_visible(self, visible: bool) -> None:
        self._service.set_visible(visible)

    def refresh(self) -> None:
        self._service.refresh()

    def log_entries(self) -> list[LogEntry]:
        """What the log shows at first: the last lines of every source, oldest first."""
        return self._service.log.entries()[-_SHOWN_LINES:]

    # The whole stack

    def start(self) -> None:
        self._tasks.start(self._run(start_stack(self._service)), name="start")

    def cancel(self) -> None:
        self._service.cancel()

    def stop(self) -> None:
        self._tasks.start(self.stop_if_wanted(), name="stop")

    def force(self) -> None:
        """Wait no longer for running tasks."""
        self._service.force()

    async def stop_if_wanted(self) -> bool:
        """Stop the stack, asking once what to do with running tasks. False when it was not stopped."""
        if not self._service.running:
            return True
        choice = await self._choice()
        if choice is None:
            return False
        return await self._run(stop_stack(self._service, wait_for_tasks=choice is StopChoice.WAIT))

    async def choose_at_closing(self) -> StopChoice | None:
        """What a person wants for the tasks that run when the window closes; None: not to close it.

        NOW when nothing runs; WAIT, unasked, while a stop waits for tasks already. Asks one question at a
        time: None, too, while one is open.
        """
        if self._closing:
            return None
        self._closing = True
        try:
            if self.snapshot.waiting is not None:
                return StopChoice.WAIT
            return await self._choice() if self._service.running else StopChoice.NOW
        finally:
            self._closing = False

    async def wait_at_closing(self) -> None:
        """Stop the stack when its tasks have ended, or by `force`. Raises nothing: the program ends."""
        self._closing = True
        try:
            stopped = await self._run(stop_stack(self._service, wait_for_tasks=True))
            if not stopped and self._service.running:
                # The activity log cannot be written: what was promised about the tasks holds all the same.
                await self._service.stop(wait_for_tasks=True)
        except Exception:
            log.exception("The stack could not be stopped")
        finally:
            self._closing = False

    async def stop_at_once(self) -> None:
        """Stop what runs, at most some seconds, without a question. Raises nothing."""
        if not self._service.running:
            return
        try:
            async with asyncio.timeout(AT_ONCE_S):
                if not await self._run(end_stack(self._service)):
                    await self._service.end()
        except Exception:
            log.exception("The stack could not be stopped")

    async def _choice(self) -> StopChoice | None:
        if self.snapshot.state is not StackState.READY:
            return StopChoice.NOW
        tasks = await self._service.active_tasks()
        if tasks == 0 or self.ask_about_tasks is None:
            return StopChoice.NOW
        if self._asking:
            return None
        self._asking = True
        try:
            return await self.ask_about_tasks(tasks)
        finally:
            self._asking = False

    # One service

    def act(self, verb: str, name: ServiceName) -> None:
        """`verb` is one of `VERBS`."""
        if not self.why_not(verb, name):
            self._tasks.start(self._act(verb, name), name=f"{verb} {name}")

    async def _act(self, verb: str, name: ServiceName) -> None:
        wait = False
        if verb != "Start" and name is ServiceName.WORKER:
            choice = await self._choice()
            if choice is None:
                return
            wait = choice is StopChoice.WAIT
        self._acting.add(name)
        self.changed.emit()
        try:
            await self._run(change_service(self._service, verb, name, wait_for_tasks=wait))
        finally:
            self._acting.discard(name)
            self.changed.emit()

    # Options, traffic, mail, log

    async def save_options(self, options: WorkerOptions, *, restart: bool) -> None:
        """Keep the options, and restart the worker with them. Raises `ConsoleError` when they are wrong."""
        await self._service.set_options(options)
        self.changed.emit()
        if restart and self.snapshot.service(ServiceName.WORKER).running:
            self.act("Restart", ServiceName.WORKER)
        else:
            self._notices.post(Level.OK, "Worker options saved", key="stack-options")

    def set_demo_rate(self, rate: str) -> None:
        self._tasks.start(self._run(set_traffic(self._service, rate)), name="demo traffic")

    async def mails(self) -> list[Mail]:
        return await self._service.mails()

    def save_log(self, path: Path) -> None:
        """Write what the log holds to a file."""
        self._tasks.start(self._save_log(path), name="save log")

    async def _save_log(self, path: Path) -> None:
        lines = await self._service.save_log(path)
        self._notices.post(Level.OK, "Log saved", detail=f"{lines:,} lines in {path}", key="stack-log")

    async def aclose(self) -> None:
        await self._tasks.aclose()

    async def _run(self, operation: Operation) -> bool:
        return await self._runner.run(operation)

    def tell(self, error: ConsoleError) -> None:
        """A failure that no operation has told."""
        self._notices.post_error(error, key="stack")

    def _on_failure(self, error: BaseException) -> None:
        if not isinstance(error, ConsoleError):
            raise error
        self.tell(error)
