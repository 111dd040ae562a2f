"""Minutes, statistics and failures made in one line."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from console.history.model import ErrorGroup, Minute, NameStat, Percentiles

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
NOTHING = Percentiles(None, None, None, 0)


def minute(ago: int, **changes: Any) -> Minute:
    """The minute that began `ago` minutes before noon."""
    empty = Minute(NOON - timedelta(minutes=ago), 0, 0, 0, 0, 0, 0, NOTHING, NOTHING)
    return replace(empty, **changes)


def stat(name: str, *, succeeded: int = 0, failed: int = 0, p95: float | None = None) -> NameStat:
    return NameStat(name, succeeded, failed, 0, Percentiles(p95, p95, p95, succeeded))


def failures(name: str, count: int, error: str = "ValueError") -> ErrorGroup:
    return ErrorGroup(
        name=name, error=error, message=error, count=count, first=NOON, last=NOON, example_id="x"
    )
