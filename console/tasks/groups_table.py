"""The table `Errors`: the failures among what matches, by what they have in common."""

from __future__ import annotations

from datetime import tzinfo

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from console.history.model import ErrorGroup
from console.widgets.data_table import DataTable
from console.widgets.empty_state import EmptyState
from console.widgets.table_model import Cell, Column, Row
from console.widgets.table_page import TableStack
from console.widgets.text import clock_text, exact_instant, number_text, short_task_name
from console.widgets.zone import local_zone

COLUMNS = [
    Column("error", "Error", width=140, fit=240, least=100, kind="name"),
    Column("message", "Message", stretch=1, width=140),
    Column("count", "Count", width=70, kind="number"),
    Column("tasks", "Tasks", width=120, fit=220, least=90),
    Column("first", "First seen", width=86, fit=110, kind="instant"),
    Column("last", "Last seen", width=86, fit=110, kind="instant"),
]


class ErrorsTable(QWidget):
    """`group_opened`: the tasks of a group are wanted, by its number."""

    group_opened = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.table = DataTable("Errors", COLUMNS, local_sort=True)
        self.table.set_sort("count", descending=True)
        self._stack = TableStack(self.table)
        self._nothing = EmptyState(
            "circle-check", "No errors", "No task among those that match has failed with an exception."
        )
        self.table.activated_row.connect(lambda key: self.group_opened.emit(int(key)))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._stack)
        self.setFocusProxy(self._stack)

    def show_groups(self, groups: tuple[ErrorGroup, ...] | None) -> None:
        """None: not read yet."""
        if groups is None:
            self._stack.show_loading()
        elif not groups:
            self.table.set_rows([])
            self._stack.show_empty(self._nothing)
        else:
            zone = local_zone()
            self.table.set_rows([group_row(group, zone) for group in groups])
            self._stack.show_rows()


def group_row(group: ErrorGroup, zone: tzinfo) -> Row:
    """One row of the table `Errors`."""
    names = ", ".join(short_task_name(name) for name in group.names)
    return Row(
        str(group.error_id),
        {
            "error": Cell(group.error or "Error", tone="st_failed"),
            "message": Cell(group.message, tooltip=group.message),
            "count": Cell(number_text(group.count), sort=group.count),
            "tasks": Cell(names, tooltip=", ".join(group.names)),
            "first": Cell(
                clock_text(group.first, zone),
                sort=group.first.timestamp(),
                tooltip=exact_instant(group.first, zone),
            ),
            "last": Cell(
                clock_text(group.last, zone),
                sort=group.last.timestamp(),
                tooltip=exact_instant(group.last, zone),
            ),
        },
    )
