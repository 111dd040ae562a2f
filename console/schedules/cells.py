"""Schedules as table rows: finished words, built once and kept until they would read differently.

A timetable of 10,000 rows is looked at every few seconds; what has not changed must cost almost nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import assert_never

from console.schedules.model import NextRun, NextState, ScheduleView
from console.widgets.table_model import Cell, Column, Row
from console.widgets.text import (
    UNKNOWN,
    ambiguous_task_names,
    clock_text,
    number_text,
    short_task_name,
)

COLUMNS = [
    Column("enabled", "Enabled", width=74, kind="check"),
    Column("name", "Name", stretch=3, kind="name"),
    Column("task", "Task", stretch=2),
    Column("schedule", "Schedule", stretch=3),
    Column("next", "Next run", width=168, kind="instant"),
    Column("last", "Last run", width=104, kind="instant"),
    Column("runs", "Runs", width=66, kind="number"),
    Column("queue", "Queue", width=84),
]
NEVER_SORT = float("inf")
_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def away_text(seconds: float) -> tuple[str, float]:
    """How far ahead, in one unit ("in 3 h"), and how long that stays true, seconds."""
    for unit, size in _UNITS:
        if seconds >= size:
            count = int(seconds // size)
            return f"in {count} {unit}", max(seconds - count * size, 0.2)
    return "now", 1.0


@dataclass(frozen=True, slots=True)
class _Kept:
    view: ScheduleView
    row: Row
    until: datetime


class RowBook:
    """The rows of the table, kept from one look to the next."""

    def __init__(self) -> None:
        self._kept: dict[int, _Kept] = {}
        self._zone: tzinfo | None = None
        self._named: Sequence[ScheduleView] = ()
        self._ambiguous: frozenset[str] = frozenset()

    def rows(
        self, views: Sequence[ScheduleView], *, zone: tzinfo, now: datetime, at_most: int
    ) -> list[Row] | None:
        """The rows of `views`; None when more than `at_most` had to be made: call again to go on."""
        if zone is not self._zone:
            self._zone, self._kept = zone, {}
        if views is not self._named:
            self._name(views)
        # At midnight "02:30:00" becomes "4 May 02:30".
        today = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
        midnight = (today + timedelta(days=1)).astimezone(UTC)
        rows: list[Row] = []
        made = 0
        for view in views:
            kept = self._kept.get(view.schedule.id)
            if kept is None or kept.view is not view or kept.until <= now:
                made += 1
                if made > at_most:
                    return None
                row, until = schedule_row(view, zone=zone, now=now, ambiguous=self._ambiguous)
                kept = self._kept[view.schedule.id] = _Kept(view, row, min(until, midnight))
            rows.append(kept.row)
        return rows

    def _name(self, views: Sequence[ScheduleView]) -> None:
        self._named = views
        ambiguous = ambiguous_task_names({view.schedule.task for view in views})
        if ambiguous != self._ambiguous:
            self._ambiguous, self._kept = ambiguous, {}


def schedule_row(
    view: ScheduleView, *, zone: tzinfo, now: datetime, ambiguous: frozenset[str] = frozenset()
) -> tuple[Row, datetime]:
    """One row, and when its words would be others."""
    schedule = view.schedule
    next_cell, until = next_run_cell(view.next_run, zone=zone, now=now)
    last = schedule.last_run_at
    cells = {
        "enabled": Cell("", sort=not schedule.enabled, checked=schedule.enabled),
        "name": Cell(schedule.name, bold=schedule.enabled, muted=not schedule.enabled, badge=_badge(view)),
        "task": Cell(short_task_name(schedule.task, ambiguous), tooltip=schedule.task, copy=schedule.task),
        "schedule": Cell(view.words, tooltip=view.words),
        "next": next_cell,
        "last": Cell(
            clock_text(last, zone, now=now),
            sort=last.timestamp() if last else 0.0,
            tooltip=f"At least {_exact(last, zone)}; beat may note later runs up to 3 min late"
            if last
            else "No run is noted",
        ),
        "runs": Cell(
            number_text(schedule.total_run_count),
            sort=schedule.total_run_count,
            muted=not schedule.total_run_count,
        ),
        "queue": Cell(
            schedule.queue or UNKNOWN, tooltip=None if schedule.queue else "The project's own route"
        ),
    }
    return Row(str(schedule.id), cells), until


def next_run_cell(run: NextRun, *, zone: tzinfo, now: datetime) -> tuple[Cell, datetime]:
    """The cell of the next run, and when its words would be others."""
    far = now + timedelta(days=1)
    at = run.at
    sort = at.timestamp() if at is not None else NEVER_SORT
    match run.state:
        case NextState.PLANNED | NextState.ABOUT:
            if at is None:
                return Cell(sort=sort), far
            away, stays_s = away_text((at - now).total_seconds())
            about = run.state is NextState.ABOUT
            tip = _exact(at, zone) + ("; beat may not have noted its last run yet" if about else "")
            words = f"{'about ' if about else ''}{clock_text(at, zone, now=now)}, {away}"
            return Cell(words, sort=sort, tooltip=tip), now + timedelta(seconds=stays_s)
        case NextState.OVERDUE:
            late_s = (now - at).total_seconds() if at is not None else 0.0
            text = away_text(late_s)[0].removeprefix("in ")
            tip = f"Was due {_exact(at, zone)}; no run is noted since. Is beat running?"
            cell = Cell(f"Overdue {text}", sort=sort, tooltip=tip, tone="warning", icon="clock-alert")
            return cell, now + timedelta(seconds=1 if late_s < 60 else 20)
        case NextState.NEVER:
            return Cell("Never", sort=NEVER_SORT, tooltip=run.why, muted=True), far
        case NextState.OFF:
            return Cell(sort=NEVER_SORT, tooltip="Disabled"), far
        case NextState.UNKNOWN:
            return Cell(sort=NEVER_SORT, tooltip=run.why), far
        case _:
            assert_never(run.state)


def _exact(instant: datetime | None, zone: tzinfo) -> str:
    """The exact instant for a tooltip, made some ten thousand times: without formatting codes."""
    return UNKNOWN if instant is None else instant.astimezone(zone).isoformat(" ", "milliseconds")


def _badge(view: ScheduleView) -> tuple[str, str, str | None] | None:
    """The one badge beside a name: the most important; the panel shows all."""
    if view.problem is not None:
        return "Cannot run", "error", "triangle-alert"
    if view.managed_by_code:
        return "By code", "info", None
    if view.schedule.one_off:
        return "One-off", "neutral", None
    if view.schedule.expires is not None:
        return "Expires", "neutral", None
    return None
