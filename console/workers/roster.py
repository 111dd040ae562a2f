"""Who is there: heartbeats and answers folded into the workers that are known.

Apart from the service because it is a state of its own: it knows no broker and no loop, only times.
All `_s` are seconds of the monotonic clock; the wall clock may jump without anybody becoming late.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from console.history.model import WorkerSeen
from console.workers.model import (
    FORGOTTEN_AFTER_S,
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


@dataclass(slots=True)
class Known:
    """One worker: its last heartbeat, when that came, what it said of itself, when to ask it again.

    `worked_s` is when a heartbeat first told of a task that it had processed since we follow it.
    """

    hostname: str
    seen: WorkerSeen | None = None
    heard_s: float = 0.0
    state: WorkerState = WorkerState.OFFLINE
    placed: bool = False
    answered: bool = False
    worked_s: float | None = None
    inspected: Inspected = field(default_factory=Inspected)
    wanted_at_s: float | None = None
    retry_s: float = RETRY_S

    def want(self, now_s: float) -> None:
        """Inspect this worker now: what is known of it may be of an earlier life."""
        self.wanted_at_s, self.retry_s = now_s, RETRY_S

    def want_later(self, now_s: float) -> None:
        """It did not answer: ask again, each time after a longer pause."""
        self.wanted_at_s = now_s + self.retry_s
        self.retry_s = min(self.retry_s * 2, RETRY_MOST_S)


class Roster:
    """The known workers. `frozen_at_s` is since when heartbeats cannot arrive; None while they can."""

    def __init__(self, now_s: float) -> None:
        self._known: dict[str, Known] = {}
        self.frozen_at_s: float | None = now_s

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
                    known.inspected, known.worked_s = Inspected(), None
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
        now_s: float,
        failed: Mapping[str, int] | None,
        heard: Collection[str],
        heard_s: float | None,
    ) -> tuple[WorkerRow, ...]:
        """The workers by name, without those that have been silent for an hour.

        `heard` are workers whose task events had arrived at `heard_s`; None is that nobody knows.
        """
        now_s = now_s if self.frozen_at_s is None else self.frozen_at_s
        return tuple(
            _row(known, failed, _sends_events(known, heard, heard_s))
            for known in sorted(self, key=lambda one: one.hostname)
            if _shown(known, now_s)
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


def _shown(known: Known, now_s: float) -> bool:
    if known.seen is None:  # it sends no heartbeats: it is there as long as it answers
        return known.state is not WorkerState.OFFLINE
    return now_s - known.heard_s <= FORGOTTEN_AFTER_S


def _worked(before: WorkerSeen, seen: WorkerSeen) -> bool:
    return before.processed is not None and seen.processed is not None and seen.processed > before.processed


def _sends_events(known: Known, heard: Collection[str], heard_s: float | None) -> bool | None:
    """Whether task events come: not, if it worked and none was heard. None is that nobody can tell."""
    if known.inspected.task_events or known.hostname in heard:
        return True
    if known.worked_s is None or heard_s is None:
        return None
    return False if heard_s - known.worked_s >= EVENTS_LATE_S else None


def _row(known: Known, failed: Mapping[str, int] | None, task_events: bool | None) -> WorkerRow:
    seen, inspected = known.seen, known.inspected
    live = known.state is not WorkerState.OFFLINE
    return WorkerRow(
        hostname=known.hostname,
        state=known.state,
        active=seen.active if seen is not None and live else None,
        processed=inspected.processed if seen is None or seen.processed is None else seen.processed,
        failed=None if failed is None else failed.get(known.hostname, 0),
        pool=inspected.pool,
        concurrency=inspected.concurrency,
        load=seen.load if seen is not None and live else (),
        queues=inspected.queues,
        last_heartbeat=None if seen is None else seen.last_heartbeat,
        task_events=task_events,
        autoscale=inspected.autoscale,
        pid=inspected.pid if seen is None or seen.pid is None else seen.pid,
        software="" if seen is None else seen.software,
    )
