"""A log as it runs: time, service, level and message in mono, coloured by level, searched and followed."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QPointF, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QKeySequence, QPainter, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from console.widgets.log_model import LogLine, LogModel
from console.widgets.paint import baseline, text_width
from console.widgets.text import middle_elide_id
from console.widgets.theme import theme

__all__ = ["LogLine", "LogView"]

ROW_HEIGHT: Final = 21
_WIDTHS: Final = (106, 58, 52)
_PADDING: Final = 12
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_LEVEL_COLOR = {
    "DEBUG": "muted",
    "INFO": "st_started",
    "WARN": "st_retrying",
    "ERROR": "st_failed",
    "CRITICAL": "st_failed",
}
_TINTED = ("ERROR", "CRITICAL")


def parts_of(message: str) -> list[tuple[str, bool]]:
    """A message in pieces of (text, is an id); ids are cut in the middle, 8…4."""
    parts: list[tuple[str, bool]] = []
    at = 0
    for found in _UUID.finditer(message):
        if found.start() > at:
            parts.append((message[at : found.start()], False))
        parts.append((middle_elide_id(found.group(), head=8), True))
        at = found.end()
    if at < len(message):
        parts.append((message[at:], False))
    return parts


class _LineDelegate(QStyledItemDelegate):
    def __init__(self, model: LogModel) -> None:
        super().__init__()
        self._model = model
        self.current_match = -1

    def sizeHint(self, _option: QStyleOptionViewItem, _index: QModelIndex | QPersistentModelIndex) -> QSize:
        return QSize(60, ROW_HEIGHT)

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex
    ) -> None:
        look = theme()
        line, level = self._model.visible[index.row()]
        rect = QRectF(option.rect)
        if option.state & QStyle.StateFlag.State_Selected:
            painter.fillRect(rect, look.color("selection"))
        elif level in _TINTED:
            painter.fillRect(rect, look.color("error_bg"))
        column = index.column()
        if column < 3 and line.continuation:
            return
        x = rect.x() + (_PADDING if column == 0 else 0)
        if column == 0:
            self._draw(painter, line.when, "mono", look.color("muted"), x, rect)
        elif column == 1:
            self._draw(painter, line.source, "mono", look.color("text2"), x, rect)
        elif column == 2:
            color = look.color(_LEVEL_COLOR.get(level, "text2"))
            self._draw(painter, level, "mono-medium", color, x, rect)
        else:
            self._paint_message(painter, line.message, level, x, rect, index.row())

    def _paint_message(
        self, painter: QPainter, message: str, level: str, x: float, rect: QRectF, row: int
    ) -> None:
        look = theme()
        ink = look.color("muted" if level == "DEBUG" else "text")
        quiet = look.color("muted")
        needle = self._model.needle
        for text, is_id in parts_of(message):
            width = text_width("mono", text)
            found = text.casefold().find(needle) if needle else -1
            while found >= 0:
                left = x + text_width("mono", text[:found])
                mark = QRectF(left, rect.y() + 2, text_width("mono", text[found : found + len(needle)]), 17)
                painter.fillRect(
                    mark, look.color("warning_border" if row == self.current_match else "warning_bg")
                )
                found = text.casefold().find(needle, found + len(needle))
            self._draw(painter, text, "mono", quiet if is_id else ink, x, rect)
            x += width

    @staticmethod
    def _draw(painter: QPainter, text: str, role: str, color: QColor, x: float, rect: QRectF) -> None:
        painter.setFont(theme().font(role))
        painter.setPen(color)
        painter.drawText(QPointF(round(x), baseline(theme().metrics(role), rect.y(), rect.height())), text)


class _Gap(QHeaderView):
    """Air above the first line. The column heads are there for assistive technology, not painted."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(Qt.Orientation.Horizontal, parent)
        self.setProperty("log", True)
        self.setFixedHeight(6)
        self.setMinimumSectionSize(10)

    def paintSection(self, _painter: QPainter, _rect: QRect, _logical: int) -> None:
        return


