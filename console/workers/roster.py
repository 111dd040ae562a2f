"""Who is there: heartbeats and answers folded into the workers that are known.

Apart from the service because it is a state of its own: it knows no broker and no loop, only times.
All `_s` are seconds of the monotonic clock; the wall clock may jump without anybody becoming late.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from console.history.model import WorkerSeen
from console.workers.model import (
    Inspected,
    WorkerRow,
    WorkerState,
    is_worker,
    worker_state,
)

RETRY_S = 1.0
RETRY_MOST_S = 60.0
EVENTS_LATE_S = 5.0
"""A task event that has not arrived so long after the heartbeat that tells of its task will not come."""


class Question(StrEnum):
    """What workers are asked of themselves; the word is the command. One broadcast asks one of them."""

    STATS = "stats"
    QUEUES = "active_queues"
    SETTINGS = "conf"
    REGISTERED = "registered"


@dataclass(slots=True)
class Known:
    """One worker: its last heartbeat, when that came, what it said of itself, when to ask it what again.

    `worked_s` is when a heartbeat first told of a task that it had processed since we follow it; `said_at`
    when its statistics came; `made` the row last made, and what from.
    """

    hostname: str
    seen: WorkerSeen | None = None
    heard_s: float = 0.0
    state: WorkerState = WorkerState.OFFLINE
    placed: bool = False
    answered: bool = False
    worked_s: float | None = None
    inspected: Inspected = field(default_factory=Inspected)
    said_at: datetime | None = None
    wants: dict[Question, float] = field(default_factory=dict)
    retry_s: float = RETRY_S
    made: tuple[tuple[object, ...], WorkerRow] | None = None

    def want(self, now_s: float) -> None:
        """Ask this worker everything now: what is known of it may be of an earlier life."""
        self.wants, self.retry_s = dict.fromkeys(Question, now_s), RETRY_S

    def want_later(self, question: Question, now_s: float) -> None:
        """It did not answer: ask again, each time after a longer pause, and nothing else before."""
        at_s = now_s + self.retry_s
        self.wants = {one: max(due_s, at_s) for one, due_s in {**self.wants, question: at_s}.items()}
        self.retry_s = min(self.retry_s * 2, RETRY_MOST_S)


class Roster:
    """The known workers. `frozen_at_s` is since when heartbeats cannot arrive; None while they can.

    `dismissed` are workers that a person no longer wants to see, with the last heartbeat they had then: with
    a newer one they are back.
    """

    def __init__(self, now_s: float) -> None:
        self._known: dict[str, Known] = {}
        self.frozen_at_s: float | None = now_s
        self.dismissed: Mapping[str, datetime] = {}

    def __iter__(self) -> Iterator[Known]:
        return iter(self._known.values())

    def __contains__(self, hostname: str) -> bool:
        return hostname in self._known

    def get(self, hostname: str) -> Known | None:
        return self._known.get(hostname)

    def meet(self, hostname: str) -> Known:
        """The worker of that name, new if nobody knew it."""
        return self._known.setdefault(hostname, Known(hostname))

    def set_hearing(self, hears: bool, *, now_s: float) -> None:
        """While heartbeats cannot arrive nobody ages, and afterwards the pause is held against nobody."""
        if not hears and self.frozen_at_s is None:
            self.frozen_at_s = now_s
        elif hears and self.frozen_at_s is not None:
            for known in self:
                known.heard_s += now_s - self.frozen_at_s
            self.frozen_at_s = None

    def hear(self, workers: Collection[WorkerSeen], *, now: datetime, now_s: float) -> bool:
        """Take in heartbeats; True when somebody has appeared who should be inspected."""
        appeared = False
        for seen in workers:
            if not is_worker(seen.hostname):
                continue
            known = self.meet(seen.hostname)
            before = known.seen
            if before is None:
                known.heard_s = now_s - max(0.0, (now - seen.last_heartbeat).total_seconds())
            elif before.last_heartbeat != seen.last_heartbeat:
                known.heard_s = now_s
            if seen.online and (before is None or not before.online or before.pid != seen.pid):
                if before is not None:
                    known.inspected, known.worked_s, known.said_at = Inspected(), None, None
                known.want(now_s)
                appeared = True
            elif known.worked_s is None and before is not None and _worked(before, seen):
                known.worked_s = now_s
            known.seen = seen
        return appeared

    def age(self, now_s: float) -> list[tuple[Known, WorkerState | None, float]]:
        """Bring all states up to `now_s`; returns who changed, its old state (None: new), heartbeat age."""
        now_s = now_s if self.frozen_at_s is None else self.frozen_at_s
        changed: list[tuple[Known, WorkerState | None, float]] = []
        for known in self:
            age_s = now_s - known.heard_s
            if known.seen is None:
                state = WorkerState.ONLINE if known.answered else WorkerState.OFFLINE
            else:
                state = worker_state(
                    said_goodbye=not known.seen.online,
                    heartbeat_age_s=age_s,
                    interval_s=known.seen.interval_s,
                )
            if not known.placed or state is not known.state:
                changed.append((known, known.state if known.placed else None, age_s))
            known.state, known.placed = state, True
        return changed

    def rows(
        self,
        *,
        failed: Mapping[str, int] | None,
        heard: Collection[str],
        heard_s: float | None,
    ) -> tuple[WorkerRow, ...]:
        """The workers by name, without those that were dismissed.

        `heard` are workers whose task events had arrived at `heard_s`; None is that nobody knows.
        """
        return tuple(
            _row(
                known,
                None if failed is None else failed.get(known.hostname, 0),
                _sends_events(known, heard, heard_s),
            )
            for known in sorted(self, key=lambda one: one.hostname)
            if self._shown(known)
        )

    def consumers_by_queue(self) -> dict[str, int] | None:
        """How many live workers consume each queue; None while some live worker has not said."""
        counts: dict[str, int] = {}
        for known in self:
            if known.state is WorkerState.OFFLINE:
                continue
            if known.inspected.queues is None:
                return None
            for queue in known.inspected.queues:
                counts[queue] = counts.get(queue, 0) + 1
        return counts

    def _shown(self, known: Known) -> bool:
        if known.state is not WorkerState.OFFLINE:
            return True
        if known.seen is None:  # it sends no heartbeats: it is there as long as it answers
            return False
        gone = self.dismissed.get(known.hostname)
        return gone is None or known.seen.last_heartbeat > gone


def _worked(before: WorkerSeen, seen: WorkerSeen) -> bool:
    return before.processed is not None and seen.processed is not None and seen.processed > before.processed


def _sends_events(known: Known, heard: Collection[str], heard_s: float | None) -> bool | None:
    """Whether task events come: not, if it worked and none was heard. None is that nobody can tell."""
    if known.inspected.task_events or known.hostname in heard:
        return True
    if known.worked_s is None or heard_s is None:
        return None
    return False if heard_s - known.worked_s >= EVENTS_LATE_S else None


def _row(known: Known, failed: int | None, task_events: bool | None) -> WorkerRow:
    # A thousand dead workers are shown ten times a second: their rows are made once.
    made_from = (known.seen, known.inspected, known.said_at, known.state, failed, task_events)
    if known.made is None or known.made[0] != made_from:
        known.made = (made_from, _new_row(known, failed, task_events))
    return known.made[1]


def _new_row(known: Known, failed: int | None, task_events: bool | None) -> WorkerRow:
    seen, inspected = known.seen, known.inspected
    live = known.state is not WorkerState.OFFLINE
    return WorkerRow(
        hostname=known.hostname,
        state=known.state,
        active=seen.active if seen is not None and live else None,
        processed=inspected.processed if seen is None or seen.processed is None else seen.processed,
        failed=failed,
        pool=inspected.pool,
        concurrency=inspected.concurrency,
        load=seen.load if seen is not None and live else (),
        queues=inspected.queues,
        last_heartbeat=None if seen is None else seen.last_heartbeat,
        task_events=task_events,
        autoscale=inspected.autoscale,
        pid=inspected.pid if seen is None or seen.pid is None else seen.pid,
        software="" if seen is None else seen.software,
        said=inspected,
        said_at=known.said_at,
        clock_offset_s=None if seen is None else seen.clock_offset_s,
    )
