"""A tree in the look of the tables: our chevrons, tints and focus ring on Qt's own tree and its keyboard."""

from __future__ import annotations

from PySide6.QtCore import (
    QEvent,
    QModelIndex,
    QPersistentModelIndex,
    QRect,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QKeyEvent, QKeySequence, QMouseEvent, QPainter, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTreeView,
    QWidget,
)

from console.widgets.icons import draw_icon
from console.widgets.overlay_bar import OverlayBar
from console.widgets.paint import draw_text, text_width
from console.widgets.style import ask_for_ring
from console.widgets.theme import repaint_on_change, theme
from console.widgets.tokens import HEADER_HEIGHT

INDENT = 14
EXPANDED_AT_ONCE = 500

Index = QModelIndex | QPersistentModelIndex


class BranchDelegate(QStyledItemDelegate):
    """Rows of one height; what stands in them is painted by who inherits."""

    def __init__(self, row_height: int) -> None:
        super().__init__()
        self._row_height = row_height

    def sizeHint(self, _option: QStyleOptionViewItem, _index: Index) -> QSize:
        return QSize(60, self._row_height)


class _Head(QHeaderView):
    """28 px, sunken, in muted words; the model says which stand at the right."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(Qt.Orientation.Horizontal, parent)
        self.setFixedHeight(HEADER_HEIGHT)
        self.setStretchLastSection(False)
        self.setMinimumSectionSize(28)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)

    def paintSection(self, painter: QPainter, rect: QRect, logical: int) -> None:
        look = theme()
        painter.fillRect(rect, look.color("sunken"))
        painter.fillRect(rect.x(), rect.y() + rect.height() - 1, rect.width(), 1, look.color("border"))
        sideways = Qt.Orientation.Horizontal
        title = str(self.model().headerData(logical, sideways))
        side = self.model().headerData(logical, sideways, Qt.ItemDataRole.TextAlignmentRole)
        x: float = rect.x() + (12 if logical == 0 else 4)
        if side == Qt.AlignmentFlag.AlignRight:
            x = rect.right() - 5 - text_width("header", title)
        draw_text(
            painter, title, role="header", color=look.color("muted"), x=x, top=rect.y(), height=rect.height()
        )


class BranchTree(QTreeView):
    """`name` is its accessible name. Return and double click activate; `*` opens at most 500 rows."""

    activated_index = Signal(QModelIndex)
    copy_wanted = Signal()

    def __init__(self, name: str, delegate: BranchDelegate, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self._delegate = delegate
        delegate.setParent(self)
        self.setItemDelegate(delegate)
        self.setHeaderHidden(True)
        self.setUniformRowHeights(True)
        self.setIndentation(INDENT)
        self.setMouseTracking(True)
        self.setAllColumnsShowFocus(True)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setExpandsOnDoubleClick(False)
        self.setTabKeyNavigation(False)
        self.setMinimumHeight(24)
        self._bar = OverlayBar(self)
        self._hovered = QPersistentModelIndex()
        self.doubleClicked.connect(self._on_double_click)
        ask_for_ring(self, "table")
        repaint_on_change(self.viewport())

    def show_head(self) -> None:
        """Show the column heads, in the look of the tables."""
        self.setHeader(_Head(self))
        self.setHeaderHidden(False)

    def expand_some(self, index: QModelIndex, *, rows: int = EXPANDED_AT_ONCE) -> None:
        """Open `index` and what is below it, nearest first, until so many rows are open."""
        model = self.model()
        waiting = [index]
        left = rows
        while waiting and left > 0:
            one = waiting.pop(0)
            count = model.rowCount(one)
            left -= count
            if count and left >= 0:
                self.expand(one)
                waiting += [model.index(row, 0, one) for row in range(count)]

    def collapse_below(self, index: QModelIndex) -> None:
        """Close `index` and what was opened below it."""
        model = self.model()
        waiting = [index]
        while waiting:
            one = waiting.pop()
            if self.isExpanded(one):
                waiting += [model.index(row, 0, one) for row in range(model.rowCount(one))]
                self.collapse(one)

    def _on_double_click(self, index: QModelIndex) -> None:
        self.activated_index.emit(index)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        index = self.currentIndex()
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and index.isValid():
            self.activated_index.emit(index)
        elif event.matches(QKeySequence.StandardKey.Copy):
            self.copy_wanted.emit()
        elif event.key() == Qt.Key.Key_Asterisk and index.isValid():
            # Qt's own opens everything below, which may be a hundred thousand rows.
            self.expand_some(index)
        else:
            super().keyPressEvent(event)
            return
        event.accept()

    # Its look.

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._hover(self.indexAt(event.position().toPoint()))
        super().mouseMoveEvent(event)

    def viewportEvent(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Leave:
            self._hover(QModelIndex())
        return super().viewportEvent(event)

    def _hover(self, index: QModelIndex) -> None:
        first = index.siblingAtColumn(0)
        if self._hovered != first:
            self._hovered = QPersistentModelIndex(first)
            self.viewport().update()

    def drawRow(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        look, here = theme(), _plain(index)
        selected = self.selectionModel().isSelected(here)
        hovered = self._hovered == here.siblingAtColumn(0)
        rect: QRect = option.rect
        row = QRect(0, rect.y(), self.viewport().width(), rect.height())
        painter.fillRect(row, look.color("selection" if selected else "hover" if hovered else "surface"))
        if selected:
            painter.fillRect(0, rect.y(), 3, rect.height(), look.color("link"))
        super().drawRow(painter, option, index)

    def drawBranches(self, painter: QPainter, rect: QRect, index: Index) -> None:
        here = _plain(index)
        if not self.model().hasChildren(here):
            return
        icon = "chevron-down" if self.isExpanded(here) else "chevron-right"
        x = rect.x() + rect.width() - INDENT + 1
        y = rect.y() + (rect.height() - 12) // 2
        draw_icon(painter, icon, theme().color("muted"), x=x, y=y, size=12)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._bar.place(self.viewport().geometry())


def _plain(index: Index) -> QModelIndex:
    return (
        index
        if isinstance(index, QModelIndex)
        else index.model().index(index.row(), index.column(), index.parent())
    )
