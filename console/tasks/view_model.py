"""The state of the Tasks page: its rows, the selected task with its story, and what can be done now."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import Signal

from console.broker.results import BackendResult
from console.core.errors import ConsoleError, unexpected
from console.core.operations import Operation, OperationRunner, Subject
from console.history.model import Names, TaskRow, TaskState
from console.history.query import quoted, text_with_states
from console.tasks.export import ALL_COLUMNS, Format
from console.tasks.exporting import ExportRequest, TaskExporter
from console.tasks.model import (
    SendRequest,
    TasksSnapshot,
    TaskStory,
    error_of,
)
from console.tasks.operations import (
    WorkersAndHistory,
    revoke_operation,
    terminate_operation,
    why_not_revoke,
    why_not_terminate,
)
from console.tasks.selection import Selection, breakdown
from console.tasks.selection_acts import PacedAct
from console.tasks.service import TasksService
from console.tasks.views_model import TableViews
from console.tasks.views_store import ViewsStore

log = logging.getLogger(__name__)

MOST_AT_ONCE = 50_000
"""So many revoked ids a worker remembers (celery/worker/state.py, REVOKES_MAX)."""
SILENT_S = 60.0
TO_REVOKE = frozenset(state for state in TaskState if not state.is_final)
TO_TERMINATE = frozenset({TaskState.STARTED})


class TasksViewModel(TableViews):
    """Lives on the main thread, as long as the program does."""

    story_changed = Signal()
    select_wanted = Signal(str)
    selection_changed = Signal()
    export_changed = Signal()
    act_changed = Signal()
    enable_events_wanted = Signal()
    result_read = Signal(str, object)

    def __init__(
        self,
        service: TasksService,
        runner: OperationRunner,
        *,
        views: ViewsStore | None = None,
        exporter: TaskExporter | None = None,
    ) -> None:
        """Without `views` what is saved lives for this run."""
        super().__init__(service, views)
        self._runner = runner
        self.exporter = exporter if exporter is not None else TaskExporter(clock=service.clock)
        self.selection = Selection()
        self.act: PacedAct | None = None
        self._acting = False
        self._reading_story = False
        self._story_change = -1
        self.selected_id: str | None = None
        self.story: TaskStory | None = None
        self.story_error: ConsoleError | None = None
        self.names = Names((), (), ())
        self.exporter.changed.connect(lambda _none: self.export_changed.emit())
        service.changed.connect(self._on_snapshot)
        runner.changed.connect(self._on_operation)

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
        """Show what a query finds; while it cannot be read, rows and selection stay."""
        before = self.snapshot.query
        self._service.show(text)
        if self.snapshot.query != before:
            self.select_rows(())

    def toggle_state(self, state: TaskState, wanted: bool) -> None:
        """A chip was pressed."""
        states = self.snapshot.query.states
        states = states | {state} if wanted else states - {state}
        self.query_wanted.emit(text_with_states(self.snapshot.text, states))

    def set_at_top(self, at_top: bool) -> None:
        self._service.set_at_top(at_top)

    def more(self) -> None:
        self._tasks.start(self._service.more(), name="more")

    def before(self) -> None:
        self._tasks.start(self._service.before(), name="before")

    def show_new(self) -> None:
        """Read the list from its first row again, whatever is selected."""
        self._service.keep_rows(())
        self._service.refresh()

    # What is selected.

    def select_rows(self, ids: Sequence[str]) -> None:
        """These rows of the table are selected; the story of a single one is told."""
        selection = Selection(tuple(ids))
        if selection != self.selection:
            self.selection = selection
            self._service.keep_rows(ids)
            self.selection_changed.emit()
        self.select(ids[0] if len(ids) == 1 else None)

    def select_all_matching(self) -> None:
        """Not only the rows that are loaded: everything that matches."""
        now = self.snapshot
        if now.rows and now.query_error is None:
            at_least = now.counts is not None and not now.counts.complete
            self.selection = Selection(self.selection.ids, now.query, now.found or 0, at_least)
            self.selection_changed.emit()

    def selected_rows(self) -> tuple[TaskRow, ...]:
        """The selected rows of the table, as they are now."""
        chosen = frozenset(self.selection.ids)
        return tuple(row for row in self.snapshot.rows or () if row.id in chosen)

    def selected_words(self) -> str:
        """What is selected by state and name, as far as it is in the table."""
        return breakdown(self.selected_rows()) if self.selection.all_of is None else self.snapshot.text

    def why_not_resend(self) -> str | None:
        """Why `Resend…` is off; None when it is on."""
        return None if self.selection.size else "Select a task first"

    # Export.

    def why_not_export(self) -> str | None:
        """Why `Export…` is off; None when it is on."""
        if self._service.history_file is None:
            return "No connection is open"
        if self.exporter.running:
            return "An export is under way"
        return None if self.snapshot.rows else "There is nothing to export"

    def export(self, target: Path, form: Format, *, selected: bool, all_columns: bool) -> None:
        """Write what matches, or what is selected of it, to a file."""
        history, now, chosen = self._service.history_file, self.snapshot, self.selection
        if history is None:
            return
        by_ids = selected and chosen.all_of is None
        query = chosen.all_of if selected and chosen.all_of is not None else now.query
        exact = now.counts is not None and now.counts.complete
        columns = ALL_COLUMNS if all_columns else self.layout.columns
        request = ExportRequest(
            target=target,
            form=form,
            columns=columns if "id" in columns else ("id", *columns),
            query=query,
            ids=chosen.ids if by_ids else (),
            expected=len(chosen.ids) if by_ids else now.found if exact else None,
        )
        self.exporter.start(history, request)

    def select(self, task_id: str | None) -> None:
        """Show the story of another task; None shows none."""
        if task_id == self.selected_id:
            return
        self.selected_id = task_id
        self.story = None
        self.story_error = None
        self.story_changed.emit()
        self._read_story()

    def why_unjudged(self) -> str:
        """What is to be said of the selected task when nothing is heard of it; "" when there is no need."""
        row, reason = self.selected, self.snapshot.unjudged
        if row is None or row.state.is_final or not reason:
            return ""
        heard = max((at for at in (row.sent, row.received, row.started) if at is not None), default=None)
        if heard is None or (self._service.clock.now() - heard).total_seconds() < SILENT_S:
            return ""
        return f"No event of it for over a minute. Silent tasks cannot be judged now: {reason}"

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
        rows = self._chosen()
        reason = self._why_none(TO_REVOKE, "All of them have ended") or (
            why_not_revoke(rows) if self.selection.all_of is None else None
        )
        if reason is not None:
            return reason
        return self._busy() or self._runner.refusal(revoke_operation(rows[:1], self._service))

    def why_not_terminate(self) -> str | None:
        """Why `Terminate…` is off; None when it is on."""
        rows = self._chosen()
        reason = self._why_none(TO_TERMINATE, "None of them is running") or (
            why_not_terminate(rows) if self.selection.all_of is None else None
        )
        if reason is not None:
            return reason
        return self._busy() or self._runner.refusal(terminate_operation(rows[:1], self._service))

    def _why_none(self, states: frozenset[TaskState], words: str) -> str | None:
        """`words` when everything that matches is selected and nothing of it is in `states`."""
        query, counts = self.selection.all_of, self.snapshot.counts
        if query is None or counts is None or not counts.complete:
            return None
        wanted = (query.states or states) & states
        return None if any(counts.by_state.get(state) for state in wanted) else words

    def _busy(self) -> str | None:
        return None if self.act is None else f"{self.act.state.verb} is under way"

    def _chosen(self) -> tuple[TaskRow, ...]:
        """The rows that an operation would be about, as far as they are loaded."""
        if self.selection.ids:
            return self.selected_rows()
        return () if self.selected is None else (self.selected,)

    def why_not_send(self) -> str | None:
        """Why `Send task…` is off; None when it is on."""
        nothing = SendRequest("", "", [], {})
        return self._runner.refusal(self._service.send(nothing, sent=lambda _: None))

    def revoke(self) -> None:
        """Tell the workers not to run what is selected."""
        self._tasks.start(self._act("Revoking", TO_REVOKE, revoke_operation), name="revoke")

    def terminate(self) -> None:
        """End the processes that run what is selected."""
        act = self._act("Terminating", TO_TERMINATE, terminate_operation)
        self._tasks.start(act, name="terminate")

    def why_no_results(self) -> str | None:
        """Why the result backend cannot be asked; None when it can."""
        return self._service.why_no_results()

    def read_result(self, task_id: str) -> None:
        """Ask the result backend; `result_read` carries its answer, None or the `ConsoleError`."""
        self._tasks.start(self._read_result(task_id), name="result")

    async def _read_result(self, task_id: str) -> None:
        found: BackendResult | ConsoleError | None
        try:
            found = await self._service.stored_result(task_id)
        except ConsoleError as error:
            found = error
        except Exception as error:
            log.exception("Reading a result failed")
            found = unexpected("The result could not be read", error)
        self.result_read.emit(task_id, found)

    async def _act(
        self,
        verb: str,
        states: frozenset[TaskState],
        build: Callable[[Sequence[TaskRow], WorkersAndHistory], Operation],
    ) -> None:
        if self._acting:
            return  # pressed again before the sheet was there
        self._acting = True
        try:
            await self._act_on_chosen(verb, states, build)
        finally:
            self._acting = False

    async def _act_on_chosen(
        self,
        verb: str,
        states: frozenset[TaskState],
        build: Callable[[Sequence[TaskRow], WorkersAndHistory], Operation],
    ) -> None:
        query = self.selection.all_of
        rows: Sequence[TaskRow] = self._chosen()
        if query is not None:
            wanted = query.with_states((query.states or states) & states)
            try:
                rows = await self._service.rows_of(wanted, MOST_AT_ONCE) if wanted.states else ()
            except ConsoleError as error:
                self._service.tell_error(error)
                return
        total = sum(row.state in states for row in rows)
        if not total:
            self.refresh()  # they have ended since they were selected; the buttons say so
            return
        act = PacedAct(self._service, verb=verb, total=total)
        act.changed.connect(lambda _none: self.act_changed.emit())
        operation = build(rows, act)
        if len(rows) == MOST_AT_ONCE:
            more = f" Only the newest {MOST_AT_ONCE:,}: a worker does not remember more of them."
            operation = replace(operation, consequence=operation.consequence + more)
        self.act = act
        try:
            await self._runner.run(operation)
        finally:
            self.act = None
            self.act_changed.emit()

    def send(self, request: SendRequest) -> None:
        """Send a task and select it."""
        operation = self._service.send(request, sent=self._on_sent)
        self._tasks.start(self._runner.run(operation), name="send")

    def load_names(self) -> None:
        """Read the words for completion; `changed` tells when they are there."""
        self._tasks.start(self._load_names(), name="names")

    async def aclose(self) -> None:
        await self.exporter.aclose()
        await self.close_views()

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
        except Exception as raised:
            error = unexpected("The task could not be read", raised)
            if self.story_error is None:  # else it is asked again with every change, and is known
                log.exception(error.title)
        finally:
            self._reading_story = False
        if task_id != self.selected_id:
            self._read_story()
            return
        if story is not None:
            self._story_change = story.detail.row.change
        known = self.story_error
        if error is not None and known is not None and str(error) == str(known):
            return
        if (story, error) != (self.story, self.story_error):
            self.story, self.story_error = story, error
            self.story_changed.emit()

    async def _load_names(self) -> None:
        try:
            self.names = await self._service.names()
        except ConsoleError:
            return  # completion is a comfort; the field takes any name
        self.changed.emit()
