"""What following workers costs the broker, counted by the broker itself: commands and sockets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from console.broker.session import Session
from console.core.clock import SystemClock
from console.core.connection import ConnectionInfo, Environment, LinkState
from console.core.notices import NoticeBoard
from console.core.operations import OperationRunner
from console.workers.inspection import BEATS_S, HIDDEN_S, VISIBLE_MOST_S
from console.workers.service import WorkersService
from tests.contract.workers.conftest import worker
from tests.unit.workers.fakes import FakeActivity
from tests.valkey import ValkeyServer

CONSOLE = "celery-console"


def commands(broker: ValkeyServer) -> int:
    with broker.client() as client:
        return int(client.info("stats")["total_commands_processed"])


def sockets(broker: ValkeyServer) -> int:
    with broker.client() as client:
        return [entry["name"] for entry in client.client_list()].count(CONSOLE)


async def until(condition: Callable[[], bool], *, within_s: float = 10.0) -> None:
    deadline_s = time.monotonic() + within_s
    while not condition() and time.monotonic() < deadline_s:  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.01)
    assert condition()


async def test_what_looking_costs(own_broker: ValkeyServer, tmp_path: Path) -> None:
    clock = SystemClock()
    notices = NoticeBoard(clock)
    session = Session(
        info=ConnectionInfo("c", "Shop", Environment.DEVELOPMENT),
        address=own_broker.address,
        schedules=None,
        history_file=tmp_path / "h.sqlite3",
        clock=clock,
    )
    runner = OperationRunner(
        activity=FakeActivity(), notices=notices, clock=clock, connection=lambda: session.info, who="me"
    )
    service = WorkersService(clock=clock, notices=notices, runner=runner)
    # Without heartbeats and gossip, so that what is counted is ours and not the worker's own talk.
    quiet = ("--pool", "solo", "--without-heartbeat", "--without-gossip", "-Q", "celery")
    with worker(own_broker, tmp_path, "quiet@test", *quiet):
        service.attach(session)
        session.set_status(LinkState.CONNECTED)
        try:
            await until(lambda: service.consumers_by_queue() == {"celery": 1})
            await until(lambda: len(service.registered_tasks()) == 2)
            await until(lambda: service._inspection._beats_asked_s is not None)
            await asyncio.sleep(1.3)  # the look for beats waits its whole timeout
            assert sockets(own_broker) <= 2

            before, start_s = commands(own_broker), time.monotonic()
            await asyncio.sleep(3.0)  # a rate can only be measured over a time
            own_talk_per_s = (commands(own_broker) - before - 1) / (time.monotonic() - start_s)

            before, start_s = commands(own_broker), time.monotonic()
            looked_s = service._inspection.looked_s
            service.refresh()
            await until(lambda: service._inspection.looked_s != looked_s)
            await asyncio.sleep(0.1)
            took_s = time.monotonic() - start_s
            look = commands(own_broker) - before - 1 - own_talk_per_s * took_s
            assert look <= 45, f"{look:.0f} commands for one look"
            hidden_per_s = look / HIDDEN_S + look / BEATS_S
            visible_per_s = look / VISIBLE_MOST_S + look / BEATS_S
            assert hidden_per_s <= 0.7
            assert visible_per_s <= 1.1
        finally:
            await service.detach()
            await session.aclose()
    assert sockets(own_broker) == 0
    with own_broker.client() as client:
        assert list(client.scan_iter("*reply*")) == []
