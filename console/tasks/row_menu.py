"""The context menu of a row of Tasks: what can be done with it, and the searches that it suggests."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QApplication, QMenu, QWidget

from console.history.model import TaskRow
from console.history.query import quoted
from console.tasks.view_model import TasksViewModel
from console.widgets.data_table import DataTable
from console.widgets.text import short_task_name


def row_menu(parent: QWidget, table: DataTable, model: TasksViewModel, row: TaskRow) -> QMenu:
    """The menu for `row`, which is among those that are selected. It deletes itself when it closes."""
    menu = QMenu(parent)
    menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    _add(menu, "Copy ID", lambda: QApplication.clipboard().setText(row.id))
    menu.addSeparator()
    for word, act, refusal in (
        ("Revoke…", model.revoke, model.why_not_revoke()),
        ("Terminate…", model.terminate, model.why_not_terminate()),
    ):
        action = menu.addAction(word)
        action.triggered.connect(act)
        action.setEnabled(refusal is None)
        action.setToolTip(refusal or "")
    menu.setToolTipsVisible(True)
    menu.addSeparator()
    if row.name:
        name = short_task_name(row.name)
        _add(menu, f"Only {name}", lambda: model.query_wanted.emit(f"name:{quoted(row.name or '')}"))
        _add(
            menu,
            f"Without {name}",
            lambda: model.query_wanted.emit(_narrowed(model, f"-name:{quoted(row.name or '')}")),
        )
    if row.worker:
        _add(
            menu, f"Only {row.worker}", lambda: model.query_wanted.emit(f"worker:{quoted(row.worker or '')}")
        )
    if row.queue:
        queue = row.queue
        _add(menu, f"Only queue {queue}", lambda: model.query_wanted.emit(f"queue:{quoted(queue)}"))
    menu.addSeparator()
    table.add_sort_actions(menu)
    return menu


def open_row_menu(table: DataTable, model: TasksViewModel, key: str, place: QPoint) -> None:
    """Show the menu of the row `key`; a row that is not selected is selected first."""
    if key not in model.selection.ids:
        table.select_keys([key])
    row = next((row for row in model.snapshot.rows or () if row.id == key), None)
    if row is not None:
        row_menu(table, table, model, row).popup(place)


def _narrowed(model: TasksViewModel, term: str) -> str:
    return f"{model.snapshot.text} {term}".strip()


def _add(menu: QMenu, words: str, act: Callable[[], object]) -> None:
    menu.addAction(words).triggered.connect(lambda _checked=False: act())
