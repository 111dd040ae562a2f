"""How the life of a task is told: attempts, retries, ETA, what goes on, clocks that contradict each other."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from console.history.model import Attempt, TaskDetail, TaskRow, TaskState
from console.tasks.detail_moments import Life, instant_of, life_of

T0 = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


ROW = TaskRow(
    rowid=1, id="t", name="shop.send", state=TaskState.FAILED, worker="w", queue="mail", sent=at(0),
    received=at(1), started=at(2), ended=at(10), waited_s=2.0, runtime_s=1.0, retries=1, change=1,
)  # fmt: skip
DETAIL = TaskDetail(
    row=ROW, args="()", kwargs="{}", result=None, exception="ValueError('no')", traceback=None, root_id="t",
    parent_id=None, eta=None, expires=None, routing_key="rk", exchange="", pid=1, client="gen7@api",
    attempts=(
        Attempt(1, "w", at(1), at(2), at(4), TaskState.RETRYING, "OSError('gone')", None),
        Attempt(2, "w2", at(5), at(9), at(10), TaskState.FAILED, "ValueError('no')", None),
    ),
)  # fmt: skip
RUNNING = replace(
    DETAIL,
    row=replace(ROW, state=TaskState.STARTED, ended=None, runtime_s=None),
    attempts=(Attempt(1, "w", at(1), at(2), None, TaskState.STARTED, None, None),),
)


def life(detail: TaskDetail, now_s: float = 100) -> Life:
    return life_of(detail, now=at(now_s), zone=UTC)


def told(detail: TaskDetail, now_s: float = 100) -> list[tuple[str, tuple[str, ...]]]:
    return [(one.state.value, one.lines) for one in life(detail, now_s).moments]


def test_a_life_is_told_in_its_order() -> None:
    assert told(DETAIL) == [
        ("Sent", ("api, PID 7", "to mail, routing key rk")),
        ("Received", ("w", "waited 1.0 s")),
        ("Started", ("attempt 1", "waited 1.0 s")),
        ("Retrying", ("after 2.0 s, next in 5.0 s", "OSError")),
        ("Started", ("attempt 2, w2, PID 1", "waited 4.0 s")),
        ("Failed", ("after 1.0 s", "ValueError")),
    ]
    whole = life(DETAIL)
    assert (whole.whole, whole.parts, whole.live) == ("10.0 s in all", "waited 2.0 s, ran 1.0 s", False)
    assert [(one.start, one.end) for one in whole.spans] == [(0.2, 0.4), (0.9, 1.0)]


def test_what_runs_grows() -> None:
    assert told(RUNNING, 6)[-1] == ("Started", ("PID 1", "waited 1.0 s", "running for 4 s"))
    assert told(RUNNING, 7)[-1][1][-1] == "running for 5 s"
    now = life(RUNNING, 10)
    assert (now.live, now.whole) == (True, "10 s so far")
    assert [(one.start, one.end) for one in now.spans] == [(0.2, 1.0)]


def test_what_waits_says_for_how_long_and_until_when() -> None:
    waits = replace(
        DETAIL,
        row=replace(ROW, state=TaskState.RECEIVED, started=None, ended=None, waited_s=None),
        attempts=(Attempt(1, "w", at(1), None, None, TaskState.RECEIVED, None, None),),
        eta=at(60).isoformat(),
    )

    assert told(waits, 31)[-1] == (
        "Received",
        ("w", "waited 1.0 s", "is to run at 03:05:05", "waiting to start for 30 s"),
    )


def test_a_task_that_nobody_took() -> None:
    sent = replace(
        DETAIL, row=replace(ROW, state=TaskState.SENT, received=None, started=None, ended=None), attempts=()
    )

    assert told(sent, 5) == [
        ("Sent", ("api, PID 7", "to mail, routing key rk", "waiting for a worker for 5 s")),
    ]


def test_the_next_attempt_of_a_retry_is_told_by_its_eta() -> None:
    retries = replace(
        DETAIL,
        row=replace(ROW, state=TaskState.RETRYING, ended=at(4)),
        attempts=DETAIL.attempts[:1],
        eta=at(30).isoformat(),
    )

    assert told(retries, 5)[-1] == ("Retrying", ("after 2.0 s, next at 03:04:35", "OSError"))


def test_a_late_start_is_measured_from_the_eta() -> None:
    late = replace(RUNNING, eta=at(1.5).isoformat())

    assert "500 ms after it was to run" in told(late, 6)[-1][1]


def test_clocks_that_contradict_each_other_are_told_and_not_drawn() -> None:
    skewed = replace(
        DETAIL,
        row=replace(ROW, sent=at(3)),
        attempts=(Attempt(1, "w", at(1), at(0.5), at(0.2), TaskState.FAILED, None, None),),
    )

    assert told(skewed)[1:] == [
        ("Received", ("w", "clocks differ: 2.0 s before it was sent")),
        ("Started", ("PID 1", "clocks differ: 500 ms before it was received")),
        ("Failed", ("clocks differ: 300 ms before it started",)),
    ]
    assert life(skewed).spans == ()


def test_a_lost_task_ends_with_the_reason() -> None:
    lost = replace(
        RUNNING, row=replace(RUNNING.row, state=TaskState.LOST), reason="Held by no worker and in no queue"
    )

    assert told(lost)[-1] == ("Lost", ("Held by no worker and in no queue",))
    assert not life(lost).live
    assert "running" not in str(told(lost))


def test_a_revoked_task_tells_why_once() -> None:
    revoked = replace(
        DETAIL,
        row=replace(ROW, state=TaskState.REVOKED),
        attempts=(Attempt(1, "w", at(1), None, at(2), TaskState.REVOKED, None, None),),
        reason="terminated with SIGKILL",
    )

    assert told(revoked)[-1] == ("Revoked", ("terminated with SIGKILL",))


def test_a_task_of_which_nothing_is_known() -> None:
    bare = replace(DETAIL, attempts=(), row=replace(ROW, sent=None, received=None, started=None, ended=None))

    assert told(bare) == [("Failed", ())]
    assert (life(bare).spans, life(bare).whole) == ((), "")


def test_of_many_attempts_the_first_and_the_last_are_told() -> None:
    many = tuple(
        Attempt(number, "w", at(number), at(number), at(number + 0.5), TaskState.RETRYING, None, None)
        for number in range(1, 81)
    )
    lines = [line for one in life(replace(DETAIL, attempts=many)).moments for line in one.lines]

    assert [line.partition(",")[0] for line in lines if line.startswith("attempt")] == [
        *("attempt 1", "attempts 2 to 73 are not shown"),
        *(f"attempt {number}" for number in range(74, 81)),
    ]
    assert len(life(replace(DETAIL, attempts=many)).spans) == 80


def test_instants_of_events() -> None:
    assert instant_of("2026-01-02T03:04:05+00:00") == T0
    assert instant_of("2026-01-02T03:04:05") == T0
    assert instant_of("2026-01-02T08:34:05+05:30") == T0
    assert instant_of("soon") is instant_of(None) is instant_of("") is None


TIMES = st.none() | st.floats(-1e6, 1e6).map(at)
ATTEMPTS = st.builds(
    Attempt,
    number=st.integers(1, 9),
    worker=st.none() | st.just("w"),
    received=TIMES,
    started=TIMES,
    ended=TIMES,
    state=st.sampled_from(list(TaskState)),
    exception=st.none() | st.text(max_size=20),
    traceback=st.none(),
)


@given(
    st.lists(ATTEMPTS, max_size=5),
    st.sampled_from(list(TaskState)),
    TIMES,
    TIMES,
    st.none() | st.text(max_size=30),
)
def test_any_marks_are_told_and_drawn_inside_the_bar(
    attempts: list[Attempt], state: TaskState, sent: datetime | None, ended: datetime | None, eta: str | None
) -> None:
    detail = replace(
        DETAIL, row=replace(ROW, state=state, sent=sent, ended=ended), attempts=tuple(attempts), eta=eta
    )

    for span in life(detail).spans:
        assert 0 <= span.start <= span.end <= 1
