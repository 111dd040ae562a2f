"""The list of suggestions under a field: shown while somebody types, chosen from without leaving the field.

It is a child of the window and no window of its own: a popup window would take the keyboard from the field
and hang assistive technology in a loop of its own.
"""

from collections.abc import Sequence
from typing import Protocol

from PySide6.QtCore import (
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QRectF,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QListWidget,
    QListWidgetItem,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from console.widgets.paint import draw_box, draw_text, text_width
from console.widgets.theme import repaint_on_change, theme
from console.widgets.tokens import RADIUS_SMALL

ROW_HEIGHT = 26
ROWS_SHOWN = 10
_WIDEST = 560
_NARROWEST = 320
_PADDING = 5
_DETAIL = Qt.ItemDataRole.UserRole


class Suggestion(Protocol):
    """`insert` is what is put into the field, `label` what is shown, `detail` says more of it."""

    @property
    def insert(self) -> str: ...
    @property
    def label(self) -> str: ...
    @property
    def detail(self) -> str: ...


class SuggestionList(QWidget):
    """Shows suggestions under a field. `chosen(number)`: a press, or what assistive technology selected.

    The field keeps the keyboard and calls `step`.
    """

    chosen = Signal(int)

    def __init__(self, field: QWidget) -> None:
        super().__init__(field.window())
        self._field = field
        self._list = QListWidget()
        self._list.setAccessibleName("Suggestions")
        self._list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._list.setStyleSheet("QListWidget { background: transparent; border: none; outline: none; }")
        self._list.setItemDelegate(_Delegate(self._list))
        self._list.setMouseTracking(True)
        self._list.setUniformItemSizes(True)
        self._list.itemSelectionChanged.connect(self._on_selected)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(_PADDING, _PADDING, _PADDING, _PADDING)
        layout.addWidget(self._list)
        self.hide()
        repaint_on_change(self)

    def show_items(self, items: Sequence[Suggestion]) -> None:
        """Show these, none of them current; hides when there are none."""
        self._list.blockSignals(True)
        self._list.clear()
        for one in items:
            item = QListWidgetItem(one.label)
            item.setData(_DETAIL, one.detail)
            item.setSizeHint(QSize(0, ROW_HEIGHT))
            item.setData(Qt.ItemDataRole.AccessibleTextRole, ", ".join(filter(None, (one.label, one.detail))))
            self._list.addItem(item)
        self._list.setCurrentRow(-1)
        self._list.blockSignals(False)
        if not items:
            self.hide()
            return
        self._place(items)
        self.show()
        self.raise_()

    def current(self) -> int:
        """The number of the current suggestion, -1 for none."""
        return self._list.currentRow()

    def current_words(self) -> str:
        """What assistive technology is told of the current suggestion."""
        item = self._list.currentItem()
        return "" if item is None else str(item.data(Qt.ItemDataRole.AccessibleTextRole))

    def step(self, by: int) -> None:
        """Make another one current, round the end."""
        count = self._list.count()
        if count:
            row = self._list.currentRow()
            row = (0 if by > 0 else count - 1) if row < 0 else (row + by) % count
            index = self._list.model().index(row, 0)
            # Current, not selected: to select is to choose.
            self._list.selectionModel().setCurrentIndex(index, QItemSelectionModel.SelectionFlag.NoUpdate)
            self._list.scrollTo(index)

    def _place(self, items: Sequence[Suggestion]) -> None:
        widest = max(text_width("mono", one.label) + text_width("label", one.detail) for one in items)
        width = round(min(_WIDEST, max(_NARROWEST, widest + 64)))
        height = min(ROWS_SHOWN, len(items)) * ROW_HEIGHT + 2 * _PADDING
        below = self._field.mapTo(self._field.window(), QPoint(0, self._field.height() + 4))
        self.setGeometry(below.x(), below.y(), min(width, self._field.window().width() - below.x()), height)

    def _on_selected(self) -> None:
        rows = [index.row() for index in self._list.selectedIndexes()]
        if rows:
            self.chosen.emit(rows[0])

    def mousePressEvent(self, event: QMouseEvent) -> None:
        event.accept()

    def paintEvent(self, _event: QPaintEvent) -> None:
        look = theme()
        painter = QPainter(self)
        draw_box(painter, QRectF(self.rect()), fill=look.color("raised"), border=look.color("border_strong"))
        painter.end()


class _Delegate(QStyledItemDelegate):
    """The words in mono, what they mean muted at the right."""

    def __init__(self, view: QListWidget) -> None:
        super().__init__(view)
        self._view = view

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        look = theme()
        rect = QRectF(option.rect)
        hovered = bool(option.state & QStyle.StateFlag.State_MouseOver)
        if index.row() == self._view.currentRow():
            draw_box(painter, rect, fill=look.color("selection"), radius=RADIUS_SMALL)
        elif hovered:
            draw_box(painter, rect, fill=look.color("hover"), radius=RADIUS_SMALL)
        detail = str(index.data(_DETAIL) or "")
        beside = text_width("label", detail) + 16 if detail else 0
        x = rect.x() + 8
        label = look.metrics("mono").elidedText(
            str(index.data()), Qt.TextElideMode.ElideMiddle, max(40.0, rect.width() - 16 - beside)
        )
        width = draw_text(
            painter, label, role="mono", color=look.color("text"), x=x, top=rect.y(), height=rect.height()
        )
        room = rect.right() - 8 - x - width - 12
        if detail and room > 20:
            words = look.metrics("label").elidedText(detail, Qt.TextElideMode.ElideRight, room)
            at = rect.right() - 8 - text_width("label", words)
            draw_text(
                painter,
                words,
                role="label",
                color=look.color("muted"),
                x=round(at),
                top=rect.y(),
                height=rect.height(),
            )
