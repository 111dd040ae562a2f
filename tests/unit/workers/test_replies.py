"""Answers are data from a network: whatever they are, nothing breaks and nothing is invented."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from console.core.redaction import register_secret
from console.workers.model import Inspected, Tab, TaskInfo
from console.workers.replies import listing_rows, with_queues, with_registered, with_settings, with_stats

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "pool",
                    "total",
                    "autoscaler",
                    "name",
                    "request",
                    "eta",
                    "id",
                    "args",
                    "delivery_info",
                    "time_start",
                ]
            ),
            inner,
        )
    ),
    max_leaves=12,
)
REQUEST = {
    "id": "one",
    "name": "shop.pay",
    "args": "(7,)",
    "kwargs": "{}",
    "time_start": 1_770_000_000.5,
    "worker_pid": 42,
    "delivery_info": {"routing_key": "mail", "priority": 0},
}


def test_stats_of_prefork_count_the_processes_that_are_there() -> None:
    pool = {
        "implementation": "celery.concurrency.prefork:TaskPool",
        "max-concurrency": 2,
        "processes": [11, 12, 13],
    }
    seen = with_stats(Inspected(queues=("mail",)), {"pool": pool, "total": {"a": 2, "b": 3}, "uptime": 9})
    assert (seen.pool, seen.concurrency, seen.processed, seen.uptime_s) == ("prefork", 3, 5, 9.0)
    assert seen.queues == ("mail",)


def test_pools_have_the_names_of_the_command_line() -> None:
    def pool(implementation: str) -> str | None:
        return with_stats(Inspected(), {"pool": {"implementation": implementation}}).pool

    assert pool("celery.concurrency.thread:TaskPool") == "threads"
    assert pool("celery.concurrency.gevent:TaskPool") == "gevent"
    assert pool("shop.pools:OwnPool") == "shop.pools:OwnPool"


def test_autoscale_and_names() -> None:
    assert with_stats(Inspected(), {"autoscaler": {"min": 2, "max": 8}}).autoscale == (2, 8)
    assert with_queues(Inspected(), [{"name": "b"}, {"name": "a"}, 3, {"name": 4}]).queues == ("a", "b")
    assert with_registered(Inspected(), ["a.b [x=1]", "c", 5]).registered == (
        TaskInfo("a.b"),
        TaskInfo("c"),
    )


def test_the_setting_proves_only_that_events_are_on() -> None:
    assert with_settings(Inspected(), {"worker_send_task_events": True}).task_events is True
    django = {"CELERY_WORKER_PREFETCH_MULTIPLIER": 1, "CELERY_WORKER_POOL_RESTARTS": True}
    said = with_settings(Inspected(), {**django, "CELERY_TASK_DEFAULT_QUEUE": "default"})
    assert (said.multiplier, said.pool_restarts, said.default_queue) == (1, True, "default")
    assert with_settings(Inspected(), {}).default_queue == "celery"
    assert with_settings(Inspected(), {"worker_send_task_events": False}).task_events is None
    assert with_settings(Inspected(task_events=True), {"worker_send_task_events": False}).task_events is True


def test_rows_of_the_tabs() -> None:
    started = datetime.fromtimestamp(1_770_000_000.5, UTC).isoformat()
    assert listing_rows(Tab.ACTIVE, [REQUEST]) == (("shop.pay", "one", "(7,)", started, "42"),)
    assert listing_rows(Tab.RESERVED, [REQUEST]) == (("shop.pay", "one", "(7,)", "mail", "0"),)
    scheduled = [{"eta": "2026-03-01T12:00:00+00:00", "priority": 6, "request": REQUEST}]
    assert listing_rows(Tab.SCHEDULED, scheduled) == (
        ("shop.pay", "one", "(7,)", "2026-03-01T12:00:00+00:00", "mail"),
    )
    assert listing_rows(Tab.REVOKED, ["a", 3, "b"]) == (("a",), ("b",))
    assert listing_rows(Tab.REGISTERED, ["a.b [rate_limit=10/s]", "c"]) == (
        ("a.b", "rate_limit=10/s"),
        ("c", ""),
    )
    assert listing_rows(Tab.STATISTICS, {"pool": {"processes": [1]}, "pid": 4, "none": None}) == (
        ("pool › processes", "[1]"),
        ("pid", "4"),
        ("none", "–"),
    )


def test_settings_show_no_secret() -> None:
    register_secret("s3cret-of-ours")
    shown = listing_rows(Tab.SETTINGS, {"b": "redis://u:hidden@h/0", "a": {"k": "s3cret-of-ours"}})
    assert [row[0] for row in shown] == ["a", "b"]
    assert "hidden" not in str(shown)
    assert "s3cret-of-ours" not in str(shown)


def test_long_answers_are_bounded() -> None:
    assert len(listing_rows(Tab.REVOKED, [str(number) for number in range(20_000)])) == 5000


@given(ANYTHING)
def test_anything_can_be_answered(value: object) -> None:
    for read in (with_stats, with_queues, with_settings, with_registered):
        read(Inspected(), value)
    for tab in Tab:
        for row in listing_rows(tab, value):
            assert all(isinstance(text, str) for text in row)
