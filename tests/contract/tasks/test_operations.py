"""Terminating on real workers: a prefork one ends the task and says so, one with threads refuses."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import psutil
import pytest

from console.broker.kombu_lines import close_celery_app, make_celery_app
from console.broker.results import open_results
from console.core.errors import Cause, ConsoleError
from console.core.operations import Operation
from console.history.model import TaskRow, TaskState
from console.tasks.gateway import Answer, CeleryTaskControl
from console.tasks.operations import KillSignal, revoke_operation, terminate_operation
from tests.contract.tasks.conftest import Shop

STATES = {"REVOKED": TaskState.REVOKED, "STARTED": TaskState.STARTED, "FAILURE": TaskState.FAILED}
ENOUGH_S = 20.0


class Real:
    """Real workers; the place of the history is taken by the result backend."""

    def __init__(self, shop: Shop, queue: str) -> None:
        self.app = make_celery_app(shop.broker.address)
        self.control = CeleryTaskControl(lambda: self.app, shop.broker.address)
        self.results = open_results(shop.redis_results if queue == "redis" else shop.django_results)

    def online(self) -> frozenset[str]:
        return frozenset({"prefork@test", "threads@test", "packing@test"})

    async def tell(self, task_ids: Sequence[str], signal: KillSignal | None) -> list[Answer]:
        return await asyncio.to_thread(lambda: self.control.tell(task_ids, signal=signal, expected=3))

    async def states(self, task_ids: Sequence[str]) -> Mapping[str, TaskState]:
        found = await asyncio.to_thread(self.results.read, task_ids)
        return {task_id: STATES[one.state] for task_id, one in found.items() if one.state in STATES}

    async def until_started(self, task_id: str) -> None:
        deadline = time.monotonic() + ENOUGH_S
        while (await self.states([task_id])).get(task_id) is not TaskState.STARTED:
            assert time.monotonic() < deadline, "it did not start"
            await asyncio.sleep(0.02)


@pytest.fixture(params=["redis", "django"])
def real(request: pytest.FixtureRequest, shop: Shop) -> Iterator[tuple[Real, str]]:
    made = Real(shop, request.param)
    yield made, request.param
    close_celery_app(made.app)


def running(task_id: str) -> TaskRow:
    return TaskRow(
        rowid=1, id=task_id, name="shop.wait_for", state=TaskState.STARTED, worker=None, queue=None,
        sent=None, received=None, started=None, ended=None, waited_s=None, runtime_s=None, retries=0,
        change=1,
    )  # fmt: skip


def terminating(task_id: str, outside: Real, signal: KillSignal) -> Operation:
    """What is run once this signal is chosen."""
    ways = terminate_operation([running(task_id)], outside).choices
    return next(way.operation for way in ways if way.name == signal.value)


async def test_terminate(shop: Shop, real: tuple[Real, str], tmp_path: Path) -> None:
    outside, queue = real
    task_id = str(uuid.uuid4())
    shop.send(task_id, "shop.wait_for", str(tmp_path / "end"), queue=queue)
    await outside.until_started(task_id)
    try:
        operation = terminating(task_id, outside, KillSignal.KILL)
        if queue == "redis":
            assert await operation.run() == "Terminated on prefork@test; it is Revoked"
        else:
            with pytest.raises(ConsoleError, match="threads@test cannot terminate tasks") as raised:
                await operation.run()
            assert raised.value.cause is Cause.NOT_PERMITTED
    finally:
        (tmp_path / "end").touch()


@pytest.mark.parametrize(
    ("signal", "survives", "ends", "words"),
    [
        (KillSignal.TERM, False, "REVOKED", "Terminated on prefork@test; it is Revoked"),
        (KillSignal.QUIT, False, "REVOKED", "Terminated on prefork@test; it is Revoked"),
        (
            KillSignal.INT,
            True,
            "SUCCESS",
            "prefork@test sent SIGINT and counts it as Revoked; a process that",
        ),
        # The worker says Revoked before the task fails: which of the two is heard in time is not certain.
        (KillSignal.USR1, True, "FAILURE", "Terminated on prefork@test; it is "),
    ],
)
async def test_each_signal_does_what_the_dialog_says(
    shop: Shop, tmp_path: Path, signal: KillSignal, survives: bool, ends: str, words: str
) -> None:
    """Held against the process itself: the worker says Revoked whatever becomes of it."""
    outside = Real(shop, "redis")
    task_id, file = str(uuid.uuid4()), tmp_path / "end"
    try:
        shop.send(task_id, "shop.wait_for", str(file), queue="redis")
        await outside.until_started(task_id)
        await until(lambda: Path(f"{file}.pid").exists() and Path(f"{file}.pid").read_text() != "")
        process = psutil.Process(int(Path(f"{file}.pid").read_text()))

        said = await terminating(task_id, outside, signal).run()

        assert said.startswith(words)
        if survives:
            assert process.is_running()
        else:
            await until(lambda: not process.is_running())
        file.touch()
        await until(lambda: outside.results.read([task_id])[task_id].state == ends)
    finally:
        file.touch()
        close_celery_app(outside.app)


async def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + ENOUGH_S
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.02)


async def test_revoke_several(shop: Shop) -> None:
    outside = Real(shop, "redis")
    rows = [running(str(uuid.uuid4())) for _ in range(3)]
    try:
        said = await revoke_operation(rows, outside).run()
    finally:
        close_celery_app(outside.app)

    assert said.startswith("Revoked: 3 workers will not run 3 tasks")
