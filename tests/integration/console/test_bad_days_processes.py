"""Bad days of processes and of the clock: a collector killed, a log of a gigabyte, times that jump."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from datetime import timedelta
from pathlib import Path

from PySide6.QtWidgets import QApplication

from console.app.wiring import Console
from console.core.connection import LinkState
from console.history.model import CollectorState, TaskState
from console.history.query import parse_query
from console.history.reader import HistoryReader
from console.stack.model import StackState
from console.widgets.data_table import DataTable
from console.window.main_window import NAV
from console.workers.model import WorkerState
from tests.e2e.processes import described, processes_of
from tests.integration.collector.conftest import publish
from tests.integration.console.bad_days import (
    SHOP,
    bad_day,
    connect,
    connected,
    figure,
    heartbeat,
    life,
    newest_gap,
    said,
    state,
)
from tests.running import until
from tests.valkey import ValkeyServer

GIGABYTE = 1024**3
NEGATIVE = re.compile(r"^[-−]\d")


def test_a_killed_collector_is_followed_by_another(
    qapp: QApplication, tmp_path: Path, broker: ValkeyServer
) -> None:
    """While tasks run: a new one within seconds, the gap marked, nothing twice and nothing of before lost."""
    home = tmp_path / "home"
    sent: list[str] = []

    def one_more() -> None:
        events = life()
        sent.append(events[0]["uuid"])
        publish(broker, events)

    async def scenario(console: Console) -> None:
        console.window.show_page("tasks")
        await connect(console, broker.port, broker.password)
        await connected(console)
        for _ in range(20):
            one_more()
        await until(lambda: len(console.task_list.snapshot.rows or ()) == 20, 5, "rows")
        first = console.collector.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        killed_s = time.monotonic()
        client = console.collector
        while client.pid in (first, None) or client.summary.state is not CollectorState.READING:
            assert time.monotonic() - killed_s < 5
            one_more()
            await asyncio.sleep(0.02)
        figure(f"collector: another reads {time.monotonic() - killed_s:.2f} s after the kill")
        for _ in range(20):
            one_more()
        summary = console.collector.summary
        await until(lambda: (console.task_list.snapshot.rows or ())[0].id == sent[-1], 5, "the last row")
        await until(lambda: "Events were missed from" in said(console.window.page("tasks")), 5, "the gap")
        gap = newest_gap(console)
        assert gap is not None
        assert gap.end is not None
        figure(f"collector: the gap is {(gap.end - gap.start).total_seconds():.2f} s, {gap.reason}")
        assert gap.start.timestamp() <= time.time() - (time.monotonic() - killed_s)
        assert console.collector.restarts == 1
        await until(lambda: state(console) is LinkState.CONNECTED, 5, "connected")
        assert summary.malformed == 0

    bad_day(qapp, home, scenario)
    reader = HistoryReader(home / "history" / f"{SHOP}.sqlite3")
    rows = reader.page(parse_query(""), limit=500)
    ids = [row.id for row in rows]
    assert len(set(ids)) == len(ids)
    assert set(sent[:20] + sent[-20:]) <= set(ids) <= set(sent)
    assert reader.counts(parse_query("")).by_state[TaskState.SUCCEEDED] == len(ids)
    minutes = reader.series(since_s=600, slot_s=60)
    assert sum(minute.succeeded for minute in minutes) == len(ids)
    reader.close()


def test_a_log_of_a_gigabyte(qapp: QApplication, tmp_path: Path) -> None:
    home = tmp_path / "home"
    logs = home / "stack" / "logs"
    logs.mkdir(parents=True)
    for name in ("broker", "worker", "beat"):
        with (logs / f"{name}.log").open("wb") as file:
            file.truncate(GIGABYTE)

    async def scenario(console: Console) -> None:
        console.window.show_page("stack")
        console.stack_view.start()
        began_s = time.monotonic()
        await until(lambda: console.stack.snapshot.took_s is not None, 30, "the stack is ready")
        assert console.stack.snapshot.state is StackState.READY, console.stack.snapshot.failure
        figure(f"logs of 1 GB: ready after {time.monotonic() - began_s:.1f} s")
        for noun in ("tasks", "stack"):
            console.window.show_page(noun)
            await asyncio.sleep(0.3)
        worker = logs / "worker.log"
        assert worker.stat().st_size < 1_000_000
        assert (logs / "worker.log.1").stat().st_size == GIGABYTE
        assert any("ready" in entry.text for entry in console.stack.log.entries("worker"))
        console.stack_view.stop()
        await until(lambda: console.stack.snapshot.state is StackState.STOPPED, 20, "stopped")

    # Starting a stack is measured in test_whole_console; here only a log that is read whole would show.
    bad_day(qapp, home, scenario, limit_s=0.3)
    assert described(processes_of(home)) == []


SKEWED = {"celery@ahead": 7200.0, "celery@behind": -7200.0, "celery@right": 0.0}


def negatives(console: Console) -> list[str]:
    """Every cell of every table whose number is below zero."""
    return [
        f"{item.noun}: {key} of {row.key} is {cell.text}"
        for item in NAV
        for table in (console.window.page(item.noun) or console.window).findChildren(DataTable)
        for row in table.rows()
        for key, cell in row.cells.items()
        if NEGATIVE.match(cell.text)
    ]


def all_is_well(console: Console, when: str) -> None:
    states = {row.hostname: row.state for row in console.workers.snapshot.rows}
    assert states == dict.fromkeys(SKEWED, WorkerState.ONLINE), (when, states)
    assert state(console) is LinkState.CONNECTED
    rates = console.overview.snapshot.rates
    for rate in (rates.tasks, rates.failed, rates.tasks_usual, rates.failed_usual):
        assert rate is None or rate >= 0, (when, rates)
    assert (console.collector.summary.lag_s or 0) >= 0
    assert negatives(console) == [], when


def test_a_clock_that_jumps(qapp: QApplication, tmp_path: Path, broker: ValkeyServer) -> None:
    """Ours by an hour and back, a worker's by two hours: nobody is Offline, nothing becomes negative."""

    async def scenario(console: Console) -> None:
        await connect(console, broker.port, broker.password)
        await connected(console)
        real = console.clock.now

        async def beat(for_s: float) -> None:
            until_s = time.monotonic() + for_s
            while time.monotonic() < until_s:
                for name, skew_s in SKEWED.items():
                    now = time.time() + skew_s
                    events = [{**one, "timestamp": one["timestamp"] + skew_s} for one in life(worker=name)]
                    publish(broker, [{**heartbeat(name), "timestamp": now}, *events])
                await asyncio.sleep(0.2)

        await beat(1.2)
        await until(lambda: len(console.workers.snapshot.rows) == 3, 5, "the workers")
        for jump in (timedelta(hours=1), timedelta(hours=-1), timedelta(days=-400), timedelta(0)):
            console.clock.now = lambda jump=jump: real() + jump  # type: ignore[method-assign,misc]
            for noun in ("overview", "workers", "queues", "tasks", "stack"):
                console.window.show_page(noun)
                await beat(0.35)
                all_is_well(console, f"{jump} on {noun}")

    bad_day(qapp, tmp_path / "home", scenario)
