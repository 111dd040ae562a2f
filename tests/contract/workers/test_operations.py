"""Operations on a real worker, and the same questions to the fake and to the real thing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from console.broker.session import Session
from console.core.activity import Outcome
from console.core.clock import SystemClock
from console.core.connection import ConnectionInfo, Environment, LinkState
from console.core.notices import NoticeBoard
from console.core.operations import Confirmation, Operation, OperationRunner
from console.workers.gateway import Control
from console.workers.inspection import ROUND_S
from console.workers.model import Request, Tab, WorkerState
from console.workers.service import WorkersService
from tests.contract.rabbitmq.places import Place
from tests.contract.workers.conftest import Broker, control_of, worker
from tests.unit.workers.fakes import FakeActivity, FakeControl, FakeWorker
from tests.valkey import ValkeyServer

NAME = "three@test"
BOTH = frozenset({"one@test", "two@test"})


async def until(condition: Callable[[], bool], *, within_s: float = 10.0) -> None:
    deadline_s = time.monotonic() + within_s
    while not condition() and time.monotonic() < deadline_s:  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.01)
    assert condition()


@pytest.fixture
def fake_control() -> Control:
    return FakeControl(
        one_test=FakeWorker("solo", 1, ["celery", "mail"]), two_test=FakeWorker("threads", 3, ["mail"], True)
    )


@pytest.fixture(params=["fake", "redis", "rabbitmq"])
def either(request: pytest.FixtureRequest) -> Iterator[Control]:
    """Two workers: `one` solo, `two` threads; fake, or real on a broker of each kind."""
    if request.param == "fake":
        yield request.getfixturevalue("fake_control")
        return
    yield from control_of(request.getfixturevalue("shop" if request.param == "redis" else "rabbit_shop"))


def ask(control: Control, method: str, to: str | None = None, **arguments: object) -> dict[str, object]:
    expected = BOTH if to is None else frozenset({to})
    request = Request(method, arguments, None if to is None else (to,), None, expected)
    return {name: reply.value for name, reply in control.ask([request], timeout_s=3).by_request[0].items()}


def test_answers_have_these_shapes(either: Control) -> None:
    assert ask(either, "ping") == {name: {"ok": "pong"} for name in BOTH}
    assert set(ask(either, "ping", "one@test")) == {"one@test"}
    stats = ask(either, "stats")["one@test"]
    assert isinstance(stats, dict)
    assert {"total", "pid", "uptime", "pool", "prefetch_count"} <= stats.keys()
    assert stats["pool"]["implementation"] == "celery.concurrency.solo:TaskPool"
    queues = ask(either, "active_queues", "one@test")["one@test"]
    assert isinstance(queues, list)
    assert sorted(queue["name"] for queue in queues) == ["celery", "mail"]
    assert ask(either, "registered", "one@test")["one@test"] == [
        "shop.add [rate_limit=10/s]",
        "shop.wait_for",
    ]
    for method in ("active", "reserved", "scheduled", "revoked"):
        assert ask(either, method, "one@test", safe=True)["one@test"] == []
    refused = ask(either, "pool_grow", "one@test", n=1)["one@test"]
    assert isinstance(refused, dict)
    assert set(refused) == {"error"}
    assert ask(either, "enable_events", "two@test")["two@test"] == {"ok": "task events already enabled"}


class World:
    """The service on a real broker, without a collector."""

    def __init__(self, broker: Broker, folder: Path, *, round_s: float = ROUND_S) -> None:
        clock = SystemClock()
        self.notices = NoticeBoard(clock)
        self.activity = FakeActivity()
        self.session = Session(
            info=ConnectionInfo("c", "Shop", Environment.DEVELOPMENT),
            address=broker.address,
            schedules=None,
            history_file=folder / "h.sqlite3",
            clock=clock,
        )
        self.runner = OperationRunner(
            activity=self.activity,
            notices=self.notices,
            clock=clock,
            connection=lambda: self.session.info,
            who="asha",
        )
        self.runner.confirm = self._confirm
        self.service = WorkersService(clock=clock, notices=self.notices, runner=self.runner, round_s=round_s)

    async def _confirm(self, operation: Operation, connection: ConnectionInfo | None) -> Confirmation:
        assert connection is not None
        assert operation.question
        return Confirmation()

    async def run(self, operation: Operation) -> str:
        done = await self.runner.run(operation)
        outcome, said = self.activity.outcomes[-1]
        assert done, f"{outcome}: {said}; {self.notices.notices[-1]}"
        return said


@pytest.fixture(params=["redis", "rabbitmq"])
def any_broker(request: pytest.FixtureRequest) -> Broker:
    """An empty broker of each kind."""
    if request.param == "redis":
        redis: ValkeyServer = request.getfixturevalue("own_broker")
        return redis
    return Place(request.getfixturevalue("rabbitmq"), request.getfixturevalue("rabbitmq_vhost"))


@pytest.fixture
async def world(any_broker: Broker, tmp_path: Path) -> AsyncIterator[World]:
    made = World(any_broker, tmp_path)
    made.service.attach(made.session)
    made.session.set_status(LinkState.CONNECTED)
    yield made
    await made.service.detach()
    await made.session.aclose()


async def test_the_life_of_a_prefork_worker(world: World, any_broker: Broker, tmp_path: Path) -> None:
    options = ("--pool", "prefork", "-c", "2", "-Q", "mail,reports", "--without-gossip")
    service, make = world.service, world.service.operations
    with worker(any_broker, tmp_path, NAME, *options) as process:
        service.refresh()
        await until(lambda: service.consumers_by_queue() == {"mail": 1, "reports": 1})
        await until(lambda: service.registered_tasks() == ("shop.add", "shop.wait_for"))
        row = service.row(NAME)
        assert row is not None
        assert (row.state, row.pool, row.concurrency) == (WorkerState.ONLINE, "prefork", 2)

        assert (await world.run(make.ping(NAME))).startswith(f"{NAME} answered in ")
        assert await world.run(make.grow(NAME)) == f"{NAME} runs 3 tasks at once (before: 2)"
        assert await world.run(make.shrink(NAME)) == f"{NAME} runs 2 tasks at once (before: 3)"
        assert await world.run(make.enable_events(NAME)) == f"{NAME} sends task events now"
        assert await world.run(make.enable_events(NAME)) == f"{NAME} was sending task events already"

        password = any_broker.address.password.reveal()
        settings = {row[0]: row[1] for row in (await service.listing(NAME, Tab.SETTINGS)).rows}
        assert password not in str(settings)
        statistics = {row[0]: row[1] for row in (await service.listing(NAME, Tab.STATISTICS)).rows}
        assert statistics["pid"] == str(process.pid)
        assert password not in str(statistics)
        assert (await service.listing(NAME, Tab.ACTIVE)).rows == ()

        said = await world.run(make.shut_down(NAME))
        assert said == f"{NAME} no longer answers: it takes no more tasks"
        await until(lambda: process.poll() is not None)
    assert [outcome for outcome, _ in world.activity.outcomes] == [Outcome.DONE] * 6
    service.refresh()
    await until(lambda: service.snapshot.rows == ())
