"""The one thing that moves: a spinner of 16 px, turning only while it can be seen."""

from PySide6.QtCore import QPointF, QSize, QTimer
from PySide6.QtGui import QColor, QHideEvent, QPainter, QPaintEvent, QPen, QShowEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from console.widgets.theme import repaint_on_change, theme

_SPOKES = 8
_INTERVAL_MS = 100


class Spinner(QWidget):
    """Eight spokes, the brightest going round once in 0.8 s."""

    def __init__(self, *, color: str = "st_started", size: int = 16, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._color = color
        self._turn = 0
        self.setFixedSize(size, size)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Working")
        self._timer = QTimer(self, interval=_INTERVAL_MS)
        self._timer.timeout.connect(self._on_tick)
        repaint_on_change(self)

    def sizeHint(self) -> QSize:
        return self.minimumSize()

    def showEvent(self, event: QShowEvent) -> None:
        self._timer.start()
        super().showEvent(event)

    def hideEvent(self, event: QHideEvent) -> None:
        self._timer.stop()
        super().hideEvent(event)

    def _on_tick(self) -> None:
        self._turn = (self._turn + 1) % _SPOKES
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.translate(self.width() / 2, self.height() / 2)
        scale = self.width() / 16
        for spoke in range(_SPOKES):
            ink = QColor(theme().color(self._color))
            age = (self._turn - spoke) % _SPOKES
            ink.setAlphaF(1.0 - 0.8 * age / (_SPOKES - 1))
            pen = QPen(ink, 1.4 * scale)
            painter.setPen(pen)
            painter.save()
            painter.rotate(360 / _SPOKES * spoke)
            painter.drawLine(QPointF(0, -6.6 * scale), QPointF(0, -3.8 * scale))
            painter.restore()
        painter.end()
