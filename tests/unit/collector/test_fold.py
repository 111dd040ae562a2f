"""The fold gives the same row for the same events, whatever their order and however often they come."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from console.collector.events import Event
from console.collector.fold import Fold
from console.history.model import TaskState
from console.history.reader import HistoryReader
from console.history.writer import HistoryWriter

NOW = 1_790_000_000.0
WEB, API = "celery@web-1", "gen7@api"


def event(kind: str, at: float, **fields: Any) -> Event:
    host = API if kind == "task-sent" else WEB
    return Event(type=kind, timestamp=NOW + at, **{"uuid": "t1", "hostname": host, "pid": 5, **fields})


def sent(at: float, retries: int = 0) -> Event:
    return event(
        "task-sent", at, name="shop.send", args="(1,)", kwargs="{}", retries=retries, queue="mail",
        routing_key="mail", exchange="", root_id="t1",
    )  # fmt: skip


def received(at: float, retries: int = 0, **fields: Any) -> Event:
    return event("task-received", at, name="shop.send", args="(1,)", kwargs="{}", retries=retries, **fields)


def started(at: float, **fields: Any) -> Event:
    return event("task-started", at, **fields)


def retried(at: float) -> Event:
    return event("task-retried", at, exception="OSError('no')", traceback=f"Traceback at {at}")


def succeeded(at: float, **fields: Any) -> Event:
    return event("task-succeeded", at, result="'ok'", runtime=0.25, **fields)


def failed(at: float) -> Event:
    return event("task-failed", at, exception="ValueError('bad')", traceback="Traceback")


class Histories:
    """New histories in a folder, one per example."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.number = 0

    def fold(self, batches: Sequence[Sequence[Event]], *, forget: bool = False) -> HistoryReader:
        """Store `batches`, each as its own transaction; `forget` folds each with an empty memory."""
        self.number += 1
        path = self.folder / f"{self.number}.sqlite3"
        writer = HistoryWriter(path)
        fold = new_fold(writer)
        for change, events in enumerate(batches, 1):
            if forget:
                fold = new_fold(writer)
            fold.apply(events, received_at=NOW + 100)
            writer.commit(fold.batch(change=change, alive=NOW))
            fold.stored()
        writer.close(alive=NOW)
        return HistoryReader(path, now=lambda: NOW + 100)


def new_fold(writer: HistoryWriter) -> Fold:
    return Fold(writer, workers=writer.workers())


def one_row(reader: HistoryReader) -> Any:
    detail = reader.detail("t1")
    reader.close()
    assert detail is not None
    return replace(detail, row=replace(detail.row, change=0))


LIFE = [
    sent(0), received(1), started(2), retried(3), sent(3.1, 1), received(3.2, 1), started(5), retried(6),
    sent(6.1, 2), received(6.2, 2), started(9), failed(10),
]  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_order_and_repetition_of_a_life_gives_the_same_row(
    tmp_path_factory: Any, data: st.DataObject
) -> None:
    histories = Histories(tmp_path_factory.mktemp("fold"))
    life = data.draw(
        st.sampled_from([LIFE, LIFE[:4], LIFE[:7], [sent(0), received(1), started(2), succeeded(3)]])
    )
    expected = one_row(histories.fold([life]))
    shuffled = data.draw(st.permutations(life)) + data.draw(st.lists(st.sampled_from(life), max_size=6))
    cut = data.draw(st.integers(0, len(shuffled)))
    reader = histories.fold([shuffled[:cut], shuffled[cut:]], forget=data.draw(st.booleans()))
    assert sum(reader.totals().values()) == 1
    assert one_row(reader) == expected


