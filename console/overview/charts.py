"""Slots of time as the charts want them: words under the axis, heads of tooltips, series."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from typing import assert_never

from console.history.figure_reading import FigureSlot
from console.history.model import Percentiles
from console.overview.model import Span
from console.overview.view_model import Lines
from console.widgets.charts import Series
from console.widgets.text import duration_text, percent_text


def axis(slots: Sequence[FigureSlot], span: Span, zone: tzinfo) -> tuple[list[str], list[str]]:
    """The words under each slot and the head of its tooltip, in the person's zone."""
    labels, titles = [], []
    for slot in slots:
        start, end = slot.start.astimezone(zone), slot.end.astimezone(zone)
        day = f"{start.day} {start:%b} "
        labels.append(f"{day}{start:%H}h" if span is Span.WEEK else f"{start:%H:%M}")
        shown = day if span in (Span.DAY, Span.WEEK) else ""
        titles.append(f"{shown}{start:%H:%M} – {end:%H:%M}")
    return labels, titles


def throughput(slots: Sequence[FigureSlot]) -> list[Series]:
    """Ends per minute in each slot; trouble lies at the bottom so that it shares a baseline."""
    return [
        Series("Failed", "failed", [_per_minute(slot, slot.failed) for slot in slots]),
        Series("Retrying", "retrying", [_per_minute(slot, slot.retried) for slot in slots]),
        Series("Other", "other", [_per_minute(slot, slot.other) for slot in slots]),
        Series("Succeeded", "succeeded", [_per_minute(slot, slot.succeeded) for slot in slots]),
    ]


def _per_minute(slot: FigureSlot, count: int) -> float | None:
    if not slot.known:
        return None
    return count / max((slot.end - slot.start).total_seconds() / 60.0, 1.0)


def lines(slots: Sequence[FigureSlot], chosen: Lines) -> list[Series]:
    """The percentiles of runtime or of the wait in the queue (s), or the share of failures (percent)."""
    match chosen:
        case Lines.RUNTIME:
            return _percentiles([slot.runtime for slot in slots])
        case Lines.WAIT:
            return _percentiles([slot.wait for slot in slots])
        case Lines.FAILURES:
            return [Series("Failed", "failed", [_failed_share(slot) for slot in slots])]
    assert_never(chosen)


def words_of(chosen: Lines, value: float | None) -> str:
    """A value of `lines` in words."""
    return percent_text(value) if chosen is Lines.FAILURES else duration_text(value)


def _percentiles(parts: Sequence[Percentiles]) -> list[Series]:
    return [
        Series("p50", "p50", [part.p50_s for part in parts]),
        Series("p95", "p95", [part.p95_s for part in parts]),
        Series("p99", "p99", [part.p99_s for part in parts]),
    ]


def _failed_share(slot: FigureSlot) -> float | None:
    """Unknown while nothing ran: no run is no run without failures."""
    runs = slot.succeeded + slot.failed + slot.retried
    return 100.0 * slot.failed / runs if slot.known and runs else None
