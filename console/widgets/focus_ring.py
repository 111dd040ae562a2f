"""The ring around the focused control. Apart from who asks for it, because the first paint needs no ring.

Only the frame has the small proxy style, not the application: a Python proxy style for everything would be
asked thousands of times per paint.
"""

from PySide6.QtCore import QRectF
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QFocusFrame, QProxyStyle, QStyle, QStyleHintReturn, QStyleOption, QWidget

from console.widgets.paint import draw_ring
from console.widgets.style import RING_PROPERTY
from console.widgets.theme import theme
from console.widgets.tokens import RADIUS

_MARGIN = 4


class _RingStyle(QProxyStyle):
    """Room around the control for the ring, which lies above its neighbours."""

    def pixelMetric(
        self, metric: QStyle.PixelMetric, option: QStyleOption | None = None, widget: QWidget | None = None
    ) -> int:
        if metric in (QStyle.PixelMetric.PM_FocusFrameHMargin, QStyle.PixelMetric.PM_FocusFrameVMargin):
            return _MARGIN
        return super().pixelMetric(metric, option, widget)

    def styleHint(
        self,
        hint: QStyle.StyleHint,
        option: QStyleOption | None = None,
        widget: QWidget | None = None,
        returnData: QStyleHintReturn | None = None,  # noqa: N803  # Qt's name
    ) -> int:
        if hint == QStyle.StyleHint.SH_FocusFrame_AboveWidget:
            return 1
        if hint == QStyle.StyleHint.SH_FocusFrame_Mask:
            return 0
        return super().styleHint(hint, option, widget, returnData)


class FocusRing(QFocusFrame):
    """A ring around one control at a time; `setWidget` moves it."""

    def __init__(self) -> None:
        super().__init__()
        # Given its style before it has a widget; the frame owns it so that it cannot be collected first.
        self._ring_style = _RingStyle("fusion")
        self._ring_style.setParent(self)
        self.setStyle(self._ring_style)
        theme().changed.connect(self.update)

    def paintEvent(self, _event: QPaintEvent) -> None:
        widget: QWidget | None = self.widget()
        if widget is None:
            return
        kind = widget.property(RING_PROPERTY)
        painter = QPainter(self)
        inner = QRectF(self.rect()).adjusted(_MARGIN, _MARGIN, -_MARGIN, -_MARGIN)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if kind == "field":
            color = theme().color(
                "danger" if widget.property("error") and not theme().tokens.is_dark else "focus"
            )
            if widget.property("error"):
                color = theme().color("st_failed")
            draw_ring(painter, inner.adjusted(-1, -1, 1, 1), color=color, width=2, radius=RADIUS + 1)
        elif kind == "table":
            draw_ring(painter, inner, color=theme().color("focus"), width=2, radius=RADIUS)
        else:
            draw_ring(
                painter,
                inner.adjusted(-3, -3, 3, 3),
                color=theme().color("focus"),
                width=2,
                radius=RADIUS + 3,
            )
        painter.end()
