"""The reader against a real SQLite file that the real fold and writer have filled."""

from __future__ import annotations

import sqlite3
import stat
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from console.collector.events import Event
from console.collector.fold import Fold
from console.core.errors import Cause, ConsoleError
from console.history.model import TaskState
from console.history.query import Sort, parse_query
from console.history.reader import HistoryReader
from console.history.schema import VERSION
from console.history.writer import HistoryWriter

NOW = 1_790_000_000.0
TASKS = 240
NAMES = ("shop.tasks.send_invoice", "shop.tasks.charge_user", "reports.build")


def task_id(number: int) -> str:
    return str(uuid.UUID(int=number * 7919 + 5))


def life(number: int) -> list[Event]:
    """Task `number`: every third fails, every tenth is only sent, the rest succeeds after number ms."""
    at = NOW - 10_000 + number * 10
    name, own = NAMES[number % 3], task_id(number)
    parent = task_id(number - 1) if number % 20 == 1 else None
    root = parent or own
    host: Any = {"hostname": f"celery@web-{number % 2}", "pid": 3}
    events = [
        Event(
            type="task-sent", uuid=own, hostname="gen@api", timestamp=at, name=name, kwargs="{}",
            args=f"('order-{number}',)", queue="mail" if number % 2 else "default", root_id=root,
            parent_id=parent,
        )
    ]  # fmt: skip
    if number % 10 == 0:
        return events
    events += [
        Event(
            type="task-received", uuid=own, timestamp=at + 1, name=name, args=f"('order-{number}',)",
            kwargs="{}", root_id=root, parent_id=parent, **host,
        ),
        Event(type="task-started", uuid=own, timestamp=at + 2, **host),
    ]  # fmt: skip
    if number % 3 == 1:
        exception = f"TimeoutError('order {number}')"
        return [*events, Event(type="task-failed", uuid=own, timestamp=at + 3, exception=exception, **host)]
    runtime = number / 1000
    return [*events, Event(type="task-succeeded", uuid=own, timestamp=at + 3, runtime=runtime, **host)]


def fill(path: Path) -> HistoryWriter:
    writer = HistoryWriter(path)
    fold = Fold(writer)
    for number in range(TASKS):
        fold.apply(life(number), received_at=NOW)
    writer.commit(fold.batch(change=1, alive=NOW))
    fold.stored()
    return writer


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HistoryReader]:
    path = tmp_path_factory.mktemp("history") / "h.sqlite3"
    fill(path).close(alive=NOW)
    reader = HistoryReader(path, now=lambda: NOW)
    yield reader
    reader.close()


@pytest.mark.parametrize("sort", list(Sort))
@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("text", ["", "state:failed", "name:send_invoice,build", "order-1"])
def test_pages_by_cursor_give_every_row_once_and_in_order(
    history: HistoryReader, sort: Sort, descending: bool, text: str
) -> None:
    query = parse_query(text).sorted_by(sort, descending=descending)
    everything = history.page(query, None, 1000)
    found = []
    cursor = None
    while page := history.page(query, cursor, 17):
        found += page
        cursor = query.cursor(page[-1])
    assert found == everything
    keys = [query.cursor(row).value for row in found]
    assert keys == sorted(keys, reverse=descending)
    assert len({row.id for row in found}) == len(found) > 0


def numbers(history: HistoryReader, text: str) -> set[int]:
    ids = {task_id(number): number for number in range(TASKS)}
    return {ids[row.id] for row in history.page(parse_query(text), None, 1000)}


def test_what_a_query_finds(history: HistoryReader) -> None:
    everything = set(range(TASKS))
    sent = {number for number in everything if number % 10 == 0}
    failed = {number for number in everything if number % 3 == 1} - sent
    assert numbers(history, "") == everything
    assert numbers(history, "state:sent") == sent
    assert numbers(history, "state:sent,failed") == sent | failed
    assert numbers(history, "-state:failed") == everything - failed
    assert numbers(history, "name:*invoice*") == {one for one in everything if one % 3 == 0}
    assert numbers(history, "-name:*invoice* queue:mail") == {
        one for one in everything if one % 3 and one % 2
    }
    assert numbers(history, "worker:web-1 state:failed") == {one for one in failed if one % 2}
    assert numbers(history, f"id:{task_id(7)}") == {7}
    assert numbers(history, f"id:{task_id(7)[:34]}") >= {7}
    assert numbers(history, task_id(9)) == {9}
    assert numbers(history, "order-17") == {17, *range(170, 180)}
    assert numbers(history, '"order 22\'"') == {22}
    assert numbers(history, "100%") == {100}
    assert numbers(history, "name:nothing") == set()
    assert numbers(history, "since:7700s") == {one for one in everything if one >= 230}


def test_counts_are_those_of_the_query_without_its_states(history: HistoryReader) -> None:
    everything = history.counts(parse_query("state:failed"))
    assert everything.complete
    assert everything.total == TASKS
    some = history.counts(parse_query("name:build state:failed"))
    assert some.total == TASKS // 3
    assert some.by_state[TaskState.FAILED] == 0
    assert history.counts(parse_query("order")).total == TASKS


def test_detail_family_and_same_error(history: HistoryReader) -> None:
    detail = history.detail(task_id(21))
    assert detail is not None
    assert (detail.parent_id, detail.root_id) == (task_id(20), task_id(20))
    assert [(one.row.id, one.depth) for one in history.family(task_id(21))] == [
        (task_id(20), 0),
        (task_id(21), 1),
    ]
    assert history.family(task_id(20)) == history.family(task_id(21))
    same = history.same_error(NAMES[1], "TimeoutError('order 5')")
    assert same is not None
    assert same.count == len([one for one in range(TASKS) if one % 3 == 1 and one % 10])
    assert same.first < same.last
    assert history.detail("nobody") is None
    assert history.family("nobody") == []


