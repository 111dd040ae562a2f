"""The Workers page on workers in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QCoreApplication

from console.broker.address import BrokerAddress
from console.broker.session import Session
from console.core.connection import ConnectionInfo, Environment, LinkState, Mode
from console.core.notices import NoticeBoard
from console.core.operations import Confirmation, Operation, OperationRunner
from console.workers.page import WorkersPage
from console.workers.service import WorkersService
from console.workers.view_model import WorkersViewModel
from tests.unit.queues.fakes import FakeClock
from tests.unit.workers.fakes import (
    FakeActivity,
    FakeControl,
    FakeDismissals,
    FakeWorker,
    FakeWorkerHistory,
    seen,
    summary,
)


class World:
    """The page and everything under it; `async with` closes it."""

    def __init__(self, mode: Mode = Mode.FULL, **workers: FakeWorker) -> None:
        self.clock = FakeClock()
        self.notices = NoticeBoard(self.clock)
        self.activity = FakeActivity()
        self.control = FakeControl()
        self.control.nodes = {f"celery@{name.replace('_', '-')}": one for name, one in workers.items()}
        self.history = FakeWorkerHistory()
        self.dismissals = FakeDismissals()
        self.went: list[tuple[str, str]] = []
        self.asked: list[Operation] = []
        self.session = Session(
            info=ConnectionInfo("c", "Shop staging", Environment.STAGING, mode),
            address=BrokerAddress("127.0.0.1", 1),
            schedules=None,
            history_file=Path("nowhere"),
            clock=self.clock,
        )
        self.runner = OperationRunner(
            activity=self.activity,
            notices=self.notices,
            clock=self.clock,
            connection=lambda: self.session.info,
            who="asha",
            rights=lambda: self.session.rights,
        )
        self.runner.confirm = self._confirm
        self.service = WorkersService(
            clock=self.clock,
            notices=self.notices,
            runner=self.runner,
            open_control=lambda _session: self.control,
            open_history=lambda _session: self.history,
            open_dismissals=lambda _session: self.dismissals,
            round_s=0.0,
        )
        self.view_model = WorkersViewModel(self.service, runner=self.runner, clock=self.clock)
        self.page = WorkersPage(
            self.view_model, navigate=lambda noun, query="": self.went.append((noun, query))
        )

    async def _confirm(self, operation: Operation, connection: ConnectionInfo | None) -> Confirmation:
        assert connection is not None
        self.asked.append(operation)
        return Confirmation("because")

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
        self.page.close()
        self.page.deleteLater()

    def beat_hearts(self, *names: str, active: int = 0) -> None:
        """Heartbeats of these workers, of all without names; the others are known from before."""
        now = self.clock.now()
        wanted = names or tuple(self.control.nodes)
        self.service.on_summary(
            summary(*(seen(name, now, active=active, pid=self.control.nodes[name].pid) for name in wanted))
        )

    async def connect(self) -> None:
        self.service.attach(self.session)
        self.session.set_status(LinkState.CONNECTED)
        self.beat_hearts()
        await self.until(lambda: self.service._inspection.is_settled)

    async def until(self, true: Callable[[], bool], within_s: float = 5.0) -> None:
        """Let Qt and asyncio go on until something is so."""
        deadline = time.monotonic() + within_s
        while not true():
            assert time.monotonic() < deadline, "it did not happen"
            QCoreApplication.processEvents()
            await asyncio.sleep(0.005)
