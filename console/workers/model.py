"""What a worker is to a person: its state, its pool, and what may be done with it.

Pure rules over plain values. Heartbeats say that a worker lives, inspection says what it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from console.core.errors import ConsoleError

LATE_INTERVALS = 3.0
OFFLINE_AFTER_S = 120.0
BEAT_PREFIX = "celerybeat@"
"""celery 5.7's beat answers a ping under this name; it is not a worker."""


class WorkerState(StrEnum):
    ONLINE = "Online"
    LATE = "Late"
    OFFLINE = "Offline"


@dataclass(frozen=True, slots=True)
class Request:
    """One remote control command.

    It goes to `destination`, or to the nodes whose name matches the glob `pattern`, or to all.
    `expected` are the nodes whose answers end the wait early; None waits for the whole timeout.
    """

    method: str
    arguments: Mapping[str, object] = field(default_factory=dict)
    destination: tuple[str, ...] | None = None
    pattern: str | None = None
    expected: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What one node answered, and after how many seconds. `value` is plain JSON data."""

    node: str
    value: object
    took_s: float

    @property
    def error(self) -> str | None:
        """The node's own words when it refused or failed; None when it did not."""
        if isinstance(self.value, dict) and set(self.value) == {"error"}:
            return str(self.value["error"])
        return None


@dataclass(frozen=True, slots=True)
class Replies:
    """Answers by method (in the order asked) and node. `malformed` answers were counted and skipped."""

    by_request: tuple[Mapping[str, Reply], ...]
    malformed: int = 0


@dataclass(frozen=True, slots=True)
class TaskInfo:
    """A registered task. `rate_limit` as the worker says it ("10/m"), "" for none; limits in seconds."""

    name: str
    rate_limit: str = ""
    soft_s: float | None = None
    hard_s: float | None = None


@dataclass(frozen=True, slots=True)
class Inspected:
    """What a worker said of itself. None is "did not say"; `task_events` None is "cannot be told".

    `processes` are the PIDs of a prefork pool. `cpu_s` (user, system) and `memory_bytes` (the most it ever
    had) are of the main process alone. `logical_clock` counts the messages of the cluster. `prefetch` is how
    many messages it takes at once (0: no limit), `multiplier` how many for each place. `pool_restarts` is
    whether its settings let the pool be restarted, `default_queue` where it sends what names no queue.
    """

    pool: str | None = None
    concurrency: int | None = None
    processes: tuple[int, ...] = ()
    autoscale: tuple[int, int] | None = None
    processed: int | None = None
    pid: int | None = None
    uptime_s: float | None = None
    prefetch: int | None = None
    multiplier: int | None = None
    cpu_s: tuple[float, float] | None = None
    memory_bytes: int | None = None
    logical_clock: int | None = None
    broker: str = ""
    pool_restarts: bool | None = None
    default_queue: str | None = None
    queues: tuple[str, ...] | None = None
    task_events: bool | None = None
    registered: tuple[TaskInfo, ...] | None = None


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """One worker as the table shows it; None is unknown. `last_heartbeat` is when WE received it.

    `said` is all it said of itself, `said_at` when its statistics came. `clock_offset_s` is our clock minus
    its clock.
    """

    hostname: str
    state: WorkerState
    active: int | None
    processed: int | None
    failed: int | None
    pool: str | None
    concurrency: int | None
    load: tuple[float, ...]
    queues: tuple[str, ...] | None
    last_heartbeat: datetime | None
    task_events: bool | None
    autoscale: tuple[int, int] | None = None
    pid: int | None = None
    software: str = ""
    said: Inspected = Inspected()
    said_at: datetime | None = None
    clock_offset_s: float | None = None


@dataclass(frozen=True, slots=True)
class WorkersSnapshot:
    """What the page shows.

    `stale` is whether heartbeats cannot arrive now (line down, event stream down): states are then
    the last known. `silent` are live workers that did not answer the last inspection.
    """

    rows: tuple[WorkerRow, ...] = ()
    as_of: datetime | None = None
    error: ConsoleError | None = None
    stale: bool = True
    silent: tuple[str, ...] = ()
    beats: tuple[str, ...] = ()
    malformed: int = 0

    @property
    def online(self) -> int | None:
        """Workers online; None while nothing has been heard."""
        if self.as_of is None:
            return None
        return sum(row.state is WorkerState.ONLINE for row in self.rows)

    @property
    def events_off(self) -> tuple[str, ...]:
        """Workers that live and are known to send no task events: their tasks are not in the history."""
        return tuple(
            row.hostname
            for row in self.rows
            if row.task_events is False and row.state is not WorkerState.OFFLINE
        )


def worker_state(*, said_goodbye: bool, heartbeat_age_s: float, interval_s: float) -> WorkerState:
    """The state by the age of the last heartbeat on our own clock.

    A killed worker cannot say goodbye: after two minutes (or thirty intervals) of silence it is offline.
    """
    if said_goodbye:
        return WorkerState.OFFLINE
    if heartbeat_age_s <= LATE_INTERVALS * interval_s:
        return WorkerState.ONLINE
    if heartbeat_age_s <= max(OFFLINE_AFTER_S, 30 * interval_s):
        return WorkerState.LATE
    return WorkerState.OFFLINE


def is_worker(hostname: str) -> bool:
    """Whether a node that answers is a worker, not beat."""
    return bool(hostname) and not hostname.startswith(BEAT_PREFIX)


class Tab(StrEnum):
    """The detail tabs; the word is the tab's title."""

    ACTIVE = "Active"
    RESERVED = "Reserved"
    SCHEDULED = "Scheduled"
    REVOKED = "Revoked"
    REGISTERED = "Registered tasks"
    SETTINGS = "Settings"
    STATISTICS = "Statistics"


@dataclass(frozen=True, slots=True)
class Listing:
    """What one tab shows of one worker: rows of texts in the order of the tab's columns."""

    hostname: str
    tab: Tab
    rows: tuple[tuple[str, ...], ...]
    as_of: datetime
