"""What needs a person: rules over what is known, and how long a thing must be so before it is said.

Each rule is a plain function of one fact. A fact that is unknown (None) neither raises nor clears anything:
what was said of it before stays. A row that hovers around its limit does not come and go: limits for staying
are lower than those for coming (`firm`), and each kind has its own time for both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from console.history.figure_reading import FigureStat
from console.history.model import CollectorState, Gap
from console.history.query import quoted
from console.overview.model import (
    FAILED_STATES,
    LATELY_S,
    Attention,
    AttentionKind,
    Backlog,
    HistoryRead,
    QueuesSeen,
    SchedulesSeen,
    Severity,
    StreamSeen,
    WorkersSeen,
)

QUIET_S = 10.0
GAP_SHOWN_S = 3_600.0
MOST_APART = 3
"""So many workers with the same trouble have a row each; more are told of together."""
FEWEST_FAILURES = 5
FEWEST_TO_STAY = 3
SPIKE_FACTOR = 3.0
STAY_FACTOR = 1.5
SPIKE_SHARE = 0.02
MOSTLY_FAILING = 0.5
STAYS_FAILING = 0.4
RUNS_TO_COMPARE = 10
LONGEST_DRAIN_S = 30 * 86_400.0
SILENT_TASKS = "state:sent,received,started,retrying before:1m"
HISTORY_WORDS = "task history"
"""What the title of every failure of the history file holds (`history_error`)."""
_RANK = {severity: rank for rank, severity in enumerate(Severity)}


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known now; None is unknown. `history` counts as unknown before its first reading."""

    workers: WorkersSeen | None = None
    queues: QueuesSeen | None = None
    schedules: SchedulesSeen | None = None
    stream: StreamSeen | None = None
    history: HistoryRead | None = None


@dataclass(frozen=True, slots=True)
class _Patience:
    """How long a thing must be so before it is said, and how long it must not be before it is taken back."""

    before_s: float = 0.0
    after_s: float = 0.0


PATIENCE = {
    AttentionKind.WORKER_LOST: _Patience(0.0, 5.0),
    AttentionKind.WORKER_LATE: _Patience(3.0, 10.0),
    AttentionKind.NO_CONSUMER: _Patience(10.0, 5.0),
    AttentionKind.BACKLOG: _Patience(20.0, 30.0),
    AttentionKind.FAILURES: _Patience(0.0, 60.0),
    AttentionKind.TASKS_LOST: _Patience(0.0, 0.0),
    AttentionKind.BEAT: _Patience(5.0, 5.0),
    AttentionKind.SCHEDULES: _Patience(0.0, 0.0),
    AttentionKind.EVENTS_OFF: _Patience(5.0, 0.0),
    AttentionKind.SILENT: _Patience(10.0, 0.0),
    AttentionKind.STREAM: _Patience(3.0, 0.0),
    AttentionKind.HISTORY: _Patience(0.0, 5.0),
}


def found_in(facts: Facts, now: datetime) -> tuple[list[Attention], frozenset[AttentionKind]]:
    """The rows that hold now, and the kinds of which nothing can be said now."""
    kinds = AttentionKind
    told: list[tuple[tuple[AttentionKind, ...], Callable[[], list[Attention]] | None]] = []
    workers, queues, schedules, history = facts.workers, facts.queues, facts.schedules, facts.history
    heard = None if workers is None or workers.stale else workers
    depths = None if queues is None or queues.stale else queues
    told.append(
        (
            (kinds.WORKER_LOST, kinds.WORKER_LATE, kinds.EVENTS_OFF),
            None if heard is None else lambda: of_workers(heard, depths),
        )
    )
    told.append(((kinds.NO_CONSUMER, kinds.BACKLOG), None if depths is None else lambda: of_queues(depths)))
    told.append(
        ((kinds.FAILURES, kinds.TASKS_LOST), None if history is None else lambda: of_failures(history))
    )
    told.append(
        ((kinds.BEAT, kinds.SCHEDULES), None if schedules is None else lambda: of_schedules(schedules))
    )
    stream, gaps = facts.stream, () if history is None else history.gaps
    told.append(
        (
            (kinds.STREAM, kinds.HISTORY, kinds.SILENT),
            None if stream is None and history is None else lambda: of_stream(stream, gaps, now),
        )
    )
    rows: list[Attention] = []
    unknown: set[AttentionKind] = set()
    for names, rule in told:
        if rule is None:
            unknown.update(names)
        else:
            rows += rule()
    return rows, frozenset(unknown)


