"""The connection bar: where one is, whether the line is up, what kind of place it is. Red on Production."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

from PySide6.QtCore import QEvent, QRectF, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QMenu, QSizePolicy, QWidget

from console.core.connection import Environment, LinkState, Mode
from console.widgets.badge import Badge, EnvironmentBadge, StateLabel, Tone
from console.widgets.icons import draw_icon, logo_pixmap
from console.widgets.label import Text
from console.widgets.paint import draw_box, draw_field, draw_text, over_red, text_width
from console.widgets.pressing import PlainButton
from console.widgets.style import ask_for_ring
from console.widgets.theme import repaint_on_change, theme
from console.window.connection_chooser import Choice, ConnectionChooser

HEIGHT = 44
COUNT_MS = 200
MODE_ICONS = {Mode.FULL: None, Mode.SUPPORT: "redo-2", Mode.READ_ONLY: "lock"}


@dataclass(frozen=True, slots=True)
class BarState:
    """Everything the bar shows. `retry_at` is when the line is tried again, while it is down."""

    connections: tuple[Choice, ...]
    chosen: str
    environment: Environment
    state: LinkState
    latency_ms: float | None
    mode: Mode = Mode.FULL
    retry_at: datetime | None = None


class ConnectionBar(QWidget):
    """Emits `connection_chosen(id)`, what was pressed, and `palette_asked`."""

    connection_chosen = Signal(str)
    connect_pressed = Signal()
    disconnect_pressed = Signal()
    retry_pressed = Signal()
    palette_asked = Signal()

    def __init__(self, menu: QMenu, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedHeight(HEIGHT)
        self._on_red = False
        self._open = False
        self._brand = _Brand(menu)
        self._chooser = ConnectionChooser()
        self._chooser.chosen.connect(self.connection_chosen)
        self._badge = EnvironmentBadge(Environment.DEVELOPMENT.value)
        self._state = StateLabel(LinkState.DISCONNECTED.value)
        self._mode = Badge("")
        self._mode.hide()
        self._latency = Text("", role="label", tone="muted")
        self._retry_at: datetime | None = None
        self._countdown = QTimer(self)
        self._countdown.setInterval(COUNT_MS)
        self._countdown.timeout.connect(self._count_down)
        self._retry = _BarButton("Try now")
        self._retry.setToolTip("Do not wait for the next try")
        self._retry.clicked.connect(self.retry_pressed)
        self._retry.hide()
        self._palette = _PaletteButton()
        self._palette.clicked.connect(self.palette_asked)
        self._button = _BarButton("Connect")
        self._button.clicked.connect(self._pressed)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 12, 0)
        layout.setSpacing(10)
        layout.addWidget(self._brand)
        layout.addSpacing(2)
        layout.addWidget(self._chooser)
        layout.addWidget(self._badge)
        layout.addWidget(self._mode)
        layout.addWidget(self._state)
        layout.addWidget(self._latency)
        layout.addWidget(self._retry)
        layout.addStretch(1)
        layout.addWidget(self._palette, 1000)  # takes what there is up to its greatest width
        layout.addWidget(self._button)
        repaint_on_change(self)

    def show_state(self, state: BarState) -> None:
        self._on_red = state.environment is Environment.PRODUCTION
        self._open = state.state is not LinkState.DISCONNECTED
        self._chooser.show_connections(state.connections, state.chosen)
        self._badge.set_environment(state.environment.value, on_red=self._on_red)
        self._state.set_state(state.state.value, ink="on_accent" if self._on_red else None)
        self._state.setToolTip(f"Connection state: {state.state.value}")
        tone: Tone = "production-inverse" if self._on_red else "neutral"
        self._mode.set(state.mode.value, tone=tone, icon=MODE_ICONS[state.mode])
        self._mode.setVisible(state.mode is not Mode.FULL)
        self._retry_at = state.retry_at
        latency = "" if state.latency_ms is None else f"{max(1, round(state.latency_ms)):,} ms"
        self._latency.set_text(latency)
        self._latency.set_tone("on_accent" if self._on_red else "muted")
        self._retry.setVisible(state.retry_at is not None)
        if state.retry_at is None:
            self._countdown.stop()
        else:
            self._count_down()
            self._countdown.start()
        self._button.set_word("Disconnect" if self._open else "Connect")
        for widget in (self._brand, self._chooser, self._palette, self._button, self._retry):
            widget.on_red = self._on_red
            widget.update()
        self.update()

    def _count_down(self) -> None:
        if self._retry_at is not None:
            left_s = max(0.0, (self._retry_at - datetime.now(UTC)).total_seconds())
            self._latency.set_text(f"again in {math.ceil(left_s)} s" if left_s else "trying")

    def _pressed(self) -> None:
        (self.disconnect_pressed if self._open else self.connect_pressed).emit()

    def focus_chooser(self) -> None:
        self._chooser.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def open_menu(self) -> None:
        self._brand.open_menu()

    def paintEvent(self, _event: QPaintEvent) -> None:
        look = theme()
        painter = QPainter(self)
        painter.fillRect(self.rect(), look.color("production" if self._on_red else "surface"))
        line = look.color("production_line" if self._on_red else "border")
        painter.fillRect(QRectF(0, self.height() - 1, self.width(), 1), line)
        painter.end()


class _Brand(PlainButton):
    """Logo and name; pressing it opens the program's menu."""

    def __init__(self, menu: QMenu) -> None:
        super().__init__()
        self.on_red = False
        self._menu = menu
        self.setText("Menu")
        self.setAccessibleName("Menu")
        self.setToolTip("Menu (F10)")
        self.setFixedSize(192, HEIGHT - 1)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.clicked.connect(self.open_menu)

    def open_menu(self) -> None:
        self._menu.popup(self.mapToGlobal(self.rect().bottomLeft()))

    def paintEvent(self, _event: QPaintEvent) -> None:
        look = theme()
        painter = QPainter(self)
        if self.underMouse() or self.hasFocus() or self._menu.isVisible():
            fill = over_red(36) if self.on_red else look.color("hover")
            draw_box(painter, QRectF(8, 6, 176, 32), fill=fill)
        ratio = self.devicePixelRatioF()
        painter.drawPixmap(16, 12, logo_pixmap(size=20, ratio=ratio, white=self.on_red))
        ink = look.color("on_accent" if self.on_red else "text")
        draw_text(painter, "Celery Console", role="dialog", color=ink, x=45, top=0, height=HEIGHT)
        if self.underMouse() or self.hasFocus():
            arrow = "on_accent" if self.on_red else "muted"
            draw_icon(painter, "chevron-down", arrow, x=164, y=16, size=12)
        painter.end()


