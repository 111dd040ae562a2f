"""The two charts of the program, painted plainly: stacked bars and lines over the same time slots.

Painted here rather than by a plotting library: two shapes, a few hundred values, no time for imports.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFocusEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget

from console.widgets.paint import baseline, draw_box, draw_text, text_width
from console.widgets.sparkline import runs
from console.widgets.style import ask_for_ring
from console.widgets.text import number_text
from console.widgets.theme import repaint_on_change, theme

_TOP: Final = 14
_BOTTOM: Final = 24
_LABEL_PITCH: Final = 80
_LABEL_STEPS: Final = (1, 2, 5, 10, 20, 30, 60, 120)
_TIP_PADDING: Final = 10
_TIP_ROW: Final = 17
_NO_DATA: Final = "No data yet"


@dataclass(frozen=True, slots=True)
class Series:
    """One series: its name, the chart colour ("failed", "p95", ...) and a value per slot, None if unknown."""

    name: str
    color: str
    values: Sequence[float | None]


def nice_step(highest: float, *, least: float = 0.0) -> float:
    """The distance of grid lines, 1, 2 or 5 times a power of ten, so that five at most reach `highest`.

    It is not below `least`, under which two lines would carry the same words.
    """
    return max(least, _nice_step(highest))


def _nice_step(highest: float) -> float:
    if not math.isfinite(highest) or highest <= 0:
        return 1.0
    rough = highest / 5
    power = 10.0 ** math.floor(math.log10(rough))
    for factor in (1.0, 2.0, 5.0):
        if rough <= factor * power * 1.000001:
            return factor * power
    return 10.0 * power


class _Chart(QLabel):
    """What both charts share: axes, grid, hover and tooltip.

    A label, so that assistive technology reads name and description; a plain widget it would pass over.
    """

    data_changed = Signal()
    slot_chosen = Signal(int, str)
    """A person wants what is behind a slot: its number and the series pointed at ("" for none of them)."""

    _right: int = 16

    def __init__(
        self,
        name: str,
        *,
        format_value: Callable[[float | None], str] = number_text,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._name = name
        self._format = format_value
        self._least_step = 1.0 if format_value is number_text else 0.0
        self._labels: Sequence[str] = ()
        self._titles: Sequence[str] = ()
        self.series: Sequence[Series] = ()
        self._hover = -1
        self._choosable = False
        self.setAccessibleName(name)
        ask_for_ring(self, "table")
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(200, 120)
        repaint_on_change(self)

    def set_data(
        self, *, labels: Sequence[str], titles: Sequence[str] = (), series: Sequence[Series]
    ) -> None:
        """Replace everything. `labels` are the words under the slots, `titles` the heads of the tooltips."""
        self._labels, self._titles, self.series = labels, titles, series
        if self._hover >= self._slots():
            self._hover = -1
        self._describe()
        self.data_changed.emit()
        self.update()

    def set_format(self, format_value: Callable[[float | None], str]) -> None:
        """How values are written from the next `set_data` on."""
        self._format = format_value
        self._least_step = 1.0 if format_value is number_text else 0.0

    def set_choosable(self) -> None:
        """Show that a slot can be pressed; `slot_chosen` tells which."""
        self._choosable = True
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def set_hover(self, slot: int) -> None:
        """Show the tooltip of a slot, -1 for none."""
        if slot != self._hover:
            self._hover = slot
            self._describe()
            self.update()

    def sizeHint(self) -> QSize:
        return QSize(400, 224)

    def _slots(self) -> int:
        return len(self._labels)

    def _highest(self) -> float:
        raise NotImplementedError

    def _x(self, slot: int, plot: QRectF) -> float:
        raise NotImplementedError

    def _slot_at(self, x: float) -> int:
        plot = self._plot(self._top_value())
        slots = self._slots()
        if not slots or not plot.left() - 4 <= x <= plot.right() + 4:
            return -1
        return min(range(slots), key=lambda slot: abs(self._x(slot, plot) - x))

    def _paint_data(self, painter: QPainter, plot: QRectF, top_value: float) -> None:
        raise NotImplementedError

    def _top_value(self) -> float:
        step = nice_step(self._highest(), least=self._least_step)
        return max(step, math.ceil(self._highest() / step - 1e-9) * step)

    def _plot(self, top_value: float) -> QRectF:
        step = nice_step(self._highest(), least=self._least_step)
        widest = max(
            text_width("axis", self._axis_text(step * i)) for i in range(round(top_value / step) + 1)
        )
        left = max(39.0, round(widest + 18))
        return QRectF(left, _TOP, self.width() - left - self._right, self.height() - _TOP - _BOTTOM)

    def _axis_text(self, value: float) -> str:
        if value == 0:
            return "0"
        words = self._format(value)
        return words.replace(".0 ", " ")

    def _describe(self) -> None:
        slots = self._slots()
        slot = self._hover if self._hover >= 0 else slots - 1
        if slot < 0:
            self.setAccessibleDescription("No data")
            return
        words = ", ".join(f"{one.name} {self._format(_at(one.values, slot))}" for one in self.series)
        acts = ". Left and Right go from point to point, Return shows the tasks" if self._choosable else ""
        self.setAccessibleDescription(f"{self._title(slot)}: {words}{acts}")

    def _title(self, slot: int) -> str:
        return self._titles[slot] if slot < len(self._titles) else self._labels[slot]

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        top_value = self._top_value()
        plot = self._plot(top_value)
        if all(value is None for one in self.series for value in one.values):
            self._paint_nothing(painter, plot)
            painter.end()
            return
        self._paint_grid(painter, plot, top_value)
        if self._slots():
            self._paint_labels(painter, plot)
            self._paint_data(painter, plot, top_value)
            if 0 <= self._hover < self._slots():
                self._paint_hover(painter, plot)
        painter.end()

    def _paint_nothing(self, painter: QPainter, plot: QRectF) -> None:
        """A line to stand on and the word; axes without values would look like zeros."""
        look = theme()
        painter.fillRect(QRectF(plot.left(), plot.bottom(), plot.width(), 1), look.color("border_strong"))
        x = plot.center().x() - text_width("label", _NO_DATA) / 2
        top = plot.center().y() - 10
        draw_text(painter, _NO_DATA, role="label", color=look.color("muted"), x=x, top=top, height=20)

    def _paint_grid(self, painter: QPainter, plot: QRectF, top_value: float) -> None:
        look = theme()
        step = nice_step(self._highest(), least=self._least_step)
        for i in range(round(top_value / step) + 1):
            y = round(plot.bottom() - plot.height() * (i * step) / top_value)
            color = look.color("border_strong" if i == 0 else "grid")
            painter.fillRect(QRectF(plot.left(), y, plot.width(), 1), color)
            words = self._axis_text(i * step)
            x = plot.left() - 8 - text_width("axis", words)
            draw_text(painter, words, role="axis", color=look.color("muted"), x=x, top=y - 8, height=16)

    def _paint_labels(self, painter: QPainter, plot: QRectF) -> None:
        slots = self._slots()
        pitch = max(_LABEL_PITCH, max(text_width("axis", words) for words in self._labels) + 24)
        needed = slots * pitch / max(1.0, plot.width())
        every = next((step for step in _LABEL_STEPS if step >= needed), math.ceil(needed))
        chosen = list(range(0, slots, every))
        if (slots - 1 - chosen[-1]) * plot.width() / slots < pitch and len(chosen) > 1:
            chosen[-1] = slots - 1
        elif chosen[-1] != slots - 1:
            chosen.append(slots - 1)
        for slot in chosen:
            words = self._labels[slot]
            width = text_width("axis", words)
            x = min(max(self._x(slot, plot) - width / 2, plot.left()), plot.right() - width)
            painter.setPen(theme().color("muted"))
            draw_text(
                painter,
                words,
                role="axis",
                color=theme().color("muted"),
                x=x,
                top=plot.bottom() + 4,
                height=16,
            )

    def _paint_hover(self, painter: QPainter, plot: QRectF) -> None:
        look = theme()
        x = round(self._x(self._hover, plot)) + 0.5
        pen = QPen(look.color("muted"), 1)
        pen.setDashPattern([3, 3])
        painter.setPen(pen)
        painter.drawLine(QPointF(x, plot.top()), QPointF(x, plot.bottom()))
        self._paint_tip(painter, plot, x)

    def _paint_tip(self, painter: QPainter, plot: QRectF, x: float) -> None:
        look = theme()
        rows = [
            (one, _at(one.values, self._hover))
            for one in reversed(self.series)
            if _at(one.values, self._hover) or not self._hides_zero
        ]
        title = self._title(self._hover)
        names = max((text_width("label", one.name) for one, _ in rows), default=0.0)
        numbers = max((text_width("label", self._format(value)) for _, value in rows), default=0.0)
        width = max(text_width("header", title), 14 + names + 30 + numbers) + 2 * _TIP_PADDING
        height = 30 + _TIP_ROW * len(rows) + 2
        left = x - width - 16 if x - width - 16 > plot.left() else x + 16
        box = QRectF(round(left), plot.top() + 7, round(width), height)
        draw_box(painter, box, fill=look.color("raised"), border=look.color("border_strong"))
        inner = box.x() + _TIP_PADDING
        draw_text(
            painter, title, role="header", color=look.color("text"), x=inner, top=box.y() + 6, height=18
        )
        y = box.y() + 26
        for one, value in rows:
            swatch = QRectF(inner, y + 4, 8, 8)
            draw_box(painter, swatch, fill=look.color(one.color), radius=2)
            draw_text(
                painter, one.name, role="label", color=look.color("text"), x=inner + 14, top=y, height=17
            )
            words = self._format(value)
            at = box.right() - _TIP_PADDING - text_width("label", words)
            draw_text(painter, words, role="label", color=look.color("text"), x=at, top=y, height=17)
            y += _TIP_ROW

    _hides_zero = False

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self.set_hover(self._slot_at(event.position().x()))

    def leaveEvent(self, event: QEvent) -> None:
        self.set_hover(-1)
        super().leaveEvent(event)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        self.set_hover(-1)
        super().focusOutEvent(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        place = event.position()
        slot = self._slot_at(place.x())
        if (
            event.button() is Qt.MouseButton.LeftButton
            and slot >= 0
            and self.rect().contains(place.toPoint())
        ):
            self.slot_chosen.emit(slot, self._series_at(slot, place.y()))

    def _series_at(self, _slot: int, _y: float) -> str:
        return ""

    def keyPressEvent(self, event: QKeyEvent) -> None:
        slots, key = self._slots(), Qt.Key(event.key())
        steps = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1, Qt.Key.Key_PageUp: -10, Qt.Key.Key_PageDown: 10}
        ends = {Qt.Key.Key_Home: 0, Qt.Key.Key_End: slots - 1}
        if slots and key in steps:
            start = self._hover if self._hover >= 0 else slots if steps[key] < 0 else -1
            self.set_hover(min(slots - 1, max(0, start + steps[key])))
        elif slots and key in ends:
            self.set_hover(ends[key])
        elif slots and key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self._choosable:
            self.slot_chosen.emit(self._hover if self._hover >= 0 else slots - 1, "")
        elif key is Qt.Key.Key_Escape and self._hover >= 0:
            self.set_hover(-1)
        else:
            super().keyPressEvent(event)


class StackedBars(_Chart):
    """Bars of several series on top of each other; the first series is the lowest. Only None is a gap."""

    _hides_zero = True

    def _highest(self) -> float:
        totals = [sum(_at(one.values, slot) or 0.0 for one in self.series) for slot in range(self._slots())]
        return max(totals, default=0.0)

    def _x(self, slot: int, plot: QRectF) -> float:
        return plot.left() + plot.width() * (slot + 0.5) / max(1, self._slots())

    def _series_at(self, slot: int, y: float) -> str:
        """The piece of a bar under the pointer; trouble is thin, so that 3 px beside it count."""
        top_value = self._top_value()
        plot = self._plot(top_value)
        bottom, near = plot.bottom(), ""
        for one in self.series:
            height = (_at(one.values, slot) or 0.0) * plot.height() / top_value
            if height and bottom - max(height, 3.0) <= y <= bottom:
                near = near or one.name
            bottom -= height
        return near

    def _paint_data(self, painter: QPainter, plot: QRectF, top_value: float) -> None:
        pitch = plot.width() / self._slots()
        gap = 1 if pitch >= 4 else 0
        scale = plot.height() / top_value
        colors = [theme().color(one.color) for one in self.series]
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for slot in range(self._slots()):
            left = round(plot.left() + slot * pitch)
            width = max(1, round(plot.left() + (slot + 1) * pitch) - left - gap)
            bottom = plot.bottom()
            for one, color in zip(self.series, colors, strict=True):
                value = _at(one.values, slot)
                if value:
                    height = value * scale
                    painter.fillRect(QRectF(left, bottom - height, width, height), color)
                    bottom -= height
        painter.restore()
        painter.fillRect(QRectF(plot.left(), plot.bottom(), plot.width(), 1), theme().color("border_strong"))


class LineChart(_Chart):
    """Lines of 1.5 px, each named at its right end. None breaks a line."""

    _right = 41

    def _highest(self) -> float:
        return max((value for one in self.series for value in one.values if value is not None), default=0.0)

    def _x(self, slot: int, plot: QRectF) -> float:
        return plot.left() + plot.width() * slot / max(1, self._slots() - 1)

    def _paint_data(self, painter: QPainter, plot: QRectF, top_value: float) -> None:
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        scale = plot.height() / top_value
        ends: list[tuple[float, str]] = []
        for one in self.series:
            painter.setPen(QPen(theme().color(one.color), 1.5, j=Qt.PenJoinStyle.RoundJoin))
            last: float | None = None
            for start, values in runs(one.values):
                points = [
                    QPointF(self._x(start + i, plot), plot.bottom() - value * scale)
                    for i, value in enumerate(values)
                ]
                if len(points) == 1:
                    painter.setBrush(theme().color(one.color))
                    painter.drawEllipse(points[0], 1.5, 1.5)
                    painter.setBrush(Qt.BrushStyle.NoBrush)
                else:
                    painter.drawPolyline(QPolygonF(points))
                last = points[-1].y()
            if last is not None:
                ends.append((last, one.name))
        painter.restore()
        for y, name in _spread(ends, lowest=plot.bottom() - 4):
            painter.setFont(theme().font("axis-name"))
            painter.setPen(theme().color("text2"))
            painter.drawText(
                QPointF(round(plot.right() + 6), baseline(theme().metrics("axis-name"), y - 8, 16)), name
            )


class Legend(QWidget):
    """The names and colours of a chart's series, for a panel's head; the lowest of a stack stands last."""

    def __init__(self, chart: _Chart, *, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._chart = chart
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        chart.data_changed.connect(self._on_data)
        repaint_on_change(self)

    def _on_data(self) -> None:
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        width = sum(13 + text_width("label", one.name) for one in self._chart.series)
        return QSize(round(width + 8 * max(0, len(self._chart.series) - 1) + 0.49), 20)

    def paintEvent(self, _event: QPaintEvent) -> None:
        look = theme()
        painter = QPainter(self)
        x = 0.0
        for one in reversed(self._chart.series):
            draw_box(painter, QRectF(round(x), 6, 9, 9), fill=look.color(one.color), radius=2)
            width = draw_text(
                painter, one.name, role="label", color=look.color("muted"), x=round(x) + 13, top=0, height=20
            )
            x += 13 + width + 8
        painter.end()


def _at(values: Sequence[float | None], slot: int) -> float | None:
    return values[slot] if slot < len(values) else None


def _spread(ends: list[tuple[float, str]], *, lowest: float, distance: float = 14) -> list[tuple[float, str]]:
    """Names at the ends of lines, moved apart so that none covers another and none is below `lowest`."""
    placed: list[tuple[float, str]] = []
    for y, name in sorted(ends):
        at = y if not placed else max(y, placed[-1][0] + distance)
        placed.append((at, name))
    for index in range(len(placed) - 1, -1, -1):
        y, name = placed[index]
        limit = lowest if index == len(placed) - 1 else placed[index + 1][0] - distance
        placed[index] = min(y, limit), name
    return placed
