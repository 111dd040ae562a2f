"""What a set of marks says of a task, and how long what reconciliation found holds."""

from __future__ import annotations

import itertools

import pytest

from console.history.marks import (
    CODE_OF,
    FAILED,
    RECEIVED,
    REJECTED,
    REVOKED,
    SENT,
    STARTED,
    SUCCEEDED,
    VERDICT,
    Mark,
    attempts_of,
    decode_marks,
    derive,
    encode_marks,
    last_traceback,
    verdict_mark,
    with_verdict,
)
from console.history.model import TaskState

NOW = 1_790_000_000.0
WEB, OTHER = "celery@web-1", "celery@web-2"
RUNNING: list[Mark] = [
    (SENT, NOW, "gen7@api", 7, 0, 3),
    (RECEIVED, NOW + 1, WEB, 5, 0, 3),
    (STARTED, NOW + 2, WEB, 5, None, None),
]
LOST = verdict_mark(TaskState.LOST, NOW + 100, "No worker holds it.", events=3)


def state_of(*marks: Mark) -> TaskState:
    found = {derive(list(order)).state for order in itertools.permutations(marks)}
    assert len(found) == 1
    return tuple(TaskState)[found.pop()]


def test_a_verdict_is_what_the_row_shows_with_its_reason() -> None:
    row = derive([*RUNNING, LOST])
    assert row.state == CODE_OF[TaskState.LOST]
    assert row.reason == "No worker holds it."
    assert (row.worker, row.started, row.ended, row.runtime) == (WEB, NOW + 2, 0.0, -1.0)


def test_a_verdict_survives_being_stored() -> None:
    marks = [*RUNNING, LOST]
    assert decode_marks(encode_marks(marks)) == marks


@pytest.mark.parametrize(
    "later",
    [
        (STARTED, NOW + 200, OTHER, 9, None, None),
        (STARTED, NOW - 3600, OTHER, 9, None, None),  # a worker whose clock is an hour behind
        (SUCCEEDED, NOW + 3, WEB, 5, 1.0, None),
        (SUCCEEDED, NOW - 3600, WEB, 5, 1.0, None),
        (FAILED, 0.0, WEB, 5, "ValueError()", None),
    ],
)
def test_whatever_comes_of_a_lost_task_ends_its_loss(later: Mark) -> None:
    state = state_of(*RUNNING, LOST, later)
    assert state is not TaskState.LOST
    assert derive([*RUNNING, LOST, later]).reason is None


def test_what_the_backend_holds_stands_against_an_event_that_came_late() -> None:
    found = verdict_mark(
        TaskState.SUCCEEDED, NOW + 100, "The result backend holds its result.", ended=NOW + 4, result="42"
    )
    assert state_of(RUNNING[1], found) is TaskState.SUCCEEDED
    assert state_of(*RUNNING, found) is TaskState.SUCCEEDED
    row = derive([*RUNNING, found])
    assert (row.ended, row.runtime, row.result) == (NOW + 4, 2.0, "42")
    again: Mark = (STARTED, NOW + 200, OTHER, 9, None, None)
    assert state_of(*RUNNING, found, again) is TaskState.STARTED


def test_an_end_that_a_worker_tells_is_shown_instead_of_what_was_found() -> None:
    found = verdict_mark(TaskState.FAILED, NOW + 100, "The result backend says so.", exception="OSError()")
    row = derive([*RUNNING, found, (SUCCEEDED, NOW + 3, WEB, 5, 1.0, None)])
    assert row.state == CODE_OF[TaskState.SUCCEEDED]
    assert (row.reason, row.exception, row.runtime) == (None, None, 1.0)


def test_a_failure_found_in_the_backend_has_its_exception_and_traceback() -> None:
    found = verdict_mark(
        TaskState.FAILED, NOW + 100, "So it says.", ended=NOW + 9, exception="OSError()", traceback="Trace"
    )
    marks = [*RUNNING, found]
    assert derive(marks).exception == "OSError()"
    assert last_traceback(marks) == "Trace"
    (attempt,) = attempts_of(marks)
    assert (attempt.state, attempt.exception, attempt.traceback) == (TaskState.FAILED, "OSError()", "Trace")


def test_the_later_of_two_verdicts_counts_and_takes_the_place_of_the_other() -> None:
    withdrawn = verdict_mark(None, NOW + 200, "")
    assert state_of(*RUNNING, LOST, withdrawn) is TaskState.STARTED
    for one, other in itertools.permutations([LOST, withdrawn]):
        marks = with_verdict(with_verdict(list(RUNNING), one), other)
        assert [mark for mark in marks if mark[0] == VERDICT] == [withdrawn]


@pytest.mark.parametrize(
    ("mark", "reason"),
    [
        ((REVOKED, NOW + 5, WEB, 5, "expired", None), "It expired before it was started."),
        ((REVOKED, NOW + 5, WEB, 5, "revoked", None), "It was revoked before it was started."),
        ((REVOKED, NOW + 5, WEB, 5, "terminated", "15"), "It was terminated by signal 15."),
        ((REVOKED, NOW + 5, WEB, 5, "terminated", "SIGKILL"), "It was terminated by SIGKILL."),
        ((REVOKED, NOW + 5, WEB, 5, "terminated", None), "It was terminated."),
    ],
)
def test_how_a_task_was_revoked(mark: Mark, reason: str) -> None:
    assert derive([*RUNNING[:2], mark]).reason == reason


def test_a_refusal_after_a_failure_is_no_second_try() -> None:
    marks: list[Mark] = [
        *RUNNING, (FAILED, NOW + 3, WEB, 5, "ValueError()", "T"), (REJECTED, NOW + 3.1, WEB, 5, False, None)
    ]  # fmt: skip
    (attempt,) = attempts_of(marks)
    assert (attempt.state, attempt.exception) == (TaskState.REJECTED, "ValueError()")


def test_what_was_received_and_lost_is_one_attempt() -> None:
    lost = verdict_mark(TaskState.LOST, NOW + 100, "Gone.", events=2)
    (attempt,) = attempts_of([*RUNNING[:2], lost])
    assert (attempt.state, attempt.ended) == (TaskState.LOST, None)
