"""A real console inside the test: the real window, wiring and loop, on a home of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from PySide6.QtCore import QCoreApplication, QEvent
from PySide6.QtWidgets import QApplication

from console.app.crash import CrashReports
from console.app.event_loop import make_loop, run_until_done
from console.app.settings import Settings
from console.app.wiring import Console
from console.core.home import Home
from console.widgets.theme import theme
from console.window.main_window import MainWindow
from tests.heartbeat import Heartbeat

Scenario = Callable[[Console], Awaitable[None]]


def run_console(app: QApplication, root: Path, scenario: Scenario, *, page: str = "stack") -> Heartbeat:
    """Open a console on `root`, run `scenario`, close it as a person would; the heartbeat of all of it.

    Bugs that reached one of the four doors fail the test.
    """
    home = Home(root)
    home.prepare()
    app.setQuitOnLastWindowClosed(False)
    theme().apply(app, scheme="light")
    window = MainWindow()
    settings = Settings(home.settings_file, scheme="light", page=page)
    window.show_page(page)
    window.show()
    crash = CrashReports(home.logs)
    loop = make_loop(app)
    crash.watch(loop)
    bugs: list[BaseException] = []
    heartbeat = Heartbeat()

    async def main() -> int:
        console = Console(home=home, window=window, settings=settings, crash=crash)
        crash.report = bugs.append  # type: ignore[method-assign,assignment]
        running = asyncio.ensure_future(console.run(connection="", start_stack=False))
        try:
            await scenario(console)
        finally:
            await console.close(ask=False)
            await asyncio.wait_for(running, 20)
        return 0

    with heartbeat:
        run_until_done(loop, main())
    window.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    assert not bugs, bugs
    return heartbeat


async def until(condition: Callable[[], bool], within_s: float, what: str) -> None:
    """Wait on the loop until `condition` holds."""
    deadline = asyncio.get_running_loop().time() + within_s
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"{what}: not within {within_s} s"
        await asyncio.sleep(0.02)
