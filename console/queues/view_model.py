"""The state of the Queues page: which queue is chosen, whether its messages are open, and what was read."""

from __future__ import annotations

from datetime import datetime

from PySide6.QtCore import QObject, Signal

from console.core.clock import Clock
from console.core.errors import ConsoleError
from console.core.spawn import Tasks
from console.queues.messages import Message, Peek
from console.queues.model import QueueRow, QueuesSnapshot
from console.queues.service import QueuesService


class QueuesViewModel(QObject):
    """`rows_changed`: queues, error; `messages_changed`: the panel; `chosen_changed`: the selection."""

    rows_changed = Signal()
    messages_changed = Signal()
    chosen_changed = Signal()

    def __init__(self, service: QueuesService, *, clock: Clock) -> None:
        super().__init__()
        self._service = service
        self._clock = clock
        self._tasks = Tasks("queues page")
        self._asked = 0
        self.chosen: str | None = None
        self.open = False
        self.reading = False
        self.peek: Peek | None = None
        self.peek_error: ConsoleError | None = None
        self.message: Message | None = None
        self._disconnect = service.changed.connect(self._take)

    @property
    def snapshot(self) -> QueuesSnapshot:
        return self._service.snapshot

    @property
    def attached(self) -> bool:
        return self._service.attached

    @property
    def now(self) -> datetime:
        return self._clock.now()

    @property
    def row(self) -> QueueRow | None:
        """The chosen queue."""
        return next((row for row in self.snapshot.rows if row.name == self.chosen), None)

    @property
    def messages_refusal(self) -> str | None:
        """Why the messages cannot be shown; None when they can."""
        if not self.attached:
            return "No connection is open"
        return None if self.row is not None else "Select a queue"

    @property
    def away(self) -> bool:
        """Whether the line to the broker is down, which the window says."""
        return self._service.away

    @property
    def not_shown(self) -> str:
        """Why this kind of broker's messages are never shown; "" when they are."""
        return self._service.messages_refusal

    # --- What a person does ------------------------------------------------------------------------------

    def set_visible(self, visible: bool) -> None:
        self._service.set_visible(visible)

    def refresh(self) -> None:
        """F5: the queues, and the messages if they are open."""
        self._service.refresh()
        if self.open:
            self.read_messages()

    def choose(self, name: str | None) -> None:
        """Select a queue; with the messages open they become those of the new one."""
        if name == self.chosen:
            return
        self.chosen = name
        self.chosen_changed.emit()
        if self.open and name is not None:
            self.read_messages()

    def open_messages(self) -> None:
        """Show the messages of the chosen queue, read now."""
        if self.messages_refusal is None:
            self.open = True
            self.read_messages()

    def close_messages(self) -> None:
        self._asked += 1
        self.open = self.reading = False
        self.peek = self.peek_error = self.message = None
        self.messages_changed.emit()

    def read_messages(self) -> None:
        """Read the next messages again; an answer to an older question is dropped."""
        if self.chosen is None:
            return
        if self.not_shown:
            self.messages_changed.emit()
            return
        if self.peek is not None and self.peek.queue != self.chosen:
            self.peek = self.message = None
        self._asked += 1
        self.reading = True
        self.messages_changed.emit()
        self._tasks.start(self._read(self.chosen, self._asked), name="messages")

    def choose_message(self, key: str | None) -> None:
        """Select a message by its key; None selects none."""
        messages = self.peek.messages if self.peek is not None else ()
        message = next((one for one in messages if message_key(one) == key), None)
        if message != self.message:
            self.message = message
            self.messages_changed.emit()

    # --- What the service tells --------------------------------------------------------------------------

    async def _read(self, queue: str, asked: int) -> None:
        peek, failure = None, None
        try:
            peek = await self._service.peek(queue)
        except ConsoleError as error:
            failure = error
        if asked != self._asked:
            return
        self.reading = False
        self.peek_error = failure
        if peek is not None:
            before = message_key(self.message) if self.message is not None else None
            self.peek = peek
            self.message = next((one for one in peek.messages if message_key(one) == before), None)
        self.messages_changed.emit()

    def _take(self, _snapshot: QueuesSnapshot) -> None:
        self.rows_changed.emit()
        if self.open and not self.attached:
            self.close_messages()

    async def aclose(self) -> None:
        """End what runs in the background."""
        self._disconnect()
        await self._tasks.aclose()


def message_key(message: Message) -> str:
    """What a message is known by while the queue moves: its delivery tag; without one its place."""
    return message.tag or f"#{message.position}"
