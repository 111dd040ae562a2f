"""The words of the Workers page: rows of the table and of each detail tab."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, tzinfo

from console.widgets.table_model import Cell, Column, Row
from console.widgets.text import (
    UNKNOWN,
    ago_text,
    ambiguous_task_names,
    clock_text,
    exact_instant,
    number_text,
    short_task_name,
    short_worker_name,
)
from console.workers.model import Tab, WorkerRow, WorkersSnapshot, WorkerState

WORKER_COLUMNS = (
    Column("worker", "Worker", stretch=3, width=110, kind="name"),
    Column("state", "State", width=96, least=88, kind="state"),
    Column("active", "Active", width=68, least=56, kind="number"),
    Column("processed", "Processed", width=96, least=82, kind="number"),
    Column("failed", "Failed", width=76, least=56, kind="number"),
    Column("pool", "Pool", width=58, fit=110),
    Column("concurrency", "Concurrency", width=106, least=92, kind="number"),
    Column("load", "Load", width=68, least=50, kind="number"),
    Column("queues", "Queues", stretch=3, width=80),
    Column("heartbeat", "Last heartbeat", width=124, least=110, kind="instant"),
)
_TASK = Column("task", "Task", stretch=2, width=120, kind="name", sortable=False)
_ID = Column("id", "ID", width=110, kind="id", sortable=False)
_ARGUMENTS = Column("arguments", "Arguments", stretch=3, kind="mono", sortable=False)
_QUEUE = Column("queue", "Queue", width=80, fit=180, sortable=False)
TAB_COLUMNS: dict[Tab, tuple[Column, ...]] = {
    Tab.ACTIVE: (
        _TASK,
        _ID,
        _ARGUMENTS,
        Column("started", "Started", width=110, kind="instant", sortable=False),
        Column("pid", "PID", width=90, kind="number", sortable=False),
    ),
    Tab.RESERVED: (
        _TASK,
        _ID,
        _ARGUMENTS,
        _QUEUE,
        Column("priority", "Priority", width=84, kind="number", sortable=False),
    ),
    Tab.SCHEDULED: (
        _TASK,
        _ID,
        _ARGUMENTS,
        Column("eta", "ETA", width=130, kind="instant", sortable=False),
        _QUEUE,
    ),
    Tab.REVOKED: (Column("id", "ID", stretch=1, kind="mono", sortable=False),),
    Tab.REGISTERED: (
        Column("task", "Task", stretch=2, kind="name", sortable=False),
        Column("options", "Options", stretch=3, kind="mono", sortable=False),
    ),
    Tab.SETTINGS: (
        Column("setting", "Setting", stretch=2, kind="mono", sortable=False),
        Column("value", "Value", stretch=3, kind="mono", sortable=False),
    ),
    Tab.STATISTICS: (
        Column("name", "Name", stretch=2, kind="mono", sortable=False),
        Column("value", "Value", stretch=3, kind="mono", sortable=False),
    ),
}
EMPTY_WORDS: dict[Tab, tuple[str, str]] = {
    Tab.ACTIVE: ("No task runs", "The worker waits for work."),
    Tab.RESERVED: ("Nothing is reserved", "The worker holds no task that waits for a free place."),
    Tab.SCHEDULED: ("Nothing is scheduled", "The worker holds no task for a later time."),
    Tab.REVOKED: ("Nothing is revoked", "The worker knows of no task that it must not run."),
    Tab.REGISTERED: ("No tasks", "The worker has no tasks of its own."),
    Tab.SETTINGS: ("No settings", "The worker runs with Celery's defaults."),
    Tab.STATISTICS: ("No statistics", "The worker said nothing about itself."),
}


def display_names(rows: Sequence[WorkerRow]) -> dict[str, str]:
    """Names as shown: without `celery@` where all workers have it."""
    if rows and all(row.hostname.startswith("celery@") for row in rows):
        return {row.hostname: short_worker_name(row.hostname) for row in rows}
    return {row.hostname: row.hostname for row in rows}


def worker_row(row: WorkerRow, *, shown: str, silent: bool, now: datetime, zone: tzinfo) -> Row:
    """One line of the table `Workers`."""
    return Row(
        row.hostname,
        {
            "worker": Cell(
                shown,
                tooltip=_tooltip(row),
                copy=row.hostname,
                badge=_badge(row, silent=silent),
            ),
            "state": Cell(row.state.value, sort=list(WorkerState).index(row.state)),
            "active": _number(row.active),
            "processed": _number(row.processed),
            "failed": _number(row.failed, tone="error"),
            "pool": Cell(row.pool or UNKNOWN),
            "concurrency": Cell(
                number_text(row.concurrency),
                sort=-1 if row.concurrency is None else row.concurrency,
                tooltip=None
                if row.autoscale is None
                else f"Autoscale {row.autoscale[0]} to {row.autoscale[1]}",
            ),
            "load": Cell(
                f"{row.load[0]:.2f}" if row.load else UNKNOWN,
                sort=row.load[0] if row.load else -1.0,
                tooltip=" ".join(f"{value:.2f}" for value in row.load) + " over 1, 5 and 15 min"
                if row.load
                else None,
            ),
            "queues": Cell(_queues(row.queues), tooltip=_queues(row.queues)),
            "heartbeat": Cell(
                clock_text(row.last_heartbeat, zone, now=now),
                sort=row.last_heartbeat.timestamp() if row.last_heartbeat is not None else -1.0,
                tooltip=None
                if row.last_heartbeat is None
                else _heartbeat_tooltip(row.last_heartbeat, now, zone),
                tone="warning" if row.state is WorkerState.LATE else None,
            ),
        },
    )


def listing_rows(tab: Tab, rows: Sequence[Sequence[str]], *, zone: tzinfo, now: datetime) -> list[Row]:
    """The lines of a detail tab."""
    columns = TAB_COLUMNS[tab]
    ambiguous = ambiguous_task_names([texts[0] for texts in rows if texts])
    lines = []
    for number, texts in enumerate(rows):
        cells = {
            column.key: _instant(text, zone=zone, now=now)
            if column.kind == "instant"
            else _task(text, ambiguous)
            if column is _TASK
            else _text(text, column)
            for column, text in zip(columns, texts, strict=False)
        }
        lines.append(Row(f"{number}:{texts[1] if tab in _BY_ID else texts[0]}", cells))
    return lines


_BY_ID = (Tab.ACTIVE, Tab.RESERVED, Tab.SCHEDULED)


def summary_text(snapshot: WorkersSnapshot) -> str:
    """The words after the title: "3 of 4 online", and whether a beat answered."""
    if snapshot.online is None:
        return ""
    beats = len(snapshot.beats)
    beat = "" if not beats else ", beat answers" if beats == 1 else f", {beats} beats answer"
    return f"{snapshot.online} of {len(snapshot.rows)} online{beat}"


def _badge(row: WorkerRow, *, silent: bool) -> tuple[str, str, str | None] | None:
    if row.state is WorkerState.OFFLINE:
        return None
    if silent:
        return ("No answer", "warning", "triangle-alert")
    return ("No task events", "warning", "bell-off") if row.task_events is False else None


def _tooltip(row: WorkerRow) -> str:
    parts = [row.hostname]
    if row.pid is not None:
        parts.append(f"PID {row.pid}")
    if row.software:
        parts.append(row.software)
    return ", ".join(parts)


def _number(value: int | None, *, tone: str | None = None) -> Cell:
    return Cell(
        number_text(value),
        sort=-1 if value is None else value,
        muted=value == 0,
        tone=tone if value else None,
    )


def _queues(queues: tuple[str, ...] | None) -> str:
    if queues is None:
        return UNKNOWN
    return ", ".join(queues) or "none"


def _heartbeat_tooltip(instant: datetime, now: datetime, zone: tzinfo) -> str:
    return f"{exact_instant(instant, zone)}, {ago_text((now - instant).total_seconds())}"


def _instant(text: str, *, zone: tzinfo, now: datetime) -> Cell:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return Cell(text or UNKNOWN)
    if instant.tzinfo is None:
        return Cell(text)
    return Cell(clock_text(instant, zone, now=now), tooltip=exact_instant(instant, zone))


def _task(name: str, ambiguous: Collection[str]) -> Cell:
    return Cell(short_task_name(name, ambiguous), tooltip=name, copy=name) if name else Cell()


def _text(text: str, column: Column) -> Cell:
    return Cell(text or UNKNOWN, tooltip=text if column.stretch and len(text) > 20 else None)
