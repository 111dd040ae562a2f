"""Which tasks of a real history are looked for, and when."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from console.collector.events import Event
from console.collector.fold import Fold
from console.collector.reconcile_suspects import ROWS_PER_STATE, Suspects, Timings
from console.history.marks import verdict_mark
from console.history.model import TaskState
from console.history.writer import HistoryWriter

NOW = 1_790_000_000.0
TIMINGS = Timings(quiet_s=60.0, sent_quiet_s=120.0, eta_quiet_s=300.0)


class History:
    """A history that is written while suspects are read from it."""

    def __init__(self, path: Path) -> None:
        self.writer = HistoryWriter(path)
        self.fold = Fold(self.writer)
        self.suspects = Suspects(path, TIMINGS)

    def tell(self, *events: Event) -> None:
        self.fold.apply(events, received_at=NOW)
        self.store()

    def store(self) -> None:
        self.writer.commit(self.fold.batch(change=1, alive=NOW))
        self.fold.stored()

    def due(self, after_s: float) -> set[str]:
        return {suspect.id for suspect in self.suspects.due(NOW + after_s)}


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    history = History(tmp_path / "h.sqlite3")
    yield history
    history.suspects.close()
    history.writer.close(alive=NOW)


def event(kind: str, task: str, at: float = 0.0, **more: Any) -> Event:
    host = "gen1@api" if kind == "sent" else "celery@web"
    return Event(f"task-{kind}", uuid=task, hostname=host, timestamp=NOW + at, pid=7, **more)


def test_each_state_has_its_patience(history: History) -> None:
    history.tell(
        event("sent", "waits", queue="mail"),
        event("received", "reserved"),
        event("received", "runs"), event("started", "runs", 30),
        event("received", "over"), event("succeeded", "over", 1),
    )  # fmt: skip
    assert history.due(59) == set()
    assert history.due(61) == {"reserved"}
    assert history.due(91) == {"reserved", "runs"}
    assert history.due(121) == {"reserved", "runs", "waits"}


def test_a_task_whose_time_is_to_come_is_looked_at_later(history: History) -> None:
    hour = "2026-09-21T15:13:20+00:00"  # an hour after NOW, which is 14:13:20
    history.tell(event("received", "eta", eta=hour), event("sent", "naive", eta=hour[:19], queue="mail"))
    assert history.due(299) == set()
    assert history.due(301) == {"eta", "naive"}
    assert history.due(3610) == set()
    assert history.due(3661) == {"eta"}


def test_a_clock_that_is_ahead_is_measured_by_ours(history: History) -> None:
    history.tell(event("started", "ahead", 86_400.0))
    assert history.due(0) == set()
    assert history.due(59) == set()
    assert history.due(86_400.0 * 2) == {"ahead"}


def test_what_was_found_is_no_event_and_a_lost_task_is_looked_at_again(history: History) -> None:
    history.tell(event("received", "lost"))
    history.fold.verdict("lost", verdict_mark(TaskState.LOST, NOW + 70, "Gone.", events=1))
    history.store()
    (suspect,) = history.suspects.due(NOW + 100)
    assert (suspect.state, suspect.told, suspect.events) == (TaskState.LOST, TaskState.RECEIVED, 1)
    assert history.due(TIMINGS.lost_again_s + 100) == set()


def test_a_new_event_begins_the_wait_anew(history: History) -> None:
    history.tell(event("received", "a"))
    (suspect,) = history.suspects.due(NOW + 61)
    history.suspects.records[suspect.id].due = NOW + 1000
    assert history.due(200) == set()
    history.tell(event("started", "a", 190))
    assert history.due(200) == set()
    assert history.due(251) == {"a"}


def test_a_backlog_is_walked_a_part_at_a_time(history: History) -> None:
    history.tell(*(event("sent", f"t{n}", n / 1000, queue="mail") for n in range(ROWS_PER_STATE * 2 + 10)))
    parts = [history.due(500) for _ in range(4)]
    assert [len(part) for part in parts] == [ROWS_PER_STATE, ROWS_PER_STATE, 10, ROWS_PER_STATE]
    assert parts[0] == parts[3]
    assert len(set.union(*parts)) == ROWS_PER_STATE * 2 + 10


def test_what_is_known_of_workers_queues_and_gaps(history: History) -> None:
    history.tell(
        event("sent", "a", queue="mail"),
        event("received", "a", 5),
        Event("worker-heartbeat", hostname="celery@web", timestamp=NOW, freq=2.0, pid=7),
    )
    assert set(history.suspects.workers()) == {"celery@web"}
    assert history.suspects.queues() == ("mail",)
    assert history.suspects.heard(NOW + 10)["celery@web"] == NOW + 5
    assert history.suspects.gaps() == ()


def test_what_is_due_is_remembered_even_when_there_is_too_much(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.collector.reconcile_suspects.MOST_RECORDS", 10)
    history.tell(*(event("received", f"t{number}", number / 100) for number in range(8)))
    assert len(history.due(100)) == 8
    history.tell(*(event("received", f"u{number}", 1 + number / 100) for number in range(8)))
    due = history.due(120)
    assert len(due) == 16
    assert due <= history.suspects.records.keys()
