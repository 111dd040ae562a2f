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

from console.core.text import storable
from console.history.model import Attempt, TaskState

SENT, RECEIVED, STARTED, RETRIED, CANCELLED, SUCCEEDED, FAILED, REVOKED, REJECTED, VERDICT = range(10)

# kind, timestamp (0.0: unknown), hostname, pid (0: unknown), and two values by kind:
# SENT and RECEIVED: retries, what it knows (bit 1 name, bit 0 arguments); RETRIED and FAILED:
# exception, traceback; SUCCEEDED: runtime in seconds; REVOKED: how; REJECTED: whether requeued.
# VERDICT is what reconciliation found (see `verdict_mark`), not an event.
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

_FINAL_CODES = frozenset(_FINAL_CODE.values())
WITHDRAWN = -1

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


def verdict_mark(
    state: TaskState | None,
    when: float,
    reason: str,
    *,
    worker: str = "",
    events: int = 0,
    ended: float = 0.0,
    result: str | None = None,
    exception: str | None = None,
    traceback: str | None = None,
) -> Mark:
    """What reconciliation found at `when`: the state (None: what it found before holds no more) and why.

    `events`: how many events of the task were known then; with one more it holds no more, whatever its
    time (0: only one that is later than `when` ends it). `ended`: the instant of the end, 0.0 unknown.
    """
    code = WITHDRAWN if state is None else CODE_OF[state]
    texts = [None if text is None else storable(text) for text in (result, exception, traceback)]
    return VERDICT, when, storable(worker), events, code, [storable(reason), ended, *texts]


def with_verdict(marks: list[Mark], verdict: Mark) -> list[Mark]:
    """`marks` with `verdict` in place of an earlier one; a later one stays."""
    found = max([verdict, *(mark for mark in marks if mark[0] == VERDICT)], key=order_of)
    return [*(mark for mark in marks if mark[0] != VERDICT), found]


@dataclass(slots=True)
class Derived:
    """What a set of marks says. Instants are seconds of the epoch, 0.0 unknown; durations -1.0 unknown.

    `reason` says why the task is in a state that no event of its own tells, or how it was revoked; `result`
    is what the result backend holds where no event told it.
    """

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
    reason: str | None = None
    result: str | None = None

    @property
    def at(self) -> float:
        """The instant that places a task in a list: when it was received, else the best known."""
        return self.received or self.sent or self.started or self.ended


class _Tally:
    """What one pass over the marks finds. Instants: first ones `inf`, last ones -1.0 while there is none."""

    sent = received = started = math.inf
    last_received = last_started = last_retried = -1.0
    receipts = starts = retried = cancelled = ends = failures = refusals = retries = 0
    end: Mark | None = None
    failure: Mark | None = None
    latest: Mark | None = None
    verdict: Mark | None = None


def derive(marks: list[Mark]) -> Derived:
    """The row of a task with these marks (at least one).

    The state: an end (succeeded, failed, revoked, rejected) stands, unless a later receipt or start
    has no end of its own (a redelivered message runs again). Without an end a task is Started while
    it has more starts than retries or its last start is later than its last retry. Counting besides
    comparing keeps a clock that was set back, or two workers whose clocks differ, from hiding an end.
    What reconciliation found counts while the events give no end, and none of them came after it.
    """
    tally = _tallied(marks)
    end, latest = tally.end, tally.latest
    state, ended = _standing(tally)
    over = state in _FINAL_CODES
    runtime = -1.0
    if over and end is not None and end[0] == SUCCEEDED and end[4] is not None:
        runtime = end[4]
    elif ended and tally.last_started > 0.0 and (end is None or not over or end[0] != REVOKED):
        runtime = _lapse(tally.last_started, ended)
    sent = tally.sent if tally.sent != math.inf else 0.0
    received = tally.received if tally.received != math.inf else 0.0
    started = tally.started if tally.started != math.inf else 0.0
    failure = None if over and end is not None and end[0] == SUCCEEDED else tally.failure
    row = Derived(
        state,
        latest[2] if latest is not None else "",
        latest[3] if latest is not None else 0,
        sent,
        received,
        started,
        ended,
        _lapse(sent or received, started) if started else -1.0,
        runtime,
        max(tally.retried, tally.retries),
        failure[4] if failure is not None else None,
    )
    if over and end is not None and end[0] == REVOKED:
        row.reason = _how_revoked(end)
    if tally.verdict is not None and not over and _holds(tally.verdict, marks):
        _judge(row, tally.verdict, tally.last_started)
    return row


