"""Next runs and problems as beat would have them, on a clock that is handed in."""

from __future__ import annotations

import importlib.util
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery
from django_celery_beat.tzcrontab import TzAwareCrontab

from console.schedules.model import Clocked, Interval, NextState, Solar
from console.schedules.timetable import coming_runs, next_run, problem_of, words
from tests.unit.schedules.samples import NOON, cron, schedule

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_an_interval_counts_from_its_last_run() -> None:
    found = next_run(schedule(last_run_at=NOON - 20 * SECOND), NOON)
    assert (found.state, found.at) == (NextState.PLANNED, NOON + 40 * SECOND)


def test_a_row_that_never_ran_counts_from_its_change() -> None:
    found = next_run(schedule(date_changed=NOON - 10 * SECOND), NOON)
    assert found.at == NOON + 50 * SECOND


def test_a_run_that_beat_may_not_have_written_yet_is_not_called_overdue() -> None:
    found = next_run(schedule(last_run_at=NOON - 130 * SECOND), NOON)
    assert (found.state, found.at) == (NextState.ABOUT, NOON + 50 * SECOND)


def test_a_run_that_is_missing_for_longer_is_overdue() -> None:
    missed = NOON - timedelta(minutes=9)
    found = next_run(schedule(last_run_at=NOON - timedelta(minutes=10)), NOON)
    assert (found.state, found.at) == (NextState.OVERDUE, missed)


def test_a_crontab_runs_in_its_own_zone() -> None:
    nightly = schedule(cron("30 2 * * *", "Europe/Berlin"), last_run_at=NOON)
    assert next_run(nightly, NOON).at == at("2026-05-05 00:30")


def test_disabled_expired_and_done_rows_do_not_run() -> None:
    assert next_run(schedule(enabled=False), NOON).state is NextState.OFF
    assert next_run(schedule(expires=NOON - SECOND), NOON).state is NextState.NEVER
    assert next_run(schedule(expires=NOON + SECOND), NOON).why == "It expires before its next run"
    assert next_run(schedule(one_off=True, total_run_count=1), NOON).state is NextState.NEVER


def test_a_start_time_holds_the_first_run_back() -> None:
    start = NOON + timedelta(hours=3, minutes=10)
    assert next_run(schedule(start_time=start), NOON).at == start
    hourly = schedule(cron("0 * * * *"), start_time=start)
    assert next_run(hourly, NOON).at == NOON + timedelta(hours=4)


def test_a_clocked_row_runs_once_at_its_time() -> None:
    row = schedule(Clocked(NOON + DAY))
    assert next_run(row, NOON).at == NOON + DAY
    assert coming_runs(row, NOON, 5) == (NOON + DAY,)
    missed = next_run(schedule(Clocked(NOON - DAY)), NOON)
    assert (missed.state, missed.at) == (NextState.OVERDUE, NOON - DAY)


@pytest.mark.skipif(importlib.util.find_spec("ephem") is not None, reason="ephem is installed")
def test_solar_is_unknown_where_ephem_is_missing() -> None:
    row = schedule(Solar("sunset", 52.5, 13.4))
    found = next_run(row, NOON)
    assert found.state is NextState.UNKNOWN
    assert "ephem" in found.why
    assert problem_of(row) is None


@pytest.mark.parametrize(
    ("line", "from_", "runs"),
    [
        # The clocks go forward at 02:00: 02:30 does not exist and runs at 03:30.
        ("30 2 * * *", "2026-03-28 12:00", ["2026-03-29 01:30", "2026-03-30 00:30"]),
        # The clocks go back at 03:00: 02:30 comes twice and runs once, the first time.
        ("30 2 * * *", "2026-10-24 12:00", ["2026-10-25 00:30", "2026-10-26 01:30"]),
        # Celery 5.7 leaves the second 02:00 and 02:30 out.
        ("*/30 * * * *", "2026-10-25 00:00", ["2026-10-25 00:30", "2026-10-25 02:00"]),
    ],
)
def test_the_changes_of_the_clock(line: str, from_: str, runs: list[str]) -> None:
    row = schedule(cron(line, "Europe/Berlin"), last_run_at=at(from_))
    assert list(coming_runs(row, at(from_), 2)) == [at(run) for run in runs]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/New_York"])
