"""The words of the detail tabs: what a worker holds, with times that tick, and what it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, tzinfo

from console.widgets.table_model import Cell, Column, Row
from console.widgets.text import (
    UNKNOWN,
    ambiguous_task_names,
    clock_text,
    duration_text,
    exact_instant,
    middle_elide_id,
    short_task_name,
)
from console.workers.model import Tab

_TASK = Column("task", "Task", stretch=2, width=110, kind="name")
_ID = Column("id", "ID", width=118, kind="link")
_ARGUMENTS = Column("arguments", "Arguments", stretch=3, kind="mono")
_QUEUE = Column("queue", "Queue", width=70, fit=140)
TAB_COLUMNS: dict[Tab, tuple[Column, ...]] = {
    Tab.ACTIVE: (
        _TASK,
        _ID,
        _ARGUMENTS,
        Column("started", "Started", width=84, kind="instant"),
        Column("pid", "PID", width=72, kind="number"),
        Column("running", "Running", width=90, kind="number"),
    ),
    Tab.RESERVED: (_TASK, _ID, _ARGUMENTS, _QUEUE, Column("priority", "Priority", width=84, kind="number")),
    Tab.SCHEDULED: (
        _TASK,
        _ID,
        _ARGUMENTS,
        _QUEUE,
        Column("eta", "ETA", width=96, kind="instant"),
        Column("due", "Due", width=110, kind="number"),
    ),
    Tab.REVOKED: (Column("id", "ID", stretch=1, kind="link"),),
    Tab.REGISTERED: (
        Column("task", "Task", stretch=2, kind="name"),
        Column("options", "Options", stretch=3, kind="mono"),
    ),
    Tab.SETTINGS: (
        Column("setting", "Setting", stretch=2, kind="mono"),
        Column("value", "Value", stretch=3, kind="mono"),
    ),
    Tab.STATISTICS: (
        Column("name", "Name", stretch=3, kind="mono"),
        Column("value", "Value", stretch=2, kind="mono"),
    ),
}
_SAID: dict[Tab, tuple[str, ...]] = {
    Tab.ACTIVE: ("task", "id", "arguments", "started", "pid"),
    Tab.RESERVED: ("task", "id", "arguments", "queue", "priority"),
    Tab.SCHEDULED: ("task", "id", "arguments", "eta", "queue"),
    Tab.REVOKED: ("id",),
    Tab.REGISTERED: ("task", "options"),
    Tab.SETTINGS: ("setting", "value"),
    Tab.STATISTICS: ("name", "value"),
}
"""The keys of the texts in the rows of a `Listing`."""
TICKING = (Tab.ACTIVE, Tab.SCHEDULED)
WITH_IDS = (Tab.ACTIVE, Tab.RESERVED, Tab.SCHEDULED, Tab.REVOKED)
FIRST_SORT: dict[Tab, tuple[str, bool]] = {Tab.ACTIVE: ("running", True), Tab.SCHEDULED: ("due", False)}
EMPTY_WORDS: dict[Tab, tuple[str, str]] = {
    Tab.ACTIVE: ("No task runs", "The worker waits for work."),
    Tab.RESERVED: ("Nothing is reserved", "The worker holds no task that waits for a free place."),
    Tab.SCHEDULED: ("Nothing is scheduled", "The worker holds no task for a later time."),
    Tab.REVOKED: ("Nothing is revoked", "The worker knows of no task that it must not run."),
    Tab.REGISTERED: ("No tasks", "The worker has no tasks of its own."),
    Tab.SETTINGS: ("No settings", "The worker runs with Celery's defaults."),
    Tab.STATISTICS: ("No statistics", "The worker said nothing about itself."),
}


def listing_rows(
    tab: Tab,
    rows: Sequence[Sequence[str]],
    *,
    zone: tzinfo,
    now: datetime,
    offset_s: float | None = None,
    search: str = "",
) -> list[Row]:
    """The lines of a detail tab that contain every word of `search`.

    `offset_s` is our clock minus the worker's: how long a task has run is reckoned with it.
    """
    keys, words = _SAID[tab], search.casefold().split()
    names = [texts[0] for texts in rows if texts] if tab in WITH_IDS else []
    ambiguous = ambiguous_task_names(names)
    lines: list[Row] = []
    seen: dict[str, int] = {}
    for texts in rows:
        whole = " ".join(texts).casefold()
        if not all(word in whole for word in words):
            continue
        said = dict(zip(keys, texts, strict=False))
        cells = {key: _cell(key, text, zone=zone, now=now) for key, text in said.items()}
        if tab in WITH_IDS and (name := said.get("task")):
            short = short_task_name(name, ambiguous)
            cells["task"] = Cell(short, sort=name.casefold(), tooltip=name, copy=name)
        if tab is Tab.ACTIVE:
            cells["running"] = _running(said.get("started", ""), now, offset_s)
        elif tab is Tab.SCHEDULED:
            cells["due"] = _due(said.get("eta", ""), now)
        known_by = said["id"] if tab in WITH_IDS else texts[0]
        seen[known_by] = seen.get(known_by, 0) + 1
        # The same id twice in one list is a task that will run twice: both are shown.
        again = f"#{seen[known_by]}" if seen[known_by] > 1 else ""
        lines.append(Row(f"{known_by}{again}", cells))
    return lines


def task_id_of(row: Row) -> str:
    """The id of the task that a line is about."""
    cell = row.cells.get("id")
    return (cell.copy or "") if cell is not None else ""


def _cell(key: str, text: str, *, zone: tzinfo, now: datetime) -> Cell:
    match key:
        case "id" if text:
            return Cell(middle_elide_id(text), sort=text, tooltip=text, copy=text)
        case "started" | "eta":
            return _instant(text, zone=zone, now=now)
        case "pid" | "priority":
            return Cell(text or UNKNOWN, sort=int(text) if text.isdecimal() else -1)
        case _:
            return Cell(text or UNKNOWN, sort=text.casefold(), tooltip=text if len(text) > 20 else None)


def _instant(text: str, *, zone: tzinfo, now: datetime) -> Cell:
    instant = _read(text)
    if instant is None:
        return Cell(text or UNKNOWN, sort=-1.0)
    words = clock_text(instant, zone, now=now)
    return Cell(words, sort=instant.timestamp(), tooltip=exact_instant(instant, zone))


def _running(started: str, now: datetime, offset_s: float | None) -> Cell:
    """How long a task has run; its start is on the clock of the worker."""
    instant = _read(started)
    if instant is None:
        return Cell(sort=-1.0)
    seconds = max(0.0, (now - instant).total_seconds() - (offset_s or 0.0))
    return Cell(whole_seconds(seconds), sort=seconds)


def _due(eta: str, now: datetime) -> Cell:
    instant = _read(eta)
    if instant is None:
        return Cell(sort=float("inf"))
    seconds = (instant - now).total_seconds()
    if seconds >= 0:
        return Cell(f"in {whole_seconds(seconds)}", sort=seconds)
    return Cell(f"{whole_seconds(-seconds)} ago", sort=seconds, tone="warning")


def whole_seconds(seconds: float) -> str:
    """A ticking time: whole seconds from the first on, so that it does not flicker."""
    return f"{int(seconds)} s" if seconds < 60 else duration_text(float(int(seconds)))


def _read(text: str) -> datetime | None:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    return instant if instant.tzinfo is not None else None
