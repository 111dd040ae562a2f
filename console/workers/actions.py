"""What can be done with workers: the words of the buttons, why something cannot be done, what may be typed.

Pure rules, apart from the model because they are about commands and not about what a worker is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from console.workers.model import WorkerRow, WorkerState

MOST_PLACES = 1000
MOST_SECONDS = 30 * 86400
LONGEST_NAME = 200


class Action(StrEnum):
    """What can be done with a worker; the words of its buttons."""

    PING = "Ping"
    GROW = "Grow pool"
    SHRINK = "Shrink pool"
    AUTOSCALE = "Autoscale…"
    RESTART_POOL = "Restart pool"
    ADD_QUEUE = "Add queue…"
    STOP_CONSUMING = "Stop consuming…"
    RATE_LIMIT = "Rate limit…"
    TIME_LIMIT = "Time limit…"
    ENABLE_EVENTS = "Enable events"
    SHUT_DOWN = "Shut down…"


_RESIZABLE = ("prefork", "gevent", "eventlet")


def refusal(action: Action, row: WorkerRow | None) -> str | None:
    """Why `action` cannot be done with `row`, in words; None when it can."""
    if row is None:
        return "Select a worker"
    if row.state is WorkerState.OFFLINE:
        return "The worker is offline"
    match action:
        case Action.GROW | Action.SHRINK:
            return _resize_refusal(action, row)
        case Action.AUTOSCALE:
            return _autoscale_refusal(row)
        case Action.RESTART_POOL:
            return _restart_refusal(row)
        case Action.TIME_LIMIT:
            return _time_limit_refusal(row)
        case Action.STOP_CONSUMING if row.queues == ():
            return "The worker consumes no queue"
        case Action.ENABLE_EVENTS if row.task_events:
            return "The worker sends task events"
        case _:
            return None


def refusal_of_all(action: Action, rows: Sequence[WorkerRow]) -> str | None:
    """Why `action` can be done with none of `rows`; None when at least one allows it."""
    reasons = [refusal(action, row) for row in rows] or [refusal(action, None)]
    if None in reasons:
        return None
    told = [reason for reason in dict.fromkeys(reasons) if reason]
    return told[0] if len(told) == 1 else "; ".join(told)


def _resize_refusal(action: Action, row: WorkerRow) -> str | None:
    if row.pool is None:
        return "The worker has not said which pool it has"
    if row.pool == "solo":
        return "A solo pool runs one task at a time"
    if row.pool not in _RESIZABLE:
        return f"A pool of {row.pool} cannot change its size while it runs"
    if row.autoscale is not None:
        return "The pool is sized by autoscale"
    if action is Action.SHRINK and row.concurrency is not None and row.concurrency <= 1:
        return "The pool has only one place left"
    return None


def _autoscale_refusal(row: WorkerRow) -> str | None:
    if row.pool is None:
        return "The worker has not said which pool it has"
    return None if row.autoscale is not None else "The worker was not started with autoscale"


def _restart_refusal(row: WorkerRow) -> str | None:
    if row.pool is None:
        return "The worker has not said which pool it has"
    if row.pool != "prefork":
        return f"A {row.pool} pool has no processes to restart"
    if row.said.pool_restarts is None:
        return "The worker has not told its settings yet"
    return None if row.said.pool_restarts else "The worker's setting worker_pool_restarts is off"


def _time_limit_refusal(row: WorkerRow) -> str | None:
    if row.pool is None:
        return "The worker has not said which pool it has"
    return None if row.pool == "prefork" else f"A {row.pool} pool does not stop tasks that take too long"


@dataclass(frozen=True, slots=True)
class Range:
    """How far autoscale may go: `least` and `most` places."""

    least: int
    most: int


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most so many of a task: celery's own notation, "" lifts the limit."""

    task: str
    limit: str


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """When a task is told (`soft_s`) and made (`hard_s`) to stop, seconds; None is no limit."""

    task: str
    soft_s: float | None
    hard_s: float | None


@dataclass(frozen=True, slots=True)
class QueueName:
    """A queue to consume, or no longer."""

    name: str


@dataclass(frozen=True, slots=True)
class Places:
    """By how many places a pool grows or shrinks."""

    by: int


Parameters = Range | RateLimit | TimeLimits | QueueName | Places
Errors = dict[str, str]
"""What is wrong with a form, by the key of the field."""


def read_places(text: str) -> int | str:
    """A number of places as typed; a text is what is wrong with it."""
    try:
        number = int(text.strip())
    except ValueError:
        return "A whole number"
    return number if 1 <= number <= MOST_PLACES else f"A number from 1 to {MOST_PLACES:,}"


def read_range(least: str, most: str) -> Range | Errors:
    """`Autoscale…` as typed."""
    low, high = (0 if least.strip() == "0" else read_places(least)), read_places(most)
    if isinstance(low, str) or isinstance(high, str):
        wrong = {"least": low, "most": high}
        return {key: value for key, value in wrong.items() if isinstance(value, str)}
    return Range(low, high) if low <= high else {"most": "Not less than the minimum"}


def read_queue(name: str) -> QueueName | Errors:
    """The name of a queue as typed."""
    name = name.strip()
    if not name:
        return {"queue": "Which queue?"}
    if len(name) > LONGEST_NAME or not name.isprintable():
        return {"queue": f"A name of at most {LONGEST_NAME} printable characters"}
    return QueueName(name)


def read_rate_limit(task: str, limit: str, *, known: Sequence[str]) -> RateLimit | Errors:
    """`Rate limit…` as typed; `known` are the tasks that the workers have registered."""
    wrong = _task_errors(task, known)
    text = limit.strip()
    if text and rate_per_s(text) is None:
        wrong["limit"] = "A number, or one per second, minute or hour: 10/s, 0.5/m, 100/h"
    return wrong or RateLimit(task.strip(), text)


def rate_per_s(text: str) -> float | None:
    """Tasks per second of a rate in celery's notation (celery.utils.time.rate); None when it is none."""
    number, _, unit = text.partition("/")
    seconds = {"s": 1.0, "m": 60.0, "h": 3600.0}
    if unit and unit not in seconds:
        return None
    try:
        value = float(number)
    except ValueError:
        return None
    return value / seconds[unit or "s"] if math.isfinite(value) and value >= 0 else None


def read_time_limits(task: str, soft: str, hard: str, *, known: Sequence[str]) -> TimeLimits | Errors:
    """`Time limit…` as typed: seconds, empty is no limit."""
    wrong = _task_errors(task, known)
    soft_s, hard_s = _seconds(soft), _seconds(hard)
    if isinstance(soft_s, str):
        wrong["soft"] = soft_s
    if isinstance(hard_s, str):
        wrong["hard"] = hard_s
    elif isinstance(soft_s, float) and hard_s is not None and soft_s >= hard_s:
        wrong["soft"] = "Less than the hard limit, or it is never reached"
    if wrong or isinstance(soft_s, str) or isinstance(hard_s, str):
        return wrong
    return TimeLimits(task.strip(), soft_s, hard_s)


def _seconds(text: str) -> float | str | None:
    if not text.strip():
        return None
    try:
        value = float(text.strip())
    except ValueError:
        return "Seconds, or empty for no limit"
    return value if 0 < value <= MOST_SECONDS else "More than 0 seconds, at most 30 days"


def _task_errors(task: str, known: Sequence[str]) -> Errors:
    if not task.strip():
        return {"task": "Which task?"}
    if known and task.strip() not in known:
        return {"task": "None of the chosen workers has registered this task"}
    return {}
