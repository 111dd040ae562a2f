"""The chooser of connections: a button that says where one is, and the list of where one could be.

A button and no combo box, because Qt gives a combo box its present choice as accessible name; a list inside
the window and no menu, because Qt hides menus that pop up from assistive technology.
"""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import (
    QEvent,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QKeyEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QFrame,
    QListWidget,
    QListWidgetItem,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from console.core.connection import Environment
from console.widgets.badge import badge_width, draw_badge, environment_look
from console.widgets.icons import draw_icon
from console.widgets.paint import draw_box, draw_field, draw_text, over_red
from console.widgets.pressing import PlainButton
from console.widgets.style import ask_for_ring
from console.widgets.theme import repaint_on_change, theme
from console.window.floating_card import FloatingCard

ROW = 32
ROWS_SHOWN = 12
WIDTH = 360
DOTS = {
    Environment.DEVELOPMENT: "st_started",
    Environment.STAGING: "ch_retrying",
    Environment.PRODUCTION: "danger",
}
_KEY = Qt.ItemDataRole.UserRole
_ENVIRONMENT = Qt.ItemDataRole.UserRole + 1
_DOT = Qt.ItemDataRole.UserRole + 2

Choice = tuple[str, str, Environment, str]
"""The id, the name, the environment, and the colour token of the dot ("" follows the environment)."""


class ConnectionChooser(PlainButton):
    """Emits `chosen(id)`."""

    chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.on_red = False
        self._dot = DOTS[Environment.DEVELOPMENT]
        self._choices: Sequence[Choice] = ()
        self._current = ""
        self._list: _Sheet | None = None
        self.setAccessibleName("Connection")
        self.setFixedSize(212, 28)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        ask_for_ring(self, "button")
        self.clicked.connect(self._open)
        repaint_on_change(self)

    def show_connections(self, choices: Sequence[Choice], current: str) -> None:
        if self._list is not None and (choices, current) != (self._choices, self._current):
            self._list.fill(choices, current)
        self._choices, self._current = choices, current
        for key, name, environment, dot in choices:
            if key == current:
                self._dot = dot or DOTS[environment]
                self.setText(name)
                self.setAccessibleDescription(name)
                self.setToolTip(name)
        self.update()

    def _open(self) -> None:
        if self._list is None:
            self._list = _Sheet(self.window())
            self._list.chosen.connect(self.chosen)
        if self._list.isVisible():
            self._list.close_list()
            return
        self._list.fill(self._choices, self._current)
        self._list.open_under(self)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Down, Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._open()
        else:
            super().keyPressEvent(event)

    def paintEvent(self, _event: QPaintEvent) -> None:
        look = theme()
        painter = QPainter(self)
        rect = QRectF(self.rect())
        draw_field(painter, rect, on_red=self.on_red, hovered=self.underMouse(), ground="raised")
        dot = over_red(255) if self.on_red else look.color(self._dot)
        draw_box(painter, QRectF(8, 10, 8, 8), fill=dot, radius=4)
        ink = look.color("on_accent" if self.on_red else "text")
        room = rect.width() - 52
        name = look.metrics("body").elidedText(self.text(), Qt.TextElideMode.ElideMiddle, room)
        draw_text(painter, name, role="body", color=ink, x=24, top=0, height=rect.height())
        arrow = ink if self.on_red else look.color("muted")
        draw_icon(painter, "chevron-down", arrow, x=rect.width() - 23, y=7)
        painter.end()


class _Sheet(QWidget):
    """The list over the window, with what lies beside it closing it."""

    chosen = Signal(str)

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self._window = window
        self._card = FloatingCard(self)
        self._list = _List(self)
        self._list.chosen.connect(self._choose)
        self._list.left.connect(self.close_list)
        self._before: QWidget | None = None
        layout = QVBoxLayout(self._card)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addWidget(self._list)
        self.hide()

    def fill(self, choices: Sequence[Choice], current: str) -> None:
        self._list.fill(choices, current)
        self._size()

    def open_under(self, button: QWidget) -> None:
        self._before = button
        self.setGeometry(self._window.rect())
        below = button.mapTo(self._window, QPoint(0, button.height() + 3))
        self._card.move(below)
        self._size()
        self.show()
        self.raise_()
        self._list.setFocus(Qt.FocusReason.PopupFocusReason)

    def _size(self) -> None:
        rows = min(ROWS_SHOWN, self._list.count())
        self._card.resize(WIDTH, rows * ROW + 14)

    def close_list(self) -> None:
        if self.isVisible():
            self.hide()
            if self._before is not None:
                self._before.setFocus(Qt.FocusReason.PopupFocusReason)

    def _choose(self, key: str) -> None:
        self.close_list()
        self.chosen.emit(key)

    def mousePressEvent(self, _event: QEvent) -> None:
        self.close_list()


class _List(QListWidget):
    """Arrow keys move what is current; what is selected (by a click, by assistive technology) is chosen."""

    chosen = Signal(str)
    left = Signal()

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setAccessibleName("Connections to choose")
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setStyleSheet("QListWidget { background: transparent; border: none; outline: none; }")
        self.setMouseTracking(True)
        self.setItemDelegate(_ChoiceDelegate(self))
        self.itemSelectionChanged.connect(self._follow)

    def fill(self, choices: Sequence[Choice], current: str) -> None:
        self.blockSignals(True)
        self.clear()
        for key, name, environment, dot in choices:
            item = QListWidgetItem(name)
            item.setData(_KEY, key)
            item.setData(_ENVIRONMENT, environment.value)
            item.setData(_DOT, dot or DOTS[environment])
            item.setToolTip(f"{name}, {environment.value}")
            item.setSizeHint(QSize(0, ROW))
            self.addItem(item)
            if key == current:
                self.setCurrentItem(item, QItemSelectionModel.SelectionFlag.NoUpdate)
        self.blockSignals(False)

    def _follow(self) -> None:
        selected = self.selectedItems()
        if selected:
            self.blockSignals(True)
            self.clearSelection()
            self.blockSignals(False)
            self.chosen.emit(selected[0].data(_KEY))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = event.key()
        if key in (Qt.Key.Key_Up, Qt.Key.Key_Down):
            row = self.currentRow() + (1 if key == Qt.Key.Key_Down else -1)
            if 0 <= row < self.count():
                self.setCurrentRow(row, QItemSelectionModel.SelectionFlag.NoUpdate)
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            if (item := self.currentItem()) is not None:
                self.chosen.emit(item.data(_KEY))
        elif key in (Qt.Key.Key_Escape, Qt.Key.Key_Tab):
            self.left.emit()
        elif event.text().strip():
            self._jump(event.text().casefold())
        event.accept()

    def _jump(self, letter: str) -> None:
        """To the next name that begins with `letter`."""
        for step in range(1, self.count() + 1):
            row = (self.currentRow() + step) % self.count()
            if self.item(row).text().casefold().startswith(letter):
                self.setCurrentRow(row, QItemSelectionModel.SelectionFlag.NoUpdate)
                return


class _ChoiceDelegate(QStyledItemDelegate):
    def __init__(self, shown_in: QListWidget) -> None:
        super().__init__(shown_in)
        self._list = shown_in

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        look = theme()
        rect = QRectF(option.rect)
        if index.row() == self._list.currentRow():
            draw_box(painter, rect, fill=look.color("selection"))
        elif option.state & QStyle.StateFlag.State_MouseOver:
            draw_box(painter, rect, fill=look.color("hover"))
        dot = QRectF(rect.left() + 10, rect.top() + (ROW - 8) / 2, 8, 8)
        draw_box(painter, dot, fill=look.color(index.data(_DOT)), radius=4)
        environment = index.data(_ENVIRONMENT)
        tone, icon = environment_look(environment)
        width = badge_width(environment, icon=icon)
        right = rect.right() - width - 8
        draw_badge(painter, environment, tone=tone, icon=icon, x=right, y=rect.top() + 6)
        name = index.data(Qt.ItemDataRole.DisplayRole)
        room = right - rect.left() - 36
        words = look.metrics("body").elidedText(name, Qt.TextElideMode.ElideMiddle, room)
        draw_text(
            painter,
            words,
            role="body",
            color=look.color("text"),
            x=rect.left() + 28,
            top=rect.top(),
            height=ROW,
        )
