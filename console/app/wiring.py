"""The composition root: plain constructors, and who hears of what. No rule of the product lives here."""

from __future__ import annotations

import asyncio
import getpass
import logging

from PySide6.QtWidgets import QApplication

from console.activity.gateway import SqliteActivity
from console.activity.page import ActivityPage
from console.activity.service import ActivityService
from console.activity.view_model import ActivityViewModel
from console.app.crash import CrashReports
from console.app.settings import Scheme, Settings
from console.connections.gateway import ConnectionsFile, KeyringSecrets
from console.connections.page import ConnectionsPage
from console.connections.service import ConnectionsService
from console.connections.view_model import ConnectionsViewModel
from console.core.clock import SystemClock
from console.core.connection import ConnectionInfo, LinkState
from console.core.home import Home
from console.core.notices import Level, NoticeBoard
from console.core.operations import OperationRunner
from console.core.spawn import Tasks
from console.widgets.theme import theme
from console.window.connection_bar import BarState
from console.window.main_window import MainWindow

log = logging.getLogger(__name__)


class Console:
    """Everything that lives as long as the program does."""

    def __init__(self, *, home: Home, window: MainWindow, settings: Settings, crash: CrashReports) -> None:
        self.home = home
        self.window = window
        self.settings = settings
        self.clock = SystemClock()
        self.notices = NoticeBoard(self.clock)
        self.tasks = Tasks("console")
        self._closed: asyncio.Future[int] | None = None
        crash.on_bug = lambda name: self.notices.post(
            Level.ERROR,
            "Something went wrong in the console itself",
            detail=f"The report is {name} in the logs folder.",
            key="bug",
        )
        self.activity = ActivityService(SqliteActivity(home.activity_file), clock=self.clock)
        self.runner = OperationRunner(
            activity=self.activity,
            notices=self.notices,
            clock=self.clock,
            connection=self._open_connection,
            who=_who(),
        )
        self.connections = ConnectionsService(
            home=home,
            file=ConnectionsFile(home.connections_file),
            secrets=KeyringSecrets(),
            notices=self.notices,
            clock=self.clock,
            local=lambda: None,
        )
        self.activity_view = ActivityViewModel(self.activity)
        self.connections_view = ConnectionsViewModel(self.connections, self.runner)
        self._wire_window()
        self._add_pages()

    def _open_connection(self) -> ConnectionInfo | None:
        session = self.connections.session
        return session.info if session else None

    def _wire_window(self) -> None:
        window = self.window
        self.notices.posted.connect(window.show_notice)
        self.notices.withdrawn.connect(window.withdraw_notice)
        self.connections.changed.connect(lambda _none: self._show_bar())
        window.closing.connect(lambda: self.tasks.start(self.close(), name="close"))
        window.scheme_chosen.connect(self._choose_scheme)
        window.bar.connection_chosen.connect(self._choose_connection)
        window.bar.connect_pressed.connect(
            lambda: self.tasks.start(self.connections.connect(), name="connect")
        )
        window.bar.disconnect_pressed.connect(
            lambda: self.tasks.start(self.connections.disconnect(), name="disconnect")
        )
        window.status.show_zone()

    def _add_pages(self) -> None:
        self.window.add_page("activity", lambda: ActivityPage(self.activity_view))
        self.window.add_page("connections", lambda: ConnectionsPage(self.connections_view))

    def _choose_scheme(self, scheme: Scheme) -> None:
        self.settings.scheme = scheme
        app = QApplication.instance()
        if isinstance(app, QApplication):
            theme().apply(app, scheme=scheme)
        self.window.sidebar.show_scheme(scheme)

    def _choose_connection(self, connection_id: str) -> None:
        self.tasks.start(self.connections.connect(connection_id), name="connect")

    def _show_bar(self) -> None:
        chosen = self.connections.chosen
        session = self.connections.session
        state = session.status.state if session else LinkState.DISCONNECTED
        self.window.show_bar(
            BarState(
                connections=tuple((one.id, one.name, one.environment) for one in self.connections.connections),
                chosen=chosen.id,
                environment=chosen.environment,
                state=state,
                latency_ms=session.status.latency_ms if session else None,
                connected_or_trying=session is not None,
            )
        )

    def come_forward(self) -> None:
        """A second console was started on this home."""
        self.window.showNormal() if self.window.isMinimized() else self.window.show()
        self.window.raise_()
        self.window.activateWindow()

    async def run(self, *, connection: str, start_stack: bool) -> int:
        """Until the window is closed and everything has ended; the exit status."""
        self._closed = asyncio.get_running_loop().create_future()
        self._show_bar()
        await self.connections.load()
        return await self._closed

    async def close(self) -> None:
        """The window was closed."""
        self.settings.keep(self.window)
        self.window.hide()
        await self.connections.aclose()
        await self.activity_view.aclose()
        await self.connections_view.aclose()
        await self.activity.aclose()
        self.window.close_for_good()
        if self._closed is not None:
            self._closed.set_result(0)


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