def test_minutes_names_and_rankings(history: HistoryReader) -> None:
    minutes = history.series(since_s=12_000, slot_s=60)
    assert sum(one.sent for one in minutes) == TASKS
    assert sum(one.failed for one in minutes) == history.totals()[TaskState.FAILED]
    assert minutes[0].gap
    assert [one.start for one in minutes] == sorted(one.start for one in minutes)
    assert len(minutes) == 200
    stats = history.name_stats(since_s=12_000)
    assert [stat.word for stat in stats if stat.failed] == [NAMES[1]]
    assert sum(stat.runtime.count for stat in stats) > 0
    assert {stat.word for stat in history.queue_stats(since_s=12_000)} == {"default", "mail"}
    names = history.names()
    assert names.tasks == tuple(sorted(NAMES))
    assert names.queues == ("default", "mail")


def test_only_rows_that_changed_are_read_again(tmp_path: Path) -> None:
    path = tmp_path / "h.sqlite3"
    writer = fill(path)
    reader = HistoryReader(path, now=lambda: NOW)
    top = reader.page(parse_query(""), None, 1)[0]
    fold = Fold(writer)
    fold.apply([Event(type="task-started", uuid=task_id(10), timestamp=NOW)], received_at=NOW)
    fold.apply([Event(type="task-received", uuid="new", timestamp=NOW, name="n")], received_at=NOW)
    writer.commit(fold.batch(change=2, alive=NOW))
    fold.stored()
    changed = reader.changed_since(1, [task_id(number) for number in range(20)])
    assert [(row.id, row.state) for row in changed] == [(task_id(10), TaskState.STARTED)]
    assert reader.newer(parse_query(""), top) == 1
    reader.close()
    writer.close()


def test_what_is_learnt_of_a_silent_worker_is_no_event_of_it(tmp_path: Path) -> None:
    path = tmp_path / "h.sqlite3"
    writer = fill(path)
    fold = Fold(writer)
    found: Any = {"uuid": "found", "timestamp": NOW, "hostname": "celery@silent"}
    fold.apply([Event(type="task-succeeded", name="n", **found)], received_at=NOW)
    writer.commit(fold.batch(change=2, alive=NOW))
    fold.stored()
    writer.close()
    with HistoryReader(path, now=lambda: NOW) as reader:
        assert [row.id for row in reader.page(parse_query("worker:celery@silent"), None, 2)] == ["found"]
        since = datetime.fromtimestamp(NOW - 20_000, UTC)
        workers = ("celery@web-1", "celery@silent", "celery@nobody")
        assert reader.heard_from(workers, since) == {"celery@web-1"}


def test_a_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "h.sqlite3"
    writer = fill(path)
    before = writer.counts()
    fold = Fold(writer)
    fold.apply([Event(type="task-received", uuid="new", timestamp=NOW)], received_at=NOW)
    batch = fold.batch(change=2, alive=NOW)
    batch.inserts = [(1, *row[1:]) for row in batch.inserts]  # rowid 1 is taken
    with pytest.raises(ConsoleError):
        writer.commit(batch)
    assert (writer.counts(), writer.change(), writer.next_rowid()) == (before, 1, TASKS + 1)
    writer.close()


def test_gaps_between_and_within_runs(tmp_path: Path) -> None:
    path = tmp_path / "h.sqlite3"

    def at(offset: float) -> datetime:
        return datetime.fromtimestamp(NOW + offset, UTC)

    writer = HistoryWriter(path)
    assert not writer.begin_run(at(0))  # the first run ever misses nothing
    writer.close(alive=NOW + 5)
    writer = HistoryWriter(path)
    assert writer.begin_run(at(60))
    writer.open_gap(at(61), "a second one")
    writer.close_gap(at(62))
    writer.open_gap(at(70), "The broker closed the connection")
    writer.close()
    writer = HistoryWriter(path)
    writer.begin_run(at(80))
    writer.close_gap(at(81))
    found = [(gap.start, gap.end, gap.reason) for gap in writer.gaps()]
    writer.close()
    assert found == [
        (at(5), at(62), "The console was closed"),
        (at(70), at(81), "The broker closed the connection"),
    ]


def test_a_run_that_was_killed_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "h.sqlite3"
    fill(path).close()
    writer = HistoryWriter(path)
    writer.begin_run(datetime.fromtimestamp(NOW + 9, UTC))
    assert [gap.reason for gap in writer.gaps()] == ["The reader of events ended unexpectedly"]
    writer.close()


def test_refusals_are_told_in_words(tmp_path: Path) -> None:
    path = tmp_path / "h.sqlite3"
    reader = HistoryReader(path)
    with pytest.raises(ConsoleError) as caught:
        reader.totals()
    assert caught.value.cause is Cause.NOT_FOUND
    HistoryWriter(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert sum(reader.totals().values()) == 0
    reader.close()
    with sqlite3.connect(path) as newer:
        newer.execute(f"PRAGMA user_version = {VERSION + 1}")
    newer.close()
    for attempt in (reader.totals, lambda: HistoryWriter(path)):
        with pytest.raises(ConsoleError, match="newer Celery Console"):
            attempt()
    path.write_bytes(b"this is no database" * 1000)
    with pytest.raises(ConsoleError, match="damaged"):
        HistoryWriter(path)
    (tmp_path / "folder.sqlite3").mkdir()
    with pytest.raises(ConsoleError, match="history"):
        HistoryWriter(tmp_path / "folder.sqlite3")


def test_the_reader_cannot_write(history: HistoryReader) -> None:
    with pytest.raises(ConsoleError):
        history._all("DELETE FROM tasks")
    assert sum(history.totals().values()) == TASKS
