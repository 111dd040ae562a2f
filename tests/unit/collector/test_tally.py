"""What events count for: in whatever order they come, the figures are those of the same task."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from console.collector.tally import tally
from console.history.figures import FigureCounters, FigureKind
from console.history.marks import FAILED, RECEIVED, REJECTED, RETRIED, SENT, STARTED, SUCCEEDED, Mark
from console.history.model import Measure

NOW = 1_780_000_000.0
NAME, QUEUE = "shop.mail", "mail"
Counts = dict[tuple[int, int, int, int], int]


def mark(kind: int, after_s: float, first: object = None) -> Mark:
    return kind, NOW + after_s, "celery@a", 1, first, None


def counted(marks: list[Mark]) -> Counts:
    """The minutes after `marks` came in this order; name and queue come with received and sent."""
    counters = FigureCounters(lambda _name: 1, lambda _queue: 2)
    before: list[Mark] = []
    for one in marks:
        kinds = {kind for kind, *_ in before}
        filed = NAME if RECEIVED in kinds or SENT in kinds else "", QUEUE if SENT in kinds else ""
        kinds.add(one[0])
        files = NAME if RECEIVED in kinds or SENT in kinds else "", QUEUE if SENT in kinds else ""
        tally(counters, one, before, filed=filed if before else files, files=files, received_at=NOW + 60)
        before.append(one)
    return {
        (slot, kind, measure, bucket): n
        for span, slot, kind, _word, measure, bucket, n in counters.take(NOW).rows
        if span == 60
    }


WHOLE = [mark(SENT, 0), mark(RECEIVED, 1), mark(STARTED, 4), mark(SUCCEEDED, 5, 0.5)]


def test_a_whole_task_in_any_order() -> None:
    in_order = counted(WHOLE)
    by_queue = {(measure, n) for (_, kind, measure, _), n in in_order.items() if kind == FigureKind.QUEUE}
    assert by_queue == {(measure, 1) for measure in (0, 1, 2, Measure.RUNTIME, Measure.WAIT)}
    for order in itertools.permutations(WHOLE):
        assert counted(list(order)) == in_order


def test_a_refusal_and_its_failure_are_one_end() -> None:
    refused = [mark(RECEIVED, 0), mark(REJECTED, 1, first=False), mark(FAILED, 2)]
    for order in itertools.permutations(refused):
        found = counted(list(order))
        measures = {measure: n for (_, kind, measure, _), n in found.items() if kind == FigureKind.NAME}
        assert measures == {Measure.RECEIVED: 1, Measure.FAILED: 1}


@given(
    st.permutations(
        [
            *WHOLE,
            mark(RETRIED, 6),
            mark(SENT, 70),
            mark(STARTED, 71),
            mark(REJECTED, 72, first=False),
            mark(FAILED, 73),
        ]
    )
)
def test_attempts_in_any_order(order: list[Mark]) -> None:
    everything = [
        *WHOLE, mark(RETRIED, 6), mark(SENT, 70), mark(STARTED, 71), mark(REJECTED, 72, first=False),
        mark(FAILED, 73),
    ]  # fmt: skip
    assert counted(order) == counted(everything)
