"""A task's family as a tree of rows for Qt, and what can be said of it in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import tzinfo

from PySide6.QtCore import QAbstractItemModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from console.history.model import Relative, TaskDetail, TaskRow
from console.history.reader import FAMILY_AT_MOST
from console.widgets.text import (
    UNKNOWN,
    duration_text,
    exact_instant,
    middle_elide_id,
    short_task_name,
)

TITLES = ("Task", "State", "Runtime", "ID")
TASK, STATE, RUNTIME, ID = range(4)
ROW_ROLE = Qt.ItemDataRole.UserRole

Index = QModelIndex | QPersistentModelIndex
NO_INDEX = QModelIndex()


@dataclass(slots=True, eq=False)
class _Place:
    row: TaskRow
    parent: int
    position: int
    children: list[int] = field(default_factory=list)


class FamilyModel(QAbstractItemModel):
    """Rows by their depth; the same family again only renews its cells."""

    def __init__(self, zone: tzinfo, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._zone = zone
        self._places: list[_Place] = []
        self._top: list[int] = []
        self._shape: list[tuple[str, int]] = []
        self.this_id = ""

    def show_family(self, family: Sequence[Relative], this_id: str) -> bool:
        """Show a family of which `this_id` is the task that is looked at; True when its shape is another."""
        shape = [(one.row.id, one.depth) for one in family]
        if shape == self._shape and this_id == self.this_id:
            for number, one in enumerate(family):
                if self._places[number].row != one.row:
                    self._places[number].row = one.row
                    self.dataChanged.emit(self.index_of(number), self.index_of(number, ID))
            return False
        self.beginResetModel()
        self._shape, self.this_id = shape, this_id
        self._places, self._top = [], []
        line: list[int] = []
        for number, one in enumerate(family):
            del line[one.depth :]
            parent = line[-1] if line else -1
            beside = self._places[parent].children if parent >= 0 else self._top
            self._places.append(_Place(one.row, parent, len(beside)))
            beside.append(number)
            line.append(number)
        self.endResetModel()
        return True

    def index_of(self, number: int, column: int = 0) -> QModelIndex:
        return self.createIndex(self._places[number].position, column, number)

    def index_of_task(self, task_id: str) -> QModelIndex:
        """The row of a task; an invalid one where it is not in the family."""
        for number, place in enumerate(self._places):
            if place.row.id == task_id:
                return self.index_of(number)
        return QModelIndex()

    def row_at(self, index: Index) -> TaskRow | None:
        return self._places[index.internalId()].row if index.isValid() else None

    # Qt's questions.

    def index(self, row: int, column: int, parent: Index = NO_INDEX) -> QModelIndex:
        numbers = self._below(parent)
        if not 0 <= row < len(numbers) or not 0 <= column < len(TITLES):
            return QModelIndex()
        return self.createIndex(row, column, numbers[row])

    def parent(self, index: Index = NO_INDEX) -> QModelIndex:  # type: ignore[override]
        if not index.isValid():
            return QModelIndex()
        above = self._places[index.internalId()].parent
        return self.index_of(above) if above >= 0 else QModelIndex()

    def rowCount(self, parent: Index = NO_INDEX) -> int:
        return len(self._below(parent)) if parent.column() <= 0 else 0

    def columnCount(self, _parent: Index = NO_INDEX) -> int:
        return len(TITLES)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> object:
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(TITLES):
            return None
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignRight if section == RUNTIME else Qt.AlignmentFlag.AlignLeft
        return TITLES[section] if role == Qt.ItemDataRole.DisplayRole else None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        row = self.row_at(index)
        if row is None:
            return None
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return cell_text(row, index.column())
            case Qt.ItemDataRole.AccessibleTextRole:
                this = ", this task" if row.id == self.this_id and index.column() == TASK else ""
                return cell_text(row, index.column()) + this
            case Qt.ItemDataRole.ToolTipRole:
                return self._hint(row, index.column())
            case _:
                return row if role == ROW_ROLE else None

    def _hint(self, row: TaskRow, column: int) -> str:
        if column == TASK:
            return f"{row.name or UNKNOWN}{', this task' if row.id == self.this_id else ''}"
        if column == ID:
            return row.id
        if row.started is None:
            return "Its start is not known"
        return f"Started {exact_instant(row.started, self._zone)}"

    def _below(self, parent: Index) -> list[int]:
        return self._places[parent.internalId()].children if parent.isValid() else self._top


def cell_text(row: TaskRow, column: int) -> str:
    """The words of a cell; an id in full, cut where it is painted."""
    match column:
        case 0:
            return short_task_name(row.name or UNKNOWN)
        case 1:
            return row.state.value
        case 2:
            return duration_text(row.runtime_s)
        case _:
            return row.id


def summary_words(family: Sequence[Relative]) -> str:
    """ "7 tasks: 5 Succeeded, 1 Failed, 1 Started; 12.4 s in all"."""
    if not family:
        return ""
    rows = [one.row for one in family]
    counts = ", ".join(
        f"{count:,} {state.value}" for state, count in Counter(row.state for row in rows).most_common()
    )
    starts = [instant for row in rows if (instant := row.sent or row.received or row.started) is not None]
    ends = [row.ended for row in rows if row.ended is not None]
    whole = ""
    if starts and len(ends) == len(rows):
        whole_s = (max(ends) - min(starts)).total_seconds()
        whole = f"; {duration_text(whole_s)} in all" if whole_s >= 0 else ""
    return f"{len(rows):,} {'task' if len(rows) == 1 else 'tasks'}: {counts}{whole}"


def missing_words(detail: TaskDetail, family: Sequence[Relative]) -> str:
    """Which relatives the history has not, and whether there are more than are shown."""
    known = {one.row.id for one in family}
    said: list[str] = []
    missing = [
        (name, task_id)
        for name, task_id in (("parent", detail.parent_id), ("root", detail.root_id))
        if task_id is not None and task_id not in known
    ]
    if len(missing) == 2 and missing[0][1] == missing[1][1]:
        missing = [("parent and root", missing[0][1])]
    cut = len(family) >= FAMILY_AT_MOST
    for name, task_id in missing:
        where = "not among those shown" if cut else "not in the history"
        said.append(f"{name} {middle_elide_id(task_id)} is {where}")
    if cut:
        said.append(f"the first {FAMILY_AT_MOST} tasks are shown")
    words = "; ".join(said)
    return f"{words[0].upper()}{words[1:]}." if words else ""
