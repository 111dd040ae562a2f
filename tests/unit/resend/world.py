"""A resend service whose broker and history are in memory, for tests of what it decides and of its page."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from console.broker.address import BrokerAddress
from console.broker.session import Session
from console.core.activity import ActivityEntry, Outcome
from console.core.clock import SystemClock
from console.core.connection import LOCAL_STACK_ID, ConnectionInfo, Environment, LinkState, Mode
from console.core.errors import ConsoleError
from console.core.notices import NoticeBoard
from console.core.operations import OperationRunner
from console.history.model import TaskDetail, TaskRow, TaskState
from console.resend.gateway import Message
from console.resend.service import ResendService
from console.resend.view_model import ResendViewModel

LOCAL = ConnectionInfo(LOCAL_STACK_ID, "Local stack", Environment.DEVELOPMENT)
SHOP = ConnectionInfo("shop", "Shop production", Environment.PRODUCTION)
WAIT_S = 5.0


class Log:
    """An activity log in memory."""

    def __init__(self) -> None:
        self.entries: list[ActivityEntry] = []
        self.endings: list[tuple[Outcome, str]] = []

    async def begin(self, entry: ActivityEntry) -> int:
        self.entries.append(entry)
        return len(self.entries)

    async def finish(self, number: int, outcome: Outcome, said: str) -> None:
        self.endings.append((outcome, said))


class World:
    """`sent` is what left; `told` what the history tells of every task; `failing` is raised when sending."""

    def __init__(
        self, info: ConnectionInfo | None = LOCAL, *, mode: Mode = Mode.FULL, follow_s: float = 60.0
    ) -> None:
        self.clock = SystemClock()
        self.notices = NoticeBoard(self.clock)
        self.log = Log()
        self.sent: list[Message] = []
        self.told: TaskDetail | None = None
        self.failing: ConsoleError | None = None
        self.history_failing: ConsoleError | None = None
        self.info = info and ConnectionInfo(info.id, info.name, info.environment, mode)
        self.runner = OperationRunner(
            activity=self.log,
            notices=self.notices,
            clock=self.clock,
            connection=lambda: self.info,
            who="asha",
        )
        self.service = ResendService(
            clock=self.clock,
            notices=self.notices,
            runner=self.runner,
            task_state=self._task_state,
            send=self._send,
            poll_s=0.005,
            follow_s=follow_s,
        )
        self.view_model = ResendViewModel(self.service, self.runner)
        self.session: Session | None = None

    async def __aenter__(self) -> World:
        if self.info is not None:
            self.session = Session(
                info=self.info,
                address=BrokerAddress("127.0.0.1", 1),
                schedules=None,
                history_file=Path("nowhere"),
                clock=self.clock,
            )
            self.session.set_status(LinkState.CONNECTED)
            self.service.attach(self.session)
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.view_model.aclose()
        await self.service.detach()
        if self.session is not None:
            await self.session.aclose()

    async def _task_state(self, task_id: str) -> TaskDetail | None:
        assert task_id in {message.id for message in self.sent}
        if self.history_failing is not None:
            raise self.history_failing
        return self.told

    def _send(self, _session: Session, message: Message) -> None:
        if self.failing is not None:
            raise self.failing
        self.sent.append(message)

    def fill_in(self, recipe_id: str, text: str) -> None:
        """What a person does: choose a recipe and type into its only field."""
        self.view_model.select(recipe_id)
        assert self.view_model.recipe is not None
        self.view_model.type(self.view_model.recipe.fields[0], text)

    @property
    def words(self) -> str:
        """Where the last press stands."""
        run = self.view_model.run
        return run.words if run is not None else ""

    async def until(self, true: Callable[[], bool]) -> None:
        """Let the loop go on until something is so."""
        deadline = time.monotonic() + WAIT_S
        while not true():
            assert time.monotonic() < deadline, f"it did not happen; {self.service.snapshot}"
            await asyncio.sleep(0.002)


def detail(
    state: TaskState, *, result: str | None = None, exception: str | None = None, worker: str = "celery@w"
) -> TaskDetail:
    """What the history tells of a task in `state`."""
    now = datetime(2026, 5, 4, 12, tzinfo=UTC)
    row = TaskRow(
        rowid=1,
        id="t",
        name="shop.resend",
        state=state,
        worker=worker,
        queue="mail",
        sent=None,
        received=now,
        started=None,
        ended=None,
        waited_s=None,
        runtime_s=None,
        retries=0,
        change=1,
    )
    nothing = dict.fromkeys(
        ("args", "kwargs", "traceback", "root_id", "parent_id", "eta", "expires", "routing_key", "exchange")
    )
    return TaskDetail(
        row=row, result=result, exception=exception, pid=None, client=None, attempts=(), **nothing
    )
