"""The service on a real database and a real broker: what it publishes, what a switch, undo and a run do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from console.broker.database import parse_database_url
from console.broker.session import Session
from console.core.activity import ActivityEntry, Outcome
from console.core.clock import SystemClock
from console.core.connection import ConnectionInfo, Environment, LinkState, Mode, Right, Rights
from console.core.errors import Cause, ConsoleError
from console.core.notices import NoticeBoard
from console.core.operations import Confirmation, Operation, OperationRunner
from console.schedules.gateway import ScheduleTables, open_tables
from console.schedules.model import NextState, ScheduleView, Switched, WorkerSettings
from console.schedules.service import OUTAGE, ScheduleService
from tests.contract.schedules.databases import Database
from tests.read_only import make_read_only
from tests.valkey import ValkeyServer


class Log:
    """An activity log in memory."""

    def __init__(self) -> None:
        self.entries: list[ActivityEntry] = []

    async def begin(self, entry: ActivityEntry) -> int:
        self.entries.append(entry)
        return len(self.entries)

    async def finish(self, number: int, outcome: Outcome, said: str) -> None:
        pass


@dataclass
class World:
    session: Session
    service: ScheduleService
    runner: OperationRunner
    notices: NoticeBoard
    log: Log
    asked: list[Operation] = field(default_factory=list)

    def rows(self) -> dict[str, ScheduleView]:
        return {view.schedule.name: view for view in self.service.snapshot.rows or ()}

    async def until(self, true: Callable[[], bool], within_s: float = 8.0) -> None:
        deadline = asyncio.get_running_loop().time() + within_s
        while not true():
            assert asyncio.get_running_loop().time() < deadline, self.service.snapshot
            await asyncio.sleep(0.01)


ON_ALL = pytest.mark.parametrize("store", ["sqlite", "postgresql", "mysql"], indirect=True)


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Database:
    """The database of the world: SQLite, unless a test asks for more by `ON_ALL`."""
    found: Database = request.getfixturevalue(getattr(request, "param", "sqlite"))
    return found


@pytest.fixture
async def world(store: Database, broker: ValkeyServer, tmp_path: Path) -> AsyncIterator[World]:
    clock, log = SystemClock(), Log()
    notices = NoticeBoard(clock)
    info = ConnectionInfo("local", "Local", Environment.DEVELOPMENT, Mode.FULL)
    runner = OperationRunner(
        activity=log,
        notices=notices,
        clock=clock,
        connection=lambda: info,
        who="somebody",
        rights=lambda: session.rights,
    )
    session = Session(
        info=info,
        address=broker.address,
        schedules=parse_database_url(store.url),
        history_file=tmp_path / "history.sqlite3",
        clock=clock,
    )
    service = ScheduleService(clock=clock, notices=notices, runner=runner)
    world = World(session, service, runner, notices, log)

    async def confirm(operation: Operation, connection: ConnectionInfo | None) -> Confirmation:
        world.asked.append(operation)
        return Confirmation()

    runner.confirm = confirm
    yield world
    await service.detach()
    await session.aclose()


@ON_ALL
async def test_reads_and_works_out(world: World, store: Database) -> None:
    store.task("flush", interval_id=store.interval())
    store.task("broken", crontab_id=store.crontab("0", "0", day_of_month="31", month_of_year="2"))

    world.service.attach(world.session)
    await world.until(lambda: world.service.snapshot.rows is not None)

    rows = world.rows()
    assert rows["flush"].words == "every 60 seconds"
    assert rows["flush"].next_run.state is NextState.OVERDUE
    assert rows["broken"].next_run.state is NextState.NEVER
    assert rows["broken"].problem is not None


@ON_ALL
async def test_a_change_by_somebody_else_is_seen(world: World, store: Database) -> None:
    world.service.attach(world.session)
    await world.until(lambda: world.service.snapshot.rows == ())
    store.task("new", interval_id=store.interval())
    world.service.set_visible(True)
    await world.until(lambda: "new" in world.rows())


@ON_ALL
async def test_a_switch_is_one_operation_and_undo_another(world: World, store: Database) -> None:
    key = store.task("flush", interval_id=store.interval())
    world.service.attach(world.session)
    await world.until(lambda: "flush" in world.rows())

    assert await world.runner.run(world.service.switch([key], enabled=False))
    await world.until(lambda: not world.rows()["flush"].schedule.enabled)
    assert world.rows()["flush"].change is not None
    assert world.notices.notices[-1].text == "Disabled flush; beat takes the change within 5 s"
    action = world.notices.notices[-1].action
    assert action is not None

    action.run()
    await world.until(lambda: world.rows()["flush"].schedule.enabled)
    await world.until(lambda: not world.service.can_undo)
    assert [entry.operation for entry in world.log.entries] == ["Disable schedule", "Undo disabling"]
    assert world.asked == []


@ON_ALL
async def test_a_run_by_hand_carries_every_option(
    world: World, store: Database, broker: ValkeyServer
) -> None:
    store.task(
        "report",
        interval_id=store.interval(),
        args='["x"]',
        kwargs='{"days": 1}',
        headers='{"trace": "t"}',
        queue="reports",
        priority=3,
        expire_seconds=60,
    )
    world.service.attach(world.session)
    await world.until(lambda: "report" in world.rows())

    assert await world.runner.run(await world.service.run_now(world.rows()["report"].schedule))

    (asked,) = world.asked
    assert asked.question == "Run report now?"
    assert "queue reports" in asked.consequence
    assert "priority 3" in asked.consequence
    with broker.client() as client:
        (key,) = client.keys("*reports*")
        (raw,) = client.lrange(key, 0, -1)
        bindings = client.keys("_kombu.binding.*")
    message = json.loads(raw)
    assert message["headers"]["trace"] == "t"
    assert message["headers"]["periodic_task_name"] == "report"
    assert message["headers"]["task"] == "shop.tasks.build_report"
    assert message["headers"]["expires"] is not None
    assert message["properties"]["priority"] == 3
    assert bindings == []


async def test_a_run_whose_queue_nobody_knows_is_not_sent(world: World, sqlite: Database) -> None:
    sqlite.task("report", interval_id=sqlite.interval())
    world.service.attach(world.session)
    await world.until(lambda: "report" in world.rows())
    with pytest.raises(Exception, match="Nobody tells which queue") as caught:
        await world.service.run_now(world.rows()["report"].schedule)
    assert getattr(caught.value, "cause", None) is Cause.NOT_FOUND


async def test_a_worker_tells_where_a_task_goes_and_what_is_code(
    world: World, sqlite: Database, broker: ValkeyServer
) -> None:
    class Told:
        def __init__(self, session: Session) -> None:
            self.session = session

        def worker_settings(self) -> WorkerSettings:
            return WorkerSettings("default", (("shop.*", "shop"),), frozenset({"report"}))

        def run_now(self, schedule: object, *, queue: str | None) -> str:
            return f"sent to {queue}"

    world.service._make_broker = Told
    sqlite.task("report", interval_id=sqlite.interval())
    world.session.set_status(LinkState.CONNECTED)
    world.service.set_visible(True)
    world.service.attach(world.session)
    await world.until(lambda: "report" in world.rows() and world.rows()["report"].managed_by_code)
    operation = await world.service.run_now(world.rows()["report"].schedule)
    assert "queue shop" in operation.consequence


async def test_a_database_that_goes_away_keeps_its_rows(world: World, sqlite: Database) -> None:
    sqlite.task("flush", interval_id=sqlite.interval())
    world.service.attach(world.session)
    await world.until(lambda: "flush" in world.rows())
    seen = world.service.snapshot.as_of
    sqlite.path.rename(sqlite.path.with_suffix(".away"))
    world.service.refresh()
    await world.until(lambda: world.service.snapshot.error is not None)
    assert "flush" in world.rows()
    assert world.service.snapshot.as_of == seen
    assert [notice.key for notice in world.notices.notices] == [OUTAGE]
    sqlite.path.with_suffix(".away").rename(sqlite.path)
    world.service.refresh()
    await world.until(lambda: world.service.snapshot.error is None)
    assert world.notices.notices == []


async def test_a_connection_without_a_schedules_database(world: World) -> None:
    world.session.schedules = None
    world.service.attach(world.session)
    assert not world.service.snapshot.configured


async def test_what_the_database_refuses_is_known_before_the_click(world: World, sqlite: Database) -> None:
    key = sqlite.task("flush", interval_id=sqlite.interval())
    world.session.set_rights({Right.SEND_TASKS: "The broker user may not send tasks: XADD"})
    heard: list[Rights] = []
    world.session.rights_changed.connect(heard.append)
    make_read_only(sqlite.path)
    world.service.attach(world.session)
    await world.until(lambda: "flush" in world.rows())

    refusal = world.runner.refusal(world.service.switch([key], enabled=False))
    assert refusal == (
        "The database user may not change schedules: schedules.sqlite3 is marked as for reading only"
    )
    # What the broker refuses stands beside it, whoever is asked again.
    assert set(heard[-1]) == {Right.SEND_TASKS, Right.CHANGE_SCHEDULES}
    world.session.set_rights({})
    assert set(world.session.rights) == {Right.CHANGE_SCHEDULES}
    assert not await world.runner.run(world.service.switch([key], enabled=False))

    free = sqlite.path.with_suffix(".free")
    free.write_bytes(sqlite.path.read_bytes()[:18] + b"\x01" + sqlite.path.read_bytes()[19:])
    free.replace(sqlite.path)
    world.service.refresh()
    await world.until(lambda: not world.session.rights)
    assert await world.runner.run(world.service.switch([key], enabled=False))


async def test_a_tunnel_that_does_not_open_is_the_reason_shown(world: World, sqlite: Database) -> None:
    sqlite.task("flush", interval_id=sqlite.interval())
    problem = ConsoleError("The jump host refused the key", cause=Cause.REFUSED_LOGIN)
    world.session.schedules_problem = problem
    world.service.attach(world.session)
    await world.until(lambda: world.service.snapshot.error is problem)
    world.session.schedules_problem = None
    world.service.refresh()
    await world.until(lambda: "flush" in world.rows())
    assert world.service.snapshot.error is None


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://shop:s3cr3t-shop@127.0.0.1:1/shop",
        "mysql://shop:s3cr3t-shop@127.0.0.1:1/shop",
        "postgresql://shop:s3cr3t-shop@127.0.0.1:1/shop?sslmode=verify-full&sslrootcert=/nowhere/ca.crt",
        "mysql://shop:s3cr3t-shop@no-such-host.invalid/shop?ssl-mode=VERIFY_IDENTITY",
        "postgresql:///shop?host=/nowhere",
        "sqlite:////nowhere/db.sqlite3",
    ],
)
async def test_wrong_settings_disturb_nobody_but_the_page(world: World, url: str) -> None:
    world.session.schedules = parse_database_url(url)
    world.service.attach(world.session)
    await world.until(lambda: world.service.snapshot.error is not None)
    error = world.service.snapshot.error
    assert error is not None
    assert error.title
    assert error.remedy
    # The broker's part: its lanes are free, its line answers, nothing was told about it.
    assert await world.session.link.run(world.session.ping) > 0
    assert not world.session.rights
    assert world.notices.notices == []
    with pytest.raises(ConsoleError):
        await world.service._switch([1], enabled=True)


class OvertakenByBeat:
    """The real tables, except that beat saves a row it has read before each of the first `times` changes."""

    def __init__(self, tables: ScheduleTables, database: Database, times: int) -> None:
        self._tables = tables
        self._database = database
        self._left = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tables, name)

    def set_enabled(self, ids: Sequence[int], *, enabled: bool) -> tuple[Switched, ...]:
        switched = self._tables.set_enabled(ids, enabled=enabled)
        if self._left and switched:
            self._left -= 1
            sql = "UPDATE django_celery_beat_periodictask SET enabled = %s, total_run_count = 1"
            self._database.execute(sql, not enabled)
        return switched


@pytest.mark.parametrize(("times", "kept"), [(1, True), (9, False)])
async def test_what_beat_writes_over_is_written_again(
    world: World, sqlite: Database, times: int, kept: bool
) -> None:
    key = sqlite.task("flush", interval_id=sqlite.interval(1))
    world.service._make_tables = lambda database: cast(
        ScheduleTables, OvertakenByBeat(open_tables(database), sqlite, times)
    )
    world.service.attach(world.session)
    await world.until(lambda: "flush" in world.rows())

    assert await world.runner.run(world.service.switch([key], enabled=False)) is kept

    assert bool(sqlite.row(key)["enabled"]) is not kept
    if not kept:
        assert world.notices.notices[-1].text == "Beat writes over the change"
