"""What a gap has cost, as far as the workers themselves tell: how many tasks started unseen.

An event carries no number in a sequence (its `clock` is Lamport's, which leaps), but a heartbeat carries
`processed`: how many tasks the worker has accepted since it began, counted where `task-started` is sent
(celery/worker/state.py, `task_accepted`; celery/worker/heartbeat.py). So between two heartbeats as many
starts must come as the number grows by. Events are buffered in the worker and heartbeats are not, so two
heartbeats are compared when the third has come, by the worker's own times. Whatever cannot be counted on -
a worker that was never seen to keep this rule, for its events are off or some of its tasks send none - adds
nothing: the loss is "at least", or unknown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from console.collector.events import Event

MOST_STARTS = 100_000
"""Of a worker between two heartbeats; more are not counted."""


@dataclass(slots=True)
class _Beat:
    at: float
    processed: int
    gap: bool = False  # between the heartbeat before and this one

    def comes_before(self, at: float, processed: int) -> bool:
        return self.at < at and self.processed <= processed


@dataclass(slots=True)
class _Worker:
    pid: int | None
    beats: list[_Beat]  # one to three
    starts: list[float] = field(default_factory=list)
    gap: bool = False  # since the last heartbeat
    kept: bool | None = None  # the rule; None while nothing proves it


class LossCount:
    """Fed with every event in the order of the stream, and with the ends of gaps."""

    def __init__(self) -> None:
        self._workers: dict[str, _Worker] = {}

    def gap(self) -> None:
        """Some events may be missing before those that are seen next."""
        for worker in self._workers.values():
            worker.gap = True
            # What was still in the worker's buffer at its last heartbeat may be missing too.
            worker.beats[-1].gap = True

    def see(self, events: Iterable[Event]) -> int:
        """How many starts are known by `events` to have been missed in the last gap."""
        missed = 0
        for event in events:
            if event.type == "task-started":
                worker = self._workers.get(event.hostname or "")
                if worker is not None and event.timestamp is not None and len(worker.starts) < MOST_STARTS:
                    worker.starts.append(event.timestamp)
            elif event.type == "worker-heartbeat":
                missed += self._beat(event)
        return missed

    def _beat(self, event: Event) -> int:
        name, at, processed = event.hostname, event.timestamp, event.processed
        if not name or at is None or processed is None:
            return 0
        worker = self._workers.get(name)
        if worker is None or worker.pid != event.pid or not worker.beats[-1].comes_before(at, processed):
            # Another life of the worker, or another clock: nothing before it can be compared.
            self._workers[name] = _Worker(event.pid, [_Beat(at, processed)])
            return 0
        worker.beats.append(_Beat(at, processed, worker.gap))
        worker.gap = False
        return _compare(worker) if len(worker.beats) > 2 else 0


def _compare(worker: _Worker) -> int:
    """Compare the two heartbeats before the last one, and forget the first."""
    first, second = worker.beats[:2]
    grown = second.processed - first.processed
    seen = sum(first.at < at <= second.at for at in worker.starts)
    unsure = len(worker.starts) >= MOST_STARTS
    worker.beats.pop(0)
    worker.starts = [at for at in worker.starts if at > second.at]
    if unsure:
        worker.kept = False
    if second.gap:
        return max(0, grown - seen) if worker.kept else 0
    if grown != seen:
        worker.kept = False
    elif grown and worker.kept is None:
        worker.kept = True
    return 0
