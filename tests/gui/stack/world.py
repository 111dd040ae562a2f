"""The Local stack page on a service that starts nothing: tests set the snapshot and look at the widgets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QAbstractButton

from console.core.activity import ActivityEntry, Outcome
from console.core.errors import ConsoleError
from console.core.home import Home
from console.core.notices import NoticeBoard
from console.core.operations import OperationRunner
from console.stack.dialogs import ask_about_tasks
from console.stack.model import (
    Failure,
    LogReader,
    ServiceName,
    ServiceState,
    ServiceStatus,
    StackSnapshot,
    StackState,
    StepName,
    StepState,
    StepStatus,
    Usage,
)
from console.stack.page import LocalStackPage
from console.stack.service import StackService
from console.stack.view_model import StackViewModel

NOW = datetime(2026, 10, 22, 9, 2, 8, tzinfo=UTC)

LOG = """\
[2026-10-22 14:31:58,204: INFO/MainProcess] Task bundled_project.shop.tasks.send_welcome_email[6f463d8e-1111-4000-8000-00000000a05c] received
[2026-10-22 14:31:58,206: DEBUG/MainProcess] TaskPool: apply_async to process 51240
[2026-10-22 14:31:58,911: INFO/ForkPoolWorker-1] Task bundled_project.shop.tasks.send_welcome_email[6f463d8e-1111-4000-8000-00000000a05c] succeeded in 0.703s: "sent"
[2026-10-22 14:32:02,420: WARNING/MainProcess] Retry in 2s: SMTPRecipientsRefused
[2026-10-22 14:32:03,380: ERROR/ForkPoolWorker-2] Task bundled_project.shop.tasks.fail_on_purpose[d789f3c0-1111-4000-8000-00000000848e] raised unexpected: ValueError("on purpose")
Traceback (most recent call last):
  File "bundled_project/tasks.py", line 142, in fail_on_purpose
    raise ValueError("on purpose")
