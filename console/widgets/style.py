"""The focus ring: 2 px, round buttons with a gap of 1 px, on fields as their border.

A style sheet cannot draw outside a widget, so Qt's focus frame follows the focused control and paints the
ring over its parent. Only the frame has the small proxy style, not the application: a Python proxy style for
everything would be asked thousands of times per paint.
"""

from PySide6.QtCore import QObject, QRectF, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QApplication,
    QFocusFrame,
    QProxyStyle,
    QStyle,
    QStyleHintReturn,
    QStyleOption,
    QWidget,
)

from console.widgets.paint import draw_ring
from console.widgets.theme import theme
from console.widgets.tokens import RADIUS

RING_PROPERTY = "focusRing"
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


class FocusRingFollower(QObject):
    """Moves one ring to whatever control has the keyboard focus and asks for a ring.

    A control asks with the dynamic property `focusRing`: "button", "table" or "field". A button or table
    reached with the mouse gets none, a field always.
    """

    def __init__(self, app: QApplication) -> None:
        super().__init__(app)
        self._ring: FocusRing | None = None
        app.focusChanged.connect(self._move)

    def _move(self, _old: QWidget | None, new: QWidget | None) -> None:
        kind = new.property(RING_PROPERTY) if new is not None else None
        by_mouse = QApplication.mouseButtons() != Qt.MouseButton.NoButton
        wanted = new if kind == "field" or (kind in ("button", "table") and not by_mouse) else None
        if wanted is None:
            if self._ring is not None:
                self._ring.setWidget(None)  # type: ignore[arg-type]  # Qt takes a null pointer here
            return
        if self._ring is None:
            self._ring = FocusRing()
            self._ring.destroyed.connect(self._forget)
        self._ring.setWidget(wanted)

    def _forget(self) -> None:
        # The ring lives in the window it is shown in and dies with it.
        self._ring = None


def ask_for_ring(widget: QWidget, kind: str) -> None:
    """Let the focus ring go around this widget: "button", "table" (inside its edge) or "field"."""
    widget.setProperty(RING_PROPERTY, kind)
