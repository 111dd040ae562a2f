"""What a task's events count for in the figures, whatever their order.

A task counts under its name and queue; both can come to be known after the first of its events, and a refusal
can turn out to be the failure that was told besides. So what its marks count for is a pure rule, and whenever
an event is more than one thing added, the difference between before and after is what is counted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from console.history.buckets import bucket_of
from console.history.figures import PLAIN, FigureCounters
from console.history.marks import (
    FAILED,
    RECEIVED,
    REJECTED,
    RETRIED,
    REVOKED,
    SENT,
    STARTED,
    SUCCEEDED,
    Mark,
)
from console.history.model import Measure

FUTURE_S = 3600.0
MEASURES = {
    SENT: Measure.SENT,
    RECEIVED: Measure.RECEIVED,
    SUCCEEDED: Measure.SUCCEEDED,
    FAILED: Measure.FAILED,
    RETRIED: Measure.RETRIED,
    REVOKED: Measure.OTHER,
    REJECTED: Measure.OTHER,
}
_ENDS_TWICE = frozenset({FAILED, REJECTED})
_PLACES = frozenset({SENT, RECEIVED, STARTED})
"""Events that say since when, or until when, a task waited."""
Filed = tuple[str, str]
"""The task name and the queue under which a task is counted; "" is unknown."""


def tally(
    counters: FigureCounters,
    mark: Mark,
    before: Sequence[Mark],
    *,
    filed: Filed,
    files: Filed,
    received_at: float,
) -> None:
    """Count `mark`, which comes to the marks `before` of a task.

    They were counted under `filed`; all are to be under `files`. `received_at`: seconds of the epoch.
    """
    kind, when = mark[0], mark[1]
    if filed != files or kind in _ENDS_TWICE or (kind in _PLACES and _has_started(before)):
        _count_difference(counters, mark, before, filed=filed, files=files, received_at=received_at)
        return
    minute = minute_of(when, received_at)
    name, queue = files
    if kind == STARTED:
        waited_s = _waited_s([*before, mark])
        if waited_s is not None:
            counters.time(Measure.WAIT, minute, name, queue, waited_s)
        return
    measure = MEASURES.get(kind)
    if measure is not None:
        counters.count(measure, minute, name, queue)
        if kind == SUCCEEDED and _is_lapse(mark[4]):
            counters.time(Measure.RUNTIME, minute, name, queue, mark[4])


def minute_of(when: float, received_at: float) -> int:
    """The minute of an event; a clock that is ahead must not put bars into the future of the charts."""
    return int((when if 0.0 < when < received_at + FUTURE_S else received_at) // 60)


def _has_started(marks: Sequence[Mark]) -> bool:
    for one in marks:  # noqa: SIM110 - done for most events, and any() takes three times as long
        if one[0] == STARTED:
            return True
    return False


def _count_difference(
    counters: FigureCounters,
    mark: Mark,
    before: Sequence[Mark],
    *,
    filed: Filed,
    files: Filed,
    received_at: float,
) -> None:
    was = _counts_for(before, received_at)
    now = _counts_for([*before, mark], received_at)
    if filed == files:
        now.subtract(was)
    else:
        _add(counters, was, filed, -1)
    _add(counters, now, files, 1)


def _add(
    counters: FigureCounters, counts: Counter[tuple[Measure, int, int]], files: Filed, sign: int
) -> None:
    for (measure, minute, bucket), n in counts.items():
        if n:
            counters.add(measure, minute, *files, bucket, n * sign)


def _counts_for(marks: Sequence[Mark], received_at: float) -> Counter[tuple[Measure, int, int]]:
    """What marks count for: measure, minute, bucket."""
    counts: Counter[tuple[Measure, int, int]] = Counter()
    fails = any(one[0] == FAILED for one in marks)
    for one in marks:
        kind, minute = one[0], minute_of(one[1], received_at)
        measure = MEASURES.get(kind)
        if measure is None or (kind == REJECTED and not one[4] and fails):
            continue
        counts[measure, minute, PLAIN] += 1
        if kind == SUCCEEDED and _is_lapse(one[4]):
            counts[Measure.RUNTIME, minute, bucket_of(one[4])] += 1
    waited_s = _waited_s(marks)
    if waited_s is not None:
        start = min(one[1] for one in marks if one[0] == STARTED)
        counts[Measure.WAIT, minute_of(start, received_at), bucket_of(waited_s)] += 1
    return counts


def _waited_s(marks: Sequence[Mark]) -> float | None:
    """From sent, else received, to the first start; None while that is not known."""
    started = sent = received = math.inf
    for one in marks:
        kind, when = one[0], one[1]
        if kind == STARTED:
            started = min(started, when)
        elif kind == SENT:
            sent = min(sent, when)
        elif kind == RECEIVED:
            received = min(received, when)
    since = sent if sent < math.inf else received
    if not 0.0 < started < math.inf or not 0.0 < since < math.inf:
        return None
    return max(started - since, 0.0)


def _is_lapse(value: object) -> bool:
    return isinstance(value, (int, float)) and 0.0 <= value < math.inf
