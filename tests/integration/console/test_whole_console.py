"""The whole console in one process with the test: the click, the traffic, the stop, the beat of the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from console.app.wiring import Console
from console.core.connection import LinkState
from console.history.model import TaskState
from console.stack.model import ServiceName, ServiceState, StackState
from console.widgets.button import Button
from console.widgets.data_table import DataTable
from console.window.main_window import NAV
from tests.e2e.processes import described, processes_of
from tests.running import run_console, until


def state(console: Console) -> LinkState:
    session = console.connections.session
    return session.status.state if session else LinkState.DISCONNECTED


def succeeded(console: Console) -> int:
    return console.collector.summary.counts[TaskState.SUCCEEDED]


def press(console: Console, words: str) -> None:
    """Click a button of the page that is shown, with the mouse."""
    page = console.window.page(console.window.noun)
    assert page is not None
    button = next(one for one in page.findChildren(Button) if one.text() == words and one.isVisible())
    assert button.isEnabled(), words
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def select_a_row(console: Console) -> None:
    """As a person does who wants to know more: in every table of the page that has rows."""
    page = console.window.page(console.window.noun)
    assert page is not None
    for table in page.findChildren(DataTable):
        if table.isVisible() and table.model().rowCount():
            table.selectRow(0)


async def answer(console: Console, words: str, *, unless: Callable[[], bool]) -> None:
    """Press a button of the dialog that opens, or go on when `unless` holds first."""

    def button() -> Button | None:
        found = (one for one in console.window.findChildren(Button) if one.text() == words)
        return next((one for one in found if one.isVisible()), None)

    await until(lambda: button() is not None or unless(), 10, f"the dialog with {words}")
    if (shown := button()) is not None:
        QTest.mouseClick(shown, Qt.MouseButton.LeftButton)


async def start_stack(console: Console) -> None:
    await until(lambda: console.window.page("stack") is not None, 10, "the page")
    press(console, "Start local stack")
    await until(lambda: console.stack.snapshot.took_s is not None, 30, "the stack is ready")
    assert console.stack.snapshot.state is StackState.READY, console.stack.snapshot.failure
    await until(lambda: succeeded(console) > 0, 10, "a task succeeded")
    await until(lambda: state(console) is LinkState.CONNECTED, 10, "connected")


def test_the_window_never_stands_still(qapp: QApplication, tmp_path: Path) -> None:
    """Start, the fastest demo traffic while every page is looked at, stop: no pause above 100 ms."""

    async def scenario(console: Console) -> None:
        await start_stack(console)
        console.stack_view.set_demo_rate("as fast as possible")
        await until(lambda: succeeded(console) > 60, 30, "traffic")
        for item in NAV:
            console.window.show_page(item.noun)
            await asyncio.sleep(0.5)
            select_a_row(console)
            await asyncio.sleep(0.5)
        console.window.show_page("stack")
        press(console, "Stop local stack")
        await answer(console, "Stop now", unless=lambda: console.stack.snapshot.state is StackState.STOPPED)
        await until(lambda: console.stack.snapshot.state is StackState.STOPPED, 20, "stopped")
        assert state(console) is LinkState.DISCONNECTED

    heartbeat = run_console(qapp, tmp_path / "home", scenario)
    assert described(processes_of(tmp_path / "home")) == []
    heartbeat.check()


def test_the_broker_is_killed_and_comes_back(qapp: QApplication, tmp_path: Path) -> None:
    """SIGKILL to the broker: Reconnecting, then Connected by itself, with the gap on record."""

    async def scenario(console: Console) -> None:
        await start_stack(console)
        broker = console.stack.snapshot.service(ServiceName.BROKER)
        assert broker.pid is not None
        import psutil

        psutil.Process(broker.pid).kill()
        await until(lambda: state(console) is LinkState.RECONNECTING, 5, "reconnecting is shown")
        await until(
            lambda: console.stack.snapshot.service(ServiceName.BROKER).state is ServiceState.READY,
            10,
            "the broker is started again",
        )
        await until(lambda: state(console) is LinkState.CONNECTED, 5, "connected within 5 s of its return")
        before = succeeded(console)
        console.stack_view.set_demo_rate("2/s")
        await until(lambda: succeeded(console) > before, 20, "tasks go on")

    run_console(qapp, tmp_path / "home", scenario)
    assert described(processes_of(tmp_path / "home")) == []
