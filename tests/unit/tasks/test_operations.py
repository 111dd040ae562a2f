"""What is said before and after tasks are revoked or terminated, by what the workers and the history say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest

from console.core.errors import Cause, ConsoleError
from console.core.operations import Danger, Operation
from console.history.model import TaskRow, TaskState
from console.tasks import operations
from console.tasks.gateway import Answer
from console.tasks.operations import (
    KillSignal,
    revoke_operation,
    terminate_operation,
    why_not_revoke,
    why_not_terminate,
)

NOW = datetime(2026, 1, 2, tzinfo=UTC)
WEB, MAIL = "celery@web-1", "celery@mail-1"


def row(task_id: str, state: TaskState = TaskState.STARTED, name: str = "shop.tasks.send") -> TaskRow:
    return TaskRow(
        rowid=1, id=task_id, name=name, state=state, worker=WEB, queue="mail", sent=NOW,
        received=NOW, started=NOW, ended=None, waited_s=None, runtime_s=None, retries=0, change=1,
    )  # fmt: skip


@dataclass
class Outside:
    """Answers and shows what it was told to, in turn."""

    answers: list[Answer] = field(default_factory=list)
    later: Mapping[str, TaskState] = field(default_factory=dict)
    workers: frozenset[str] = frozenset({WEB})
    told: list[tuple[tuple[str, ...], KillSignal | None]] = field(default_factory=list)
    looks: int = 0

    def online(self) -> frozenset[str]:
        return self.workers

    async def tell(self, task_ids: Sequence[str], signal: KillSignal | None) -> list[Answer]:
        self.told.append((tuple(task_ids), signal))
        return self.answers

    async def states(self, task_ids: Sequence[str]) -> Mapping[str, TaskState]:
        self.looks += 1
        return self.later if self.looks > 2 else dict.fromkeys(task_ids, TaskState.STARTED)


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, wait_s in (("PROOF_S", 0.05), ("REVOKE_PROOF_S", 0.05), ("LOOK_EVERY_S", 0.001)):
        monkeypatch.setattr(operations, name, wait_s)


def way(operation: Operation, signal: KillSignal) -> Operation:
    """What is run once this signal is chosen."""
    return next(choice.operation for choice in operation.choices if choice.name == signal.value)


async def test_a_terminated_task_is_proved_by_the_history() -> None:
    outside = Outside([Answer(WEB, True, "terminate: a")], {"a": TaskState.REVOKED})

    said = await way(terminate_operation([row("a")], outside), KillSignal.KILL).run()

    assert said == "Terminated on celery@web-1; it is Revoked"
    assert outside.told == [(("a",), KillSignal.KILL)]


async def test_without_an_event_there_is_no_word_yet() -> None:
    outside = Outside([Answer(WEB, True, "terminate: a")], {"a": TaskState.STARTED})

    assert await terminate_operation([row("a")], outside).run() == (
        "celery@web-1 was told to terminate it; no word yet"
    )


async def test_a_pool_without_processes_refuses() -> None:
    refusal = (
        "NotImplementedError(\"<class 'celery.concurrency.thread.TaskPool'> does not implement kill_job\")"
    )
    outside = Outside([Answer(WEB, False, refusal)])

    with pytest.raises(ConsoleError, match="cannot terminate tasks") as raised:
        await terminate_operation([row("a")], outside).run()
    assert raised.value.cause is Cause.NOT_PERMITTED
    assert "prefork" in raised.value.remedy


async def test_a_task_that_nobody_runs() -> None:
    outside = Outside([Answer(WEB, True, "terminate: tasks unknown")])

    with pytest.raises(ConsoleError, match="No worker runs this task"):
        await terminate_operation([row("a")], outside).run()


async def test_several_are_terminated_and_counted() -> None:
    rows = [row("a"), row("b"), row("c", TaskState.SUCCEEDED)]
    outside = Outside(
        [Answer(WEB, True, "terminate: a"), Answer(MAIL, False, "does not implement kill_job")],
        {"a": TaskState.REVOKED, "b": TaskState.STARTED},
    )
    operation = terminate_operation(rows, outside)

    assert operation.question == "Terminate 2 tasks?"
    assert "1 of those selected do not run and are left alone" in operation.consequence
    assert await operation.run() == (
        "Terminated on celery@web-1: 1 of 2 have ended (1 Revoked, 1 Started); "
        "celery@mail-1 cannot terminate: its pool has no processes"
    )


async def test_revoking_names_who_did_not_answer() -> None:
    outside = Outside([Answer(WEB, True, "tasks a flagged as revoked")], workers=frozenset({WEB, MAIL}))

    assert await revoke_operation([row("a", TaskState.RECEIVED)], outside).run() == (
        "Revoked: 1 worker will not run it; celery@mail-1 did not answer and may still run it"
    )


async def test_a_revoked_task_is_proved_by_the_history() -> None:
    outside = Outside([Answer(WEB, True, "tasks a flagged as revoked")], {"a": TaskState.REVOKED})

    assert await revoke_operation([row("a", TaskState.RECEIVED)], outside).run() == "Revoked: it is Revoked"


async def test_many_are_told_in_portions() -> None:
    rows = [row(str(number), TaskState.RECEIVED, f"shop.task{number % 5}") for number in range(1200)]
    outside = Outside([Answer(WEB, True, "ok")])
    operation = revoke_operation(rows, outside)

    await operation.run()

    assert [len(ids) for ids, _ in outside.told] == [500, 500, 200]
    assert operation.target == (
        "1,200 tasks: 240 shop.task0, 240 shop.task1, 240 shop.task2 and 2 more names"
    )


async def test_nobody_answers() -> None:
    with pytest.raises(ConsoleError, match="No worker answered"):
        await revoke_operation([row("a")], Outside()).run()


def test_how_dangerous_they_are() -> None:
    assert revoke_operation([row("a")], Outside()).danger is Danger.DISRUPTIVE
    terminate = terminate_operation([row("a")], Outside())
    assert terminate.danger is Danger.DESTRUCTIVE
    assert [choice.name for choice in terminate.choices] == [signal.value for signal in KillSignal]
    soft = next(choice for choice in terminate.choices if choice.name == "SIGUSR1")
    assert "SoftTimeLimitExceeded" in soft.words
    assert soft.operation.target.endswith("SIGUSR1")
    assert soft.operation.danger is Danger.DESTRUCTIVE


def test_when_there_is_nothing_to_do() -> None:
    ended = replace(row("a"), state=TaskState.FAILED)
    assert why_not_revoke([]) == why_not_terminate([]) == "Select a task first"
    assert why_not_revoke([ended]) == "It has ended: Failed"
    assert why_not_revoke([ended, ended]) == "All of them have ended"
    assert why_not_revoke([ended, row("b")]) is why_not_terminate([ended, row("b")]) is None
    assert why_not_terminate([ended]) == "Only a running task can be terminated"
