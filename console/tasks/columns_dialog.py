"""Choosing and ordering the columns of the table `Tasks`: a dialog, and the menu of the column heads."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QHBoxLayout, QMenu, QWidget

from console.tasks.columns import AT_FIRST, COLUMN, COLUMNS, FIXED, moved, toggled
from console.tasks.view_model import TasksViewModel
from console.widgets.button import Button
from console.widgets.data_table import DataTable
from console.widgets.dialog import ConsoleDialog
from console.widgets.table_model import Cell, Column, Row

_TABLE = [
    Column("shown", "", width=40, kind="check", sortable=False),
    Column("title", "Column", stretch=1, kind="name", sortable=False),
]


class ColumnsDialog(ConsoleDialog):
    """Space or a press shows a column or hides it; the buttons move it."""

    def __init__(self, parent: QWidget, model: TasksViewModel) -> None:
        super().__init__(parent, "Columns", width=420)
        self._model = model
        self._columns = model.layout.columns
        self._table = DataTable("Columns to show", _TABLE, ground="raised")
        self._table.setFixedHeight(30 + 12 * 28)
        self._up = Button("Move up", icon="arrow-up", small=True)
        self._down = Button("Move down", icon="arrow-down", small=True)
        self._reset = Button("Reset", small=True)
        line = QHBoxLayout()
        line.setSpacing(8)
        for button in (self._up, self._down):
            line.addWidget(button)
        line.addStretch(1)
        line.addWidget(self._reset)
        self.body.addWidget(self._table)
        self.body.addLayout(line)
        self.add_button("Save", kind="primary", role="accept")
        self._table.check_toggled.connect(self._on_toggled)
        self._table.selection_changed.connect(lambda _keys: self._show_buttons())
        self._up.clicked.connect(partial(self._move, -1))
        self._down.clicked.connect(partial(self._move, 1))
        self._reset.clicked.connect(self._on_reset)
        self.set_first_focus(self._table)
        self._show()
        self._table.select_keys([FIXED])

    def accept(self) -> None:
        self._model.set_columns(self._columns)
        if self._columns == AT_FIRST:
            self._model.reset_columns()
        super().accept()

    def _show(self) -> None:
        rest = [column.key for column in COLUMNS if column.key not in self._columns]
        self._table.set_rows(
            [
                Row(
                    key,
                    {
                        "shown": Cell(
                            "Shown" if key in self._columns else "Not shown",
                            checked=key in self._columns,
                            muted=key == FIXED,
                        ),
                        "title": Cell(COLUMN[key].title, muted=key not in self._columns),
                    },
                )
                for key in (*self._columns, *rest)
            ]
        )
        self._show_buttons()

    def _show_buttons(self) -> None:
        key = self._table.current_key()
        at = self._columns.index(key) if key in self._columns else -1
        self._up.setEnabled(at > 0)
        self._down.setEnabled(0 <= at < len(self._columns) - 1)
        self._reset.setEnabled(self._columns != AT_FIRST)

    def _on_toggled(self, key: str, wanted: bool) -> None:
        self._columns = toggled(self._columns, key, wanted)
        self._show()

    def _move(self, by: int, *_checked: object) -> None:
        key = self._table.current_key()
        if key in self._columns:
            self._columns = moved(self._columns, key, by)
            self._show()

    def _on_reset(self) -> None:
        self._columns = AT_FIRST
        self._show()


def open_head_menu(parent: QWidget, model: TasksViewModel, key: str, place: QPoint) -> QMenu:
    """The menu of a column head: which columns are shown, and where this one stands."""
    menu = QMenu(parent)
    menu.setAccessibleName("Columns")
    menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    columns = model.layout.columns
    if key in columns:
        for words, by, possible in (
            ("Move left", -1, columns[0] != key),
            ("Move right", 1, columns[-1] != key),
        ):
            action = menu.addAction(words)
            action.setEnabled(possible)
            action.triggered.connect(partial(_set, model, moved(columns, key, by)))
        menu.addSeparator()
    for column in COLUMNS:
        action = menu.addAction(column.title)
        action.setCheckable(True)
        action.setChecked(column.key in columns)
        action.setEnabled(column.key != FIXED)
        action.triggered.connect(
            partial(_set, model, toggled(columns, column.key, column.key not in columns))
        )
    menu.addSeparator()
    menu.addAction("Columns…").triggered.connect(lambda: ColumnsDialog(parent, model).open())
    menu.addAction("Reset columns").triggered.connect(model.reset_columns)
    menu.popup(place)
    return menu


def _set(model: TasksViewModel, columns: tuple[str, ...], *_checked: object) -> None:
    model.set_columns(columns)
