"""Two windows on one home and one connection: one collector writes, the other reads along and takes over."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from console.collector.history_lock import HistoryLock, lock_file
from console.core.redaction import Secret
from console.history.model import CollectorState, TaskState
from tests.integration.collector.conftest import Rig, life, publish
from tests.valkey import ValkeyServer


@pytest.fixture
async def other(tmp_path: Path, rig: Rig) -> AsyncIterator[Rig]:
    """A second window on the same home: the same history and log."""
    other = Rig(tmp_path)
    yield other
    await other.aclose()


def listeners(broker: ValkeyServer) -> int:
    with broker.client() as client:
        return int(client.pubsub_numpat())


def _ended_gaps(rig: Rig) -> list[str]:
    return [gap.reason for gap in rig.reader.gaps() if gap.end is not None]


async def test_the_second_reads_along_without_a_connection(
    broker: ValkeyServer, rig: Rig, other: Rig
) -> None:
    rig.start(broker.address)
    await rig.reading()
    # What it would say to the broker does not matter: it says nothing.
    other.start(broker.address.with_password(Secret("wrong-password")))
    await other.reading()
    assert listeners(broker) == 1
    heartbeat = {"type": "worker-heartbeat", "hostname": "celery@web", "freq": 2.0, "timestamp": time.time()}
    publish(broker, life("a"), heartbeat, b"garbage")
    told = await rig.until(lambda one: one.events == 4 and one.malformed == 1 and bool(one.workers))
    seen = await other.until(lambda one: one.events == 4 and one.malformed == 1 and bool(one.workers))
    assert (seen.change, seen.counts, seen.workers) == (told.change, told.counts, told.workers)
    assert seen.lag_s is not None
    assert seen.events_per_s > 0
    assert seen.error == ""


async def test_the_second_says_what_becomes_of_the_first_ones_line(
    own_broker: ValkeyServer, rig: Rig, other: Rig
) -> None:
    rig.start(own_broker.address)
    await rig.reading()
    other.start(own_broker.address)
    await other.reading()
    own_broker.kill()
    summary = await other.until(lambda one: one.state is CollectorState.RECONNECTING)
    assert summary.error == "The broker closed the connection"
    own_broker.start()
    await other.reading()


async def test_killed_under_load_the_second_takes_over(broker: ValkeyServer, rig: Rig, other: Rig) -> None:
    rig.start(broker.address)
    await rig.reading()
    other.start(broker.address)
    await other.reading()
    lives = [life(str(uuid.uuid4())) for _ in range(400)]
    publish(broker, *lives[:200])
    committed = await other.until(lambda one: one.counts[TaskState.SUCCEEDED] > 0)
    publish(broker, *lives[200:])
    pid = rig.client.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    killed_s = time.monotonic()
    await other.until(lambda _: _ended_gaps(rig) == ["The reader of events ended unexpectedly"])
    await other.until(lambda one: one.state is CollectorState.READING)
    assert time.monotonic() - killed_s < 4.0
    assert other.client.summary.counts[TaskState.SUCCEEDED] >= committed.counts[TaskState.SUCCEEDED]
    assert other.client.summary.change >= committed.change
    publish(broker, *lives, life("after"))  # what comes again does not count again
    await other.until(lambda one: one.counts[TaskState.SUCCEEDED] == 401)
    await rig.until(lambda one: one.counts[TaskState.SUCCEEDED] == 401)  # whichever of them writes
    assert listeners(broker) == 1
    await rig.client.aclose()
    await other.client.aclose()
    with sqlite3.connect(rig.history_file) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        total, distinct = connection.execute("SELECT count(*), count(DISTINCT id) FROM tasks").fetchone()
        ends = connection.execute(
            "SELECT sum(n) FROM figures WHERE span = 60 AND kind = 0 AND measure = 2"
        ).fetchone()[0]
    connection.close()
    assert total == distinct == ends == 401


async def test_closing_the_first_window_hands_over(broker: ValkeyServer, rig: Rig, other: Rig) -> None:
    rig.start(broker.address)
    await rig.reading()
    other.start(broker.address)
    await other.reading()
    await rig.client.aclose()
    closed_s = time.monotonic()
    await other.until(lambda _: listeners(broker) == 1)
    assert time.monotonic() - closed_s < 3.0
    await other.reading()
    publish(broker, life("after"))
    await other.until(lambda one: one.counts[TaskState.SUCCEEDED] == 1)
    (gap,) = other.reader.gaps()
    assert gap.end is not None


def test_only_one_has_the_lock_and_its_file_stays(tmp_path: Path) -> None:
    history = tmp_path / "history" / "h.sqlite3"
    first = HistoryLock.take(history)
    assert first is not None
    assert HistoryLock.take(history) is None
    first.release()
    second = HistoryLock.take(history)
    assert second is not None
    second.release()
    assert lock_file(history).stat().st_mode & 0o777 == 0o600
