"""Still grey bars in the shape of rows, for content that takes longer than a blink."""

from PySide6.QtCore import QRectF, QSize, QTimer
from PySide6.QtGui import QHideEvent, QPainter, QPaintEvent, QShowEvent
from PySide6.QtWidgets import QWidget

from console.widgets.paint import draw_box
from console.widgets.theme import repaint_on_change, theme

DELAY_MS = 200
# Shares of the width: start and length of the long bar, so that the rows look like text and not like a wall.
_BARS = ((0.33, 0.53), (0.32, 0.68), (0.33, 0.41), (0.33, 0.61), (0.33, 0.50), (0.33, 0.65))


class LoadingRows(QWidget):
    """Shows nothing for its first 200 ms in view, so that fast answers do not flash."""

    def __init__(
        self, *, rows: int = 6, row_height: int = 28, delay_ms: int = DELAY_MS, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._rows = rows
        self._row_height = row_height
        self._delay_ms = delay_ms
        self._in_view = delay_ms == 0
        self._timer = QTimer(self, singleShot=True, interval=delay_ms)
        self._timer.timeout.connect(self._appear)
        self.setAccessibleName("Loading")
        repaint_on_change(self)

    def sizeHint(self) -> QSize:
        return QSize(200, self._rows * self._row_height)

    def showEvent(self, event: QShowEvent) -> None:
        if self._delay_ms:
            self._in_view = False
            self._timer.start()
        super().showEvent(event)

    def hideEvent(self, event: QHideEvent) -> None:
        self._timer.stop()
        super().hideEvent(event)

    def _appear(self) -> None:
        self._in_view = True
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        if not self._in_view:
            return
        look = theme()
        painter = QPainter(self)
        width = min(self.width(), 480)
        for row in range(self._rows):
            top = row * self._row_height
            start, length = _BARS[row % len(_BARS)]
            y = top + (self._row_height - 10) // 2
            for left, extent in ((0.0, start - 0.07), (start, length)):
                bar = QRectF(round(left * width), y, round(extent * width), 10)
                draw_box(painter, bar, fill=look.color("neutral_bg"), radius=3)
            painter.fillRect(0, top + self._row_height - 1, self.width(), 1, look.color("hairline"))
        painter.end()
