"""The raised ground of what floats over the window: the command palette, the list of connections."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QRectF
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QWidget

from console.widgets.paint import draw_box
from console.widgets.theme import theme


class FloatingCard(QWidget):
    """A press on it stays with it: one beside it closes what it floats on."""

    def mousePressEvent(self, event: QEvent) -> None:
        event.accept()

    def paintEvent(self, _event: QPaintEvent) -> None:
        look = theme()
        painter = QPainter(self)
        draw_box(painter, QRectF(self.rect()), fill=look.color("raised"), border=look.color("border_strong"))
        painter.end()