def _tallied(marks: list[Mark]) -> _Tally:  # noqa: C901 - one pass, on the hot path of every event
    tally = _Tally()
    latest = None
    for mark in marks:
        kind, when, _, _, first, _ = mark
        if kind == SENT:
            if first > tally.retries:
                tally.retries = first
            if 0.0 < when < tally.sent:
                tally.sent = when
            continue
        if kind == VERDICT:
            if tally.verdict is None or _later(mark, tally.verdict):
                tally.verdict = mark
            continue
        if latest is None or _later(mark, latest):
            latest = mark
        if kind == STARTED:
            tally.starts += 1
            if when > tally.last_started:
                tally.last_started = when
            if 0.0 < when < tally.started:
                tally.started = when
        elif kind == RECEIVED:
            tally.receipts += 1
            if first > tally.retries:
                tally.retries = first
            if when > tally.last_received:
                tally.last_received = when
            if 0.0 < when < tally.received:
                tally.received = when
        elif kind in (SUCCEEDED, REVOKED):
            tally.ends += 1
            if tally.end is None or _later(mark, tally.end):
                tally.end = mark
        else:
            _tally_failure(tally, mark)
    tally.latest = latest
    return tally


def _tally_failure(tally: _Tally, mark: Mark) -> None:
    kind, when, _, _, requeued, _ = mark
    if kind in (RETRIED, CANCELLED):
        tally.retried += kind == RETRIED
        tally.cancelled += kind == CANCELLED
        tally.last_retried = max(tally.last_retried, when)
    else:
        tally.ends += 1
        tally.failures += kind == FAILED
        tally.refusals += kind == REJECTED and not requeued
        if tally.end is None or _later(mark, tally.end):
            tally.end = mark
    if kind in (RETRIED, FAILED) and (tally.failure is None or _later(mark, tally.failure)):
        tally.failure = mark


def _standing(tally: _Tally) -> tuple[int, float]:
    """The state that the events give, and when it came to an end (0.0: it has not, or is not known)."""
    # Since 5.7 celery says both failed and rejected when a message is refused for good: one end.
    tries_over = (
        tally.retried + tally.cancelled + tally.ends - min(tally.failures, tally.refusals)
        if tally.failures or tally.refusals
        else tally.retried + tally.cancelled + tally.ends
    )
    end = tally.end
    if end is not None:
        if tally.starts > tries_over and tally.last_started > end[1]:
            return _C_STARTED, 0.0
        if tally.receipts > tries_over and tally.last_received > end[1]:
            return _C_RECEIVED, 0.0
        return _FINAL_CODE[end[0]], end[1]
    if tries_over and tally.starts <= tries_over and tally.last_started <= tally.last_retried:
        return _C_RETRYING, max(tally.last_retried, 0.0)
    if tally.starts:
        return _C_STARTED, 0.0
    return (_C_RECEIVED if tally.receipts else _C_SENT), 0.0


def _holds(verdict: Mark, marks: list[Mark]) -> bool:
    """Whether nothing came after `verdict`: no later event, and where it says so no other event at all.

    Clocks differ, so that an event that came later may say an earlier time.
    """
    events = [mark for mark in marks if mark[0] != VERDICT]
    if verdict[4] == WITHDRAWN or (verdict[3] and len(events) > verdict[3]):
        return False
    return all(mark[1] <= verdict[1] for mark in events)


