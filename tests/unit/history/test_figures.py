"""Counters of figures: what is stored with each batch, what later, and that a killed run loses nothing."""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from collections.abc import Iterable

from console.history.figures import (
    ALL_EVERY_S,
    FEW,
    KEPT_S,
    KEPT_STEPS,
    PLAIN,
    SPANS_S,
    FigureBatch,
    FigureCounters,
    FigureKind,
    prune_figures,
    store_figures,
)
from console.history.model import Measure

MINUTE = 29_000_000
NOW = MINUTE * 60.0
MAIL, REPORT = "shop.mail", "shop.report"
SLOW, FAST = "slow", "fast"


class Words:
    """Numbers in the order in which they are asked for."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def __call__(self, word: str) -> int:
        return self._numbers.setdefault(word, len(self._numbers) + 1)


def counting(words: Words | None = None, kept: Iterable[bytes] = ()) -> FigureCounters:
    words = words or Words()
    return FigureCounters(words, words, kept=kept)


def database() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute(
        "CREATE TABLE figures (span INTEGER NOT NULL, slot INTEGER NOT NULL, kind INTEGER NOT NULL, "
        "word INTEGER NOT NULL, measure INTEGER NOT NULL, bucket INTEGER NOT NULL, n INTEGER NOT NULL, "
        "PRIMARY KEY (span, slot, kind, word, measure, bucket)) WITHOUT ROWID"
    )
    connection.execute("CREATE TABLE figure_steps (number INTEGER PRIMARY KEY, counts BLOB NOT NULL)")
    return connection


def store(connection: sqlite3.Connection, counters: FigureCounters, now_s: float) -> FigureBatch:
    batch = counters.take(now_s)
    store_figures(connection, batch)
    counters.stored()
    return batch


def kept_steps(connection: sqlite3.Connection) -> list[bytes]:
    return [row[0] for row in connection.execute(KEPT_STEPS)]


def sums(connection: sqlite3.Connection, span: int, kind: int) -> dict[tuple[int, int, int], int]:
    rows = connection.execute(
        "SELECT slot, word, measure, sum(n) FROM figures WHERE span = ? AND kind = ? GROUP BY 1, 2, 3",
        (span, kind),
    )
    return {(slot, word, measure): n for slot, word, measure, n in rows if n}


def test_each_span_and_kind_has_its_rows() -> None:
    connection, words = database(), Words()
    counters = counting(words)
    counters.count(Measure.SUCCEEDED, MINUTE, MAIL, FAST)
    counters.count(Measure.SUCCEEDED, MINUTE + 1, MAIL, "")
    counters.time(Measure.RUNTIME, MINUTE, MAIL, FAST, 0.5)
    store(connection, counters, NOW)
    for span in SPANS_S:
        slots = {MINUTE * 60 // span, (MINUTE + 1) * 60 // span}
        totals = sums(connection, span, FigureKind.ALL)
        assert {slot for slot, _, _ in totals} == slots
        assert sum(n for (_, _, measure), n in totals.items() if measure == Measure.SUCCEEDED) == 2
        by_queue = sums(connection, span, FigureKind.QUEUE)
        assert by_queue == {
            (MINUTE * 60 // span, words(FAST), Measure.SUCCEEDED): 1,
            (MINUTE * 60 // span, words(FAST), Measure.RUNTIME): 1,
        }
    buckets = connection.execute("SELECT DISTINCT measure, bucket < 0 FROM figures ORDER BY measure")
    assert buckets.fetchall() == [(Measure.SUCCEEDED, 1), (Measure.RUNTIME, 0)]


def test_the_minutes_of_everything_are_there_at_once_and_the_rest_soon() -> None:
    connection, words = database(), Words()
    counters = counting(words)
    for name in range(FEW + 9):
        counters.count(Measure.SENT, MINUTE, str(name), FAST)
    assert store(connection, counters, NOW).forget  # the first batch of a run holds nothing up
    for name in range(FEW + 9):
        counters.count(Measure.SENT, MINUTE, str(name), FAST)
    batch = store(connection, counters, NOW + 1)
    assert (len(batch.rows), batch.forget) == (1, False)
    assert len(kept_steps(connection)) == 1
    assert sums(connection, 60, FigureKind.ALL) == {(MINUTE, 0, Measure.SENT): 2 * (FEW + 9)}
    assert sums(connection, 60, FigureKind.QUEUE) == {(MINUTE, words(FAST), Measure.SENT): FEW + 9}
    assert not counters.fresh
    assert store(connection, counters, NOW + ALL_EVERY_S).forget
    assert kept_steps(connection) == []
    assert sums(connection, 3600, FigureKind.QUEUE) == {
        (MINUTE // 60, words(FAST), Measure.SENT): 2 * (FEW + 9)
    }
    assert not counters.take(NOW + 2 * ALL_EVERY_S).forget


def test_what_was_taken_back_leaves_nothing() -> None:
    connection, words = database(), Words()
    counters = counting(words)
    counters.count(Measure.OTHER, MINUTE, MAIL, "")
    store(connection, counters, NOW)
    counters.count(Measure.OTHER, MINUTE, MAIL, "", n=-1)
    counters.count(Measure.OTHER, MINUTE, MAIL, FAST)
    store(connection, counters, NOW + 30)
    assert sums(connection, 60, FigureKind.ALL) == {(MINUTE, 0, Measure.OTHER): 1}
    assert sums(connection, 3600, FigureKind.NAME) == {(MINUTE // 60, words(MAIL), Measure.OTHER): 1}
    assert sums(connection, 3600, FigureKind.QUEUE) == {(MINUTE // 60, words(FAST), Measure.OTHER): 1}


def test_a_batch_that_could_not_be_stored_is_taken_again() -> None:
    connection, words = database(), Words()
    counters = counting(words)
    counters.count(Measure.SENT, MINUTE, MAIL, FAST)
    counters.take(NOW)
    counters.count(Measure.SENT, MINUTE, MAIL, FAST)
    assert counters.fresh
    store(connection, counters, NOW)
    assert sums(connection, 60, FigureKind.NAME) == {(MINUTE, words(MAIL), Measure.SENT): 2}


def test_a_run_that_was_killed_anywhere_loses_nothing_and_repeats_nothing() -> None:
    chance = random.Random(4)
    connection, truth = database(), Counter[tuple[int, str, str]]()
    words = Words()
    counters, now_s = counting(words), NOW
    for _ in range(400):
        for _ in range(chance.randrange(8)):
            minute = int(now_s // 60) - chance.randrange(3)
            name, queue = chance.choice(("", MAIL, REPORT)), chance.choice(("", FAST, SLOW))
            counters.time(Measure.WAIT, minute, name, queue, chance.random())
            truth[minute, name, queue] += 1
        store(connection, counters, now_s)
        now_s += chance.choice((0.1, 0.5, 2.0))
        if chance.random() < 0.1:
            counters = counting(words, kept_steps(connection))
    store_figures(connection, counters.take(now_s, everything=True))
    for span in SPANS_S:
        expected = Counter[tuple[int, int, int]]()
        for (minute, name, _queue), n in truth.items():
            if name:
                expected[minute * 60 // span, words(name), Measure.WAIT] += n
        assert sums(connection, span, FigureKind.NAME) == expected
        assert sum(sums(connection, span, FigureKind.ALL).values()) == sum(truth.values())


def test_old_slots_go() -> None:
    connection, words = database(), Words()
    counters = counting(words)
    counters.count(Measure.SENT, MINUTE, MAIL, FAST)
    store(connection, counters, NOW)
    prune_figures(connection, NOW + KEPT_S[60] + 120)
    kept = {row[0] for row in connection.execute("SELECT DISTINCT span FROM figures")}
    assert kept == {900, 3600, 86_400}
    assert PLAIN == -1
