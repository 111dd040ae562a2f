"""From the form to the mail: a real broker, worker and collector, and what is left in the broker."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from console.broker.address import BrokerAddress
from console.broker.session import Session
from console.collector.client import CollectorClient
from console.core.clock import SystemClock
from console.core.connection import LinkState
from console.core.errors import Cause, ConsoleError
from console.core.notices import NoticeBoard
from console.core.operations import OperationRunner
from console.history.model import CollectorState, TaskDetail, TaskState
from console.history.reader import HistoryReader
from console.resend.gateway import Message, send_message
from console.resend.service import ResendService
from console.resend.view_model import ResendViewModel
from tests.bundled.support import Project
from tests.unit.resend.world import LOCAL, Log
from tests.valkey import ValkeyServer

DEADLINE_S = 30.0
MESSAGE = Message("id-1", "shop.resend", "mail", {"user_id": 7, "resend_key": "key-1"})


class Rig:
    """The feature as the console wires it, on a real connection."""

    def __init__(self, address: BrokerAddress, folder: Path) -> None:
        clock = SystemClock()
        notices = NoticeBoard(clock)
        runner = OperationRunner(
            activity=Log(), notices=notices, clock=clock, connection=lambda: LOCAL, who="asha"
        )
        self.session = Session(
            info=LOCAL,
            address=address,
            schedules=None,
            history_file=folder / "history" / "h.sqlite3",
            clock=clock,
        )
        self.log_file = folder / "collector.log"
        self.reader = HistoryReader(self.session.history_file)
        self.collector = CollectorClient(python=sys.executable, clock=clock)
        self.service = ResendService(clock=clock, notices=notices, runner=runner, task_state=self._state)
        self.view_model = ResendViewModel(self.service, runner)

    async def _state(self, task_id: str) -> TaskDetail | None:
        return await self.session.history.run(self.reader.detail, task_id)

    async def open(self) -> None:
        self.session.set_status(LinkState.CONNECTED)
        self.service.attach(self.session)
        self.collector.start(self.session.address, self.session.history_file, self.log_file)
        await self.until(lambda: self.collector.summary.state is CollectorState.READING)

    async def until(self, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not true():
            assert time.monotonic() < deadline, f"it did not happen; {self.service.snapshot}"
            await asyncio.sleep(0.01)

    async def press(self, recipe_id: str, number: int) -> tuple[TaskState | None, str]:
        """Fill in a form and press; how it ended."""
        self.view_model.select(recipe_id)
        assert self.view_model.recipe is not None
        self.view_model.type(self.view_model.recipe.fields[0], str(number))
        return await self.press_again()

    async def press_again(self) -> tuple[TaskState | None, str]:
        """Press the form that is filled in; how it ended."""
        before = self.view_model.run.task_id if self.view_model.run is not None else ""
        await self.until(lambda: self.view_model.refusal() is None)
        self.view_model.resend()

        def ended() -> bool:
            run = self.view_model.run
            return run is not None and run.ended and run.task_id != before

        await self.until(ended)
        run = self.view_model.run
        assert run is not None
        return run.state, run.words

    async def aclose(self) -> None:
        await self.view_model.aclose()
        await self.service.detach()
        await self.collector.aclose()
        await self.session.history.run(self.reader.close)
        await self.session.aclose()


@pytest.fixture
async def rig(broker: ValkeyServer, tmp_path: Path) -> AsyncIterator[Rig]:
    made = Rig(broker.address, tmp_path)
    yield made
    await made.aclose()


async def test_support_resends_a_mail_once(rig: Rig, broker: ValkeyServer, tmp_path: Path) -> None:
    project = Project(broker.url, tmp_path / "project")
    try:
        await asyncio.to_thread(project.run, "prepare", "--demo")
        await rig.open()
        await asyncio.to_thread(project.worker, "only", "-c", "1", "-E")
        user, order = (project.value(f"SELECT min(id) FROM shop_{table}") for table in ("user", "order"))
        sent = TaskState.SUCCEEDED

        def mails() -> int:
            return len(list(project.mail_dir.glob("*.eml")))

        assert await rig.press("resend-welcome-email", user) == (sent, f"Sent to user {user}")
        assert mails() == 1
        already = "Already sent: nothing went out a second time"
        assert await rig.press_again() == (sent, already)
        assert mails() == 1
        assert await rig.press("resend-invoice", order) == (sent, f"Sent: the invoice of order {order}")
        assert mails() == 2
        nobody = 999_999_999
        assert await rig.press("resend-welcome-email", nobody) == (
            sent,
            f"Nothing sent: there is no user {nobody}",
        )
        assert mails() == 2
    finally:
        project.end()


async def test_the_message_is_exact_and_nothing_else_is_left_in_the_broker(
    rig: Rig, broker: ValkeyServer
) -> None:
    await rig.session.queues.run(send_message, rig.session, MESSAGE)
    with broker.client() as client:
        assert client.keys("*") == [b"mail"]
        (raw,) = client.lrange("mail", 0, -1)
    message = json.loads(raw)
    arguments, keywords, _ = json.loads(base64.b64decode(message["body"]))
    assert (arguments, keywords) == ([], {"user_id": 7, "resend_key": "key-1"})
    headers = message["headers"]
    assert (headers["id"], headers["task"], headers["retries"]) == ("id-1", "shop.resend", 0)


@pytest.mark.parametrize(("fault", "cause"), [("away", Cause.UNREACHABLE), ("password", Cause.REFUSED_LOGIN)])
async def test_a_broker_that_does_not_take_it(
    fault: str, cause: Cause, own_broker: ValkeyServer, tmp_path: Path
) -> None:
    address = own_broker.address
    rig = Rig(address, tmp_path)
    await rig.session.queues.run(send_message, rig.session, MESSAGE)
    own_broker.kill()
    if fault == "password":
        own_broker.password = "another-password"
        own_broker.start()
    with pytest.raises(ConsoleError) as caught:
        await rig.session.queues.run(send_message, rig.session, MESSAGE)
    assert caught.value.cause is cause
    assert address.password.reveal() not in str(caught.value)
    await rig.aclose()


async def test_a_broker_that_was_started_again_takes_it_at_once(
    own_broker: ValkeyServer, tmp_path: Path
) -> None:
    rig = Rig(own_broker.address, tmp_path)
    await rig.session.queues.run(send_message, rig.session, MESSAGE)
    own_broker.kill()
    own_broker.start()
    await rig.session.queues.run(send_message, rig.session, MESSAGE)
    with own_broker.client() as client:
        assert client.llen("mail") == 1
    await rig.aclose()
