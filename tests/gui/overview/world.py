"""The Overview page on a service whose history is in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from PySide6.QtCore import QCoreApplication

from console.broker.address import BrokerAddress
from console.broker.session import Session
from console.core.connection import ConnectionInfo, Environment
from console.overview.model import HistoryRead, Scope, Span
from console.overview.page import OverviewPage
from console.overview.service import OverviewService
from console.overview.view_model import OverviewViewModel
from tests.unit.overview.samples import NOON


class StillClock:
    """A clock that goes only when told."""

    def __init__(self) -> None:
        self.at = NOON
        self.ahead_s = 0.0

    def now(self) -> datetime:
        return self.at

    def monotonic_s(self) -> float:
        return self.at.timestamp() + self.ahead_s


class MemoryHistory:
    def __init__(self) -> None:
        self.answer: HistoryRead | None = HistoryRead()
        self.failing: Exception | None = None
        self.asked: list[tuple[Span, Scope]] = []
        self.closed = False

    def read(self, span: Span, scope: Scope) -> HistoryRead | None:
        self.asked.append((span, scope))
        if self.failing is not None:
            raise self.failing
        return self.answer

    def close(self) -> None:
        self.closed = True


class World:
    """The page and everything under it; `async with` closes it."""

    def __init__(self) -> None:
        self.clock = StillClock()
        self.history = MemoryHistory()
        self.started = 0
        self.went: list[tuple[str, str]] = []
        self.session = Session(
            info=ConnectionInfo("c", "Shop staging", Environment.STAGING),
            address=BrokerAddress("127.0.0.1", 1),
            schedules=None,
            history_file=Path("nowhere"),
            clock=self.clock,
        )
        self.service = OverviewService(clock=self.clock, history=lambda _path: self.history)
        self.view_model = OverviewViewModel(self.service, start_stack=self._start)
        self.page = OverviewPage(self.view_model, navigate=self._go)

    def _start(self) -> None:
        self.started += 1

    def _go(self, noun: str, query: str = "") -> None:
        self.went.append((noun, query))

    async def __aenter__(self) -> World:
        self.page.resize(1088, 732)
        self.page.show()
        self.page.activate()
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.page.deactivate()
        await self.service.detach()
        await self.view_model.aclose()
        await self.session.aclose()
        self.page.close()
        self.page.deleteLater()

    def pass_s(self, seconds: float) -> None:
        """Let that much time go by, of which the time of day knows nothing, and have it looked at again."""
        self.clock.ahead_s += seconds
        self.service.refresh()

    async def until(self, true: Callable[[], bool], within_s: float = 5.0) -> None:
        """Let Qt and asyncio go on until something is so."""
        deadline = time.monotonic() + within_s
        while not true():
            assert time.monotonic() < deadline, self.service.snapshot.attention
            QCoreApplication.processEvents()
            await asyncio.sleep(0.005)
