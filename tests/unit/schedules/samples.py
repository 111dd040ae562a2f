"""Schedules made in one line."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from console.schedules.model import (
    Clocked,
    Crontab,
    Interval,
    Kind,
    NextRun,
    NextState,
    Schedule,
    ScheduleView,
    Solar,
    Timing,
)

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
KINDS: dict[type, Kind] = {
    Interval: Kind.INTERVAL,
    Crontab: Kind.CRONTAB,
    Solar: Kind.SOLAR,
    Clocked: Kind.CLOCKED,
}


def cron(line: str, zone: str = "UTC") -> Crontab:
    minute, hour, day_of_month, month, day_of_week = line.split()
    return Crontab(minute, hour, day_of_month, month, day_of_week, zone)


def schedule(timing: Timing | None = Interval(60, "seconds"), **changes: Any) -> Schedule:
    row = Schedule(
        id=1,
        name="Flush",
        task="shop.tasks.flush",
        enabled=True,
        timing=timing,
        kinds=() if timing is None else (KINDS[type(timing)],),
        shared_by=1,
        args="[]",
        kwargs="{}",
        headers="{}",
        queue=None,
        exchange=None,
        routing_key=None,
        priority=None,
        expires=None,
        expire_seconds=None,
        one_off=isinstance(timing, Clocked),
        start_time=None,
        last_run_at=None,
        total_run_count=0,
        date_changed=NOON,
        description="",
    )
    return replace(row, **changes)


def view(row: Schedule | None = None, **changes: Any) -> ScheduleView:
    seen = ScheduleView(row or schedule(), "every 60 seconds", NextRun(NextState.PLANNED, NOON), None)
    return replace(seen, **changes)
