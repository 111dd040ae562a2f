"""Garbage on the event channel while the console reads it: counted, skipped, and nothing good is lost."""

from __future__ import annotations

import asyncio
import base64
import json
import pickle
import time
import uuid
from pathlib import Path
from typing import Any

from PySide6.QtWidgets import QApplication

from console.app.wiring import Console
from console.collector.events import envelope
from console.history.model import CollectorState, TaskState
from console.window.main_window import NAV
from tests.integration.collector.conftest import publish
from tests.integration.console.bad_days import (
    bad_day,
    connect,
    connected,
    figure,
    heartbeat,
    life,
)
from tests.running import until
from tests.valkey import ValkeyServer


def typed(body: bytes, content_type: str) -> bytes:
    return json.dumps(
        {"body": base64.b64encode(body).decode(), "content-type": content_type, "properties": {}}
    ).encode()


def deep(depth: int) -> bytes:
    return typed(b"[" * depth + b"]" * depth, "application/json")


def event(kind: str, **fields: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "uuid": str(uuid.uuid4()),
        "hostname": "celery@web",
        "timestamp": time.time(),
        **fields,
    }


def skipped() -> list[Any]:
    """Each of these is one thing to be counted and skipped."""
    return [
        b"not json",
        b"\xff\xfe\x00\x80",
        b"",
        b"null",
        b"x" * 10_000_000,
        typed(b"y" * 7_500_000, "application/json"),
        typed(pickle.dumps(event("task-succeeded")), "application/x-python-serialize"),
        typed(b"\xff\xfe", "application/json"),
        typed(b"", "application/json"),
        deep(100_000),
        b"[" * 100_000,
        json.dumps({"body": 5, "content-type": "application/json"}).encode(),
        event("task-succeeded", uuid=5),
        event("task-succeeded", runtime="fast"),
        event("task-started", hostname={"a": 1}),
        event("task-received", timestamp="now"),
        {"type": 7},
        [5],
        ["task-sent"],
        event("worker-heartbeat", hostname=None, freq="often"),
        event("worker-heartbeat", loadavg="heavy"),
        {"type": "task-succeeded"},
        {"type": "task-succeeded", "uuid": None, "hostname": None, "timestamp": None},
        event("task-started", uuid="u" * 5_000),
        event("worker-heartbeat", hostname=""),
        event("worker-heartbeat", hostname="celery@\x1b[31m\x00\n\u202eweb"),
        event("worker-online", hostname="h" * 5_000),
    ]


def harmless() -> list[Any]:
    """Allowed, and of no meaning here."""
    return [event("shop-opened", anything=[1, 2]), event("task-invented"), []]


def odd_tasks() -> list[dict[str, Any]]:
    """Tasks that appear, with what is senseless in them unknown."""
    return [
        event("task-succeeded", uuid="nan", timestamp=float("nan"), runtime=float("nan")),
        event("task-succeeded", uuid="infinite", timestamp=float("inf"), runtime=float("inf")),
        event("task-succeeded", uuid="year-9999", timestamp=253_402_300_000, runtime=-5.0),
        event("task-succeeded", uuid="year-1970", timestamp=1.0, runtime=1e300),
        event("task-succeeded", uuid="negative", timestamp=-1e18, runtime=0.5),
        event("task-received", uuid="not-a-uuid \x00\x1b[31m\u202e", name="a\x00b\n\x1b[2J", retries=2**60),
        event("task-received", uuid="long", name="n" * 5_000, args="a" * 1_000_000, hostname="h" * 5_000),
        event("task-started", uuid="huge-pid", pid=10**400),
        event("task-started", uuid="half", name="\udcff", args="('\udcff.txt',)"),
        event("task-received", uuid="controls", name=None, hostname="celery@\x1b[31m\x00\n\u202eweb"),
    ]


