"""The single write path: allowed, confirmed, recorded, done, told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from console.core.activity import ActivityEntry, Outcome
from console.core.clock import SystemClock
from console.core.connection import ConnectionInfo, Environment, Mode, Right
from console.core.errors import ConsoleError
from console.core.notices import Level, NoticeBoard
from console.core.operations import Choice, Confirmation, Danger, Operation, OperationRunner, Subject


class Log:
    def __init__(self, *, broken: bool = False) -> None:
        self.entries: list[ActivityEntry] = []
        self.endings: list[tuple[int, Outcome, str]] = []
        self.broken = broken

    async def begin(self, entry: ActivityEntry) -> int:
        if self.broken:
            raise ConsoleError("The activity log cannot be used")
        self.entries.append(entry)
        return len(self.entries)

    async def finish(self, number: int, outcome: Outcome, said: str) -> None:
        self.endings.append((number, outcome, said))


class Setup:
    def __init__(self, *, mode: Mode = Mode.FULL, broken_log: bool = False) -> None:
        self.log = Log(broken=broken_log)
        self.notices = NoticeBoard(SystemClock())
        self.info = ConnectionInfo("c", "Shop", Environment.PRODUCTION, mode)
        self.runner = OperationRunner(
            activity=self.log,
            notices=self.notices,
            clock=SystemClock(),
            connection=lambda: self.info,
            who="asha",
            rights=lambda: self.rights,
        )
        self.rights: dict[Right, str] = {}
        self.asked: list[Operation] = []
        self.answer: Confirmation | None = Confirmation("because")
        self.runner.confirm = self._confirm
        self.changes: list[frozenset[Subject]] = []
        self.runner.changed.connect(self.changes.append)
        self.ran = 0

    async def _confirm(self, operation: Operation, connection: ConnectionInfo | None) -> Confirmation | None:
        self.asked.append(operation)
        return self.answer

    def operation(self, danger: Danger = Danger.SAFE, *, error: Exception | None = None) -> Operation:
        async def run() -> str:
            self.ran += 1
            if error is not None:
                raise error
            return "Revoked on 2 workers"

        return Operation("Revoke task", "send_invoice", danger, run, changes=frozenset({Subject.TASKS}))


async def test_a_safe_operation_runs_and_is_recorded() -> None:
    setup = Setup()
    assert await setup.runner.run(setup.operation())
    assert setup.asked == []
    entry = setup.log.entries[0]
    assert (entry.who, entry.connection, entry.operation, entry.target) == (
        "asha",
        "Shop",
        "Revoke task",
        "send_invoice",
    )
    assert setup.log.endings == [(1, Outcome.DONE, "Revoked on 2 workers")]
    assert setup.changes == [frozenset({Subject.TASKS})]
    assert setup.notices.notices[-1].text == "Revoked on 2 workers"


async def test_a_dangerous_one_asks_and_keeps_the_reason() -> None:
    setup = Setup()
    assert await setup.runner.run(setup.operation(Danger.DESTRUCTIVE))
    assert len(setup.asked) == 1
    assert setup.log.entries[0].reason == "because"


async def test_no_means_that_nothing_happens() -> None:
    setup = Setup()
    setup.answer = None
    assert not await setup.runner.run(setup.operation(Danger.DISRUPTIVE))
    assert setup.ran == 0
    assert setup.log.entries == []


async def test_a_read_only_connection_refuses() -> None:
    setup = Setup(mode=Mode.READ_ONLY)
    assert not await setup.runner.run(setup.operation())
    assert setup.ran == 0
    assert "read only" in setup.notices.notices[-1].detail


async def test_a_read_only_connection_may_be_asked_what_changes_nothing() -> None:
    setup = Setup(mode=Mode.READ_ONLY)
    assert await setup.runner.run(replace(setup.operation(), writes=False))


async def test_a_connection_for_support_sends_by_recipe_only() -> None:
    setup = Setup(mode=Mode.SUPPORT)
    refusal = setup.runner.refusal(setup.operation())
    assert refusal is not None
    assert "resending by recipe only" in refusal
    assert not await setup.runner.run(setup.operation())
    assert await setup.runner.run(replace(setup.operation(), recipe=True))


async def test_what_the_broker_would_refuse_is_said_before() -> None:
    setup = Setup()
    wants = replace(setup.operation(), needs=(Right.ASK_WORKERS,))
    assert setup.runner.refusal(wants) is None
    setup.rights[Right.ASK_WORKERS] = "The broker user may not ask workers"
    assert setup.runner.refusal(wants) == "The broker user may not ask workers"
    assert not await setup.runner.run(wants)
    assert setup.ran == 0


async def test_what_cannot_be_recorded_is_not_done() -> None:
    setup = Setup(broken_log=True)
    assert not await setup.runner.run(setup.operation())
    assert setup.ran == 0


async def test_a_failure_is_recorded_and_told() -> None:
    setup = Setup()
    assert not await setup.runner.run(setup.operation(error=ConsoleError("No worker answered")))
    assert setup.log.endings == [(1, Outcome.FAILED, "No worker answered")]
    assert setup.notices.notices[-1].level is Level.ERROR


async def test_a_bug_is_recorded_and_goes_on_to_the_crash_report() -> None:
    setup = Setup()
    with pytest.raises(ZeroDivisionError):
        await setup.runner.run(setup.operation(error=ZeroDivisionError()))
    assert setup.log.endings == [(1, Outcome.FAILED, "ZeroDivisionError")]


async def test_what_was_confirmed_for_one_place_is_not_done_in_another() -> None:
    setup = Setup()
    elsewhere = ConnectionInfo("d", "Other shop", Environment.PRODUCTION)

    async def switch(operation: Operation, connection: ConnectionInfo | None) -> Confirmation | None:
        setup.info = elsewhere
        return Confirmation()

    setup.runner.confirm = switch
    assert not await setup.runner.run(setup.operation(Danger.DESTRUCTIVE))
    assert setup.ran == 0
    assert "nothing was done" in setup.notices.notices[-1].text


async def test_what_is_being_recorded_for_one_place_is_not_done_in_another() -> None:
    setup = Setup()
    begin = setup.log.begin

    async def slow(entry: ActivityEntry) -> int:
        number = await begin(entry)
        setup.info = replace(setup.info, id="other", name="Other")
        return number

    setup.log.begin = slow  # type: ignore[method-assign]
    assert not await setup.runner.run(setup.operation())
    assert setup.ran == 0
    assert setup.log.endings == [(1, Outcome.FAILED, "Nothing was done: the connection changed")]
    assert "nothing was done" in setup.notices.notices[-1].text


async def test_the_way_that_is_chosen_in_the_dialog_is_run_and_recorded() -> None:
    setup = Setup()
    first, second = (replace(setup.operation(Danger.DESTRUCTIVE), target=name) for name in ("TERM", "KILL"))
    ways = (Choice("TERM", "gently", first), Choice("KILL", "at once", second))
    setup.answer = Confirmation("stuck", 1)
    assert await setup.runner.run(replace(first, choices=ways))
    assert [(entry.target, entry.reason) for entry in setup.log.entries] == [("KILL", "stuck")]
    assert setup.ran == 1
