"""The sidebar: the list of pages with what is worth knowing about each, the theme and the keyboard help."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QActionGroup, QFocusEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QListWidget,
    QListWidgetItem,
    QMenu,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from console.widgets.badge import badge_width, draw_badge
from console.widgets.icons import draw_icon
from console.widgets.paint import draw_box, draw_ring, draw_text, text_width
from console.widgets.theme import repaint_on_change, theme
from console.widgets.tokens import RADIUS
from console.window.sidebar_foot import FootRow

WIDTH = 192
ROW = 34
SEPARATOR = 15
_NOUN = Qt.ItemDataRole.UserRole
_ICON = Qt.ItemDataRole.UserRole + 1
_BADGE = Qt.ItemDataRole.UserRole + 2
_SEPARATED = Qt.ItemDataRole.UserRole + 3
_BADGE_ICONS = {"warning": "triangle-alert"}
SCHEMES = {"system": "System", "light": "Light", "dark": "Dark"}


@dataclass(frozen=True, slots=True)
class NavItem:
    """A page in the sidebar; `separated` puts a line above it."""

    noun: str
    title: str
    icon: str
    separated: bool = False


class Sidebar(QWidget):
    """Emits `chosen(noun)` when a person goes to another page, `entered` when Return goes into it,
    `scheme_chosen` and `keyboard_asked`.
    """

    chosen = Signal(str)
    scheme_chosen = Signal(str)
    keyboard_asked = Signal()
    entered = Signal()

    def __init__(self, items: list[NavItem], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFixedWidth(WIDTH)
        self._list = _NavList(items)
        self._list.went_to.connect(self.chosen)
        self._list.entered.connect(self.entered)
        self._theme_row = FootRow("Theme", icon="sun", value="System", menu=self._theme_menu())
        keyboard = FootRow("Keyboard", icon="keyboard", key="F1")
        keyboard.clicked.connect(self.keyboard_asked)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 9, 0, 8)
        layout.setSpacing(0)
        layout.addWidget(self._list, 1)
        layout.addWidget(self._theme_row)
        layout.addWidget(keyboard)
        repaint_on_change(self)

    def _theme_menu(self) -> QMenu:
        menu = QMenu(self)
        group = QActionGroup(menu)
        for key, word in SCHEMES.items():
            action = menu.addAction(word)
            action.setCheckable(True)
            action.setData(key)
            group.addAction(action)
        group.triggered.connect(lambda action: self.scheme_chosen.emit(action.data()))
        return menu

    def show_scheme(self, scheme: str) -> None:
        self._theme_row.set_value(SCHEMES[scheme])
        self._theme_row.set_icon("moon" if theme().tokens.is_dark else "sun")

    def select(self, noun: str) -> None:
        """Show `noun` as the present page without emitting."""
        self._list.blockSignals(True)
        self._list.select(noun)
        self._list.blockSignals(False)
        self._list.viewport().update()

    def set_badge(self, noun: str, text: str, tone: str) -> None:
        """What stands behind a page's word; a tone of "" is plain muted text."""
        self._list.set_badge(noun, text, tone)

    def allow(self, nouns: frozenset[str] | None) -> None:
        """Show these pages only; None shows all."""
        self._list.allow(nouns)

    def take_focus(self) -> None:
        """Hold the keyboard at the start, without a ring before anybody has pressed a key."""
        self._list.setFocus(Qt.FocusReason.OtherFocusReason)

    def focus_list(self) -> None:
        self._list.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def paintEvent(self, _event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), theme().color("bg"))
        painter.fillRect(QRectF(self.width() - 1, 0, 1, self.height()), theme().color("border"))
        painter.end()


