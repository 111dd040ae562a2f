"""The tables against real SQLite and real PostgreSQL: what is read, which columns are written, the signal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from console.core.errors import Cause, ConsoleError
from console.schedules.gateway import ScheduleTables
from console.schedules.model import Clocked, Crontab, Interval, Kind, Solar
from tests.contract.schedules.databases import BEFORE, Database


def moment(value: Any) -> datetime:
    """A database's instant, whichever way its driver gives it."""
    found = datetime.fromisoformat(value) if isinstance(value, str) else value
    assert isinstance(found, datetime)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def test_reads_every_kind_with_its_timing(database: Database, tables: ScheduleTables) -> None:
    every = database.interval()
    database.task("a flush", interval_id=every)
    database.task("b too", interval_id=every, queue="", enabled=False)
    database.task("c report", crontab_id=database.crontab(zone="Europe/Berlin"), priority=3)
    solar = database.insert("solarschedule", event="sunset", latitude="52.5", longitude="13.4")
    database.task("d sunset", solar_id=solar)
    at = database.insert("clockedschedule", clocked_time="2027-01-01 10:00:00+00:00")
    database.task("e once", clocked_id=at, one_off=True, kwargs='{"day": 1}')
    database.task("f nothing")

    rows = tables.read()

    assert [row.name[0] for row in rows] == list("abcdef")
    assert [row.timing for row in rows] == [
        Interval(60, "seconds"),
        Interval(60, "seconds"),
        Crontab("30", "2", "*", "*", "*", "Europe/Berlin"),
        Solar("sunset", 52.5, 13.4),
        Clocked(datetime(2027, 1, 1, 10, tzinfo=UTC)),
        None,
    ]
    assert [row.shared_by for row in rows] == [2, 2, 1, 1, 1, 0]
    assert rows[1].queue is None
    assert rows[2].priority == 3
    assert rows[3].kinds == (Kind.SOLAR,)
    assert rows[4].kwargs == '{"day": 1}'
    assert rows[0].date_changed == moment(BEFORE)


def test_broken_rows_are_read_like_any_other(database: Database, tables: ScheduleTables) -> None:
    database.task("zone", crontab_id=database.crontab(zone="Mars/Olympus"))
    database.task("json", interval_id=database.interval(), args="{not json", headers="")
    database.task("both", interval_id=database.interval(5), crontab_id=database.crontab("*", "*"))

    both, json, zone = tables.read()

    assert both.kinds == (Kind.INTERVAL, Kind.CRONTAB)
    assert json.args == "{not json"
    assert isinstance(zone.timing, Crontab)
    assert zone.timing.timezone == "Mars/Olympus"


def test_disabling_writes_two_columns_and_the_signal(database: Database, tables: ScheduleTables) -> None:
    ran = "2026-01-02 03:04:05+00:00"
    key = database.task(
        "flush", interval_id=database.interval(), last_run_at=ran, total_run_count=7, description="keep"
    )
    other = database.task("other", interval_id=database.interval(5))
    before, untouched = database.row(key), database.row(other)

    (was,) = tables.set_enabled([key], enabled=False)

    after = database.row(key)
    assert (was.id, was.name, was.was_enabled, was.total_run_count) == (key, "flush", True, 7)
    assert {name for name in after if after[name] != before[name]} == {"enabled", "date_changed"}
    assert not after["enabled"]
    assert database.row(other) == untouched
    assert abs(moment(database.signal()) - datetime.now(UTC)) < timedelta(seconds=5)


def test_enabling_forgets_the_last_run_so_that_beat_counts_from_now(
    database: Database, tables: ScheduleTables
) -> None:
    key = database.task(
        "nightly", crontab_id=database.crontab(), enabled=False, last_run_at="2025-01-01 00:00:00+00:00"
    )

    tables.set_enabled([key], enabled=True)

    row = database.row(key)
    assert row["enabled"]
    assert row["last_run_at"] is None
    assert abs(moment(row["date_changed"]) - datetime.now(UTC)) < timedelta(seconds=5)