KINDS = ["sent", "received", "started", "retried", "cancelled", "succeeded", "failed", "revoked", "rejected"]
words = st.one_of(st.none(), st.sampled_from(["a", "b", ""]))
any_event = st.builds(
    Event,
    type=st.sampled_from([f"task-{kind}" for kind in KINDS]),
    uuid=st.just("t1"),
    hostname=st.one_of(st.none(), st.sampled_from([WEB, "celery@web-2"])),
    timestamp=st.one_of(st.none(), st.sampled_from([NOW, NOW + 1, NOW + 2, 1e30, -5.0, 0.0])),
    name=words, args=words, kwargs=words, root_id=st.sampled_from([None, "t1", "r"]), parent_id=words,
    retries=st.sampled_from([None, 0, 1, -1]), eta=words, queue=words, exchange=words, result=words,
    exception=words, traceback=words, runtime=st.sampled_from([None, 0.0, 1.5, -1.0]),
    terminated=st.sampled_from([None, True]), requeue=st.sampled_from([None, True]),
)  # fmt: skip


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(events=st.lists(any_event, min_size=1, max_size=8), seed=st.integers(0, 1000), forget=st.booleans())
def test_even_events_that_make_no_sense_give_one_row_in_any_order(
    tmp_path_factory: Any, events: list[Event], seed: int, forget: bool
) -> None:
    histories = Histories(tmp_path_factory.mktemp("fold"))
    expected = one_row(histories.fold([events]))
    again = [*events, *random.Random(seed).sample(events, len(events) // 2)]
    random.Random(seed).shuffle(again)
    assert one_row(histories.fold([[one] for one in again], forget=forget)) == expected


def row_of(tmp_path: Path, *events: Event) -> Any:
    return one_row(Histories(tmp_path).fold([events]))


def test_retries_are_attempts_of_one_row(tmp_path: Path) -> None:
    detail = row_of(tmp_path, *LIFE)
    assert detail.row.state is TaskState.FAILED
    assert detail.row.retries == 2
    assert detail.row.queue == "mail"
    assert detail.row.waited_s == 2.0
    assert detail.row.runtime_s == 1.0
    assert detail.exception == "ValueError('bad')"
    assert [(one.state, one.exception) for one in detail.attempts] == [
        (TaskState.RETRYING, "OSError('no')"),
        (TaskState.RETRYING, "OSError('no')"),
        (TaskState.FAILED, "ValueError('bad')"),
    ]


def test_states_along_a_life(tmp_path: Path) -> None:
    histories = Histories(tmp_path)
    states = [one_row(histories.fold([LIFE[: length + 1]])).row.state.value for length in range(len(LIFE))]
    assert states == [
        "Sent", "Received", "Started", "Retrying", "Retrying", "Retrying", "Started", "Retrying",
        "Retrying", "Retrying", "Started", "Failed",
    ]  # fmt: skip


def test_a_clock_that_is_set_back_does_not_hide_the_end(tmp_path: Path) -> None:
    detail = row_of(tmp_path, received(100), started(101), succeeded(50))
    assert detail.row.state is TaskState.SUCCEEDED
    assert detail.row.runtime_s == 0.25


def test_workers_whose_clocks_differ_do_not_hide_the_end(tmp_path: Path) -> None:
    other = {"hostname": "celery@web-2"}
    detail = row_of(
        tmp_path, received(10), started(10), retried(11), received(5, 1, **other), started(6, **other),
        succeeded(7, **other),
    )  # fmt: skip
    assert detail.row.state is TaskState.SUCCEEDED


def test_a_message_that_is_delivered_again_runs_again(tmp_path: Path) -> None:
    life = [received(1), started(2), succeeded(3), received(10), started(11)]
    assert row_of(tmp_path, *life).row.state is TaskState.STARTED
    assert row_of(tmp_path, *life, succeeded(12)).row.state is TaskState.SUCCEEDED


def test_lost_events_do_not_keep_a_task_from_its_end(tmp_path: Path) -> None:
    detail = row_of(tmp_path, received(1), started(2), received(5, 1), succeeded(9))
    assert detail.row.state is TaskState.SUCCEEDED
    assert detail.row.retries == 1


def test_a_revoked_task_that_no_worker_received(tmp_path: Path) -> None:
    detail = row_of(tmp_path, sent(0), event("task-revoked", 5, expired=True))
    assert detail.row.state is TaskState.REVOKED
    assert detail.row.runtime_s is None


def test_events_of_old_versions_that_lack_fields(tmp_path: Path) -> None:
    bare = [Event(type=f"task-{kind}", uuid="t1") for kind in ("received", "started", "succeeded")]
    row = row_of(tmp_path, *bare).row
    assert (row.state, row.name, row.worker, row.received, row.runtime_s) == (
        TaskState.SUCCEEDED, None, None, None, None,
    )  # fmt: skip


def test_instants_that_no_clock_can_give_are_unknown(tmp_path: Path) -> None:
    row = row_of(tmp_path, Event(type="task-received", uuid="t1", timestamp=1e300, name="a")).row
    assert row.received is None
    assert row.state is TaskState.RECEIVED


def test_a_task_that_retries_for_ever_does_not_grow_for_ever(tmp_path: Path) -> None:
    events: list[Event] = []
    for number in range(200):
        events += [received(number * 3, number), started(number * 3 + 1), retried(number * 3 + 2)]
    reader = Histories(tmp_path).fold([events])
    detail = reader.detail("t1")
    reader.close()
    assert detail is not None
    assert detail.row.retries == 199
    assert len(detail.attempts) < 100


def test_long_texts_are_cut(tmp_path: Path) -> None:
    long = msgspec.structs.replace(succeeded(2), result="x" * 1_000_000)
    assert len(row_of(tmp_path / "long", long).result) < 20_000


def test_counters_agree_with_the_rows_and_repetition_counts_once(tmp_path: Path) -> None:
    life = [sent(0), received(1), started(2), succeeded(3)]
    reader = Histories(tmp_path).fold(
        [life, life, [one for one in life if one.type == "task-started"]], forget=True
    )
    assert reader.totals()[TaskState.SUCCEEDED] == 1
    assert sum(reader.totals().values()) == 1
    minutes = reader.series(since_s=600, slot_s=60)
    reader.close()
    assert sum(one.succeeded for one in minutes) == 1
    assert sum(one.sent for one in minutes) == 1
    with_runtime = next(one for one in minutes if one.runtime.count)
    assert 0.2 < (with_runtime.runtime.p50_s or 0) < 0.3
    assert with_runtime.wait.count == 1


def test_a_worker_is_late_by_our_clock_not_by_its_own(tmp_path: Path) -> None:
    beat = Event(
        type="worker-heartbeat", hostname=WEB, timestamp=5.0, freq=2.0, active=1, processed=7,
        loadavg=[0.1, 0.2, 0.3], pid=9, sw_ident="py-celery", sw_ver="5.7.0",
    )  # fmt: skip
    reader = Histories(tmp_path).fold([[beat]])
    (worker,) = reader.workers()
    reader.close()
    assert worker.last_heartbeat.timestamp() == NOW + 100
    assert (worker.online, worker.processed, worker.software) == (True, 7, "py-celery 5.7.0")
    reader = Histories(tmp_path / "off").fold([[beat, Event(type="worker-offline", hostname=WEB)]])
    assert not reader.workers()[0].online
    reader.close()


def test_failed_and_rejected_of_one_refusal_are_one_end(tmp_path: Path) -> None:
    """Since 5.7 a worker says both when a task refuses its message for good."""
    life = [sent(0), received(1), started(2), failed(3), event("task-rejected", 3.01, requeue=False)]
    for number, events in enumerate((life, life[::-1])):
        reader = Histories(tmp_path / str(number)).fold([[one] for one in events])
        detail = reader.detail("t1")
        minutes = reader.series(since_s=600, slot_s=60)
        reader.close()
        assert detail is not None
        assert detail.row.state is TaskState.REJECTED
        assert [one.state for one in detail.attempts] == [TaskState.REJECTED]
        assert detail.attempts[0].exception == "ValueError('bad')"
        assert (sum(one.failed for one in minutes), sum(one.other for one in minutes)) == (1, 0)


def test_a_message_that_is_requeued_runs_again(tmp_path: Path) -> None:
    life = [received(1), started(2), event("task-rejected", 3, requeue=True), received(4), started(5)]
    assert row_of(tmp_path, *life).row.state is TaskState.STARTED
