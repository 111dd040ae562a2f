"""The queues of a connection over each kind of broker: the same tasks, the same rows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from console.broker.sending import send_task
from console.broker.session import Session
from console.core.clock import SystemClock
from console.core.connection import ConnectionInfo, Environment, LinkState
from console.core.errors import ConsoleError
from console.core.notices import NoticeBoard
from console.queues.model import Alert, QueueRow
from console.queues.service import QueuesService
from tests.contract.rabbitmq.places import Place
from tests.contract.workers.conftest import Broker
from tests.valkey import ValkeyServer


class World:
    """The service on a real broker, without a collector and without workers."""

    def __init__(self, broker: Broker, folder: Path) -> None:
        clock = SystemClock()
        self.broker = broker
        self.session = Session(
            info=ConnectionInfo("c", "Shop", Environment.STAGING),
            address=broker.address,
            schedules=None,
            history_file=folder / "h.sqlite3",
            clock=clock,
            queue_names=("mail", "named"),
        )
        self.service = QueuesService(
            clock=clock, notices=NoticeBoard(clock), consumers=dict, known=lambda: ("reports",)
        )

    async def send(self, queue: str, number: int) -> None:
        app = await self.session.queues.run(self.session.celery_app)
        for _ in range(number):
            await self.session.queues.run(
                lambda: send_task(app, self.broker.address, "shop.add", [1, 2], queue=queue)
            )

    def row(self, name: str) -> QueueRow | None:
        return next((row for row in self.service.snapshot.rows if row.name == name), None)

    async def until(self, true: Callable[[], bool]) -> None:
        deadline_s = time.monotonic() + 15
        while not true():
            assert time.monotonic() < deadline_s, f"it did not happen: {self.service.snapshot}"
            self.service.refresh()
            await asyncio.sleep(0.05)


@pytest.fixture(params=["redis", "rabbitmq", "rabbitmq without management"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    broker: Broker
    if request.param == "redis":
        redis: ValkeyServer = request.getfixturevalue("broker")
        broker = redis
    else:
        place = Place(request.getfixturevalue("rabbitmq"), request.getfixturevalue("rabbitmq_vhost"))
        for queue in ("mail", "reports"):
            place.declare(queue)
        broker = place if request.param == "rabbitmq" else place.without_management
    made = World(broker, tmp_path)
    made.service.set_visible(True)
    made.service.attach(made.session)
    made.session.set_status(LinkState.CONNECTED)
    yield made
    await made.service.detach()
    await made.session.aclose()


async def test_what_waits_where(world: World) -> None:
    await world.send("mail", 3)
    await world.send("reports", 1)

    def ready(name: str) -> int | None:
        row = world.row(name)
        return None if row is None else row.ready

    await world.until(lambda: (ready("mail"), ready("reports")) == (3, 1))
    assert world.service.snapshot.ready == 4
    mail, named = world.row("mail"), world.row("named")
    assert mail is not None
    assert named is not None
    assert (mail.consumers, mail.alert) == (0, Alert.NO_CONSUMER)
    # A queue of Redis is there when something is in it; one of RabbitMQ has to be made.
    assert named.ready == (0 if world.broker.address.kind.is_redis else None)
    assert named.alert is (None if world.broker.address.kind.is_redis else Alert.MISSING)


async def test_held_messages_are_known_or_unknown_but_never_wrong(world: World) -> None:
    # RabbitMQ counts a queue that has just been made a moment later: unknown until then.
    await world.until(lambda: world.service.snapshot.ready == 0)
    note = world.service.snapshot.note
    row = world.row("mail")
    assert row is not None
    if note:
        assert "unacknowledged messages are not known" in note
        assert (row.unacked, world.service.snapshot.unacked) == (None, None)
    else:
        assert (row.unacked, world.service.snapshot.unacked) == (0, 0)


async def test_messages_are_shown_or_it_is_said_why_not(world: World) -> None:
    await world.send("mail", 1)
    if world.broker.address.kind.is_redis:
        assert world.service.messages_refusal == ""
        assert (await world.service.peek("mail")).total == 1
        return
    assert "redelivered" in world.service.messages_refusal
    with pytest.raises(ConsoleError):
        await world.service.peek("mail")
