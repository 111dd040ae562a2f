"""The Connections page: which deployments there are, the editor of the chosen one, and its test."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from console.connections.check_panel import CheckPanel
from console.connections.editor_panel import EditorPanel
from console.connections.export_dialog import ExportDialog
from console.connections.import_dialog import ImportDialog
from console.connections.model import Colour
from console.connections.tabs_panel import COLOUR_DOTS
from console.connections.view_model import ConnectionRow, ConnectionsViewModel
from console.core.commands import Command
from console.core.connection import LOCAL_STACK_ID, Environment
from console.widgets.banner import Banner
from console.widgets.button import Button
from console.widgets.data_table import DataTable
from console.widgets.dialog import ConfirmDialog, ConsoleDialog
from console.widgets.page import Page
from console.widgets.panel import PageHeader
from console.widgets.table_model import UNKNOWN_CELL, Cell, Column, Row
from console.widgets.text import clock_text, escaped, exact_instant
from console.widgets.tokens import HEADER_HEIGHT, ROW_HEIGHT
from console.widgets.zone import local_zone

COLUMNS = [
    Column("name", "Name", width=166, fit=300, least=150, kind="name"),
    Column("environment", "Environment", width=140, least=120, kind="badge"),
    Column("broker", "Broker", stretch=3, width=200, kind="mono"),
    Column("database", "Schedules database", stretch=1, width=140),
    Column("used", "Last used", width=130, least=100, kind="instant"),
]
BADGES = {
    Environment.DEVELOPMENT: ("Development", "info", None),
    Environment.STAGING: ("Staging", "warning", None),
    Environment.PRODUCTION: ("Production", "production", "shield"),
}
PANELS_PX = 514
"""What the editor needs to show its first tab whole; the table scrolls before that has to."""
FEWEST_ROWS = 3


class ConnectionsPage(Page):
    noun = "connections"
    title = "Connections"
    icon_name = "plug"

    def __init__(self, view_model: ConnectionsViewModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._view_model = view_model
        self._dialog: ConsoleDialog | None = None
        self._banner = Banner()
        self._banner.action_clicked.connect(view_model.use_last_good)
        self._table = DataTable("Connections", COLUMNS, local_sort=True)
        self._table.set_sort("name")
        self._table.selection_changed.connect(self._on_selection)
        self._table.activated_row.connect(view_model.open)
        self._editor = EditorPanel(view_model)
        self._editor.new_wanted.connect(view_model.new_blank)
        self._editor.import_wanted.connect(self._import)
        self._check = CheckPanel(view_model)
        panels = QHBoxLayout()
        panels.setSpacing(8)
        panels.addWidget(self._editor, 540)
        panels.addWidget(self._check, 516)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(12, 12, 12, 12)
        self._layout.setSpacing(12)
        self._layout.addWidget(self._header())
        self._layout.addWidget(self._banner)
        self._layout.addWidget(self._table)
        self._layout.addLayout(panels, 1)
        view_model.changed.connect(self._show)
        self._show()
        self._editor.show_editing()
        self._check.show_check()

    def _header(self) -> PageHeader:
        view_model = self._view_model
        self._new = Button("New…", icon="plus", kind="primary")
        self._edit = Button("Edit…")
        self._duplicate = Button("Duplicate…")
        self._test = Button("Test")
        self._import_button = Button("Import…")
        self._export = Button("Export…")
        self._delete = Button("Delete…", kind="danger-outline")
        self._new.clicked.connect(view_model.new_blank)
        self._edit.clicked.connect(lambda: self._editor.focus_field("name"))
        self._duplicate.clicked.connect(view_model.duplicate)
        self._test.clicked.connect(view_model.test)
        self._import_button.clicked.connect(self._import)
        self._export.clicked.connect(self._export_some)
        self._delete.clicked.connect(self._ask_delete)
        header = PageHeader("Connections")
        for button in (
            *(self._new, self._edit, self._duplicate, self._test),
            *(self._import_button, self._export, self._delete),
        ):
            header.add_action(button)
        return header

    def activate(self) -> None:
        self._view_model.activate()

    def focus_content(self) -> None:
        self._table.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def detail(self) -> QWidget:
        return self._editor

    def refresh(self) -> None:
        self._show()

    def open_query(self, query: str) -> None:
        """`query` is a connection's id, "new" or "import"."""
        if query == "new":
            self._view_model.new_blank()
        elif query == "import":
            self._import()
        elif query:
            self._table.select_keys([query])

    def commands(self) -> list[Command]:
        view_model = self._view_model
        own = self._own()
        return [
            Command("New connection…", view_model.new_blank),
            Command("Import connections…", self._import),
            Command("Export connections…", self._export_some),
            *([Command(f"Test {own.name}", view_model.test)] if own is not None else []),
            *(
                Command(f"Connect to {one.name}", partial(view_model.open, one.id))
                for one in view_model.rows
                if one.state != "Not saved"
            ),
        ]

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit_table()

    def _fit_table(self) -> None:
        """As high as its rows, as long as the panels below keep the room they need."""
        rows = len(self._view_model.rows)
        wanted = HEADER_HEIGHT + rows * ROW_HEIGHT + 2
        banner = self._banner.height() + 12 if not self._banner.isHidden() else 0
        room = self.height() - 28 - 4 * 12 - PANELS_PX - banner
        # On a low window both give: three rows of the table stay.
        room = max(room, HEADER_HEIGHT + FEWEST_ROWS * ROW_HEIGHT + 2)
        self._table.setFixedHeight(min(wanted, room))

    def _show(self) -> None:
        view_model = self._view_model
        error = view_model.unreadable
        if error is not None:
            self._banner.show_message("error", error.title, error.detail, action="Use the last good file")
        else:
            self._banner.clear()
        self._table.set_rows([_row(one) for one in view_model.rows])
        if not view_model.selected_id and view_model.rows:
            wanted = next((one.id for one in view_model.rows if one.is_open), view_model.rows[0].id)
            view_model.select(wanted)
            return
        if self._table.selected_keys() != [view_model.selected_id]:
            self._table.select_keys([view_model.selected_id])
            self._table.scroll_to(view_model.selected_id)
        self._enable()
        self._fit_table()

    def _on_selection(self, keys: list[str]) -> None:
        if keys:
            self._view_model.select(keys[0])

    def _own(self) -> ConnectionRow | None:
        """The chosen row, when it is not the local stack."""
        selected = self._view_model.selected
        if selected is None or selected.is_local_stack:
            return None
        return next((one for one in self._view_model.rows if one.id == selected.id), None)

    def _enable(self) -> None:
        own = self._own()
        reason = (
            "The local stack sets itself up"
            if self._view_model.selected is not None
            else "Select a connection first"
        )
        for button in (self._edit, self._duplicate, self._delete):
            button.setEnabled(own is not None)
            button.setToolTip("" if own is not None else reason)
        refusal = self._view_model.test_refusal
        self._test.setEnabled(not refusal)
        self._test.setToolTip(refusal)
        some = any(not one.is_local_stack for one in self._view_model.connections)
        self._export.setEnabled(some)
        self._export.setToolTip("" if some else "There is no connection to export")

    def _ask_delete(self) -> None:
        own = self._own()
        if own is None:
            return
        if own.state == "Not saved":
            self._view_model.cancel()
            return
        production = own.environment is Environment.PRODUCTION
        name = f"<red>{escaped(own.name)}</red>" if production else f"<b>{escaped(own.name)}</b>"
        dialog = ConfirmDialog(
            self,
            title=f"Delete {own.name}?",
            text_html=f"The settings of {name} go, and its passwords leave the keyring. "
            "The history on this computer stays, and nothing changes on the broker.",
            verb="Delete",
            danger=True,
            type_to_confirm=own.name if production else None,
            production=production,
        )
        dialog.accepted.connect(partial(self._view_model.delete, own.id))
        self._open(dialog)

    def _import(self) -> None:
        self._open(ImportDialog(self, self._view_model))

    def _export_some(self) -> None:
        own = self._own()
        chosen = own.id if own is not None and own.state != "Not saved" else ""
        self._open(ExportDialog(self, self._view_model, chosen=chosen))

    def _open(self, dialog: ConsoleDialog) -> None:
        self._dialog = dialog  # Python must not let go of it while it is open
        dialog.open()


def _row(one: ConnectionRow) -> Row:
    zone = local_zone()
    used = UNKNOWN_CELL
    if one.is_open:
        used = Cell("now", sort=float("inf"))
    elif one.last_used is not None:
        used = Cell(
            clock_text(one.last_used, zone, seconds=False),
            sort=one.last_used.timestamp(),
            tooltip=exact_instant(one.last_used, zone),
        )
    return Row(
        one.id,
        {
            "name": Cell(
                one.name,
                sort=_place(one),
                badge=(one.state, "warning", None) if one.state else None,
                dot=COLOUR_DOTS.get(one.colour.value) if one.colour is not Colour.NONE else None,
            ),
            "environment": _badge(one.environment),
            "broker": Cell(one.broker),
            "database": Cell(one.database),
            "used": used,
        },
    )


def _place(one: ConnectionRow) -> str:
    """The local stack first, what is not saved last: a row does not jump while its name is typed."""
    if one.state == "Not saved":
        return f"2{one.id}"
    return f"{0 if one.id == LOCAL_STACK_ID else 1}{one.name.casefold()}"


def _badge(environment: Environment) -> Cell:
    text, tone, icon = BADGES[environment]
    return Cell(text, tone=tone, icon=icon)
