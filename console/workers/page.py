"""The Workers page: who lives, how busy, what they hold, and what can be done with one of them."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QVBoxLayout, QWidget

from console.core.commands import Command
from console.core.errors import Cause
from console.widgets.banner import Banner, BannerTone
from console.widgets.button import Button
from console.widgets.data_table import DataTable
from console.widgets.empty_state import EmptyState
from console.widgets.page import Page
from console.widgets.panel import PageHeader
from console.widgets.table_page import TableStack
from console.widgets.text import clock_text
from console.widgets.zone import local_zone
from console.workers.cells import WORKER_COLUMNS, display_names, summary_text, worker_row
from console.workers.detail_panel import DetailPanel
from console.workers.model import Action, Tab, WorkerState
from console.workers.view_model import WorkersViewModel

ROW_HEIGHT = 28
HEAD_HEIGHT = 30
ROWS_BESIDE_DETAIL = 9
UNBOUNDED = 16_777_215
_ICONS = {
    Action.PING: "activity",
    Action.GROW: "plus",
    Action.SHRINK: "minus",
    Action.ENABLE_EVENTS: "bell",
    Action.SHUT_DOWN: "power",
}


class WorkersPage(Page):
    noun = "workers"
    title = "Workers"
    icon_name = "cpu"

    def __init__(self, view_model: WorkersViewModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._view_model = view_model
        self._told_badge = ("", "")
        self._wanted: str | None = None
        self._active = False
        self._header = PageHeader("Workers")
        self._buttons = {
            action: Button(
                action.value,
                icon=_ICONS[action],
                kind="danger-outline" if action is Action.SHUT_DOWN else "normal",
            )
            for action in Action
        }
        self._banner = Banner()
        self._table = DataTable("Workers", WORKER_COLUMNS, local_sort=True)
        self._stack = TableStack(self._table)
        self._no_line = EmptyState(
            "plug", "Not connected", "Connect to a broker to see its workers.", action="Connect"
        )
        self._none = EmptyState(
            "cpu", "No workers", "Nobody sends heartbeats or answers on this broker. Start a worker."
        )
        self._detail = DetailPanel()
        for button in self._buttons.values():
            self._header.add_action(button)
        self._table.set_sort("worker")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 12, 12, 12)
        layout.setSpacing(12)
        layout.addWidget(self._header)
        layout.addWidget(self._banner)
        layout.addWidget(self._stack, 1)
        layout.addWidget(self._detail, 1)
        self._connect()
        self._show_rows()
        self._show_chosen()

    def _connect(self) -> None:
        model = self._view_model
        for action, button in self._buttons.items():
            button.clicked.connect(partial(self._do, action))
        self._banner.action_clicked.connect(model.refresh)
        self._no_line.action_clicked.connect(self.connect_wanted)
        self._table.selection_changed.connect(lambda keys: model.choose(keys[0] if keys else None))
        self._detail.tab_chosen.connect(lambda word: model.choose_tab(Tab(word)))
        self._detail.read_again.connect(model.read_listing)
        model.rows_changed.connect(self._show_rows)
        model.chosen_changed.connect(self._show_chosen)
        model.listing_changed.connect(self._show_listing)

    def _do(self, action: Action, *_checked: object) -> None:
        self._view_model.do(action)

    # --- Page --------------------------------------------------------------------------------------------

    def activate(self) -> None:
        self._active = True
        self._view_model.set_visible(True)
        self._show_rows()

    def deactivate(self) -> None:
        self._active = False
        self._view_model.set_visible(False)

    def refresh(self) -> None:
        self._view_model.refresh()

    def open_query(self, query: str) -> None:
        """`query` is the name of a worker, to be selected as soon as it is there."""
        self._wanted = query.strip() or None
        self._show_wanted()

    def focus_content(self) -> None:
        rows = self._table.rows()
        if rows and not self._table.selected_keys():
            self._table.select_keys([rows[0].key])
        self._stack.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def detail(self) -> QWidget:
        return self._detail

    def commands(self) -> list[Command]:
        model = self._view_model
        words = {
            Action.PING: "Ping worker",
            Action.GROW: "Grow pool of worker",
            Action.SHRINK: "Shrink pool of worker",
            Action.ENABLE_EVENTS: "Enable events of worker",
            Action.SHUT_DOWN: "Shut down worker…",
        }
        return [
            Command(words[action], partial(model.do, action), enabled=partial(_allowed, model, action))
            for action in Action
        ]

    # --- What the view model tells -----------------------------------------------------------------------

    def _show_rows(self) -> None:
        self._show_badge()
        if not self._active:  # nobody looks: the sidebar's number is enough
            return
        model = self._view_model
        snapshot = model.snapshot
        names, zone, now = display_names(snapshot.rows), local_zone(), model.now
        silent = set(snapshot.silent)
        self._table.set_rows(
            [
                worker_row(row, shown=names[row.hostname], silent=row.hostname in silent, now=now, zone=zone)
                for row in snapshot.rows
            ]
        )
        self._table.set_stale(snapshot.stale and bool(snapshot.rows))
        self._header.set_subtitle(summary_text(snapshot))
        if snapshot.rows:
            self._stack.show_rows()
        elif not model.attached:
            self._stack.show_empty(self._no_line)
        elif snapshot.as_of is None and snapshot.error is None:
            self._stack.show_loading()
        else:
            self._stack.show_empty(self._none)
        self._show_wanted()
        self._show_banner()

    def _show_wanted(self) -> None:
        wanted = self._wanted
        if wanted is not None and any(row.key == wanted for row in self._table.rows()):
            self._wanted = None
            self._table.select_keys([wanted])
            self._table.scroll_to(wanted)

    def _show_banner(self) -> None:
        snapshot = self._view_model.snapshot
        as_of = "" if snapshot.as_of is None else f"As of {clock_text(snapshot.as_of, local_zone())}"
        if snapshot.error is not None:
            parts = (as_of and f"{as_of}.", snapshot.error.detail, snapshot.error.remedy)
            detail = " ".join(part for part in parts if part)
            refused = snapshot.error.cause is Cause.NOT_PERMITTED
            tone: BannerTone = "info" if refused else "error"
            action = None if refused else "Retry"
            self._banner.show_message(tone, snapshot.error.title, detail, action=action)
        elif snapshot.stale and as_of:
            self._banner.show_message(
                "warning", as_of, "Heartbeats cannot arrive now; states are the last known."
            )
        else:
            self._banner.clear()

    def _show_badge(self) -> None:
        rows = self._view_model.snapshot.rows
        troubled = sum(row.state is WorkerState.LATE for row in rows)
        badge = (str(troubled), "warning") if troubled else (f"{len(rows):,}" if rows else "", "neutral")
        if badge != self._told_badge:
            self._told_badge = badge
            self.badge_changed.emit(*badge)

    def _show_chosen(self) -> None:
        model = self._view_model
        for action, button in self._buttons.items():
            why_not = model.refusal(action)
            button.setEnabled(why_not is None)
            button.setToolTip(why_not or "")
        row = model.row
        self._detail.setVisible(row is not None)
        rows = min(max(len(model.snapshot.rows), 3), ROWS_BESIDE_DETAIL)
        self._stack.setMaximumHeight(UNBOUNDED if row is None else ROW_HEIGHT * rows + HEAD_HEIGHT)
        if row is not None:
            self._detail.show_worker(row, shown=display_names(model.snapshot.rows)[row.hostname])
            if row.state is WorkerState.OFFLINE:
                self._show_listing()

    def _show_listing(self) -> None:
        model = self._view_model
        row = model.row
        self._detail.show_listing(
            model.tab,
            model.listing,
            error=model.listing_error,
            offline=row is not None and row.state is WorkerState.OFFLINE,
            reading=model.reading,
            now=model.now,
        )


def _allowed(model: WorkersViewModel, action: Action) -> bool:
    return model.refusal(action) is None
