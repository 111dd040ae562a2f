"""The status bar: the last notice at the left; zone, events per second and lag of the stream at the right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QWidget

from console.widgets.icons import draw_icon
from console.widgets.label import Text
from console.widgets.text import UNKNOWN, clock_text, number_text
from console.widgets.theme import repaint_on_change, theme
from console.widgets.zone import local_zone, local_zone_name

if TYPE_CHECKING:
    from console.core.notices import Notice

HEIGHT = 24
# By the words of `core.notices.Level`, which the first paint does not need.
LOOKS = {
    "ok": ("check", "ok"),
    "info": ("info", "muted"),
    "warning": ("triangle-alert", "warning"),
    "error": ("circle-alert", "error"),
}


class StatusBar(QWidget):
    """`show_notice` and `show_stream` are all it does."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedHeight(HEIGHT)
        self.setAccessibleName("Status bar")
        self._icon, self._tone = LOOKS["info"]
        self._notice = Text("", role="label", tone="text2")
        self._notice.setAccessibleName("Last notice")
        self._zone = Text("", role="label", tone="muted")
        self._rate = Text("", role="label", tone="muted")
        self._lag = Text("", role="label", tone="muted")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(36, 0, 12, 0)
        layout.setSpacing(12)
        layout.addWidget(self._notice, 1)
        for text in (self._zone, self._rate, self._lag):
            layout.addSpacing(13)
            layout.addWidget(text)
        self.show_stream(None, None)
        repaint_on_change(self)

    def show_zone(self) -> None:
        """The zone of the times on the pages; looked up after the first paint."""
        self._zone.set_text(f"Times in {local_zone_name()}")

    def show_notice(self, notice: Notice) -> None:
        self._icon, self._tone = LOOKS[notice.level.value]
        words = f"{notice.text}: {notice.detail}" if notice.detail else notice.text
        self._notice.set_text(f"{words} · {clock_text(notice.when, local_zone())[:-3]}")
        self._notice.setToolTip(words)
        self._notice.setAccessibleName(words)
        self.update()

    def show_hint(self, text: str) -> None:
        """What stands here before the first notice."""
        self._notice.set_text(text)

    def show_stream(self, events_per_s: float | None, lag_s: float | None) -> None:
        """None is unknown: a dash."""
        rate = UNKNOWN if events_per_s is None else number_text(round(events_per_s))
        lag = UNKNOWN if lag_s is None else f"{max(0.0, lag_s):.1f} s"
        self._rate.set_text(f"{rate} events/s")
        self._lag.set_text(f"Stream lag {lag}")

    def paintEvent(self, _event: QPaintEvent) -> None:
        look = theme()
        painter = QPainter(self)
        painter.fillRect(self.rect(), look.color("bg"))
        painter.fillRect(QRectF(0, 0, self.width(), 1), look.color("border"))
        draw_icon(painter, self._icon, self._tone, x=16, y=5)
        painter.setPen(Qt.PenStyle.NoPen)
        for text in (self._rate, self._lag):
            painter.fillRect(QRectF(text.x() - 13, 6, 1, 12), look.color("border_strong"))
        painter.end()
