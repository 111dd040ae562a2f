"""A row at the foot of the sidebar: icon, word and a value, a key or a menu at the right."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QMenu, QWidget

from console.widgets.icons import draw_icon
from console.widgets.paint import draw_box, draw_text, text_width
from console.widgets.pressing import PlainButton
from console.widgets.style import ask_for_ring
from console.widgets.theme import repaint_on_change, theme

HEIGHT = 28


class FootRow(PlainButton):
    def __init__(
        self,
        text: str,
        *,
        icon: str,
        value: str = "",
        key: str = "",
        menu: QMenu | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setText(text)
        self.setAccessibleName(text)
        self._icon = icon
        self._value = value
        self._key = key
        self._menu = menu
        self.setFixedHeight(HEIGHT)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        ask_for_ring(self, "button")
        if menu is not None:
            self.clicked.connect(self._open_menu)
        repaint_on_change(self)

    def sizeHint(self) -> QSize:
        return QSize(0, HEIGHT)

    def set_value(self, value: str) -> None:
        self._value = value
        self.setAccessibleDescription(value)
        self.update()

    def set_icon(self, icon: str) -> None:
        self._icon = icon
        self.update()

    def _open_menu(self) -> None:
        if self._menu is not None:
            for action in self._menu.actions():
                action.setChecked(action.text() == self._value)
            self._menu.popup(self.mapToGlobal(self.rect().topRight()))

    def paintEvent(self, _event: QPaintEvent) -> None:
        look = theme()
        painter = QPainter(self)
        if self.underMouse():
            draw_box(painter, QRectF(self.rect()).adjusted(8, 0, -8, 0), fill=look.color("neutral_bg"))
        draw_icon(painter, self._icon, "muted", x=18, y=7, size=14)
        band = {"top": 0.0, "height": float(HEIGHT)}
        draw_text(painter, self.text(), role="label", color=look.color("muted"), x=42, **band)
        right = self.width() - 18.0
        if self._menu is not None:
            draw_icon(painter, "chevron-down", "text2", x=right - 10, y=8, size=12)
            right -= 14
        if self._value:
            width = text_width("label-name", self._value)
            draw_text(
                painter, self._value, role="label-name", color=look.color("text2"), x=right - width, **band
            )
        if self._key:
            width = text_width("key", self._key) + 10
            draw_box(painter, QRectF(right - width, 6, width, 16), fill=look.color("neutral_bg"), radius=4)
            draw_text(painter, self._key, role="key", color=look.color("muted"), x=right - width + 5, **band)
        painter.end()
