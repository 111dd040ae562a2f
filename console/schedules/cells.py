"""Schedules as table rows, in the order of a column, kept until they would read differently.

A timetable of 10,000 rows is looked at every few seconds, and some thirty of them are seen: a cell is made
when somebody looks at it. That keeps the window and Python's garbage collector short, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple, assert_never

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
_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def away_text(seconds: float) -> tuple[str, float]:
    """How far ahead, in one unit ("in 3 h"), and how long that stays true, seconds."""
    for unit, size in _UNITS:
        if seconds >= size:
            count = int(seconds // size)
            return f"in {count} {unit}", max(seconds - count * size, 0.2)
    return "now", 1.0


class Look(NamedTuple):
    """What the words of a row depend on besides its schedule."""

    zone: tzinfo
    now: datetime
    ambiguous: frozenset[str] = frozenset()


class ScheduleCells(Mapping[str, Cell]):
    """The cells of one row, each made when it is first asked for. Equal to itself only."""

    __slots__ = ("_look", "_made", "until", "view")

    def __init__(self, view: ScheduleView, look: Look, until: datetime) -> None:
        self.view = view
        self.until = until
        self._look = look
        self._made: dict[str, Cell] | None = None

    def __getitem__(self, key: str) -> Cell:
        if self._made is None:
            self._made = {}
        cell = self._made.get(key)
        if cell is None:
            cell = self._made[key] = _CELLS[key](self.view, self._look)
        return cell

    def __iter__(self) -> Iterator[str]:
        return iter(_CELLS)

    def __len__(self) -> int:
        return len(_CELLS)

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__


@dataclass(frozen=True, slots=True)
class Order:
    """By which column the rows stand."""

    column: str = "name"
    descending: bool = False


class RowBook:
    """The rows of the table, kept from one look to the next."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[ScheduleCells, Row]] = {}
        self._zone: tzinfo | None = None
        self._views: Sequence[ScheduleView] = ()
        self._order: Order | None = None
        self._ordered: Sequence[ScheduleView] = ()
        self._ambiguous: frozenset[str] = frozenset()

    def rows(
        self, views: Sequence[ScheduleView], *, order: Order, zone: tzinfo, now: datetime, at_most: int
    ) -> list[Row] | None:
        """The rows of `views` in `order`; None when more than `at_most` had to be made: call again."""
        if zone is not self._zone:
            self._zone, self._kept = zone, {}
        self._put_in_order(views, order)
        look = Look(zone, now, self._ambiguous)
        # At midnight "02:30:00" becomes "4 May 02:30".
        today = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
        midnight = (today + timedelta(days=1)).astimezone(UTC)
        rows: list[Row] = []
        made = 0
        for view in self._ordered:
            kept = self._kept.get(view.schedule.id)
            if kept is None or kept[0].view is not view or kept[0].until <= now:
                made += 1
                if made > at_most:
                    return None
                cells = ScheduleCells(view, look, min(true_until(view.next_run, now), midnight))
                kept = self._kept[view.schedule.id] = (cells, Row(str(view.schedule.id), cells))
            rows.append(kept[1])
        return rows

    def _put_in_order(self, views: Sequence[ScheduleView], order: Order) -> None:
        if views is not self._views:
            ambiguous = ambiguous_task_names({view.schedule.task for view in views})
            if ambiguous != self._ambiguous:
                self._ambiguous, self._kept = ambiguous, {}
        if views is not self._views or order != self._order:
            self._views, self._order = views, order
            self._ordered = in_order(views, order)


def in_order(views: Sequence[ScheduleView], order: Order) -> list[ScheduleView]:
    """Sorted by a column; rows without a value stand last either way."""
    value = _VALUES[order.column]
    valued = [(value(view), view) for view in views]
    known = [pair for pair in valued if pair[0] is not None]
    known.sort(key=lambda pair: pair[0], reverse=order.descending)  # type: ignore[arg-type,return-value]
    return [view for _, view in known] + [view for found, view in valued if found is None]


