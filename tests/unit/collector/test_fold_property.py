"""The fold is a function of the set of events: any order, any repetition, any batches, any loss of memory.

Lives are made by a model of what workers really do, with clocks that differ by seconds to years; every column
of every row is compared, and the counters and figures with them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from console.collector.events import Event
from console.collector.fold import Fold
from console.history.marks import MAX_MARKS, Mark, verdict_mark
from console.history.model import TaskState
from console.history.writer import HistoryWriter

NOW = 1_790_000_000.0
SKEWS_S = (0.0, 0.3, -2.0, 90.0, -3600.0, 86_400.0 * 400, -86_400.0 * 3650)
Verdict = tuple[str, Mark]
Happened = Event | Verdict

TABLES = {
    "tasks": (
        "SELECT tasks.id, state, n.word, w.word, q.word, e.word, at, sent, received, started, ended, waited,"
        " runtime, retries FROM tasks LEFT JOIN words n ON n.id = name LEFT JOIN words w ON w.id = worker"
        " LEFT JOIN words q ON q.id = queue LEFT JOIN words e ON e.id = error"
    ),
    "texts": (
        "SELECT id, pid, args, kwargs, result, exception, root_id, parent_id, eta, expires, routing_key,"
        " exchange, client, reason FROM texts JOIN tasks USING (rowid)"
    ),
    "counts": "SELECT state, n FROM counts WHERE n != 0",
    "figures": (
        "SELECT span, slot, figures.kind, words.word, measure, bucket, n FROM figures"
        " LEFT JOIN words ON words.id = figures.word WHERE n != 0"
    ),
}


@st.composite
def runs(draw: st.DrawFn, task: str, clock: float, retries: int, *, modern: bool) -> list[Event]:
    """One delivery of a message to one worker, by its clock, and how it ended there."""
    worker = draw(st.sampled_from(["celery@web-1", "celery@web-2", "celery@old"]))
    at = NOW + clock + draw(st.sampled_from(SKEWS_S))
    eta = draw(st.sampled_from([None, "2026-09-21T10:00:00"]))
    common: dict[str, Any] = {"uuid": task, "hostname": worker, "pid": draw(st.sampled_from([None, 7, 8]))}
    lineage: dict[str, Any] = {"root_id": task, "parent_id": "parent"} if modern else {}
    named: dict[str, Any] = draw(
        st.sampled_from([{"name": "shop.send", "args": "(1,)", "kwargs": "{}"}, {"name": "shop.send"}, {}])
    )
    events = [
        Event(
            "task-received", timestamp=at, retries=retries, eta=eta,
            **common, **lineage, **named,
        )
    ]  # fmt: skip
    if draw(st.booleans()):
        events.append(Event("task-started", timestamp=at + 1, **common))
    end = draw(
        st.sampled_from(
            ["none", "succeeded", "failed", "retried", "revoked", "cancelled", "rejected", "both"]
        )
    )
    failure: dict[str, Any] = {"exception": f"ValueError('{retries}')", "traceback": f"Traceback {retries}"}
    after = at + draw(st.sampled_from([1.0, 1.5, 4.0]))
    match end:
        case "succeeded":
            runtime = draw(st.sampled_from([None, 0.25, -1.0]))
            events.append(Event("task-succeeded", timestamp=after, result="'ok'", runtime=runtime, **common))
        case "failed" | "retried":
            events.append(Event(f"task-{end}", timestamp=after, **failure, **common))
        case "revoked":
            how: dict[str, Any] = draw(
                st.sampled_from([{"expired": True}, {"terminated": True, "signum": 15}, {}])
            )
            events.append(Event("task-revoked", timestamp=after, **how, **common))
        case "cancelled":
            events.append(Event("task-cancelled", timestamp=after, **common))
        case "rejected":
            requeue = draw(st.booleans())
            events.append(Event("task-rejected", timestamp=after, requeue=requeue, **common))
        case "both":
            events.append(Event("task-failed", timestamp=after, **failure, **common))
            events.append(Event("task-rejected", timestamp=after + 0.01, requeue=False, **common))
    return events


@st.composite
def verdicts(draw: st.DrawFn, task: str) -> Verdict:
    state = draw(
        st.sampled_from([None, TaskState.LOST, TaskState.SUCCEEDED, TaskState.FAILED, TaskState.STARTED])
    )
    texts: dict[TaskState, dict[str, Any]] = {
        TaskState.SUCCEEDED: {"result": "42", "ended": NOW + 3},
        TaskState.FAILED: {"exception": "OSError()", "traceback": "Trace", "worker": "celery@web-9"},
    }
    at = NOW + draw(st.sampled_from([5.0, 50.0, 86_400.0 * 500]))
    given: dict[str, Any] = texts.get(state, {}) if state is not None else {}
    return task, verdict_mark(state, at, "Found so.", events=draw(st.integers(0, 6)), **given)


@st.composite
def lives(draw: st.DrawFn, task: str) -> list[Happened]:
    """What is heard of one task: sent and delivered some times, some events lost."""
    modern = draw(st.booleans())
    events: list[Event] = []
    for retries in range(draw(st.integers(1, 3))):
        clock = retries * 10.0
        if draw(st.booleans()):
            exchange: dict[str, Any] = {"exchange": ""} if modern else {}
            events.append(
                Event(
                    "task-sent", uuid=task, hostname="gen1@api", timestamp=NOW + clock - 1, name="shop.send",
                    args="(1,)", kwargs="{}", retries=retries, queue=draw(st.sampled_from(["mail", "bulk"])),
                    routing_key="mail", **exchange,
                )
            )  # fmt: skip
        for _ in range(draw(st.integers(1, 2))):
            events += draw(runs(task, clock, retries, modern=modern))
    heard = [one for one in events if draw(st.integers(0, 9)) > 0]
    return [*heard, *draw(st.lists(verdicts(task), max_size=2))]


class Histories:
    """New histories in a folder; `fold` gives all that one holds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.number = 0

    def fold(self, batches: Sequence[Sequence[Happened]], *, forget: frozenset[int] = frozenset()) -> Any:
        """Store `batches`, each as its own transaction; before those in `forget` memory is lost."""
        self.number += 1
        writer = HistoryWriter(self.folder / f"{self.number}.sqlite3")
        fold = Fold(writer, workers=writer.workers())
        owed: list[Verdict] = []
        for number, batch in enumerate(batches):
            if number in forget:
                fold = Fold(writer, workers=writer.workers())
            fold.apply([one for one in batch if isinstance(one, Event)], received_at=NOW + 100)
            owed += [one for one in batch if not isinstance(one, Event)]
            # Nothing is ever found out about a task that was not heard of.
            owed = [one for one in owed if not fold.verdict(*one)]
            # So far apart that figures are not held back for the next batch.
            writer.commit(fold.batch(change=number + 1, alive=NOW + number * 86_400.0))
            fold.stored()
        writer.close(alive=NOW)
        with sqlite3.connect(writer.path) as connection:
            held = {name: sorted(connection.execute(words), key=repr) for name, words in TABLES.items()}
        connection.close()
        return held