class _NavList(QListWidget):
    """The list itself. `went_to` follows the selection, which is what assistive technology sets."""

    went_to = Signal(str)
    entered = Signal()

    def __init__(self, items: list[NavItem]) -> None:
        super().__init__()
        self.setAccessibleName("Pages")
        self.setFrameShape(QListWidget.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setMouseTracking(True)
        self.setUniformItemSizes(False)
        self.setItemDelegate(_NavDelegate(self))
        self.viewport().setAutoFillBackground(False)
        self.setStyleSheet("QListWidget { background: transparent; border: none; outline: none; }")
        self.by_keyboard = False
        self._rows: dict[str, QListWidgetItem] = {}
        for item in items:
            row = QListWidgetItem(item.title)
            row.setData(_NOUN, item.noun)
            row.setData(_ICON, item.icon)
            row.setData(_SEPARATED, item.separated)
            row.setSizeHint(QSize(0, ROW + (SEPARATOR if item.separated else 0)))
            self.addItem(row)
            self._rows[item.noun] = row
        self.itemSelectionChanged.connect(self._follow)
        repaint_on_change(self.viewport())

    def focusInEvent(self, event: QFocusEvent) -> None:
        reasons = Qt.FocusReason
        self.by_keyboard = event.reason() in (
            reasons.TabFocusReason,
            reasons.BacktabFocusReason,
            reasons.ShortcutFocusReason,
        )
        super().focusInEvent(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        self.by_keyboard = True
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Right):
            self.entered.emit()
            event.accept()
            return
        super().keyPressEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.by_keyboard = False
        super().mousePressEvent(event)

    def _follow(self) -> None:
        if not (selected := self.selectedItems()):
            return
        self.blockSignals(True)
        self.setCurrentItem(selected[-1])
        self.blockSignals(False)
        self.went_to.emit(selected[-1].data(_NOUN))

    def select(self, noun: str) -> None:
        if noun in self._rows:
            self.setCurrentItem(self._rows[noun])

    def allow(self, nouns: frozenset[str] | None) -> None:
        for noun, row in self._rows.items():
            row.setHidden(nouns is not None and noun not in nouns)

    def set_badge(self, noun: str, text: str, tone: str) -> None:
        row = self._rows.get(noun)
        if row is not None and row.data(_BADGE) != (text, tone):
            row.setData(_BADGE, (text, tone))
            row.setToolTip(f"{row.text()}: {text}" if text else "")


class _NavDelegate(QStyledItemDelegate):
    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        look = theme()
        rect = QRectF(option.rect)
        if index.data(_SEPARATED):
            line = QRectF(rect.left() + 18, rect.top() + SEPARATOR // 2, rect.width() - 36, 1)
            painter.fillRect(line, look.color("border"))
            rect.setTop(rect.top() + SEPARATOR)
        state = option.state
        selected = bool(state & QStyle.StateFlag.State_Selected)
        focused = bool(state & QStyle.StateFlag.State_HasFocus)
        box = rect.adjusted(8, 1, -8, -1)
        if selected:
            draw_box(painter, box, fill=look.color("selection"))
            draw_box(painter, QRectF(box.left(), box.top() + 8, 3, 16), fill=look.color("link"), radius=1.5)
        elif state & QStyle.StateFlag.State_MouseOver:
            draw_box(painter, box, fill=look.color("neutral_bg"))
        nav = option.widget
        if selected and focused and isinstance(nav, _NavList) and nav.hasFocus() and nav.by_keyboard:
            draw_ring(painter, box, color=look.color("focus"), width=2, radius=RADIUS)
        ink = "link" if selected else "muted"
        draw_icon(painter, index.data(_ICON), ink, x=rect.left() + 18, y=rect.top() + 9, size=16)
        role, text_ink = ("strong", "text") if selected else ("name", "text2")
        draw_text(
            painter,
            index.data(Qt.ItemDataRole.DisplayRole),
            role=role,
            color=look.color(text_ink),
            x=rect.left() + 44,
            top=rect.top(),
            height=rect.height(),
        )
        self._paint_badge(painter, rect, index)

    def _paint_badge(
        self, painter: QPainter, rect: QRectF, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        text, tone = index.data(_BADGE) or ("", "")
        if not text:
            return
        right = rect.right() - 17
        if tone in ("", "neutral"):
            width = text_width("label", text)
            color = theme().color("muted")
            draw_text(
                painter,
                text,
                role="label",
                color=color,
                x=right - width,
                top=rect.top(),
                height=rect.height(),
            )
            return
        icon = _BADGE_ICONS.get(tone)
        width = badge_width(text, icon=icon)
        draw_badge(painter, text, tone=tone, icon=icon, x=right - width, y=rect.top() + 7)
