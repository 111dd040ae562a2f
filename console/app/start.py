"""From the arguments to the first paint, and from there to a working window.

Order matters: what the first paint needs is imported first, asyncio after it, and everything heavy (celery,
redis, the pages) in a thread, because imports on the main thread would freeze the window that was just shown.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, QTimer
from PySide6.QtWidgets import QApplication

from console.app.commands import Arguments
from console.core.errors import ConsoleError
from console.core.home import Home
from console.widgets.theme import theme
from console.window.main_window import MainWindow

if TYPE_CHECKING:
    from console.app.crash import CrashReports
    from console.app.single import SingleInstance

FIRST_PAINT_MARK = "CELERY_CONSOLE_FIRST_PAINT"  # a file that gets the instant (Unix seconds) for benchmarks


def start(arguments: Arguments) -> int:
    """Show the window and run until it is closed; the exit status."""
    home = Home(arguments.home)
    try:
        home.prepare()
    except ConsoleError as error:
        return _cannot_start(error)
    if not _has_display():
        return _cannot_start(
            ConsoleError(
                "There is no display to open a window on",
                detail="Neither DISPLAY nor WAYLAND_DISPLAY is set.",
                remedy="Start it from a desktop session, or over ssh -X.",
            )
        )
    app = QApplication(sys.argv[:1])
    app.setApplicationName("Celery Console")
    app.setDesktopFileName("celery-console")
    app.setQuitOnLastWindowClosed(False)
    from console.app.single import SingleInstance

    single = SingleInstance(home.root)
    if not single.acquire() and not arguments.new_window:
        return 0 if single.raise_the_first() else _held(home)
    from console.app.settings import Settings

    settings = Settings.read(home.settings_file)
    theme().apply(app, scheme=settings.scheme)
    window = MainWindow()
    settings.restore(window)
    window.show_page(settings.page)
    _show_and_paint(app, window)
    from console.app.crash import CrashReports, open_log
    from console.app.event_loop import make_loop, run_until_done

    open_log(home.logs, beside_another=not single.held)
    crash = CrashReports(home.logs)
    crash.close_the_doors()
    loop = make_loop(app)
    crash.watch(loop)
    try:
        return run_until_done(loop, _run(arguments, home, window, settings, crash, single))
    finally:
        single.release()


async def _run(
    arguments: Arguments,
    home: Home,
    window: MainWindow,
    settings: object,
    crash: CrashReports,
    single: SingleInstance,
) -> int:
    from console.app.imports import import_in_thread

    (wiring,) = await import_in_thread("console.app.wiring")
    console = wiring.Console(home=home, window=window, settings=settings, crash=crash, single=single)
    status: int = await console.run(connection=arguments.connection, start_stack=arguments.start_stack)
    return status


def _cannot_start(error: ConsoleError) -> int:
    sys.stderr.write(f"celery-console: {error.title}. {error.detail} {error.remedy}\n")
    if _has_display():
        _show_and_wait(error)
    return 1


def _has_display() -> bool:
    """Whether Qt would find a screen; without one it ends the process where it stands."""
    if sys.platform in ("win32", "darwin"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))


def _held(home: Home) -> int:
    return _cannot_start(
        ConsoleError(
            "Another console holds this home folder and does not answer",
            detail=f"{home.root}.",
            remedy="End it, or choose another folder with --home. If none runs (the folder came from another"
            " machine), delete console.lock in it.",
        )
    )


def _show_and_wait(error: ConsoleError) -> None:
    """A window that says why there is none: somebody who clicked an icon sees no standard error."""
    from PySide6.QtWidgets import QMessageBox

    existing = QApplication.instance()
    app = existing if isinstance(existing, QApplication) else QApplication(sys.argv[:1])
    box = QMessageBox(QMessageBox.Icon.Critical, "Celery Console", error.title)
    box.setInformativeText(f"{error.detail} {error.remedy}")
    box.finished.connect(app.quit)
    box.open()
    app.exec()


def _show_and_paint(app: QApplication, window: MainWindow) -> None:
    """Run Qt's loop until the window has been painted once (a second at most: it may start minimised).

    By `exit`, not `quit`: Qt 6 asks the windows before it quits, and ours refuses until it is closed.
    """
    painted = _FirstPaint(app)
    window.installEventFilter(painted)
    QTimer.singleShot(1000, painted, app.exit)
    window.show()
    window.activateWindow()
    app.exec()
    window.removeEventFilter(painted)
    painted.deleteLater()


class _FirstPaint(QObject):
    """Ends Qt's loop after the first paint; asyncio's begins then."""

    def __init__(self, app: QApplication) -> None:
        super().__init__()
        self._app = app
        self._seen = False

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Paint and not self._seen:
            self._seen = True
            if (mark := os.environ.get(FIRST_PAINT_MARK)) is not None:
                _write_mark(mark)
            QTimer.singleShot(0, self, self._app.exit)
        return super().eventFilter(watched, event)


def _write_mark(file: str) -> None:
    with open(file, "w", encoding="ascii") as mark:  # noqa: PTH123
        mark.write(repr(time.time()))
