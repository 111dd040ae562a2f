"""What the overview shows: spans of time, rates, and what it is told of the rest of the program.

The overview knows no other feature: what it is told of workers, queues and schedules comes as the plain
values below. Standard library and the history's plain values only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum
from statistics import mean

from console.history.figure_reading import FigureSlot, FigureStat
from console.history.model import CollectorState, Gap

RISING_FACTOR = 2.0
RATE_MINUTES = 5
USUAL_S = 3_600.0
LATELY_S = 600.0
EARLIER_S = 4_200.0
"""How far back failures are looked at: lately, and before that (which begins earlier)."""
FAILED_STATES = "state:failed,rejected"
"""Failures in a query: a task that refuses its message for good is Rejected, and told as failed too."""


class Span(Enum):
    """What the charts cover: the words of the chooser, the length in minutes and the width of a slot (s).

    `every_s` is how often it is read again while somebody looks: a week moves slowly.
    """

    MINUTES_5 = ("5 min", 5, 60, 2.0)
    HOUR = ("1 hour", 60, 60, 2.0)
    HOURS_6 = ("6 hours", 360, 300, 10.0)
    DAY = ("24 hours", 1_440, 900, 30.0)
    WEEK = ("7 days", 10_080, 7_200, 60.0)

    def __init__(self, words: str, minutes: int, slot_s: int, every_s: float) -> None:
        self.words = words
        self.minutes = minutes
        self.slot_s = slot_s
        self.every_s = every_s

    @property
    def seconds(self) -> float:
        return self.minutes * 60.0


@dataclass(frozen=True, slots=True)
class Scope:
    """What the charts are narrowed to: one task name, one queue, or everything."""

    name: str | None = None
    queue: str | None = None


class Severity(StrEnum):
    """Worst first."""

    ERROR = "Error"
    WARNING = "Warning"
    NOTICE = "Notice"


class AttentionKind(StrEnum):
    """What can need a person, in the words in which one chooses to be told of it."""

    WORKER_LOST = "A worker is lost"
    WORKER_LATE = "A worker is late"
    NO_CONSUMER = "A queue has no consumer"
    BACKLOG = "A backlog grows"
    FAILURES = "Failures rise"
    TASKS_LOST = "Tasks are lost"
    BEAT = "Beat is not seen"
    SCHEDULES = "A schedule cannot run"
    EVENTS_OFF = "Events are off"
    SILENT = "Tasks are silent"
    STREAM = "Events are missing"
    HISTORY = "The history cannot be written"


@dataclass(frozen=True, slots=True)
class Attention:
    """One row: `where` is a link that shows the page `noun` with `query`.

    `names` are those that one row tells of together. `gap` is the last it tells of, `since` when it began,
    where that is known: pages show both in the person's zone. `firm`: it begins by itself; what is not firm
    only stays.
    """

    key: str
    kind: AttentionKind
    severity: Severity
    what: str
    where: str
    noun: str
    query: str = ""
    gap: Gap | None = None
    since: datetime | None = None
    firm: bool = True
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkersSeen:
    """Names by state; `late_s` says how old a late worker's heartbeat is (seconds), `last_seen` when that of
    an offline one came.

    `left` are those of the offline ones that need nobody: they said goodbye, or were offline before this run
    of the console. `stale`: heartbeats cannot arrive now, the names are the last known.
    """

    online: tuple[str, ...] = ()
    late: tuple[str, ...] = ()
    offline: tuple[str, ...] = ()
    left: frozenset[str] = frozenset()
    events_off: tuple[str, ...] = ()
    late_s: tuple[tuple[str, float], ...] = ()
    last_seen: tuple[tuple[str, datetime], ...] = ()
    stale: bool = False

    @property
    def known(self) -> int:
        return len(self.online) + len(self.late) + len(self.offline)


@dataclass(frozen=True, slots=True)
class Backlog:
    """A queue that grows: messages that wait, and how many come and go per second (None: unknown)."""

    queue: str
    waiting: int
    growth_per_s: float
    out_per_s: float | None


@dataclass(frozen=True, slots=True)
class QueuesSeen:
    """`waiting` in all queues, None while unknown; those that wait without a consumer; the oldest message.

    `oldest_mark` stands before its time where that is not exact ("≥ ", "≈ "). `stale`: the line is down,
    the queues are as last known.
    """

    waiting: int | None = None
    without_consumer: tuple[tuple[str, int], ...] = ()
    oldest_s: float | None = None
    oldest_queue: str | None = None
    oldest_mark: str = ""
    growing: tuple[Backlog, ...] = ()
    stale: bool = False


@dataclass(frozen=True, slots=True)
class SchedulesSeen:
    """Schedules that beat cannot run (name, reason), and those it has not run (name, when it was due)."""

    problems: tuple[tuple[str, str], ...] = ()
    overdue: tuple[tuple[str, datetime], ...] = ()


@dataclass(frozen=True, slots=True)
class StreamSeen:
    """The event stream as the collector tells of it. `unjudged_tasks` are silent tasks of which nobody could
    say what became of them, `unjudged` says why.
    """

    state: CollectorState
    error: str = ""
    malformed: int = 0
    unjudged_tasks: int = 0
    unjudged: str = ""


@dataclass(frozen=True, slots=True)
class HistoryRead:
    """One reading of the history.

    `slots` are those of the span and scope, `minutes` those of the last hour and of everything. `names` and
    `queues` are what was seen in the span. `lately` and `earlier`: task names in the last ten minutes, and
    in the hour before them (the ten minutes included). `errors`: kinds of error of names that fail lately.
    `lost`: tasks of the last day that are Lost.
    """

    slots: tuple[FigureSlot, ...] = ()
    minutes: tuple[FigureSlot, ...] = ()
    names: tuple[FigureStat, ...] = ()
    queues: tuple[FigureStat, ...] = ()
    lately: tuple[FigureStat, ...] = ()
    earlier: tuple[FigureStat, ...] = ()
    errors: tuple[tuple[str, int], ...] = ()
    gaps: tuple[Gap, ...] = ()
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Rates:
    """Per minute, None while unknown; `usual` over the hour before now."""

    tasks: float | None
    tasks_usual: float | None
    failed: float | None
    failed_usual: float | None

    @property
    def failures_rise(self) -> bool:
        """Clearly more failures than usual."""
        if self.failed is None or self.failed_usual is None:
            return False
        return self.failed >= 1.0 and self.failed > RISING_FACTOR * self.failed_usual


def rates_of(minutes: Sequence[FigureSlot], now: datetime) -> Rates:
    """The rates now (the last 60 s for tasks, the last five minutes for failures) and what is usual."""
    if not minutes:
        return Rates(None, None, None, None)
    running, full = minutes[-1], minutes[:-1]
    share = min(max((now - running.start).total_seconds() / 60.0, 0.0), 1.0)
    tasks: float | None
    if running.gap:
        tasks = None  # the stream is cut now: fewer seen is not fewer done
    elif full and not full[-1].gap:
        # The last minute leaves as the running one fills.
        tasks = full[-1].ended * (1.0 - share) + running.ended
    else:
        tasks = float(running.ended)
    lately = [minute for minute in full[-RATE_MINUTES:] if not minute.gap]
    failed: float | None = None
    if lately:
        failed = (sum(minute.failed for minute in lately) + running.failed) / (len(lately) + share)
    elif tasks is not None:
        failed = float(running.failed)
    before = [minute for minute in full[:-RATE_MINUTES] if not minute.gap]
    enough = len(before) >= RATE_MINUTES
    return Rates(
        tasks=tasks,
        tasks_usual=float(mean(minute.ended for minute in before)) if enough else None,
        failed=failed,
        failed_usual=float(mean(minute.failed for minute in before)) if enough else None,
    )
