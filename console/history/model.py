"""What the history holds: tasks, attempts, gaps, workers seen, and the summaries of the collector.

The collector writes these, the pages read them; the words of the states are those a person sees.
Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum


class TaskState(StrEnum):
    SENT = "Sent"
    RECEIVED = "Received"
    STARTED = "Started"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    RETRYING = "Retrying"
    REVOKED = "Revoked"
    REJECTED = "Rejected"
    LOST = "Lost"

    @property
    def is_final(self) -> bool:
        return self in _FINAL


_FINAL = frozenset(
    {TaskState.SUCCEEDED, TaskState.FAILED, TaskState.REVOKED, TaskState.REJECTED, TaskState.LOST}
)


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One task as a list shows it.

    Instants are aware UTC, durations seconds; None is unknown. `waited_s` is from sent (else
    received) to started. `change` is the history's change number of the row's last fold.
    """

    rowid: int
    id: str
    name: str | None
    state: TaskState
    worker: str | None
    queue: str | None
    sent: datetime | None
    received: datetime | None
    started: datetime | None
    ended: datetime | None
    waited_s: float | None
    runtime_s: float | None
    retries: int
    change: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a task: number from 1, when it started and ended, how, and with which exception."""

    number: int
    worker: str | None
    received: datetime | None
    started: datetime | None
    ended: datetime | None
    state: TaskState
    exception: str | None
    traceback: str | None


@dataclass(frozen=True, slots=True)
class TaskDetail:
    """Everything known of one task. Arguments and result are Celery's DISPLAY text (often cut).

    `reason` says why a task is in a state that no event of its own tells (Lost), or how it was revoked.
    """

    row: TaskRow
    args: str | None
    kwargs: str | None
    result: str | None
    exception: str | None
    traceback: str | None
    root_id: str | None
    parent_id: str | None
    eta: str | None
    expires: str | None
    routing_key: str | None
    exchange: str | None
    pid: int | None
    client: str | None
    attempts: tuple[Attempt, ...]
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which events may have been missed; `end` is None while it lasts, `lost` None if unknown."""

    start: datetime
    end: datetime | None
    reason: str
    lost: int | None


@dataclass(frozen=True, slots=True)
class WorkerSeen:
    """A worker as its heartbeats tell. `last_heartbeat` is when WE received it; `interval_s` its period.

    `clock_offset_s` is our clock minus the worker's at its last heartbeat, its way here included.
    """

    hostname: str
    online: bool
    last_heartbeat: datetime
    interval_s: float
    active: int | None
    processed: int | None
    load: tuple[float, ...]
    pid: int | None
    software: str
    clock_offset_s: float | None = None


class CollectorState(StrEnum):
    CONNECTING = "connecting"
    READING = "reading"
    RECONNECTING = "reconnecting"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class RunFigures:
    """What the writer of the history tells of itself in it.

    `change` as in `CollectorSummary`; `alive`: its last sign of life (seconds of the epoch, 0.0: never);
    `events` and `malformed` count over all runs; `lag_s` as in `CollectorSummary`.
    """

    change: int
    alive: float
    events: int
    malformed: int
    lag_s: float | None


@dataclass(frozen=True, slots=True)
class CollectorSummary:
    """What the collector tells the window, at most ten times a second.

    `change` is the history's change number now: a page re-reads rows whose `change` is greater than
    the one it has seen. `events` and `malformed` count since the collector started; `lag_s` is now
    minus the timestamp of the newest event when it was stored (None before the first).
    `counts` are all tasks in the history by state. `along`: another collector writes, this one follows.
    `unjudged_tasks` are silent tasks of which nobody could say what became of them, `unjudged` says why.
    """

    state: CollectorState
    change: int
    events: int
    events_per_s: float
    lag_s: float | None
    malformed: int
    counts: dict[TaskState, int]
    workers: tuple[WorkerSeen, ...]
    error: str = ""
    along: bool = False
    unjudged_tasks: int = 0
    unjudged: str = ""


class Measure(IntEnum):
    """What the figures count. RUNTIME and WAIT have buckets, the others none."""

    SENT = 0
    RECEIVED = 1
    SUCCEEDED = 2
    FAILED = 3
    RETRIED = 4
    OTHER = 5
    RUNTIME = 6
    WAIT = 7


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Durations in seconds; None when nothing was measured. Exact to about a tenth (log buckets)."""

    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    count: int


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Failures with the same fingerprint: the class of the exception and what its message always says.

    `names` are the tasks that failed so lately, the latest (`name`) first; `error_id` is what
    `fingerprint:` takes in a query, `example_id` one of the tasks.
    """

    name: str
    error: str
    message: str
    count: int
    first: datetime
    last: datetime
    example_id: str
    error_id: int = 0
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Counts:
    """Tasks by state. `complete` is False when only the newest ones were counted ("at least")."""

    by_state: dict[TaskState, int]
    complete: bool = True

    @property
    def total(self) -> int:
        return sum(self.by_state.values())


@dataclass(frozen=True, slots=True)
class Relative:
    """A task of the same family; `depth` 0 is the root, children one more than their parent."""

    row: TaskRow
    depth: int


@dataclass(frozen=True, slots=True)
class Names:
    """Distinct words of the history, sorted, for completion."""

    tasks: tuple[str, ...]
    workers: tuple[str, ...]
    queues: tuple[str, ...]
