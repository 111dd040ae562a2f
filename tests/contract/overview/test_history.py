"""The overview's readings on a history that the real writer has made."""

from __future__ import annotations

import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

from console.history.buckets import bucket_of
from console.history.model import Measure
from console.history.schema import WordKind
from console.history.writer import Batch, HistoryWriter
from console.overview.gateway import HistoryOverview
from console.overview.model import HistoryRead, Span, rates_of, slots_of
from tests.own_time import own_times_s

PLAIN = -1


def write(path: Path, *, minutes: int, names: int) -> None:
    """So many minutes up to now in which each task name ended 10 times well and once badly."""
    last = int(time.time() // 60)
    counts: dict[tuple[int, str, int, int], int] = {}
    for minute in range(last - minutes + 1, last + 1):
        for number in range(names):
            name = f"shop.tasks.task_{number}"
            counts[minute, name, Measure.SUCCEEDED, PLAIN] = 10
            counts[minute, name, Measure.FAILED, PLAIN] = 1
            counts[minute, name, Measure.RUNTIME, bucket_of(0.5)] = 10
            counts[minute, name, Measure.WAIT, bucket_of(0.1)] = 10
    words = {f"shop.tasks.task_{number}": number + 1 for number in range(names)}
    figures: defaultdict[tuple[int, ...], int] = defaultdict(int)
    for (minute, name, measure, bucket), count in counts.items():
        figures[60, minute, 0, 0, measure, bucket] += count
        figures[60, minute, 1, words[name], measure, bucket] += count
    writer = HistoryWriter(path)
    writer.commit(
        Batch(
            change=1,
            alive=time.time(),
            words=[(number, WordKind.NAME, word) for word, number in words.items()],
            figures=[(*key, count) for key, count in figures.items()],  # type: ignore[misc]
        )
    )
    writer.close()


def test_nothing_yet_is_no_error(tmp_path: Path) -> None:
    history = HistoryOverview(tmp_path / "none.sqlite3")
    assert history.read(Span.HOUR, None) == HistoryRead()
    history.close()


def test_an_hour_and_one_name_of_it(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    write(path, minutes=30, names=3)
    history = HistoryOverview(path)
    read = history.read(Span.HOUR, "shop.tasks.task_1")
    history.close()

    slots = slots_of(read.minutes, Span.HOUR.slot_minutes)
    assert len(slots) == 60
    assert slots[0].succeeded is None
    assert (slots[-2].succeeded, slots[-2].failed) == (30, 3)
    assert read.named is not None
    assert (read.named[-2].succeeded, read.named[-2].failed) == (10, 1)
    assert {stat.name for stat in read.stats} == {f"shop.tasks.task_{n}" for n in range(3)}
    assert slots[-2].runtime.p95_s is not None
    assert abs(slots[-2].runtime.p95_s - 0.5) < 0.06
    rates = rates_of(read.minutes, datetime.now(UTC) + timedelta(microseconds=1))
    assert rates.tasks is not None
    assert rates.tasks >= 33
    assert not rates.failures_rise


def test_a_week_is_read_in_time(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    write(path, minutes=10_080, names=5)
    history = HistoryOverview(path)
    reads: list[HistoryRead] = []
    (took_s,) = own_times_s(lambda: reads.append(history.read(Span.WEEK, None)))
    (read,) = reads
    history.close()
    slots = slots_of(read.minutes, Span.WEEK.slot_minutes)
    assert len(slots) in (84, 85)
    assert slots[10].succeeded == 120 * 5 * 10
    assert took_s < 3.0, f"{took_s:.1f} s"
