"""Revoking and terminating tasks, one or many, as operations whose effect is looked for and told.

Both are words to the workers, kept in their memory: they count when a worker answers, and are proved when
the history shows the task as Revoked. A worker that runs tasks in its own process (threads, solo) cannot end
one, and says so.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Protocol

from console.core.connection import Right
from console.core.errors import Cause, ConsoleError
from console.core.operations import Choice, Danger, Operation, Subject
from console.history.model import TaskRow, TaskState
from console.tasks.gateway import Answer

AT_ONCE = 500
"""Ids in one command; a worker remembers 50,000 revoked ids (celery/worker/state.py, REVOKES_MAX)."""
PROOF_S = 4.0
REVOKE_PROOF_S = 1.0
LOOK_EVERY_S = 0.25
NAMED_AT_MOST = 3
# celery/worker/control.py, `_revoke`: the answer of a worker that has none of the tasks.
_UNKNOWN = "tasks unknown"
# celery/concurrency/base.py, `terminate_job`: what a pool without processes of its own raises.
_NO_PROCESS = "does not implement kill_job"


class KillSignal(StrEnum):
    """What the process that runs a task is sent; the words of the dialog."""

    TERM = "SIGTERM"
    INT = "SIGINT"
    QUIT = "SIGQUIT"
    KILL = "SIGKILL"
    USR1 = "SIGUSR1"


SIGNAL_WORDS: Mapping[KillSignal, str] = {
    KillSignal.TERM: "Ends the process in the middle of its work; its own handler may still tidy up.",
    KillSignal.INT: (
        "Celery's processes ignore it unless the task has set a handler of its own; the worker counts the "
        "task as Revoked all the same."
    ),
    KillSignal.QUIT: "Ends the process at once, by the handler that a worker has for a cold shutdown.",
    KillSignal.KILL: "Ends the process at once. Nothing can tidy up: files and locks stay as they are.",
    KillSignal.USR1: (
        "Soft time limit: raises SoftTimeLimitExceeded in the task, which may catch it and end in good order."
    ),
}


class WorkersAndHistory(Protocol):
    """What the operations need of the service."""

    def online(self) -> frozenset[str]:
        """The workers whose answers are waited for; empty when none is known."""
        ...

    async def tell(self, task_ids: Sequence[str], signal: KillSignal | None) -> list[Answer]:
        """Have all workers revoke these tasks and, with `signal`, end them. Raises `ConsoleError`."""
        ...

    async def states(self, task_ids: Sequence[str]) -> Mapping[str, TaskState]:
        """The states in the history, of those that it has. Raises `ConsoleError`."""
        ...


def why_not_revoke(rows: Sequence[TaskRow]) -> str | None:
    """Why revoking makes no sense; None when it does for at least one."""
    if not rows:
        return "Select a task first"
    if all(row.state.is_final for row in rows):
        return f"It has ended: {rows[0].state.value}" if len(rows) == 1 else "All of them have ended"
    return None


def why_not_terminate(rows: Sequence[TaskRow]) -> str | None:
    """Why there is nothing to terminate; None when there is."""
    if not rows:
        return "Select a task first"
    if not any(row.state is TaskState.STARTED for row in rows):
        return "Only a running task can be terminated"
    return None


def revoke_operation(rows: Sequence[TaskRow], outside: WorkersAndHistory) -> Operation:
    """Tell the workers not to run these tasks. Those that have ended are left out."""
    chosen = [row for row in rows if not row.state.is_final]
    return Operation(
        name="Revoke task" if len(chosen) == 1 else "Revoke tasks",
        target=target_words(chosen),
        danger=Danger.DISRUPTIVE,
        verb="Revoke",
        question=f"Revoke {_these(chosen)}?",
        consequence=_revoke_consequence(chosen) + _left_out(len(rows) - len(chosen), "have ended"),
        run=lambda: _revoke(chosen, outside),
        changes=frozenset({Subject.TASKS, Subject.WORKERS}),
        needs=(Right.ASK_WORKERS,),
    )


def terminate_operation(rows: Sequence[TaskRow], outside: WorkersAndHistory) -> Operation:
    """End the processes that run these tasks, with the signal that is chosen while it is confirmed. Those
    that do not run are left out.
    """
    ways = tuple(
        Choice(signal.value, SIGNAL_WORDS[signal], _terminate_with(signal, rows, outside))
        for signal in KillSignal
    )
    return replace(ways[0].operation, choices=ways)


def _terminate_with(signal: KillSignal, rows: Sequence[TaskRow], outside: WorkersAndHistory) -> Operation:
    chosen = [row for row in rows if row.state is TaskState.STARTED]
    one = len(chosen) == 1
    where = chosen[0].worker or "its worker" if one else "their workers"
    kept = (
        "What it has done so far stays done; it is not run again."
        if one
        else "What they have done so far stays done; they are not run again."
    )
    return Operation(
        name="Terminate task" if one else "Terminate tasks",
        target=f"{target_words(chosen)}, {signal}",
        danger=Danger.DESTRUCTIVE,
        verb="Terminate",
        question=f"Terminate {_these(chosen)}?",
        consequence=(
            f"{'The process' if one else 'Each process'} on {where} that runs "
            f"{'it' if one else 'one of them'} gets a signal. {kept}"
            f"{_left_out(len(rows) - len(chosen), 'do not run')}"
        ),
        run=lambda: _terminate(chosen, outside, signal),
        changes=frozenset({Subject.TASKS, Subject.WORKERS}),
        needs=(Right.ASK_WORKERS,),
    )


def target_words(rows: Sequence[TaskRow]) -> str:
    """Whom an operation is about, for the activity log."""
    if len(rows) == 1:
        return f"{rows[0].name or 'Task'} {rows[0].id}"
    names = Counter(row.name or "unnamed" for row in rows).most_common()
    told = ", ".join(f"{count:,} {name}" for name, count in names[:NAMED_AT_MOST])
    more = f" and {len(names) - NAMED_AT_MOST} more names" if len(names) > NAMED_AT_MOST else ""
    return f"{len(rows):,} tasks: {told}{more}"


async def _revoke(rows: Sequence[TaskRow], outside: WorkersAndHistory) -> str:
    answers = await _told(rows, outside, None)
    states = await _proved(rows, outside, REVOKE_PROOF_S)
    revoked = sum(state is TaskState.REVOKED for state in states.values())
    workers = {answer.hostname for answer in answers if answer.ok}
    whom = "1 worker" if len(workers) == 1 else f"{len(workers)} workers"
    if len(rows) == 1:
        said = "it is Revoked" if revoked else f"{whom} will not run it"
        return f"Revoked: {said}{_silent(outside.online(), answers)}"
    proof = f"; {revoked:,} are Revoked by now" if revoked else ""
    return f"Revoked: {whom} will not run {len(rows):,} tasks{proof}{_silent(outside.online(), answers)}"


async def _terminate(rows: Sequence[TaskRow], outside: WorkersAndHistory, signal: KillSignal) -> str:
    answers = await _told(rows, outside, signal)
    ended_by = sorted({one.hostname for one in answers if one.ok and _UNKNOWN not in one.text})
    unable = [one for one in answers if not one.ok]
    if not ended_by:
        raise _not_terminated(unable)
    states = await _proved(rows, outside, PROOF_S)
    on = _named(ended_by)
    limits = f"; {_unable_words(unable[0])}" if unable else ""
    if len(rows) == 1:
        state = states.get(rows[0].id)
        ended = state is not None and state is not TaskState.STARTED
        if signal is KillSignal.INT and ended:
            # The worker announces the end before its process has had the signal, whatever becomes of it.
            return f"{on} sent SIGINT and counts it as Revoked; a process that ignores it runs on{limits}"
        if not ended or state is None:
            return f"{on} was told to terminate it; no word yet{limits}"
        return f"Terminated on {on}; it is {state.value}{limits}"
    ended_count = sum(state is not TaskState.STARTED for state in states.values())
    words = ", ".join(f"{count:,} {state.value}" for state, count in Counter(states.values()).most_common())
    return f"Terminated on {on}: {ended_count:,} of {len(rows):,} have ended ({words}){limits}"


async def _told(
    rows: Sequence[TaskRow], outside: WorkersAndHistory, signal: KillSignal | None
) -> list[Answer]:
    """What the workers answer; one that cannot end tasks answers with an error. Raises `ConsoleError`."""
    ids = [row.id for row in rows]
    answers: list[Answer] = []
    for start in range(0, len(ids), AT_ONCE):
        answers += await outside.tell(ids[start : start + AT_ONCE], signal)
    if not answers:
        raise ConsoleError(
            "No worker answered",
            detail="Revoking is only kept in the memory of running workers.",
            remedy="Start a worker, then try again.",
            cause=Cause.TIMEOUT,
            retryable=True,
        )
    if signal is None and not any(answer.ok for answer in answers):
        refused = answers[0]
        raise ConsoleError(f"{refused.hostname} refused", detail=refused.text[:300], cause=Cause.INVALID)
    return answers


async def _proved(
    rows: Iterable[TaskRow], outside: WorkersAndHistory, wait_s: float
) -> Mapping[str, TaskState]:
    """The states once all have ended, or those after `wait_s`."""
    ids = [row.id for row in rows]
    states: Mapping[str, TaskState] = {}
    try:
        async with asyncio.timeout(wait_s):
            while True:
                states = await outside.states(ids)
                if len(states) == len(ids) and all(state.is_final for state in states.values()):
                    return states
                await asyncio.sleep(LOOK_EVERY_S)
    except (TimeoutError, ConsoleError):
        return states  # without a history there is no proof, and the workers have been told all the same


def _not_terminated(unable: Sequence[Answer]) -> ConsoleError:
    if unable and _NO_PROCESS in unable[0].text:
        return ConsoleError(
            f"{unable[0].hostname} cannot terminate tasks",
            detail="Its pool runs tasks in the worker's own process. A retry of the task is not run.",
            remedy="Only a worker with the prefork or gevent pool can. Wait for its end, or stop the worker.",
            cause=Cause.NOT_PERMITTED,
        )
    if unable:
        return ConsoleError(f"{unable[0].hostname} refused", detail=unable[0].text[:300], cause=Cause.INVALID)
    return ConsoleError(
        "No worker runs this task",
        detail="It may have ended meanwhile; it is revoked all the same.",
        cause=Cause.NOT_FOUND,
    )


def _unable_words(answer: Answer) -> str:
    why = "its pool has no processes" if _NO_PROCESS in answer.text else answer.text[:100]
    return f"{answer.hostname} cannot terminate: {why}"


def _silent(online: frozenset[str], answers: Sequence[Answer]) -> str:
    """Who may still run it, as it did not answer."""
    silent = sorted(online - {answer.hostname for answer in answers})
    return f"; {_named(silent)} did not answer and may still run it" if silent else ""


def _named(workers: Sequence[str]) -> str:
    more = len(workers) - NAMED_AT_MOST
    return ", ".join(workers[:NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")


def _revoke_consequence(rows: Sequence[TaskRow]) -> str:
    running = sum(row.state is TaskState.STARTED for row in rows)
    if len(rows) == 1:
        if running:
            return (
                "It is running: it runs to its end, but a retry of it is not run. Terminate ends it at once."
            )
        return "The workers that run now will discard it when it reaches them. This cannot be taken back."
    runs = f" {running:,} of them are running and run to their end." if running else ""
    return (
        f"The workers that run now will discard them when they reach them.{runs} This cannot be taken back."
    )


def _left_out(count: int, why: str) -> str:
    return f" {count:,} of those selected {why} and are left alone." if count else ""


def _these(rows: Sequence[TaskRow]) -> str:
    if len(rows) == 1:
        return (rows[0].name or "task").rsplit(".", 1)[-1]
    return f"{len(rows):,} tasks"
