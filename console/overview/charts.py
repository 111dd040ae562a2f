"""Slots of time as the charts want them: words under the axis, heads of tooltips, series."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo

from console.history.model import Percentiles
from console.overview.model import Slot, Span
from console.overview.view_model import Duration
from console.widgets.charts import Series


def axis(slots: Sequence[Slot], span: Span, zone: tzinfo) -> tuple[list[str], list[str]]:
    """The words under each slot and the head of its tooltip, in the person's zone."""
    labels, titles = [], []
    for slot in slots:
        start, end = slot.start.astimezone(zone), slot.end.astimezone(zone)
        day = f"{start.day} {start:%b} "
        labels.append(f"{day}{start:%H}h" if span is Span.WEEK else f"{start:%H:%M}")
        shown = day if span in (Span.DAY, Span.WEEK) else ""
        titles.append(f"{shown}{start:%H:%M} – {end:%H:%M}")
    return labels, titles


def throughput(slots: Sequence[Slot]) -> list[Series]:
    """Ends per minute in each slot; trouble lies at the bottom so that it shares a baseline."""
    return [
        Series("Failed", "failed", [_per_minute(slot, slot.failed) for slot in slots]),
        Series("Retrying", "retrying", [_per_minute(slot, slot.retried) for slot in slots]),
        Series("Other", "other", [_per_minute(slot, slot.other) for slot in slots]),
        Series("Succeeded", "succeeded", [_per_minute(slot, slot.succeeded) for slot in slots]),
    ]


def _per_minute(slot: Slot, count: int | None) -> float | None:
    if count is None:
        return None
    return count / max((slot.end - slot.start).total_seconds() / 60.0, 1.0)


def durations(slots: Sequence[Slot], duration: Duration) -> list[Series]:
    """The percentiles of runtime or of the wait in the queue, seconds."""
    parts: list[Percentiles] = [slot.runtime if duration is Duration.RUNTIME else slot.wait for slot in slots]
    return [
        Series("p50", "p50", [part.p50_s for part in parts]),
        Series("p95", "p95", [part.p95_s for part in parts]),
        Series("p99", "p99", [part.p99_s for part in parts]),
    ]
