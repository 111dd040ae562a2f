"""The Schedules page: beat's timetable with its next and last runs, and switches that beat obeys."""

from __future__ import annotations

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QVBoxLayout, QWidget

from console.core.commands import Command
from console.schedules.cells import COLUMNS, Order, RowBook
from console.schedules.detail_panel import DetailPanel
from console.schedules.view_model import SchedulesViewModel
from console.widgets.banner import Banner
from console.widgets.button import Button
from console.widgets.data_table import DataTable
from console.widgets.empty_state import EmptyState
from console.widgets.fields import SearchField
from console.widgets.page import Page
from console.widgets.panel import PageHeader
from console.widgets.table_page import TableStack
from console.widgets.text import clock_text
from console.widgets.zone import local_zone

TICK_MS = 1_000
MADE_AT_ONCE = 2_000
"""Rows made in one go: about 10 ms, so that a timetable of thousands never stops the window."""


EMPTY_ACTIONS = {"search": "Clear search", "plug": "Connect"}


class SchedulesPage(Page):
    noun = "schedules"
    title = "Schedules"
    icon_name = "calendar-clock"

    def __init__(self, view_model: SchedulesViewModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._view_model = view_model
        self._book = RowBook()
        self._order = Order()
        self._told_badge = ("", "")
        self._search = SearchField("Search schedules")
        self._enable = Button("Enable")
        self._disable = Button("Disable")
        self._run_now = Button("Run now…", icon="play")
        self._undo = Button("Undo", icon="undo-2")
        self._banner = Banner()
        self._table = DataTable("Schedules", COLUMNS, multi=True)
        self._stack = TableStack(self._table)
        self._empty = EmptyState("calendar-clock", "No schedules yet")
        self._detail = DetailPanel()
        self._tick = QTimer(self)
        self._tick.setInterval(TICK_MS)
        self._lay_out()
        self._connect()
        self._stack.show_loading()
        self._show_rows()
        self._show_actions()
        self._show_detail()

    def _lay_out(self) -> None:
        header = PageHeader("Schedules")
        header.add_left(self._search, stretch=1)
        for button in (self._enable, self._disable, self._run_now, self._undo):
            header.add_action(button)
        self._stack.show_empty(self._empty)
        body = QVBoxLayout()
        body.setSpacing(8)
        body.addWidget(self._stack, 1)
        body.addWidget(self._detail)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 12, 12, 12)
        layout.setSpacing(12)
        layout.addWidget(header)
        layout.addWidget(self._banner)
        layout.addLayout(body, 1)
        self._table.set_sort(self._order.column)

    def _connect(self) -> None:
        model = self._view_model
        self._search.edited.connect(model.set_search)
        self._enable.clicked.connect(model.enable)
        self._disable.clicked.connect(model.disable)
        self._run_now.clicked.connect(model.run_now)
        self._undo.clicked.connect(model.undo)
        self._banner.action_clicked.connect(model.refresh)
        self._empty.action_clicked.connect(self._act_on_empty)
        self._table.sort_requested.connect(self._sort)
        self._table.check_toggled.connect(lambda key, wanted: model.switch([int(key)], enabled=wanted))
        self._table.selection_changed.connect(lambda keys: model.select([int(key) for key in keys]))
        self._tick.timeout.connect(self._show_rows)
        model.rows_changed.connect(self._show_rows)
        model.actions_changed.connect(self._show_actions)
        model.detail_changed.connect(self._show_detail)

    # --- Page --------------------------------------------------------------------------------------------

    def activate(self) -> None:
        self._view_model.set_visible(True)
        self._show_rows()
        self._tick.start()

    def deactivate(self) -> None:
        self._tick.stop()
        self._view_model.set_visible(False)

    def refresh(self) -> None:
        self._view_model.refresh()

    def open_query(self, query: str) -> None:
        self._search.setText(query)
        self._view_model.set_search(query)

    def focus_content(self) -> None:
        self._table.setFocus()

    def detail(self) -> QWidget | None:
        return self._detail if self._detail.isVisible() else None

    def commands(self) -> list[Command]:
        model = self._view_model
        return [
            Command("Enable schedule", model.enable, enabled=lambda: model.actions().enable is None),
            Command("Disable schedule", model.disable, enabled=lambda: model.actions().disable is None),
            Command("Run schedule now…", model.run_now, enabled=lambda: model.actions().run_now is None),
            Command("Undo on schedules", model.undo, enabled=lambda: model.actions().undo is None),
        ]

    def _act_on_empty(self) -> None:
        if self._view_model.snapshot.attached:
            self.open_query("")
        else:
            self.connect_wanted.emit()

    def _sort(self, column: str, descending: bool) -> None:
        self._order = Order(column, descending)
        self._table.set_sort(column, descending=descending)
        self._show_rows()

    # --- What the view model tells -----------------------------------------------------------------------

    def _show_rows(self) -> None:
        self._show_banner()
        self._show_badge()
        model = self._view_model
        if not model.rows:
            self._show_none()
            return
        rows = self._book.rows(
            model.rows, order=self._order, zone=local_zone(), now=model.now, at_most=MADE_AT_ONCE
        )
        if rows is None:
            QTimer.singleShot(0, self, self._show_rows)
            return
        self._table.set_rows(rows)
        self._stack.show_rows()
        count, total = len(rows), len(model.snapshot.rows or ())
        self._search.set_hint(f"{count:,} of {total:,}" if model.search else "")

    def _show_none(self) -> None:
        model = self._view_model
        snapshot = model.snapshot
        self._table.set_rows([])
        self._search.set_hint("")
        empty: tuple[str, str, str]
        if not snapshot.attached:
            empty = ("plug", "Not connected", "Connect to a deployment to see its schedules.")
        elif not snapshot.configured:
            reason = "This connection names no database with django-celery-beat's tables."
            empty = ("database", "No schedules database", reason)
        elif snapshot.rows is None and snapshot.error is None:
            self._stack.show_loading()
            return
        elif snapshot.rows is None:
            empty = ("database", "Nothing could be read", "The reason stands above the table.")
        elif model.search:
            empty = ("search", "No schedules match", "No schedule holds all of these words.")
        else:
            empty = ("calendar-clock", "No schedules yet", "This database has no periodic tasks.")
        self._empty.set(*empty, action=EMPTY_ACTIONS.get(empty[0]))
        self._stack.show_empty(self._empty)

    def _show_banner(self) -> None:
        snapshot = self._view_model.snapshot
        self._table.set_stale(snapshot.error is not None or not snapshot.attached)
        if snapshot.error is None:
            self._banner.clear()
            return
        detail = " ".join(part for part in (snapshot.error.detail, snapshot.error.remedy) if part)
        if snapshot.as_of is not None:
            detail = f"As of {clock_text(snapshot.as_of, local_zone())}. {detail}"
        self._banner.show_message("error", snapshot.error.title, detail, action="Retry")

    def _show_badge(self) -> None:
        rows, problems = self._view_model.snapshot.rows, self._view_model.problems
        badge = (str(len(problems)), "warning") if problems else (f"{len(rows):,}" if rows else "", "neutral")
        if badge != self._told_badge:
            self._told_badge = badge
            self.badge_changed.emit(*badge)

    def _show_actions(self) -> None:
        actions = self._view_model.actions()
        for button, why_not in (
            (self._enable, actions.enable),
            (self._disable, actions.disable),
            (self._run_now, actions.run_now),
            (self._undo, actions.undo),
        ):
            button.setEnabled(why_not is None)
            button.setToolTip(why_not or "")

    def _show_detail(self) -> None:
        model = self._view_model
        view = model.detail
        self._detail.setVisible(view is not None)
        if view is not None:
            self._detail.show_schedule(
                view, coming=model.coming, change=model.change_text(view), now=model.now
            )
