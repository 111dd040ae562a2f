"""The collector as a process against a real broker: good days, garbage, and both ends killed."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil

from console.broker.address import BrokerAddress
from console.collector.collector import Collector
from console.core.redaction import Secret
from console.history.bounds import Retention
from console.history.model import CollectorState, TaskState
from console.history.query import parse_query
from console.history.reader import HistoryReader
from console.history.writer import Batch, HistoryWriter
from tests.integration.collector.conftest import Rig, life, publish
from tests.integration.collector.kills import check_history
from tests.read_only import make_read_only
from tests.valkey import ValkeyServer


async def test_events_become_rows_and_summaries(broker: ValkeyServer, rig: Rig) -> None:
    rig.start(broker.address)
    await rig.reading()
    heartbeat = {"type": "worker-heartbeat", "hostname": "celery@web", "freq": 2.0, "timestamp": time.time()}
    listeners = publish(broker, life("a"), life("b")[:2], heartbeat)
    assert listeners == 1
    summary = await rig.until(lambda one: one.events == 6 and bool(one.workers))
    assert summary.counts[TaskState.SUCCEEDED] == 1
    assert summary.counts[TaskState.STARTED] == 1
    assert summary.workers[0].hostname == "celery@web"
    assert summary.lag_s is not None
    assert summary.lag_s < 5
    rows = rig.reader.page(parse_query(""))
    assert {row.id: row.state for row in rows} == {"a": TaskState.SUCCEEDED, "b": TaskState.STARTED}
    assert rig.reader.gaps() == []


async def test_the_password_is_in_no_argument_and_one_connection_is_used(
    broker: ValkeyServer, rig: Rig
) -> None:
    rig.start(broker.address)
    await rig.reading()
    assert rig.client.pid is not None
    child = psutil.Process(rig.client.pid)
    assert broker.password not in " ".join(child.cmdline())
    assert broker.password not in repr(child.environ())
    assert os.getsid(child.pid) == child.pid
    with broker.client() as client:
        named = [one for one in client.client_list() if one["name"].startswith("celery-console")]
    assert len(named) == 1
    assert broker.password not in rig.log_file.read_text()


async def test_garbage_is_counted_and_the_reading_goes_on(broker: ValkeyServer, rig: Rig) -> None:
    rig.start(broker.address)
    await rig.reading()
    garbage = [
        b"not json", b"\xff\xfe\x00", b"x" * 10_000_000, pickle.dumps({"type": "task-sent"}),
        b"[" * 50_000, [{"type": 5}], {"type": "task-started", "uuid": {"a": 1}}, b"",
    ]  # fmt: skip
    publish(broker, *garbage, {"type": "task-started", "uuid": "far", "timestamp": 9e15}, life("good"))
    summary = await rig.until(lambda one: one.counts[TaskState.SUCCEEDED] == 1)
    assert summary.malformed == len(garbage)
    assert summary.state is CollectorState.READING
    assert "Skipped what is no event" in rig.log_file.read_text()


async def test_a_broker_that_is_killed_and_comes_back_leaves_a_gap(
    own_broker: ValkeyServer, rig: Rig
) -> None:
    rig.start(own_broker.address)
    await rig.reading()
    publish(own_broker, life("before"))
    await rig.until(lambda one: one.events == 3)
    own_broker.kill()
    summary = await rig.until(lambda one: one.state is CollectorState.RECONNECTING)
    assert summary.error
    (gap,) = rig.reader.gaps()
    assert gap.end is None
    own_broker.start()
    back_s = time.monotonic()
    await rig.reading()
    assert time.monotonic() - back_s < 5.0
    publish(own_broker, life("after"))
    await rig.until(lambda one: one.counts[TaskState.SUCCEEDED] == 2)
    (gap,) = rig.reader.gaps()
    assert gap.end is not None
    assert gap.end > gap.start
    assert gap.reason == "The broker closed the connection"


async def test_a_wrong_password_is_said_in_words(broker: ValkeyServer, rig: Rig) -> None:
    rig.start(broker.address.with_password(Secret("wrong-password")))
    summary = await rig.until(lambda one: one.state is CollectorState.FAILED)
    assert "refused the login" in summary.error
    assert "wrong-password" not in summary.error


async def test_a_user_of_its_own_and_a_key_prefix(broker: ValkeyServer, rig: Rig) -> None:
    with broker.client() as client:
        client.acl_setuser(
            "reader", enabled=True, passwords=["+secret-word"], commands=["+psubscribe", "+ping"],
            channels=["app:/0.celeryev/*"],
        )  # fmt: skip
    address = BrokerAddress(
        "127.0.0.1", broker.port, username="reader", password=Secret("secret-word"), key_prefix="app:"
    )
    rig.start(address)
    await rig.reading()
    publish(broker, life("other"))
    publish(broker, life("mine"), channel="app:/0.celeryev/task.multi")
    await rig.until(lambda one: one.events == 3)
    assert [row.id for row in rig.reader.page(parse_query(""))] == ["mine"]


async def test_a_user_who_may_not_subscribe(broker: ValkeyServer, rig: Rig) -> None:
    with broker.client() as client:
        client.acl_setuser("nobody", enabled=True, passwords=["+secret-word"], commands=["+ping"])
    rig.start(BrokerAddress("127.0.0.1", broker.port, username="nobody", password=Secret("secret-word")))
    summary = await rig.until(lambda one: one.state is CollectorState.FAILED)
    assert "may not do this" in summary.error


async def test_killed_under_load_nothing_is_doubled_or_damaged(broker: ValkeyServer, rig: Rig) -> None:
    rig.start(broker.address)
    rounds = 3
    for number in range(rounds):
        await rig.reading()
        pid = rig.client.pid
        assert pid is not None
        before = rig.client.summary.change
        lives = [life(str(uuid.uuid4())) for _ in range(400)]
        publish(broker, *lives[:200])
        await rig.until(lambda one, before=before: one.change > before)  # type: ignore[misc]
        publish(broker, *lives[200:])
        os.kill(pid, signal.SIGKILL)
        await rig.until(lambda _, number=number: rig.client.restarts > number)  # type: ignore[misc]
        publish(broker, *lives)  # what comes again must not count again
    summary = await rig.reading()
    publish(broker, life("last"))
    await rig.until(lambda one: one.events >= 3 and one.change > summary.change)
    await rig.client.aclose()
    check_history(rig.history_file)
    with closing(sqlite3.connect(rig.history_file)) as connection:
        ends = connection.execute(
            "SELECT sum(n) FROM figures WHERE span = 60 AND kind = 0 AND measure = 2"
        ).fetchone()[0]
        succeeded = connection.execute("SELECT n FROM counts WHERE state = 3").fetchone()[0]
    assert ends == succeeded
    gaps = rig.reader.gaps()
    assert len(gaps) == rounds
    assert all(gap.end is not None for gap in gaps)
    assert {gap.reason for gap in gaps} == {"The reader of events ended unexpectedly"}


async def test_the_end_of_its_input_stores_what_is_held(broker: ValkeyServer, rig: Rig) -> None:
    rig.start(broker.address)
    await rig.reading()
    pid = rig.client.pid
    publish(broker, *[life(f"t{number}") for number in range(300)])
    await asyncio.sleep(0)
    await rig.client.aclose()
    assert pid is not None
    assert not psutil.pid_exists(pid)
    assert rig.reader.totals()[TaskState.SUCCEEDED] == 300
    rig.start(broker.address)
    await rig.reading()
    (gap,) = rig.reader.gaps()
    assert gap.reason == "The console was closed"


async def test_a_history_that_cannot_be_written_is_said_and_tried_again(
    broker: ValkeyServer, rig: Rig
) -> None:
    rig.history_file.parent.mkdir(parents=True)
    rig.history_file.mkdir()  # works for root too, unlike a forbidden folder
    rig.start(broker.address)
    summary = await rig.until(lambda one: one.state is CollectorState.FAILED)
    assert "history" in summary.error
    rig.history_file.rmdir()
    await rig.reading()


async def test_a_history_that_may_only_be_read_is_said(broker: ValkeyServer, rig: Rig) -> None:
    rig.history_file.parent.mkdir(parents=True)
    HistoryWriter(rig.history_file).close()
    make_read_only(rig.history_file)
    rig.start(broker.address)
    summary = await rig.until(lambda one: one.state is CollectorState.FAILED)
    assert "cannot be written" in summary.error


async def test_a_locked_history_is_waited_for_and_loses_nothing(broker: ValkeyServer, rig: Rig) -> None:
    rig.start(broker.address)
    await rig.reading()
    other = sqlite3.connect(rig.history_file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    publish(broker, life("a"))
    await rig.until(lambda one: one.state is CollectorState.FAILED and "locked" in one.error)
    publish(broker, life("b"))
    other.execute("ROLLBACK")
    other.close()
    summary = await rig.until(lambda one: one.counts[TaskState.SUCCEEDED] == 2)
    assert (await rig.reading()).error == ""
    assert summary.malformed == 0


def test_a_configuration_that_is_none_ends_it_with_words(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "console.collector"],
        input=b"{}\n",
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 2
    assert b"configuration is not valid" in done.stderr


def test_it_loads_no_qt() -> None:
    code = "import console.collector.__main__, sys; sys.exit(any('PySide6' in name for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], timeout=20, check=False).returncode == 0


class SmallDisk(HistoryWriter):
    """A history whose disk is full while `full` is set: SQLite says SQLITE_FULL for its page limit too."""

    full = False

    def commit(self, batch: Batch) -> None:
        limit = 1 if SmallDisk.full else 1_000_000  # SQLite raises 1 to the pages that are there
        self._connection.execute(f"PRAGMA max_page_count = {limit}")
        super().commit(batch)


def test_a_disk_that_is_full_stops_it_and_it_goes_on_by_itself(broker: ValkeyServer, tmp_path: Path) -> None:
    said: list[tuple[CollectorState, str]] = []
    collector = Collector(
        address=broker.address,
        history_file=tmp_path / "h.sqlite3",
        tell=lambda summary, _: said.append((summary.state, summary.error)),
        open_history=SmallDisk,
    )
    SmallDisk.full = False
    thread = threading.Thread(target=collector.run, name="collector-under-test")
    thread.start()
    try:
        _until(lambda: (CollectorState.READING, "") in said)
        SmallDisk.full = True
        publish(broker, *[life(f"task-{number}", name="n" * 400) for number in range(300)])
        _until(lambda: any(state is CollectorState.FAILED and "No space" in error for state, error in said))
        SmallDisk.full = False
        said.clear()
        _until(lambda: (CollectorState.READING, "") in said)
    finally:
        collector.stop()
        thread.join(20)
    reader = HistoryReader(tmp_path / "h.sqlite3")
    assert reader.totals()[TaskState.SUCCEEDED] == 300
    reader.close()


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def test_other_bounds_reach_the_collector_that_runs(broker: ValkeyServer, rig: Rig) -> None:
    rig.start(broker.address)
    await rig.reading()
    publish(broker, life("fresh"))
    old = life("old")
    for event in old:
        event["timestamp"] -= 3 * 86_400.0
    publish(broker, old)
    await rig.until(lambda one: sum(one.counts.values()) == 2)
    rig.client.keep(Retention(days=2, max_bytes=2 * 1024**3))
    await rig.until(lambda one: sum(one.counts.values()) == 1)
    assert rig.reader.detail("old") is None
    assert rig.reader.detail("fresh") is not None


async def test_what_a_cut_has_cost_is_known_from_the_workers_own_count(
    broker: ValkeyServer, rig: Rig
) -> None:
    def beat(at: float, processed: int) -> dict[str, object]:
        worker = {"hostname": "celery@web", "pid": 3, "freq": 2.0}
        return {"type": "worker-heartbeat", "timestamp": at, "processed": processed, **worker}

    rig.start(broker.address)
    await rig.reading()
    now = time.time()
    publish(broker, beat(now - 1, 0), life("a"), beat(now + 1, 1), beat(now + 2, 1))
    await rig.until(lambda one: one.counts[TaskState.SUCCEEDED] == 1)
    with broker.client() as client:
        client.client_kill_filter(_type="pubsub")
    await rig.until(lambda _: any(gap.end is not None for gap in rig.reader.gaps()))
    await rig.reading()
    (gap,) = rig.reader.gaps()
    assert gap.lost is None
    publish(broker, beat(now + 9, 1241), beat(now + 11, 1241))
    await rig.until(lambda _: rig.reader.gaps()[-1].lost is not None)
    assert rig.reader.gaps()[-1].lost == 1240
