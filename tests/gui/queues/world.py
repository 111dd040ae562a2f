"""The Queues page on a broker in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from PySide6.QtCore import QCoreApplication

from console.broker.address import BrokerAddress
from console.broker.session import Session
from console.core.connection import ConnectionInfo, Environment, LinkState
from console.core.notices import NoticeBoard
from console.queues.page import QueuesPage
from console.queues.service import QueuesService
from console.queues.view_model import QueuesViewModel
from tests.unit.queues.fakes import FakeClock, FakeHistory, FakeQueues


class World:
    """The page and everything under it; `async with` closes it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.queues = FakeQueues()
        self.consumers: dict[str, int] | None = {}
        self.history = FakeHistory()
        self.session = Session(
            info=ConnectionInfo("c", "Shop production", Environment.PRODUCTION),
            address=BrokerAddress("127.0.0.1", 1),
            schedules=None,
            history_file=Path("nowhere"),
            clock=self.clock,
        )

        self.service = QueuesService(
            clock=self.clock,
            notices=NoticeBoard(self.clock),
            consumers=lambda: self.consumers,
            open_queues=lambda _session: self.queues,
            open_history=lambda _session: self.history,
        )
        self.view_model = QueuesViewModel(self.service, clock=self.clock)
        self.page = QueuesPage(self.view_model)

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

    async def connect(self) -> None:
        self.service.attach(self.session)
        self.session.set_status(LinkState.CONNECTED)
        await self.until(lambda: not self.service.snapshot.stale)

    def sent(self, queue: str, *, times: int = 1, task_id: str = "some", at: datetime | None = None) -> None:
        """Events say that so many messages were sent."""
        self.history.rows += [(queue, task_id, at or self.clock.now())] * times

    async def read_after(self, seconds: float) -> None:
        """Let time pass and the queues be read again."""
        self.clock.pass_s(seconds)
        count = len(self.queues.questions)
        self.service.refresh()
        await self.until(lambda: len(self.queues.questions) > count)
        now = self.clock.now()
        await self.until(lambda: self.service.snapshot.as_of == now)

    async def until(self, true: Callable[[], bool], within_s: float = 5.0) -> None:
        """Let Qt and asyncio go on until something is so."""
        deadline = time.monotonic() + within_s
        while not true():
            assert time.monotonic() < deadline, "it did not happen"
            QCoreApplication.processEvents()
            await asyncio.sleep(0.005)

    def ago(self, **span: float) -> datetime:
        return self.clock.now() - timedelta(**span)
