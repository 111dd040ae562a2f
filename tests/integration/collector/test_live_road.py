"""The live road with everything real: console sends, worker works, collector tells, history shows."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.broker.kombu_lines import make_celery_app
from console.core.errors import ConsoleError
from console.history.model import TaskDetail, TaskState
from console.history.query import parse_query
from console.tasks.gateway import CeleryTaskControl
from console.tasks.model import SendRequest
from tests.integration.collector.conftest import DEADLINE_S, Rig
from tests.valkey import ValkeyServer


@pytest.fixture
def worker(broker: ValkeyServer, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A real prefork worker with one place, which sends events."""
    with (tmp_path / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "celery", "-A", "tests.integration.collector.work", "worker"),
                *("-c", "1", "-E", "--without-gossip", "--without-mingle"),
            ],
            env={**os.environ, "WORK_BROKER": broker.url},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        yield process
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


async def ended(rig: Rig, task_id: str, state: TaskState) -> TaskDetail:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        detail = rig.reader.detail(task_id)
        if detail is not None and detail.row.state is state:
            return detail
        await asyncio.sleep(0.02)
    raise AssertionError(f"{task_id} never was {state}: {rig.reader.page(parse_query(''))}")


def connections(broker: ValkeyServer) -> int:
    with broker.client() as client:
        return len([one for one in client.client_list() if one["name"].startswith("celery-console")])


async def test_send_revoke_and_terminate_through_a_real_worker(
    broker: ValkeyServer, worker: subprocess.Popen[bytes], rig: Rig
) -> None:
    rig.start(broker.address)
    await rig.reading()
    app = make_celery_app(broker.address)
    control = CeleryTaskControl(lambda: app, broker.address)

    def send(task_id: str, name: str, *args: object) -> None:
        control.send(task_id, SendRequest(name, "celery", list(args), {}))

    await asyncio.to_thread(send, "first", "work.nap", 0)
    first = await ended(rig, "first", TaskState.SUCCEEDED)
    assert (first.row.name, first.row.queue, first.args) == ("work.nap", "celery", "(0,)")
    assert first.row.sent is not None
    assert first.row.waited_s is not None
    assert first.row.runtime_s is not None
    await rig.until(lambda summary: any(one.online for one in summary.workers))

    await asyncio.to_thread(send, "fragile", "work.fragile")
    fragile = await ended(rig, "fragile", TaskState.FAILED)
    assert fragile.row.retries == 1
    assert [one.state for one in fragile.attempts] == [TaskState.RETRYING, TaskState.FAILED]
    assert "ValueError" in (fragile.traceback or "")

    await asyncio.to_thread(send, "runs", "work.nap", 60)
    await ended(rig, "runs", TaskState.STARTED)
    await asyncio.to_thread(send, "waits", "work.nap", 0)
    (answer,) = await asyncio.to_thread(lambda: control.tell(["waits"], signal=None, expected=1))
    assert answer.ok
    (answer,) = await asyncio.to_thread(lambda: control.tell(["runs"], signal="SIGTERM", expected=1))
    assert answer.ok
    assert "unknown" not in answer.text
    terminated = await ended(rig, "runs", TaskState.REVOKED)
    assert terminated.row.runtime_s is None
    await ended(rig, "waits", TaskState.REVOKED)
    (answer,) = await asyncio.to_thread(lambda: control.tell(["nobody"], signal="SIGTERM", expected=1))
    assert "unknown" in answer.text
    with broker.client() as client:
        assert not list(client.scan_iter("*.reply.celery.pidbox"))
    assert rig.client.summary.malformed == 0
    assert connections(broker) == 1  # the collector's; what was done has left none behind
    app.close()


async def test_nobody_answers_without_workers(broker: ValkeyServer) -> None:
    app = make_celery_app(broker.address)
    control = CeleryTaskControl(lambda: app, broker.address)
    assert await asyncio.to_thread(lambda: control.tell(["x"], signal=None, expected=None)) == []
    with broker.client() as client:
        assert not list(client.scan_iter("*.reply.celery.pidbox"))
    app.close()


async def test_a_broker_that_is_away_is_said_in_words(own_broker: ValkeyServer) -> None:
    app = make_celery_app(own_broker.address)
    control = CeleryTaskControl(lambda: app, own_broker.address)
    own_broker.kill()
    with pytest.raises(ConsoleError, match="reached"):
        await asyncio.to_thread(control.send, "x", SendRequest("a", "", [], {}))
    with pytest.raises(ConsoleError, match="reached"):
        await asyncio.to_thread(lambda: control.tell(["x"], signal=None, expected=None))
    app.close()


async def test_idle_the_collector_costs_the_broker_next_to_nothing(broker: ValkeyServer, rig: Rig) -> None:
    rig.start(broker.address)
    await rig.reading()
    with broker.client() as client:
        before = client.info("stats")["total_commands_processed"]
        began_s = time.monotonic()
        said = len(rig.said)
        await rig.until(lambda _: len(rig.said) >= said + 3)
        spent = client.info("stats")["total_commands_processed"] - before
    assert spent <= 2  # the questions of this test
    assert (time.monotonic() - began_s) / 3 < 2.0  # a sign of life at least every 2 s
    assert connections(broker) == 1
