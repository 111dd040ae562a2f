"""A line of news above the content of a page: what happened in bold, a detail, at most one button."""

from typing import Literal

from PySide6.QtCore import QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QWidget

from console.widgets.button import Button, IconButton
from console.widgets.icons import draw_icon
from console.widgets.paint import draw_box, draw_text, text_width
from console.widgets.theme import repaint_on_change, theme

BannerTone = Literal["ok", "info", "warning", "error"]

_ICON = {"ok": "circle-check", "info": "info", "warning": "triangle-alert", "error": "circle-alert"}


class Banner(QWidget):
    """One message at a time: a new one replaces the old. Hidden while there is none.

    36 px high, 42 with a button, 28 when compact. `action_clicked` when its button is pressed, `closed` when
    a person or time has taken the message away.
    """

    action_clicked = Signal()
    closed = Signal()

    def __init__(self, *, compact: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tone: BannerTone = "info"
        self._fact = ""
        self._detail = ""
        self._compact = compact
        self._status = ""
        self._button = Button("", small=True)
        self._button.clicked.connect(self.action_clicked)
        self._close = IconButton("x", name="Close", size=24)
        self._close.clicked.connect(self._on_close)
        self._timer = QTimer(self, singleShot=True)
        self._timer.timeout.connect(self._on_close)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(11, 0, 11, 0)
        layout.setSpacing(4)
        layout.addStretch(1)
        layout.addWidget(self._button)
        layout.addWidget(self._close)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.hide()
        repaint_on_change(self)

    def show_message(
        self,
        tone: BannerTone,
        fact: str,
        detail: str = "",
        *,
        action: str | None = None,
        status: str = "",
        closable: bool = False,
        closes_after_s: float | None = None,
    ) -> None:
        """Show a message. `fact` is bold, `status` stands at the right instead of a button.

        `closes_after_s` takes it away again after so many seconds.
        """
        self._tone, self._fact, self._detail, self._status = tone, fact, detail, status
        self._button.setVisible(action is not None)
        if action is not None:
            self._button.set_text(action)
        self._close.setVisible(closable)
        self.setFixedHeight(28 if self._compact else 42 if action is not None else 36)
        words = [part for part in (fact, detail, status) if part]
        self.setAccessibleName(words[0] if words else "")
        self.setAccessibleDescription(" ".join(words[1:]))
        self.setToolTip(detail if len(detail) > 80 else "")
        self._timer.stop()
        if closes_after_s is not None:
            self._timer.start(round(closes_after_s * 1000))
        self.show()
        self.update()

    def clear(self) -> None:
        """Take the message away without telling."""
        self._timer.stop()
        self._fact = self._detail = ""
        self.hide()

    def fact(self) -> str:
        """The bold words in view, empty when hidden."""
        return self._fact

    def sizeHint(self) -> QSize:
        return QSize(300, self.minimumHeight())

    def _on_close(self) -> None:
        self.clear()
        self.closed.emit()

    def paintEvent(self, _event: QPaintEvent) -> None:
        look = theme()
        painter = QPainter(self)
        fill, border = look.color(f"{self._tone}_bg"), look.color(f"{self._tone}_border")
        draw_box(painter, QRectF(self.rect()), fill=fill, border=border)
        strong, body, icon = ("header", "label", 14) if self._compact else ("strong", "body", 16)
        ink, height = look.color("text"), self.height()
        draw_icon(painter, _ICON[self._tone], self._tone, x=11, y=(height - icon) // 2 + 1, size=icon)
        right = float(self.width() - 12)
        for control in (self._button, self._close):
            if control.isVisible():
                right = min(right, control.x() - 8)
        if self._status:
            right -= text_width(strong, self._status)
            draw_text(painter, self._status, role=strong, color=ink, x=round(right), top=0, height=height)
            right -= 8
        x = 19.0 + icon
        if self._fact:
            fact = look.metrics(strong).elidedText(
                self._fact, Qt.TextElideMode.ElideRight, max(0.0, right - x)
            )
            x += draw_text(painter, fact, role=strong, color=ink, x=x, top=0, height=height) + 5
        if self._detail and right - x > 20:
            detail = look.metrics(body).elidedText(self._detail, Qt.TextElideMode.ElideRight, right - x)
            draw_text(painter, detail, role=body, color=ink, x=round(x), top=0, height=height)
        painter.end()
