"""Whatever happens between two batches and within one: rows, counts, figures and the search agree."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from console.collector.events import Event
from console.collector.fold import Fold
from console.core.errors import ConsoleError
from console.history.model import Measure
from console.history.schema import WordKind
from console.history.words import COUNTED_AT_MOST, GENERATION, CountedWords, WordNumbers
from console.history.writer import Batch, HistoryWriter
from tests.contract.history.agreement import assert_agrees

NOW = 1_790_000_000.0
KILLS = 6

kinds = st.sampled_from(
    ["sent", "received", "started", "retried", "succeeded", "failed", "revoked", "rejected"]
)
texts = st.one_of(
    st.none(),
    st.sampled_from(["", "('a', 1)", "{'Ärger': 'größer'}", "10.0.0.7", "a\x00b", "日本 x", "x" * 20_000]),
)
some_event = st.builds(
    Event,
    type=kinds.map(lambda kind: f"task-{kind}"),
    uuid=st.sampled_from(["t1", "t2", "t3"]),
    hostname=st.sampled_from([None, "celery@web-1", "celery@web-2"]),
    timestamp=st.sampled_from([None, NOW, NOW + 1, NOW + 2]),
    name=st.sampled_from([None, "a", "b"]), args=texts, kwargs=texts, result=texts,
    exception=st.sampled_from([None, "", "ValueError('a')", "ValueError('b 7')"]),
    queue=st.sampled_from([None, "q"]), retries=st.sampled_from([None, 0, 1]),
    runtime=st.sampled_from([None, 0.5]),
)  # fmt: skip


def agrees(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        assert_agrees(connection)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(batches=st.lists(st.lists(some_event, min_size=1, max_size=6), min_size=1, max_size=5), data=st.data())
def test_batches_that_fail_and_memories_that_are_lost_change_nothing(
    tmp_path_factory: Any, batches: list[list[Event]], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("writer") / "h.sqlite3"
    writer = HistoryWriter(path)
    fold = Fold(writer)
    for change, events in enumerate(batches, 1):
        fold.apply(events, received_at=NOW)
        if data.draw(st.booleans()):
            broken = fold.batch(change=change, alive=NOW)
            broken.workers = [None]  # type: ignore[list-item]
            with pytest.raises(AttributeError):
                writer.commit(broken)
            fold.apply(events[:1], received_at=NOW)
        writer.commit(fold.batch(change=change, alive=NOW))
        fold.stored()
        if data.draw(st.booleans()):
            fold = Fold(writer)
    assert fold.counts == writer.counts()
    writer.close(alive=NOW)
    agrees(path)


def test_a_writer_that_is_killed_again_and_again_leaves_all_in_agreement(tmp_path: Path) -> None:
    path, rng = tmp_path / "h.sqlite3", random.Random(7)
    changes = 0
    for number in range(KILLS):
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.contract.history.killed_writer", str(path), str(number)],
            stdout=subprocess.PIPE,
        )
        assert child.stdout
        try:
            for _ in range(rng.randrange(1, 8)):
                changes = int(child.stdout.readline())
            ends = time.monotonic() + rng.random() * 0.03
            while time.monotonic() < ends:
                pass
        finally:
            child.kill()
            child.wait()
            child.stdout.close()
        with closing(sqlite3.connect(path)) as connection:
            assert_agrees(connection)
            assert connection.execute("SELECT change FROM run").fetchone()[0] >= changes
            recent = "FROM tasks WHERE state = 3 AND at > ?"
            since = time.time() - 86_400
            succeeded = connection.execute(f"SELECT count(*) {recent}", (since,)).fetchone()[0]
            counted = connection.execute(
                "SELECT sum(n) FROM figures WHERE span = 60 AND kind = 0 AND measure = ? AND slot > ?",
                (Measure.SUCCEEDED, since // 60),
            ).fetchone()[0]
            assert succeeded == counted


def test_words_are_found_again_however_many_there_are(tmp_path: Path) -> None:
    writer = HistoryWriter(tmp_path / "h.sqlite3")
    words = WordNumbers(writer)
    numbers = {}
    for number in range(3 * GENERATION):
        numbers[number] = words.number(WordKind.NAME, f"task-{number}")
        if number % 1000 == 0:
            writer.commit(Batch(change=1, alive=NOW, words=words.rows()))
            words.stored()
    writer.commit(Batch(change=1, alive=NOW, words=words.rows()))
    words.stored()
    assert len(set(numbers.values())) == len(numbers)
    assert len(words._young) + len(words._old) <= 2 * GENERATION
    assert words.number(WordKind.NAME, "task-5") == numbers[5]
    assert words.number(WordKind.QUEUE, "task-5") not in numbers.values()
    assert words.number(WordKind.NAME, "") == 0
    again = WordNumbers(writer)
    assert again.number(WordKind.NAME, "task-77") == numbers[77]
    assert again.number(WordKind.NAME, "another") == max(numbers.values()) + 1
    clock = [0.0]
    counted = CountedWords(again, clock=lambda: clock[0])
    assert counted.number(WordKind.NAME, "task-77") == numbers[77]
    for number in range(COUNTED_AT_MOST):
        counted.number(WordKind.NAME, f"task-{number}")
    assert counted.number(WordKind.NAME, f"task-{COUNTED_AT_MOST}") == 0
    assert counted.number(WordKind.NAME, "task-77") == numbers[77]
    clock[0] += 90_000.0
    assert counted.number(WordKind.NAME, f"task-{COUNTED_AT_MOST}") == numbers[COUNTED_AT_MOST]
    with pytest.raises(ConsoleError):
        writer.commit(Batch(change=2, alive=NOW, words=[(numbers[1], WordKind.NAME, "taken")]))
    writer.close()
