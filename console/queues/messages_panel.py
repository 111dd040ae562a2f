"""The messages of one queue: the next hundred, and one of them in full."""

from __future__ import annotations

from datetime import datetime

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from console.core.errors import ConsoleError
from console.queues.cells import MESSAGE_COLUMNS, body_text, message_pairs, message_row
from console.queues.messages import Message, Peek
from console.widgets.badge import Badge
from console.widgets.banner import Banner
from console.widgets.button import Button, IconButton
from console.widgets.data_table import DataTable
from console.widgets.empty_state import EmptyState
from console.widgets.json_view import JsonView
from console.widgets.label import Divider, Text
from console.widgets.panel import KeyValueGrid, Panel
from console.widgets.table_page import TableStack
from console.widgets.text import clock_text, number_text, short_task_name
from console.widgets.zone import local_zone

DETAIL_WIDTH = 333


class MessagesPanel(Panel):
    """Asks to read again or to be closed; tells which message is chosen ("" for none)."""

    read_again = Signal()
    closed = Signal()
    message_chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Messages", parent=parent)
        self._drain = Text(role="label", tone="muted")
        self._again = Button("Read again", icon="refresh-cw", kind="flat", small=True)
        self._close = IconButton("x", name="Close messages")
        self._banner = Banner(compact=True)
        self._table = DataTable("Messages", MESSAGE_COLUMNS, framed=False)
        self._stack = TableStack(self._table, framed=False)
        self._empty = EmptyState(
            "inbox", "No messages wait", "Whatever comes is taken at once, or nothing comes."
        )
        self._not_shown = EmptyState("eye-off", "Messages are not shown", "")
        self._detail = _MessageDetail()
        self._detail.setFixedWidth(DETAIL_WIDTH)
        self._line = Divider(vertical=True)
        for widget in (self._drain, self._again, self._close):
            self.add_head_right(widget)
        left = QVBoxLayout()
        left.setSpacing(0)
        left.addWidget(self._banner)
        left.addWidget(self._stack, 1)
        content = QWidget()
        layout = QHBoxLayout(content)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(left, 1)
        layout.addWidget(self._line)
        layout.addWidget(self._detail)
        self.set_content(content)
        self._again.clicked.connect(self.read_again)
        self._close.clicked.connect(self.closed)
        self._banner.action_clicked.connect(self.read_again)
        self._table.selection_changed.connect(lambda keys: self.message_chosen.emit(keys[0] if keys else ""))

    def focus_table(self) -> None:
        """Put the focus where reading goes on."""
        self._table.setFocus()

    def show_queue(self, queue: str, *, drain: str) -> None:
        """The head of the panel."""
        self.set_title(f"Messages in {queue}")
        self._drain.set_text(drain)

    def show_refusal(self, words: str) -> None:
        """Say why this broker's messages are not shown, in their place."""
        self._again.hide()
        self._banner.clear()
        self.set_subtitle("")
        self._table.set_rows([])
        self._not_shown.set("eye-off", "Messages are not shown", words)
        self._stack.show_empty(self._not_shown)
        self._detail.hide()
        self._line.hide()

    def show_messages(
        self,
        peek: Peek | None,
        *,
        reading: bool,
        error: ConsoleError | None,
        chosen: Message | None,
        now: datetime,
    ) -> None:
        """What was read; while nothing was, grey bars or the reason."""
        self._again.show()
        self._again.setEnabled(not reading)
        if error is None:
            self._banner.clear()
        else:
            detail = " ".join(part for part in (error.detail, error.remedy) if part)
            self._banner.show_message("error", error.title, detail, action="Retry")
        zone = local_zone()
        if peek is None:
            self.set_subtitle("")
            self._table.set_rows([])
            if error is None:
                self._stack.show_loading()
            else:
                self._stack.show_rows()
        else:
            self._show_peek(peek)
            self._table.set_rows([message_row(message, now=now, zone=zone) for message in peek.messages])
        self._detail.setVisible(chosen is not None)
        self._line.setVisible(chosen is not None)
        if chosen is not None and peek is not None:
            sent = peek.sent.get(chosen.id or "")
            self._detail.show_message(chosen, total=peek.total, sent=sent, now=now)

    def _show_peek(self, peek: Peek) -> None:
        shown, total = len(peek.messages), number_text(peek.total)
        part = f"next {number_text(shown)} of {total}" if shown < peek.total else f"all {total}"
        self.set_subtitle(f"{part}, read without taking them, as of {clock_text(peek.as_of, local_zone())}")
        if peek.messages:
            self._stack.show_rows()
        else:
            self._stack.show_empty(self._empty)


class _MessageDetail(QWidget):
    """One message: what is known of it, and its body."""

    def __init__(self) -> None:
        super().__init__()
        self.setAccessibleName("Message")
        self._task = Text(role="panel", selectable=True)
        self._badge = Badge("Exact", tone="ok", icon="check")
        self._facts = KeyValueGrid(key_width=90)
        self._body = JsonView("Body")
        head = QHBoxLayout()
        head.addWidget(self._task, 1)
        head.addWidget(self._badge)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(14, 10, 14, 12)
        layout.setSpacing(8)
        layout.addLayout(head)
        layout.addWidget(self._facts)
        layout.addWidget(Text("Body", role="label", tone="muted"))
        layout.addWidget(self._body, 1)

    def show_message(self, message: Message, *, total: int, sent: datetime | None, now: datetime) -> None:
        self._task.set_text(short_task_name(message.task) if message.task else "Unknown message")
        self._task.setToolTip(message.task or "")
        if message.problem:
            self._badge.set("Not shown", tone="neutral", icon="eye-off")
        else:
            self._badge.set("Exact", tone="ok", icon="check")
        self._facts.set_pairs(message_pairs(message, total=total, sent=sent, now=now, zone=local_zone()))
        self._body.set_text(body_text(message))