def test_garbage_on_the_event_channel(qapp: QApplication, tmp_path: Path, broker: ValkeyServer) -> None:
    home = tmp_path / "home"
    bad, odd, fine = skipped(), odd_tasks(), harmless()
    # Made before the window is: making them would take the interpreter away from it.
    messages = [envelope(heartbeat("celery@web"))]
    for one in (*bad, *odd, *fine):
        messages += [envelope(life()), one if isinstance(one, bytes) else envelope(one), envelope(life())]
    messages.append(envelope([one for _ in range(3_334) for one in life("shop.many")]))
    messages.append(envelope([*life(), *odd, {"type": 7}, *life()]))

    async def scenario(console: Console) -> None:
        console.window.show_page("tasks")
        await connect(console, broker.port, broker.password)
        await connected(console)
        await asyncio.to_thread(publish, broker, *messages)
        good = 2 * len((*bad, *odd, *fine)) + 3_334 + 2
        succeeded = good + 5  # the five odd ones that say so
        await until(
            lambda: console.collector.summary.counts[TaskState.SUCCEEDED] >= succeeded, 20, "the good ones"
        )
        summary = console.collector.summary
        assert summary.counts[TaskState.SUCCEEDED] == succeeded
        assert summary.counts[TaskState.RECEIVED] == 3
        assert summary.counts[TaskState.STARTED] == 2
        assert summary.malformed == len(bad) + 1
        assert summary.state is CollectorState.READING
        assert console.collector.restarts == 0
        for item in NAV:
            console.window.show_page(item.noun)
            await asyncio.sleep(0.1)
        await until(lambda: bool(console.workers.snapshot.rows), 5, "the worker")
        workers = [row.hostname for row in console.workers.snapshot.rows]
        assert workers == ["celery@web"]
        unread = f"{len(bad) + 1} unreadable event messages were skipped"
        # Nothing is said in the first 10 s of a connection.
        await until(
            lambda: unread in [row.what for row in console.overview.snapshot.attention], 20, "the notice"
        )
        await no_false_numbers(console)
        figure(f"{len(bad)} skipped, {succeeded} succeeded, lag {summary.lag_s}")

    bad_day(qapp, home, scenario)


def test_odd_tasks_are_shown_harmlessly(qapp: QApplication, tmp_path: Path, broker: ValkeyServer) -> None:
    async def scenario(console: Console) -> None:
        console.window.show_page("tasks")
        await connect(console, broker.port, broker.password)
        await connected(console)
        odd = odd_tasks()
        publish(broker, odd)
        for one in odd:
            if "not-a-uuid" in one["uuid"]:
                continue
            console.window.navigate("tasks", f"id:{one['uuid']}")
            await until(
                lambda: len(console.task_list.snapshot.rows or ()) == 1, 5, f"the row of {one['uuid']}"
            )
            (row,) = console.task_list.snapshot.rows or ()
            assert (row.worker or "").isprintable()
            assert (row.name or "").isprintable()
            for value in (row.runtime_s, row.waited_s):
                assert value is None or value >= 0
            for instant in (row.received, row.started, row.ended):
                assert instant is None or 2000 < instant.year < 2100
            console.tasks_view.select(row.id)
            await until(lambda: console.tasks_view.story is not None, 5, "the story")
            await asyncio.sleep(0.05)

    # The first story of a process takes a tenth of a second to lay out, whatever it tells.
    bad_day(qapp, tmp_path / "home", scenario, limit_s=0.3)


async def no_false_numbers(console: Console) -> None:
    """Neither a negative nor an absurd number came out of senseless times."""
    console.window.show_page("overview")
    await until(lambda: console.overview.snapshot.read, 5, "the overview has read")
    snapshot = console.overview.snapshot
    now = console.clock.now()
    for minute in snapshot.history.minutes:
        assert minute.start <= now
        for counted in (minute.succeeded, minute.failed, minute.received, minute.sent, minute.other):
            assert counted >= 0
        for times in (minute.runtime, minute.wait):
            for value in (times.p50_s, times.p95_s, times.p99_s):
                assert value is None or value >= 0
    for row in console.task_list.snapshot.rows or ():
        assert row.runtime_s is None or row.runtime_s >= 0
        assert row.waited_s is None or row.waited_s >= 0
    lag_s = console.collector.summary.lag_s
    assert lag_s is None or 0 <= lag_s < 3600
