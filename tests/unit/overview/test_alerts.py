"""What needs attention: each rule, and that nothing comes or goes too soon."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import Any

import pytest

from console.history.model import CollectorState, Gap
from console.history.query import parse_query
from console.overview.alerts import (
    PATIENCE,
    QUIET_S,
    AttentionKeeper,
    Facts,
    drain_words,
    failing,
    found_in,
)
from console.overview.model import (
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
from console.overview.rows import attention_row
from tests.unit.overview.samples import NOON, stat


def found(**facts: Any) -> list[Attention]:
    return found_in(Facts(**facts), NOON)[0]


def said(rows: list[Attention]) -> list[tuple[str, str, str]]:
    return [(row.severity.value, row.what, row.where) for row in rows]


class Told:
    """A keeper and a clock that goes only when told."""

    def __init__(self) -> None:
        self.at_s = 1000.0
        self.keeper = AttentionKeeper(self.at_s)

    def after(self, seconds: float, **facts: Any) -> list[str]:
        self.at_s += seconds
        return [row.key for row in self.keeper.judge(Facts(**facts), now=NOON, now_s=self.at_s)]


def test_nothing_known_needs_no_attention() -> None:
    rows, unknown = found_in(Facts(), NOON)
    assert rows == []
    assert unknown == frozenset(AttentionKind)
    assert found(workers=WorkersSeen(online=("celery@a",)), queues=QueuesSeen(waiting=0)) == []


def test_workers() -> None:
    seen = WorkersSeen(
        online=("celery@a", "celery@d"),
        late=("celery@b",),
        offline=("celery@c", "celery@e"),
        left=frozenset({"celery@e"}),
        events_off=("celery@d",),
        late_s=(("celery@b", 48.2),),
    )
    rows = found(workers=seen)
    assert said(rows) == [
        ("Error", "celery@c is lost: it ended without a word", "Workers"),
        ("Warning", "celery@b: last heartbeat 48 s ago", "Workers"),
        ("Notice", "Events off: counts cover 2 of 3 workers", "celery@d"),
    ]
    assert [(row.noun, row.query) for row in rows] == [
        ("workers", "celery@c"),
        ("workers", "celery@b"),
        ("workers", "celery@d"),
    ]


def test_work_without_any_worker_is_an_error() -> None:
    (row,) = found(workers=WorkersSeen(), queues=QueuesSeen(waiting=212))
    assert (row.severity, row.what) == (Severity.ERROR, "No worker is online, 212 tasks wait")


def test_workers_that_cannot_be_heard_say_nothing() -> None:
    rows, unknown = found_in(Facts(workers=WorkersSeen(offline=("celery@a",), stale=True)), NOON)
    assert rows == []
    assert {AttentionKind.WORKER_LOST, AttentionKind.WORKER_LATE, AttentionKind.EVENTS_OFF} <= unknown


def test_queues() -> None:
    seen = QueuesSeen(
        waiting=18_624,
        without_consumer=(("reports", 212),),
        growing=(Backlog("mail", 18_412, 6.6, 7.8),),
    )
    rows = found(queues=seen)
    assert said(rows) == [
        ("Warning", "Queue has no consumer, 212 waiting", "reports"),
        ("Warning", "Grows 6.6/s, 39 min to drain, 18,412 waiting", "mail"),
    ]
    assert [(row.noun, row.query) for row in rows] == [("queues", "reports"), ("queues", "mail")]


@pytest.mark.parametrize(
    ("out_per_s", "words"),
    [
        (None, "time to drain unknown"),
        (0.0, "does not drain"),
        (0.0001, "does not drain"),
        (50.0, "20 s to drain"),
        (0.1, "3 h to drain"),
        (0.005, "2 days to drain"),
    ],
)
def test_the_time_to_drain(out_per_s: float | None, words: str) -> None:
    assert drain_words(Backlog("mail", 1000, 5.0, out_per_s)) == words


def test_failures_are_measured_by_their_own_past() -> None:
    calm = stat("a.send", succeeded=590, failed=10)
    assert failing(stat("a.send", succeeded=90, failed=10), stat("a.send", succeeded=680, failed=20)) is True
    assert failing(stat("a.send", succeeded=98, failed=2), calm) is None
    always = stat("a.send", succeeded=360, failed=240)
    assert failing(stat("a.send", succeeded=60, failed=40), always) is None
    assert failing(stat("a.send", succeeded=96, failed=4), stat("a.send", succeeded=690, failed=10)) is False


def test_a_name_without_a_past_is_measured_by_itself() -> None:
    assert failing(stat("a.new", succeeded=2, failed=8), None) is True
    assert failing(stat("a.new", succeeded=6, failed=4), stat("a.new", succeeded=6, failed=4)) is False
    assert failing(stat("a.new", succeeded=100, failed=8), None) is None
    assert failing(stat("a.new", failed=2), None) is None


def test_rows_of_failures_and_of_lost_tasks() -> None:
    name = "shop.tasks.send invoice"
    read = HistoryRead(
        lately=(stat(name, succeeded=76, failed=24),),
        earlier=(stat(name, succeeded=676, failed=25),),
        errors=((name, 1),),
        lost=3,
    )
    rows = found(history=read)
    assert said(rows) == [
        ("Error", "send invoice: 24 failed in 10 min, one error", "Tasks"),
        ("Error", "3 tasks are lost: in no queue and with no worker", "Tasks"),
    ]
    assert rows[0].query == 'state:failed,rejected name:"shop.tasks.send invoice" since:10m'
    assert rows[1].query == "state:lost since:24h"


def test_schedules() -> None:
    due = NOON - timedelta(hours=9, minutes=30)
    seen = SchedulesSeen(
        problems=(("Broken", "No schedule is set"),),
        overdue=(("Hourly", NOON - timedelta(hours=1)), ("Nightly report", due)),
    )
    rows = found(schedules=seen)
    assert said(rows) == [
        ("Warning", "No schedule is set", "Broken"),
        ("Warning", "Beat has not run it, 1 more is overdue", "Nightly report"),
    ]
    assert rows[1].since == due


def test_the_stream_and_the_history() -> None:
    (cut, bad) = found(stream=StreamSeen(CollectorState.RECONNECTING, malformed=1))
    assert (cut.severity, cut.kind) == (Severity.WARNING, AttentionKind.STREAM)
    assert bad.what == "1 unreadable event message was skipped"
    (refused,) = found(stream=StreamSeen(CollectorState.FAILED, "The password is not accepted"))
    assert refused.what == "The event stream is not read: The password is not accepted"
    (full,) = found(stream=StreamSeen(CollectorState.FAILED, "No space for the task history"))
    assert (full.kind, full.what) == (AttentionKind.HISTORY, "No space for the task history")


def test_gaps_of_the_last_hour_are_one_row() -> None:
    old = Gap(NOON - timedelta(hours=3), NOON - timedelta(hours=2), "old", None)
    one = Gap(NOON - timedelta(minutes=30), NOON - timedelta(minutes=29), "broker away", None)
    open_ = Gap(NOON - timedelta(minutes=4), None, "collector restarted", None)
    assert found(history=HistoryRead(gaps=(old,))) == []
    (row,) = found(history=HistoryRead(gaps=(old, one, open_)))
    assert row.what == "Events may be missing for 5 min, 2 times in the last hour: collector restarted"
    assert row.severity is Severity.NOTICE
    known = Gap(one.start, one.end, "buffer full", 1234)
    (row,) = found(history=HistoryRead(gaps=(known,)))
    assert (row.severity, row.what) == (Severity.WARNING, "1,234 events were lost in 60 s: buffer full")


def test_nothing_is_said_in_the_first_seconds() -> None:
    told = Told()
    lost = WorkersSeen(offline=("celery@a",), online=("celery@b",))
    assert told.after(1, workers=lost) == []
    assert told.after(QUIET_S - 1.1, workers=lost) == []
    assert told.after(0.2, workers=lost) == ["WORKER_LOST celery@a"]


def test_what_lasts_comes_and_what_flickers_does_not() -> None:
    told = Told()
    nobody = QueuesSeen(5, (("mail", 5),))
    somebody = QueuesSeen(5)
    told.after(60, queues=somebody)
    patience = PATIENCE[AttentionKind.NO_CONSUMER]
    for _ in range(5):
        assert told.after(patience.before_s - 1, queues=nobody) == []
        assert told.after(1, queues=somebody) == []
    assert told.after(1, queues=nobody) == []
    assert told.after(patience.before_s, queues=nobody) == ["queue mail"]
    for _ in range(5):
        assert told.after(patience.after_s - 1, queues=somebody) == ["queue mail"]
        assert told.after(1, queues=nobody) == ["queue mail"]
    assert told.after(patience.after_s, queues=somebody) == []


def test_what_is_unknown_neither_raises_nor_clears() -> None:
    told = Told()
    nobody = QueuesSeen(5, (("mail", 5),))
    told.after(60, queues=nobody)
    assert told.after(60, queues=nobody) == ["queue mail"]
    assert told.after(600, queues=None) == ["queue mail"]
    assert told.after(600, queues=QueuesSeen(stale=True)) == ["queue mail"]
    assert told.after(60, queues=QueuesSeen(0)) == []


def test_a_failure_rate_that_hovers_around_the_limit_is_one_alarm() -> None:
    told = Told()
    past = stat("a.b", succeeded=700)
    much = HistoryRead(lately=(stat("a.b", succeeded=90, failed=6),), earlier=(past,))
    less = HistoryRead(lately=(stat("a.b", succeeded=96, failed=4),), earlier=(past,))
    assert told.after(60, history=less) == []
    assert told.after(2, history=much) == ["failing a.b"]
    for _ in range(100):
        assert told.after(2, history=less) == ["failing a.b"]
    assert told.after(61, history=HistoryRead()) == []


def test_the_worst_stands_first() -> None:
    told = Told()
    facts = {
        "workers": WorkersSeen(online=("celery@a",), events_off=("celery@a",), offline=("celery@b",)),
        "queues": QueuesSeen(5, (("mail", 5),)),
    }
    told.after(60, **facts)
    assert told.after(60, **facts) == ["WORKER_LOST celery@b", "queue mail", "events celery@a"]


def test_many_workers_with_the_same_trouble_are_one_row() -> None:
    pods = tuple(f"celery@pod-{number:02}" for number in range(40))
    rows = found(workers=WorkersSeen(online=("celery@a",), offline=pods))
    assert said(rows) == [("Error", "40 workers are offline: they ended without a word", "Workers")]
    assert rows[0].names == pods
    tooltip = attention_row(rows[0], UTC).cells["what"].tooltip or ""
    assert tooltip.splitlines()[1::19] == ["celery@pod-00", "celery@pod-19"]
    assert tooltip.splitlines()[-1] == "and 20 more"
    assert len(found(workers=WorkersSeen(offline=pods[:3]))) == 3

    late = found(workers=WorkersSeen(late=pods[:5], late_s=tuple((name, 30.0) for name in pods[:5])))
    assert said(late) == [("Warning", "5 workers are late", "Workers")]
    off = found(workers=WorkersSeen(online=(*pods, "celery@a"), events_off=pods))
    assert said(off) == [("Notice", "Events off on 40 workers: counts cover 1 of 41 workers", "Workers")]


def test_silent_tasks_that_nobody_can_judge_are_told_with_the_reason() -> None:
    why = "The result backend cannot be read"
    one, many = (
        found(stream=StreamSeen(CollectorState.READING, unjudged_tasks=n, unjudged=why)) for n in (1, 3)
    )
    assert said(one) == [("Notice", f"1 task is silent and cannot be judged: {why}", "Tasks")]
    assert said(many) == [("Notice", f"3 tasks are silent and cannot be judged: {why}", "Tasks")]
    assert parse_query(many[0].query).states