class LogView(QTableView):
    """A bounded log. `name` is its accessible name, `limit` the most lines it keeps.

    While following, the newest line stays in view; scrolling up ends that, scrolling to the end begins it.
    """

    follow_changed = Signal(bool)
    matches_changed = Signal(int, int)
    counts_changed = Signal(dict)

    def __init__(self, name: str, *, limit: int = 100_000, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = LogModel(limit=limit, parent=self)
        self._lines = _LineDelegate(self._model)
        self._lines.setParent(self)
        self._follow = True
        self._moving = False
        self.setAccessibleName(name)
        self.setModel(self._model)
        self.setItemDelegate(self._lines)
        self._dress()
        self._model.matches_changed.connect(self._on_matches)
        self.verticalScrollBar().valueChanged.connect(self._on_scrolled)
        theme().changed.connect(self.viewport().update)

    def append(self, lines: Sequence[LogLine]) -> None:
        """Add lines at the end. Hand over many at once rather than one by one."""
        if not lines:
            return
        bar = self.verticalScrollBar()
        before = bar.value()
        self._moving = True
        removed = self._model.append(lines)
        self._fit_columns()
        self.updateGeometries()
        if self._follow:
            self.scrollToBottom()
        elif removed:
            bar.setValue(max(0, before - removed * ROW_HEIGHT))
        self._moving = False
        self.counts_changed.emit(dict(self._model.counts))

    def clear(self) -> None:
        """Forget every line."""
        self._model.clear()
        self.counts_changed.emit({})

    def line_count(self) -> int:
        """The lines in view, after the filter."""
        return len(self._model.visible)

    def set_filter(
        self, *, sources: Iterable[str] | None = None, levels: Iterable[str] | None = None
    ) -> None:
        """Show only these sources and levels ("WARN" and "WARNING" are one); None shows all."""
        self._moving = True
        self._model.set_filter(sources=sources, levels=levels)
        if self._follow:
            self.scrollToBottom()
        self._moving = False

    def search(self, needle: str) -> int:
        """Mark a text everywhere and go to its last place; returns the number of lines that have it."""
        self._lines.current_match = -1
        count = self._model.search(needle)
        if count:
            self._go_to_match(count - 1)
        self.viewport().update()
        return count

    def find_next(self) -> None:
        """Go to the next line that matches, round the end."""
        self._step(1)

    def find_previous(self) -> None:
        """Go to the line before that matches, round the start."""
        self._step(-1)

    def is_following(self) -> bool:
        """Whether the newest line is kept in view."""
        return self._follow

    def set_follow(self, follow: bool) -> None:
        """Keep the newest line in view, or stop doing so."""
        if follow != self._follow:
            self._follow = follow
            self.follow_changed.emit(follow)
        if follow:
            self._moving = True
            self.scrollToBottom()
            self._moving = False

    def copy_selection(self) -> None:
        """Copy the selected lines, with everything that is cut on screen."""
        rows = sorted({index.row() for index in self.selectionModel().selectedRows()})
        if rows:
            QApplication.clipboard().setText("\n".join(self._model.full_text(row) for row in rows))

    # Inside.

    def _dress(self) -> None:
        self.setProperty("log", True)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.setCornerButtonEnabled(False)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalHeader(_Gap(self))
        rows = self.verticalHeader()
        rows.hide()
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setMinimumSectionSize(ROW_HEIGHT)
        rows.setDefaultSectionSize(ROW_HEIGHT)
        for column, width in enumerate(_WIDTHS):
            self.setColumnWidth(column, width + (_PADDING if column == 0 else 0) - (6 if column == 0 else 0))

    def _fit_columns(self) -> None:
        needed = round(self._model.longest * text_width("mono", "0")) + 2 * _PADDING
        room = self.viewport().width() - sum(self.columnWidth(i) for i in range(3))
        width = min(20_000, max(needed, room))
        if width != self.columnWidth(3):
            self.setColumnWidth(3, width)

    def _on_scrolled(self, value: int) -> None:
        if self._moving:
            return
        at_end = value >= self.verticalScrollBar().maximum()
        if at_end != self._follow:
            self._follow = at_end
            self.follow_changed.emit(at_end)

    def _on_matches(self) -> None:
        matches, current = self._model.matches, self._lines.current_match
        index = matches.index(current) if current in matches else -1
        self.matches_changed.emit(len(matches), index)

    def _step(self, by: int) -> None:
        matches = self._model.matches
        if not matches:
            return
        current = self._lines.current_match
        index = matches.index(current) + by if current in matches else 0
        self._go_to_match(index % len(matches))

    def _go_to_match(self, index: int) -> None:
        row = self._model.matches[index]
        self._lines.current_match = row
        self.scrollTo(self._model.index(row, 0), QAbstractItemView.ScrollHint.PositionAtCenter)
        self.viewport().update()
        self.matches_changed.emit(len(self._model.matches), index)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy_selection()
        elif event.key() == Qt.Key.Key_End:
            self.scrollToBottom()
        elif event.key() == Qt.Key.Key_Home:
            self.scrollToTop()
        else:
            super().keyPressEvent(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        self._moving = True
        super().resizeEvent(event)
        self._fit_columns()
        if self._follow:
            self.scrollToBottom()
        self._moving = False
