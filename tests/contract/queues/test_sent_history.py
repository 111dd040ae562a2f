"""What queues and workers ask of the history, against the database that the collector writes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from console.core.errors import Cause, ConsoleError
from console.history.ids import pack_id
from console.history.marks import CODE_OF
from console.history.model import TaskState
from console.history.schema import WordKind, open_for_writing
from console.queues.sent_history import NewlySent, SentHistory, SqliteSentHistory
from console.workers.task_history import SqliteWorkerHistory
from tests.unit.queues.fakes import FakeHistory

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
UUID = "4b86b8bd-54f0-41c1-8a77-000000018794"


class RealHistory:
    """Writes rows as the collector does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connection = open_for_writing(path)

    def add(
        self, queue: str, task_id: str, sent: datetime | None, *, worker: str = "", failed: bool = False
    ) -> None:
        values: dict[str, object] = dict.fromkeys(("received", "started", "ended", "waited", "runtime"), 0.0)
        values |= dict.fromkeys(("name", "retries", "change", "error"), 0)
        values |= {"id": pack_id(task_id)}
        values |= {"queue": self.word(WordKind.QUEUE, queue), "worker": self.word(WordKind.WORKER, worker)}
        values["state"] = CODE_OF[TaskState.FAILED if failed else TaskState.SENT]
        values["sent"] = sent.timestamp() if sent is not None else 0.0
        values["at"] = (sent or NOON).timestamp()
        values["received"] = values["at"] if worker else 0.0
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        self.connection.execute(f"INSERT INTO tasks ({names}) VALUES ({marks})", tuple(values.values()))

    def word(self, kind: WordKind, word: str) -> int:
        if not word:
            return 0
        self.connection.execute("INSERT OR IGNORE INTO words (kind, word) VALUES (?, ?)", (kind, word))
        found = self.connection.execute("SELECT id FROM words WHERE kind = ? AND word = ?", (kind, word))
        number: int = found.fetchone()[0]
        return number


class World:
    def __init__(self, kind: str, folder: Path) -> None:
        self.real = RealHistory(folder / "h.sqlite3") if kind == "real" else None
        self.fake = FakeHistory()
        self.history: SentHistory = SqliteSentHistory(self.real.path) if self.real else self.fake

    def add(self, queue: str, task_id: str, sent: datetime) -> None:
        if self.real is not None:
            self.real.add(queue, task_id, sent)
        else:
            self.fake.rows.append((queue, task_id, sent))


@pytest.fixture(params=["fake", "real"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return World(request.param, tmp_path)


def test_counts_what_was_sent_since(world: World) -> None:
    assert world.history.newly_sent(None, ["mail"]) == NewlySent(0, {}, frozenset())
    for number in range(5):
        world.add("mail" if number else "celery", f"id-{number}", NOON)
    first = world.history.newly_sent(None, ["mail", "celery", "other"])
    assert first == NewlySent(5, {}, frozenset({"mail", "celery"}))
    assert world.history.newly_sent(2, ["mail"]) == NewlySent(5, {"mail": 3}, frozenset({"mail"}))
    assert world.history.newly_sent(5, []) == NewlySent(5, {}, frozenset())


def test_tells_when_tasks_were_sent(world: World) -> None:
    world.add("mail", UUID, NOON)
    world.add("mail", "no-uuid", NOON + timedelta(seconds=1.5))
    assert world.history.sent_at([UUID, "no-uuid", "unknown"]) == {
        UUID: NOON,
        "no-uuid": NOON + timedelta(seconds=1.5),
    }
    assert world.history.sent_at([]) == {}


def test_rows_without_a_sent_event_are_not_counted(tmp_path: Path) -> None:
    real = RealHistory(tmp_path / "h.sqlite3")
    real.add("", "received-only", None, worker="one@h")
    history = SqliteSentHistory(real.path)
    assert history.newly_sent(0, ["mail"]) == NewlySent(1, {}, frozenset())
    assert history.sent_at(["received-only"]) == {}


def test_no_history_is_said(tmp_path: Path) -> None:
    for ask in (
        lambda: SqliteSentHistory(tmp_path / "none").newly_sent(0, []),
        lambda: SqliteWorkerHistory(tmp_path / "none").seen([], since=NOON),
    ):
        with pytest.raises(ConsoleError) as raised:
            ask()
        assert raised.value.cause is Cause.NOT_FOUND
    (tmp_path / "bad").write_bytes(b"not a database" * 100)
    with pytest.raises(ConsoleError):
        SqliteWorkerHistory(tmp_path / "bad").seen([], since=NOON)


def test_failures_and_events_by_worker(tmp_path: Path) -> None:
    real = RealHistory(tmp_path / "h.sqlite3")
    for number in range(3):
        real.add("mail", f"f{number}", NOON, worker="one@h", failed=True)
    real.add("mail", "ok", NOON - timedelta(hours=1), worker="two@h")
    seen = SqliteWorkerHistory(real.path).seen(["one@h", "two@h"], since=NOON - timedelta(minutes=10))
    assert seen.failed == {"one@h": 3}
    assert seen.heard == {"one@h"}


def test_the_oldest_of_those_that_wait(world: World) -> None:
    for number in range(5):
        world.add("mail", f"id-{number}", NOON + timedelta(seconds=number))
    world.add("other", "another", NOON)
    waiting = world.history.oldest_waiting
    assert waiting({"mail": 2, "other": 1}) == {"mail": NOON + timedelta(seconds=3), "other": NOON}
    assert waiting({"mail": 5})["mail"] == NOON
    assert waiting({"mail": 6, "nobody's": 1, "other": 0}) == {}
    assert waiting({}) == {}


def test_what_a_worker_has_received_does_not_wait(tmp_path: Path) -> None:
    real = RealHistory(tmp_path / "h.sqlite3")
    for number in range(3):
        real.add("mail", f"id-{number}", NOON + timedelta(seconds=number))
    real.connection.execute(
        "UPDATE tasks SET received = sent + 60, at = sent + 60 WHERE id = ?", (pack_id("id-2"),)
    )
    history = SqliteSentHistory(real.path)
    assert history.oldest_waiting({"mail": 1}) == {"mail": NOON + timedelta(seconds=1)}
    assert history.oldest_waiting({"mail": 3}) == {}
    assert history.oldest_waiting({"mail": 5_001}) == {}


def test_the_names_of_all_queues_that_were_sent_to(tmp_path: Path) -> None:
    real = RealHistory(tmp_path / "h.sqlite3")
    history = SqliteSentHistory(real.path)
    assert history.queue_names() == frozenset()
    for kind, word in ((WordKind.QUEUE, "mail"), (WordKind.QUEUE, "reports"), (WordKind.NAME, "shop.add")):
        real.word(kind, word)
    assert history.queue_names() == {"mail", "reports"}
