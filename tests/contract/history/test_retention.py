"""What is too old or too much goes, everywhere at once, and the disk gets its space back."""

from __future__ import annotations

import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from console.collector.events import Event
from console.collector.fold import Fold
from console.collector.upkeep import WORK_S, Upkeep
from console.history.bounds import Retention
from console.history.model import TaskState
from console.history.reader import HistoryReader
from console.history.retention import DAY_S, LEAST_BYTES, Trimming
from console.history.schema import WordKind
from console.history.writer import HistoryWriter
from tests.contract.history.agreement import assert_agrees

NOW = 1_790_000_000.0
WEB = "celery@web-1"


def task_id(number: int) -> str:
    return str(uuid.UUID(int=number * 7919 + 5))


def life(number: int, at: float, *, name: str = "shop.send") -> list[Event]:
    own = task_id(number)
    args = f"('order-{number}', 'someone-{number % 997}@example.org')"
    events = [
        Event(
            type="task-sent", uuid=own, hostname="gen@api", timestamp=at, name=name, args=args,
            kwargs="{'copy': True}", queue="mail",
        ),
        Event(type="task-received", uuid=own, hostname=WEB, timestamp=at + 0.1, name=name, args=args,
              kwargs="{'copy': True}"),
        Event(type="task-started", uuid=own, hostname=WEB, timestamp=at + 0.2),
    ]  # fmt: skip
    if number % 10 == 3:
        exception = f"OSError('disk {number} is full')"
        return [
            *events,
            Event(type="task-failed", uuid=own, hostname=WEB, timestamp=at + 1, exception=exception),
        ]
    result = f"'sent-{number}'"
    return [
        *events,
        Event(type="task-succeeded", uuid=own, hostname=WEB, timestamp=at + 1, result=result, runtime=0.8),
    ]


