"""The Workers page: who lives, how busy, what they hold, and what can be done with one or several of them."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QVBoxLayout, QWidget

from console.core.commands import Command
from console.core.errors import Cause
from console.core.navigation import Navigate
from console.widgets.banner import Banner, BannerTone
from console.widgets.button import Button, Chip
from console.widgets.data_table import DataTable
from console.widgets.empty_state import EmptyState
from console.widgets.fields import SearchField
from console.widgets.label import Text
from console.widgets.page import Page
from console.widgets.panel import PageHeader
from console.widgets.states import state_look
from console.widgets.table_model import Row
from console.widgets.table_page import TableStack
from console.widgets.text import clock_text
from console.widgets.zone import local_zone
from console.workers.action_bar import ActionBar
from console.workers.action_dialog import WITH_FORM, action_dialog
from console.workers.actions import Action
from console.workers.cells import WORKER_COLUMNS, display_names, sorted_workers, summary_text, worker_row
from console.workers.detail_panel import DetailPanel
from console.workers.model import Tab, WorkerState
from console.workers.view_model import WorkersViewModel

ROW_HEIGHT = 28
HEAD_HEIGHT = 30
ROWS_BESIDE_DETAIL = 8
UNBOUNDED = 16_777_215
TICK_MS = 1000
_COMMANDS = {
    Action.PING: "Ping worker",
    Action.GROW: "Grow pool of worker",
    Action.SHRINK: "Shrink pool of worker",
    Action.AUTOSCALE: "Autoscale worker…",
    Action.RESTART_POOL: "Restart pool of worker",
    Action.ADD_QUEUE: "Add queue to worker…",
    Action.STOP_CONSUMING: "Stop consuming queue on worker…",
    Action.RATE_LIMIT: "Rate limit on worker…",
    Action.TIME_LIMIT: "Time limit on worker…",
    Action.ENABLE_EVENTS: "Enable events of worker",
    Action.SHUT_DOWN: "Shut down worker…",
}


class WorkersPage(Page):
    noun = "workers"
    title = "Workers"
    icon_name = "cpu"

    def __init__(
        self, view_model: WorkersViewModel, *, navigate: Navigate, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._view_model = view_model
        self._navigate = navigate
        self._told_badge = ("", "")
        self._wanted: str | None = None
        self._active = False
        self._sort = ("worker", False)
        self._made: dict[str, tuple[tuple[object, ...], Row]] = {}
        self._header = PageHeader("Workers")
        self._search = SearchField("Search workers")
        self._chips = {
            state: Chip(
                state.value, icon=state_look(state.value).icon, tone=state_look(state.value).color, count=0
            )
            for state in WorkerState
        }
        self._dismiss_all = Button("Dismiss all offline")
        self._bar = ActionBar()
        self._banner = Banner()
        self._table = DataTable("Workers", WORKER_COLUMNS, multi=True)
        self._stack = TableStack(self._table)
        self._no_line = EmptyState(
            "plug", "Not connected", "Connect to a broker to see its workers.", action="Connect"
        )
        self._none = EmptyState(
            "cpu", "No workers", "Nobody sends heartbeats or answers on this broker. Start a worker."
        )
        self._no_match = EmptyState(
            "search", "No workers match", "No worker has these words and states.", action="Clear search"
        )
        self._several = Text(role="label", tone="muted", wrap=True)
        self._detail = DetailPanel()
        self._ticks = QTimer(self, interval=TICK_MS)
        self._table.set_sort(self._sort[0])
        self._lay_out()
        self._connect()
        self._show_rows()
        self._show_chosen()

    def _lay_out(self) -> None:
        self._search.setMinimumWidth(120)
        self._search.setMaximumWidth(220)
        head = (
            *(self._search, *self._chips.values()),
            *(self._dismiss_all, self._bar.dismiss, self._bar.shut_down),
        )
        for widget in head:
            self._header.add_action(widget)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 12, 12, 12)
        layout.setSpacing(10)
        layout.addWidget(self._header)
        layout.addWidget(self._bar)
        layout.addWidget(self._banner)
        layout.addWidget(self._stack, 1)
        layout.addWidget(self._several)
        layout.addWidget(self._detail, 1)

    def _connect(self) -> None:
        model = self._view_model
        self._bar.pressed.connect(self._do)
        self._bar.dismiss_pressed.connect(lambda: model.dismiss(model.dismissable))
        self._bar.places_changed.connect(self._on_places)
        self._dismiss_all.clicked.connect(lambda: model.dismiss(model.offline))
        self._search.edited.connect(model.set_search)
        for chip in self._chips.values():
            chip.toggled.connect(self._on_chip)
        self._banner.action_clicked.connect(model.refresh)
        self._no_line.action_clicked.connect(self.connect_wanted)
        self._no_match.action_clicked.connect(self._clear_search)
        self._table.selection_changed.connect(model.choose)
        self._table.sort_requested.connect(self._on_sort)
        self._detail.tab_chosen.connect(lambda word: model.choose_tab(Tab(word)))
        self._detail.read_again.connect(model.read_listing)
        self._detail.task_wanted.connect(lambda task_id: self._navigate("tasks", f"id:{task_id}"))
        self._ticks.timeout.connect(self._on_tick)
        model.rows_changed.connect(self._show_rows)
        model.chosen_changed.connect(self._show_chosen)
        model.listing_changed.connect(self._show_listing)

    # --- What a person does ------------------------------------------------------------------------------

    def _do(self, action: Action) -> None:
        model = self._view_model
        if model.refusal(action) is not None:
            return
        if action in WITH_FORM:
            dialog = action_dialog(self, action, model)
            dialog.chosen.connect(partial(model.do, action))
            dialog.open()
        else:
            model.do(action)

    def _on_places(self, places: int) -> None:
        self._view_model.places = max(1, places)
        self._show_actions()

    def _on_chip(self) -> None:
        states = frozenset(state for state, chip in self._chips.items() if chip.isChecked())
        self._view_model.set_states(states)

    def _on_sort(self, column: str, descending: bool) -> None:
        self._sort = (column, descending)
        self._table.set_sort(column, descending=descending)
        self._show_rows()

    def _clear_search(self) -> None:
        self._search.setText("")
        for chip in self._chips.values():
            chip.setChecked(False)
        self._view_model.set_search("")

    def _on_tick(self) -> None:
        model = self._view_model
        row = model.row
        if row is not None:
            self._detail.tick(row, now=model.now)
        model.read_again_if_due()

    # --- Page --------------------------------------------------------------------------------------------

    def activate(self) -> None:
        self._active = True
        self._view_model.set_visible(True)
        self._ticks.start()
        self._show_rows()
        self._show_chosen()

    def deactivate(self) -> None:
        self._active = False
        self._ticks.stop()
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
        return [
            Command(_COMMANDS[action], partial(self._do, action), enabled=partial(_allowed, model, action))
            for action in Action
        ]

    # --- What the view model tells -----------------------------------------------------------------------

    def _show_rows(self) -> None:
        self._show_badge()
        if not self._active:  # nobody looks: the sidebar's number is enough
            return
        model = self._view_model
        snapshot, shown = model.snapshot, model.shown
        self._table.set_rows(self._rows())
        self._table.set_stale(snapshot.stale and bool(snapshot.rows))
        self._header.set_subtitle(summary_text(snapshot))
        for state, chip in self._chips.items():
            chip.set_count(sum(row.state is state for row in snapshot.rows))
        self._dismiss_all.setVisible(bool(model.offline))
        if shown:
            self._stack.show_rows()
        elif snapshot.rows:
            self._stack.show_empty(self._no_match)
        elif not model.attached:
            self._stack.show_empty(self._no_line)
        elif snapshot.as_of is None and snapshot.error is None:
            self._stack.show_loading()
        else:
            self._stack.show_empty(self._none)
        self._show_wanted()
        self._show_banner()

    def _rows(self) -> list[Row]:
        """The lines of the table; one that says what it said before is not made again."""
        model = self._view_model
        snapshot = model.snapshot
        names, zone, now = display_names(snapshot.rows), local_zone(), model.now
        silent = set(snapshot.silent)
        lines, made = [], {}
        for row in sorted_workers(model.shown, self._sort[0], descending=self._sort[1]):
            name = row.hostname
            made_from = (row, names[name], name in silent, zone, now.date())
            old = self._made.get(name)
            made[name] = (
                old
                if old is not None and old[0] == made_from
                else (
                    made_from,
                    worker_row(row, shown=names[name], silent=name in silent, now=now, zone=zone),
                )
            )
            lines.append(made[name][1])
        self._made = made
        return lines

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
        live = sum(row.state is not WorkerState.OFFLINE for row in rows)
        badge = (str(troubled), "warning") if troubled else (f"{live:,}" if rows else "", "neutral")
        if badge != self._told_badge:
            self._told_badge = badge
            self.badge_changed.emit(*badge)

    def _show_actions(self) -> None:
        model = self._view_model
        self._bar.show_refusals(model.refusal, dismissable=len(model.dismissable))

    def _show_chosen(self) -> None:
        if not self._active:
            return
        model = self._view_model
        self._show_actions()
        row, chosen = model.row, model.rows
        self._detail.setVisible(row is not None)
        self._several.setVisible(len(chosen) > 1)
        if len(chosen) > 1:
            self._several.set_text(
                f"{len(chosen):,} workers are chosen: an action goes to all that allow it."
            )
        lines = min(max(len(self._table.rows()), 3), ROWS_BESIDE_DETAIL)
        self._stack.setMaximumHeight(UNBOUNDED if row is None else ROW_HEIGHT * lines + HEAD_HEIGHT)
        if row is not None:
            shown = display_names(model.snapshot.rows)[row.hostname]
            self._detail.show_worker(row, shown=shown, now=model.now)
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
