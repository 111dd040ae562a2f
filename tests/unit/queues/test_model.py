"""The rules that judge a queue."""

from __future__ import annotations

import pytest

from console.app.hearing import queues_seen
from console.queues.model import (
    Alert,
    Growth,
    Head,
    HeadWatch,
    QueueRow,
    QueuesSnapshot,
    is_task_exchange,
    is_task_queue,
)


def row(*, ready: int | None, consumers: int | None, growth: float | None = None) -> QueueRow:
    return QueueRow("mail", ready, 0, False, consumers, None, None, None, growth)


def test_waiting_work_without_a_consumer_is_an_alert() -> None:
    assert row(ready=7, consumers=0).alert is Alert.NO_CONSUMER
    assert row(ready=0, consumers=0).alert is None
    assert row(ready=7, consumers=None).alert is None


def test_a_growing_queue_is_an_alert_unless_it_is_small() -> None:
    assert row(ready=50, consumers=1, growth=6.6).alert is Alert.GROWING
    assert row(ready=3, consumers=1, growth=6.6).alert is None


def test_growth_is_the_slope_of_the_last_minute() -> None:
    growth = Growth()
    for second in range(0, 41, 4):
        growth.add(float(second), 100 + second * 5)
    assert growth.per_s == pytest.approx(5.0)


def test_one_burst_is_not_growth() -> None:
    growth = Growth()
    for second, ready in ((0.0, 10), (5.0, 10), (10.0, 10), (20.0, 900)):
        growth.add(second, ready)
    assert growth.per_s is None


def test_growth_needs_time_and_forgets() -> None:
    growth = Growth()
    growth.add(0.0, 1)
    growth.add(1.0, 50)
    growth.add(2.0, 99)
    assert growth.per_s is None
    for second in range(3, 90, 3):
        growth.add(float(second), 99)
    assert growth.per_s is None
    assert growth.samples[0][0] >= 27.0


def test_the_age_of_the_next_message_is_a_lower_bound_that_restarts() -> None:
    watch = HeadWatch()
    watch.note([Head("mail", "a", "1")], 100.0)
    assert watch.at_least_s("mail", 100.5) is None
    watch.note([Head("mail", "a", "1")], 112.0)
    assert watch.at_least_s("mail", 112.0) == 12.0
    watch.note([Head("mail", "b", "2")], 113.0)
    assert watch.at_least_s("mail", 113.5) is None
    watch.note([], 114.0)
    assert watch.at_least_s("mail", 200.0) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mail", True),
        ("celery", True),
        ("celeryev.3f2a", False),
        ("celery@web-1.celery.pidbox", False),
        ("9a1.reply.celery.pidbox", False),
        ("", False),
    ],
)
def test_only_queues_of_tasks_are_shown(name: str, expected: bool) -> None:
    assert is_task_queue(name) is expected


def test_only_exchanges_of_tasks_are_read() -> None:
    assert [
        n for n in ("celery", "celeryev", "celery.pidbox", "reply.celery.pidbox") if is_task_exchange(n)
    ] == ["celery"]


@pytest.mark.parametrize(
    ("name", "alert"),
    [
        ("mail", Alert.NO_CONSUMER),
        ("celery_delayed_27", Alert.DELAYED),
        ("celery_delayed", Alert.NO_CONSUMER),
    ],
)
def test_a_queue_of_delayed_tasks_needs_no_consumer(name: str, alert: Alert) -> None:
    row = QueueRow(name, 3, 0, False, 0, None, None, None, None)
    assert row.alert is alert
    seen = queues_seen(QueuesSnapshot((row,), None, None, stale=False))
    assert seen.without_consumer == (() if alert is Alert.DELAYED else ((name, 3),))