class Histories:
    """A history with its fold, as the collector has them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writer = HistoryWriter(path)
        self.fold = Fold(self.writer)
        self.change = 0

    def store(self, events: list[Event]) -> None:
        self.change += 1
        self.fold.apply(events, received_at=NOW)
        self.writer.commit(self.fold.batch(change=self.change, alive=NOW))
        self.fold.stored()

    def fill(self, numbers: range, at: float, every: float = 0.01) -> None:
        for first in range(numbers.start, numbers.stop, 2000):
            events: list[Event] = []
            for number in range(first, min(first + 2000, numbers.stop)):
                events += life(number, at + (number - numbers.start) * every)
            self.store(events)

    def trim(self, trimming: Trimming, now: float = NOW) -> int:
        """Work until nothing is left to do; how many tasks went."""
        gone = 0
        while (removed := trimming.step(now)).more or removed.words:
            self.fold.removed(removed)
            gone += len(removed.ids)
        return gone


@pytest.fixture
def history(tmp_path: Path) -> Iterator[Histories]:
    made = Histories(tmp_path / "h.sqlite3")
    yield made
    made.writer.close()


def agrees(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        assert_agrees(connection)


def test_what_is_too_old_goes_with_all_that_belongs_to_it(history: Histories) -> None:
    old, new = NOW - 20 * DAY_S, NOW - DAY_S
    history.fill(range(3000), old)
    history.store(life(9001, old, name="gone.task"))
    history.fill(range(5000, 5500), new)
    gone = history.trim(history.writer.trimming(Retention(days=14)))
    assert gone == 3001
    agrees(history.path)
    with HistoryReader(history.path, now=lambda: NOW) as reader:
        assert sum(reader.totals().values()) == sum(history.fold.counts.values()) == 500
        assert reader.detail(task_id(7)) is None
        assert reader.detail(task_id(5007)) is not None
    with closing(sqlite3.connect(history.path)) as connection:

        def found(table: str, words: str) -> list[tuple[int]]:
            return connection.execute(f"SELECT rowid FROM {table} WHERE {table} MATCH ?", (words,)).fetchall()

        assert found("call", '"order 7"') == found("outcome", '"disk 13"') == []
        assert len(found("call", '"order 5007"')) == 1
        spans = connection.execute("SELECT DISTINCT span FROM figures WHERE slot * span < ?", (old + DAY_S,))
        assert {row[0] for row in spans} == {3600, 86400}  # those are worth keeping for longer


def test_what_comes_for_a_removed_task_begins_a_row_of_its_own(history: Histories) -> None:
    history.store(life(1, NOW - 20 * DAY_S)[:2])
    assert history.trim(history.writer.trimming(Retention(days=14))) == 1
    history.store([Event(type="task-started", uuid=task_id(1), hostname=WEB, timestamp=NOW)])
    agrees(history.path)
    assert history.fold.counts[TaskState.STARTED] == 1


def test_words_that_nothing_uses_go_and_their_numbers_are_not_used_again(history: Histories) -> None:
    history.store(life(3, NOW - 200 * DAY_S, name="once.only"))
    before = history.writer.next_word()
    history.store(life(5, NOW))
    history.trim(history.writer.trimming(Retention(days=14)))
    assert history.writer.word_id(WordKind.ERROR, "OSError: disk # is full") == 0
    history.store(life(13, NOW, name="once.only"))
    assert history.writer.word_id(WordKind.ERROR, "OSError: disk # is full") >= before
    agrees(history.path)


def test_a_history_that_is_too_large_shrinks_on_the_disk_while_it_is_read(history: Histories) -> None:
    history.fill(range(40_000), NOW - 3600.0)
    full = history.path.stat().st_size
    bound = LEAST_BYTES + 2 * 1024 * 1024
    assert full > bound * 1.2
    stop, pages, problems = threading.Event(), [0], []

    def look() -> None:
        with closing(sqlite3.connect(f"{history.path.as_uri()}?mode=ro", uri=True)) as connection:
            while not stop.is_set():
                rows = connection.execute(
                    "SELECT tasks.rowid, texts.args FROM tasks LEFT JOIN texts USING (rowid) "
                    "ORDER BY at LIMIT 200"
                ).fetchall()
                if len(rows) != 200 or any(args is None for _, args in rows):
                    problems.append(len(rows))
                pages[0] += 1

    window = threading.Thread(target=look, name="window")
    window.start()
    try:
        upkeep = Upkeep(history.writer, history.fold, Retention(days=14, max_bytes=bound), now=lambda: NOW)
        longest, number = 0.0, 40_000
        deadline = time.monotonic() + 120
        while True:
            began = time.monotonic()
            upkeep.work(0)
            longest = max(longest, time.monotonic() - began)
            if not upkeep.busy:
                break
            history.fill(range(number, number + 20), NOW, 0.0)  # the stream goes on
            number += 20
            assert time.monotonic() < deadline
    finally:
        stop.set()
        window.join()
    assert not problems
    assert pages[0] > 10
    history.writer.close()
    assert history.path.stat().st_size <= bound
    assert history.path.stat().st_size >= bound * 0.6
    agrees(history.path)
    history.writer = HistoryWriter(history.path)
    assert history.writer.counts() == history.fold.counts
    assert longest < WORK_S + 1.0  # the bench tells how long it really takes
    with HistoryReader(history.path) as reader:
        assert reader.detail(task_id(number - 1)) is not None
        assert reader.detail(task_id(0)) is None


def test_a_task_of_which_no_instant_is_known_goes_with_those_that_came_before(history: Histories) -> None:
    """The clock of its worker stands in 1970: no event of it says when it was."""
    history.store(life(1, NOW - 20 * DAY_S) + life(2, 0.0) + life(3, NOW - 3 * DAY_S))
    history.store(life(4, 5.0))
    assert history.trim(history.writer.trimming(Retention(days=14))) == 2
    history.store(life(5, NOW - DAY_S) + life(6, 0.0))
    agrees(history.path)
    with HistoryReader(history.path) as reader:
        assert [reader.detail(task_id(number)) is not None for number in range(1, 7)] == [
            False, False, True, True, True, True,
        ]  # fmt: skip
    assert history.trim(history.writer.trimming(Retention(days=2))) == 2
    assert sum(history.fold.counts.values()) == 2
    agrees(history.path)


def test_the_figures_of_very_many_names_leave_room_for_tasks(history: Histories) -> None:
    history.fill(range(500), NOW - 100)
    minute = int(NOW // 60)
    with closing(sqlite3.connect(history.path)) as other:
        other.executemany("INSERT INTO words VALUES (?, 0, ?)", [(n, f"name_{n}") for n in range(1000, 1400)])
        other.executemany(
            "INSERT INTO figures VALUES (60, ?, 1, ?, 2, -1, 1)",
            ((minute - ago, word) for ago in range(2000) for word in range(1000, 1400)),
        )
        other.commit()
        size: int = other.execute("PRAGMA page_count").fetchone()[0] * 4096
    assert size > LEAST_BYTES
    trimming = history.writer.trimming(Retention(max_bytes=LEAST_BYTES))
    assert history.trim(trimming) == 0
    assert sum(history.fold.counts.values()) == 500
    with closing(sqlite3.connect(history.path)) as other:
        last = "SELECT count(DISTINCT word) FROM figures WHERE span = 60 AND slot > ? AND kind = 1"
        assert other.execute(last, (minute - 10,)).fetchone() == (401,)
        assert other.execute("PRAGMA page_count").fetchone()[0] * 4096 < LEAST_BYTES
    agrees(history.path)
