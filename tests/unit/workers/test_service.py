"""What the service makes of heartbeats and answers, and when it asks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from console.broker.address import BrokerAddress
from console.broker.session import Session
from console.core.activity import Outcome
from console.core.connection import ConnectionInfo, Environment, LinkState, Mode
from console.core.errors import Cause, ConsoleError
from console.core.notices import NoticeBoard
from console.core.operations import Confirmation, Danger, Operation, OperationRunner
from console.history.model import CollectorState
from console.workers.inspection import AFTER_ERROR_S, NEEDED_S, ROUND_S, VISIBLE_MOST_S, VISIBLE_S
from console.workers.model import Tab, WorkerRow, WorkerState
from console.workers.roster import Question
from console.workers.service import WorkersService
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

WAIT_S = 5.0
ONE, TWO = "one@h", "two@h"


async def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not condition() and time.monotonic() < deadline_s:  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.005)
    assert condition()


class World:
    def __init__(self, tmp_path: Path, mode: Mode = Mode.FULL, round_s: float = 0.0) -> None:
        self.clock = FakeClock()
        self.notices = NoticeBoard(self.clock)
        self.activity = FakeActivity()
        self.control = FakeControl(
            one_h=FakeWorker(queues=["mail", "celery"]), two_h=FakeWorker(queues=["mail"])
        )
        self.session = Session(
            info=ConnectionInfo("c", "Shop", Environment.STAGING, mode),
            address=BrokerAddress("127.0.0.1", 1),
            schedules=None,
            history_file=tmp_path / "h.sqlite3",
            clock=self.clock,
        )
        self.runner = OperationRunner(
            activity=self.activity,
            notices=self.notices,
            clock=self.clock,
            connection=lambda: self.session.info,
            who="asha",
        )
        self.asked: list[Operation] = []
        self.runner.confirm = self._confirm
        self.history = FakeWorkerHistory()
        self.dismissals = FakeDismissals()
        self.service = WorkersService(
            clock=self.clock,
            notices=self.notices,
            runner=self.runner,
            open_control=lambda _session: self.control,
            open_history=lambda _session: self.history,
            open_dismissals=lambda _session: self.dismissals,
            round_s=round_s,
        )

    async def _confirm(self, operation: Operation, connection: ConnectionInfo | None) -> Confirmation:
        assert connection is not None
        self.asked.append(operation)
        return Confirmation("because")

    def beat_hearts(self, *names: str) -> None:
        self.service.on_summary(summary(*(seen(name, self.clock.now()) for name in names)))

    def row(self, name: str = ONE) -> WorkerRow:
        row = self.service.row(name)
        assert row is not None
        return row

    async def connect(self) -> None:
        self.service.attach(self.session)
        self.session.set_status(LinkState.CONNECTED)
        self.beat_hearts(ONE, TWO)
        await until(lambda: self.service._inspection.is_settled)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    yield made
    await made.service.detach()
    await made.session.aclose()


async def test_joins_heartbeats_with_what_workers_say(world: World) -> None:
    await world.connect()
    row = world.row()
    assert (row.state, row.active, row.processed, row.load) == (WorkerState.ONLINE, 0, 7, (0.5, 0.4, 0.3))
    assert (row.pool, row.concurrency, row.queues) == ("prefork", 2, ("celery", "mail"))
    assert row.failed is None
    assert world.service.consumers_by_queue() == {"mail": 2, "celery": 1}
    assert world.service.registered_tasks() == ("shop.add", "shop.wait_for")
    assert world.service.queues() == ("celery", "mail")
    assert world.service.snapshot.online == 2


async def test_failures_and_task_events_come_from_the_history(world: World) -> None:
    world.service.set_visible(True)
    await world.connect()
    await until(lambda: world.service._history_read is not None)
    assert (world.row().failed, world.row().task_events) == (None, None), "no history is not no failure"
    world.history.failed, world.history.heard = {ONE: 3}, {ONE}
    world.clock.pass_s(5)
    world.service.on_summary(summary(*(seen(name, world.clock.now()) for name in (ONE, TWO)), change=2))
    await until(lambda: world.row(ONE).failed == 3)
    assert world.row(TWO).failed == 0
    assert (world.row(ONE).task_events, world.row(TWO).task_events) == (True, None)


async def test_who_works_unheard_sends_no_task_events(world: World) -> None:
    world.history.failed = {}
    await world.connect()

    def beat(processed: int) -> None:
        # The others of a busy cluster change the history all the time.
        hearts = (seen(name, world.clock.now(), processed=processed) for name in (ONE, TWO))
        world.service.on_summary(summary(*hearts, change=processed))

    await until(lambda: world.service._history_read is not None)
    beat(8)
    assert world.row().task_events is None, "its events may still be on their way"
    world.history.heard = {TWO}
    world.clock.pass_s(5)
    beat(9)
    await until(lambda: world.row(TWO).task_events is True)
    await until(lambda: world.row(ONE).task_events is False)
    assert world.service.snapshot.events_off == (ONE,)
    assert await world.runner.run(world.service.operations.enable_events_on((ONE,)))
    assert world.row(ONE).task_events is True
    assert not world.service.snapshot.events_off


async def test_nothing_is_known_before_anything_is_heard(world: World) -> None:
    world.service.attach(world.session)
    assert world.service.snapshot.online is None
    assert world.service.consumers_by_queue() is None
    assert world.control.asked == []


async def test_beat_is_named_and_not_a_worker(world: World) -> None:
    world.control.nodes["celerybeat@h"] = FakeWorker()
    await world.connect()
    await until(lambda: world.service.beats == ("celerybeat@h",))
    world.service.on_summary(summary(seen("celerybeat@h", world.clock.now())))
    assert [row.hostname for row in world.service.snapshot.rows] == [ONE, TWO]


async def test_late_after_three_intervals_of_our_clock_then_offline(world: World) -> None:
    await world.connect()
    world.clock.pass_s(6.5)
    world.beat_hearts(TWO)
    assert (world.row(ONE).state, world.row(TWO).state) == (WorkerState.LATE, WorkerState.ONLINE)
    assert [notice.text for notice in world.notices.notices] == [f"{ONE}: last heartbeat 6 s ago"]
    world.beat_hearts(ONE, TWO)
    assert world.row(ONE).state is WorkerState.ONLINE
    assert world.notices.notices == []
    world.clock.pass_s(121)
    world.beat_hearts(TWO)
    assert world.row(ONE).state is WorkerState.OFFLINE
    assert world.row(ONE).active is None
    assert world.service.consumers_by_queue() == {"mail": 1}


async def test_a_wall_clock_that_jumps_makes_nobody_late(world: World) -> None:
    await world.connect()
    world.clock.at += timedelta(hours=5)
    world.beat_hearts(ONE, TWO)
    assert world.row().state is WorkerState.ONLINE
    world.clock.at -= timedelta(days=2)
    world.clock.passed_s += 1
    world.service.on_summary(summary())
    assert world.row().state is WorkerState.ONLINE


async def test_nobody_ages_while_heartbeats_cannot_arrive(world: World) -> None:
    await world.connect()
    world.session.set_status(LinkState.RECONNECTING)
    assert world.service.snapshot.stale, "nothing can be heard"
    world.clock.pass_s(300)
    world.service.on_summary(summary(state=CollectorState.RECONNECTING))
    assert world.row().state is WorkerState.ONLINE
    world.session.set_status(LinkState.CONNECTED)
    world.service.on_summary(summary())
    now = world.service.snapshot
    assert not now.stale
    assert world.row().state is WorkerState.ONLINE
    world.clock.pass_s(7)
    world.service.on_summary(summary())
    assert world.row().state is WorkerState.LATE


async def test_a_worker_of_an_earlier_day_is_not_online(world: World) -> None:
    world.service.attach(world.session)
    world.session.set_status(LinkState.CONNECTED)
    world.control.nodes.clear()
    old = seen(ONE, world.clock.now() - timedelta(seconds=600))
    world.service.on_summary(summary(old, seen(TWO, world.clock.now() - timedelta(days=1))))
    assert [row.state for row in world.service.snapshot.rows] == [WorkerState.OFFLINE] * 2, "until dismissed"


async def test_offline_workers_stay_until_they_are_dismissed_and_come_back_when_heard(world: World) -> None:
    await world.connect()
    gone = seen(ONE, world.clock.now(), online=False)
    world.service.on_summary(summary(gone, seen(TWO, world.clock.now())))
    world.clock.pass_s(90_000)
    world.beat_hearts(TWO)
    assert world.row(ONE).state is WorkerState.OFFLINE
    await world.service.dismiss([ONE, TWO])
    assert [row.hostname for row in world.service.snapshot.rows] == [TWO], "who lives is not dismissed"
    assert world.dismissals.kept == {ONE: gone.last_heartbeat}
    notice = world.notices.notices[-1]
    assert notice.text == f"{ONE} dismissed"
    assert notice.action is not None
    notice.action.run()
    await until(lambda: world.service.row(ONE) is not None)
    assert world.dismissals.kept == {}

    await world.service.dismiss([ONE])
    await world.service.detach()
    world.service.attach(world.session)
    world.service.on_summary(summary(gone, seen(TWO, world.clock.now())))
    await until(lambda: world.service.row(ONE) is None)
    world.beat_hearts(ONE)
    assert world.row(ONE).state is WorkerState.ONLINE


async def test_a_dismissal_that_cannot_be_kept_is_told(world: World) -> None:
    await world.connect()
    world.service.on_summary(summary(seen(ONE, world.clock.now(), online=False)))
    world.dismissals.error = ConsoleError("The dismissed workers cannot be kept")
    await world.service.dismiss([ONE])
    assert world.service.row(ONE) is None
    assert "The dismissed workers cannot be kept" in [notice.text for notice in world.notices.notices]


async def test_a_restarted_worker_is_asked_again(world: World) -> None:
    await world.connect()
    await until(lambda: world.control.methods().count("registered") >= 1)
    count = world.control.methods().count("registered")
    assert all(known.said_at is not None for known in world.service._roster)
    world.control.nodes[ONE].queues = ["reports"]
    world.service.on_summary(summary(seen(ONE, world.clock.now(), pid=200), seen(TWO, world.clock.now())))
    assert world.service.consumers_by_queue() is None, "what it consumes now is not known yet"
    await until(lambda: world.service.consumers_by_queue() == {"reports": 1, "mail": 1})
    await until(lambda: world.service._inspection.is_settled)
    assert world.control.methods().count("registered") == count + 1


async def test_who_does_not_answer_is_said_and_asked_again(world: World) -> None:
    world.control.nodes[TWO].mute = True
    world.service.attach(world.session)
    world.session.set_status(LinkState.CONNECTED)
    world.beat_hearts(ONE, TWO)
    await until(lambda: world.row(ONE).pool is not None)
    world.service.refresh()
    await until(lambda: world.service.snapshot.silent == (TWO,))
    assert world.row(TWO).state is WorkerState.ONLINE, "it sends heartbeats"
    assert world.service.consumers_by_queue() is None
    world.control.nodes[TWO].mute = False
    world.clock.pass_s(1.1)
    world.beat_hearts(ONE, TWO)
    world.service.refresh()
    await until(lambda: world.service.snapshot.silent == ())


async def test_workers_without_heartbeats_are_there_as_long_as_they_answer(world: World) -> None:
    world.service.attach(world.session)
    world.session.set_status(LinkState.CONNECTED)
    await until(lambda: len(world.service.snapshot.rows) == 2)
    assert world.row().state is WorkerState.ONLINE
    assert world.row().last_heartbeat is None
    del world.control.nodes[ONE]
    world.service.refresh()
    await until(lambda: [row.hostname for row in world.service.snapshot.rows] == [TWO])


async def test_looks_ever_less_while_nothing_changes_and_not_at_all_while_nobody_looks(world: World) -> None:
    await world.connect()
    service, inspection = world.service, world.service._inspection
    for _ in range(8):  # what is asked once of everybody who is new comes in rounds
        world.clock.pass_s(3)
        world.beat_hearts(ONE, TWO)
        service._wake.set()
        await asyncio.sleep(0.02)
    asked = len(world.control.asked)
    for _ in range(5):
        world.clock.pass_s(100)
        world.beat_hearts(ONE, TWO)
        service._wake.set()
        await asyncio.sleep(0.02)
    assert len(world.control.asked) == asked, "no page needs it"

    service.set_needed("queues", True)
    assert inspection.every_s(Question.QUEUES) == NEEDED_S
    await until(lambda: world.control.methods()[asked:].count("active_queues") == 1)
    service.set_needed("queues", False)
    service.set_visible(True)
    assert inspection.every_s(Question.STATS) == VISIBLE_S
    count = world.control.methods().count("stats")
    for _ in range(4):
        world.clock.pass_s(inspection.every_s(Question.STATS))
        world.beat_hearts(ONE, TWO)
        service._wake.set()
        count += 1
        await until(lambda: world.control.methods().count("stats") == count)  # noqa: B023
        await until(lambda: not inspection.is_waiting)
    assert inspection.every_s(Question.STATS) == VISIBLE_MOST_S
    world.control.nodes[ONE].queues = ["new"]
    service.refresh()
    await until(lambda: world.row().queues == ("new",))
    assert inspection.every_s(Question.QUEUES) == VISIBLE_S


async def test_asks_one_question_in_two_seconds_and_lists_have_every_other_turn(tmp_path: Path) -> None:
    world = World(tmp_path, round_s=ROUND_S)
    service = world.service
    service.set_visible(True)
    service.attach(world.session)
    world.session.set_status(LinkState.CONNECTED)
    try:
        for number in range(1, 7):
            world.beat_hearts(ONE, TWO)
            service._wake.set()
            await until(lambda: len(world.control.asked) == number)  # noqa: B023
            service._wake.set()
            await asyncio.sleep(0.02)
            assert len(world.control.asked) == number
            assert not service.may_read_again, "just asked"
            world.clock.pass_s(ROUND_S)
            assert service.may_read_again
        assert all(len(requests) == 1 for requests in world.control.asked)
        assert world.control.methods() == ["stats", "active_queues", "conf", "registered", "ping", "stats"]
        service.refresh()
        await service.listing(ONE, Tab.ACTIVE)
        world.clock.pass_s(ROUND_S)
        assert not service.may_read_again, "a list was the last, and others wait"
    finally:
        await service.detach()
        await world.session.aclose()


async def test_a_broker_that_fails_is_an_error_and_not_no_workers(world: World) -> None:
    await world.connect()
    world.control.error = ConsoleError("Broker does not answer in time", cause=Cause.TIMEOUT)
    world.service.refresh()
    await until(lambda: world.service.snapshot.error is not None)
    assert len(world.service.snapshot.rows) == 2
    assert world.service._inspection.next_look_s == pytest.approx(AFTER_ERROR_S), (
        "not again and again at once"
    )
    world.control.error = None
    world.service.refresh()
    await until(lambda: world.service.snapshot.error is None)


async def test_closing_forgets_and_closes_the_line(world: World) -> None:
    await world.connect()
    await world.service.detach()
    assert world.control.closed
    assert world.service.snapshot.rows == ()
    assert world.service.consumers_by_queue() is None
    with pytest.raises(ConsoleError):
        await world.service.listing(ONE, Tab.ACTIVE)


async def test_listings_are_asked_of_one_worker(world: World) -> None:
    await world.connect()
    listing = await world.service.listing(ONE, Tab.REGISTERED)
    assert listing.rows == (("shop.add", "rate_limit=10/s"), ("shop.wait_for", ""))
    assert world.control.asked[-1][0].destination == (ONE,)
    await world.service.listing(ONE, Tab.ACTIVE)
    assert world.control.asked[-1][0].arguments == {"safe": True}
    with pytest.raises(ConsoleError) as raised:
        await world.service.listing("nobody@h", Tab.ACTIVE)
    assert raised.value.cause is Cause.TIMEOUT


async def test_a_list_that_cannot_be_sent_is_told_from_silence(world: World) -> None:
    await world.connect()
    world.control.nodes[ONE].unlisted = ("reserved",)
    with pytest.raises(ConsoleError) as raised:
        await world.service.listing(ONE, Tab.RESERVED)
    assert raised.value.title == f"{ONE} cannot list these tasks"
    assert "arguments that JSON cannot express" in raised.value.detail
    assert world.row().state is WorkerState.ONLINE
    assert world.service.snapshot.silent == ()


async def test_statistics_looked_at_are_learnt(world: World) -> None:
    await world.connect()
    world.control.nodes[ONE].places = 7
    world.clock.pass_s(3)
    await world.service.listing(ONE, Tab.STATISTICS)
    row = world.row()
    assert (row.concurrency, row.said_at) == (7, world.clock.now())
    assert (row.said.cpu_s, row.said.memory_bytes, row.said.logical_clock) == ((1.5, 0.5), 64 * 2**20, 77)
    assert (row.said.broker, row.said.multiplier) == ("redis://h:6379/0", 4)
    assert (row.clock_offset_s, row.said.pool_restarts) == (0.012, False)


async def test_operations_end_with_what_the_worker_says(world: World) -> None:
    await world.connect()
    make = world.service.operations
    assert await world.runner.run(make.ping(ONE))
    assert world.activity.outcomes[-1] == (Outcome.DONE, f"{ONE} answered in 2 ms")
    assert await world.runner.run(make.grow(ONE))
    assert world.activity.outcomes[-1] == (Outcome.DONE, f"{ONE} runs 3 tasks at once (before: 2)")
    assert world.row().concurrency == 3
    assert await world.runner.run(make.shrink(ONE))
    assert await world.runner.run(make.enable_events(ONE))
    assert world.activity.outcomes[-1] == (Outcome.DONE, f"{ONE} sends task events now")
    assert world.row().task_events is True
    assert world.asked == [], "safe operations do not ask"


async def test_operations_that_fail_say_so(world: World) -> None:
    await world.connect()
    world.control.nodes[ONE].pool = "solo"
    assert not await world.runner.run(world.service.operations.grow(ONE))
    assert world.activity.outcomes[-1][0] is Outcome.FAILED
    assert "AttributeError" in world.notices.notices[-1].detail
    assert not await world.runner.run(world.service.operations.ping("nobody@h"))
    assert world.activity.outcomes[-1] == (Outcome.FAILED, "nobody@h did not answer")


async def test_shutting_down_asks_first_and_waits_for_the_goodbye(world: World) -> None:
    await world.connect()
    world.service.on_summary(summary(seen(ONE, world.clock.now(), active=2), seen(TWO, world.clock.now())))
    operation = world.service.operations.shut_down(ONE)
    assert operation.danger is Danger.DISRUPTIVE
    assert operation.consequence.startswith("It finishes its 2 running tasks, then it ends.")

    async def say_goodbye() -> None:
        await until(lambda: world.control.nodes[ONE].gone)
        world.service.on_summary(summary(seen(ONE, world.clock.now(), online=False)))

    done, _ = await asyncio.gather(world.runner.run(operation), say_goodbye())
    assert done
    assert world.asked == [operation]
    assert world.activity.entries[-1].reason == "because"
    assert world.activity.outcomes[-1][1] == f"{ONE} has said goodbye: it takes no more tasks"


async def test_a_read_only_connection_changes_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, Mode.READ_ONLY)
    await world.connect()
    try:
        assert not await world.runner.run(world.service.operations.grow(ONE))
        assert "pool_grow" not in world.control.methods()
    finally:
        await world.service.detach()
        await world.session.aclose()
