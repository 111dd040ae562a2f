"""The overview's readings on a history that the real writer has made."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from console.collector.events import Event
from console.collector.fold import Fold
from console.history.figures import FigureCounters
from console.history.marks import verdict_mark
from console.history.model import Measure, TaskState
from console.history.schema import WordKind
from console.history.writer import Batch, HistoryWriter
from console.overview.gateway import HistoryOverview
from console.overview.model import HistoryRead, Scope, Span, rates_of
from tests.own_time import own_times_s


def write(path: Path, *, minutes: int, names: int) -> None:
    """So many minutes up to now in which each task name ended 10 times well and once badly."""
    last = int(time.time() // 60)
    words = {f"shop.tasks.task_{number}": number + 1 for number in range(names)}
    counters = FigureCounters(words.__getitem__, lambda _queue: 1000)
    for minute in range(last - minutes + 1, last + 1):
        for name in words:
            counters.count(Measure.SUCCEEDED, minute, name, "mail", 10)
            counters.count(Measure.FAILED, minute, name, "mail", 1)
            counters.time(Measure.RUNTIME, minute, name, "mail", 0.5, 10)
            counters.time(Measure.WAIT, minute, name, "mail", 0.1, 10)
    writer = HistoryWriter(path)
    writer.commit(
        Batch(
            change=1,
            alive=time.time(),
            words=[
                (1000, int(WordKind.QUEUE), "mail"),
                *((number, int(WordKind.NAME), name) for name, number in words.items()),
            ],
            figures=counters.take(time.time(), everything=True),
        )
    )
    writer.close()


def read(path: Path, span: Span, scope: Scope) -> HistoryRead:
    history = HistoryOverview(path)
    found = history.read(span, scope)
    history.close()
    assert found is not None
    return found


def test_nothing_yet_is_no_error(tmp_path: Path) -> None:
    history = HistoryOverview(tmp_path / "none.sqlite3")
    assert history.read(Span.HOUR, Scope()) is None
    history.close()


def test_an_hour_with_its_names_and_queues(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    write(path, minutes=30, names=3)
    found = read(path, Span.HOUR, Scope())
    slots = found.slots
    assert len(slots) == 60
    assert not slots[0].known
    assert (slots[-2].succeeded, slots[-2].failed) == (30, 3)
    assert {stat.word for stat in found.names} == {f"shop.tasks.task_{n}" for n in range(3)}
    assert [(stat.word, stat.failed) for stat in found.queues] == [("mail", 90)]
    assert slots[-2].runtime.p95_s is not None
    assert abs(slots[-2].runtime.p95_s - 0.5) < 0.06
    assert found.errors == ()
    assert not rates_of(found.minutes, slots[-1].end).failures_rise


def test_one_name_and_one_queue(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    write(path, minutes=30, names=3)
    by_name = read(path, Span.MINUTES_5, Scope(name="shop.tasks.task_1"))
    assert (by_name.slots[-2].succeeded, by_name.slots[-2].failed) == (10, 1)
    assert by_name.minutes[-2].succeeded == 30
    by_queue = read(path, Span.MINUTES_5, Scope(queue="mail"))
    assert by_queue.slots[-2].succeeded == 30
    unknown = read(path, Span.MINUTES_5, Scope(name="nobody"))
    assert [slot.ended for slot in unknown.slots] == [0] * len(unknown.slots)


def test_a_week_is_read_in_time(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    write(path, minutes=10_080, names=5)
    reads: list[HistoryRead] = []
    (took_s,) = own_times_s(lambda: reads.append(read(path, Span.WEEK, Scope())))
    (found,) = reads
    assert len(found.slots) == 84
    assert found.slots[10].succeeded == 120 * 5 * 10
    assert sum(stat.runs for stat in found.names) == sum(slot.ended for slot in found.slots)
    assert took_s < 0.3, f"{took_s:.1f} s"


def test_what_fails_and_what_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    writer = HistoryWriter(path)
    fold, now = Fold(writer), time.time()
    for number in range(8):
        shared: dict[str, Any] = {"uuid": f"t{number}", "timestamp": now - 30, "hostname": "celery@a"}
        refused = [Event(type="task-rejected", requeue=False, **shared)] if number % 2 else []
        fold.apply(
            [
                Event(type="task-received", name="shop.refuse", **shared),
                Event(type="task-failed", exception=f"ValueError('{number}')", **shared),
                *refused,
            ],
            received_at=now,
        )
    fold.apply(
        [Event(type="task-received", uuid="lost", name="shop.gone", timestamp=now - 60)], received_at=now
    )
    fold.verdict("lost", verdict_mark(TaskState.LOST, now, "It is nowhere", events=1))
    writer.commit(fold.batch(change=1, alive=now))
    writer.close()
    found = read(path, Span.HOUR, Scope())
    assert [(stat.word, stat.failed, stat.other) for stat in found.names if stat.runs] == [
        ("shop.refuse", 8, 0)
    ]
    assert found.errors == (("shop.refuse", 1),)
    assert found.lost == 1
