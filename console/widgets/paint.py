"""Small strokes shared by the widgets that paint themselves: crisp boxes, text on a baseline, elision."""

from functools import lru_cache
from typing import Final

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPen

from console.widgets.theme import theme

NO_PEN: Final = Qt.PenStyle.NoPen


def draw_box(
    painter: QPainter,
    rect: QRectF,
    *,
    fill: QColor | None = None,
    border: QColor | None = None,
    radius: float = 6,
) -> None:
    """A rounded box whose 1 px border lies inside `rect`."""
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setBrush(fill if fill is not None else Qt.BrushStyle.NoBrush)
    if border is None:
        painter.setPen(NO_PEN)
        painter.drawRoundedRect(rect, radius, radius)
    else:
        painter.setPen(QPen(border, 1))
        painter.drawRoundedRect(rect.adjusted(0.5, 0.5, -0.5, -0.5), radius - 0.5, radius - 0.5)
    painter.restore()


def draw_ring(painter: QPainter, rect: QRectF, *, color: QColor, width: float, radius: float) -> None:
    """A rounded line of `width` whose outer edge is `rect`."""
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.setPen(QPen(color, width))
    half = width / 2
    painter.drawRoundedRect(rect.adjusted(half, half, -half, -half), radius - half, radius - half)
    painter.restore()


def baseline(metrics: QFontMetricsF, top: float, height: float) -> float:
    """The y of the baseline that centres a line of text in a band."""
    return round(top + (height - metrics.ascent() - metrics.descent()) / 2 + metrics.ascent())


@lru_cache(maxsize=16_384)
def text_width(role: str, text: str) -> float:
    """The width in pixels of a text in the font of a role. Remembered: tables ask for the same again and
    again, and the font of a role stays the same.
    """
    return theme().metrics(role).horizontalAdvance(text)


def draw_text(
    painter: QPainter, text: str, *, role: str, color: QColor, x: float, top: float, height: float
) -> float:
    """One line of text, centred in the band, starting at x. Returns its width."""
    metrics = theme().metrics(role)
    painter.setFont(theme().font(role))
    painter.setPen(color)
    painter.drawText(QPointF(x, baseline(metrics, top, height)), text)
    return text_width(role, text)


def over_red(alpha: int) -> QColor:
    """White on the red of Production, as much of it as `alpha` (0 to 255)."""
    return QColor(255, 255, 255, alpha)


def draw_field(painter: QPainter, rect: QRectF, *, on_red: bool, hovered: bool, ground: str) -> None:
    """The box of a field in the connection bar, on the red one as well."""
    if on_red:
        draw_box(painter, rect, fill=over_red(20 if hovered else 0), border=over_red(140))
    else:
        fill = theme().color("hover" if hovered else ground)
        draw_box(painter, rect, fill=fill, border=theme().color("border_strong"))
