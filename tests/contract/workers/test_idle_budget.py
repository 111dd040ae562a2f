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
from console.workers.inspection import ROUND_S
from console.workers.model import Tab
from console.workers.service import WorkersService
from console.workers.view_model import WorkersViewModel
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


def broadcasts(broker: ValkeyServer) -> int:
    """Every command to workers is one message published to the fan-out exchange of the mailbox."""
    with broker.client() as client:
        stats = client.info("commandstats")
    return int(stats.get("cmdstat_publish", {"calls": 0})["calls"])


class Follower:
    """The workers of a broker as the window follows them."""

    def __init__(self, broker: ValkeyServer, folder: Path) -> None:
        clock = SystemClock()
        notices = NoticeBoard(clock)
        self.session = Session(
            info=ConnectionInfo("c", "Shop", Environment.DEVELOPMENT),
            address=broker.address,
            schedules=None,
            history_file=folder / "h.sqlite3",
            clock=clock,
        )
        runner = OperationRunner(
            activity=FakeActivity(),
            notices=notices,
            clock=clock,
            connection=lambda: self.session.info,
            who="me",
        )
        self.service = WorkersService(clock=clock, notices=notices, runner=runner)
        self.view_model = WorkersViewModel(self.service, runner=runner, clock=clock)

    async def __aenter__(self) -> Follower:
        self.service.attach(self.session)
        self.session.set_status(LinkState.CONNECTED)
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.view_model.aclose()
        await self.service.detach()
        await self.session.aclose()


# Without heartbeats and gossip, so that what is counted is ours and not the worker's own talk.
QUIET = ("--pool", "solo", "--without-heartbeat", "--without-gossip", "-Q", "celery")


async def test_an_open_page_asks_once_in_two_seconds_and_a_closed_one_never(
    own_broker: ValkeyServer, tmp_path: Path
) -> None:
    with worker(own_broker, tmp_path, "quiet@test", *QUIET):
        before = broadcasts(own_broker)
        async with Follower(own_broker, tmp_path) as follower:
            service, model = follower.service, follower.view_model
            model.set_visible(True)
            await until(lambda: bool(service.snapshot.rows))
            model.choose(["quiet@test"])  # a person's own question goes at once
            start_s = time.monotonic()
            while time.monotonic() - start_s < 15.0:  # a rate can only be measured over a time
                await asyncio.sleep(0.1)
                model.read_again_if_due()
            took_s, asked = time.monotonic() - start_s, broadcasts(own_broker) - before
            assert asked <= took_s / ROUND_S + 2, "the first, and the one that a person caused"
            assert service._inspection.is_settled
            assert sockets(own_broker) <= 2

            model.set_visible(False)
            before = broadcasts(own_broker)
            await asyncio.sleep(4.0)
            assert broadcasts(own_broker) == before, "nobody looks"
    assert sockets(own_broker) == 0
    with own_broker.client() as client:
        assert list(client.scan_iter("*reply*")) == []


async def test_what_one_round_costs(own_broker: ValkeyServer, tmp_path: Path) -> None:
    with worker(own_broker, tmp_path, "quiet@test", *QUIET):
        async with Follower(own_broker, tmp_path) as follower:
            service = follower.service
            await until(lambda: service.consumers_by_queue() == {"celery": 1})
            await until(lambda: service._inspection.is_settled, within_s=20)
            assert len(service.registered_tasks()) == 2
            await asyncio.sleep(1.3)  # the look for beats waits its whole timeout

            before, start_s = commands(own_broker), time.monotonic()
            await asyncio.sleep(3.0)
            own_talk_per_s = (commands(own_broker) - before - 1) / (time.monotonic() - start_s)
            before, start_s = commands(own_broker), time.monotonic()
            await service.listing("quiet@test", Tab.ACTIVE)
            await asyncio.sleep(0.1)
            took_s = time.monotonic() - start_s
            cost = commands(own_broker) - before - 1 - own_talk_per_s * took_s
            assert cost <= 35, f"{cost:.0f} commands for one round"
