"""The icon in the desktop's tray, with the number of things that need attention, where there is one."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QIcon, QPainter, QPixmap
from PySide6.QtWidgets import QMenu, QSystemTrayIcon, QWidget

from console.widgets.icons import app_icon
from console.widgets.theme import theme

SIZES = (16, 22, 32, 48)
MOST = 99
SHOWN_MS = 10_000


class AttentionTray:
    """`opened` is called when a person presses the icon or its message; with a key when there is one."""

    def __init__(self, parent: QWidget, *, opened: Callable[[str], None], quit_: Callable[[], None]) -> None:
        self._parent = parent
        self._opened = opened
        self._quit = quit_
        self._icon: QSystemTrayIcon | None = None
        self._menu: QMenu | None = None
        self._key = ""
        self._count = -1
        self._said = ""

    @property
    def available(self) -> bool:
        return QSystemTrayIcon.isSystemTrayAvailable()

    def show_count(self, count: int, words: str) -> None:
        """The number on the icon, 0 for none; `words` say what it is about. A tray may come later."""
        if self._icon is None and not self.available:
            return
        icon = self._made()
        if count != self._count:
            self._count = count
            icon.setIcon(badged(count))
        tip = f"Celery Console: {words}" if words else "Celery Console"
        if tip != self._said:
            self._said = tip
            icon.setToolTip(tip)

    def say(self, key: str, title: str, body: str, *, urgent: bool) -> bool:
        """A message at the icon; False without a tray."""
        if not self.available or not QSystemTrayIcon.supportsMessages():
            return False
        self._key = key
        kind = QSystemTrayIcon.MessageIcon.Critical if urgent else QSystemTrayIcon.MessageIcon.Warning
        self._made().showMessage(title, body, kind, SHOWN_MS)
        return True

    def close(self) -> None:
        if self._icon is not None:
            self._icon.hide()
            self._icon.deleteLater()
            self._icon = None

    def _made(self) -> QSystemTrayIcon:
        if self._icon is None:
            menu = self._menu = QMenu(self._parent)
            menu.addAction("Open Celery Console").triggered.connect(lambda: self._opened(""))
            menu.addAction("Quit").triggered.connect(self._quit)
            icon = self._icon = QSystemTrayIcon(badged(max(self._count, 0)), self._parent)
            icon.setContextMenu(menu)
            icon.activated.connect(self._on_activated)
            icon.messageClicked.connect(lambda: self._opened(self._key))
            icon.show()
        return self._icon

    def _on_activated(self, reason: QSystemTrayIcon.ActivationReason) -> None:
        if reason is not QSystemTrayIcon.ActivationReason.Context:
            self._opened("")


def badged(count: int) -> QIcon:
    """The program's icon, with a number in a red disc at its corner when there is one."""
    plain = app_icon()
    if not count:
        return plain
    result = QIcon()
    for size in SIZES:
        picture = QPixmap(size, size)
        picture.fill(Qt.GlobalColor.transparent)
        painter = QPainter(picture)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        plain.paint(painter, 0, 0, size, size)
        _paint_badge(painter, size, str(count) if count <= MOST else f"{MOST}+")
        painter.end()
        result.addPixmap(picture)
    return result


def _paint_badge(painter: QPainter, size: int, words: str) -> None:
    height = size * 0.62
    width = max(height, height * (0.42 * len(words) + 0.4))
    box = QRectF(size - min(width, size), size - height, min(width, size), height)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(theme().color("danger"))
    painter.drawRoundedRect(box, height / 2, height / 2)
    font = QFont(theme().font("strong"))
    font.setPixelSize(max(7, round(height * (0.78 if len(words) < 3 else 0.56))))
    painter.setFont(font)
    painter.setPen(QColor(Qt.GlobalColor.white))
    painter.drawText(box.translated(QPointF(0, -0.5)), Qt.AlignmentFlag.AlignCenter, words)
