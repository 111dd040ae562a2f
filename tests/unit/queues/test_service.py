"""When the service asks the broker, and what it makes of the answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from console.broker.address import BrokerAddress
from console.broker.session import Session
from console.core.connection import ConnectionInfo, Environment, LinkState, Right
from console.core.errors import Cause, ConsoleError
from console.core.notices import NoticeBoard
from console.history.model import CollectorState, CollectorSummary
from console.queues.model import Age, Alert, DepthQuestion, Depths, Unacked
from console.queues.service import BUSY_S, IDLE_S, QUIET_S, QueuesService
from tests.unit.queues.fakes import FakeClock, FakeHistory, FakeQueues, envelope

WAIT_S = 5.0


async def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not condition() and time.monotonic() < deadline_s:  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.005)
    assert condition()


class World:
    """A service on fakes."""

    def __init__(self, tmp_path: Path) -> None:
        self.clock = FakeClock()
        self.queues = FakeQueues()
        self.consumers: dict[str, int] | None = {"mail": 2}
        self.history = FakeHistory()
        self.session = Session(
            info=ConnectionInfo("c", "Shop", Environment.STAGING),
            address=BrokerAddress("127.0.0.1", 1),
            schedules=None,
            history_file=tmp_path / "h.sqlite3",
            clock=self.clock,
        )

        self.service = QueuesService(
            clock=self.clock,
            notices=NoticeBoard(self.clock),
            consumers=lambda: self.consumers,
            open_queues=lambda _session: self.queues,
            open_history=lambda _session: self.history,
        )

    async def read(self) -> None:
        """One more reading."""
        count = len(self.queues.questions)
        self.service.refresh()
        await until(lambda: len(self.queues.questions) > count and not self.service.snapshot.stale)
        await asyncio.sleep(0)

    def row(self, name: str = "mail"):  # type: ignore[no-untyped-def]
        return next(row for row in self.service.snapshot.rows if row.name == name)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    made.queues.bind("celery", "celery", "celery")
    yield made
    await made.service.detach()
    await made.session.aclose()


def summary(change: int) -> CollectorSummary:
    return CollectorSummary(CollectorState.READING, change, 0, 0.0, None, 0, {}, ())


async def test_shows_bound_and_consumed_queues_with_all_priorities(world: World) -> None:
    world.queues.put("mail", envelope(tag="a"))
    world.queues.put("mail", envelope(tag="b"), step=6)
    world.queues.hold(envelope(), "", "mail")
    world.service.attach(world.session)
    world.session.set_status(LinkState.CONNECTED)
    await until(lambda: not world.service.snapshot.stale)
    assert [row.name for row in world.service.snapshot.rows] == ["celery", "mail"]
    assert (world.row().ready, world.row().unacked, world.row().consumers) == (2, 1, 2)
    assert (world.row("celery").ready, world.row("celery").consumers) == (0, 0)
    assert (world.service.snapshot.ready, world.service.snapshot.unacked) == (2, 1)


async def test_does_not_ask_while_the_line_is_down_and_keeps_what_it_had(world: World) -> None:
    world.service.attach(world.session)
    await asyncio.sleep(0.05)
    assert world.queues.questions == []
    assert world.service.snapshot.ready is None
    world.queues.put("mail", envelope())
    world.session.set_status(LinkState.CONNECTED)
    await until(lambda: not world.service.snapshot.stale)
    world.session.set_status(LinkState.RECONNECTING)
    assert world.service.snapshot.stale
    assert world.row().ready == 1
    assert world.service.snapshot.as_of == world.clock.now()


async def test_who_may_not_read_messages_still_sees_depths(world: World) -> None:
    world.queues.put("mail", envelope())
    world.service.set_visible(True)
    world.service.attach(world.session)
    world.session.set_status(LinkState.CONNECTED)
    await until(lambda: not world.service.snapshot.stale)
    assert [one.heads for one in world.queues.questions][-1:] == [True]
    world.session.set_rights({Right.READ_MESSAGES: "The broker user may not read messages"})
    await world.read()
    assert [one.heads for one in world.queues.questions][-1:] == [False]
    assert world.row().ready == 1
    assert world.service.messages_refusal == "The broker user may not read messages"


async def test_a_failed_reading_is_an_error_beside_the_old_rows(world: World) -> None:
    world.service.attach(world.session)
    world.session.set_status(LinkState.CONNECTED)
    await until(lambda: not world.service.snapshot.stale)
    world.queues.error = ConsoleError("Broker does not answer in time", cause=Cause.TIMEOUT)
    world.service.refresh()
    await until(lambda: world.service.snapshot.error is not None)
    assert world.service.snapshot.stale
    assert world.service.snapshot.rows


async def test_unknown_consumers_are_unknown(world: World) -> None:
    world.consumers = None
    world.queues.bind("mail", "mail", "mail")
    world.service.attach(world.session)
    world.session.set_status(LinkState.CONNECTED)
    await until(lambda: not world.service.snapshot.stale)
    assert world.row().consumers is None
    world.consumers = {}
    world.queues.put("mail", envelope())
    await world.read()
    assert world.row().consumers == 0
    assert world.row().alert is Alert.NO_CONSUMER


async def test_the_age_is_a_bound_until_the_sending_is_known(world: World) -> None:
    world.queues.put("mail", envelope(task_id="one"))
    world.service.set_visible(True)
    world.service.attach(world.session)
    world.session.set_status(LinkState.CONNECTED)
    await until(lambda: not world.service.snapshot.stale)
    assert world.row().oldest is None
    world.clock.pass_s(30)
    await world.read()
    assert world.row().oldest == Age(30.0, exact=False)
    world.history.rows.append(("mail", "one", world.clock.now() - timedelta(minutes=46)))
    await world.read()
    assert world.row().oldest == Age(46 * 60.0, exact=True)


async def test_rates_come_from_what_was_sent_and_what_waits(world: World) -> None:
    world.queues.bind("mail", "mail", "mail")
    world.service.set_visible(True)
    world.service.attach(world.session)
    world.session.set_status(LinkState.CONNECTED)
    await until(lambda: not world.service.snapshot.stale)
    assert (world.row().in_per_s, world.row().out_per_s) == (None, None), (
        "nothing was ever sent with an event"
    )
    for _ in range(10):
        for number in range(20):
            world.history.rows.append(("mail", f"{number}", world.clock.now()))
            if number % 4 == 0:
                world.queues.put("mail", envelope())
        world.clock.pass_s(2)
        await world.read()
    assert world.row().in_per_s == pytest.approx(10.0)
    assert world.row().out_per_s == pytest.approx(7.5)
    assert world.row("celery").in_per_s is None
    world.clock.pass_s(40)
    await world.read()
    world.clock.pass_s(10)
    await world.read()
    assert (world.row().in_per_s, world.row().out_per_s) == (0.0, 0.0)
    world.history.error = ConsoleError("The task history is locked", cause=Cause.LOCKED)
    await world.read()
    assert (world.row().in_per_s, world.row().ready) == (None, 50)


async def test_asks_often_only_while_something_moves(world: World) -> None:
    service = world.service
    service.attach(world.session)
    world.session.set_status(LinkState.CONNECTED)
    await until(lambda: not service.snapshot.stale)
    assert service._period_s() == IDLE_S
    world.clock.pass_s(60)
    assert service._period_s() == QUIET_S
    service.set_visible(True)
    assert service._period_s() == IDLE_S
    world.queues.put("mail", envelope())
    await world.read()
    assert service._period_s() == BUSY_S
    await world.read()
    assert service._period_s() == IDLE_S
    service.on_summary(summary(5))
    assert service._period_s() == IDLE_S, "the first summary says where the history stands, not that it moved"
    service.on_summary(summary(6))
    assert service._period_s() == BUSY_S


async def test_closing_forgets(world: World) -> None:
    world.service.attach(world.session)
    world.session.set_status(LinkState.CONNECTED)
    await until(lambda: not world.service.snapshot.stale)
    await world.service.detach()
    assert world.service.snapshot.rows == ()
    with pytest.raises(ConsoleError):
        await world.service.peek("mail")


class TellingQueues(FakeQueues):
    """A broker that tells all queues and counts for itself, and whose messages nobody may look at."""

    messages_refusal = "Not here."
    tells_missing = True

    def __init__(self, **told: object) -> None:
        super().__init__()
        self.told = {"ready": {"mail": 2}, "unacked": None, **told}

    def depths(self, question: DepthQuestion) -> Depths:
        self.questions.append(question)
        return Depths(**self.told)  # type: ignore[arg-type]


@pytest.fixture
async def telling(world: World) -> World:
    world.session.queue_names = ("named", "mail")
    world.service.set_visible(True)
    return world


async def shown(world: World, **told: object) -> None:
    world.queues = TellingQueues(**told)
    world.service.attach(world.session)
    world.session.set_status(LinkState.CONNECTED)
    await until(lambda: not world.service.snapshot.stale)


async def test_a_broker_may_tell_its_queues_itself(telling: World) -> None:
    world = telling
    world.history.rows += [("mail", "a", world.clock.now() - timedelta(seconds=5 * n)) for n in range(3)]
    names = frozenset({"mail", "one.celery.pidbox", "celeryev.1", "celery_delayed_3", "celery_delayed_4"})
    await shown(
        world,
        ready={"mail": 2, "celery_delayed_3": 1},
        unacked=Unacked(7, {"mail": 7}, complete=True),
        queues=names,
        missing=frozenset({"named"}),
        consumers={"mail": 3, "celery_delayed_3": 0},
        rates={"mail": (1.5, None)},
        note="Something is not known.",
    )
    snapshot = world.service.snapshot
    assert [row.name for row in snapshot.rows] == ["celery_delayed_3", "mail", "named"]
    mail = world.row()
    assert (mail.ready, mail.unacked, mail.consumers, mail.in_per_s, mail.out_per_s) == (2, 7, 3, 1.5, None)
    assert mail.oldest == Age(5.0, exact=False, estimated=True)  # two wait, but perhaps not the last two
    named = world.row("named")
    assert (named.ready, named.unacked, named.consumers, named.alert) == (None, None, None, Alert.MISSING)
    assert world.row("celery_delayed_3").alert is Alert.DELAYED
    assert (snapshot.ready, snapshot.unacked, snapshot.note) == (3, 7, "Something is not known.")
    assert world.service.messages_refusal == "Not here."


async def test_what_the_broker_says_of_its_oldest_message_is_no_estimate(telling: World) -> None:
    world = telling
    noon = world.clock.now()
    world.history.rows += [("mail", "a", noon - timedelta(seconds=90))]
    await shown(
        world,
        ready={"mail": 1},
        unacked=Unacked(0, {}, complete=False),
        queues=frozenset({"mail", "silent"}),
        unknown=frozenset({"silent"}),
        oldest={"mail": noon - timedelta(seconds=7)},
    )
    assert world.row().oldest == Age(7.0, exact=True)
    assert world.row().unacked_at_least
    silent = world.row("silent")
    assert (silent.ready, silent.unacked, silent.unacked_at_least) == (None, None, False)


async def test_what_a_broker_does_not_tell_is_unknown_and_not_0(telling: World) -> None:
    world = telling
    await shown(
        world,
        unknown=frozenset({"named"}),
        consumers={"mail": 1},
    )
    assert (world.row().unacked, world.row().consumers, world.row().in_per_s) == (None, 1, None)
    assert (world.row("named").ready, world.row("named").consumers) == (None, None)
    assert (world.service.snapshot.ready, world.service.snapshot.unacked) == (2, None)


async def test_queues_of_the_history_are_asked_about_where_missing_ones_are_told(telling: World) -> None:
    world = telling
    world.history.rows += [("sent-once", "a", world.clock.now()), ("gone", "b", world.clock.now())]
    await shown(world, missing=frozenset({"gone", "named"}), consumers={"mail": 0, "sent-once": 0})
    assert {"sent-once", "gone", "named", "mail"} <= set(world.queues.questions[-1].queues)
    assert [row.name for row in world.service.snapshot.rows] == ["mail", "named", "sent-once"]