ValueError: on purpose
[2026-10-22 14:32:04,052: INFO/ForkPoolWorker-2] Task bundled_project.shop.tasks.charge_user[53c15b07-1111-4000-8000-000000001a74] succeeded in 0.412s: {"charge": 771}"""  # noqa: E501


class StillClock:
    """A clock that stands at `NOW`."""

    def now(self) -> datetime:
        return NOW

    def monotonic_s(self) -> float:
        return 100.0


class Activity:
    """The activity log as a list."""

    def __init__(self) -> None:
        self.begun: list[ActivityEntry] = []

    async def begin(self, entry: ActivityEntry) -> int:
        self.begun.append(entry)
        return len(self.begun)

    async def finish(self, number: int, outcome: Outcome, said: str) -> None:
        pass


class QuietService(StackService):
    """Notes what it is asked to do instead of doing it."""

    def __init__(self, home: Home, notices: NoticeBoard) -> None:
        super().__init__(home=home, clock=StillClock(), notices=notices)
        self.asked: list[str] = []
        self.active: int | None = 0
        self.failing: ConsoleError | None = None

    def show(self, snapshot: StackSnapshot) -> None:
        self.snapshot = snapshot
        self.changed.emit(snapshot)

    def _note(self, what: str) -> str:
        self.asked.append(what)
        if self.failing is not None:
            raise self.failing
        return what

    @property
    def running(self) -> bool:
        return any(status.running for status in self.snapshot.services)

    async def start(self) -> str:
        return self._note("start")

    async def end(self, within_s: float = 0.0) -> str:
        self.asked.append("end")
        return "end"

    async def stop(self, *, wait_for_tasks: bool = False) -> str:
        return self._note("stop and wait" if wait_for_tasks else "stop")

    def cancel(self) -> None:
        self._note("cancel")

    def force(self) -> None:
        self._note("force")

    async def active_tasks(self) -> int | None:
        return self.active

    async def start_service(self, name: ServiceName) -> str:
        return self._note(f"start {name}")

    async def stop_service(self, name: ServiceName, *, wait_for_tasks: bool = False) -> str:
        return self._note(f"stop {name}{' and wait' if wait_for_tasks else ''}")

    async def restart_service(self, name: ServiceName, *, wait_for_tasks: bool = False) -> str:
        return self._note(f"restart {name}")

    async def set_demo_rate(self, rate: str) -> str:
        return self._note(f"traffic {rate}")


class World:
    """The page and everything around it."""

    def __init__(self, folder: Path) -> None:
        home = Home(folder)
        home.prepare()
        clock = StillClock()
        self.notices = NoticeBoard(clock)
        self.activity = Activity()
        self.service = QuietService(home, self.notices)
        self.runner = OperationRunner(
            activity=self.activity, notices=self.notices, clock=clock, connection=lambda: None, who="somebody"
        )
        self.went: list[tuple[str, str]] = []
        self.view_model = StackViewModel(self.service, self.runner, self.notices)
        self.page = LocalStackPage(self.view_model, lambda noun, query="": self.went.append((noun, query)))
        self.view_model.ask_about_tasks = lambda tasks: ask_about_tasks(self.page, tasks)

    def button(self, name: str) -> QAbstractButton:
        found = [
            button
            for button in self.page.window().findChildren(QAbstractButton)
            if button.accessibleName() == name and button.isVisible()
        ]
        assert len(found) == 1, (name, found)
        return found[0]

    def press(self, name: str) -> None:
        button = self.button(name)
        assert button.isEnabled(), f"{name} cannot be pressed"
        button.click()

    async def until(self, condition: Callable[[], object], *, within_s: float = 3.0) -> None:
        deadline_s = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline_s, "never came true"
            QCoreApplication.processEvents()
            await asyncio.sleep(0.002)

    async def aclose(self) -> None:
        await self.view_model.aclose()
        await self.service.aclose()


def service(name: ServiceName, state: ServiceState = ServiceState.READY, **more: object) -> ServiceStatus:
    """One row as in the picture."""
    details = {
        ServiceName.BROKER: ("Redis-compatible, 127.0.0.1:40617", 51204, 1.2, 14_000_000, 724),
        ServiceName.WORKER: ("2 processes, prefork, queues default, mail", 51231, 18.4, 212_000_000, 721),
        ServiceName.BEAT: ("DatabaseScheduler, 3 schedules", 51236, 0.3, 88_000_000, 721),
    }
    detail, pid, cpu, memory, uptime_s = details[name]
    wave = tuple(cpu * (1 + ((i * 7) % 5 - 2) / 10) for i in range(60))
    ready = state is ServiceState.READY
    values: dict[str, object] = {
        "detail": detail,
        "pid": pid if ready else None,
        "started": NOW - timedelta(seconds=uptime_s) if ready else None,
        "usage": Usage(cpu, memory) if ready else None,
        "cpu": wave if ready else (),
        "memory": tuple(memory * (1 + ((i * 3) % 7) / 100) for i in range(60)) if ready else (),
        **more,
    }
    return ServiceStatus(name, state, **values)  # type: ignore[arg-type]


def running(*statuses: ServiceStatus, state: StackState = StackState.READY, **more: object) -> StackSnapshot:
    """A stack that runs; `statuses` replace the ready ones."""
    given = {status.name: status for status in statuses}
    services = tuple(given.get(name) or service(name) for name in ServiceName)
    return StackSnapshot(state=state, services=services, steps=PLAN, sent_mail=14, demo_rate="2/s", **more)  # type: ignore[arg-type]


PLAN = (
    StepStatus(StepName.BROKER, "an embedded Redis-compatible server on this machine"),
    StepStatus(StepName.DATABASE, "SQLite with every table the project needs"),
    StepStatus(StepName.DEMO_DATA, "users, orders and counters"),
    StepStatus(StepName.WORKER, "2 processes, prefork"),
    StepStatus(StepName.BEAT, "3 schedules from the database"),
    StepStatus(StepName.FIRST_TASK, "send_welcome_email runs and succeeds"),
)


def starting() -> StackSnapshot:
    """The fourth step runs."""
    ready = StepState.READY
    steps = (
        StepStatus(StepName.BROKER, "Ready on 127.0.0.1:40617", ready, 0.3),
        StepStatus(StepName.DATABASE, "42 migrations done", ready, 1.1),
        StepStatus(StepName.DEMO_DATA, "20 users, 40 orders", ready, 0.2),
        StepStatus(StepName.WORKER, "Waiting for its first heartbeat", StepState.STARTING, None, 98.6),
        *PLAN[4:],
    )
    services = (
        service(ServiceName.BROKER),
        service(ServiceName.WORKER, ServiceState.STARTING),
        service(ServiceName.BEAT, ServiceState.STOPPED),
    )
    return StackSnapshot(state=StackState.STARTING, services=services, steps=steps, started_s=97.0)


def failed() -> StackSnapshot:
    """The worker did not start."""
    before = starting()
    steps = (
        *before.steps[:3],
        StepStatus(StepName.WORKER, "The Python module shop was not found.", StepState.FAILED, 0.4),
        *PLAN[4:],
    )
    failure = Failure(
        "Worker",
        "Worker did not start",
        "The Python module shop was not found.",
        "Install it into the environment of the console, or correct the import.",
        ("Traceback (most recent call last):", "ModuleNotFoundError: No module named 'shop'"),
    )
    services = (
        service(ServiceName.BROKER),
        service(ServiceName.WORKER, ServiceState.FAILED, problem=failure.cause),
        service(ServiceName.BEAT, ServiceState.STOPPED),
    )
    return StackSnapshot(state=StackState.FAILED, services=services, steps=steps, failure=failure)


def fill_log(world: World, lines: Sequence[str] = tuple(LOG.splitlines())) -> None:
    """Put lines into the log at once."""
    reader = LogReader("worker")
    entries = [reader.read(line, "14:31:00.000") for line in lines]
    world.view_model.log_added.emit([entry for entry in entries if entry is not None])
