"""Tasks as rows of a table: each column's words, tooltip and what is copied."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, tzinfo
from functools import lru_cache

from console.history.model import TaskDetail, TaskRow
from console.tasks.columns import COLUMN
from console.widgets.states import state_look
from console.widgets.table_model import UNKNOWN_CELL, Cell, Column, Row
from console.widgets.text import (
    UNKNOWN,
    clock_text,
    duration_text,
    exact_instant,
    short_task_name,
    short_worker_name,
)

Build = Callable[[TaskRow, TaskDetail | None, "Wording"], Cell]

_LOOKS = {
    "state": Column("state", "State", width=111, kind="state"),
    "task": Column("task", "Task", stretch=1, width=100, kind="name"),
    "id": Column("id", "ID", width=92, kind="id"),
    "worker": Column("worker", "Worker", width=56, fit=104),
    "queue": Column("queue", "Queue", width=54, fit=110),
    "received": Column("received", "Received", width=76, kind="instant"),
    "waited": Column("waited", "Waited", width=54, kind="number"),
    "runtime": Column("runtime", "Runtime", width=62, kind="number"),
    "retries": Column("retries", "Retries", width=59, kind="number"),
    "sent": Column("sent", "Sent", width=76, kind="instant"),
    "started": Column("started", "Started", width=76, kind="instant"),
    "ended": Column("ended", "Ended", width=76, kind="instant"),
    "args": Column("args", "Args", width=150, kind="mono"),
    "kwargs": Column("kwargs", "Kwargs", width=150, kind="mono"),
    "result": Column("result", "Result", width=140, kind="mono"),
    "error": Column("error", "Error", width=180),
    "root": Column("root", "Root", width=92, kind="id"),
    "parent": Column("parent", "Parent", width=92, kind="id"),
    "pid": Column("pid", "PID", width=64, kind="number"),
    "reason": Column("reason", "Reason", width=180),
}
_CUT = 300
_TOOLTIP = 1200


@dataclass(frozen=True, slots=True)
class Wording:
    """What the words of a row depend on besides the row.

    `ambiguous` are task names that are not told apart without their module; `local_workers`: every worker's
    name begins with celery@; `today` is the day that instants need not name.
    """

    ambiguous: frozenset[str]
    local_workers: bool
    zone: tzinfo
    today: date


def table_columns(keys: Iterable[str]) -> list[Column]:
    """The columns of the table `Tasks` with these keys."""
    return [replace(_LOOKS[key], sortable=COLUMN[key].sortable) for key in keys]


def task_row(row: TaskRow, detail: TaskDetail | None, columns: Iterable[str], wording: Wording) -> Row:
    """One row of the table `Tasks`; without `detail` its columns are unknown."""
    return Row(row.id, {key: _CELLS[key](row, detail, wording) for key in columns})


def _state(row: TaskRow, _detail: TaskDetail | None, _wording: Wording) -> Cell:
    look = state_look(row.state.value)
    return Cell(row.state.value, tone=look.color, icon=look.icon)


def _task(row: TaskRow, _detail: TaskDetail | None, wording: Wording) -> Cell:
    name = row.name or UNKNOWN
    return Cell(short_task_name(name, wording.ambiguous), tooltip=name, copy=name)


def _worker(row: TaskRow, _detail: TaskDetail | None, wording: Wording) -> Cell:
    worker = row.worker or UNKNOWN
    short = short_worker_name(worker) if wording.local_workers else worker
    return Cell(short, tooltip=worker, copy=worker)


def _instant(attribute: str) -> Build:
    def build(row: TaskRow, _detail: TaskDetail | None, wording: Wording) -> Cell:
        at: datetime | None = getattr(row, attribute)
        if at is None:
            return UNKNOWN_CELL
        clock, exact = _second_words(at.replace(microsecond=0), wording.zone, wording.today)
        exact = exact.replace(".000", f".{at.microsecond // 1000:03d}", 1)
        return Cell(clock, tooltip=exact, copy=at.isoformat())

    return build


@lru_cache(maxsize=4096)
def _second_words(at: datetime, zone: tzinfo, _today: date) -> tuple[str, str]:
    """A whole second as the cell and its tooltip say it. In a busy list many rows share one."""
    return clock_text(at, zone), exact_instant(at, zone)


def _words(attribute: str) -> Build:
    def build(_row: TaskRow, detail: TaskDetail | None, _wording: Wording) -> Cell:
        text: str | None = None if detail is None else getattr(detail, attribute)
        if not text:
            return UNKNOWN_CELL
        line = text[:_CUT].replace("\n", " ")
        return Cell(line, tooltip=text[:_TOOLTIP] if len(text) > 20 else None, copy=text)

    return build


def _relative(attribute: str) -> Build:
    def build(row: TaskRow, detail: TaskDetail | None, _wording: Wording) -> Cell:
        other: str | None = None if detail is None else getattr(detail, attribute)
        return UNKNOWN_CELL if other is None else Cell(other, tooltip=other, muted=other == row.id)

    return build


def _pid(_row: TaskRow, detail: TaskDetail | None, _wording: Wording) -> Cell:
    return UNKNOWN_CELL if detail is None or detail.pid is None else Cell(str(detail.pid))


_CELLS: dict[str, Build] = {
    "state": _state,
    "task": _task,
    "id": lambda row, _detail, _wording: Cell(row.id, tooltip=row.id),
    "worker": _worker,
    "queue": lambda row, _detail, _wording: Cell(row.queue or UNKNOWN, tooltip=row.queue),
    "received": _instant("received"),
    "waited": lambda row, _detail, _wording: Cell(duration_text(row.waited_s)),
    "runtime": lambda row, _detail, _wording: Cell(duration_text(row.runtime_s)),
    "retries": lambda row, _detail, _wording: Cell(str(row.retries), muted=row.retries == 0),
    "sent": _instant("sent"),
    "started": _instant("started"),
    "ended": _instant("ended"),
    "args": _words("args"),
    "kwargs": _words("kwargs"),
    "result": _words("result"),
    "error": _words("exception"),
    "root": _relative("root_id"),
    "parent": _relative("parent_id"),
    "pid": _pid,
    "reason": _words("reason"),
}