class _PaletteButton(PlainButton):
    """Looks like the search field that it opens."""

    def __init__(self) -> None:
        super().__init__()
        self.on_red = False
        self.setText("Search or run a command")
        self.setAccessibleName("Search or run a command")
        self.setToolTip("Command palette (Ctrl+K)")
        self.setFixedHeight(28)
        self.setMinimumWidth(120)
        self.setMaximumWidth(264)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        ask_for_ring(self, "button")

    def paintEvent(self, _event: QPaintEvent) -> None:
        look = theme()
        painter = QPainter(self)
        rect = QRectF(self.rect())
        draw_field(painter, rect, on_red=self.on_red, hovered=self.underMouse(), ground="surface")
        ink = look.color("on_accent" if self.on_red else "muted")
        draw_icon(painter, "search", ink, x=9, y=7)
        width = text_width("key", "Ctrl+K") + 10
        room = rect.width() - width - 45
        words = look.metrics("body").elidedText(self.text(), Qt.TextElideMode.ElideRight, room)
        draw_text(painter, words, role="body", color=ink, x=29, top=0, height=rect.height())
        cap = QColor(0, 0, 0, 70) if self.on_red else look.color("key_cap")
        draw_box(painter, QRectF(rect.width() - width - 8, 6, width, 16), fill=cap, radius=4)
        draw_text(
            painter,
            "Ctrl+K",
            role="key",
            color=ink,
            x=rect.width() - width - 3,
            top=0,
            height=rect.height(),
        )
        painter.end()


class _BarButton(PlainButton):
    """Connect or Disconnect: a button that is readable on the red bar as well."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self.on_red = False
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        ask_for_ring(self, "button")
        self.set_word(word)
        repaint_on_change(self)

    def set_word(self, word: str) -> None:
        if word != self.text():
            self.setText(word)
            self.setAccessibleName(word)
            self.setFixedSize(self.sizeHint())

    def sizeHint(self) -> QSize:
        return QSize(round(text_width("name", self.text()) + 0.49) + 24, 28)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        self.update()

    def paintEvent(self, _event: QPaintEvent) -> None:
        look = theme()
        painter = QPainter(self)
        rect = QRectF(self.rect())
        if self.on_red:
            draw_box(painter, rect, fill=over_red(30 if self.underMouse() else 0), border=over_red(140))
        else:
            fill = "selection" if self.isDown() else "hover" if self.underMouse() else "raised"
            draw_box(painter, rect, fill=look.color(fill), border=look.color("border_strong"))
        ink = look.color("on_accent" if self.on_red else "text")
        width = text_width("name", self.text())
        draw_text(
            painter,
            self.text(),
            role="name",
            color=ink,
            x=round((rect.width() - width) / 2),
            top=0,
            height=rect.height(),
        )
        painter.end()