class AttentionKeeper:
    """Turns what holds now into what is said: what lasts comes, what has ended goes, nothing flickers.

    Belongs to one connection. `now_s` is of a clock that only goes forward.
    """

    def __init__(self, started_s: float) -> None:
        self._started_s = started_s
        self._begun_s: dict[str, float] = {}
        self._held_s: dict[str, float] = {}
        self._said: dict[str, Attention] = {}

    def judge(self, facts: Facts, *, now: datetime, now_s: float) -> tuple[Attention, ...]:
        """The rows to show, worst first. Nothing is said in the first 10 s: much is not known yet then."""
        rows, unknown = found_in(facts, now)
        held = {row.key: row for row in rows if row.firm or row.key in self._said}
        for key in self._begun_s.keys() - held.keys():
            if key not in self._said:
                del self._begun_s[key]
        for key, row in held.items():
            begun_s = self._begun_s.setdefault(key, now_s)
            self._held_s[key] = now_s
            if key in self._said or (
                now_s - self._started_s >= QUIET_S and now_s - begun_s >= PATIENCE[row.kind].before_s
            ):
                self._said[key] = row
        for key, row in list(self._said.items()):
            if key in held or row.kind in unknown:
                continue
            if now_s - self._held_s[key] >= PATIENCE[row.kind].after_s:
                del self._said[key], self._begun_s[key], self._held_s[key]
        return tuple(sorted(self._said.values(), key=lambda row: (_RANK[row.severity], row.key)))


def of_workers(workers: WorkersSeen, queues: QueuesSeen | None) -> list[Attention]:
    """Workers that are gone without a word, that are late, or that tell nothing of their tasks."""
    rows = []
    waiting = queues.waiting if queues is not None else None
    if not workers.online and not workers.late and waiting:
        what = f"No worker is online, {waiting:,} {'task waits' if waiting == 1 else 'tasks wait'}"
        rows.append(
            Attention("no worker", AttentionKind.WORKER_LOST, Severity.ERROR, what, "Workers", "workers")
        )
    lost = [
        _of_worker(
            name, AttentionKind.WORKER_LOST, Severity.ERROR, f"{name} is lost: it ended without a word"
        )
        for name in workers.offline
        if name not in workers.left
    ]
    rows += _together(lost, f"{len(lost):,} workers are offline: they ended without a word")
    ages = dict(workers.late_s)
    late = []
    for name in workers.late:
        age = ages.get(name)
        what = f"{name} is late" if age is None else f"{name}: last heartbeat {age:.0f} s ago"
        late.append(_of_worker(name, AttentionKind.WORKER_LATE, Severity.WARNING, what))
    rows += _together(late, f"{len(late):,} workers are late")
    alive, off = workers.known - len(workers.offline), len(workers.events_off)
    covered = f"counts cover {alive - off:,} of {alive:,} {'worker' if alive == 1 else 'workers'}"
    silent = [
        Attention(
            f"events {name}",
            AttentionKind.EVENTS_OFF,
            Severity.NOTICE,
            f"Events off: {covered}",
            name,
            "workers",
            name,
        )
        for name in workers.events_off
    ]
    return rows + _together(silent, f"Events off on {off:,} workers: {covered}")


def _together(rows: list[Attention], what: str) -> list[Attention]:
    """A row each while they are few; else one row `what` with all their names."""
    if len(rows) <= MOST_APART:
        return rows
    names = tuple(row.query for row in rows)
    return [replace(rows[0], key=f"many {rows[0].kind.name}", what=what, where="Workers", names=names)]


