"""What following the queues of a broker costs it when nothing happens, counted by the broker itself."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from console.broker.session import Session
from console.core.clock import SystemClock
from console.core.connection import ConnectionInfo, Environment, LinkState
from console.core.notices import NoticeBoard
from console.queues.model import SEPARATOR
from console.queues.service import QueuesService
from tests.unit.queues.fakes import envelope
from tests.valkey import ValkeyServer

WATCHED_S = 8.2
BUDGET_PER_S = 0.6


def commands(broker: ValkeyServer) -> int:
    """Commands that the server has processed, without those of this very question."""
    with broker.client() as client:
        stats = client.info("commandstats")
    own = (
        "cmdstat_info",
        "cmdstat_auth",
        "cmdstat_hello",
        "cmdstat_client|setinfo",
        "cmdstat_config|resetstat",
    )
    return sum(value["calls"] for name, value in stats.items() if name not in own)


async def test_idle_queues_cost_little(
    broker: ValkeyServer, own_broker: ValkeyServer, tmp_path: Path
) -> None:
    """Looked at and empty; hidden while messages only wait. Side by side, because a rate takes time."""
    empty, waiting = await asyncio.gather(
        commands_per_s(broker, tmp_path, visible=True, waiting=0),
        commands_per_s(own_broker, tmp_path, visible=False, waiting=7),
    )
    assert empty <= BUDGET_PER_S
    # With messages that only wait, this is the first half minute; then the pause doubles.
    assert waiting <= BUDGET_PER_S * 1.5


async def commands_per_s(broker: ValkeyServer, folder: Path, *, visible: bool, waiting: int) -> float:
    """What following this broker's queues costs it."""
    with broker.client() as client:
        for queue in ("celery", "mail", "reports", "payments"):
            client.sadd(f"_kombu.binding.{queue}", SEPARATOR.join((queue, "", queue)))
        for _ in range(waiting):
            client.lpush("celery", envelope())
    clock = SystemClock()
    session = Session(
        info=ConnectionInfo("c", "Shop", Environment.STAGING),
        address=broker.address,
        schedules=None,
        history_file=folder / "h.sqlite3",
        clock=clock,
    )
    service = QueuesService(clock=clock, notices=NoticeBoard(clock))
    read = asyncio.Event()
    service.changed.connect(lambda snapshot: None if snapshot.stale else read.set())
    service.set_visible(visible)
    service.attach(session)
    session.set_status(LinkState.CONNECTED)
    async with asyncio.timeout(5):
        await read.wait()
    try:
        assert service.snapshot.ready == waiting
        before, start_s = commands(broker), time.monotonic()
        await asyncio.sleep(WATCHED_S)  # a rate can only be measured over a time
        return (commands(broker) - before) / (time.monotonic() - start_s)
    finally:
        await service.detach()
        await session.aclose()
