"""Slots, statistics and attention made in one line."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from console.history.figure_reading import FigureSlot, FigureStat
from console.history.model import Percentiles

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
NOTHING = Percentiles(None, None, None, 0)


def minute(ago: int, **changes: Any) -> FigureSlot:
    """The minute that began `ago` minutes before noon."""
    start = NOON - timedelta(minutes=ago)
    empty = FigureSlot(start, start + timedelta(minutes=1), 0, 0, 0, 0, 0, 0, NOTHING, NOTHING)
    return replace(empty, **changes)


def stat(word: str, *, succeeded: int = 0, failed: int = 0, p95: float | None = None) -> FigureStat:
    runtime = Percentiles(p95, p95, p95, succeeded)
    return FigureStat(word, succeeded, failed, 0, 0, runtime, runtime)
