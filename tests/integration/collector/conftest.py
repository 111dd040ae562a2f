"""A collector's client on the test's loop, with a history of its own, and events published for it."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from console.broker.address import BrokerAddress
from console.collector.client import CollectorClient
from console.collector.events import envelope
from console.core.clock import SystemClock
from console.history.model import CollectorState, CollectorSummary
from console.history.reader import HistoryReader
from tests.valkey import ValkeyServer

DEADLINE_S = 20.0


class Rig:
    """A client, what it said, and the history it fills."""

    def __init__(self, folder: Path) -> None:
        self.history_file = folder / "history" / "h.sqlite3"
        self.log_file = folder / "logs" / "collector.log"
        self.client = CollectorClient(python=sys.executable, clock=SystemClock())
        self.said: list[CollectorSummary] = []
        self.client.summaries.connect(self.said.append)
        self.reader = HistoryReader(self.history_file)

    def start(self, address: BrokerAddress) -> None:
        self.client.start(address, self.history_file, self.log_file)

    async def until(self, condition: Callable[[CollectorSummary], bool]) -> CollectorSummary:
        """The first summary from now on (or the last one said) that fits."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            if condition(self.client.summary):
                return self.client.summary
            await asyncio.sleep(0.01)
        raise AssertionError(f"never said; the last was {self.client.summary}")

    async def reading(self) -> CollectorSummary:
        return await self.until(lambda summary: summary.state is CollectorState.READING)

    async def aclose(self) -> None:
        await self.client.aclose()
        self.reader.close()


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    await rig.aclose()


def life(task_id: str, *, name: str = "shop.send", **more: Any) -> list[dict[str, Any]]:
    """The events of a task that succeeds now."""
    now = time.time()
    worker = {"uuid": task_id, "hostname": "celery@web", "pid": 3, **more}
    return [
        {"type": "task-received", "timestamp": now, "name": name, "args": "()", "kwargs": "{}", **worker},
        {"type": "task-started", "timestamp": now + 0.1, **worker},
        {"type": "task-succeeded", "timestamp": now + 0.2, "runtime": 0.1, "result": "1", **worker},
    ]


def publish(broker: ValkeyServer, *messages: Any, channel: str = "/0.celeryev/task.multi") -> int:
    """Publish each message (bytes as they are, anything else as events); how many listened to the last."""
    listeners = 0
    with broker.client() as client:
        for message in messages:
            data = message if isinstance(message, bytes) else envelope(message)
            listeners = client.publish(channel, data)
    return listeners