def cut(data: st.DataObject, events: Sequence[Happened]) -> list[Sequence[Happened]]:
    places = sorted(data.draw(st.lists(st.integers(0, len(events)), max_size=4)))
    edges = [0, *places, len(events)]
    return [events[start:end] for start, end in pairwise(edges)]


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_order_repetition_and_loss_of_memory_give_the_same_history(
    tmp_path_factory: Any, data: st.DataObject
) -> None:
    histories = Histories(tmp_path_factory.mktemp("fold"))
    life = [
        one for task in data.draw(st.sampled_from([("a",), ("a", "b")])) for one in data.draw(lives(task))
    ]
    expected = histories.fold([life])
    again = data.draw(st.lists(st.sampled_from(life), max_size=5)) if life else []
    batches = cut(data, data.draw(st.permutations([*life, *again])))
    forget = data.draw(st.frozensets(st.integers(0, len(batches))))
    assert histories.fold(batches, forget=forget) == expected


def test_a_task_with_more_events_than_are_kept_is_the_same_in_any_order(tmp_path: Path) -> None:
    events: list[Event] = []
    for number in range(MAX_MARKS // 2):
        common: dict[str, Any] = {"uuid": "t", "hostname": "celery@web-1", "pid": 1}
        at = NOW + number * 3
        events += [
            Event("task-received", timestamp=at, name="shop.send", args="()", retries=number, **common),
            Event("task-started", timestamp=at + 1, **common),
            Event("task-retried", timestamp=at + 2, exception=f"E({number})", traceback="T", **common),
        ]  # fmt: skip
    histories = Histories(tmp_path)
    columns = {name: held for name, held in histories.fold([events]).items() if name != "figures"}
    halves = [events[100:], events[:100]]
    other = histories.fold(halves, forget=frozenset({1}))
    assert {name: other[name] for name in columns} == columns


def test_events_of_workers_of_one_task_are_told_apart_by_all_their_fields(tmp_path: Path) -> None:
    """Two workers, the same instant: whichever comes first, the same one is shown."""
    one = Event(
        "task-received", uuid="t", hostname="celery@web-1", timestamp=NOW, name="a", args="(1,)", pid=1
    )
    other = msgspec.structs.replace(one, hostname="celery@web-2", args="(2,)")
    histories = Histories(tmp_path)
    assert histories.fold([[one], [other]]) == histories.fold([[other], [one]])
