"""A console without a window: its services and its collector, wired as `console.app.wiring` does it.

For the tests of a connection's life, which need several of them in one process and no widgets.
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path

from console.activity.gateway import SqliteActivity
from console.activity.service import ActivityService
from console.broker.address import BrokerAddress
from console.broker.database import DatabaseAddress
from console.broker.session import Session
from console.collector.client import CollectorClient
from console.connections.gateway import ConnectionsFile
from console.connections.model import Connection, Purpose, Secrets
from console.connections.service import ConnectionsService
from console.core.clock import SystemClock
from console.core.connection import ConnectionInfo, Environment, LinkState, LinkStatus
from console.core.happening import Happening
from console.core.home import Home
from console.core.notices import Notice, NoticeBoard
from console.core.operations import Confirmation, Operation, OperationRunner
from console.core.redaction import Secret
from console.history.model import CollectorState, CollectorSummary, Gap
from console.history.reader import HistoryReader
from console.overview.service import OverviewService
from console.queues.service import QueuesService
from console.schedules.service import ScheduleService
from console.tasks.service import TasksService
from console.workers.service import WorkersService

SHOP = "shop"
LINK_KEY = "link"


def figure(text: str) -> None:
    """Shown with `pytest -s`: what was measured."""
    sys.stdout.write(f"{text}\n")


class RunKeyring:
    """Secrets in memory: the real keyring has its own tests, and these connect hundreds of times."""

    def __init__(self) -> None:
        self._kept: dict[str, Secret] = {}

    def probe(self) -> str:
        return "Memory"

    def get(self, entry: str) -> Secret | None:
        return self._kept.get(entry)

    def set(self, entry: str, secret: Secret) -> None:
        self._kept[entry] = secret

    def remove(self, entry: str) -> None:
        self._kept.pop(entry, None)


class Desk:
    """One console, on a home of its own. Somebody looks at workers, queues and tasks all the time."""

    def __init__(self, folder: Path) -> None:
        home = Home(folder)
        home.prepare()
        self.home = home
        self.clock = clock = SystemClock()
        self.notices = notices = NoticeBoard(clock)
        self.told: list[Notice] = []
        """Every notice that was ever shown; the board keeps the last ones."""
        notices.posted.connect(self.told.append)
        self.activity = ActivityService(SqliteActivity(home.activity_file), clock=clock)
        self.runner = OperationRunner(
            activity=self.activity, notices=notices, clock=clock, connection=self._info, who="test"
        )
        self.runner.confirm = _yes
        self.connections = ConnectionsService(
            home=home,
            file=ConnectionsFile(home.connections_file),
            secrets=RunKeyring(),
            notices=notices,
            clock=clock,
            local=lambda: None,
        )
        self.collector = CollectorClient(python=sys.executable, clock=clock)
        self.workers = WorkersService(clock=clock, notices=notices, runner=self.runner)
        self.queues = QueuesService(
            clock=clock,
            notices=notices,
            consumers=self.workers.consumers_by_queue,
            known=self.workers.queues,
        )
        self.task_list = TasksService(clock=clock, registered=self.workers.registered_tasks)
        self.schedules = ScheduleService(clock=clock, notices=notices, runner=self.runner)
        self.overview = OverviewService(clock=clock)
        self.pings: Happening[float] = Happening()
        """The loop's seconds at which a ping was answered."""
        self._wire()

    def _wire(self) -> None:
        self.connections.opened.connect(self._opened)
        self.connections.closing.append(self._left)
        self.collector.summaries.connect(self._on_summary)
        self.workers.changed.connect(lambda _snapshot: self.queues.on_workers())
        for service in (self.workers, self.queues, self.task_list, self.overview):
            service.set_visible(True)

    def _info(self) -> ConnectionInfo | None:
        session = self.connections.session
        return session.info if session else None

    def _opened(self, session: Session) -> None:
        session.status_changed.connect(self._on_status)
        self.collector.start(
            session.address, session.history_file, self.home.logs / f"collector-{session.info.id}.log"
        )
        for service in (self.workers, self.queues, self.task_list, self.schedules, self.overview):
            service.attach(session)

    async def _left(self) -> None:
        services = (self.workers, self.queues, self.task_list, self.schedules, self.overview)
        await asyncio.gather(self.collector.aclose(), *(service.detach() for service in services))

    def _on_status(self, status: LinkStatus) -> None:
        if status.state is LinkState.CONNECTED:
            self.pings.emit(time.monotonic())
        elif status.state is LinkState.RECONNECTING:
            self.collector.check()

    def _on_summary(self, summary: CollectorSummary) -> None:
        for service in (self.workers, self.queues, self.task_list, self.overview):
            service.on_summary(summary)
        if summary.state is CollectorState.RECONNECTING:
            self.connections.suspect()

    # What tests do and ask.

    async def connect(self, broker: BrokerAddress, *, schedules: DatabaseAddress | None = None) -> None:
        """Save a connection to `broker` (its password goes to the keyring) and open it."""
        connection = Connection(SHOP, "Shop", Environment.STAGING, broker, schedules=schedules)
        secrets = [(Purpose.BROKER, broker.password), (Purpose.SENTINEL, broker.sentinel_password)]
        if schedules is not None:
            secrets.append((Purpose.SCHEDULES, schedules.password))
        await self.connections.save(connection, Secrets(tuple(one for one in secrets if one[1])))
        await self.connections.connect(SHOP)

    @property
    def session(self) -> Session:
        session = self.connections.session
        assert session is not None, [one.text for one in self.told][-3:]
        return session

    @property
    def state(self) -> LinkState:
        session = self.connections.session
        return session.status.state if session else LinkState.DISCONNECTED

    @property
    def reading(self) -> bool:
        """Whether the collector reads events now."""
        return self.collector.summary.state is CollectorState.READING

    async def until(self, condition: Callable[[], bool], within_s: float, what: str) -> float:
        """Seconds until `condition` holds."""
        began_s = time.monotonic()
        while not condition():
            took_s = time.monotonic() - began_s
            assert took_s < within_s, (
                f"{what}: not within {within_s} s; {self.state}, events {self.collector.summary.state}"
                f" {self.collector.summary.error}, {[one.text for one in self.told][-3:]}"
            )
            await asyncio.sleep(0.005)
        return time.monotonic() - began_s

    async def gaps(self) -> list[Gap]:
        """What the history knows to have missed."""

        def read() -> list[Gap]:
            reader = HistoryReader(self.home.history_file(SHOP))
            try:
                return reader.gaps()
            finally:
                reader.close()

        return await asyncio.to_thread(read)

    async def known_tasks(self) -> set[str]:
        """The ids of all tasks in the history."""

        def read() -> set[str]:
            with closing(sqlite3.connect(self.home.history_file(SHOP))) as database:
                found = [row[0] for row in database.execute("SELECT id FROM tasks")]
            return {str(uuid.UUID(bytes=one)) if isinstance(one, bytes) else str(one) for one in found}

        return await asyncio.to_thread(read)

    async def aclose(self) -> None:
        await self.connections.aclose()
        await self.activity.aclose()


async def _yes(operation: Operation, connection: ConnectionInfo | None) -> Confirmation | None:
    return Confirmation()


@asynccontextmanager
async def desk(folder: Path) -> AsyncIterator[Desk]:
    """A console that is closed at the end."""
    made = Desk(folder)
    try:
        yield made
    finally:
        await made.aclose()
