"""The Tasks page on a real history file and a control in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from PySide6.QtCore import QCoreApplication

from console.broker.address import BrokerAddress
from console.broker.session import Session
from console.collector.events import Event
from console.collector.fold import Fold
from console.core.activity import ActivityEntry, Outcome
from console.core.connection import ConnectionInfo, Environment, LinkState, Mode
from console.core.notices import NoticeBoard
from console.core.operations import Confirmation, Operation, OperationRunner
from console.history.model import CollectorState, CollectorSummary
from console.history.writer import HistoryWriter
from console.tasks.gateway import Answer
from console.tasks.model import SendRequest
from console.tasks.page import TasksPage
from console.tasks.service import TasksService
from console.tasks.view_model import TasksViewModel


class RunningClock:
    """The real time; a test may shift the wall clock."""

    def __init__(self) -> None:
        self.shift = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.shift

    def monotonic_s(self) -> float:
        return time.monotonic()


class MemoryActivity:
    """An activity log that forgets nothing and writes nothing."""

    def __init__(self) -> None:
        self.entries: list[ActivityEntry] = []
        self.outcomes: list[tuple[Outcome, str]] = []

    async def begin(self, entry: ActivityEntry) -> int:
        self.entries.append(entry)
        return len(self.entries)

    async def finish(self, number: int, outcome: Outcome, said: str) -> None:
        self.outcomes.append((outcome, said))


class MemoryControl:
    """Answers as it is told to."""

    def __init__(self) -> None:
        self.answers: list[Answer] = [Answer("celery@web-1", ok=True, text="tasks flagged as revoked")]
        self.told: list[tuple[list[str], str | None, int | None]] = []
        self.sent: list[tuple[str, SendRequest]] = []

    def tell(self, task_ids: Sequence[str], *, signal: str | None, expected: int | None) -> list[Answer]:
        self.told.append((list(task_ids), signal, expected))
        return self.answers

    def send(self, task_id: str, request: SendRequest) -> None:
        self.sent.append((task_id, request))


class World:
    """The page and everything under it; `async with` closes it."""

    def __init__(self, folder: Path, mode: Mode = Mode.FULL) -> None:
        self.path = folder / "h.sqlite3"
        self.clock = RunningClock()
        self.notices = NoticeBoard(self.clock)
        self.activity = MemoryActivity()
        self.control = MemoryControl()
        self.asked: list[Operation] = []
        self.choice = 0
        self.session = Session(
            info=ConnectionInfo("c", "Shop staging", Environment.STAGING, mode),
            address=BrokerAddress("127.0.0.1", 1),
            schedules=None,
            history_file=self.path,
            clock=self.clock,
        )
        self.runner = OperationRunner(
            activity=self.activity,
            notices=self.notices,
            clock=self.clock,
            connection=lambda: self.session.info,
            who="asha",
        )
        self.runner.confirm = self._confirm
        self.service = TasksService(
            clock=self.clock,
            registered=lambda: ("shop.registered",),
            default_queue=lambda: "usual",
            open_control=lambda _session: self.control,
        )
        self.view_model = TasksViewModel(self.service, self.runner)
        self.page = TasksPage(self.view_model)
        self.writer: HistoryWriter | None = None
        self.fold: Fold | None = None
        self.change = 0
        self.reads = 0

    async def _confirm(self, operation: Operation, connection: ConnectionInfo | None) -> Confirmation:
        self.asked.append(operation)
        return Confirmation("because", self.choice)

    async def __aenter__(self) -> World:
        self.page.resize(1088, 732)
        self.page.show()
        self.page.activate()
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.page.deactivate()
        await self.view_model.aclose()
        await self.service.detach()
        await self.session.aclose()
        if self.writer is not None:
            self.writer.close()
        self.page.close()
        self.page.deleteLater()

    def connect(self, state: CollectorState = CollectorState.READING) -> None:
        self.service.attach(self.session)
        self.session.set_status(LinkState.CONNECTED)
        self.tell(state)

    def tell(
        self, state: CollectorState = CollectorState.READING, error: str = "", unjudged: str = ""
    ) -> None:
        """The collector speaks."""
        self.service.on_summary(
            CollectorSummary(
                state=state, change=self.change, events=0, events_per_s=0.0, lag_s=None, malformed=0,
                counts={}, workers=(), error=error, unjudged=unjudged,
            )
        )  # fmt: skip

    def store(self, events: Sequence[Event]) -> None:
        """Write events as the collector would."""
        if self.writer is None or self.fold is None:
            self.writer = HistoryWriter(self.path)
            self.fold = Fold(self.writer)
        self.change += 1
        self.fold.apply(events, received_at=time.time())
        self.writer.commit(self.fold.batch(change=self.change, alive=time.time()))
        self.fold.stored()
        self.tell()

    async def until(self, true: Callable[[], Any], within_s: float = 8.0) -> None:
        """Let Qt and asyncio go on until something is so."""
        deadline = time.monotonic() + within_s
        while not true():
            assert time.monotonic() < deadline, "it did not happen"
            QCoreApplication.processEvents()
            await asyncio.sleep(0.005)


def life(
    task_id: str, *, at: float, name: str = "shop.tasks.send_invoice", end: str = "succeeded", **more: Any
) -> list[Event]:
    """The events of one task up to `end`; `at` is seconds of the epoch."""
    host: dict[str, Any] = {"hostname": "celery@web-1", "pid": 20411}
    texts: dict[str, Any] = {"name": name, "args": "(7, 'a@example.org')", "kwargs": "{'copy': True}", **more}
    events = [
        Event(
            type="task-sent", uuid=task_id, timestamp=at, hostname="gen3120@web-api", pid=3120, queue="mail",
            routing_key="mail", **texts,
        ),
        Event(type="task-received", uuid=task_id, timestamp=at + 0.2, **texts, **host),
        Event(type="task-started", uuid=task_id, timestamp=at + 0.28, **host),
    ]  # fmt: skip
    if end == "sent":
        return events[:1]
    if end == "received":
        return events[:2]
    if end == "started":
        return events
    if end == "succeeded":
        return [
            *events,
            Event(
                type="task-succeeded", uuid=task_id, timestamp=at + 0.7, runtime=0.412, result="'ok'", **host
            ),
        ]
    if end == "failed":
        return [*events, *failure(task_id, at + 0.7, "task-failed")]
    return [*events, Event(type=f"task-{end}", uuid=task_id, timestamp=at + 0.7, **host)]


TRACEBACK = """Traceback (most recent call last):
  File "/srv/venv/lib/python3.11/site-packages/celery/app/trace.py", line 453, in trace_task
    R = retval = fun(*args, **kwargs)
  File "/srv/bundled_project/tasks.py", line 88, in send_invoice
    deliver(order, render_pdf(order))
  File "/srv/bundled_project/mailer.py", line 41, in deliver
    with get_connection() as smtp:
  File "/usr/lib/python3.11/smtplib.py", line 405, in getreply
    raise SMTPServerDisconnected("Connection unexpectedly closed")
smtplib.SMTPServerDisconnected: Connection unexpectedly closed: timed out
"""


def failure(task_id: str, at: float, kind: str) -> list[Event]:
    return [
        Event(
            type=kind, uuid=task_id, timestamp=at, hostname="celery@web-1", pid=20411, traceback=TRACEBACK,
            exception="SMTPServerDisconnected('Connection unexpectedly closed: timed out')",
        )
    ]  # fmt: skip


def retried_life(task_id: str, at: float) -> list[Event]:
    """Three tries: retried, retried, failed."""
    host: dict[str, Any] = {"hostname": "celery@web-1", "pid": 20411}
    events = life(task_id, at=at, end="started")
    for number, start in ((1, at + 2.7), (2, at + 7.5)):
        events += failure(task_id, start - 2.0, "task-retried")
        events += [
            Event(
                type="task-received", uuid=task_id, timestamp=start - 1.9, retries=number,
                name="shop.tasks.send_invoice", args="(7, 'a@example.org')", kwargs="{}", **host,
            ),
            Event(type="task-started", uuid=task_id, timestamp=start, **host),
        ]  # fmt: skip
    return [*events, *failure(task_id, at + 7.9, "task-failed")]
