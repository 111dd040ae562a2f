"""The Queues page: how much waits, who takes it, and what the next messages are."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QVBoxLayout, QWidget

from console.core.commands import Command
from console.queues.cells import QUEUE_COLUMNS, drain_text, queue_row, summary_text
from console.queues.messages_panel import MessagesPanel
from console.queues.view_model import QueuesViewModel
from console.widgets.banner import Banner
from console.widgets.button import Button
from console.widgets.data_table import DataTable
from console.widgets.empty_state import EmptyState
from console.widgets.label import Text
from console.widgets.page import Page
from console.widgets.panel import PageHeader
from console.widgets.table_page import TableStack
from console.widgets.text import clock_text
from console.widgets.zone import local_zone

ROW_HEIGHT = 32
HEAD_HEIGHT = 30
ROWS_BESIDE_MESSAGES = 7
UNBOUNDED = 16_777_215


class QueuesPage(Page):
    noun = "queues"
    title = "Queues"
    icon_name = "layers"

    def __init__(self, view_model: QueuesViewModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._view_model = view_model
        self._told_badge = ""
        self._wanted: str | None = None
        self._active = False
        self._header = PageHeader("Queues")
        self._messages = Button("Messages", icon="mails")
        self._banner = Banner()
        self._table = DataTable("Queues", QUEUE_COLUMNS, row_height=ROW_HEIGHT, local_sort=True)
        self._stack = TableStack(self._table)
        self._no_line = EmptyState(
            "plug", "Not connected", "Connect to a broker to see its queues.", action="Connect"
        )
        self._none = EmptyState(
            "layers", "No queues yet", "A queue appears when a worker consumes it or a task is sent to it."
        )
        self._note = Text(role="label", tone="muted", wrap=True)
        self._panel = MessagesPanel()
        self._header.add_action(self._messages)
        self._table.set_sort("ready", descending=True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 12, 12, 12)
        layout.setSpacing(12)
        layout.addWidget(self._header)
        layout.addWidget(self._banner)
        layout.addWidget(self._stack, 1)
        layout.addWidget(self._note)
        layout.addWidget(self._panel, 1)
        self._connect()
        self._show_rows()
        self._show_messages()
        self._show_actions()

    def _connect(self) -> None:
        model = self._view_model
        self._messages.clicked.connect(model.open_messages)
        self._banner.action_clicked.connect(model.refresh)
        self._no_line.action_clicked.connect(self.connect_wanted)
        self._table.selection_changed.connect(lambda keys: model.choose(keys[0] if keys else None))
        self._table.activated_row.connect(lambda _key: model.open_messages())
        self._panel.read_again.connect(model.read_messages)
        self._panel.closed.connect(model.close_messages)
        self._panel.message_chosen.connect(lambda key: model.choose_message(key or None))
        model.rows_changed.connect(self._show_rows)
        model.chosen_changed.connect(self._show_actions)
        model.messages_changed.connect(self._show_messages)

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
        """`query` is the name of a queue, to be selected as soon as it is there."""
        self._wanted = query.strip() or None
        self._show_wanted()

    def focus_content(self) -> None:
        rows = self._table.rows()
        if rows and not self._table.selected_keys():
            self._table.select_keys([rows[0].key])
        self._stack.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def detail(self) -> QWidget:
        return self._panel

    def commands(self) -> list[Command]:
        model = self._view_model
        return [
            Command(
                "Show messages of the queue", model.open_messages, enabled=lambda: not model.messages_refusal
            )
        ]

    # --- What the view model tells -----------------------------------------------------------------------

    def _show_rows(self) -> None:
        self._show_badge()
        if not self._active:  # nobody looks: the sidebar's number is enough
            return
        model = self._view_model
        snapshot = model.snapshot
        self._table.set_rows([queue_row(row) for row in snapshot.rows])
        self._table.set_stale(snapshot.stale)
        self._header.set_subtitle(summary_text(snapshot))
        self._note.set_text(snapshot.note)
        self._note.setVisible(bool(snapshot.note))
        if snapshot.rows:
            self._stack.show_rows()
        elif not model.attached:
            self._stack.show_empty(self._no_line)
        elif snapshot.as_of is None and snapshot.error is None:
            self._stack.show_loading()
        else:
            self._stack.show_empty(self._none)
        self._fit_table()
        self._show_wanted()
        self._show_banner()
        self._show_actions()

    def _show_badge(self) -> None:
        rows = self._view_model.snapshot.rows
        badge = f"{len(rows):,}" if rows else ""
        if badge != self._told_badge:
            self._told_badge = badge
            self.badge_changed.emit(badge, "neutral")

    def _fit_table(self) -> None:
        """Beside the messages the queues take what they need, at most seven rows."""
        rows = min(max(len(self._view_model.snapshot.rows), 3), ROWS_BESIDE_MESSAGES)
        needed = ROW_HEIGHT * rows + HEAD_HEIGHT
        self._stack.setMinimumHeight(needed if self._view_model.open else 0)
        self._stack.setMaximumHeight(needed if self._view_model.open else UNBOUNDED)

    def _show_wanted(self) -> None:
        wanted = self._wanted
        if wanted is not None and any(row.key == wanted for row in self._table.rows()):
            self._wanted = None
            self._table.select_keys([wanted])
            self._table.scroll_to(wanted)

    def _show_banner(self) -> None:
        snapshot = self._view_model.snapshot
        as_of = "" if snapshot.as_of is None else f"As of {clock_text(snapshot.as_of, local_zone())}"
        # An outage is told once, by the window; here it only makes the numbers old.
        if snapshot.error is not None and not (self._view_model.away and as_of):
            parts = (as_of and f"{as_of}.", snapshot.error.detail, snapshot.error.remedy)
            detail = " ".join(part for part in parts if part)
            self._banner.show_message("error", snapshot.error.title, detail, action="Retry")
        elif snapshot.stale and as_of:
            self._banner.show_message(
                "warning", as_of, "The broker is away; these are the last known numbers."
            )
        else:
            self._banner.clear()

    def _show_actions(self) -> None:
        model = self._view_model
        refusal = model.messages_refusal
        self._messages.setEnabled(refusal is None)
        look = (
            "Why the messages are not shown"
            if model.not_shown
            else "Look at the next messages without taking them"
        )
        self._messages.setToolTip(refusal or f"{look} (Enter)")
        if model.open and model.chosen is not None:
            self._panel.show_queue(model.chosen, drain=drain_text(model.row))

    def _show_messages(self) -> None:
        model = self._view_model
        self._panel.setVisible(model.open)
        self._fit_table()
        if not model.open:
            return
        if model.chosen is not None:
            self._panel.show_queue(model.chosen, drain=drain_text(model.row))
        if model.not_shown:
            self._panel.show_refusal(model.not_shown)
            return
        self._panel.show_messages(
            model.peek, reading=model.reading, error=model.peek_error, chosen=model.message, now=model.now
        )
