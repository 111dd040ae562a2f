"""The rules about one worker."""

from __future__ import annotations

from dataclasses import replace

import pytest
from celery.utils.time import rate
from hypothesis import given
from hypothesis import strategies as st

from console.workers.actions import (
    Action,
    QueueName,
    Range,
    RateLimit,
    TimeLimits,
    rate_per_s,
    read_places,
    read_queue,
    read_range,
    read_rate_limit,
    read_time_limits,
    refusal,
    refusal_of_all,
)
from console.workers.cells import WORKER_COLUMNS, sorted_workers
from console.workers.model import Inspected, Reply, WorkerRow, WorkerState, is_worker, worker_state

ROW = WorkerRow(
    "celery@web-1", WorkerState.ONLINE, 0, 5, None, "prefork", 4, (), ("mail",), None, None
)  # fmt: skip


@pytest.mark.parametrize(
    ("goodbye", "age_s", "interval_s", "expected"),
    [
        (False, 0.0, 2.0, WorkerState.ONLINE),
        (False, 6.0, 2.0, WorkerState.ONLINE),
        (False, 6.1, 2.0, WorkerState.LATE),
        (False, 120.0, 2.0, WorkerState.LATE),
        (False, 121.0, 2.0, WorkerState.OFFLINE),
        (False, 299.0, 100.0, WorkerState.ONLINE),
        (False, 2000.0, 100.0, WorkerState.LATE),
        (True, 0.0, 2.0, WorkerState.OFFLINE),
    ],
)
def test_the_state_is_the_age_of_the_heartbeat(
    goodbye: bool, age_s: float, interval_s: float, expected: WorkerState
) -> None:
    assert worker_state(said_goodbye=goodbye, heartbeat_age_s=age_s, interval_s=interval_s) is expected


def test_nothing_is_done_to_nobody_or_to_who_is_offline() -> None:
    for action in Action:
        assert refusal(action, None) == "Select a worker"
        assert refusal(action, replace(ROW, state=WorkerState.OFFLINE)) == "The worker is offline"


@pytest.mark.parametrize(
    ("row", "grow", "shrink"),
    [
        (ROW, None, None),
        (replace(ROW, pool="gevent"), None, None),
        (
            replace(ROW, pool="solo"),
            "A solo pool runs one task at a time",
        )
        * 1
        + ("A solo pool runs one task at a time",),
        (
            replace(ROW, pool="threads"),
            "A pool of threads cannot change its size while it runs",
            "A pool of threads cannot change its size while it runs",
        ),
        (replace(ROW, pool=None), *["The worker has not said which pool it has"] * 2),
        (replace(ROW, autoscale=(2, 8)), *["The pool is sized by autoscale"] * 2),
        (replace(ROW, concurrency=1), None, "The pool has only one place left"),
    ],
)
def test_a_pool_changes_size_only_if_it_can(row: WorkerRow, grow: str | None, shrink: str | None) -> None:
    assert refusal(Action.GROW, row) == grow
    assert refusal(Action.SHRINK, row) == shrink


def test_events_are_enabled_once() -> None:
    assert refusal(Action.ENABLE_EVENTS, ROW) is None
    assert refusal(Action.ENABLE_EVENTS, replace(ROW, task_events=True)) == "The worker sends task events"
    assert refusal(Action.SHUT_DOWN, ROW) is None


def test_beat_is_no_worker() -> None:
    assert [n for n in ("celery@a", "celerybeat@a", "shop@b", "") if is_worker(n)] == ["celery@a", "shop@b"]


def test_an_error_is_what_a_node_calls_one() -> None:
    assert Reply("n", {"error": "ValueError()"}, 0.0).error == "ValueError()"
    assert Reply("n", {"ok": "pong"}, 0.0).error is None
    assert Reply("n", [], 0.0).error is None


def test_an_action_on_several_is_refused_when_nobody_allows_it() -> None:
    solo, gone = replace(ROW, pool="solo"), replace(ROW, state=WorkerState.OFFLINE)
    assert refusal_of_all(Action.GROW, [solo, ROW]) is None
    assert refusal_of_all(Action.GROW, [solo, gone, gone]) == (
        "A solo pool runs one task at a time; The worker is offline"
    )
    assert refusal_of_all(Action.GROW, []) == "Select a worker"