@pytest.mark.parametrize("line", ["*/7 3-5 * * *", "15 10 1,15 * *", "0 0 * * mon", "59 23 31 12 *"])
def test_the_runs_are_those_beat_makes(line: str, zone: str) -> None:
    """Against celery's own `is_due`, stepped like beat's loop from run to run."""
    timing = cron(line, zone)
    row = schedule(timing, last_run_at=NOON)
    app = Celery(set_as_current=False)
    seen: list[datetime] = []
    last = now = NOON

    class Stepped(TzAwareCrontab):  # type: ignore[misc]
        def nowfunc(self) -> Any:
            return now.astimezone(self.tz)

    import zoneinfo

    beat = Stepped(
        timing.minute,
        timing.hour,
        timing.day_of_week,
        timing.day_of_month,
        timing.month_of_year,
        tz=zoneinfo.ZoneInfo(zone),
        app=app,
    )
    while len(seen) < 5:
        due, wait_s = beat.is_due(last)
        if due:
            seen.append(now)
            last = now
        else:
            now += timedelta(seconds=wait_s)
    assert list(coming_runs(row, NOON, 5)) == seen


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"args": "{bad"}, "The arguments are not JSON"),
        ({"args": "{}"}, "The arguments are not a list"),
        ({"kwargs": "[1]"}, "The keyword arguments are not an object"),
        ({"headers": "[1]"}, "The headers are not an object"),
        ({"headers": "nope"}, "The headers are not JSON"),
        ({"timing": None, "kinds": ()}, "No schedule is set"),
        ({"timing": Interval(0, "seconds")}, "has no length"),
        ({"timing": Interval(1, "weeks")}, "unknown"),
        ({"timing": cron("0 0 31 2 *")}, "Celery refuses the crontab"),
        ({"timing": cron("0 0 * * 7")}, "Celery refuses the crontab"),
        ({"timing": cron("0 0 * * 6-7")}, "Celery refuses the crontab"),
        ({"timing": cron("abc 0 * * *")}, "Celery refuses the crontab"),
        ({"timing": cron("0 0 * * *", "Mars/Olympus")}, "time zone 'Mars/Olympus' is unknown"),
        ({"expires": NOON, "expire_seconds": 5}, "Both an expiry time and expiry seconds"),
    ],
)
def test_what_beat_cannot_run(changes: dict[str, Any], reason: str) -> None:
    row = schedule(**changes)
    problem = problem_of(row)
    assert problem is not None
    assert reason in problem.reason
    assert problem.mend
    assert next_run(row, NOON).state is NextState.NEVER
    assert coming_runs(row, NOON, 5) == ()


def test_empty_texts_are_what_beat_takes_them_for() -> None:
    assert problem_of(schedule(args="", kwargs="", headers="")) is None


def test_a_disabled_row_shows_the_runs_it_would_make_from_now() -> None:
    row = schedule(enabled=False, last_run_at=NOON - 300 * DAY)
    assert coming_runs(row, NOON, 2) == (NOON + 60 * SECOND, NOON + 120 * SECOND)


@pytest.mark.parametrize(
    ("timing", "said"),
    [
        (Interval(60, "seconds"), "every 60 seconds"),
        (Interval(1, "hours"), "every hour"),
        (cron("30 2 * * *"), "At 02:30, every day"),
        (cron("*/5 * * * *"), "Every 5 minutes"),
        (cron("0 4 * * 1-5"), "At 04:00, Monday through Friday"),
        (cron("0 0 31 2 *"), "0 0 31 2 *"),
        (Solar("solar_noon", 52.5, 13.4), "at solar noon (52.5, 13.4)"),
        (None, "No schedule"),
    ],
)
def test_words(timing: Any, said: str) -> None:
    assert words(timing) == said
