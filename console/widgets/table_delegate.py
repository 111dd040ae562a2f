"""How a cell is painted: kinds of text, states with their icon, numbers with their picture, badges, check
boxes.
"""

from typing import Final, Protocol

from PySide6.QtCore import (
    QAbstractItemModel,
    QEvent,
    QModelIndex,
    QPersistentModelIndex,
    QRect,
    QRectF,
    QSize,
    Qt,
)
from PySide6.QtGui import QColor, QHelpEvent, QMouseEvent, QPainter
from PySide6.QtWidgets import QAbstractItemView, QStyle, QStyledItemDelegate, QStyleOptionViewItem, QToolTip

from console.widgets.badge import badge_width, draw_badge
from console.widgets.fields import draw_check_box
from console.widgets.icons import draw_icon
from console.widgets.paint import draw_box, draw_text, text_width
from console.widgets.sparkline import draw_sparkline
from console.widgets.states import state_look
from console.widgets.table_columns import DOT_STEP, ROLES
from console.widgets.table_model import Cell, Column, TableModel
from console.widgets.text import UNKNOWN, middle_elide_id
from console.widgets.theme import theme
from console.widgets.tokens import BADGE_HEIGHT

PADDING: Final = 6
OUTER_PADDING: Final = 12
_ICON_STEP: Final = 20
_SPARK_WIDTH: Final = 70
_BAR_WIDTH: Final = 60
_SUFFIX_WIDTH: Final = 48


class RowLook(Protocol):
    """What the delegate asks its table about a row."""

    hovered_row: int
    stale: bool
    two_line: bool


