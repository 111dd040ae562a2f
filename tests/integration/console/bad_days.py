"""What the tests of bad days share: a connection to a test's broker, what the window says, bad servers."""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PySide6.QtWidgets import QApplication, QWidget

from console.app.wiring import Console
from console.broker.database import parse_database_url
from console.broker.url import parse_broker_url
from console.connections.model import Connection, Purpose, Secrets
from console.core.connection import Environment, LinkState
from console.core.redaction import Secret
from console.history.model import CollectorState, Gap
from console.widgets.badge import StateLabel
from console.widgets.banner import Banner
from console.widgets.label import Text
from tests.heartbeat import LIMIT_S, Heartbeat
from tests.running import Scenario, run_console, until
from tests.valkey import ValkeyServer

SHOP = "shop"


def figure(text: str) -> None:
    """Shown with `pytest -s`: what was measured."""
    sys.stdout.write(f"{text}\n")


def state(console: Console) -> LinkState:
    session = console.connections.session
    return session.status.state if session else LinkState.DISCONNECTED


def bar_word(console: Console) -> str:
    """The state as the connection bar shows it."""
    return next(label.text() for label in console.window.bar.findChildren(StateLabel))


def notices(console: Console) -> list[str]:
    return [f"{one.text}. {one.detail}" for one in console.notices.notices]


def said(widget: QWidget | None) -> str:
    """Every word of the banners and labels of `widget` that can be seen."""
    assert widget is not None
    words: list[str] = []
    for banner in widget.findChildren(Banner):
        if not banner.isHidden() and banner.fact():
            words += [banner.accessibleName(), banner.accessibleDescription()]
    words += [label.text() for label in widget.findChildren(Text) if label.isVisible()]
    return "\n".join(words)


def bad_day(app: QApplication, home: Path, scenario: Scenario, *, limit_s: float = LIMIT_S) -> None:
    """Run `scenario` in a real console and fail when its main thread stood still for longer than `limit_s`.

    Measured from when all pages are there until the connection is closed; starting has its own test.
    """

    async def measured(console: Console) -> None:
        await until(lambda: console.window.page("activity") is not None, 10, "the pages")
        with Heartbeat(limit_s) as heartbeat:
            await scenario(console)
            await console.connections.disconnect()
        heartbeat.check()

    failures = _Failures()
    logging.getLogger("console").addHandler(failures)
    try:
        run_console(app, home, measured)
    finally:
        logging.getLogger("console").removeHandler(failures)
    assert failures.told == []


class _Failures(logging.Handler):
    """Failures that are caught and logged, as of a listener: in a test they are bugs."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.told: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.told.append(logging.Formatter().format(record))


async def connect(
    console: Console, port: int, password: str, *, schedules_url: str = "", name: str = "Shop"
) -> None:
    """Save a connection to 127.0.0.1:`port` and open it, as the dialog and the bar do."""
    schedules = parse_database_url(schedules_url) if schedules_url else None
    connection = Connection(
        SHOP, name, Environment.STAGING, parse_broker_url(f"redis://127.0.0.1:{port}/0"), schedules=schedules
    )
    await console.connections.save(connection, Secrets(((Purpose.BROKER, Secret(password)),)))
    await console.connections.connect(SHOP)


async def connected(console: Console, within_s: float = 5.0) -> float:
    """Wait for Connected and for the collector to read; how long Connected took, in seconds."""
    began_s = time.monotonic()
    await until(lambda: state(console) is LinkState.CONNECTED, within_s, "connected")
    took_s = time.monotonic() - began_s
    await until(lambda: console.collector.summary.state is CollectorState.READING, 10, "events are read")
    return took_s


def newest_gap(console: Console) -> Gap | None:
    """The last of the gaps that Tasks knows."""
    gaps = console.task_list.snapshot.gaps
    return gaps[-1] if gaps else None


def login_failures(server: ValkeyServer) -> int:
    with server.client() as client:
        stats: Any = client.info("stats")
        return int(stats["acl_access_denied_auth"])


def life(name: str = "shop.send", *, worker: str = "celery@web", **more: Any) -> list[dict[str, Any]]:
    """The events of one task that succeeds now."""
    task_id, now = str(uuid.uuid4()), time.time()
    whose = {"uuid": task_id, "hostname": worker, "pid": 3, **more}
    return [
        {"type": "task-received", "timestamp": now, "name": name, "args": "()", "kwargs": "{}", **whose},
        {"type": "task-started", "timestamp": now + 0.01, **whose},
        {"type": "task-succeeded", "timestamp": now + 0.02, "runtime": 0.01, "result": "1", **whose},
    ]


def heartbeat(worker: str = "celery@web", **more: Any) -> dict[str, Any]:
    return {
        "type": "worker-heartbeat", "hostname": worker, "freq": 2.0, "timestamp": time.time(), "pid": 3,
        "active": 0, "processed": 5, "sw_ident": "py-celery", **more,
    }  # fmt: skip


@contextlib.contextmanager
def server_that(*, answers: bytes | None) -> Iterator[int]:
    """A TCP server on a free port that answers everything with `answers`, or never (None); gives the port."""
    listener = socket.create_server(("127.0.0.1", 0))
    lines: list[socket.socket] = []

    def talk(line: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while line.recv(65_536):
                if answers is not None:
                    line.sendall(answers)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = listener.accept()
                lines.append(line)
                threading.Thread(target=talk, args=(line,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        for one in (listener, *lines):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
