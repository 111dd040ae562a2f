"""A page of schedules on a service whose database is in memory, for tests that look at widgets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from PySide6.QtCore import QCoreApplication

from console.broker.address import BrokerAddress
from console.broker.database import parse_database_url
from console.broker.session import Session
from console.core.activity import ActivityEntry, Outcome
from console.core.connection import ConnectionInfo, Environment, Mode
from console.core.errors import ConsoleError
from console.core.notices import NoticeBoard
from console.core.operations import Confirmation, Operation, OperationRunner
from console.schedules.model import Fingerprint, Schedule, Switched, WorkerSettings
from console.schedules.page import SchedulesPage
from console.schedules.service import ScheduleService
from console.schedules.view_model import SchedulesViewModel
from console.schedules.working_out import CeleryTimetable


class StillClock:
    """A clock that goes only when told."""

    def __init__(self) -> None:
        self.at = datetime(2026, 5, 4, 12, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at

    def monotonic_s(self) -> float:
        return time.monotonic()


@dataclass
class MemoryTables:
    """What `DjangoSchedules` does, on a list; `failing` is raised instead of an answer."""

    clock: StillClock
    rows: list[Schedule] = field(default_factory=list)
    failing: ConsoleError | None = None
    changes: int = 0
    closed: bool = False
    no_changes: str = ""

    def fingerprint(self) -> Fingerprint:
        if self.failing is not None:
            raise self.failing
        return Fingerprint(self.clock.at + timedelta(seconds=self.changes), None, len(self.rows), 0, 0)

    def read(self) -> tuple[Schedule, ...]:
        return tuple(sorted(self.rows, key=lambda row: row.name))

    def set_enabled(self, ids: Sequence[int], *, enabled: bool) -> tuple[Switched, ...]:
        before = [row for row in self.rows if row.id in ids and row.enabled is not enabled]
        self._replace({row.id for row in before}, enabled=enabled)
        return tuple(
            Switched(row.id, row.name, row.enabled, row.last_run_at, row.total_run_count) for row in before
        )

    def switch_back(self, switched: Sequence[Switched]) -> tuple[str, ...]:
        for row in switched:
            self._replace({row.id}, enabled=row.was_enabled)
        return tuple(row.name for row in switched)

    def _replace(self, ids: set[int], *, enabled: bool) -> None:
        now = self.clock.at
        self.rows = [
            replace(row, enabled=enabled, date_changed=now, last_run_at=None if enabled else row.last_run_at)
            if row.id in ids
            else row
            for row in self.rows
        ]
        self.changes += 1

    def why_no_changes(self) -> str:
        return self.no_changes

    def close(self) -> None:
        self.closed = True


@dataclass
class MemoryBroker:
    sent: list[tuple[str, str | None]] = field(default_factory=list)

    def worker_settings(self) -> WorkerSettings | None:
        return WorkerSettings("default")

    def run_now(self, schedule: Schedule, *, queue: str | None) -> str:
        self.sent.append((schedule.name, queue))
        return "an-id"


class _Log:
    async def begin(self, entry: ActivityEntry) -> int:
        return 1

    async def finish(self, number: int, outcome: Outcome, said: str) -> None:
        pass


class World:
    """The page and everything under it; `async with` closes it."""

    def __init__(self, rows: Sequence[Schedule], *, mode: Mode = Mode.FULL) -> None:
        self.clock = StillClock()
        self.tables = MemoryTables(self.clock, list(rows))
        self.broker = MemoryBroker()
        self.notices = NoticeBoard(self.clock)
        self.asked: list[Operation] = []
        info = ConnectionInfo("c", "Shop staging", Environment.STAGING, mode)
        self.runner = OperationRunner(
            activity=_Log(),
            notices=self.notices,
            clock=self.clock,
            connection=lambda: info,
            who="me",
            rights=lambda: self.session.rights,
        )
        self.runner.confirm = self._confirm
        self.session = Session(
            info=info,
            address=BrokerAddress("127.0.0.1", 1),
            schedules=parse_database_url("sqlite:////nowhere"),
            history_file=Path("nowhere"),
            clock=self.clock,
        )
        self.service = ScheduleService(
            clock=self.clock,
            notices=self.notices,
            runner=self.runner,
            tables=lambda _url: self.tables,
            timetable=CeleryTimetable,
            broker=lambda _session: self.broker,
        )
        self.view_model = SchedulesViewModel(
            self.service, runner=self.runner, notices=self.notices, clock=self.clock
        )
        self.page = SchedulesPage(self.view_model)

    async def _confirm(self, operation: Operation, connection: ConnectionInfo | None) -> Confirmation:
        self.asked.append(operation)
        return Confirmation()

    async def __aenter__(self) -> World:
        self.page.resize(1064, 700)
        self.page.show()
        self.service.attach(self.session)
        self.page.activate()
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.page.deactivate()
        await self.view_model.aclose()
        await self.service.detach()
        await self.session.aclose()
        self.page.close()
        self.page.deleteLater()

    async def until(self, true: Callable[[], bool], within_s: float = 5.0) -> None:
        """Let Qt and asyncio go on until something is so."""
        deadline = time.monotonic() + within_s
        while not true():
            assert time.monotonic() < deadline, "it did not happen"
            QCoreApplication.processEvents()
            await asyncio.sleep(0.005)
