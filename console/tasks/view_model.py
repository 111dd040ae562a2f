"""The state of the Tasks page: its rows, the selected task with its story, and what can be done now."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, Signal

from console.core.errors import ConsoleError
from console.core.operations import Operation, OperationRunner, Subject
from console.core.spawn import Tasks
from console.history.model import Names, TaskRow, TaskState
from console.history.query import Sort, quoted, text_with_states
from console.tasks.model import (
    SendRequest,
    TasksSnapshot,
    TaskStory,
    error_of,
    why_not_revoke,
    why_not_terminate,
)
from console.tasks.service import TasksService


class TasksViewModel(QObject):
    """Lives on the main thread, as long as the program does."""

    changed = Signal()
    story_changed = Signal()
    select_wanted = Signal(str)
    query_wanted = Signal(str)

    def __init__(self, service: TasksService, runner: OperationRunner) -> None:
        super().__init__()
        self._service = service
        self._runner = runner
        self._tasks = Tasks("tasks page")
        self._reading_story = False
        self._story_change = -1
        self.selected_id: str | None = None
        self.story: TaskStory | None = None
        self.story_error: ConsoleError | None = None
        self.names = Names((), (), ())
        service.changed.connect(self._on_snapshot)
        runner.changed.connect(self._on_operation)

    @property
    def snapshot(self) -> TasksSnapshot:
        return self._service.snapshot

    @property
    def selected(self) -> TaskRow | None:
        """The selected task as it is now."""
        row = next((row for row in self.snapshot.rows or () if row.id == self.selected_id), None)
        if row is None and self.story is not None and self.story.detail.row.id == self.selected_id:
            return self.story.detail.row
        return row

    def set_visible(self, visible: bool) -> None:
        self._service.set_visible(visible)

    def refresh(self) -> None:
        self._service.refresh()
        self._read_story()

    def show(self, text: str) -> None:
        self._service.show(text)

    def toggle_state(self, state: TaskState, wanted: bool) -> None:
        """A chip was pressed."""
        states = self.snapshot.query.states
        states = states | {state} if wanted else states - {state}
        self.query_wanted.emit(text_with_states(self.snapshot.text, states))

    def sort(self, column: str, descending: bool) -> None:
        self._service.sort(Sort(column), descending=descending)

    def set_at_top(self, at_top: bool) -> None:
        self._service.set_at_top(at_top)

    def more(self) -> None:
        self._tasks.start(self._service.more(), name="more")

    def select(self, task_id: str | None) -> None:
        """Show the story of another task; None shows none."""
        if task_id == self.selected_id:
            return
        self.selected_id = task_id
        self.story = None
        self.story_error = None
        self.story_changed.emit()
        self._read_story()

    def find_same_error(self) -> None:
        """Show the failures like that of the selected task."""
        story = self.story
        if story is None or story.detail.exception is None:
            return
        error, _ = error_of(story.detail.exception)
        name = quoted(story.detail.row.name or "")
        self.query_wanted.emit(f"state:failed name:{name} {quoted(error or story.detail.exception)}")

    # What can be done.

    def why_not_revoke(self) -> str | None:
        """Why `Revoke…` is off; None when it is on."""
        return why_not_revoke(self.selected) or self._refusal(self._service.revoke)

    def why_not_terminate(self) -> str | None:
        """Why `Terminate…` is off; None when it is on."""
        return why_not_terminate(self.selected) or self._refusal(self._service.terminate)

    def why_not_send(self) -> str | None:
        """Why `Send task…` is off; None when it is on."""
        nothing = SendRequest("", "", [], {})
        return self._runner.refusal(self._service.send(nothing, sent=lambda _: None))

    def revoke(self) -> None:
        self._run(self._service.revoke)

    def terminate(self) -> None:
        self._run(self._service.terminate)

    def send(self, request: SendRequest) -> None:
        """Send a task and select it."""
        operation = self._service.send(request, sent=self._on_sent)
        self._tasks.start(self._runner.run(operation), name="send")

    def load_names(self) -> None:
        """Read the words for completion; `changed` tells when they are there."""
        self._tasks.start(self._load_names(), name="names")

    async def aclose(self) -> None:
        await self._tasks.aclose()

    def _run(self, operation: Callable[[TaskRow], Operation]) -> None:
        row = self.selected
        if row is not None:
            self._tasks.start(self._runner.run(operation(row)), name="operation")

    def _refusal(self, operation: Callable[[TaskRow], Operation]) -> str | None:
        row = self.selected
        return None if row is None else self._runner.refusal(operation(row))

    def _on_sent(self, task_id: str) -> None:
        self.select(task_id)
        self.select_wanted.emit(task_id)

    def _on_snapshot(self, _snapshot: TasksSnapshot) -> None:
        self.changed.emit()
        row = next((row for row in self.snapshot.rows or () if row.id == self.selected_id), None)
        stale = self.story is None or (row is not None and row.change != self._story_change)
        if self.selected_id is not None and stale:
            self._read_story()

    def _on_operation(self, changes: frozenset[Subject]) -> None:
        if Subject.TASKS in changes:
            self._service.refresh()

    def _read_story(self) -> None:
        if self.selected_id is not None and not self._reading_story:
            self._reading_story = True
            self._tasks.start(self._story(self.selected_id), name="story")

    async def _story(self, task_id: str) -> None:
        story: TaskStory | None = None
        error: ConsoleError | None = None
        try:
            story = await self._service.story(task_id)
        except ConsoleError as raised:
            error = raised
        finally:
            self._reading_story = False
        if task_id != self.selected_id:
            self._read_story()
            return
        if story is not None:
            self._story_change = story.detail.row.change
        if (story, error) != (self.story, self.story_error):
            self.story, self.story_error = story, error
            self.story_changed.emit()

    async def _load_names(self) -> None:
        try:
            self.names = await self._service.names()
        except ConsoleError:
            return  # completion is a comfort; the field takes any name
        self.changed.emit()
