"""The words of the table of workers: cells, and by what they sort."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, tzinfo

from console.widgets.table_model import Cell, Column, Row
from console.widgets.text import UNKNOWN, clock_text, exact_instant, number_text, short_worker_name
from console.workers.model import WorkerRow, WorkersSnapshot, WorkerState

WORKER_COLUMNS = (
    Column("worker", "Worker", stretch=4, width=150, kind="name"),
    Column("state", "State", width=96, least=88, kind="state"),
    Column("active", "Active", width=68, least=56, kind="number"),
    Column("processed", "Processed", width=96, least=82, kind="number"),
    Column("failed", "Failed", width=76, least=56, kind="number"),
    Column("pool", "Pool", width=58, fit=110),
    Column("concurrency", "Concurrency", width=106, least=92, kind="number"),
    Column("load", "Load", width=68, least=50, kind="number"),
    Column("queues", "Queues", stretch=2, width=80),
    Column("heartbeat", "Last heartbeat", width=124, least=110, kind="instant"),
)


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
            "state": Cell(row.state.value),
            "active": _number(row.active),
            "processed": _number(row.processed),
            "failed": _number(row.failed, tone="error"),
            "pool": Cell(row.pool or UNKNOWN),
            "concurrency": Cell(
                number_text(row.concurrency),
                tooltip=None
                if row.autoscale is None
                else f"Autoscale {row.autoscale[0]} to {row.autoscale[1]}",
            ),
            "load": Cell(
                f"{row.load[0]:.2f}" if row.load else UNKNOWN,
                tooltip=" ".join(f"{value:.2f}" for value in row.load) + " over 1, 5 and 15 min"
                if row.load
                else None,
            ),
            "queues": Cell(_queues(row.queues), tooltip=_queues(row.queues)),
            "heartbeat": Cell(
                clock_text(row.last_heartbeat, zone, now=now),
                tooltip=None if row.last_heartbeat is None else exact_instant(row.last_heartbeat, zone),
                tone="warning" if row.state is WorkerState.LATE else None,
            ),
        },
    )


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
    return ("Events off", "warning", "bell-off") if row.task_events is False else None


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
        muted=value == 0,
        tone=tone if value else None,
    )


def _queues(queues: tuple[str, ...] | None) -> str:
    if queues is None:
        return UNKNOWN
    return ", ".join(queues) or "none"


_UNKNOWN_LAST = float("-inf")
_BY: dict[str, Callable[[WorkerRow], str | float]] = {
    "worker": lambda row: row.hostname.casefold(),
    "state": lambda row: list(WorkerState).index(row.state),
    "active": lambda row: _or_last(row.active),
    "processed": lambda row: _or_last(row.processed),
    "failed": lambda row: _or_last(row.failed),
    "pool": lambda row: row.pool or "",
    "concurrency": lambda row: _or_last(row.concurrency),
    "load": lambda row: row.load[0] if row.load else _UNKNOWN_LAST,
    "queues": lambda row: ", ".join(row.queues or ()),
    "heartbeat": lambda row: (
        row.last_heartbeat.timestamp() if row.last_heartbeat is not None else _UNKNOWN_LAST
    ),
}


def sorted_workers(rows: Sequence[WorkerRow], column: str, *, descending: bool) -> list[WorkerRow]:
    """Workers by a column, those that live before those that are offline: the dead drown nobody."""
    by_column = sorted(rows, key=_BY[column], reverse=descending)
    return sorted(by_column, key=lambda row: row.state is WorkerState.OFFLINE)


def _or_last(value: int | None) -> float:
    return _UNKNOWN_LAST if value is None else float(value)
