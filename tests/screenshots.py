"""`make screenshots`: every page, light and dark, of a real console over a real local stack, as PNG.

The pictures in the manual come from here, and whoever changes a page looks at them.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PySide6.QtWidgets import QApplication

from console.app.crash import CrashReports
from console.app.event_loop import make_loop, run_until_done
from console.app.settings import Settings
from console.app.wiring import Console
from console.core.connection import LOCAL_STACK_ID
from console.core.home import Home
from console.widgets.data_table import DataTable
from console.widgets.theme import theme
from console.window.main_window import NAV, MainWindow
from tests.deployments import Deployments, deployments
from tests.running import until
from tests.screenshots_connections import Pictures
from tests.screenshots_live import LivePictures
from tests.screenshots_past import write_past

SETTLE_S = 1.6
TRAFFIC_S = 14.0
PARTS = ("pages", "live", "connections")


def main(folder: Path, only: str = "") -> int:
    """`only` is one of `PARTS`; all without it."""
    folder.mkdir(parents=True, exist_ok=True)
    app = QApplication([])
    app.setQuitOnLastWindowClosed(False)
    with tempfile.TemporaryDirectory() as root, deployments(Path(root) / "deployments") as places:
        home = Home(Path(root) / "home")
        home.prepare()
        write_past(home.history_file(LOCAL_STACK_ID), "celery@local")
        theme().apply(app, scheme="light")
        window = MainWindow()
        settings = Settings(home.settings_file, scheme="light")
        settings.restore(window)
        window.show_page("stack")
        window.show()
        crash = CrashReports(home.logs)
        loop = make_loop(app)
        crash.watch(loop)
        console = Console(home=home, window=window, settings=settings, crash=crash)
        return run_until_done(loop, take(console, folder, places, parts=(only,) if only else PARTS))


async def take(console: Console, folder: Path, places: Deployments, *, parts: Sequence[str]) -> int:
    """The pictures in the order in which a newcomer would see the pages."""
    running = asyncio.ensure_future(console.run(connection="", start_stack=False))
    await asyncio.sleep(SETTLE_S)
    await both(console, folder, "stack-first-run")
    theme().apply(app_instance(), scheme="light")
    console.window.sidebar.show_scheme("light")
    console.stack_view.start()
    await asyncio.sleep(0.9)
    grab(console, folder / "stack-starting-light.png")
    await until(lambda: console.stack.snapshot.took_s is not None, 30, "the stack is ready")
    console.stack_view.set_demo_rate("10/s")
    await asyncio.sleep(TRAFFIC_S)

    async def shown(name: str) -> None:
        await both(console, folder, name)

    if "pages" in parts:
        await tour_of_pages(console, folder)
    if "live" in parts:
        await LivePictures(console, shown).take()
    if "connections" in parts:
        await Pictures(console, places, places.folder, shown).take()
    await console.close(ask=False)
    await running
    return 0


async def tour_of_pages(console: Console, folder: Path) -> None:
    """Every page of the local stack, a row of its table chosen."""
    for item in NAV:
        console.window.show_page(item.noun)
        await asyncio.sleep(SETTLE_S)
        page = console.window.page(item.noun)
        table = page.findChild(DataTable) if page is not None else None
        if table is not None and table.model().rowCount():
            table.selectRow(min(3, table.model().rowCount() - 1))
            await asyncio.sleep(SETTLE_S)
        await both(console, folder, item.noun)


async def both(console: Console, folder: Path, name: str) -> None:
    for scheme in ("light", "dark"):
        theme().apply(app_instance(), scheme=scheme)
        console.window.sidebar.show_scheme(scheme)
        await asyncio.sleep(0.3)
        grab(console, folder / f"{name}-{scheme}.png")


def app_instance() -> QApplication:
    app = QApplication.instance()
    assert isinstance(app, QApplication)
    return app


def grab(console: Console, file: Path) -> None:
    assert console.window.grab().save(str(file))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:3]))
