"""Between Attention and the desktop: the bus, else the tray; the number; the dialog; and the way back."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtWidgets import QApplication, QWidget

from console.app.notifications import USUAL_KINDS, AttentionNotices, Choice, Notification
from console.app.notifications_bus import BusNotifications
from console.app.notifications_dialog import NotificationsDialog
from console.app.tray import AttentionTray
from console.core.clock import Clock
from console.core.connection import ConnectionInfo
from console.core.spawn import Tasks
from console.overview.model import AttentionKind
from console.overview.service import OverviewService

Stored = tuple[tuple[str, ...] | None, bool]
"""A choice as the settings keep it: names of kinds (None: the usual ones), and whether of all connections."""


class DesktopNotifications:
    """One per window. `opened` is called with the key of a row of Attention, or "" for none.

    `kept` tells of a choice that is to be remembered.
    """

    def __init__(
        self,
        window: QWidget,
        overview: OverviewService,
        *,
        clock: Clock,
        connection: Callable[[], ConnectionInfo | None],
        stored: Stored,
        kept: Callable[[Stored], None],
        opened: Callable[[str], None],
        quit_: Callable[[], None],
    ) -> None:
        self._window = window
        self._kept = kept
        self.choice = choice_of(stored)
        self._bus = BusNotifications(clicked=opened)
        self._tray = AttentionTray(window, opened=opened, quit_=quit_)
        self._tasks = Tasks("desktop")
        self._notices = AttentionNotices(
            overview,
            connection=connection,
            choice=lambda: self.choice,
            looking=lambda: QApplication.activeWindow() is not None,
            teller=self,
            clock=clock,
        )

    def tell(self, notification: Notification) -> None:
        self._tasks.start(self._tell(notification), name="tell")

    async def _tell(self, notification: Notification) -> None:
        if not await self._bus.tell(notification):
            self._tray.say(
                notification.key, notification.title, notification.body, urgent=notification.urgent
            )

    def show_count(self, count: int, words: str) -> None:
        self._tray.show_count(count, words)

    def open_dialog(self) -> None:
        """Let the person choose."""
        dialog = NotificationsDialog(self._window, self.choice)
        dialog.accepted.connect(lambda: self._choose(dialog.choice))
        dialog.open()

    def _choose(self, choice: Choice) -> None:
        self.choice = choice
        self._kept((tuple(sorted(kind.name for kind in choice.kinds)), choice.everywhere))
        self._notices.chosen_otherwise()

    async def aclose(self) -> None:
        await self._notices.aclose()
        await self._tasks.aclose()
        await self._bus.aclose()
        self._tray.close()


def choice_of(stored: Stored) -> Choice:
    """What the settings keep as a choice; names of kinds that there are no more are left out."""
    names, everywhere = stored
    if names is None:
        return Choice(USUAL_KINDS, everywhere)
    known = AttentionKind.__members__
    return Choice(frozenset(known[name] for name in names if name in known), everywhere)
