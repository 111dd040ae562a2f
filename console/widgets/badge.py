"""Badges, and state words with their icon.

They are labels with paint of their own: assistive technology knows a plain widget only as "filler".
"""

from typing import Literal

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QLabel, QSizePolicy, QWidget

from console.widgets.icons import draw_icon
from console.widgets.paint import draw_box, draw_text, text_width
from console.widgets.states import state_look
from console.widgets.theme import repaint_on_change, theme
from console.widgets.tokens import BADGE_HEIGHT, RADIUS_SMALL

Tone = Literal["ok", "warning", "error", "info", "neutral", "lost", "production", "production-inverse"]

_FILL = {
    "ok": "ok_bg",
    "warning": "warning_bg",
    "error": "error_bg",
    "info": "info_bg",
    "neutral": "neutral_bg",
    "lost": "lost_bg",
    "production": "production",
    "production-inverse": "on_accent",
}
_INK = {"production": "on_accent", "production-inverse": "danger"}
_PADDING = 7
_ICON = 17


def badge_width(text: str, *, icon: str | None) -> int:
    """The width in pixels of a badge with this content."""
    return round(text_width("badge", text)) + 2 * _PADDING + (_ICON if icon else 0)


def draw_badge(painter: QPainter, text: str, *, tone: str, icon: str | None, x: float, y: float) -> int:
    """Paint a badge of 20 px with its top left corner at x, y; returns its width. Tables use it as well."""
    look = theme()
    width = badge_width(text, icon=icon)
    fill = look.color(_FILL[tone])
    ink = look.color(_INK.get(tone, tone))
    draw_box(painter, QRectF(x, y, width, BADGE_HEIGHT), fill=fill, radius=RADIUS_SMALL)
    at = x + _PADDING
    if icon:
        draw_icon(painter, icon, ink, x=at, y=y + 4, size=12)
        at += _ICON
    draw_text(painter, text, role="badge", color=ink, x=at, top=y, height=BADGE_HEIGHT)
    return width


class Badge(QLabel):
    """A word on a tinted ground."""

    def __init__(
        self, text: str, *, tone: Tone = "neutral", icon: str | None = None, parent: QWidget | None = None
    ) -> None:
        super().__init__(text, parent)
        self._tone: Tone = tone
        self._icon = icon
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setAccessibleName(text)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        repaint_on_change(self)

    def set(self, text: str, *, tone: Tone = "neutral", icon: str | None = None) -> None:
        """Replace word, tone and icon."""
        if (text, tone, icon) != (self.text(), self._tone, self._icon):
            self._tone, self._icon = tone, icon
            self.setText(text)
            self.setAccessibleName(text)
            self.updateGeometry()
            self.update()

    def sizeHint(self) -> QSize:
        return QSize(badge_width(self.text(), icon=self._icon), BADGE_HEIGHT)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        draw_badge(
            painter, self.text(), tone=self._tone, icon=self._icon, x=0, y=(self.height() - BADGE_HEIGHT) // 2
        )
        painter.end()


_ENVIRONMENTS: dict[str, tuple[Tone, str | None]] = {
    "Development": ("info", None),
    "Staging": ("warning", None),
    "Production": ("production", "shield"),
}


def environment_look(environment: str) -> tuple[Tone, str | None]:
    """Tone and icon of an environment's badge. An unknown word is neutral."""
    return _ENVIRONMENTS.get(environment, ("neutral", None))


class EnvironmentBadge(Badge):
    """`Development`, `Staging` or `Production`; on the red bar Production is white with red words."""

    def __init__(self, environment: str, *, on_red: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(environment, parent=parent)
        self.set_environment(environment, on_red=on_red)

    def set_environment(self, environment: str, *, on_red: bool = False) -> None:
        """Replace the environment. An unknown word is neutral."""
        tone, icon = environment_look(environment)
        if tone == "production" and on_red:
            tone = "production-inverse"
        self.set(environment, tone=tone, icon=icon)


class StateBadge(Badge):
    """A state word as a badge."""

    def __init__(self, word: str, *, parent: QWidget | None = None) -> None:
        super().__init__(word, parent=parent)
        self.set_state(word)

    def set_state(self, word: str) -> None:
        """Replace the state."""
        look = state_look(word)
        self.set(word, tone=look.tone, icon=look.icon)  # type: ignore[arg-type]  # states only uses badge tones


class StateLabel(QLabel):
    """A state word with its icon, both in the state's colour, as in tables. On the red bar both are white."""

    def __init__(self, word: str, *, role: str = "name", parent: QWidget | None = None) -> None:
        super().__init__(word, parent)
        self._role = role
        self._ink: str | None = None
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setAccessibleName(word)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        repaint_on_change(self)

    def set_state(self, word: str, *, ink: str | None = None) -> None:
        """Replace the state; `ink` is a token that overrides its colour."""
        if (word, ink) != (self.text(), self._ink):
            self._ink = ink
            self.setText(word)
            self.setAccessibleName(word)
            self.updateGeometry()
            self.update()

    def sizeHint(self) -> QSize:
        return QSize(round(20 + text_width(self._role, self.text()) + 0.49), 20)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def paintEvent(self, _event: QPaintEvent) -> None:
        look = state_look(self.text())
        ink = theme().color(self._ink if self._ink is not None else look.color)
        painter = QPainter(self)
        draw_icon(painter, look.icon, ink, x=0, y=(self.height() - 14) // 2)
        draw_text(painter, self.text(), role=self._role, color=ink, x=20, top=0, height=self.height())
        painter.end()
