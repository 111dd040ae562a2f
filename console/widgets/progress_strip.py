"""A line that says how far a long piece of work is, with a bar and a way to end it."""

from PySide6.QtCore import QRectF, Signal
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QWidget

from console.widgets.button import Button
from console.widgets.icons import draw_icon
from console.widgets.label import Text
from console.widgets.paint import draw_box
from console.widgets.theme import repaint_on_change, theme

_HEIGHT = 42
_BAR_WIDTH = 160
_ICONS = {"ok": "circle-check", "warning": "triangle-alert", "error": "circle-alert", "info": "info"}


class _Bar(QWidget):
    def __init__(self) -> None:
        super().__init__()
        self.share: float | None = None
        self.setFixedSize(_BAR_WIDTH, 16)
        repaint_on_change(self)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        track = QRectF(0, 5, self.width(), 6)
        draw_box(painter, track, fill=theme().color("border"), radius=3)
        if self.share:
            done = QRectF(0, 5, max(6.0, self.width() * self.share), 6)
            draw_box(painter, done, fill=theme().color("accent"), radius=3)
        painter.end()


class ProgressStrip(QWidget):
    """Hidden until there is something to say. `action_clicked`: its button, `Cancel` or `Close`, was
    pressed.
    """

    action_clicked = Signal()

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tone = "info"
        self.setAccessibleName(name)
        self._words = Text(role="strong")
        self._detail = Text()
        self._bar = _Bar()
        self._action = Button("Cancel", small=True)
        self._action.clicked.connect(self.action_clicked)
        self.setFixedHeight(_HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(35, 0, 11, 0)
        layout.setSpacing(8)
        layout.addWidget(self._words)
        layout.addWidget(self._detail, 1)
        layout.addWidget(self._bar)
        layout.addWidget(self._action)
        self.hide()
        repaint_on_change(self)

    def show_progress(self, words: str, detail: str, share: float | None) -> None:
        """Work goes on; `share` from 0 to 1, None when nobody knows."""
        self._say("info", words, detail, "Cancel")
        self._bar.share = share
        self._bar.setVisible(share is not None)
        self._bar.update()

    def show_outcome(self, tone: str, words: str, detail: str = "") -> None:
        """It has ended: tone `ok`, `warning` or `error`."""
        self._say(tone, words, detail, "Close")
        self._bar.hide()

    def clear(self) -> None:
        """Nothing to say."""
        self.hide()

    def _say(self, tone: str, words: str, detail: str, action: str) -> None:
        self._tone = tone
        self._words.set_text(words)
        self._detail.set_text(detail)
        self._detail.setToolTip(detail if len(detail) > 60 else "")
        if self._action.text() != action:
            self._action.set_text(action)
        self.setAccessibleDescription(f"{words} {detail}".strip())
        self.show()
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        look = theme()
        painter = QPainter(self)
        fill, border = look.color(f"{self._tone}_bg"), look.color(f"{self._tone}_border")
        draw_box(painter, QRectF(self.rect()), fill=fill, border=border)
        draw_icon(painter, _ICONS[self._tone], self._tone, x=11, y=(self.height() - 16) // 2, size=16)
        painter.end()
