"""What the overview shows: slots of time, rates, and the rows of Attention, all worked out by pure rules.

The overview knows no other feature: what it is told of workers, queues and schedules comes as the plain
values below. Standard library and the history's plain values only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from statistics import mean, median

from console.history.model import CollectorState, ErrorGroup, Gap, Minute, NameStat, Percentiles

FAILING_WINDOW_S = 600.0
FAILING_BEFORE_S = 3_600.0
FEWEST_FAILURES = 5
RISING_FACTOR = 2.0
GAP_SHOWN_S = 3_600.0
RATE_MINUTES = 5


class Span(Enum):
    """What the charts cover: the words of the chooser, the length and the width of a slot in minutes.

    `every_s` is how often it is read again while somebody looks: a week is a long read and moves slowly.
    """

    MINUTES_15 = ("15 min", 15, 1, 2.0)
    HOUR = ("1 hour", 60, 1, 2.0)
    HOURS_6 = ("6 hours", 360, 5, 10.0)
    DAY = ("24 hours", 1_440, 15, 30.0)
    WEEK = ("7 days", 10_080, 120, 120.0)

    def __init__(self, words: str, minutes: int, slot_minutes: int, every_s: float) -> None:
        self.words = words
        self.minutes = minutes
        self.slot_minutes = slot_minutes
        self.every_s = every_s

    @property
    def seconds(self) -> float:
        return self.minutes * 60.0


class Severity(StrEnum):
    """Worst first."""

    ERROR = "Error"
    WARNING = "Warning"
    NOTICE = "Notice"


_RANK = {severity: rank for rank, severity in enumerate(Severity)}


@dataclass(frozen=True, slots=True)
class Attention:
    """One row: `where` is a link that shows the page `noun` with `query`; `gap` is the last it tells of."""

    key: str
    severity: Severity
    what: str
    where: str
    noun: str
    query: str = ""
    gap: Gap | None = None


@dataclass(frozen=True, slots=True)
class WorkersSeen:
    """Names by state; `late_s` says how old a late worker's heartbeat is (seconds).

    `stale`: heartbeats cannot arrive now, the names are the last known.
    """

    online: tuple[str, ...] = ()
    late: tuple[str, ...] = ()
    offline: tuple[str, ...] = ()
    events_off: tuple[str, ...] = ()
    late_s: tuple[tuple[str, float], ...] = ()
    stale: bool = False

    @property
    def known(self) -> int:
        return len(self.online) + len(self.late) + len(self.offline)


@dataclass(frozen=True, slots=True)
class QueuesSeen:
    """`waiting` in all queues, None while unknown; those that wait without a consumer; the oldest message.

    `oldest_mark` stands before its time where that is not exact ("≥ ", "≈ ").
    """

    waiting: int | None = None
    without_consumer: tuple[tuple[str, int], ...] = ()
    oldest_s: float | None = None
    oldest_queue: str | None = None
    oldest_mark: str = ""


@dataclass(frozen=True, slots=True)
class SchedulesSeen:
    """Schedules that beat cannot run: name and reason."""

    problems: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class StreamSeen:
    """The event stream as the collector tells of it."""

    state: CollectorState
    error: str = ""
    malformed: int = 0


@dataclass(frozen=True, slots=True)
class HistoryRead:
    """One reading of the history: the minutes of the span, the task names in it, failures and gaps.

    `named` are the minutes of one task name, when one was asked for.
    """

    minutes: tuple[Minute, ...] = ()
    named: tuple[Minute, ...] | None = None
    stats: tuple[NameStat, ...] = ()
    failing: tuple[ErrorGroup, ...] = ()
    failing_before: tuple[ErrorGroup, ...] = ()
    gaps: tuple[Gap, ...] = ()


@dataclass(frozen=True, slots=True)
class Slot:
    """One slot of the charts. Counts are None where events may be missing and none were seen."""

    start: datetime
    end: datetime
    succeeded: int | None
    failed: int | None
    retried: int | None
    other: int | None
    runtime: Percentiles
    wait: Percentiles


@dataclass(frozen=True, slots=True)
class Rates:
    """Per minute, None while unknown; `usual` over the span before now."""

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


def slots_of(minutes: Sequence[Minute], width: int) -> tuple[Slot, ...]:
    """`minutes` in groups of `width`, aligned to the clock so that a slot keeps its minutes."""
    groups: dict[int, list[Minute]] = {}
    for minute in minutes:
        groups.setdefault(int(minute.start.timestamp() // 60) // width, []).append(minute)
    return tuple(_slot(group, width) for _, group in sorted(groups.items()))


def _slot(group: Sequence[Minute], width: int) -> Slot:
    seen = [minute for minute in group if not minute.gap or ended(minute)]
    start = group[0].start
    return Slot(
        start=start,
        end=start + timedelta(minutes=width if len(group) > 1 else 1),
        succeeded=sum(minute.succeeded for minute in seen) if seen else None,
        failed=sum(minute.failed for minute in seen) if seen else None,
        retried=sum(minute.retried for minute in seen) if seen else None,
        other=sum(minute.other for minute in seen) if seen else None,
        runtime=_together([minute.runtime for minute in group]),
        wait=_together([minute.wait for minute in group]),
    )


def _together(parts: Sequence[Percentiles]) -> Percentiles:
    """Percentiles of several minutes: their means, weighed by how much was measured.

    Close to the truth, not equal to it; of a single minute it is exact.
    """
    counted = [part for part in parts if part.count]
    total = sum(part.count for part in counted)

    def weighed(values: Sequence[float | None]) -> float | None:
        if not total:
            return None
        return sum((value or 0.0) * part.count for value, part in zip(values, counted, strict=True)) / total

    return Percentiles(
        weighed([part.p50_s for part in counted]),
        weighed([part.p95_s for part in counted]),
        weighed([part.p99_s for part in counted]),
        total,
    )


def ended(minute: Minute) -> int:
    """Attempts that ended in this minute, however they ended."""
    return minute.succeeded + minute.failed + minute.retried + minute.other


def rates_of(minutes: Sequence[Minute], now: datetime) -> Rates:
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
        tasks = ended(full[-1]) * (1.0 - share) + ended(running)
    else:
        tasks = float(ended(running))
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
        tasks_usual=float(median(ended(minute) for minute in before)) if enough else None,
        failed=failed,
        failed_usual=float(mean(minute.failed for minute in before)) if enough else None,
    )


def attention_of(
    *,
    workers: WorkersSeen | None,
    queues: QueuesSeen | None,
    schedules: SchedulesSeen | None,
    stream: StreamSeen | None,
    history: HistoryRead,
    now: datetime,
) -> tuple[Attention, ...]:
    """What needs a person, worst first. What is unknown (None) says nothing."""
    rows: list[Attention] = []
    if workers is not None:
        rows += _of_workers(workers, queues)
    if queues is not None:
        rows += [
            Attention(
                f"queue {name}",
                Severity.WARNING,
                f"Queue has no consumer, {count:,} waiting",
                name,
                "queues",
                name,
            )
            for name, count in queues.without_consumer
        ]
    rows += _of_failures(history)
    if schedules is not None:
        rows += [
            Attention(f"schedule {name}", Severity.WARNING, reason, name, "schedules", name)
            for name, reason in schedules.problems
        ]
    if stream is not None:
        rows += _of_stream(stream)
    rows += _of_gaps(history.gaps, now)
    return tuple(sorted(rows, key=lambda row: _RANK[row.severity]))


def _of_workers(workers: WorkersSeen, queues: QueuesSeen | None) -> list[Attention]:
    rows = []
    ages = dict(workers.late_s)
    waiting = queues.waiting if queues is not None else None
    if not workers.online and not workers.late and waiting:
        what = f"No worker is online, {waiting:,} {'task waits' if waiting == 1 else 'tasks wait'}"
        rows.append(Attention("no worker", Severity.ERROR, what, "Workers", "workers"))
    rows += [
        Attention(f"worker {name}", Severity.ERROR, f"{name} is offline", "Workers", "workers", name)
        for name in workers.offline
    ]
    for name in workers.late:
        age = ages.get(name)
        what = f"{name} is late" if age is None else f"{name}: last heartbeat {age:.0f} s ago"
        rows.append(Attention(f"worker {name}", Severity.WARNING, what, "Workers", "workers", name))
    covered = workers.known - len(workers.offline) - len(workers.events_off)
    for name in workers.events_off:
        what = f"Events off: counts cover {covered} of {workers.known - len(workers.offline)} workers"
        rows.append(Attention(f"events {name}", Severity.NOTICE, what, name, "workers", name))
    return rows


def _of_failures(history: HistoryRead) -> list[Attention]:
    now, before = _by_name(history.failing), _by_name(history.failing_before)
    rows = []
    for name, groups in now.items():
        count = sum(group.count for group in groups)
        if count < FEWEST_FAILURES:
            continue
        earlier = max(sum(group.count for group in before.get(name, ())) - count, 0)
        usual = earlier * FAILING_WINDOW_S / (FAILING_BEFORE_S - FAILING_WINDOW_S)
        rising = count > RISING_FACTOR * usual
        errors = "one error" if len(groups) == 1 else f"{len(groups)} errors"
        minutes = int(FAILING_WINDOW_S // 60)
        what = f"{name.rsplit('.', 1)[-1]}: {count:,} failed in {minutes} min, {errors}"
        severity = Severity.ERROR if rising else Severity.WARNING
        query = f"state:failed name:{name} since:{minutes}m"
        rows.append(Attention(f"failing {name}", severity, what, "Tasks", "tasks", query))
    return rows


def _by_name(groups: Sequence[ErrorGroup]) -> dict[str, list[ErrorGroup]]:
    found: dict[str, list[ErrorGroup]] = {}
    for group in groups:
        found.setdefault(group.name, []).append(group)
    return found


def _of_stream(stream: StreamSeen) -> list[Attention]:
    rows = []
    if stream.state is CollectorState.FAILED:
        what = f"The event stream is not read: {stream.error or 'the collector failed'}"
        rows.append(Attention("stream", Severity.ERROR, what, "Tasks", "tasks"))
    elif stream.state is CollectorState.RECONNECTING:
        what = "The event stream is interrupted: numbers may be too low"
        rows.append(Attention("stream", Severity.WARNING, what, "Tasks", "tasks"))
    if stream.malformed:
        messages = "message was" if stream.malformed == 1 else "messages were"
        what = f"{stream.malformed:,} unreadable event {messages} skipped"
        rows.append(Attention("malformed", Severity.NOTICE, what, "Tasks", "tasks"))
    return rows


def _of_gaps(gaps: Sequence[Gap], now: datetime) -> list[Attention]:
    """Gaps of the last hour as one row: how many, how long together, why the last one."""
    lately = [gap for gap in gaps if gap.end is None or (now - gap.end).total_seconds() < GAP_SHOWN_S]
    if not lately:
        return []
    total_s = sum(((gap.end or now) - gap.start).total_seconds() for gap in lately)
    length = f"{total_s:.0f} s" if total_s < 120 else f"{total_s / 60:.0f} min"
    times = "once" if len(lately) == 1 else f"{len(lately)} times"
    what = f"Events may be missing for {length}, {times} in the last hour: {lately[-1].reason}"
    return [Attention("gaps", Severity.NOTICE, what, "Tasks", "tasks", gap=lately[-1])]
