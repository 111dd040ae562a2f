"""A small line without axes, always from zero, for rows and cards."""

from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, QSize
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from console.widgets.theme import repaint_on_change, theme

_LINE_PX = 1.25
_FILL_OPACITY = 0.15


def runs(series: Sequence[float | None]) -> list[tuple[int, list[float]]]:
    """The unbroken stretches of a series: (index of the first value, values). A gap stays a gap."""
    result: list[tuple[int, list[float]]] = []
    open_run: list[float] | None = None
    for index, value in enumerate(series):
        if value is None:
            open_run = None
        elif open_run is None:
            open_run = [value]
            result.append((index, open_run))
        else:
            open_run.append(value)
    return result


def draw_sparkline(
    painter: QPainter, box: QRectF, series: Sequence[float | None], *, color: QColor, fill: bool = False
) -> None:
    """Draw the series into the box, scaled from 0 to its own highest value. None is a gap."""
    highest = max((value for value in series if value is not None), default=0.0)
    if len(series) < 2:
        return
    step = box.width() / (len(series) - 1)
    scale = (box.height() - 2) / highest if highest > 0 else 0.0
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setClipRect(box)
    for start, values in runs(series):
        points = [
            QPointF(box.left() + (start + i) * step, box.bottom() - 1 - max(0.0, value) * scale)
            for i, value in enumerate(values)
        ]
        if fill:
            ground = QColor(color)
            ground.setAlphaF(_FILL_OPACITY)
            area = [*points, QPointF(points[-1].x(), box.bottom()), QPointF(points[0].x(), box.bottom())]
            painter.setPen(QPen(QColor(0, 0, 0, 0), 0))
            painter.setBrush(ground)
            painter.drawPolygon(QPolygonF(area))
        painter.setPen(QPen(color, _LINE_PX))
        if len(points) == 1:
            painter.drawPoint(points[0])
        else:
            painter.drawPolyline(QPolygonF(points))
    painter.restore()


class Sparkline(QWidget):
    """A sparkline as a widget."""

    def __init__(self, *, color: str = "in", fill: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._color = color
        self._fill = fill
        self._series: Sequence[float | None] = ()
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(20)
        repaint_on_change(self)

    def set_series(self, series: Sequence[float | None]) -> None:
        """Replace the values; None is a gap."""
        self._series = series
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(70, 20)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        draw_sparkline(
            painter, QRectF(self.rect()), self._series, color=theme().color(self._color), fill=self._fill
        )
        painter.end()
