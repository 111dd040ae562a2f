"""Tasks as rows of a table: each column's words, tooltip and what is copied."""

from __future__ import annotations

from collections.abc import Collection
from datetime import tzinfo

from console.history.model import TaskRow
from console.widgets.states import state_look
from console.widgets.table_model import Cell, Column, Row
from console.widgets.text import (
    UNKNOWN,
    clock_text,
    duration_text,
    exact_instant,
    short_task_name,
    short_worker_name,
)

TASK_COLUMNS = [
    Column("state", "State", width=111, kind="state"),
    Column("task", "Task", stretch=1, width=100, kind="name"),
    Column("id", "ID", width=92, kind="id"),
    Column("worker", "Worker", width=56, fit=104),
    Column("queue", "Queue", width=54, fit=110),
    Column("received", "Received", width=76, kind="instant"),
    Column("waited", "Waited", width=54, kind="number"),
    Column("runtime", "Runtime", width=62, kind="number"),
    Column("retries", "Retries", width=59, kind="number"),
]
FAMILY_COLUMNS = [
    Column("task", "Task", stretch=1, kind="name"),
    Column("state", "State", width=105, kind="state"),
    Column("id", "ID", width=100, kind="id"),
]


def task_row(row: TaskRow, *, ambiguous: Collection[str], local_workers: bool, zone: tzinfo) -> Row:
    """One row of the table `Tasks`; `local_workers`: every worker's name begins with celery@."""
    look = state_look(row.state.value)
    name = row.name or UNKNOWN
    worker = row.worker or UNKNOWN
    return Row(
        row.id,
        {
            "state": Cell(row.state.value, tone=look.color, icon=look.icon),
            "task": Cell(short_task_name(name, ambiguous), tooltip=name, copy=name),
            "id": Cell(row.id, tooltip=row.id),
            "worker": Cell(
                short_worker_name(worker) if local_workers else worker, tooltip=worker, copy=worker
            ),
            "queue": Cell(row.queue or UNKNOWN, tooltip=row.queue),
            "received": Cell(
                clock_text(row.received, zone),
                tooltip=exact_instant(row.received, zone) if row.received is not None else None,
                copy=row.received.isoformat() if row.received is not None else None,
            ),
            "waited": Cell(duration_text(row.waited_s)),
            "runtime": Cell(duration_text(row.runtime_s)),
            "retries": Cell(str(row.retries), muted=row.retries == 0),
        },
    )


def family_row(row: TaskRow, depth: int, *, this: bool) -> Row:
    """One row of the table `Family`: children stand further right than their parent."""
    look = state_look(row.state.value)
    name = short_task_name(row.name or UNKNOWN)
    return Row(
        row.id,
        {
            "task": Cell(f"{'    ' * min(depth, 8)}{name}", tooltip=row.name, bold=this),
            "state": Cell(row.state.value, tone=look.color, icon=look.icon),
            "id": Cell(row.id, tooltip=row.id),
        },
    )