_VALUES: dict[str, Callable[[ScheduleView], str | float | None]] = {
    "enabled": lambda view: not view.schedule.enabled,
    "name": lambda view: view.schedule.name.casefold(),
    "task": lambda view: short_task_name(view.schedule.task).casefold(),
    "schedule": lambda view: view.words.casefold() or None,
    "next": lambda view: view.next_run.at.timestamp() if view.next_run.at is not None else None,
    "last": lambda view: view.schedule.last_run_at.timestamp() if view.schedule.last_run_at else None,
    "runs": lambda view: view.schedule.total_run_count,
    "queue": lambda view: view.schedule.queue or None,
}


def _last_cell(view: ScheduleView, look: Look) -> Cell:
    last = view.schedule.last_run_at
    if last is None:
        return Cell(tooltip="No run is noted")
    tip = f"At least {_exact(last, look.zone)}; beat may note later runs up to 3 min late"
    return Cell(clock_text(last, look.zone, now=look.now), tooltip=tip)


def _name_cell(view: ScheduleView, _look: Look) -> Cell:
    enabled = view.schedule.enabled
    return Cell(view.schedule.name, bold=enabled, muted=not enabled, badge=_badge(view))


def _task_cell(view: ScheduleView, look: Look) -> Cell:
    task = view.schedule.task
    return Cell(short_task_name(task, look.ambiguous), tooltip=task, copy=task)


def _runs_cell(view: ScheduleView, _look: Look) -> Cell:
    runs = view.schedule.total_run_count
    return Cell(number_text(runs), muted=not runs)


def _queue_cell(view: ScheduleView, _look: Look) -> Cell:
    queue = view.schedule.queue
    return Cell(queue or UNKNOWN, tooltip=None if queue else "The project's own route")


_CELLS: dict[str, Callable[[ScheduleView, Look], Cell]] = {
    "enabled": lambda view, _look: Cell("", checked=view.schedule.enabled),
    "name": _name_cell,
    "task": _task_cell,
    "schedule": lambda view, _look: Cell(view.words, tooltip=view.words),
    "next": lambda view, look: next_run_cell(view.next_run, look),
    "last": _last_cell,
    "runs": _runs_cell,
    "queue": _queue_cell,
}


def next_run_cell(run: NextRun, look: Look) -> Cell:
    """The cell of the next run."""
    at, now, zone = run.at, look.now, look.zone
    match run.state:
        case NextState.PLANNED | NextState.ABOUT:
            if at is None:
                return Cell()
            about = run.state is NextState.ABOUT
            tip = _exact(at, zone) + ("; beat may not have noted its last run yet" if about else "")
            away = away_text((at - now).total_seconds())[0]
            return Cell(f"{'about ' if about else ''}{clock_text(at, zone, now=now)}, {away}", tooltip=tip)
        case NextState.OVERDUE:
            late = away_text((now - at).total_seconds() if at is not None else 0.0)[0].removeprefix("in ")
            tip = f"Was due {_exact(at, zone)}; no run is noted since. Is beat running?"
            return Cell(f"Overdue {late}", tooltip=tip, tone="warning", icon="clock-alert")
        case NextState.NEVER:
            return Cell("Never", tooltip=run.why, muted=True)
        case NextState.OFF:
            return Cell(tooltip="Disabled")
        case NextState.UNKNOWN:
            return Cell(tooltip=run.why)
        case _:
            assert_never(run.state)


def true_until(run: NextRun, now: datetime) -> datetime:
    """When the words of the next run would be others."""
    if run.at is not None:
        if run.state in (NextState.PLANNED, NextState.ABOUT):
            return now + timedelta(seconds=away_text((run.at - now).total_seconds())[1])
        if run.state is NextState.OVERDUE:
            return now + timedelta(seconds=1 if (now - run.at).total_seconds() < 60 else 20)
    return now + timedelta(days=1)


def _exact(instant: datetime | None, zone: tzinfo) -> str:
    """The exact instant for a tooltip."""
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