def _of_worker(name: str, kind: AttentionKind, severity: Severity, what: str) -> Attention:
    return Attention(f"{kind.name} {name}", kind, severity, what, "Workers", "workers", name)


def of_queues(queues: QueuesSeen) -> list[Attention]:
    """Queues that nobody empties, and those that fill faster than they are emptied."""
    rows = [
        Attention(
            f"queue {name}",
            AttentionKind.NO_CONSUMER,
            Severity.WARNING,
            f"Queue has no consumer, {count:,} waiting",
            name,
            "queues",
            name,
        )
        for name, count in queues.without_consumer
    ]
    return rows + [
        Attention(
            f"backlog {backlog.queue}",
            AttentionKind.BACKLOG,
            Severity.WARNING,
            f"Grows {_per_s(backlog.growth_per_s)}, {drain_words(backlog)}, {backlog.waiting:,} waiting",
            backlog.queue,
            "queues",
            backlog.queue,
        )
        for backlog in queues.growing
    ]


def drain_words(backlog: Backlog) -> str:
    """How long the messages that wait now would take if no more came."""
    out = backlog.out_per_s
    if out is None:
        return "time to drain unknown"
    if out <= 0.0 or backlog.waiting / out > LONGEST_DRAIN_S:
        return "does not drain"
    return f"{_lapse(backlog.waiting / out)} to drain"