def test_enabling_with_a_start_time_that_has_passed_counts_from_now_too(
    database: Database, tables: ScheduleTables
) -> None:
    past = database.task(
        "past", crontab_id=database.crontab(), enabled=False, start_time="2026-01-01 00:00:00+00:00"
    )
    future = database.task(
        "future", crontab_id=database.crontab("1"), enabled=False, start_time="2199-01-01 00:00:00+00:00"
    )

    tables.set_enabled([past, future], enabled=True)

    assert abs(moment(database.row(past)["last_run_at"]) - datetime.now(UTC)) < timedelta(seconds=5)
    assert database.row(future)["last_run_at"] is None


def test_what_is_so_already_is_left_alone_and_not_signalled(
    database: Database, tables: ScheduleTables
) -> None:
    key = database.task("flush", interval_id=database.interval())
    before = database.row(key)

    assert tables.set_enabled([key], enabled=True) == ()

    assert database.row(key) == before
    assert database.signal() is None


def test_the_signal_moves_forward_even_when_a_clock_was_ahead(
    database: Database, tables: ScheduleTables
) -> None:
    ahead = "2199-01-01 00:00:00+00:00"
    database.execute(
        "INSERT INTO django_celery_beat_periodictasks (ident, last_update) VALUES (1, %s)", ahead
    )
    key = database.task("flush", interval_id=database.interval())

    tables.set_enabled([key], enabled=False)

    assert moment(database.signal()) == moment(ahead) + timedelta(microseconds=1)


def test_undo_of_disabling_enables_without_catching_up(database: Database, tables: ScheduleTables) -> None:
    key = database.task(
        "nightly", crontab_id=database.crontab(), last_run_at="2026-01-02 03:04:05+00:00", total_run_count=3
    )
    switched = tables.set_enabled([key], enabled=False)
    signalled = moment(database.signal())

    assert tables.switch_back(switched) == ("nightly",)

    row = database.row(key)
    assert row["enabled"]
    assert row["last_run_at"] is None
    assert moment(database.signal()) > signalled


def test_undo_of_enabling_gives_the_last_run_back(database: Database, tables: ScheduleTables) -> None:
    ran = "2026-01-02 03:04:05+00:00"
    key = database.task("nightly", crontab_id=database.crontab(), enabled=False, last_run_at=ran)
    switched = tables.set_enabled([key], enabled=True)

    assert tables.switch_back(switched) == ("nightly",)

    row = database.row(key)
    assert not row["enabled"]
    assert moment(row["last_run_at"]) == moment(ran)


def test_undo_leaves_rows_alone_that_somebody_else_has_moved(
    database: Database, tables: ScheduleTables
) -> None:
    moved = database.task("moved", interval_id=database.interval())
    gone = database.task("gone", interval_id=database.interval(5))
    switched = tables.set_enabled([moved, gone], enabled=False)
    database.execute("UPDATE django_celery_beat_periodictask SET enabled = %s WHERE id = %s", True, moved)
    database.execute("DELETE FROM django_celery_beat_periodictask WHERE id = %s", gone)
    before = database.row(moved)

    assert tables.switch_back(switched) == ()

    assert database.row(moved) == before


def test_nothing_is_half_written_when_the_signal_cannot_be_given(
    database: Database, tables: ScheduleTables
) -> None:
    key = database.task("flush", interval_id=database.interval())
    before = database.row(key)
    database.execute("ALTER TABLE django_celery_beat_periodictasks RENAME TO away")
    try:
        with pytest.raises(ConsoleError) as caught:
            tables.set_enabled([key], enabled=False)
    finally:
        database.execute("ALTER TABLE away RENAME TO django_celery_beat_periodictasks")
    assert caught.value.cause is Cause.NOT_MIGRATED
    assert database.row(key) == before


def test_the_fingerprint_sees_what_people_and_beat_change(database: Database, tables: ScheduleTables) -> None:
    key = database.task("flush", interval_id=database.interval())
    first = tables.fingerprint()
    assert tables.fingerprint() == first
    # Beat notes a run: the change signal stays as it is.
    database.execute(
        "UPDATE django_celery_beat_periodictask SET total_run_count = 1, last_run_at = %s WHERE id = %s",
        "2026-01-02 03:04:05+00:00",
        key,
    )
    second = tables.fingerprint()
    tables.set_enabled([key], enabled=False)
    third = tables.fingerprint()
    database.execute("DELETE FROM django_celery_beat_periodictask WHERE id = %s", key)
    fourth = tables.fingerprint()

    assert len({first, second, third, fourth}) == 4
