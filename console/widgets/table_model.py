"""The data behind a table: rows of cells that are already words, and a model that patches itself to new rows.

The model knows nothing of tasks or queues and never sorts or filters; pages hand it finished rows. Because
pages hand it all of them again and again, comparing must be cheap: cells and rows are named tuples, which
Python builds and compares in C, several times faster than frozen dataclasses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt, Signal

from console.widgets.text import UNKNOWN

CellKind = Literal[
    "text", "name", "mono", "id", "state", "number", "instant", "badge", "check", "link", "widget"
]
Index = QModelIndex | QPersistentModelIndex

# More separate insertions or removals than this cost more in signals than a reset of the model.
_MAX_PATCHES = 64
# Made once: views ask for them with every cell that they paint, and joining them in Python takes longer.
_FLAGS = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemNeverHasChildren
_CHECK_FLAGS = _FLAGS | Qt.ItemFlag.ItemIsUserCheckable
_CHECKED = {True: Qt.CheckState.Checked, False: Qt.CheckState.Unchecked, None: None}


class Cell(NamedTuple):
    """One cell, in the words to show.

    `sort` is what the local sort compares, `copy` what Ctrl+C takes instead of `text`. `tone` is a colour
    token, a tone or, in a badge column, the tone of the badge. `badge` stands after the text as (words, tone,
    icon). `series` draws a sparkline, `bar` (0 to 1) a bar left of the number, `suffix` muted
    words right of it. `dot` is the colour token of a dot before the text.
    """

    text: str = UNKNOWN
    sort: Any = None
    tooltip: str | None = None
    muted: bool = False
    bold: bool = False
    tone: str | None = None
    icon: str | None = None
    copy: str | None = None
    subtitle: str | None = None
    badge: tuple[str, str, str | None] | None = None
    series: tuple[float | None, ...] | None = None
    series_color: str = "in"
    bar: float | None = None
    suffix: str | None = None
    checked: bool | None = None
    dot: str | None = None


UNKNOWN_CELL = Cell()


class Row(NamedTuple):
    """One row. `key` is what it is known by; two rows with the same key are the same thing at different
    times.

    A column without a cell shows the dash.
    """

    key: str
    cells: Mapping[str, Cell]


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `width` is in pixels with 6 px of padding at each side.

    `stretch` shares what is left and is at least `width` wide; with `fit` the column is as wide as its words,
    between `width` and `fit`. Where room is short a column shrinks to `least`, if it has one.
    """

    key: str
    title: str
    width: int = 90
    stretch: int = 0
    fit: int | None = None
    least: int | None = None
    kind: CellKind = "text"
    align: Literal["left", "right"] | None = None
    sortable: bool = True

    @property
    def right(self) -> bool:
        """Whether its words stand at the right."""
        return self.align == "right" if self.align is not None else self.kind == "number"


