"""The table of the program: every list on every page is one of these.

It shows the rows that it is handed and tells what a person does with them; it knows no feature, asks
nobody for data and keeps selection and scroll position while rows come and go under it.
"""

from collections.abc import Mapping, Sequence

from PySide6.QtCore import (
    SIGNAL,
    QEvent,
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QPoint,
    QRect,
    QRectF,
    Qt,
    Signal,
)
from PySide6.QtGui import QContextMenuEvent, QKeyEvent, QKeySequence, QMouseEvent, QPainter, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QFrame,
    QHeaderView,
    QMenu,
    QSizePolicy,
    QTableView,
    QWidget,
)

from console.widgets.button import Button
from console.widgets.corners import round_corners
from console.widgets.icons import draw_icon
from console.widgets.overlay_bar import OverlayBar
from console.widgets.paint import draw_text, text_width
from console.widgets.row_controls import RowControls
from console.widgets.style import ask_for_ring
from console.widgets.table_columns import natural_width, shared_out
from console.widgets.table_delegate import OUTER_PADDING, PADDING, CellDelegate
from console.widgets.table_model import Column, Row, TableModel, ranges_of, sorted_rows
from console.widgets.text import number_text
from console.widgets.theme import theme
from console.widgets.tokens import HEADER_HEIGHT, ROW_HEIGHT, ROW_HEIGHT_COMPACT

_END_MARGIN_PX = 200
_STEPS = (Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_PageUp, Qt.Key.Key_PageDown)


class _Header(QHeaderView):
    """The column heads: 28 px, sunken, the sorted one dark with an arrow after its word."""

    def __init__(self, model: TableModel, parent: QWidget) -> None:
        super().__init__(Qt.Orientation.Horizontal, parent)
        self._table_model = model
        self.sorted_column = -1
        self.sorted_descending = False
        self.setFixedHeight(HEADER_HEIGHT)
        self.setSectionsClickable(True)
        self.setHighlightSections(False)
        self.setMinimumSectionSize(28)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setFrameShape(QFrame.Shape.NoFrame)

    def paintSection(self, painter: QPainter, rect: QRect, logical: int) -> None:
        look = theme()
        painter.fillRect(rect, look.color("sunken"))
        painter.fillRect(rect.x(), rect.y() + rect.height() - 1, rect.width(), 1, look.color("border"))
        columns = self._table_model.columns
        if not 0 <= logical < len(columns):
            return
        column = columns[logical]
        left = OUTER_PADDING if logical == 0 else PADDING
        right = OUTER_PADDING if logical == len(columns) - 1 else PADDING
        box = QRectF(rect.x() + left, rect.y(), rect.width() - left - right, rect.height() - 1)
        is_sorted = logical == self.sorted_column
        ink = look.color("text" if is_sorted else "muted")
        width = text_width("header", column.title)
        whole = width + (15 if is_sorted else 0)
        x = round(max(box.x(), box.right() - whole) if column.right else box.x())
        draw_text(painter, column.title, role="header", color=ink, x=x, top=box.y(), height=box.height())
        if is_sorted:
            arrow = "arrow-down" if self.sorted_descending else "arrow-up"
            draw_icon(painter, arrow, ink, x=round(x + width + 3), y=box.y() + 8, size=12)


