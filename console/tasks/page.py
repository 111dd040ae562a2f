"""The Tasks page: search, chips per state, the live table and the story of one task."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from console.core.commands import Command
from console.history.model import Gap, TaskRow, TaskState
from console.tasks.cells import TASK_COLUMNS, task_row
from console.tasks.detail_panel import DetailPanel
from console.tasks.model import SendRequest, TasksSnapshot
from console.tasks.send_dialog import SendDialog
from console.tasks.view_model import TasksViewModel
from console.widgets.banner import Banner
from console.widgets.button import Button, Chip
from console.widgets.data_table import DataTable
from console.widgets.empty_state import EmptyState
from console.widgets.fields import SearchField
from console.widgets.flow import FlowLayout
from console.widgets.label import Dot, Text
from console.widgets.page import Page
from console.widgets.panel import PageHeader
from console.widgets.states import state_look
from console.widgets.table_model import Row
from console.widgets.table_page import TableStack
from console.widgets.text import ambiguous_task_names, clock_text, number_text
from console.widgets.zone import local_zone

ROOM_FOR_BOTH_PX = 900


class TasksPage(Page):
    noun = "tasks"
    title = "Tasks"
    icon_name = "list-checks"

    def __init__(self, view_model: TasksViewModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = view_model
        self._search = SearchField("Search tasks", mono=True)
        self._send = Button("Send task…", icon="send", kind="primary")
        self._revoke = Button("Revoke…")
        self._terminate = Button("Terminate…")
        self._chips = {
            state: Chip(
                state.value,
                icon=state_look(state.value).icon,
                tone=state_look(state.value).color,
                count=None,
            )
            for state in TaskState
        }
        self._live_dot = Dot("st_succeeded")
        self._live = Text("Live", role="label", tone="st_succeeded")
        self._banner = Banner()
        self._gap_banner = Banner()
        self._closed_gap: Gap | None = None
        self._table = DataTable("Tasks", TASK_COLUMNS)
        self._stack = TableStack(self._table)
        self._nothing = EmptyState(
            "list-checks", "No tasks yet", "A task appears here as soon as it is sent or a worker takes it."
        )
        self._no_match = EmptyState(
            "search", "No tasks match", "No task in the history fits this search.", action="Clear search"
        )
        self._away = EmptyState(
            "plug", "Not connected", "Connect to a broker to see its tasks.", action="Connect"
        )
        self._detail = DetailPanel()
        self._shown: dict[str, tuple[TaskRow, Row]] = {}
        self._ambiguous: frozenset[str] = frozenset()
        self._pending_selection: str | None = None
        self._dialog: SendDialog | None = None
        self._lay_out()
        self._connect()
        self._show()
        self._show_story()

    def _lay_out(self) -> None:
        header = PageHeader("Tasks")
        header.add_left(self._search, stretch=1)
        for button in (self._send, self._revoke, self._terminate):
            header.add_action(button)
        states = FlowLayout()
        for chip in self._chips.values():
            states.addWidget(chip)
        chips = QHBoxLayout()
        chips.setSpacing(6)
        chips.addLayout(states, 1)
        chips.addWidget(self._live_dot)
        chips.addWidget(self._live)
        content = QHBoxLayout()
        content.setSpacing(8)
        content.addWidget(self._stack, 1)
        content.addWidget(self._detail)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 12, 12, 12)
        layout.setSpacing(12)
        layout.addWidget(header)
        layout.addLayout(chips)
        layout.addWidget(self._banner)
        layout.addWidget(self._gap_banner)
        layout.addLayout(content, 1)
        self._table.set_sort("received", descending=True)

    def _connect(self) -> None:
        model = self._model
        self._search.edited.connect(model.show)
        self._search.submitted.connect(model.show)
        for state, chip in self._chips.items():
            chip.clicked.connect(partial(self._on_chip, state))
        self._send.clicked.connect(self.send_task)
        self._revoke.clicked.connect(model.revoke)
        self._terminate.clicked.connect(model.terminate)
        self._banner.action_clicked.connect(model.refresh)
        self._gap_banner.closed.connect(self._on_gap_closed)
        self._away.action_clicked.connect(self.connect_wanted)
        self._no_match.action_clicked.connect(lambda: self.open_query(""))
        self._table.selection_changed.connect(lambda keys: model.select(keys[0] if keys else None))
        self._table.sort_requested.connect(self._on_sort)
        self._table.reached_end.connect(model.more)
        self._table.pending_clicked.connect(self._to_top)
        self._table.verticalScrollBar().valueChanged.connect(
            lambda _value: model.set_at_top(not self._table.is_scrolled_down())
        )
        self._detail.same_error_wanted.connect(model.find_same_error)
        self._detail.task_chosen.connect(self._select)
        model.changed.connect(self._show)
        model.story_changed.connect(self._show_story)
        model.select_wanted.connect(self._select)
        model.query_wanted.connect(self.open_query)

    # The page's contract with the window.

    def activate(self) -> None:
        self._model.set_visible(True)
        self._model.load_names()

    def deactivate(self) -> None:
        self._model.set_visible(False)

    def refresh(self) -> None:
        self._model.refresh()

    def open_query(self, query: str) -> None:
        """`query` is in the language of the field `Search tasks`."""
        if self._search.text() != query:
            self._search.setText(query)
        self._to_top()
        self._model.show(query)

    def focus_content(self) -> None:
        rows = self._table.rows()
        if rows and not self._table.selected_keys():
            self._table.select_keys([rows[0].key])
        self._stack.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def detail(self) -> QWidget:
        return self._detail

    def commands(self) -> list[Command]:
        model = self._model
        return [
            Command("Send task…", self.send_task, enabled=lambda: model.why_not_send() is None),
            Command("Revoke task…", model.revoke, enabled=lambda: model.why_not_revoke() is None),
            Command("Terminate task…", model.terminate, enabled=lambda: model.why_not_terminate() is None),
            Command("Search tasks", self._search.setFocus),
        ]

    def send_task(self) -> None:
        """Open the dialog that sends a task."""
        self._model.load_names()
        dialog = SendDialog(self, self._model.names)
        dialog.chosen.connect(self._on_send)
        self._dialog = dialog
        dialog.open()

    # What a person does.

    def _on_send(self, request: SendRequest) -> None:
        self._model.send(request)

    def _on_chip(self, state: TaskState, *_checked: object) -> None:
        self._model.toggle_state(state, self._chips[state].isChecked())

    def _on_sort(self, column: str, descending: bool) -> None:
        self._table.set_sort(column, descending=descending)
        self._to_top()
        self._model.sort(column, descending)

    def _on_gap_closed(self) -> None:
        self._closed_gap = self._model.snapshot.gap

    def _to_top(self) -> None:
        self._table.verticalScrollBar().setValue(0)
        self._model.set_at_top(True)

    def _select(self, task_id: str) -> None:
        """Select a task now, or as soon as it is in the table."""
        self._pending_selection = task_id
        self._model.select(task_id)
        self._select_pending()

    def _select_pending(self) -> None:
        wanted = self._pending_selection
        if wanted is not None and any(row.key == wanted for row in self._table.rows()):
            self._pending_selection = None
            self._table.select_keys([wanted])

    # What the view model tells.

    def _show(self) -> None:
        now = self._model.snapshot
        self._show_rows(now)
        self._show_chips(now)
        self._show_banners(now)
        self._show_hint(now)
        self._show_actions()
        tone = "st_succeeded" if now.live else "muted"
        self._live_dot.set_color(tone)
        self._live.set_tone(tone)
        self._live.set_text("Live" if now.live else "Not live")
        self._table.set_stale(now.stale)
        self._table.set_pending(now.pending)

    def _show_rows(self, now: TasksSnapshot) -> None:
        if now.rows is None:
            self._table.set_rows([])
            if now.attached:
                self._stack.show_loading()
            else:
                self._stack.show_empty(self._away)
            return
        if not now.rows:
            self._table.set_rows([])
            self._stack.show_empty(self._no_match if now.narrowed else self._nothing)
            return
        names = {row.name for row in now.rows if row.name}
        ambiguous = ambiguous_task_names(names)
        local = all(row.worker is None or row.worker.startswith("celery@") for row in now.rows)
        if ambiguous != self._ambiguous:
            self._ambiguous = ambiguous
            self._shown = {}
        zone = local_zone()
        kept: dict[str, tuple[TaskRow, Row]] = {}
        for row in now.rows:
            known = self._shown.get(row.id)
            if known is None or known[0] != row:
                cells = task_row(row, ambiguous=ambiguous, local_workers=local, zone=zone)
                known = (row, cells)
            kept[row.id] = known
        self._shown = kept
        self._table.set_rows([cells for _, cells in kept.values()])
        self._stack.show_rows()
        self._select_pending()

    def _show_chips(self, now: TasksSnapshot) -> None:
        for state, chip in self._chips.items():
            chip.set_count(None if now.counts is None else now.counts.by_state.get(state, 0))
            chip.setChecked(state in now.query.states)

    def _show_hint(self, now: TasksSnapshot) -> None:
        self._search.set_error(now.query_error is not None)
        if now.query_error is not None or not now.narrowed or now.found is None or now.took_ms is None:
            self._search.set_hint("")
            return
        more = "" if now.counts is None or now.counts.complete else "+"
        bound = ", newest 50,000 searched" if now.query.searches_text else ""
        took = max(1, round(now.took_ms))
        self._search.set_hint(f"{number_text(now.found)}{more} found in {took} ms{bound}")

    def _show_banners(self, now: TasksSnapshot) -> None:
        if now.query_error is not None:
            error = now.query_error
            self._banner.show_message("warning", error.title, f"{error.detail}. {error.remedy}")
        elif now.error is not None:
            words = f"{now.error.detail} {now.error.remedy}".strip()
            self._banner.show_message("error", now.error.title, words, action="Retry")
        elif now.stale:
            as_of = f"As of {clock_text(now.as_of, local_zone())}" if now.as_of else "Events are not read now"
            self._banner.show_message("warning", as_of, now.reason or "Reconnecting…")
        else:
            self._banner.clear()
        gap = now.gap
        if gap is None or gap.end is None or gap.start == (self._closed_gap and self._closed_gap.start):
            self._gap_banner.clear()
            return
        zone = local_zone()
        missed = f"Events were missed from {clock_text(gap.start, zone)} to {clock_text(gap.end, zone)}"
        self._gap_banner.show_message("info", missed, f"{gap.reason}.", closable=True)

    def _show_actions(self) -> None:
        model = self._model
        for button, reason in (
            (self._send, model.why_not_send()),
            (self._revoke, model.why_not_revoke()),
            (self._terminate, model.why_not_terminate()),
        ):
            button.setEnabled(reason is None)
            button.setToolTip(reason or "")

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._make_room()

    def _make_room(self) -> None:
        """In a narrow window the panel is there only while it has a task to tell of."""
        self._detail.setVisible(self.width() >= ROOM_FOR_BOTH_PX or self._model.selected_id is not None)

    def _show_story(self) -> None:
        model = self._model
        self._make_room()
        self._show_actions()
        if model.story is not None:
            self._detail.show_story(model.story)
        elif model.story_error is not None:
            self._detail.show_nothing(model.story_error.title, model.story_error.detail)
        elif model.selected_id is not None:
            self._detail.show_nothing("Not in the history yet", "It appears with its first event.")
        else:
            self._detail.show_nothing()
