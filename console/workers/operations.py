"""What can be done to workers, as operations for the single write path.

Each acts on one worker or on several with one broadcast, leaves out those that do not allow it and says
why, and ends with what the workers themselves say afterwards (`effects`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from console.core.connection import Right
from console.core.errors import ConsoleError
from console.core.operations import Danger, Operation, Subject
from console.workers.actions import Action, refusal
from console.workers.effects import Crew, Effects, limits_text, told
from console.workers.model import WorkerRow

_WORKERS = frozenset({Subject.WORKERS})
_WORKERS_AND_QUEUES = frozenset({Subject.WORKERS, Subject.QUEUES})


@dataclass(frozen=True, slots=True)
class Crowd:
    """Those whom an operation is meant for: who allows it, and why the others do not."""

    allowed: tuple[str, ...]
    skipped: Mapping[str, str]

    @property
    def many(self) -> bool:
        return len(self.allowed) > 1

    @property
    def subject(self) -> str:
        """The workers in a sentence: the name of one, the number of several."""
        return f"{len(self.allowed)} workers" if len(self.allowed) != 1 else self.allowed[0]

    @property
    def left_out(self) -> str:
        """Who is not meant, as a sentence with a space before it; empty when all are."""
        if not self.skipped:
            return ""
        reasons = dict.fromkeys(f"{reason[:1].lower()}{reason[1:]}" for reason in self.skipped.values())
        number = len(self.skipped)
        workers = next(iter(self.skipped)) if number == 1 else f"{number} workers"
        return f" Left out: {workers} ({'; '.join(reasons)})."


class WorkerOperations:
    """Makes the operations on workers, each for one hostname or several.

    `row` gives a worker's row now, `rows` those of all; `production` is whether the open connection is one.
    """

    def __init__(
        self,
        crew: Crew,
        *,
        row: Callable[[str], WorkerRow | None],
        rows: Callable[[], Sequence[WorkerRow]],
        production: Callable[[], bool],
    ) -> None:
        self._crew = crew
        self._row = row
        self._rows = rows
        self._production = production

    def ping(self, *hostnames: str) -> Operation:
        """See whether the workers answer, and how fast."""
        crowd = self._crowd(Action.PING, hostnames)
        return Operation(
            name="Ping worker",
            target=", ".join(crowd.allowed),
            danger=Danger.SAFE,
            run=_run(crowd, self._crew.ping, deed="answered"),
            writes=False,
            needs=(Right.ASK_WORKERS,),
        )

    def grow(self, *hostnames: str, by: int = 1) -> Operation:
        """More places in the pools."""
        crowd = self._crowd(Action.GROW, hostnames)
        return self._operation(
            crowd,
            "Grow pool",
            _run(crowd, lambda names: self._crew.resize(names, by), deed="have grown"),
            question=f"Grow the pool of {crowd.subject} by {by}?",
            consequence=f"{_each(crowd)} runs {_more(by)} at the same time.",
            danger=self._when_many_or_production(crowd),
        )

    def shrink(self, *hostnames: str, by: int = 1) -> Operation:
        """Fewer places in the pools."""
        crowd = self._crowd(
            Action.SHRINK, hostnames, lambda row: _too_small(row, by) if row.concurrency is not None else None
        )
        return self._operation(
            crowd,
            "Shrink pool",
            _run(crowd, lambda names: self._crew.resize(names, -by), deed="have shrunk"),
            question=f"Shrink the pool of {crowd.subject} by {by}?",
            consequence=f"{_each(crowd)} runs {_fewer(by)} at the same time. Places that run a task stay.",
            danger=self._when_many_or_production(crowd),
        )

    def autoscale(self, *hostnames: str, least: int, most: int) -> Operation:
        """Other bounds for pools that scale themselves."""
        crowd = self._crowd(Action.AUTOSCALE, hostnames)
        return self._operation(
            crowd,
            "Autoscale",
            _run(
                crowd,
                lambda names: self._crew.autoscale(names, least, most),
                deed=f"scale from {least} to {most}",
            ),
            question=f"Scale {crowd.subject} from {least} to {most}?",
            consequence=f"{_each(crowd)} keeps {least} places and grows to {most} when there is work.",
            danger=self._when_production(),
        )

    def restart_pool(self, *hostnames: str) -> Operation:
        """New processes for the pools."""
        crowd = self._crowd(Action.RESTART_POOL, hostnames)
        return self._operation(
            crowd,
            "Restart pool",
            _run(crowd, self._crew.restart_pool, deed="have new processes"),
            question=f"Restart the pool of {crowd.subject}?",
            consequence=f"{_each(crowd)} replaces its processes one by one; what runs goes on to its end.",
            danger=Danger.DISRUPTIVE,
        )

    def add_queue(self, *hostnames: str, queue: str) -> Operation:
        """One more queue to consume."""
        crowd = self._crowd(Action.ADD_QUEUE, hostnames, lambda row: _consumes(row, queue))
        return self._operation(
            crowd,
            "Add queue",
            _run(crowd, lambda names: self._crew.add_queue(names, queue), deed=f"consume {queue} now"),
            target=f"{queue} on {', '.join(crowd.allowed)}",
            question=f"Have {crowd.subject} consume {queue}?",
            consequence=f"{_each(crowd)} takes tasks from {queue} until it is restarted.",
            danger=self._when_production(),
            changes=_WORKERS_AND_QUEUES,
        )

    def stop_consuming(self, *hostnames: str, queue: str) -> Operation:
        """One queue less to consume."""
        crowd = self._crowd(Action.STOP_CONSUMING, hostnames, lambda row: _consumes_not(row, queue))
        nobody = self._nobody_else_consumes(queue, crowd.allowed)
        waits = " No other worker consumes it: its messages will wait." if nobody else ""
        return self._operation(
            crowd,
            "Stop consuming",
            _run(
                crowd,
                lambda names: self._crew.stop_consuming(names, queue),
                deed=f"no longer consume {queue}",
            ),
            target=f"{queue} on {', '.join(crowd.allowed)}",
            question=f"Have {crowd.subject} stop consuming {queue}?",
            consequence=f"{_each(crowd)} takes no more tasks from {queue} until it is restarted.{waits}",
            danger=Danger.DISRUPTIVE if nobody else self._when_production(),
            changes=_WORKERS_AND_QUEUES,
        )

    def rate_limit(self, *hostnames: str, task: str, limit: str) -> Operation:
        """At most so many of a task at each worker; an empty limit lifts it."""
        crowd = self._crowd(Action.RATE_LIMIT, hostnames, lambda row: _knows_not(row, task))
        deed = f"limit {task} to {limit}" if limit else f"run {task} without a rate limit"
        does = f"runs at most {limit} of {task}" if limit else f"runs {task} as fast as it can"
        return self._operation(
            crowd,
            "Rate limit",
            _run(crowd, lambda names: self._crew.rate_limit(names, task, limit), deed=deed),
            target=f"{task} on {', '.join(crowd.allowed)}",
            question=f"Limit {task} to {limit}?" if limit else f"Lift the rate limit of {task}?",
            consequence=f"{_each(crowd)} {does} until it is restarted.",
            danger=self._when_production(),
        )

    def time_limit(self, *hostnames: str, task: str, soft_s: float | None, hard_s: float | None) -> Operation:
        """When a task that takes too long is told and made to stop."""
        crowd = self._crowd(Action.TIME_LIMIT, hostnames, lambda row: _knows_not(row, task))
        words = limits_text(soft_s, hard_s)
        return self._operation(
            crowd,
            "Time limit",
            _run(
                crowd,
                lambda names: self._crew.time_limit(names, task, soft_s, hard_s),
                deed=f"run {task} with {words}",
            ),
            target=f"{task} on {', '.join(crowd.allowed)}",
            question=f"Change the time limit of {task}?",
            consequence=f"{_each(crowd)} runs {task} with {words} until it is restarted.",
            danger=self._when_production(),
        )

    def enable_events(self, *hostnames: str) -> Operation:
        """Have the workers send task events from now on."""
        crowd = self._crowd(Action.PING, hostnames)  # told again, one that sends them says so
        return self._operation(
            crowd, "Enable events", _run(crowd, self._crew.enable_events, deed="send task events")
        )

    def enable_events_on(self, hostnames: Sequence[str]) -> Operation:
        """`enable_events` of several workers, for other pages."""
        return self.enable_events(*hostnames)

    def shut_down(self, *hostnames: str) -> Operation:
        """End the workers after their running tasks."""
        crowd = self._crowd(Action.SHUT_DOWN, hostnames)
        rows = [self._row(name) for name in crowd.allowed]
        running = sum(row.active or 0 for row in rows if row is not None)
        them, ends = (
            ("them", "They finish {}, then they end")
            if crowd.many
            else ("it", "It finishes {}, then it ends")
        )
        whose = "their" if crowd.many else "its"
        what = f"what {'they run' if crowd.many else 'it runs'}"
        if running:
            what = f"{whose} {running} running task{'' if running == 1 else 's'}"
        return self._operation(
            crowd,
            "Shut down worker",
            _run(crowd, self._crew.shut_down, deed="take no more tasks"),
            question=f"Shut down {crowd.subject}?",
            consequence=f"{ends.format(what)}. The console cannot start {them} again.",
            verb="Shut down",
            danger=Danger.DISRUPTIVE,
            changes=_WORKERS_AND_QUEUES,
        )

    # --- Common to all -----------------------------------------------------------------------------------

    def _operation(
        self,
        crowd: Crowd,
        name: str,
        run: Callable[[], Awaitable[str]],
        *,
        target: str = "",
        question: str = "",
        consequence: str = "",
        verb: str = "",
        danger: Danger = Danger.SAFE,
        changes: frozenset[Subject] = _WORKERS,
    ) -> Operation:
        return Operation(
            name=name,
            target=target or ", ".join(crowd.allowed),
            danger=danger,
            verb=verb or name,
            question=question,
            consequence=f"{consequence}{crowd.left_out}",
            run=run,
            changes=changes,
            needs=(Right.ASK_WORKERS,),
        )

    def _crowd(
        self,
        action: Action,
        hostnames: Sequence[str],
        also: Callable[[WorkerRow], str | None] = lambda _row: None,
    ) -> Crowd:
        """Who allows `action`. A worker of which nothing is known is asked: it will say what it thinks."""
        allowed, skipped = [], {}
        for name in dict.fromkeys(hostnames):
            row = self._row(name)
            reason = None if row is None else refusal(action, row) or also(row)
            if reason is None:
                allowed.append(name)
            else:
                skipped[name] = reason
        return Crowd(tuple(allowed), skipped)

    def _when_production(self) -> Danger:
        return Danger.DISRUPTIVE if self._production() else Danger.SAFE

    def _when_many_or_production(self, crowd: Crowd) -> Danger:
        return Danger.DISRUPTIVE if crowd.many else self._when_production()

    def _nobody_else_consumes(self, queue: str, hostnames: Sequence[str]) -> bool:
        others = (row for row in self._rows() if row.hostname not in hostnames)
        return not any(queue in (row.queues or ()) for row in others)


def _run(
    crowd: Crowd, act: Callable[[Sequence[str]], Awaitable[Effects]], *, deed: str
) -> Callable[[], Awaitable[str]]:
    async def run() -> str:
        if not crowd.allowed:
            name, reason = next(iter(crowd.skipped.items()), ("Nobody", "no worker was chosen"))
            raise ConsoleError(f"{name}: {reason[:1].lower()}{reason[1:]}")
        return told(await act(crowd.allowed), deed=deed, skipped=crowd.skipped)

    return run


def _each(crowd: Crowd) -> str:
    return "Each" if crowd.many else (crowd.allowed[0] if crowd.allowed else "It")


def _more(by: int) -> str:
    return "one task more" if by == 1 else f"{by} tasks more"


def _fewer(by: int) -> str:
    return "one task fewer" if by == 1 else f"{by} tasks fewer"


def _too_small(row: WorkerRow, by: int) -> str | None:
    if row.concurrency is None or row.concurrency > by:
        return None
    return f"The pool has only {row.concurrency} places"


def _consumes(row: WorkerRow, queue: str) -> str | None:
    return f"The worker consumes {queue} already" if queue in (row.queues or ()) else None


def _consumes_not(row: WorkerRow, queue: str) -> str | None:
    known_not = row.queues is not None and queue not in row.queues
    return f"The worker does not consume {queue}" if known_not else None


def _knows_not(row: WorkerRow, task: str) -> str | None:
    known = row.said.registered
    if known is None or any(info.name == task for info in known):
        return None
    return f"The worker has not registered {task}"
