"""The rounds of the reconciler: whom it asks, how often, and that it asks nobody without a reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from console.broker.address import BrokerAddress
from console.broker.results import BackendResult
from console.collector.events import Event
from console.collector.fold import Fold
from console.collector.reconcile import Lines, Reconciler
from console.collector.reconcile_evidence import Hold, MessagesFound, Suspect, WorkersSay
from console.collector.reconcile_suspects import Timings
from console.collector.reconcile_workers import NOBODY
from console.core.errors import Cause, ConsoleError
from console.history.marks import Mark
from console.history.model import TaskState
from console.history.writer import HistoryWriter

NOW = 1_790_000_000.0
TIMINGS = Timings(quiet_s=60.0, sent_quiet_s=120.0, round_s=10.0, longest_s=600.0, look_share=0.0)
REFUSED = ConsoleError("The broker user may not do this", cause=Cause.NOT_PERMITTED)


@dataclass
class Asked:
    """Workers, messages and results as a test wants them, and what they were asked."""

    workers: WorkersSay
    messages: MessagesFound = field(default_factory=lambda: MessagesFound(complete=True))
    results: dict[str, BackendResult] = field(default_factory=dict)
    error: ConsoleError | None = None
    place: str = "here"
    asked: list[tuple[int, bool]] = field(default_factory=list)
    looks: int = 0
    looking: Callable[[], None] = lambda: None

    def ask(
        self, task_ids: Sequence[str], *, everything: bool, known: Mapping[str, float] = NOBODY
    ) -> WorkersSay:
        assert "" not in known
        self.asked.append((len(task_ids), everything))
        if self.error is not None:
            raise self.error
        return replace(self.workers, asked_all=everything)

    def look(
        self, suspects: Sequence[Suspect], queues: Iterable[str], transports: Sequence[Mapping[str, object]]
    ) -> MessagesFound:
        self.looks += 1
        self.looking()
        return self.messages

    def read(self, task_ids: Sequence[str]) -> dict[str, BackendResult]:
        return self.results


class Bench:
    """A reconciler whose rounds a test runs by hand, at instants of its own."""

    def __init__(self, folder: Path) -> None:
        self.now = NOW
        self.writer = HistoryWriter(folder / "h.sqlite3")
        self.fold = Fold(self.writer)
        self.sides = Asked(WorkersSay(answered=frozenset({"celery@other"}), listening=1))
        self.given: list[tuple[str, Mark]] = []
        self.timings = TIMINGS

    def open(self) -> Reconciler:
        return Reconciler(
            history_file=self.writer.path,
            address=BrokerAddress("h", 1),
            results=None,
            timings=self.timings,
            give=self.given.extend,
            now=lambda: self.now,
            lines=Lines(self.sides, self.sides, self.sides, ""),
        )

    def tell(self, *events: Event) -> None:
        self.fold.apply(events, received_at=NOW)
        self.store()

    def store(self) -> None:
        for task_id, mark in self.given:
            self.fold.verdict(task_id, mark)
        self.given.clear()
        self.writer.commit(self.fold.batch(change=1, alive=NOW))
        self.fold.stored()

    def state(self) -> TaskState:
        return next(state for state, n in self.fold.counts.items() if n)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.writer.close(alive=NOW)


def event(kind: str, task: str = "t", at: float = 0.0, **more: Any) -> Event:
    return Event(f"task-{kind}", uuid=task, hostname="celery@web", timestamp=NOW + at, pid=7, **more)


def heartbeat(host: str) -> Event:
    return Event("worker-heartbeat", hostname=host, timestamp=NOW, freq=2.0, pid=7)


def rounds(bench: Bench, reconciler: Reconciler, *at: float) -> list[TaskState]:
    """The state after a round at each of these instants."""
    states = []
    for after_s in at:
        bench.now = NOW + after_s
        # The others run on.
        bench.fold.apply([heartbeat("celery@other")], received_at=bench.now)
        bench.store()
        reconciler.round()
        bench.store()
        states.append(bench.state())
    return states


def test_nobody_is_asked_while_nothing_is_silent(bench: Bench) -> None:
    bench.tell(event("received"), event("started", at=1))
    rounds(bench, bench.open(), 10, 20, 60)
    assert bench.sides.asked == []
    assert bench.sides.looks == 0


def test_a_running_task_is_asked_for_ever_more_rarely(bench: Bench) -> None:
    bench.tell(event("received"), event("started"))
    bench.sides.workers = replace(bench.sides.workers, held={"t": {"celery@web": Hold.ACTIVE}})
    states = rounds(bench, bench.open(), *range(0, 3600, 10))
    assert set(states) == {TaskState.STARTED}
    assert len(bench.sides.asked) == 9  # after 60, 120, 240, 480 s, and then every 600 s
    assert bench.sides.looks == 0


def test_a_loss_takes_three_rounds(bench: Bench) -> None:
    bench.tell(event("received"), event("started"), heartbeat("celery@web"))
    reconciler = bench.open()
    states = rounds(bench, reconciler, 70, 80, 90, 100)
    assert states == [TaskState.STARTED, TaskState.STARTED, TaskState.LOST, TaskState.LOST]
    assert bench.sides.asked == [(1, False), (1, True), (1, True)]
    assert reconciler.problem == ""


def test_a_look_that_may_not_be_taken_yet_forgets_nothing(bench: Bench) -> None:
    def take_a_second() -> None:
        bench.now += 1.0

    bench.timings = replace(TIMINGS, look_share=50.0)
    bench.sides.looking = take_a_second
    bench.tell(event("received"), event("started"), heartbeat("celery@web"))
    reconciler = bench.open()
    assert TaskState.LOST not in rounds(bench, reconciler, 70, 80, 90, 100, 110, 120)
    assert bench.sides.looks == 1
    assert rounds(bench, reconciler, 131) == [TaskState.LOST]
    assert bench.sides.looks == 2


def test_a_task_that_turns_up_leaves_lost(bench: Bench) -> None:
    bench.tell(event("received"), event("started"), heartbeat("celery@web"))
    reconciler = bench.open()
    assert rounds(bench, reconciler, 70, 80, 90)[-1] is TaskState.LOST
    bench.sides.workers = replace(bench.sides.workers, held={"t": {"celery@web": Hold.ACTIVE}})
    assert rounds(bench, reconciler, 200) == [TaskState.STARTED]


def test_what_waits_in_a_queue_is_not_asked_of_workers(bench: Bench) -> None:
    bench.tell(*(event("sent", f"t{n}", queue="mail") for n in range(50)))
    bench.sides.messages = MessagesFound({f"t{n}": "mail" for n in range(50)}, complete=True)
    rounds(bench, bench.open(), *range(100, 1000, 10))
    assert bench.sides.asked == []
    assert bench.sides.looks == 4


def test_a_backlog_that_is_too_long_to_look_through_costs_nobody_anything(bench: Bench) -> None:
    bench.tell(*(event("sent", f"t{n}", queue="mail") for n in range(50)))
    bench.sides.messages = MessagesFound(problem="More than 50,000 messages wait in the broker.")
    reconciler = bench.open()
    assert set(rounds(bench, reconciler, *range(100, 1000, 10))) == {TaskState.SENT}
    assert bench.sides.asked == []
    assert bench.sides.looks < 10


def test_a_refusal_is_no_loss_and_is_asked_ever_more_rarely(bench: Bench) -> None:
    bench.tell(event("received"), event("started"), heartbeat("celery@web"))
    bench.sides.error = REFUSED
    reconciler = bench.open()
    assert set(rounds(bench, reconciler, *range(70, 1000, 10))) == {TaskState.STARTED}
    assert reconciler.problem == str(REFUSED)
    assert len(bench.sides.asked) < 8


def test_an_end_in_the_backend_is_told_at_once(bench: Bench) -> None:
    bench.tell(event("received"), event("started"))
    bench.sides.error = REFUSED
    bench.sides.results = {"t": BackendResult("t", "SUCCESS", result_text="1")}
    assert rounds(bench, bench.open(), 70) == [TaskState.SUCCEEDED]


def test_tasks_that_cannot_be_judged_are_counted_until_they_go_on(bench: Bench) -> None:
    bench.tell(*(event(kind, task) for task in ("a", "b") for kind in ("received", "started")))
    bench.tell(heartbeat("celery@web"))
    reconciler = bench.open()
    bench.sides.error = REFUSED
    rounds(bench, reconciler, *range(70, 301, 10))
    assert reconciler.unjudged == (2, str(REFUSED))

    bench.tell(event("succeeded", "a", 310.0, runtime=1.0, result="1"))
    bench.now += 10
    reconciler.round()
    assert reconciler.unjudged == (1, str(REFUSED)), "b is not due, and still silent"

    bench.tell(event("succeeded", "b", 320.0, runtime=1.0, result="1"))
    bench.now += 10
    reconciler.round()
    assert reconciler.unjudged == (0, "")