class DataTable(QTableView):
    """A table of `Column`s over `Row`s. `name` is its accessible name, `ground` the token it stands on.

    With `local_sort` it sorts the rows itself; otherwise a click on a column head only asks, by
    `sort_requested`.
    """

    activated_row = Signal(str)
    selection_changed = Signal(list)
    sort_requested = Signal(str, bool)
    check_toggled = Signal(str, bool)
    link_clicked = Signal(str, str)
    reached_end = Signal()
    reached_start = Signal()
    pending_clicked = Signal()
    context_requested = Signal(str, QPoint)
    header_menu_requested = Signal(str, QPoint)
    widths_changed = Signal()

    def __init__(
        self,
        name: str,
        columns: Sequence[Column],
        *,
        row_height: int = ROW_HEIGHT,
        local_sort: bool = False,
        multi: bool = False,
        framed: bool = True,
        ground: str = "bg",
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.hovered_row = -1
        self.stale = False
        self.two_line = row_height >= 40
        self._row_height = row_height
        self._local_sort = local_sort
        self._sort: tuple[str, bool] | None = None
        self._given: Sequence[Row] = ()
        self._natural: dict[str, int] = {}
        self._dragged: dict[str, int] = {}
        self._sizing = False
        self._patching = False
        self._told: list[str] = []
        self._told_end_at: str | None = None
        self._told_start = True
        self._pill: Button | None = None
        self._rows_model = TableModel(columns)
        self._rows_model.setParent(self)
        self._head = _Header(self._rows_model, self)
        self._cell_delegate = CellDelegate(self._rows_model, self)
        self._cell_delegate.setParent(self)
        self.setAccessibleName(name)
        self.setModel(self._rows_model)
        self.setHorizontalHeader(self._head)
        self.setItemDelegate(self._cell_delegate)
        self._dress(framed=framed, ground=ground, multi=multi)
        self._bar = OverlayBar(self)
        self._controls = RowControls(self, self._cell_rect)
        self._head.setStretchLastSection(not any(column.stretch for column in self.columns))
        self._lay_out_columns()
        self._connect()
        self.set_density_compact(theme().compact)

    # What it shows.

    @property
    def columns(self) -> tuple[Column, ...]:
        """Its columns."""
        return self._rows_model.columns

    def set_columns(self, columns: Sequence[Column]) -> None:
        """Show these columns instead, in this order. Rows, selection, scroll position, widths and the sorted
        column stay, as far as they are there.
        """
        if tuple(columns) == self.columns:
            return
        selected, current, at = self.selected_keys(), self.current_key(), self.verticalScrollBar().value()
        self._patching = True
        try:
            self._rows_model.set_columns(columns)
            self.updateGeometries()
            self._restore(selected, current)
        finally:
            self._patching = False
        self._head.setStretchLastSection(not any(column.stretch for column in self.columns))
        self._natural.clear()
        self._measure()
        self._lay_out_columns()
        self._mark_sorted()
        self.verticalScrollBar().setValue(at)
        self._tell_selection()

    def widths(self) -> dict[str, int]:
        """The widths that a person has given to columns, by key, in pixels."""
        return dict(self._dragged)

    def set_widths(self, widths: Mapping[str, int]) -> None:
        """Give columns these widths and all others their own."""
        self._dragged = dict(widths)
        self._lay_out_columns()

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Show these rows. Selection and scroll position stay with their rows."""
        self._given = rows
        if self._local_sort and self._sort is not None:
            rows = sorted_rows(rows, self._sort[0], descending=self._sort[1])
        bar = self.verticalScrollBar()
        at_top = bar.value() == 0
        anchor = self._key_at(0)
        offset = self.rowViewportPosition(0 if anchor is None else self._rows_model.position(anchor) or 0)
        selected, current = self.selected_keys(), self.current_key()
        self._patching = True
        try:
            before = len(self._rows_model.rows)
            self._rows_model.set_rows(rows)
            if len(self._rows_model.rows) != before:
                # Qt would fit the scroll bar later; the place to scroll to is set below.
                self.updateGeometries()
            self._restore(selected, current)
        finally:
            self._patching = False
        self._measure()
        self._controls.place()
        if not at_top and anchor is not None:
            position = self._rows_model.position(anchor)
            if position is not None:
                bar.setValue(position * self._pitch() - offset)
        self._hover_at(None)
        self._tell_selection()

    def rows(self) -> Sequence[Row]:
        """The rows in the order shown."""
        return self._rows_model.rows

    def set_stale(self, stale: bool) -> None:
        """Mute every value, for data that is shown "as of" an earlier time."""
        if stale != self.stale:
            self.stale = stale
            self.viewport().update()

    def set_sort(self, column_key: str | None, *, descending: bool = False) -> None:
        """Mark the sorted column; with `local_sort` sort by it. None marks none."""
        self._sort = None if column_key is None else (column_key, descending)
        self._mark_sorted()
        if self._local_sort:
            self.set_rows(self._given)

    def _mark_sorted(self) -> None:
        key, descending = self._sort if self._sort is not None else ("", False)
        keys = [column.key for column in self.columns]
        self._head.sorted_column = keys.index(key) if key in keys else -1
        self._head.sorted_descending = descending
        self._head.viewport().update()

    def set_pending(self, count: int, *, at_least: bool = False) -> None:
        """Say that so many new rows wait above, as "12 new" ("12+ new"); 0 takes the words away."""
        if count <= 0:
            if self._pill is not None:
                self._pill.hide()
            return
        if self._pill is None:
            self._pill = Button("", icon="arrow-up", kind="primary", small=True, parent=self)
            self._pill.clicked.connect(self._on_pill)
        self._pill.set_text(f"{number_text(count)}{'+' if at_least else ''} new")
        self._pill.adjustSize()
        self._place_pill()
        self._pill.show()
        self._pill.raise_()

    def set_density_compact(self, compact: bool) -> None:
        """Rows of 24 px instead of 28; taller rows stay as they are."""
        if self._row_height <= ROW_HEIGHT:
            self.verticalHeader().setDefaultSectionSize(ROW_HEIGHT_COMPACT if compact else self._row_height)
            self._controls.place()

    def set_row_widget(self, key: str, column_key: str, widget: QWidget) -> None:
        """Put a real control into a cell of a column of kind "widget"; for a handful of rows only."""
        if self._rows_model.position(key) is not None:
            self._controls.set(key, column_key, widget)

    def row_widget(self, key: str, column_key: str) -> QWidget | None:
        """The control that `set_row_widget` has put there, if any."""
        return self._controls.get(key, column_key)

    # What is chosen.

    def selected_keys(self) -> list[str]:
        """The keys of the selected rows from top to bottom."""
        # By ranges: an index for each of some thousand rows would take tens of milliseconds.
        ranges = sorted((one.top(), one.bottom()) for one in self.selectionModel().selection())  # type: ignore[attr-defined]  # it is a list
        rows, keys, reached = self._rows_model.rows, [], 0
        for top, bottom in ranges:
            keys += [row.key for row in rows[max(top, reached) : bottom + 1]]
            reached = max(reached, bottom + 1)
        return keys

    def select_keys(self, keys: Sequence[str]) -> None:
        """Select these rows, as far as they are there; the first becomes the current one."""
        model = self.selectionModel()
        flags = QItemSelectionModel.SelectionFlag
        positions = [at for key in keys if (at := self._rows_model.position(key)) is not None]
        if positions:
            model.setCurrentIndex(self._rows_model.index(positions[0], 0), flags.NoUpdate)
        chosen = QItemSelection()
        for first, last in ranges_of(sorted(set(positions))):
            chosen.select(self._rows_model.index(first, 0), self._rows_model.index(last, 0))
        model.select(chosen, flags.ClearAndSelect | flags.Rows)

    def current_key(self) -> str | None:
        """The key of the row that the keyboard is on."""
        row = self.currentIndex().row()
        return self._rows_model.rows[row].key if 0 <= row < len(self._rows_model.rows) else None

    def scroll_to(self, key: str) -> None:
        """Bring a row into view."""
        position = self._rows_model.position(key)
        if position is not None:
            self.scrollTo(self._rows_model.index(position, 0))

    def is_scrolled_down(self) -> bool:
        """Whether rows above are out of view."""
        return self.verticalScrollBar().value() > 0

    def copy_selection(self) -> None:
        """Copy the selected rows, cells separated by tabs, with their full values."""
        lines = []
        for key in self.selected_keys():
            position = self._rows_model.position(key)
            if position is not None:
                cells = [
                    self._rows_model.cell(position, i)
                    for i, c in enumerate(self.columns)
                    if c.kind != "widget"
                ]
                lines.append("\t".join(cell.copy if cell.copy is not None else cell.text for cell in cells))
        if lines:
            QApplication.clipboard().setText("\n".join(lines))

    # Inside.

    def _dress(self, *, framed: bool, ground: str, multi: bool) -> None:
        modes = QAbstractItemView.SelectionMode
        self.setSelectionMode(modes.ExtendedSelection if multi else modes.SingleSelection)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.setCornerButtonEnabled(False)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumHeight(HEADER_HEIGHT + self._row_height)
        self.setProperty("framed", framed)
        if framed:
            round_corners(self, outside=ground)
        rows = self.verticalHeader()
        rows.hide()
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setMinimumSectionSize(ROW_HEIGHT_COMPACT)
        rows.setDefaultSectionSize(self._row_height)

    def _measure(self) -> None:
        """See how wide the words of columns that fit them are. They grow and never shrink while the table has
        rows, so that live rows do not make the columns jump.
        """
        if not self._rows_model.rows:
            self._natural.clear()
            return
        changed = False
        for number, column in enumerate(self.columns):
            if column.fit is not None:
                around_px = self._cell_delegate.padding(number)
                width = natural_width(column, self._rows_model.rows, around_px=around_px)
                if width > self._natural.get(column.key, 0):
                    self._natural[column.key] = width
                    changed = True
        if changed:
            self._lay_out_columns()

    def _lay_out_columns(self) -> None:
        widths = shared_out(self.columns, self._natural, self.viewport().width())
        self._sizing = True
        for number, width in enumerate(widths):
            wanted = self._dragged.get(self.columns[number].key, width)
            if self._head.sectionSize(number) != wanted:
                self._head.resizeSection(number, wanted)
        self._sizing = False

    def _on_section_resized(self, number: int, _old: int, new: int) -> None:
        if not self._sizing and QApplication.mouseButtons() != Qt.MouseButton.NoButton:
            self._dragged[self.columns[number].key] = new
            self.widths_changed.emit()
        self._controls.place()

    def _cell_rect(self, key: str, column_key: str) -> QRect | None:
        position = self._rows_model.position(key)
        if position is None:
            return None
        number = [column.key for column in self.columns].index(column_key)
        return self.visualRect(self._rows_model.index(position, number))

    def _connect(self) -> None:
        self._head.sectionClicked.connect(self._on_head)
        self._head.sectionResized.connect(self._on_section_resized)
        self._head.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self._head.customContextMenuRequested.connect(self._on_head_menu)
        self._rows_model.check_requested.connect(self.check_toggled)
        self.selectionModel().selectionChanged.connect(self._tell_selection)
        self.doubleClicked.connect(self._on_activated)
        self.verticalScrollBar().valueChanged.connect(self._on_scrolled)
        theme().changed.connect(self._repaint)
        theme().density_changed.connect(self._on_density)
        ask_for_ring(self, "table")

    def _repaint(self) -> None:
        self.viewport().update()
        self._head.viewport().update()

    def _on_density(self) -> None:
        self.set_density_compact(theme().compact)

    def _pitch(self) -> int:
        return self.verticalHeader().defaultSectionSize()

    def _key_at(self, y: int) -> str | None:
        row = self.rowAt(y)
        return self._rows_model.rows[row].key if 0 <= row < len(self._rows_model.rows) else None

    def _restore(self, selected: list[str], current: str | None) -> None:
        """Select again what a reset of the model has forgotten."""
        if selected and not self.selectionModel().hasSelection():
            self.select_keys([key for key in selected if self._rows_model.position(key) is not None])
        if current is not None and not self.currentIndex().isValid():
            position = self._rows_model.position(current)
            if position is not None:
                no_update = QItemSelectionModel.SelectionFlag.NoUpdate
                self.selectionModel().setCurrentIndex(self._rows_model.index(position, 0), no_update)

    def _tell_selection(self) -> None:
        if self._patching:
            return
        keys = self.selected_keys()
        if keys != self._told:
            self._told = keys
            self.selection_changed.emit(keys)

    def _on_head(self, number: int) -> None:
        column = self.columns[number]
        if not column.sortable:
            return
        if self._sort is not None and self._sort[0] == column.key:
            descending = not self._sort[1]
        else:
            descending = column.right
        if self._local_sort:
            self.set_sort(column.key, descending=descending)
        self.sort_requested.emit(column.key, descending)

    def _on_head_menu(self, place: QPoint) -> None:
        number = self._head.logicalIndexAt(place)
        key = self.columns[number].key if 0 <= number < len(self.columns) else ""
        self.header_menu_requested.emit(key, self._head.mapToGlobal(place))

    def _on_activated(self, index: QModelIndex) -> None:
        if index.isValid():
            self.activated_row.emit(self._rows_model.rows[index.row()].key)

    def _on_scrolled(self, value: int) -> None:
        self._hover_at(None)
        self._controls.place()
        bar = self.verticalScrollBar()
        last = self._rows_model.rows[-1].key if self._rows_model.rows else None
        if last is not None and 0 < value >= bar.maximum() - _END_MARGIN_PX and self._told_end_at != last:
            self._told_end_at = last
            self.reached_end.emit()
        if value == 0:
            self._told_end_at = None
        near_start = value <= _END_MARGIN_PX
        if near_start and not self._told_start:
            self.reached_start.emit()
        self._told_start = near_start

    def _on_pill(self) -> None:
        self.scrollToTop()
        self.set_pending(0)
        self.pending_clicked.emit()

    def _place_pill(self) -> None:
        if self._pill is not None:
            self._pill.move((self.width() - self._pill.width()) // 2, HEADER_HEIGHT + 8)

    def _hover_at(self, position: QPoint | None) -> None:
        row = self.rowAt(position.y()) if position is not None else -1
        if row != self.hovered_row:
            for changed in (self.hovered_row, row):
                if changed >= 0:
                    y = self.rowViewportPosition(changed)
                    self.viewport().update(0, y, self.viewport().width(), self.rowHeight(changed))
            self.hovered_row = row
        kind = "text"
        if position is not None and row >= 0:
            column = self.columnAt(position.x())
            kind = self.columns[column].kind if 0 <= column < len(self.columns) else kind
        pointer = Qt.CursorShape.PointingHandCursor if kind == "link" else Qt.CursorShape.ArrowCursor
        if self.viewport().cursor().shape() != pointer:
            self.viewport().setCursor(pointer)

    # Qt's events.

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self._hover_at(event.position().toPoint())
        super().mouseMoveEvent(event)

    def viewportEvent(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Leave:
            self._hover_at(None)
        return super().viewportEvent(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        super().mouseReleaseEvent(event)
        index = self.indexAt(event.position().toPoint())
        if event.button() == Qt.MouseButton.LeftButton and index.isValid():
            column = self.columns[index.column()]
            if column.kind == "link":
                self.link_clicked.emit(self._rows_model.rows[index.row()].key, column.key)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = event.key()
        current = self.current_key()
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy_selection()
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and current is not None:
            self.activated_row.emit(current)
        elif key == Qt.Key.Key_Space and current is not None and self._toggle_check(current):
            pass
        elif key in _STEPS and self._rows_model.rows and not self.selected_keys():
            # Qt steps away from the current row, which a table of one row does not have room for.
            here = self.currentIndex() if current is not None else self._rows_model.index(0, 0)
            self.setCurrentIndex(here)
            self.selectRow(here.row())
        elif key in (Qt.Key.Key_Home, Qt.Key.Key_End) and self._rows_model.rows:
            last = len(self._rows_model.rows) - 1
            row = 0 if key == Qt.Key.Key_Home else last
            self.setCurrentIndex(self._rows_model.index(row, max(0, self.currentIndex().column())))
        else:
            super().keyPressEvent(event)
            return
        event.accept()

    def add_sort_actions(self, menu: QMenu) -> None:
        """Add "Sort by" with every column to a context menu: the keyboard's way to the column heads."""
        submenu = menu.addMenu("Sort by")
        for number, column in enumerate(self.columns):
            if column.sortable and column.title:
                action = submenu.addAction(column.title)
                action.setCheckable(True)
                action.setChecked(number == self._head.sorted_column)
                action.triggered.connect(lambda _checked=False, number=number: self._on_head(number))

    def _toggle_check(self, key: str) -> bool:
        row = self._rows_model.position(key)
        for number, column in enumerate(self.columns):
            if column.kind == "check" and row is not None:
                self.check_toggled.emit(key, not self._rows_model.cell(row, number).checked)
                return True
        return False

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        if event.reason() == QContextMenuEvent.Reason.Mouse:
            index, place = self.indexAt(event.pos()), event.globalPos()
        else:
            index = self.currentIndex()
            place = self.viewport().mapToGlobal(self.visualRect(index).bottomLeft())
        if self.receivers(SIGNAL("context_requested(QString,QPoint)")) == 0:
            menu = QMenu(self)
            menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            self.add_sort_actions(menu)
            menu.popup(place)
        elif index.isValid():
            self.context_requested.emit(self._rows_model.rows[index.row()].key, place)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._lay_out_columns()
        self._bar.place(self.viewport().geometry())
        self._place_pill()
        self._controls.place()
