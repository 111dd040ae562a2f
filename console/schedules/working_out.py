"""Next runs and words for a whole reading, fast enough for 10,000 rows.

What does not depend on now (words, problems) is kept per row as long as the row stays the same; a next run
is kept until it has passed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from console.schedules.gateway import Worked
from console.schedules.model import BACKEND_CLEANUP, NextState, Schedule, ScheduleView
from console.schedules.timetable import coming_runs, next_run, problem_of, words


class CeleryTimetable:
    """Used on one lane thread."""

    def __init__(self) -> None:
        self._known: dict[int, ScheduleView] = {}

    def work_out(self, schedules: Sequence[Schedule], now: datetime) -> Worked:
        """Views in the order of `schedules`, next runs as seen from `now` (aware)."""
        known = self._known
        views = [_view(schedule, known.get(schedule.id), now) for schedule in schedules]
        self._known = {view.schedule.id: view for view in views}
        moments = [
            view.next_run.at
            for view in views
            if view.next_run.at is not None and view.next_run.state is not NextState.OVERDUE
        ]
        return Worked(tuple(views), min(moments, default=None))

    def coming_runs(self, schedule: Schedule, now: datetime, count: int) -> tuple[datetime, ...]:
        return coming_runs(schedule, now, count)


def _view(schedule: Schedule, known: ScheduleView | None, now: datetime) -> ScheduleView:
    if known is not None and known.schedule == schedule:
        coming = known.next_run
        if coming.state is NextState.PLANNED and coming.at is not None and coming.at > now:
            return known
        if coming.state in (NextState.OFF, NextState.UNKNOWN):
            return known
    return ScheduleView(
        schedule=schedule,
        words=words(schedule.timing),
        next_run=next_run(schedule, now),
        problem=problem_of(schedule),
        managed_by_code=schedule.name == BACKEND_CLEANUP,
    )