class TableModel(QAbstractTableModel):
    """Rows and columns for Qt. `check_requested(key, wanted)`: a person pressed a check box; nothing has
    changed yet.
    """

    check_requested = Signal(str, bool)

    def __init__(self, columns: Sequence[Column]) -> None:
        super().__init__()
        self.columns = tuple(columns)
        self.rows: list[Row] = []
        self._index_of: dict[str, int] = {}

    def set_rows(self, rows: Sequence[Row]) -> None:
        """Become these rows, telling views only what differs, so that selection and scroll position stay.

        Keys must be unique; of two rows with one key the first is kept.
        """
        wanted = list(rows)
        keys = [row.key for row in wanted]
        if len(set(keys)) != len(keys):
            first: dict[str, Row] = {}
            for row in wanted:
                first.setdefault(row.key, row)
            wanted = list(first.values())
            keys = [row.key for row in wanted]
        if keys != [row.key for row in self.rows] and not self._move_to(wanted, keys):
            self.beginResetModel()
            self.rows = wanted
            self._reindex()
            self.endResetModel()
            return
        self._update_values(wanted)

    def set_columns(self, columns: Sequence[Column]) -> None:
        """Become these columns; the rows stay."""
        self.beginResetModel()
        self.columns = tuple(columns)
        self.endResetModel()

    def position(self, key: str) -> int | None:
        """The row number of a key, None when it is not there."""
        return self._index_of.get(key)

    def cell(self, row: int, column: int) -> Cell:
        """The cell at a place."""
        return self.rows[row].cells.get(self.columns[column].key, UNKNOWN_CELL)

    def _reindex(self) -> None:
        self._index_of = {row.key: i for i, row in enumerate(self.rows)}

    def _move_to(self, wanted: list[Row], keys: list[str]) -> bool:
        """Remove, insert and reorder until the keys are `keys`. False when a reset is cheaper; nothing is
        done then.
        """
        new_keys = set(keys)
        gone = ranges_of([i for i, row in enumerate(self.rows) if row.key not in new_keys])
        old_keys = self._index_of.keys()
        fresh = ranges_of([i for i, key in enumerate(keys) if key not in old_keys])
        if len(gone) + len(fresh) > _MAX_PATCHES or not self.rows:
            return False
        for first, last in reversed(gone):
            self.beginRemoveRows(QModelIndex(), first, last)
            del self.rows[first : last + 1]
            self.endRemoveRows()
        survivors = [row.key for row in self.rows]
        kept = set(survivors)
        order = [key for key in keys if key in kept]
        if order != survivors:
            self._reorder(order)
        for first, last in fresh:
            self.beginInsertRows(QModelIndex(), first, last)
            self.rows[first:first] = wanted[first : last + 1]
            self.endInsertRows()
        self._reindex()
        return True

    def _reorder(self, order: list[str]) -> None:
        self.layoutAboutToBeChanged.emit()
        before = {row.key: row for row in self.rows}
        place = {key: i for i, key in enumerate(order)}
        old_indexes = self.persistentIndexList()
        moved = [self.index(place[self.rows[i.row()].key], i.column()) for i in old_indexes]
        self.rows = [before[key] for key in order]
        self.changePersistentIndexList(old_indexes, moved)
        self.layoutChanged.emit()

    def _update_values(self, wanted: list[Row]) -> None:
        changed = [
            i
            for i, (old, new) in enumerate(zip(self.rows, wanted, strict=True))
            if old is not new and old != new
        ]
        self.rows = wanted
        last_column = len(self.columns) - 1
        spans = ranges_of(changed)
        if len(spans) > _MAX_PATCHES:
            spans = [(changed[0], changed[-1])]
        for first, last in spans:
            self.dataChanged.emit(self.index(first, 0), self.index(last, last_column))

    # Qt's interface.

    def rowCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:
        return 0 if parent.isValid() else len(self.columns)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or index.row() >= len(self.rows):
            return None
        cell = self.cell(index.row(), index.column())
        if role == Qt.ItemDataRole.DisplayRole:
            return cell.text
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return spoken(cell)
        if role == Qt.ItemDataRole.CheckStateRole:
            return _CHECKED[cell.checked] if self.columns[index.column()].kind == "check" else None
        if role == Qt.ItemDataRole.ToolTipRole:
            return cell.tooltip
        return None

    def setData(self, index: Index, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        if role == Qt.ItemDataRole.CheckStateRole and index.isValid():
            self.check_requested.emit(
                self.rows[index.row()].key, Qt.CheckState(value) == Qt.CheckState.Checked
            )
        return False

    def flags(self, index: Index) -> Qt.ItemFlag:
        if not index.isValid():
            return Qt.ItemFlag.NoItemFlags
        return _CHECK_FLAGS if self.columns[index.column()].kind == "check" else _FLAGS

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(self.columns):
            return None
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return self.columns[section].title
        return None


def spoken(cell: Cell) -> str:
    """What assistive technology reads for a cell: everything that can be seen in it, uncut."""
    parts = [cell.text]
    if cell.checked is not None and cell.text in (UNKNOWN, ""):
        parts = ["On" if cell.checked else "Off"]
    if cell.suffix:
        parts.append(cell.suffix)
    if cell.badge is not None:
        parts.append(cell.badge[0])
    if cell.subtitle:
        parts.append(cell.subtitle)
    return ", ".join(parts)


def sorted_rows(rows: Sequence[Row], column: str, *, descending: bool) -> list[Row]:
    """The rows in the order of one column: by `Cell.sort`, else by text; unknown values last either way."""

    def value(row: Row) -> tuple[int, Any]:
        cell = row.cells.get(column, UNKNOWN_CELL)
        if isinstance(cell.sort, (int, float)):
            return (0, cell.sort)
        return (1, str(cell.sort)) if cell.sort is not None else (1, cell.text.casefold())

    def unknown(row: Row) -> bool:
        cell = row.cells.get(column, UNKNOWN_CELL)
        return cell.sort is None and cell.text == UNKNOWN

    known = sorted((row for row in rows if not unknown(row)), key=value, reverse=descending)
    return known + [row for row in rows if unknown(row)]


def ranges_of(numbers: list[int]) -> list[tuple[int, int]]:
    """Ascending numbers as (first, last) of unbroken stretches."""
    result: list[tuple[int, int]] = []
    for number in numbers:
        if result and result[-1][1] == number - 1:
            result[-1] = (result[-1][0], number)
        else:
            result.append((number, number))
    return result