def of_failures(history: HistoryRead) -> list[Attention]:
    """Names that fail clearly more than they used to, and tasks that nobody has any more."""
    earlier = {stat.word: stat for stat in history.earlier}
    errors = dict(history.errors)
    rows = []
    for stat in history.lately:
        firm = failing(stat, earlier.get(stat.word))
        if firm is None:
            continue
        minutes = int(LATELY_S // 60)
        kinds = errors.get(stat.word)
        told = "" if not kinds else ", one error" if kinds == 1 else f", {kinds} errors"
        what = f"{stat.word.rsplit('.', 1)[-1]}: {stat.failed:,} failed in {minutes} min{told}"
        query = f"{FAILED_STATES} name:{quoted(stat.word)} since:{minutes}m"
        rows.append(
            Attention(
                f"failing {stat.word}",
                AttentionKind.FAILURES,
                Severity.ERROR,
                what,
                "Tasks",
                "tasks",
                query,
                firm=firm,
            )
        )
    if history.lost:
        what = "1 task is lost" if history.lost == 1 else f"{history.lost:,} tasks are lost"
        rows.append(
            Attention(
                "lost",
                AttentionKind.TASKS_LOST,
                Severity.ERROR,
                f"{what}: in no queue and with no worker",
                "Tasks",
                "tasks",
                "state:lost since:24h",
            )
        )
    return rows


def failing(stat: FigureStat, earlier: FigureStat | None) -> bool | None:
    """Whether a name fails more than it used to: True raises, False lets stay, None is neither.

    `earlier` is the longer time that ends now, too. A name with too short a past is judged by itself: more
    than every second run failing is much anywhere. A name that has always failed so is no news.
    """
    share = stat.failure_rate
    if share is None or stat.failed < FEWEST_TO_STAY:
        return None
    past_runs = 0 if earlier is None else earlier.runs - stat.runs
    past_failed = 0 if earlier is None else max(0, earlier.failed - stat.failed)
    if past_runs < RUNS_TO_COMPARE:
        if share >= MOSTLY_FAILING and stat.failed >= FEWEST_FAILURES:
            return True
        return False if share >= STAYS_FAILING else None
    past = past_failed / past_runs
    if stat.failed >= FEWEST_FAILURES and share >= SPIKE_FACTOR * past and share >= past + SPIKE_SHARE:
        return True
    return False if share >= STAY_FACTOR * past and share >= past + SPIKE_SHARE / 2 else None


def of_schedules(schedules: SchedulesSeen) -> list[Attention]:
    """Schedules that beat cannot run, and those that it should have run."""
    rows = [
        Attention(
            f"schedule {name}",
            AttentionKind.SCHEDULES,
            Severity.WARNING,
            reason,
            name,
            "schedules",
            name,
        )
        for name, reason in schedules.problems
    ]
    if schedules.overdue:
        name, due = min(schedules.overdue, key=lambda one: one[1])
        count = len(schedules.overdue)
        more = "" if count == 1 else f", {count - 1:,} more {'is' if count == 2 else 'are'} overdue"
        what = f"Beat has not run it{more}"
        rows.append(
            Attention("beat", AttentionKind.BEAT, Severity.WARNING, what, name, "schedules", name, since=due)
        )
    return rows


def of_stream(stream: StreamSeen | None, gaps: Sequence[Gap], now: datetime) -> list[Attention]:
    """An event stream that is not read or was not read, and a history that cannot be written."""
    rows = []
    if stream is not None and stream.state is CollectorState.FAILED:
        if HISTORY_WORDS in stream.error.lower():
            rows.append(_of_stream("history", AttentionKind.HISTORY, Severity.ERROR, stream.error))
        else:
            what = f"The event stream is not read: {stream.error or 'the collector failed'}"
            rows.append(_of_stream("stream", AttentionKind.STREAM, Severity.ERROR, what))
    elif stream is not None and stream.state is CollectorState.RECONNECTING:
        what = "The event stream is interrupted: numbers may be too low"
        rows.append(_of_stream("stream", AttentionKind.STREAM, Severity.WARNING, what))
    if stream is not None and stream.malformed:
        messages = "message was" if stream.malformed == 1 else "messages were"
        what = f"{stream.malformed:,} unreadable event {messages} skipped"
        rows.append(_of_stream("malformed", AttentionKind.STREAM, Severity.NOTICE, what))
    if stream is not None and stream.unjudged_tasks:
        count = stream.unjudged_tasks
        what = f"{'1 task is' if count == 1 else f'{count:,} tasks are'} silent and cannot be judged"
        row = _of_stream("silent", AttentionKind.SILENT, Severity.NOTICE, f"{what}: {stream.unjudged}")
        rows.append(replace(row, query=SILENT_TASKS))
    return rows + _of_gaps(gaps, now)


def _of_stream(key: str, kind: AttentionKind, severity: Severity, what: str) -> Attention:
    return Attention(key, kind, severity, what, "Tasks", "tasks")


def _of_gaps(gaps: Sequence[Gap], now: datetime) -> list[Attention]:
    """Gaps of the last hour as one row: how many events, how long together, why the last one."""
    lately = [gap for gap in gaps if gap.end is None or (now - gap.end).total_seconds() < GAP_SHOWN_S]
    if not lately:
        return []
    total_s = sum(((gap.end or now) - gap.start).total_seconds() for gap in lately)
    lost = sum(gap.lost or 0 for gap in lately)
    length = f"{total_s:.0f} s" if total_s < 120 else f"{total_s / 60:.0f} min"
    times = "" if len(lately) == 1 else f", {len(lately)} times in the last hour"
    what = (
        f"{lost:,} {'event was' if lost == 1 else 'events were'} lost in {length}"
        if lost
        else f"Events may be missing for {length}"
    )
    row = _of_stream(
        "gaps",
        AttentionKind.STREAM,
        Severity.WARNING if lost else Severity.NOTICE,
        f"{what}{times}: {lately[-1].reason}",
    )
    return [replace(row, gap=lately[-1])]


def _per_s(rate: float) -> str:
    return f"{rate:.1f}/s" if rate < 100 else f"{rate:,.0f}/s"


def _lapse(seconds: float) -> str:
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    if seconds < 5_400:
        return f"{round(seconds / 60)} min"
    if seconds < 2 * 86_400:
        return f"{round(seconds / 3_600)} h"
    return f"{round(seconds / 86_400)} days"
