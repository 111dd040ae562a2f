"""The end of the console with a real stack: what is asked, what is waited for, and that it always comes."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from console.app.wiring import Console
from console.core.errors import Cause, ConsoleError
from console.stack.model import StackState
from console.widgets.banner import Banner
from console.widgets.button import Button
from tests.e2e.processes import described, processes_of
from tests.integration.stack.conftest import send_task, until_active
from tests.running import run_console, until

AT_ONCE_S = 0.3
ENDED_S = 6.0


class Closing:
    """A console with a stack that runs, and a task of `task_s` seconds on its worker."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.window = console.window

    async def start(self, task_s: float = 0.0) -> None:
        await until(lambda: self.window.page("stack") is not None, 10, "the page")
        self.console.stack_view.start()
        await until(lambda: self.console.stack.snapshot.took_s is not None, 30, "ready")
        if task_s:
            assert self.console.stack.address is not None
            await send_task(self.console.stack.address, "bundled_project.shop.tasks.take_time", task_s)
            await until_active(self.console.stack, 1)

    def button(self, words: str) -> Button | None:
        found = (one for one in self.window.findChildren(Button) if one.text() == words)
        return next((one for one in found if one.isVisible()), None)

    async def close_and_press(self, words: str) -> float:
        """Close the window and answer; seconds until the window was hidden."""
        self.window.close()
        await until(lambda: self.button(words) is not None, 5, words)
        button = self.button(words)
        assert button is not None
        began_s = time.monotonic()
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        if words != "Cancel":
            await until(lambda: not self.window.isVisible() or self.waits, 3, "hidden or waiting")
        return time.monotonic() - began_s

    @property
    def waits(self) -> bool:
        return self.console.stack.snapshot.waiting is not None

    async def ended(self) -> float:
        """Seconds until the program's end."""
        assert self.console._closed is not None
        began_s = time.monotonic()
        await asyncio.wait((self.console._closed,), timeout=20)
        assert self.console._closed.done(), "it never ended"
        return time.monotonic() - began_s


def test_with_nothing_to_wait_for_the_window_goes_at_once(qapp: QApplication, tmp_path: Path) -> None:
    async def scenario(console: Console) -> None:
        closing = Closing(console)
        await closing.start()
        console.window.close()
        hidden_s = time.monotonic()
        await until(lambda: not console.window.isVisible(), 3, "hidden")
        assert time.monotonic() - hidden_s < AT_ONCE_S
        assert await closing.ended() < ENDED_S
        assert console.stack.snapshot.state is StackState.STOPPED

    run_console(qapp, tmp_path / "home", scenario).check()
    assert described(processes_of(tmp_path / "home")) == []


def test_running_tasks_are_asked_about_and_waited_for(qapp: QApplication, tmp_path: Path) -> None:
    async def scenario(console: Console) -> None:
        closing = Closing(console)
        await closing.start(task_s=4.0)
        await closing.close_and_press("Cancel")
        await until(lambda: closing.button("Cancel") is None, 3, "the dialog went")
        assert console.window.isVisible()
        assert console.stack.snapshot.state is StackState.READY
        console.window.show_page("tasks")
        await closing.close_and_press("Wait for it")
        assert console.window.isVisible()
        assert console.window.noun == "stack"
        await until(lambda: _banner(console).startswith("Waiting for 1 task, "), 3, "the banner")
        console.window.close()  # once more: nothing is asked again
        await closing.ended()
        assert any("succeeded in 4." in entry.text for entry in console.stack.log.entries("worker"))

    run_console(qapp, tmp_path / "home", scenario).check()
    assert described(processes_of(tmp_path / "home")) == []


@pytest.mark.parametrize("answer", ["Stop now", "Force", "a signal"])
def test_running_tasks_can_be_stopped(qapp: QApplication, tmp_path: Path, answer: str) -> None:
    async def scenario(console: Console) -> None:
        closing = Closing(console)
        await closing.start(task_s=60.0)
        if answer == "Stop now":
            assert await closing.close_and_press("Stop now") < AT_ONCE_S
        else:
            await closing.close_and_press("Wait for it")
            await until(lambda: closing.button("Force") is not None, 3, "Force")
            if answer == "Force":
                button = closing.button("Force")
                assert button is not None
                QTest.mouseClick(button, Qt.MouseButton.LeftButton)
            else:
                asyncio.get_running_loop().call_soon(lambda: console._start(console.close(ask=False)))
        assert await closing.ended() < ENDED_S

    run_console(qapp, tmp_path / "home", scenario).check()
    assert described(processes_of(tmp_path / "home")) == []


def test_a_stop_that_fails_keeps_no_window_open(qapp: QApplication, tmp_path: Path) -> None:
    """A full disk: the activity log cannot be written, and so no operation is allowed."""

    async def scenario(console: Console) -> None:
        closing = Closing(console)
        await closing.start()

        async def begin(_entry: object) -> int:
            raise ConsoleError("The disk is full", cause=Cause.NO_SPACE)

        console.activity.begin = begin  # type: ignore[method-assign,assignment]
        console.window.close()
        await until(lambda: not console.window.isVisible(), 3, "hidden")
        assert await closing.ended() < ENDED_S

    run_console(qapp, tmp_path / "home", scenario).check()
    assert described(processes_of(tmp_path / "home")) == []


def _banner(console: Console) -> str:
    page = console.window.page("stack")
    assert page is not None
    return next((banner.fact() for banner in page.findChildren(Banner) if banner.isVisible()), "")
