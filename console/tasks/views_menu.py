"""Choosing, saving, renaming and deleting views."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QHBoxLayout, QMenu, QWidget

from console.tasks.view_model import TasksViewModel
from console.tasks.views import BUILT_IN, SavedView, wrong_name
from console.widgets.button import Button
from console.widgets.data_table import DataTable
from console.widgets.dialog import ConsoleDialog
from console.widgets.fields import CheckBox, Field, TextField
from console.widgets.label import Text
from console.widgets.table_model import Cell, Column, Row

VIEW_COLUMNS = [
    Column("name", "Name", width=180, fit=260, kind="name"),
    Column("query", "Search", stretch=1, kind="mono"),
]


def open_views_menu(parent: QWidget, model: TasksViewModel, place: QPoint) -> QMenu:
    """The menu under the button `Views`."""
    menu = QMenu(parent)
    menu.setAccessibleName("Views")
    menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    current = model.current_view
    for view in model.views:
        if view.name not in {one.name for one in BUILT_IN} and not menu.property("own"):
            menu.setProperty("own", True)
            menu.addSeparator()
        action = menu.addAction(view.name.replace("&", "&&"))
        action.setCheckable(True)
        action.setChecked(view == current)
        action.setToolTip(view.query)
        action.triggered.connect(partial(_open, model, view))
    menu.addSeparator()
    menu.addAction("Save view…").triggered.connect(lambda: SaveViewDialog(parent, model).open())
    manage = menu.addAction("Manage views…")
    manage.setEnabled(bool(model.own_views))
    manage.triggered.connect(lambda: ManageViewsDialog(parent, model).open())
    menu.addSeparator()
    menu.addAction("Columns…").triggered.connect(lambda: open_columns_dialog(parent, model))
    menu.popup(place)
    return menu


def _open(model: TasksViewModel, view: SavedView, *_checked: object) -> None:
    model.open_view(view)


def open_columns_dialog(parent: QWidget, model: TasksViewModel) -> None:
    """Choose and order the columns."""
    from console.tasks.columns_dialog import ColumnsDialog

    ColumnsDialog(parent, model).open()


class SaveViewDialog(ConsoleDialog):
    """Keeps what is shown under a name; under the name of an own view instead of that."""

    def __init__(self, parent: QWidget, model: TasksViewModel) -> None:
        super().__init__(parent, "Save view", width=440)
        self._model = model
        current = model.current_view
        own = current is not None and current in model.own_views
        self._name = TextField(name="Name", text=current.name if own and current is not None else "")
        self._field = Field("Name", self._name)
        self._columns = CheckBox("With these columns")
        self.body.addWidget(self._field)
        self.body.addWidget(Text(model.snapshot.text or "All tasks", role="mono", tone="muted", wrap=True))
        self.body.addWidget(self._columns)
        self._save = self.add_button("Save", kind="primary", role="accept")
        self._name.textChanged.connect(lambda _text: self._show())
        self.set_first_focus(self._name)
        self._show()

    def _show(self) -> None:
        name = self._name.text().strip()
        taken = any(view.name.casefold() == name.casefold() for view in self._model.own_views)
        self._save.set_text("Replace" if taken else "Save")
        self._field.set_error("")

    def accept(self) -> None:
        name = self._name.text()
        wrong = wrong_name(name, ())
        if wrong:
            self._field.set_error(wrong)
            return
        self._model.save_view(name, with_columns=self._columns.isChecked())
        super().accept()


class ManageViewsDialog(ConsoleDialog):
    """Renames and deletes the person's own views."""

    def __init__(self, parent: QWidget, model: TasksViewModel) -> None:
        super().__init__(parent, "Manage views", width=620, cancel="Close")
        self._model = model
        self._table = DataTable("Saved views", VIEW_COLUMNS, ground="raised")
        self._table.setFixedHeight(230)
        self._name = TextField(name="New name")
        self._field = Field("New name", self._name)
        self._rename = Button("Rename")
        self._delete = Button("Delete", kind="danger-outline")
        line = QHBoxLayout()
        line.setSpacing(8)
        line.addWidget(self._field, 1)
        line.addWidget(self._rename, 0, Qt.AlignmentFlag.AlignTop)
        line.addWidget(self._delete, 0, Qt.AlignmentFlag.AlignTop)
        self._rename.setContentsMargins(0, 20, 0, 0)
        self.body.addWidget(self._table)
        self.body.addLayout(line)
        self._table.selection_changed.connect(self._on_selected)
        self._rename.clicked.connect(self._on_rename)
        self._delete.clicked.connect(self._on_delete)
        self._name.textChanged.connect(lambda _text: self._field.set_error(""))
        model.views_changed.connect(self._show)
        self.finished.connect(lambda _result: model.views_changed.disconnect(self._show))
        self._show()
        self.set_first_focus(self._table)

    def _show(self) -> None:
        self._table.set_rows(
            [
                Row(view.name, {"name": Cell(view.name), "query": Cell(view.query or "–", copy=view.query)})
                for view in self._model.own_views
            ]
        )
        if not self._table.selected_keys() and self._table.rows():
            self._table.select_keys([self._table.rows()[0].key])
        chosen = bool(self._table.selected_keys())
        for button in (self._rename, self._delete):
            button.setEnabled(chosen)

    def _on_selected(self, keys: list[str]) -> None:
        self._name.setText(keys[0] if keys else "")

    def _on_rename(self) -> None:
        (old,) = self._table.selected_keys()
        wrong = wrong_name(self._name.text(), self._model.own_views, but=old)
        self._field.set_error(wrong)
        if not wrong:
            self._model.rename_view(old, self._name.text())

    def _on_delete(self) -> None:
        (name,) = self._table.selected_keys()
        self._model.delete_view(name)
