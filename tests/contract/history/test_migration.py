"""A history of version 2 becomes one of today with all that it held."""

from __future__ import annotations

import shutil
import sqlite3
import uuid
from pathlib import Path
from typing import Any

import pytest

from console.collector.events import Event
from console.collector.fold import Fold
from console.core.errors import ConsoleError
from console.history.ids import pack_id
from console.history.marks import CODE_OF, FAILED, RECEIVED, STARTED, Mark, encode_marks
from console.history.migrations import VERSION_1, VERSION_2
from console.history.model import Measure, TaskState
from console.history.query import parse_query
from console.history.reader import HistoryReader
from console.history.schema import VERSION
from console.history.writer import HistoryWriter
from tests.contract.history.agreement import assert_agrees

NOW = 1_790_000_000.0
TASKS = 3000
COLUMNS = (
    "rowid, id, name, state, worker, queue, at, sent, received, started, ended, waited, runtime, retries, "
    "change, pid, args, kwargs, result, exception, root_id, parent_id, eta, expires, routing_key, exchange, "
    "client, marks"
)


def task_id(number: int) -> str:
    return str(uuid.UUID(int=number * 7919 + 5))


def old_row(number: int) -> tuple[Any, ...]:
    """Task `number` as version 2 stored it: every second failed, every third has no queue."""
    at = NOW - 10_000 + number
    exception = f"TimeoutError('order {number} took too long')" if number % 2 else None
    marks: list[Mark] = [
        (RECEIVED, at, "celery@web", 7, 0, 3),
        (STARTED, at + 1, "celery@web", 7, None, None),
    ]
    if exception:
        marks.append((FAILED, at + 2, "celery@web", 7, exception, "Traceback"))
    state = TaskState.FAILED if exception else TaskState.STARTED
    return (
        number + 1, pack_id(task_id(number)), f"shop.task_{number % 4}" if number % 5 else "",
        CODE_OF[state], "celery@web", "mail" if number % 3 else "", at, 0.0, at, at + 1,
        at + 2 if exception else 0.0, 1.0, 1.0 if exception else -1.0, 0, 4, 7, f"('order-{number}',)", "{}",
        None, exception, pack_id(task_id(0)), None, None, None, "mail", "", "gen@api", encode_marks(marks),
    )  # fmt: skip


def old_history(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(VERSION_1 + VERSION_2)
        connection.execute("PRAGMA user_version = 2")
        marks = ", ".join("?" * len(COLUMNS.split(",")))
        rows = [old_row(number) for number in range(TASKS)]
        connection.executemany(f"INSERT INTO tasks ({COLUMNS}) VALUES ({marks})", rows)
        connection.executemany("INSERT INTO counts VALUES (?, ?)", [(2, TASKS // 2), (4, TASKS // 2)])
        connection.executemany(
            "INSERT INTO words VALUES (?, ?)",
            [("task", "shop.task_1"), ("worker", "celery@gone"), ("queue", "mail")],
        )
        minute = int(NOW // 60)
        connection.executemany(
            "INSERT INTO minutes VALUES (?, ?, ?, ?, ?)",
            [
                (minute - 1, "shop.task_1", Measure.SUCCEEDED, -1, 3),
                (minute, "shop.task_1", Measure.SUCCEEDED, -1, 4),
                (minute, "shop.gone", Measure.SUCCEEDED, -1, 5),
                (minute, "", Measure.SUCCEEDED, -1, 6),
            ],
        )
        connection.execute("INSERT INTO gaps VALUES (1, ?, ?, 'The console was closed', 7)", (NOW - 9, NOW))
        connection.execute(
            "INSERT INTO workers VALUES ('celery@web', 1, ?, 2.0, 1, 9, '0.5', 7, 'py-celery')", (NOW,)
        )
        connection.execute("UPDATE run SET change = 4, alive = ?, events = 12", (NOW,))
    connection.close()


def test_all_of_version_2_is_carried_over(tmp_path: Path) -> None:
    path = tmp_path / "h.sqlite3"
    old_history(path)
    writer = HistoryWriter(path)
    reader = HistoryReader(path, now=lambda: NOW)
    assert (writer.change(), writer.next_rowid()) == (4, TASKS + 1)
    for number in (0, 1, 14, TASKS - 1):
        old = dict(zip(COLUMNS.split(", "), old_row(number), strict=True))
        new = reader.detail(task_id(number))
        assert new is not None
        assert (new.row.name, new.row.worker, new.row.queue) == (
            old["name"] or None,
            old["worker"],
            old["queue"] or None,
        )
        assert (new.args, new.kwargs, new.exception) == (old["args"], old["kwargs"], old["exception"])
        assert (new.row.waited_s, new.routing_key, new.client) == (1.0, "mail", "gen@api")
        assert new.root_id == task_id(0)
        assert len(new.attempts) == 1
    assert reader.totals()[TaskState.FAILED] == TASKS // 2
    assert len(reader.page(parse_query("state:failed"), None, TASKS)) == TASKS // 2
    assert reader.names().tasks == ("shop.gone", *(f"shop.task_{number}" for number in range(4)))
    assert reader.names().workers == ("celery@gone", "celery@web")
    assert [one.succeeded for one in reader.series(since_s=120, slot_s=60)][-2:] == [3, 15]
    assert [one.succeeded for one in reader.series(since_s=120, slot_s=60, name="shop.task_1")][-2:] == [3, 4]
    assert [(gap.reason, gap.lost) for gap in reader.gaps()] == [("The console was closed", 7)]
    (worker,) = reader.workers()
    assert (worker.hostname, worker.processed, worker.clock_offset_s) == ("celery@web", 9, None)
    reader.close()
    fold = Fold(writer, workers=writer.workers())
    again = [
        Event(type="task-succeeded", uuid=task_id(0), timestamp=NOW, hostname="celery@web", result="'late'"),
        Event(type="task-received", uuid="new", timestamp=NOW, name="shop.task_1", args="('fresh',)"),
    ]
    fold.apply(again, received_at=NOW)
    writer.commit(fold.batch(change=5, alive=NOW))
    fold.stored()
    writer.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        assert connection.execute("SELECT count(*) FROM words WHERE kind = 3").fetchone() == (1,)
        spans = connection.execute("SELECT span, sum(n) FROM figures WHERE kind = 0 GROUP BY span")
        assert spans.fetchall() == [(60, 20), (900, 20), (3600, 20), (86400, 20)]
        assert_agrees(connection)
    connection.close()


def test_what_is_ended_leaves_the_old_history_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "h.sqlite3"
    old_history(path)
    with pytest.raises(ConsoleError):
        HistoryWriter(path, lambda: False)
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
        assert connection.execute("SELECT count(name) FROM tasks").fetchone() == (TASKS,)
    connection.close()
    writer = HistoryWriter(path)
    assert writer.next_rowid() == TASKS + 1
    writer.close()


def test_a_new_history_can_give_space_back_from_the_start(tmp_path: Path) -> None:
    path = tmp_path / "h.sqlite3"
    HistoryWriter(path).close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_a_disk_without_room_for_it_is_not_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "h.sqlite3"
    old_history(path)
    usage = shutil.disk_usage(tmp_path)
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda _: usage._replace(free=path.stat().st_size))
        with pytest.raises(ConsoleError, match="No space") as refused:
            HistoryWriter(path)
    assert refused.value.retryable
    HistoryWriter(path).close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
