"""The Connections page: which deployments there are, and the way to each."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QVBoxLayout, QWidget

from console.connections.edit_dialog import EditConnectionDialog
from console.connections.model import Connection
from console.connections.service import new_connection_id
from console.connections.view_model import ConnectionsViewModel
from console.core.commands import Command
from console.core.connection import Environment
from console.core.redaction import mask_url
from console.widgets.button import Button
from console.widgets.data_table import DataTable
from console.widgets.page import Page
from console.widgets.panel import PageHeader
from console.widgets.table_model import UNKNOWN_CELL, Cell, Column, Row
from console.widgets.text import clock_text, exact_instant
from console.widgets.zone import local_zone

COLUMNS = [
    Column("name", "Name", width=160, fit=260, kind="name"),
    Column("environment", "Environment", width=140, kind="badge"),
    Column("broker", "Broker", stretch=3, width=200, kind="mono"),
    Column("database", "Schedules database", stretch=1, width=140),
    Column("used", "Last used", width=130, kind="instant"),
]
BADGES = {
    Environment.DEVELOPMENT: ("Development", "info", None),
    Environment.STAGING: ("Staging", "warning", None),
    Environment.PRODUCTION: ("Production", "production", "shield"),
}


class ConnectionsPage(Page):
    noun = "connections"
    title = "Connections"
    icon_name = "plug"

    def __init__(self, view_model: ConnectionsViewModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._view_model = view_model
        self._dialog: EditConnectionDialog | None = None
        self._new = Button("New…", icon="plus", kind="primary")
        self._edit = Button("Edit…")
        self._duplicate = Button("Duplicate…")
        self._delete = Button("Delete…", kind="danger-outline")
        self._new.clicked.connect(lambda: self._open_editor(self._blank(), new=True))
        self._edit.clicked.connect(self._edit_selected)
        self._duplicate.clicked.connect(self._duplicate_selected)
        self._delete.clicked.connect(self._delete_selected)
        header = PageHeader("Connections")
        for button in (self._new, self._edit, self._duplicate, self._delete):
            header.add_action(button)
        self._table = DataTable("Connections", COLUMNS)
        self._table.selection_changed.connect(lambda _keys: self._enable())
        self._table.activated_row.connect(view_model.open)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 12, 12, 12)
        layout.setSpacing(12)
        layout.addWidget(header)
        layout.addWidget(self._table, 1)
        view_model.changed.connect(self._show)
        self._show()

    def focus_content(self) -> None:
        self._table.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def refresh(self) -> None:
        self._show()

    def commands(self) -> list[Command]:
        return [
            Command("New connection…", lambda: self._open_editor(self._blank(), new=True)),
            *(
                Command(f"Connect to {one.name}", partial(self._view_model.open, one.id))
                for one in self._view_model.connections
            ),
        ]

    def _show(self) -> None:
        self._table.set_rows([self._row(one) for one in self._view_model.connections])
        self._enable()

    def _row(self, connection: Connection) -> Row:
        zone = local_zone()
        is_open = connection.id == self._view_model.open_id
        used = Cell("now", sort=0) if is_open else UNKNOWN_CELL
        if connection.last_used is not None and not is_open:
            used = Cell(
                clock_text(connection.last_used, zone),
                sort=connection.last_used.timestamp(),
                tooltip=exact_instant(connection.last_used, zone),
            )
        database = self._view_model.shown_database(connection)
        return Row(
            connection.id,
            {
                "name": Cell(connection.name),
                "environment": _badge(connection.environment),
                "broker": Cell(mask_url(self._view_model.shown_broker(connection))),
                "database": Cell(mask_url(database)),
                "used": used,
            },
        )

    def _selected(self) -> Connection | None:
        keys = self._table.selected_keys()
        return next((one for one in self._view_model.connections if keys and one.id == keys[0]), None)

    def _enable(self) -> None:
        selected = self._selected()
        own = selected is not None and not selected.is_local_stack
        reason = "The local stack sets itself up" if selected is not None else "Select a connection first"
        for button in (self._edit, self._duplicate, self._delete):
            button.setEnabled(own)
            button.setToolTip("" if own else reason)

    def _blank(self) -> Connection:
        return Connection(new_connection_id(), "", Environment.PRODUCTION, None)

    def _edit_selected(self) -> None:
        if (selected := self._selected()) is not None:
            self._open_editor(selected, new=False)

    def _duplicate_selected(self) -> None:
        if (selected := self._selected()) is not None:
            self._open_editor(self._view_model.duplicate(selected, new_connection_id()), new=True)

    def _delete_selected(self) -> None:
        if (selected := self._selected()) is not None:
            self._view_model.delete(selected.id)

    def _open_editor(self, connection: Connection, *, new: bool) -> None:
        names = {one.name for one in self._view_model.connections if one.id != connection.id}
        dialog = EditConnectionDialog(self, connection, new=new, names=names)

        def finished(result: int) -> None:
            if result:
                self._view_model.save(dialog.connection, dialog.secrets, new=new)
            self._dialog = None

        dialog.finished.connect(finished)
        self._dialog = dialog
        dialog.open()


def _badge(environment: Environment) -> Cell:
    text, tone, icon = BADGES[environment]
    return Cell(text, tone=tone, icon=icon)
