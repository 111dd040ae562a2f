"""A real beat on a real database and broker: it obeys the switches, and the timetable tells the truth."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from console.broker.database import parse_database_url
from console.schedules.gateway import open_tables
from console.schedules.model import NextState
from console.schedules.service import SETTLE_S
from console.schedules.timetable import next_run
from tests.contract.schedules.databases import ROOT, Database, environment_for
from tests.valkey import ValkeyServer

TASK = "bundled_project.shop.tasks.flush_counters"


@contextmanager
def beat(database: Database, broker: ValkeyServer, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`celery -A bundled_project beat`, as the local stack runs it; ended at the end."""
    environment = environment_for(database.url, folder)
    environment |= {"CELERY_BROKER_URL": broker.url, "CELERY_TIMEZONE": "UTC"}
    with (folder / "beat.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "bundled_project", "beat", "-l", "INFO", "--pidfile="],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)


class Messages:
    """What beat has sent, by the name of the schedule."""

    def __init__(self, broker: ValkeyServer, log: Path) -> None:
        self._broker = broker
        self._log = log

    def count(self, name: str) -> int:
        with self._broker.client() as client:
            raw = [
                text
                for key in client.keys("*")
                if client.type(key) == b"list"
                for text in client.lrange(key, 0, -1)
            ]
        headers = [json.loads(text)["headers"] for text in raw]
        return sum(header.get("periodic_task_name") == name for header in headers)

    def until(self, true: Callable[[], bool], *, within_s: float) -> None:
        deadline = time.monotonic() + within_s
        while not true():
            assert time.monotonic() < deadline, self._log.read_text()[-3000:]
            time.sleep(0.05)


@pytest.fixture(params=["sqlite", "mysql"])
def store(request: pytest.FixtureRequest) -> Database:
    found: Database = request.getfixturevalue(request.param)
    return found


@pytest.mark.timeout(120)
def test_beat_obeys_and_nothing_is_caught_up(store: Database, broker: ValkeyServer, tmp_path: Path) -> None:
    ticking = store.task("ticking", TASK, interval_id=store.interval(1))
    # An hourly row that was due minutes ago and has been off for a day.
    minute = (datetime.now(UTC) - timedelta(minutes=10)).minute
    yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat(" ")
    hourly = store.task(
        "hourly",
        TASK,
        crontab_id=store.crontab(str(minute), "*"),
        enabled=False,
        date_changed=yesterday,
        start_time=yesterday,
    )
    tables = open_tables(parse_database_url(store.url))
    messages = Messages(broker, tmp_path / "beat.log")
    with beat(store, broker, tmp_path):
        messages.until(lambda: messages.count("ticking") >= 2, within_s=30)

        # What is shown as the next run is when beat runs it (its own table, its own second).
        row = next(row for row in tables.read() if row.id == ticking)
        planned = next_run(row, datetime.now(UTC))
        assert planned.state in (NextState.PLANNED, NextState.ABOUT)
        assert planned.at is not None
        assert abs((planned.at - datetime.now(UTC)).total_seconds()) < 2.5

        tables.set_enabled([ticking], enabled=False)
        tables.set_enabled([hourly], enabled=True)
        # Beat, in the middle of noting a run, may write over it; the service looks again, as here.
        time.sleep(SETTLE_S)
        tables.set_enabled([ticking], enabled=False)
        # Beat looks every 5 s at the latest: it is quiet when 3 s bring nothing, and that within 10 s.
        quiet_since, seen = time.monotonic(), messages.count("ticking")

        def quiet() -> bool:
            nonlocal quiet_since, seen
            now = messages.count("ticking")
            if now != seen:
                quiet_since, seen = time.monotonic(), now
            return time.monotonic() - quiet_since > 3.0

        messages.until(quiet, within_s=13)
        assert "DatabaseScheduler: Schedule changed." in (tmp_path / "beat.log").read_text()

        stopped_at = messages.count("ticking")
        tables.set_enabled([ticking], enabled=True)
        messages.until(lambda: messages.count("ticking") >= stopped_at + 2, within_s=15)
        assert messages.count("hourly") == 0

        row = next(row for row in tables.read() if row.id == hourly)
        coming = next_run(row, datetime.now(UTC))
        assert coming.at is not None
        assert coming.at.minute == minute
        assert coming.at > datetime.now(UTC)
    tables.close()
