"""The command palette: type a few letters of what you want, press Enter."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from PySide6.QtCore import (
    QEvent,
    QItemSelectionModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QRectF,
    QSize,
    Qt,
)
from PySide6.QtGui import QFocusEvent, QKeyEvent, QPainter
from PySide6.QtWidgets import (
    QListWidget,
    QListWidgetItem,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from console.core.commands import Command
from console.widgets.fields import SearchField
from console.widgets.paint import draw_box, draw_text, text_width
from console.widgets.theme import theme
from console.window.floating_card import FloatingCard

WIDTH = 560
ROW = 32
ROWS_SHOWN = 10
_COMMAND = Qt.ItemDataRole.UserRole


def matching(commands: Iterable[Command], words: str) -> list[Command]:
    """The commands that hold all `words`; those that begin with them first, otherwise in their order."""
    wanted = words.casefold().split()
    found = [one for one in commands if all(word in one.text.casefold() for word in wanted)]
    return sorted(found, key=lambda one: not one.text.casefold().startswith(words.casefold().strip()))


class CommandPalette(QWidget):
    """A sheet over the window; `open` takes the commands of the moment.

    Escape closes it, a click beside it, and whatever else takes the keyboard (a dialog, another list).
    """

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._host = parent
        self.setAccessibleName("Command palette")
        self._commands: list[Command] = []
        self._before: QWidget | None = None
        self._field = SearchField("Command")
        self._field.setAccessibleName("Command")
        self._field.textChanged.connect(self._fill)
        self._field.installEventFilter(self)
        self._list = QListWidget()
        self._list.setAccessibleName("Commands")
        self._list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._list.setStyleSheet("QListWidget { background: transparent; border: none; outline: none; }")
        self._list.setItemDelegate(_CommandDelegate(self._list))
        self._list.setMouseTracking(True)
        # Arrow keys move what is current; what is selected runs: by a click or by assistive technology.
        self._list.itemSelectionChanged.connect(self._run_selected)
        self._card = FloatingCard(self)
        layout = QVBoxLayout(self._card)
        layout.setContentsMargins(8, 8, 8, 8)
        layout.setSpacing(6)
        layout.addWidget(self._field)
        layout.addWidget(self._list)
        self.hide()

    def open(self, commands: list[Command]) -> None:
        self._commands = commands
        self._before = self.window().focusWidget()
        self._field.setText("")
        self._fill("")
        self.setGeometry(self._host.rect())
        self.show()
        self.raise_()
        self._field.setFocus(Qt.FocusReason.PopupFocusReason)

    def close_palette(self) -> None:
        self.hide()
        if self._before is not None:
            self._before.setFocus(Qt.FocusReason.PopupFocusReason)

    def _fill(self, words: str) -> None:
        # Clearing tells of a selection as well.
        self._list.blockSignals(True)
        self._list.clear()
        for command in matching(self._commands, words):
            item = QListWidgetItem(command.text)
            item.setData(_COMMAND, command)
            item.setSizeHint(QSize(0, ROW))
            if not command.enabled():
                item.setFlags(Qt.ItemFlag.NoItemFlags)
            self._list.addItem(item)
        if not self._list.count():
            nothing = QListWidgetItem("No command holds these words")
            nothing.setFlags(Qt.ItemFlag.NoItemFlags)
            nothing.setSizeHint(QSize(0, ROW))
            self._list.addItem(nothing)
        self._step(lambda row: row + 1, start=-1)
        self._list.blockSignals(False)
        shown = min(ROWS_SHOWN, self._list.count())
        self._card.setGeometry((self.width() - WIDTH) // 2, 52, WIDTH, 8 + 28 + 6 + shown * ROW + 10)

    def resizeEvent(self, _event: QEvent) -> None:
        self._card.move((self.width() - WIDTH) // 2, 52)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self._field and isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            key = event.key()
            if key == Qt.Key.Key_Down:
                self._step(lambda row: row + 1)
                return True
            if key == Qt.Key.Key_Up:
                self._step(lambda row: row - 1)
                return True
            if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self._run()
                return True
            if key in (Qt.Key.Key_Escape, Qt.Key.Key_Tab):
                self.close_palette()
                return True
        if watched is self._field and isinstance(event, QFocusEvent) and event.lostFocus():
            # Not while another window is in front, or a menu of the field's own.
            reasons = Qt.FocusReason
            if event.reason() not in (reasons.ActiveWindowFocusReason, reasons.PopupFocusReason):
                self.hide()
        return super().eventFilter(watched, event)

    def _step(self, move: Callable[[int], int], *, start: int | None = None) -> None:
        row = move(self._list.currentRow() if start is None else start)
        while 0 <= row < self._list.count():
            item = self._list.item(row)
            if item.flags() & Qt.ItemFlag.ItemIsEnabled:
                self._list.setCurrentRow(row, QItemSelectionModel.SelectionFlag.NoUpdate)
                return
            row = move(row)

    def _run_selected(self) -> None:
        if selected := self._list.selectedItems():
            self._list.setCurrentItem(selected[0], QItemSelectionModel.SelectionFlag.NoUpdate)
            self._run()

    def _run(self) -> None:
        item = self._list.currentItem()
        command = item.data(_COMMAND) if item is not None else None
        if isinstance(command, Command) and command.enabled():
            self.close_palette()
            command.run()

    def mousePressEvent(self, _event: QEvent) -> None:
        self.close_palette()


class _CommandDelegate(QStyledItemDelegate):
    def __init__(self, shown_in: QListWidget) -> None:
        super().__init__(shown_in)
        self._list = shown_in

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        look = theme()
        rect = QRectF(option.rect)
        enabled = bool(index.flags() & Qt.ItemFlag.ItemIsEnabled)
        if index.row() == self._list.currentRow():
            draw_box(painter, rect, fill=look.color("selection"))
        elif enabled and option.state & QStyle.StateFlag.State_MouseOver:
            draw_box(painter, rect, fill=look.color("hover"))
        ink = look.color("text" if enabled else "faint")
        text = index.data(Qt.ItemDataRole.DisplayRole)
        band = {"top": rect.top(), "height": rect.height()}
        draw_text(painter, text, role="body", color=ink, x=rect.left() + 10, **band)
        command = index.data(_COMMAND)
        if isinstance(command, Command) and command.shortcut:
            width = text_width("key", command.shortcut) + 10
            box = QRectF(rect.right() - width - 8, rect.top() + 8, width, 16)
            draw_box(painter, box, fill=look.color("key_cap"), radius=4)
            draw_text(
                painter, command.shortcut, role="key", color=look.color("muted"), x=box.left() + 5, **band
            )
