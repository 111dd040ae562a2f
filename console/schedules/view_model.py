"""The state of the Schedules page: what is searched for, what is selected, what may be done and why not."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from PySide6.QtCore import QObject, Signal

from console.core.clock import Clock
from console.core.connection import Right
from console.core.errors import ConsoleError
from console.core.notices import NoticeBoard
from console.core.operations import OperationRunner
from console.core.spawn import Tasks
from console.schedules.model import Problem, Schedule, ScheduleView, change_text, matches
from console.schedules.service import ScheduleService, ScheduleSnapshot

RUNS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Actions:
    """Why each action cannot be done now; None when it can."""

    enable: str | None
    disable: str | None
    run_now: str | None
    undo: str | None


class SchedulesViewModel(QObject):
    """`rows_changed`: rows, error or time; `actions_changed`: what may be done; `detail_changed`: panel."""

    rows_changed = Signal()
    actions_changed = Signal()
    detail_changed = Signal()

    def __init__(
        self, service: ScheduleService, *, runner: OperationRunner, notices: NoticeBoard, clock: Clock
    ) -> None:
        super().__init__()
        self._service = service
        self._runner = runner
        self._notices = notices
        self._clock = clock
        self._tasks = Tasks("schedules page")
        self._selected: tuple[int, ...] = ()
        self._shown: ScheduleView | None = None
        self.search = ""
        self.rows: tuple[ScheduleView, ...] = ()
        self.coming: tuple[datetime, ...] = ()
        self._disconnect = service.changed.connect(self._take)
        self._filter()

    @property
    def snapshot(self) -> ScheduleSnapshot:
        return self._service.snapshot

    @property
    def now(self) -> datetime:
        return self._clock.now()

    @property
    def problems(self) -> tuple[tuple[Schedule, Problem], ...]:
        """The enabled rows that beat cannot run."""
        rows = self.snapshot.rows or ()
        return tuple(
            (view.schedule, view.problem)
            for view in rows
            if view.problem is not None and view.schedule.enabled
        )

    @property
    def selected(self) -> tuple[ScheduleView, ...]:
        wanted = set(self._selected)
        return tuple(view for view in self.rows if view.schedule.id in wanted)

    @property
    def detail(self) -> ScheduleView | None:
        """The row of the panel: the only one selected."""
        selected = self.selected
        return selected[0] if len(selected) == 1 else None

    def change_text(self, view: ScheduleView) -> str:
        return change_text(view, self.now)

    # --- What a person does ------------------------------------------------------------------------------

    def set_visible(self, visible: bool) -> None:
        self._service.set_visible(visible)

    def refresh(self) -> None:
        self._service.refresh()

    def set_search(self, search: str) -> None:
        if search != self.search:
            self.search = search
            self._filter()
            self.rows_changed.emit()

    def select(self, ids: Sequence[int]) -> None:
        self._selected = tuple(ids)
        self._after_selection()

    def switch(self, ids: Sequence[int], *, enabled: bool) -> None:
        """Enable or disable rows: the check box, and the buttons with the selection."""
        self._start(self._runner.run(self._service.switch(tuple(ids), enabled=enabled)), "switch")

    def enable(self) -> None:
        self.switch([view.schedule.id for view in self.selected if not view.schedule.enabled], enabled=True)

    def disable(self) -> None:
        self.switch([view.schedule.id for view in self.selected if view.schedule.enabled], enabled=False)

    def run_now(self) -> None:
        """Ask and publish one run of the selected row."""
        if self.detail is not None:
            self._start(self._run_now(self.detail.schedule), "run now")

    async def _run_now(self, schedule: Schedule) -> None:
        try:
            operation = await self._service.run_now(schedule)
        except ConsoleError as error:
            self._notices.post_error(error, key="run schedule now")
            return
        await self._runner.run(operation)

    def undo(self) -> None:
        if self._service.can_undo:
            self._start(self._runner.run(self._service.undo()), "undo")

    def actions(self) -> Actions:
        """What may be done with the selection."""
        changing = self._service.switch((), enabled=True)
        refusal = self._runner.refusal(changing)
        selected = self.selected
        nothing = None if selected else "Select a schedule first"
        none = refusal or nothing
        detail = self.detail
        # A run by hand is the broker's matter: who may not change the database may still send.
        sending = self._runner.refusal(replace(changing, needs=(Right.SEND_TASKS,)))
        run_now = sending or nothing or (None if detail else "Select one schedule only")
        if run_now is None and detail is not None and detail.problem is not None:
            run_now = detail.problem.reason
        return Actions(
            enable=none or (None if any(not v.schedule.enabled for v in selected) else "Enabled already"),
            disable=none or (None if any(v.schedule.enabled for v in selected) else "Disabled already"),
            run_now=run_now,
            undo=refusal or (None if self._service.can_undo else "Nothing was enabled or disabled here"),
        )

    # --- What the service tells --------------------------------------------------------------------------

    def _take(self, _snapshot: ScheduleSnapshot) -> None:
        self._filter()
        self.rows_changed.emit()
        if self.detail is not self._shown:
            self._after_selection()
        else:
            self.detail_changed.emit()
            self.actions_changed.emit()

    def _filter(self) -> None:
        rows = self.snapshot.rows or ()
        self.rows = tuple(view for view in rows if matches(view, self.search)) if self.search else rows

    def _after_selection(self) -> None:
        before, self._shown = self._shown, self.detail
        if self._shown is None or before is None or before.schedule.id != self._shown.schedule.id:
            self.coming = ()
        self.detail_changed.emit()
        self.actions_changed.emit()
        if self._shown is not None:
            self._start(self._read_coming(self._shown), "coming runs")

    async def _read_coming(self, view: ScheduleView) -> None:
        try:
            coming = await self._service.coming_runs(view.schedule, RUNS_SHOWN)
        except ConsoleError:
            return  # the panel keeps what it has; the banner tells of the database
        if self._shown is view:
            self.coming = coming
            self.detail_changed.emit()

    def _start(self, coroutine: Coroutine[Any, Any, Any], name: str) -> None:
        self._tasks.start(self._then_tell(coroutine), name=name)

    async def _then_tell(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        await coroutine
        self.actions_changed.emit()

    async def aclose(self) -> None:
        """End what runs in the background."""
        self._disconnect()
        await self._tasks.aclose()
