"""Switching between two deployments in the real console: what is cached is on screen in under a second."""

from __future__ import annotations

import statistics
import time
from functools import partial
from pathlib import Path

from PySide6.QtWidgets import QApplication

from console.app.wiring import Console
from console.broker.url import parse_broker_url
from console.connections.model import Connection, Secrets
from console.core.connection import Environment, LinkState
from console.widgets.data_table import DataTable
from tests.integration.collector.conftest import publish
from tests.integration.console.bad_days import bad_day, connected, figure, life, state
from tests.running import until
from tests.valkey import ValkeyServer, valkey_server

WITHIN_S = 1.0
ROUNDS = 6


def _task_names(console: Console) -> set[str]:
    page = console.window.page("tasks")
    assert page is not None
    table = next(one for one in page.findChildren(DataTable) if one.accessibleName() == "Tasks")
    return {row.cells["task"].text for row in table.rows()}


def test_what_is_cached_is_there_in_under_a_second(qapp: QApplication, tmp_path: Path) -> None:
    with valkey_server(tmp_path / "a") as first, valkey_server(tmp_path / "b") as second:

        async def scenario(console: Console) -> None:
            console.window.show_page("tasks")
            places: dict[str, tuple[ValkeyServer, str]] = {
                "a": (first, "mail.send"),
                "b": (second, "pay.out"),
            }
            for key, (server, task) in places.items():
                broker = parse_broker_url(server.url)
                where = Connection(key, key.upper(), Environment.STAGING, broker)
                await console.connections.save(where, Secrets())
                await console.connections.connect(key)
                await connected(console)
                publish(server, life(f"shop.{task}"))
                await until(partial(_shows, console, task), 10, "the task")
            took_s = []
            for number in range(ROUNDS):
                key = "ab"[number % 2]
                began_s = time.monotonic()
                await console.connections.connect(key)
                await until(partial(_shows, console, places[key][1]), 5, "the tasks of the other place")
                await until(lambda: state(console) is LinkState.CONNECTED, 5, "connected")
                took_s.append(time.monotonic() - began_s)
                assert console.window.windowTitle() == f"{key.upper()} - Celery Console"
            figure(f"switch: median {statistics.median(took_s):.2f} s, worst {max(took_s):.2f} s")
            assert statistics.median(took_s) < WITHIN_S

        bad_day(qapp, tmp_path / "home", scenario)


def _shows(console: Console, task: str) -> bool:
    """Whether this task, and none of another place, is in the table."""
    names = _task_names(console)
    return bool(names) and all(task.rpartition(".")[2] in name for name in names)
