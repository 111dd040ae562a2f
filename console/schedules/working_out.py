"""Next runs and words for a whole reading, fast enough for 10,000 rows.

What does not depend on now (words, problems) is kept per row as long as the row stays the same; a next run
is kept until it has passed.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from datetime import datetime

from console.schedules.model import BACKEND_CLEANUP, NextState, Schedule, ScheduleView
from console.schedules.timetable import coming_runs, next_run_of, problem_of, words


class CeleryTimetable:
    """Used on one lane thread."""

    def __init__(self) -> None:
        self._known: dict[int, ScheduleView] = {}

    def work_out(
        self, schedules: Sequence[Schedule], now: datetime, within_s: float
    ) -> tuple[ScheduleView, ...]:
        """Views of the first of `schedules`, as many as fit, next runs as seen from `now` (aware)."""
        ends_s = time.monotonic() + within_s
        views: list[ScheduleView] = []
        for schedule in schedules:
            view = _view(schedule, self._known.get(schedule.id), now)
            self._known[schedule.id] = view
            views.append(view)
            if time.monotonic() > ends_s:
                break
        return tuple(views)

    def keep_only(self, ids: Collection[int]) -> None:
        """Forget rows that are gone."""
        for gone in self._known.keys() - ids:
            del self._known[gone]

    def coming_runs(self, schedule: Schedule, now: datetime, count: int) -> tuple[datetime, ...]:
        return coming_runs(schedule, now, count)


def _view(schedule: Schedule, known: ScheduleView | None, now: datetime) -> ScheduleView:
    if known is not None and known.schedule == schedule:
        coming = known.next_run
        if coming.state is NextState.PLANNED and coming.at is not None and coming.at > now:
            return known
        if coming.state in (NextState.OFF, NextState.UNKNOWN):
            return known
    problem = problem_of(schedule)
    return ScheduleView(
        schedule=schedule,
        words=words(schedule.timing),
        next_run=next_run_of(schedule, problem, now),
        problem=problem,
        managed_by_code=schedule.name == BACKEND_CLEANUP,
    )
