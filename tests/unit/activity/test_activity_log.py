"""The activity log: append-only, searchable, and honest about what it did not live to see."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from console.activity.gateway import SqliteActivity
from console.activity.service import ActivityService
from console.core.activity import ActivityEntry, Outcome
from console.core.clock import SystemClock
from console.core.errors import Cause, ConsoleError
from console.core.redaction import Secret

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def entry(target: str = "mail") -> ActivityEntry:
    return ActivityEntry(NOW, "asha", "Shop", "Purge queue", target, "duplicates")


def test_an_act_and_its_end_are_read_newest_first(tmp_path: Path) -> None:
    log = SqliteActivity(tmp_path / "activity.sqlite3")
    first, second = log.begin(entry("mail")), log.begin(entry("reports"))
    log.finish(first, NOW, Outcome.DONE, "412 messages")
    lines = log.read("")
    assert [(line.number, line.target, line.outcome) for line in lines] == [
        (second, "reports", Outcome.STARTED),
        (first, "mail", Outcome.DONE),
    ]
    assert lines[1].when == NOW
    assert [line.target for line in log.read("412 purge")] == ["mail"]
    assert log.read("100%") == []
    log.close()


def test_a_file_that_is_taken_away_begins_anew(tmp_path: Path) -> None:
    """Otherwise acts would go to a file that has no name any more."""
    file = tmp_path / "activity.sqlite3"
    log = SqliteActivity(file)
    log.begin(entry("mail"))
    for part in tmp_path.iterdir():
        part.unlink()
    log.finish(log.begin(entry("reports")), NOW, Outcome.DONE, "")
    log.close()
    again = SqliteActivity(file)
    assert [line.target for line in again.read("")] == ["reports"]
    again.close()


@pytest.mark.parametrize("change", ["UPDATE act SET who = 'x'", "DELETE FROM act", "DELETE FROM ending"])
def test_nothing_can_be_changed_afterwards(tmp_path: Path, change: str) -> None:
    log = SqliteActivity(tmp_path / "activity.sqlite3")
    log.finish(log.begin(entry()), NOW, Outcome.DONE, "")
    log.close()
    database = sqlite3.connect(tmp_path / "activity.sqlite3")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        database.execute(change)
    database.close()


def test_a_newer_log_is_refused_in_words(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "activity.sqlite3")
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(ConsoleError) as caught:
        SqliteActivity(tmp_path / "activity.sqlite3").begin(entry())
    assert caught.value.cause is Cause.CONFLICT


def test_a_file_that_is_no_database_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "activity.sqlite3").write_bytes(b"garbage" * 1000)
    with pytest.raises(ConsoleError) as caught:
        SqliteActivity(tmp_path / "activity.sqlite3").begin(entry())
    assert "cannot be used" in caught.value.title


async def test_no_secret_reaches_the_disk(tmp_path: Path) -> None:
    Secret("activity-marker-77")
    file = tmp_path / "activity.sqlite3"
    service = ActivityService(SqliteActivity(file), clock=SystemClock())
    number = await service.begin(entry("redis://u:activity-marker-77@h"))
    await service.finish(number, Outcome.FAILED, "login with activity-marker-77 failed")
    assert len(await service.read("")) == 1
    await service.aclose()
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"activity-marker-77" not in written