def _judge(row: Derived, verdict: Mark, last_started: float) -> None:
    """Put what reconciliation found into the row."""
    _, _, host, _, row.state, (row.reason, row.ended, row.result, exception, _) = verdict
    row.worker = host or row.worker
    row.exception = exception or (None if row.state == _FINAL_CODE[SUCCEEDED] else row.exception)
    row.runtime = _lapse(max(last_started, 0.0), row.ended)


def _how_revoked(end: Mark) -> str:
    if end[4] == "expired":
        return "It expired before it was started."
    if end[4] == "terminated":
        by = f" by {'signal ' if end[5].isdigit() else ''}{end[5]}" if end[5] else ""
        return f"It was terminated{by}."
    return "It was revoked before it was started."


def _lapse(start: float, end: float) -> float:
    """Seconds from `start` to `end`; -1.0 when one is unknown or the clocks contradict each other."""
    if not start or not end:
        return -1.0
    lapse = end - start
    if lapse >= 0.0:
        return lapse
    return 0.0 if lapse > -TOLERATED_SKEW_S else -1.0


def verdict_of(marks: list[Mark]) -> Mark | None:
    """What reconciliation found, when it is what the row shows."""
    tally = _tallied(marks)
    if tally.verdict is None or _standing(tally)[0] in _FINAL_CODES or not _holds(tally.verdict, marks):
        return None
    return tally.verdict


def last_traceback(marks: list[Mark]) -> str | None:
    """The traceback of the newest failure or retry, or the one that the result backend holds."""
    verdict = verdict_of(marks)
    told: str | None = None if verdict is None else verdict[5][4]
    failures = [mark for mark in marks if mark[0] in (FAILED, RETRIED)]
    if told is None and failures:
        told = max(failures, key=order_of)[5]
    return told


_END_STATES = {
    RETRIED: TaskState.RETRYING,
    CANCELLED: TaskState.RETRYING,
    SUCCEEDED: TaskState.SUCCEEDED,
    FAILED: TaskState.FAILED,
    REVOKED: TaskState.REVOKED,
    REJECTED: TaskState.REJECTED,
}


def attempts_of(marks: list[Mark]) -> tuple[Attempt, ...]:
    """The tries of a task in the order of time; the last as reconciliation found it, where it did."""
    tries: list[dict[str, Any]] = []
    receipt: Mark | None = None
    for mark in sorted(marks, key=order_of):
        kind, when, host, *_ = mark
        if kind in (SENT, VERDICT):
            continue
        if kind == RECEIVED:
            receipt = mark
        elif kind == STARTED:
            tries.append(_a_try(mark, receipt))
            tries[-1]["started"] = instant(when)
            receipt = None
        elif _is_said_twice(mark, tries, receipt):
            tries[-1]["state"] = _END_STATES[kind]
        else:
            running = [one for one in tries if one["state"] is TaskState.STARTED]
            here = [one for one in running if one["worker"] == host]
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
    _judge_last(tries, verdict_of(marks))
    return tuple(Attempt(number=number, **one) for number, one in enumerate(tries, 1))


def _is_said_twice(mark: Mark, tries: list[dict[str, Any]], receipt: Mark | None) -> bool:
    """Whether the try that `mark` ends has ended already: it failed, and then its message was rejected."""
    running = any(one["state"] is TaskState.STARTED for one in tries)
    return not running and bool(tries) and tries[-1]["worker"] == mark[2] and receipt is None


def _judge_last(tries: list[dict[str, Any]], verdict: Mark | None) -> None:
    if verdict is None or not tries or tries[-1]["state"] not in (TaskState.STARTED, TaskState.RECEIVED):
        return
    _, ended, _, exception, traceback = verdict[5]
    tries[-1]["state"] = STATE_CODES[verdict[4]]
    tries[-1]["ended"] = instant(ended)
    tries[-1]["exception"], tries[-1]["traceback"] = exception, traceback


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
