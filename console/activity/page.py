"""The Activity page: everything that was done through this console, newest first."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QVBoxLayout, QWidget

from console.activity.model import ActivityLine
from console.activity.view_model import ActivityViewModel
from console.core.activity import Outcome
from console.widgets.banner import Banner
from console.widgets.data_table import DataTable
from console.widgets.empty_state import EmptyState
from console.widgets.fields import SearchField
from console.widgets.page import Page
from console.widgets.panel import PageHeader
from console.widgets.table_model import Cell, Column, Row
from console.widgets.table_page import TableStack
from console.widgets.text import clock_text, exact_instant
from console.widgets.zone import local_zone

COLUMNS = [
    Column("when", "When", width=112, kind="instant"),
    Column("who", "Who", width=60, fit=120),
    Column("connection", "Connection", width=90, fit=170),
    Column("operation", "Operation", width=110, fit=200, kind="name"),
    Column("target", "Target", width=110, fit=200),
    Column("reason", "Reason", width=70, fit=220),
    Column("outcome", "Outcome", stretch=1, width=200),
]
TONES = {Outcome.STARTED: "warning", Outcome.DONE: "ok", Outcome.FAILED: "error"}
ICONS = {Outcome.STARTED: "loader", Outcome.DONE: "circle-check", Outcome.FAILED: "circle-x"}


class ActivityPage(Page):
    noun = "activity"
    title = "Activity"
    icon_name = "scroll-text"

    def __init__(self, view_model: ActivityViewModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._view_model = view_model
        self._search = SearchField("Search activity")
        self._search.edited.connect(view_model.set_search)
        header = PageHeader("Activity")
        header.add_left(self._search, stretch=1)
        self._banner = Banner()
        self._banner.action_clicked.connect(view_model.refresh)
        self._table = DataTable("Activity", COLUMNS)
        self._stack = TableStack(self._table)
        self._stack.show_loading()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 12, 12, 12)
        layout.setSpacing(12)
        layout.addWidget(header)
        layout.addWidget(self._banner)
        layout.addWidget(self._stack, 1)
        view_model.changed.connect(self._show)

    def activate(self) -> None:
        self._view_model.set_visible(True)

    def deactivate(self) -> None:
        self._view_model.set_visible(False)

    def refresh(self) -> None:
        self._view_model.refresh()

    def open_query(self, query: str) -> None:
        self._search.setText(query)
        self._view_model.set_search(query)

    def focus_content(self) -> None:
        self._stack.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def _show(self) -> None:
        error = self._view_model.error
        if error is None:
            self._banner.clear()
        else:
            self._banner.show_message("error", error.title, f"{error.detail} {error.remedy}", action="Retry")
        lines = self._view_model.lines
        self._table.set_stale(error is not None)
        if lines:
            self._table.set_rows([_row(line) for line in lines])
            self._stack.show_rows()
        elif lines is not None and self._view_model.search:
            empty = EmptyState(
                "search", "No activity matches", "No act holds all of these words.", action="Clear search"
            )
            empty.action_clicked.connect(lambda: self.open_query(""))
            self._stack.show_empty(empty)
        elif lines is not None:
            self._stack.show_empty(
                EmptyState(
                    "scroll-text", "Nothing was done yet", "Whatever changes something is recorded here."
                )
            )


def _row(line: ActivityLine) -> Row:
    zone = local_zone()
    said = line.said or (
        "Not known: the console ended before it did" if line.outcome is Outcome.STARTED else ""
    )
    outcome = f"{line.outcome.value}: {said}" if said else line.outcome.value
    return Row(
        str(line.number),
        {
            "when": Cell(
                clock_text(line.when, zone), sort=line.number, tooltip=exact_instant(line.when, zone)
            ),
            "who": Cell(line.who),
            "connection": Cell(line.connection),
            "operation": Cell(line.operation),
            "target": Cell(line.target or "–"),
            "reason": Cell(line.reason or "–"),
            "outcome": Cell(outcome, tone=TONES[line.outcome], icon=ICONS[line.outcome], tooltip=outcome),
        },
    )