class CellDelegate(QStyledItemDelegate):
    """Paints every cell of a DataTable."""

    def __init__(self, model: TableModel, rows: RowLook) -> None:
        super().__init__()
        self._model = model
        self._rows = rows

    def sizeHint(self, _option: QStyleOptionViewItem, _index: QModelIndex | QPersistentModelIndex) -> QSize:
        return QSize(60, 28)

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        row, number = index.row(), index.column()
        look = theme()
        rect: QRect = option.rect
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        last_y = rect.y() + rect.height() - 1
        tint = "selection" if selected else "hover" if row == self._rows.hovered_row else "surface"
        painter.fillRect(rect, look.color(tint))
        painter.fillRect(rect.x(), last_y, rect.width(), 1, look.color("hairline"))
        if selected and number == 0:
            painter.fillRect(rect.x(), rect.y(), 3, rect.height() - 1, look.color("link"))
        column = self._model.columns[number]
        cell = self._model.cell(row, number)
        self._paint_content(painter, self.content_rect(rect, number), column, cell)

    def padding(self, number: int) -> int:
        """The pixels at both sides of a column's words, with the icon that stands before a state."""
        outer = (number == 0) + (number == len(self._model.columns) - 1)
        icon = _ICON_STEP if self._model.columns[number].kind == "state" else 0
        return 2 * PADDING + outer * (OUTER_PADDING - PADDING) + icon

    def content_rect(self, rect: QRect, number: int) -> QRectF:
        """The part of a cell's rectangle in which words may stand."""
        left = OUTER_PADDING if number == 0 else PADDING
        right = OUTER_PADDING if number == len(self._model.columns) - 1 else PADDING
        return QRectF(rect.x() + left, rect.y(), rect.width() - left - right, rect.height())

    def _paint_content(self, painter: QPainter, box: QRectF, column: Column, cell: Cell) -> None:
        kind = column.kind
        if kind == "widget":
            return
        if kind == "check":
            self._paint_check(painter, box, cell)
        elif kind == "badge":
            self._paint_badge(painter, box, cell)
        elif kind == "state":
            self._paint_state(painter, box, cell)
        elif column.right:
            self._paint_number(painter, box, cell)
        else:
            self._paint_words(painter, box, column, cell)

    def _ink(self, column: Column | None, cell: Cell) -> QColor:
        look = theme()
        if cell.muted or cell.text == UNKNOWN or self._rows.stale:
            return look.color("muted")
        if cell.tone is not None:
            return look.color(cell.tone)
        if column is not None and column.kind == "link":
            return look.color("link")
        return look.color("text")

    def _paint_check(self, painter: QPainter, box: QRectF, cell: Cell) -> None:
        state = Qt.CheckState.Checked if cell.checked else Qt.CheckState.Unchecked
        draw_check_box(
            painter, state, x=box.x(), y=box.y() + (box.height() - 16) // 2, enabled=not cell.muted
        )

    def _paint_badge(self, painter: QPainter, box: QRectF, cell: Cell) -> None:
        if cell.text == UNKNOWN:
            self._line(painter, cell.text, role="body", color=theme().color("muted"), x=box.x(), box=box)
            return
        y = box.y() + (box.height() - BADGE_HEIGHT) // 2
        draw_badge(painter, cell.text, tone=cell.tone or "neutral", icon=cell.icon, x=box.x(), y=y)

    def _paint_state(self, painter: QPainter, box: QRectF, cell: Cell) -> None:
        if cell.text == UNKNOWN:
            self._line(painter, cell.text, role="body", color=theme().color("muted"), x=box.x(), box=box)
            return
        look = state_look(cell.text)
        quiet = cell.muted or self._rows.stale
        ink = theme().color("muted" if quiet else cell.tone if cell.tone is not None else look.color)
        draw_icon(painter, cell.icon or look.icon, ink, x=box.x(), y=box.y() + (box.height() - 14) // 2)
        self._line(painter, cell.text, role="name", color=ink, x=box.x() + _ICON_STEP, box=box)

    def _paint_number(self, painter: QPainter, box: QRectF, cell: Cell) -> None:
        look = theme()
        middle = box.y() + box.height() / 2
        if cell.series:
            height = 20 if box.height() >= 40 else 16
            room = min(float(_SPARK_WIDTH), box.width() - text_width("body", cell.text) - 10)
            if room > 20:
                picture = QRectF(box.x(), round(middle - height / 2), room, height)
                draw_sparkline(
                    painter,
                    picture,
                    cell.series,
                    color=look.color(cell.series_color),
                    fill=box.height() >= 40,
                )
        right = box.right()
        if cell.suffix is not None:
            x = right - text_width("body", cell.suffix)
            self._line(painter, cell.suffix, role="body", color=look.color("muted"), x=x, box=box)
            right -= _SUFFIX_WIDTH
        role = "strong" if cell.bold and not self._rows.stale else "body"
        x = right - text_width(role, cell.text)
        self._line(painter, cell.text, role=role, color=self._ink(None, cell), x=x, box=box)
        if cell.bar is not None and x - box.x() > _BAR_WIDTH + 8:
            track = QRectF(box.x() + 4, round(middle - 2.9), _BAR_WIDTH, 6)
            draw_box(painter, track, fill=look.color("neutral_bg"), radius=3)
            share = max(0.0, min(1.0, cell.bar))
            if share > 0:
                filled = QRectF(track.x(), track.y(), max(2.0, track.width() * share), 6)
                color = look.color(cell.series_color if cell.series_color != "in" else "failed")
                draw_box(painter, filled, fill=color, radius=min(3, filled.width() / 2))

    def _paint_words(self, painter: QPainter, box: QRectF, column: Column, cell: Cell) -> None:
        look = theme()
        role = "strong" if cell.bold and not self._rows.stale else ROLES.get(column.kind, "body")
        if column.kind == "link" and cell.text == UNKNOWN:
            role = "body"
        x = box.x()
        if cell.icon is not None:
            draw_icon(painter, cell.icon, self._ink(column, cell), x=x, y=box.y() + (box.height() - 14) // 2)
            x += _ICON_STEP
        if cell.dot is not None:
            dot = QRectF(x, box.y() + round((box.height() - 8) / 2), 8, 8)
            draw_box(painter, dot, fill=look.color(cell.dot), radius=4)
            x += DOT_STEP
        room = box.right() - x
        if cell.badge is not None:
            room -= badge_width(cell.badge[0], icon=cell.badge[2]) + 8
        text = self._cut(column, cell, role, room)
        line = box
        if cell.subtitle is not None and box.height() >= 36:
            line = QRectF(box.x(), box.y() + 4, box.width(), 20)
            below = QRectF(box.x(), box.y() + 22, box.width(), 17)
            words = look.metrics("label").elidedText(
                cell.subtitle, Qt.TextElideMode.ElideRight, box.right() - x
            )
            self._line(painter, words, role="label", color=look.color("muted"), x=x, box=below)
            role = "name" if role == "body" else role
        width = self._line(painter, text, role=role, color=self._ink(column, cell), x=x, box=line)
        if cell.badge is not None:
            words, tone, icon = cell.badge
            y = line.y() + (line.height() - BADGE_HEIGHT) // 2
            draw_badge(painter, words, tone=tone, icon=icon, x=round(x + width + 8), y=y)

    def _cut(self, column: Column, cell: Cell, role: str, room: float) -> str:
        text = middle_elide_id(cell.text) if column.kind == "id" else cell.text
        if column.kind in ("instant", "number") or text_width(role, text) <= room:
            return text
        where = Qt.TextElideMode.ElideMiddle if column.kind in ("name", "id") else Qt.TextElideMode.ElideRight
        return theme().metrics(role).elidedText(text, where, max(0.0, room))

    @staticmethod
    def _line(painter: QPainter, text: str, *, role: str, color: QColor, x: float, box: QRectF) -> float:
        return draw_text(painter, text, role=role, color=color, x=x, top=box.y(), height=box.height())

    def helpEvent(
        self,
        event: QHelpEvent,
        view: QAbstractItemView,
        option: QStyleOptionViewItem,
        index: QModelIndex | QPersistentModelIndex,
    ) -> bool:
        """Show the tooltip of a cell, or its whole text where that is cut."""
        if event.type() != QEvent.Type.ToolTip or not index.isValid():
            return super().helpEvent(event, view, option, index)
        number = index.column()
        cell = self._model.cell(index.row(), number)
        column = self._model.columns[number]
        words = cell.tooltip
        if words is None and column.kind not in ("check", "badge", "state", "widget"):
            role = ROLES.get(column.kind, "body")
            room = self.content_rect(option.rect, number).width()
            if self._cut(column, cell, role, room) != cell.text:
                words = cell.text
        if words:
            QToolTip.showText(event.globalPos(), words, view)
        else:
            QToolTip.hideText()
        return True

    def editorEvent(
        self,
        event: QEvent,
        model: QAbstractItemModel,
        option: QStyleOptionViewItem,
        index: QModelIndex | QPersistentModelIndex,
    ) -> bool:
        """A press on a check box asks for the other state; it is shown when the page says that it is so."""
        if self._model.columns[index.column()].kind != "check" or not isinstance(event, QMouseEvent):
            return False
        if event.type() != QEvent.Type.MouseButtonRelease or event.button() != Qt.MouseButton.LeftButton:
            return False
        box = self.content_rect(option.rect, index.column())
        if QRectF(box.x() - 4, box.y(), 24, box.height()).contains(event.position()):
            wanted = not self._model.cell(index.row(), index.column()).checked
            state = Qt.CheckState.Checked if wanted else Qt.CheckState.Unchecked
            model.setData(index, state.value, Qt.ItemDataRole.CheckStateRole)
        return False
