"""Marks: the events of one task as a set, and the pure rules that make a row of it.

Events arrive out of order, twice, late or never (workers buffer, pub/sub loses, clocks differ). So a
task is not the result of a sequence but of a set of marks: every value of a row is a minimum, a
maximum or a count over that set, and any order and repetition gives the same row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from console.history.model import Attempt, TaskState

SENT, RECEIVED, STARTED, RETRIED, CANCELLED, SUCCEEDED, FAILED, REVOKED, REJECTED = range(9)

# kind, timestamp (0.0: unknown), hostname, pid (0: unknown), and two values by kind:
# SENT and RECEIVED: retries, what it knows (bit 1 name, bit 0 arguments); RETRIED and FAILED:
# exception, traceback; SUCCEEDED: runtime in seconds; REVOKED: how; REJECTED: whether requeued.
Mark = tuple[int, float, str, int, Any, Any]

MAX_MARKS = 256
EARLIEST, LATEST = 946_684_800.0, 4_102_444_800.0  # 2000 and 2100: outside of it a clock is broken
TOLERATED_SKEW_S = 1.0

STATE_CODES: tuple[TaskState, ...] = tuple(TaskState)
CODE_OF: dict[TaskState, int] = {state: code for code, state in enumerate(STATE_CODES)}
_C_SENT, _C_RECEIVED, _C_STARTED = (
    CODE_OF[TaskState.SENT],
    CODE_OF[TaskState.RECEIVED],
    CODE_OF[TaskState.STARTED],
)
_C_RETRYING = CODE_OF[TaskState.RETRYING]
_FINAL_CODE = {
    SUCCEEDED: CODE_OF[TaskState.SUCCEEDED],
    FAILED: CODE_OF[TaskState.FAILED],
    REVOKED: CODE_OF[TaskState.REVOKED],
    REJECTED: CODE_OF[TaskState.REJECTED],
}

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[tuple[int, float, str, int, Any, Any]])


def encode_marks(marks: list[Mark]) -> bytes:
    return _encoder.encode(marks)


def decode_marks(blob: bytes) -> list[Mark]:
    """Raises `msgspec.MsgspecError` for bytes that are not marks."""
    return _decoder.decode(blob)


def sane_instant(timestamp: float) -> float:
    """`timestamp` (seconds of the epoch) to the microsecond; 0.0 when no working clock can have given it."""
    return round(timestamp, 6) if EARLIEST < timestamp < LATEST else 0.0


def instant(stored: float) -> datetime | None:
    """A stored instant as an aware datetime; 0.0 is unknown."""
    return datetime.fromtimestamp(stored, UTC) if stored > 0 else None


def order_of(mark: Mark) -> tuple[float, int, str, int, str, str]:
    """A total order by time; for equal times by the order in which a task lives."""
    return (mark[1], mark[0], mark[2], mark[3], repr(mark[4]), repr(mark[5]))


def _later(one: Mark, other: Mark) -> bool:
    """`order_of(one) > order_of(other)`, cheaply where the instants differ."""
    return one[1] > other[1] or (one[1] == other[1] and order_of(one) > order_of(other))


def newest(marks: list[Mark]) -> list[Mark]:
    """The `MAX_MARKS` newest marks: a task that retries for ever must not grow for ever."""
    return sorted(marks, key=order_of)[-MAX_MARKS:]


@dataclass(slots=True)
class Derived:
    """What a set of marks says. Instants are seconds of the epoch, 0.0 unknown; durations -1.0 unknown."""

    state: int
    worker: str
    pid: int
    sent: float
    received: float
    started: float
    ended: float
    waited: float
    runtime: float
    retries: int
    exception: str | None

    @property
    def at(self) -> float:
        """The instant that places a task in a list: when it was received, else the best known."""
        return self.received or self.sent or self.started or self.ended


def derive(marks: list[Mark]) -> Derived:  # noqa: C901 - one pass, on the hot path of every event
    """The row of a task with these marks (at least one).

    The state: an end (succeeded, failed, revoked, rejected) stands, unless a later receipt or start
    has no end of its own (a redelivered message runs again). Without an end a task is Started while
    it has more starts than retries or its last start is later than its last retry. Counting besides
    comparing keeps a clock that was set back, or two workers whose clocks differ, from hiding an end.
    """
    sent = received = started = math.inf
    last_received = last_started = last_retried = -1.0
    receipts = starts = retried = cancelled = ends = failures = refusals = retries = 0
    end: Mark | None = None
    failure: Mark | None = None
    latest: Mark | None = None
    for mark in marks:
        kind, when, *_ = mark
        if kind == SENT:
            retries = max(retries, mark[4])
            if 0.0 < when < sent:
                sent = when
            continue
        if latest is None or _later(mark, latest):
            latest = mark
        if kind == STARTED:
            starts += 1
            last_started = max(last_started, when)
            if 0.0 < when < started:
                started = when
        elif kind == RECEIVED:
            receipts += 1
            retries = max(retries, mark[4])
            last_received = max(last_received, when)
            if 0.0 < when < received:
                received = when
        elif kind in (RETRIED, CANCELLED):
            retried += kind == RETRIED
            cancelled += kind == CANCELLED
            last_retried = max(last_retried, when)
            if kind == RETRIED and (failure is None or _later(mark, failure)):
                failure = mark
        else:
            ends += 1
            failures += kind == FAILED
            refusals += kind == REJECTED and not mark[4]
            if end is None or _later(mark, end):
                end = mark
            if kind == FAILED and (failure is None or _later(mark, failure)):
                failure = mark
    # Since 5.7 celery says both failed and rejected when a message is refused for good: one end.
    tries_over = retried + cancelled + ends - min(failures, refusals)
    ended = 0.0
    if end is not None:
        if starts > tries_over and last_started > end[1]:
            state = _C_STARTED
        elif receipts > tries_over and last_received > end[1]:
            state = _C_RECEIVED
        else:
            state = _FINAL_CODE[end[0]]
            ended = end[1]
    elif retried + cancelled and starts <= tries_over and last_started <= last_retried:
        state = _C_RETRYING
        ended = max(last_retried, 0.0)
    elif starts:
        state = _C_STARTED
    elif receipts:
        state = _C_RECEIVED
    else:
        state = _C_SENT
    known_sent = 0.0 if sent == math.inf else sent
    known_received = 0.0 if received == math.inf else received
    known_started = 0.0 if started == math.inf else started
    over = end is not None and state == _FINAL_CODE[end[0]]
    runtime = -1.0
    if over and end is not None and end[0] == SUCCEEDED and end[4] is not None:
        runtime = end[4]
    elif ended and last_started > 0.0 and (not over or (end is not None and end[0] != REVOKED)):
        runtime = _lapse(last_started, ended)
    shows_failure = failure is not None and not (over and end is not None and end[0] == SUCCEEDED)
    return Derived(
        state=state,
        worker=latest[2] if latest is not None else "",
        pid=latest[3] if latest is not None else 0,
        sent=known_sent,
        received=known_received,
        started=known_started,
        ended=ended,
        waited=_lapse(known_sent or known_received, known_started),
        runtime=runtime,
        retries=max(retries, retried),
        exception=failure[4] if shows_failure and failure is not None else None,
    )


def _lapse(start: float, end: float) -> float:
    """Seconds from `start` to `end`; -1.0 when one is unknown or the clocks contradict each other."""
    if not start or not end:
        return -1.0
    lapse = end - start
    if lapse >= 0.0:
        return lapse
    return 0.0 if lapse > -TOLERATED_SKEW_S else -1.0


def last_traceback(marks: list[Mark]) -> str | None:
    """The traceback of the newest failure or retry."""
    failures = [mark for mark in marks if mark[0] in (FAILED, RETRIED)]
    if not failures:
        return None
    traceback: str | None = max(failures, key=order_of)[5]
    return traceback


_END_STATES = {
    RETRIED: TaskState.RETRYING,
    CANCELLED: TaskState.RETRYING,
    SUCCEEDED: TaskState.SUCCEEDED,
    FAILED: TaskState.FAILED,
    REVOKED: TaskState.REVOKED,
    REJECTED: TaskState.REJECTED,
}


def attempts_of(marks: list[Mark]) -> tuple[Attempt, ...]:
    """The tries of a task in the order of time."""
    tries: list[dict[str, Any]] = []
    receipt: Mark | None = None
    for mark in sorted(marks, key=order_of):
        kind, when, host, *_ = mark
        if kind == SENT:
            continue
        if kind == RECEIVED:
            receipt = mark
        elif kind == STARTED:
            tries.append(_a_try(mark, receipt))
            tries[-1]["started"] = instant(when)
            receipt = None
        else:
            running = [one for one in tries if one["state"] is TaskState.STARTED]
            here = [one for one in running if one["worker"] == host]
            if not running and tries and tries[-1]["worker"] == host and receipt is None:
                tries[-1]["state"] = _END_STATES[kind]  # failed, and then its message was rejected
                continue
            if not running:
                tries.append(_a_try(mark, receipt))
                receipt = None
            attempt = (here or running or tries)[-1]
            attempt["state"] = _END_STATES[kind]
            attempt["ended"] = instant(when)
            if kind in (FAILED, RETRIED):
                attempt["exception"], attempt["traceback"] = mark[4], mark[5]
    if receipt is not None and not any(one["state"] is TaskState.STARTED for one in tries):
        tries.append(_a_try(receipt, receipt))
        tries[-1]["state"] = TaskState.RECEIVED
    return tuple(Attempt(number=number, **one) for number, one in enumerate(tries, 1))


def _a_try(mark: Mark, receipt: Mark | None) -> dict[str, Any]:
    return {
        "worker": mark[2] or None,
        "received": instant(receipt[1]) if receipt is not None else None,
        "started": None,
        "ended": None,
        "state": TaskState.STARTED,
        "exception": None,
        "traceback": None,
    }
