"""The rules about one worker."""

from __future__ import annotations

from dataclasses import replace

import pytest

from console.workers.model import Action, Reply, WorkerRow, WorkerState, is_worker, refusal, worker_state

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
