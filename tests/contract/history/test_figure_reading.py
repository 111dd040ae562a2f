"""Figures read back: windows are put together exactly, gaps stay unknown, a week is read in no time."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from console.history.figure_reading import FigureReading, covering
from console.history.figures import FigureCounters
from console.history.model import Measure
from console.history.schema import WordKind, open_for_writing
from console.history.writer import Batch, HistoryWriter
from tests.own_time import own_times_s

NOW = 1_780_012_345.0
NAMES = {"shop.mail": 1, "shop.report": 2}
QUEUES = {"slow": 11, "fast": 12}
DAY_MINUTES = 1440


def words() -> list[tuple[int, int, str]]:
    return [(number, int(WordKind.NAME), name) for name, number in NAMES.items()] + [
        (number, int(WordKind.QUEUE), name) for name, number in QUEUES.items()
    ]


def stored(path: Path, ends: list[tuple[int, str, str]]) -> None:
    """Successes of half a second, each so many minutes ago, of a name and a queue."""
    counters = FigureCounters(NAMES.__getitem__, QUEUES.__getitem__)
    for ago, name, queue in ends:
        minute = int(NOW // 60) - ago
        counters.count(Measure.SUCCEEDED, minute, name, queue)
        counters.time(Measure.RUNTIME, minute, name, queue, 0.5)
    writer = HistoryWriter(path)
    writer.commit(Batch(change=1, alive=NOW, words=words(), figures=counters.take(NOW, everything=True)))
    writer.close()


@given(st.integers(0, 400 * DAY_MINUTES), st.integers(0, 10 * DAY_MINUTES), st.integers(0, 59))
def test_a_window_is_covered_once(start_minute: int, length: int, second: int) -> None:
    now_s = (start_minute + length) * 60 + second
    times: Counter[int] = Counter()
    for sign, span_s, slot in covering(start_minute * 60, now_s):
        for minute in range(slot * span_s // 60, (slot + 1) * span_s // 60):
            times[minute] += sign
    assert all(times[minute] == 1 for minute in range(start_minute, start_minute + length + 1))
    assert not any(n for minute, n in times.items() if minute < start_minute)


@given(st.integers(0, 10 * DAY_MINUTES))
def test_a_window_is_few_slots(start_minute: int) -> None:
    assert len(covering(start_minute * 60, (start_minute + 7 * DAY_MINUTES) * 60)) <= 8 + 13 + 3 + 9


def test_every_window_and_every_way_of_looking_agree(tmp_path: Path) -> None:
    chance = random.Random(5)
    ends = [
        (chance.randrange(9 * DAY_MINUTES), chance.choice(list(NAMES)), chance.choice(list(QUEUES)))
        for _ in range(3000)
    ]
    stored(tmp_path / "h.sqlite3", ends)
    with FigureReading(tmp_path / "h.sqlite3", now=lambda: NOW) as reader:
        for since_s, slot_s in ((300, 60), (3600, 60), (21_600, 300), (86_400, 900), (604_800, 7200)):
            first_minute = (int((NOW - since_s) // slot_s) + 1) * slot_s // 60
            inside = [one for one in ends if int(NOW // 60) - one[0] >= first_minute]
            slots = reader.series(since_s=since_s, slot_s=slot_s)
            assert sum(slot.succeeded for slot in slots) == len(inside)
            for name in NAMES:
                of_name = reader.series(since_s=since_s, slot_s=slot_s, name=name)
                assert sum(slot.ended for slot in of_name) == sum(one[1] == name for one in inside)
            names = {stat.word: stat for stat in reader.name_stats(since_s=since_s, slot_s=slot_s)}
            queues = {stat.word: stat for stat in reader.queue_stats(since_s=since_s, slot_s=slot_s)}
            by_name, by_queue = Counter(one[1] for one in inside), Counter(one[2] for one in inside)
            assert {word: stat.runs for word, stat in names.items()} == by_name
            assert {word: stat.runtime.count for word, stat in queues.items()} == by_queue


def test_gaps_are_no_zeros(tmp_path: Path) -> None:
    path = tmp_path / "h.sqlite3"
    stored(path, [(40, "shop.mail", "fast"), (10, "shop.mail", "fast")])
    writer = HistoryWriter(path)
    writer.open_gap(datetime.fromtimestamp(NOW - 1200, UTC), "cut", lost=7)
    writer.close_gap(datetime.fromtimestamp(NOW - 600, UTC))
    writer.close()
    with FigureReading(path, now=lambda: NOW) as reader:
        slots = reader.series(since_s=3600, slot_s=60)
        known = [slot.known for slot in slots]
        assert known[0] is False  # before the first figure
        assert known[21] is True  # nothing happened, and nothing was missed
        assert known[45] is False  # in the gap
        assert known[49] is True  # in the gap, but something was seen
        assert known[55] is True
        assert [gap.lost for gap in reader.gaps(since_s=3600)] == [7]
        assert reader.series(since_s=3600, slot_s=60, name="nobody")[55].runtime.p95_s is None


def test_a_week_of_200_names(tmp_path: Path) -> None:
    """As many rows as 1,000,000 tasks of 200 names make: durations in some thirty buckets for each."""
    path = tmp_path / "h.sqlite3"
    connection = open_for_writing(path)
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO words VALUES (?, 0, ?)", [(number, f"shop.task_{number}") for number in range(1, 201)]
    )
    for span_s, days in ((3600, 8), (86_400, 8)):
        connection.execute(
            "WITH RECURSIVE "
            "slots(slot) AS (SELECT ?2 UNION ALL SELECT slot + 1 FROM slots WHERE slot < ?3), "
            "words(word) AS (SELECT 1 UNION ALL SELECT word + 1 FROM words WHERE word < 200), "
            "codes(code) AS (SELECT 0 UNION ALL SELECT code + 1 FROM codes WHERE code < 35) "
            "INSERT INTO figures SELECT ?1, slot, 1, word, "
            "CASE WHEN code < 3 THEN code ELSE 6 + code % 2 END, "
            "CASE WHEN code < 3 THEN -1 ELSE 40 + code END, 1 FROM slots, words, codes",
            (span_s, int((NOW - days * 86_400) // span_s), int(NOW // span_s)),
        )
    connection.execute("COMMIT")
    connection.close()
    with FigureReading(path, now=lambda: NOW) as reader:
        reader.name_stats(since_s=3600, slot_s=7200)
        took_s = min(own_times_s(*[lambda: reader.name_stats(since_s=604_800, slot_s=7200)] * 3))
        assert len(reader.name_stats(since_s=604_800, slot_s=7200)) == 200
    assert took_s < 0.25, f"{took_s * 1000:.0f} ms"
