"""The pure rules: routing, search, and what may be said of beat having taken a change."""

from __future__ import annotations

from datetime import timedelta

import pytest

from console.schedules.celery_broker import publish_options
from console.schedules.model import Change, WorkerSettings, change_text, matches
from console.schedules.routing import queue_for, settings_from_conf
from tests.unit.schedules.samples import NOON, schedule, view

SECOND = timedelta(seconds=1)


def test_routes_by_name_then_by_pattern_then_by_default() -> None:
    settings = settings_from_conf(
        {
            "task_default_queue": "default",
            "task_routes": [
                {"shop.*": {"queue": "shop"}, "shop.tasks.flush": "mail"},
                ["*.slow", {"queue": "s"}],
            ],
            "beat_schedule": {"nightly": {}},
        }
    )
    assert queue_for("shop.tasks.flush", settings) == "mail"
    assert queue_for("shop.tasks.other", settings) == "shop"
    assert queue_for("lab.slow", settings) == "s"
    assert queue_for("lab.fast", settings) == "default"
    assert settings.code_schedules == {"nightly"}


@pytest.mark.parametrize("routes", [None, "a function", 7, [["only one"]], {"a": {"exchange": "x"}}, [None]])
def test_routes_that_say_nothing(routes: object) -> None:
    assert settings_from_conf({"task_routes": routes}) == WorkerSettings(default_queue="celery")


def test_every_option_of_the_row_is_published() -> None:
    row = schedule(queue="reports", priority=3, expire_seconds=60, headers='{"trace": "x"}')
    assert publish_options(row, queue="other") == {
        "queue": "reports",
        "declare": [],
        "priority": 3,
        "expires": 60,
        "headers": {"trace": "x", "periodic_task_name": "Flush"},
    }
    routed = schedule(exchange="topic", routing_key="a.b", expires=NOON)
    assert publish_options(routed, queue="other") == {
        "exchange": "topic",
        "routing_key": "a.b",
        "expires": NOON,
        "headers": {"periodic_task_name": "Flush"},
    }
    assert publish_options(schedule(), queue="other")["queue"] == "other"


def test_search_needs_every_word() -> None:
    row = view(schedule(name="Nightly report", task="shop.tasks.build_report", queue="reports"))
    assert matches(row, "")
    assert matches(row, "NIGHT report")
    assert matches(row, "60 seconds")
    assert not matches(row, "nightly mail")


def test_only_what_was_seen_is_said_of_beat() -> None:
    enabled = Change(enabled=True, when=NOON)
    disabled = Change(enabled=False, when=NOON)
    quiet, ran = schedule(last_run_at=None), schedule(last_run_at=NOON + 2 * SECOND)
    late = schedule(last_run_at=NOON + 30 * SECOND)
    soon, later = NOON + 3 * SECOND, NOON + 40 * SECOND

    assert change_text(view(), soon) == ""
    assert "within 5 s" in change_text(view(quiet, change=enabled), soon)
    assert "beat has run it since" in change_text(view(ran, change=enabled), later)
    assert "within 5 s" in change_text(view(quiet, change=disabled), soon)
    assert "no run has been noted" in change_text(view(ran, change=disabled), later)
    assert "has not taken the change" in change_text(view(late, change=disabled), later)