def test_what_a_pool_or_a_setting_forbids() -> None:
    allowed = replace(ROW, said=Inspected(pool_restarts=True), autoscale=(1, 2))
    assert refusal(Action.RESTART_POOL, allowed) is None
    assert refusal(Action.AUTOSCALE, allowed) is None
    assert refusal(Action.TIME_LIMIT, ROW) is None
    assert refusal(Action.RESTART_POOL, ROW) == "The worker has not told its settings yet"
    assert refusal(Action.RESTART_POOL, replace(ROW, pool="threads")) == (
        "A threads pool has no processes to restart"
    )
    assert refusal(Action.TIME_LIMIT, replace(ROW, pool="gevent")) == (
        "A gevent pool does not stop tasks that take too long"
    )
    assert refusal(Action.AUTOSCALE, ROW) == "The worker was not started with autoscale"
    assert refusal(Action.STOP_CONSUMING, replace(ROW, queues=())) == "The worker consumes no queue"


@given(
    st.one_of(
        st.text(max_size=8),
        st.builds(
            lambda number, unit: f"{number}{unit}",
            st.one_of(st.integers(0, 10**6), st.floats(0, 1e6)),
            st.sampled_from(["", "/s", "/m", "/h", "/d", "/", "/ s", "//s"]),
        ),
    )
)
def test_a_rate_limit_is_right_when_celery_takes_it(text: str) -> None:
    try:
        celery_says: float | None = rate(text.strip())
    except (ValueError, KeyError):
        celery_says = None
    read = read_rate_limit("shop.add", text, known=("shop.add",))
    if isinstance(read, RateLimit):
        assert celery_says is not None
        assert rate_per_s(text.strip() or "0") == pytest.approx(celery_says)
    else:
        assert celery_says is None or not 0 <= celery_says < float("inf") or text.strip() == ""


def test_forms_say_what_is_wrong_with_which_field() -> None:
    assert read_range("2", "8") == Range(2, 8)
    assert read_range("0", "3") == Range(0, 3)
    assert read_range("8", "2") == {"most": "Not less than the minimum"}
    assert read_range("x", "") == {"least": "A whole number", "most": "A whole number"}
    assert read_places(" 3 ") == 3
    assert read_places("0") == "A number from 1 to 1,000"
    assert read_queue("  mail ") == QueueName("mail")
    assert read_queue(" ") == {"queue": "Which queue?"}
    assert not isinstance(read_queue("a\x00b"), QueueName)
    known = ("shop.add",)
    assert read_rate_limit("shop.sub", "1/d", known=known) == {
        "task": "None of the chosen workers has registered this task",
        "limit": "A number, or one per second, minute or hour: 10/s, 0.5/m, 100/h",
    }
    assert read_time_limits("shop.add", "5", "9.5", known=known) == TimeLimits("shop.add", 5.0, 9.5)
    assert read_time_limits("shop.add", "", "", known=known) == TimeLimits("shop.add", None, None)
    assert read_time_limits("shop.add", "9", "9", known=known) == {
        "soft": "Less than the hard limit, or it is never reached"
    }
    assert read_time_limits("", "-1", "soon", known=known) == {
        "task": "Which task?",
        "soft": "More than 0 seconds, at most 30 days",
        "hard": "Seconds, or empty for no limit",
    }


def test_those_who_live_come_first_however_they_are_sorted() -> None:
    names = [("a", WorkerState.OFFLINE, 9), ("b", WorkerState.ONLINE, 1), ("c", WorkerState.LATE, 5)]
    rows = [replace(ROW, hostname=name, state=state, processed=count) for name, state, count in names]

    def by(column: str, descending: bool) -> str:
        return "".join(row.hostname for row in sorted_workers(rows, column, descending=descending))

    assert by("worker", False) == "bca"
    assert by("processed", True) == "cba"
    assert all(len(by(column.key, False)) == 3 for column in WORKER_COLUMNS)
