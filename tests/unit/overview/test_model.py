"""The rules of the overview: slots, rates, and what needs attention."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from console.history.model import CollectorState, Gap, Percentiles
from console.overview.model import (
    Attention,
    HistoryRead,
    QueuesSeen,
    SchedulesSeen,
    Severity,
    StreamSeen,
    WorkersSeen,
    attention_of,
    rates_of,
    slots_of,
)
from tests.unit.overview.samples import NOON, failures, minute


def attention(**told: Any) -> list[Attention]:
    given = {
        "workers": None,
        "queues": None,
        "schedules": None,
        "stream": None,
        "history": HistoryRead(),
        "now": NOON,
        **told,
    }
    return list(attention_of(**given))


def test_slots_keep_their_minutes_and_gaps_stay_unknown() -> None:
    minutes = [minute(ago, succeeded=1, gap=False) for ago in range(10, 0, -1)]
    minutes[5:] = [minute(ago, gap=True) for ago in range(5, 0, -1)]
    first, second = slots_of(minutes, 5)
    assert (first.start, first.end) == (NOON - timedelta(minutes=10), NOON - timedelta(minutes=5))
    assert (first.succeeded, first.failed) == (5, 0)
    assert (second.succeeded, second.failed) == (None, None)


def test_what_was_seen_in_a_gap_is_counted_all_the_same() -> None:
    (slot,) = slots_of([minute(0, succeeded=3, gap=True)], 1)
    assert slot.succeeded == 3


def test_percentiles_of_slots_weigh_by_what_was_measured() -> None:
    fast, slow = Percentiles(1.0, 1.0, 1.0, 30), Percentiles(4.0, 4.0, 4.0, 10)
    (slot,) = slots_of([minute(5, runtime=fast), minute(4, runtime=slow), minute(3)], 5)
    assert slot.runtime.p95_s == pytest.approx(1.75)
    assert slot.wait.p95_s is None


def test_the_rate_of_the_last_minute_slides() -> None:
    minutes = [minute(1, succeeded=60), minute(0, succeeded=10)]
    assert rates_of(minutes, NOON + timedelta(seconds=15)).tasks == pytest.approx(55)
    assert rates_of(minutes, NOON + timedelta(seconds=60)).tasks == pytest.approx(10)


def test_rates_are_unknown_while_nothing_is_known() -> None:
    assert rates_of([], NOON).tasks is None
    unknown = rates_of([minute(1, gap=True), minute(0, gap=True)], NOON)
    assert unknown.tasks is None
    assert unknown.failed is None
    young = rates_of([minute(1, gap=True), minute(0, succeeded=4, failed=1)], NOON + timedelta(seconds=30))
    assert (young.tasks, young.tasks_usual) == (5, None)


def test_failures_rise_when_there_are_clearly_more_than_usual() -> None:
    before = [minute(ago, succeeded=100, failed=0) for ago in range(30, 5, -1)]
    bad = [minute(ago, succeeded=90, failed=10) for ago in range(5, -1, -1)]
    rising = rates_of(before + bad, NOON)
    assert rising.failures_rise
    assert rising.failed_usual == 0
    assert rising.tasks_usual == 100
    assert not rates_of([minute(ago, failed=10) for ago in range(30, -1, -1)], NOON).failures_rise


def test_nothing_known_needs_no_attention() -> None:
    assert attention() == []
    assert attention(workers=WorkersSeen(online=("celery@a",)), queues=QueuesSeen(waiting=0)) == []


def test_workers() -> None:
    seen = WorkersSeen(
        online=("celery@a", "celery@d"),
        late=("celery@b",),
        offline=("celery@c",),
        events_off=("celery@d",),
        late_s=(("celery@b", 48.2),),
    )
    rows = attention(workers=seen)
    assert [(row.severity.value, row.what, row.where) for row in rows] == [
        ("Error", "celery@c is offline", "Workers"),
        ("Warning", "celery@b: last heartbeat 48 s ago", "Workers"),
        ("Notice", "Events off: counts cover 2 of 3 workers", "celery@d"),
    ]
    assert rows[0].noun == "workers"


def test_work_without_any_worker_is_an_error() -> None:
    (row,) = attention(workers=WorkersSeen(), queues=QueuesSeen(waiting=212))
    assert (row.severity, row.what) == (Severity.ERROR, "No worker is online, 212 tasks wait")


def test_a_queue_without_consumer() -> None:
    (row,) = attention(queues=QueuesSeen(waiting=212, without_consumer=(("reports", 212),)))
    assert (row.what, row.where, row.noun, row.query) == (
        "Queue has no consumer, 212 waiting",
        "reports",
        "queues",
        "reports",
    )


def test_failures_that_rise_are_errors_and_steady_ones_warnings() -> None:
    rising = HistoryRead(
        failing=(failures("shop.tasks.send_invoice", 24),),
        failing_before=(failures("shop.tasks.send_invoice", 26),),
    )
    (row,) = attention(history=rising)
    assert (row.severity, row.what) == (Severity.ERROR, "send_invoice: 24 failed in 10 min, one error")
    assert row.query == "state:failed name:shop.tasks.send_invoice since:10m"
    steady = HistoryRead(
        failing=(failures("a.b", 6), failures("a.b", 4, "KeyError")), failing_before=(failures("a.b", 60),)
    )
    (row,) = attention(history=steady)
    assert (row.severity, row.what) == (Severity.WARNING, "b: 10 failed in 10 min, 2 errors")
    assert attention(history=HistoryRead(failing=(failures("a.b", 4),))) == []


def test_schedules_and_the_stream() -> None:
    rows = attention(
        schedules=SchedulesSeen((("Nightly", "No schedule is set"),)),
        stream=StreamSeen(CollectorState.RECONNECTING, malformed=1),
    )
    assert [row.severity.value for row in rows] == ["Warning", "Warning", "Notice"]
    assert (rows[0].where, rows[0].noun) == ("Nightly", "schedules")
    assert rows[2].what == "1 unreadable event message was skipped"
    (failed,) = attention(stream=StreamSeen(CollectorState.FAILED, "no room"))
    assert failed.severity is Severity.ERROR


def test_gaps_of_the_last_hour_are_one_row() -> None:
    old = Gap(NOON - timedelta(hours=3), NOON - timedelta(hours=2), "old", None)
    one = Gap(NOON - timedelta(minutes=30), NOON - timedelta(minutes=29), "broker away", None)
    open_ = Gap(NOON - timedelta(minutes=4), None, "collector restarted", None)
    assert attention(history=HistoryRead(gaps=(old,))) == []
    (row,) = attention(history=HistoryRead(gaps=(old, one, open_)))
    assert row.what == "Events may be missing for 5 min, 2 times in the last hour: collector restarted"
