"""What is said of a silent task, by what was found out: never Lost where something is not known."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from console.broker.results import BackendResult
from console.collector.reconcile_evidence import Evidence, Hold, MessagesFound, Suspect, WorkersSay
from console.collector.reconcile_judge import FINE, judge
from console.history.marks import STATE_CODES, WITHDRAWN, Mark, decode_marks, encode_marks
from console.history.model import Gap, TaskState, WorkerSeen

NOW = 1_790_000_000.0
WEB, OTHER = "celery@web-1", "celery@web-2"


def at(offset_s: float) -> datetime:
    return datetime.fromtimestamp(NOW + offset_s, UTC)


def suspect(told: TaskState = TaskState.STARTED, **changed: Any) -> Suspect:
    worker = "" if told is TaskState.SENT else WEB
    plain = Suspect(
        "t",
        state=told,
        told=told,
        worker=worker,
        queue="mail",
        quiet_since=NOW - 600,
        newest=NOW - 600,
        events=3,
        pid=0 if told is TaskState.SENT else 5,
    )
    return replace(plain, **changed)


def seen(name: str, last_s: float = -1.0, **changed: Any) -> WorkerSeen:
    plain = WorkerSeen(name, True, at(last_s), 2.0, 0, 0, (), 5, "py-celery 5.7.0", 0.0)
    return replace(plain, **changed)


def evidence(**changed: Any) -> Evidence:
    """A worker that ended, another that runs on, and nothing found anywhere."""
    plain = Evidence(
        now=NOW,
        workers=WorkersSay(answered=frozenset({OTHER}), listening=1, asked_all=True),
        messages=MessagesFound(complete=True),
        results={},
        results_problem="",
        seen={WEB: seen(WEB, -500.0), OTHER: seen(OTHER)},
        heard={OTHER: NOW - 5},
        gaps=(),
        silent_s=20.0,
    )
    return replace(plain, **changed)


def said(mark: Mark | None) -> tuple[TaskState | None, str]:
    assert mark is not None
    return (None if mark[4] == WITHDRAWN else STATE_CODES[mark[4]]), mark[5][0]


def workers(**changed: Any) -> WorkersSay:
    return replace(evidence().workers, **changed)


def test_a_task_of_a_dead_worker_that_is_nowhere_is_lost_at_the_second_look() -> None:
    first = judge(suspect(), evidence(), missing_before=False)
    assert (first.mark, first.missing) == (None, True)
    state, reason = said(judge(suspect(), evidence(), missing_before=True).mark)
    assert state is TaskState.LOST
    assert reason.startswith(
        "No worker holds it, it is in no queue, and the result backend does not know it."
        " Its worker celery@web-1 was last heard of at "
    )


def test_a_worker_that_said_goodbye_has_ended() -> None:
    gone = {WEB: seen(WEB, -500.0, online=False), OTHER: seen(OTHER)}
    _, reason = said(judge(suspect(), evidence(seen=gone), missing_before=True).mark)
    assert "Its worker celery@web-1 ended at " in reason


def test_a_worker_that_said_goodbye_may_still_finish_what_it_runs() -> None:
    gone = {WEB: seen(WEB, -500.0, online=False), OTHER: seen(OTHER)}
    ending = evidence(seen=gone, ending_s=900.0)
    found = judge(suspect(), ending, missing_before=True)
    assert found.mark is None
    assert found.unsure == "celery@web-1 has said goodbye, and may still finish what it runs."
    # What it had only received it gives back.
    assert judge(suspect(TaskState.RECEIVED), ending, missing_before=True).mark is not None
    assert judge(suspect(), replace(ending, ending_s=400.0), missing_before=True).mark is not None


def test_who_is_connected_and_silent_may_run_it() -> None:
    both = workers(listening=None, unheard=frozenset({WEB}))
    found = judge(suspect(), evidence(workers=both), missing_before=True)
    assert (found.mark, found.unsure) == (None, "celery@web-1 did not answer.")


@pytest.mark.parametrize("told", [TaskState.SENT, TaskState.RETRYING])
def test_on_rabbitmq_a_message_may_wait_elsewhere_until_its_time_comes(told: TaskState) -> None:
    later = suspect(told, eta=NOW + 60)
    rabbit = evidence(workers=workers(listening=None))
    assert "Its time is yet to come" in judge(later, rabbit, missing_before=True).unsure
    assert judge(replace(later, eta=NOW - 60), rabbit, missing_before=True).mark is not None
    assert judge(later, evidence(), missing_before=True).mark is not None  # Redis shows all messages


def test_the_result_of_an_earlier_run_is_not_that_of_a_message_that_waits() -> None:
    old = BackendResult("t", "SUCCESS", result_text="1", date_done=at(-900))
    held = workers(held={"t": {OTHER: Hold.RESERVED}})
    again = evidence(workers=held, results={"t": old})
    waiting = suspect(TaskState.RECEIVED)
    assert judge(waiting, again, missing_before=False) == FINE
    found = MessagesFound(places={"t": "mail"}, complete=True)
    assert judge(waiting, evidence(messages=found, results={"t": old}), missing_before=False) == FINE
    # Of one that is nowhere it tells the end: clocks differ, and no event came.
    assert said(judge(waiting, evidence(results={"t": old}), missing_before=False).mark)[0] is (
        TaskState.SUCCEEDED
    )
    late = replace(old, date_done=at(-500))
    ended = judge(waiting, evidence(workers=held, results={"t": late}), missing_before=False)
    assert said(ended.mark)[0] is TaskState.SUCCEEDED


def test_what_is_said_can_be_stored_whatever_others_wrote() -> None:
    odd = BackendResult(
        "t", "FAILURE", exception="E('\udce9')", traceback="\ud800", worker="w\udce9b\n" + "x" * 9000
    )
    mark = judge(suspect(), evidence(results={"t": odd}), missing_before=False).mark
    assert mark is not None
    assert decode_marks(encode_marks([mark])) == [mark]
    assert len(mark[2]) <= 512
    assert mark[2].isprintable()
    running = workers(held={"t": {"w\udce9" + "x" * 9000: Hold.ACTIVE}})
    told = judge(suspect(TaskState.RECEIVED), evidence(workers=running), missing_before=False).mark
    assert told is not None
    assert decode_marks(encode_marks([told])) == [told]
    assert len(told[5][0]) <= 2001


@pytest.mark.parametrize(
    ("anew", "up_s"),
    [({"pid": 6}, {}), ({"pid": 5}, {WEB: 30.0}), ({"pid": 5, "clock_offset_s": 100.0}, {WEB: 30.0})],
)
def test_a_worker_of_the_same_name_may_be_another_process(
    anew: dict[str, Any], up_s: dict[str, float]
) -> None:
    both = workers(answered=frozenset({WEB, OTHER}), listening=2, up_s=up_s)
    found = evidence(workers=both, seen={WEB: seen(WEB, **anew), OTHER: seen(OTHER)})
    state, reason = said(judge(suspect(), found, missing_before=True).mark)
    assert state is TaskState.LOST
    assert reason.endswith("Its worker celery@web-1 was started anew since.")


OPEN = Gap(at(-30), None, "The broker closed the connection", None)
PAST = Gap(at(-400), at(-300), "The console was closed", None)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"workers": WorkersSay(problem="The broker user may not ask.")}, "The broker user may not ask."),
        ({"workers": workers(listening=2)}, "A worker did not answer."),
        ({"workers": workers(answered=frozenset(), listening=None)}, f"{OTHER} did not answer."),
        (
            {"messages": MessagesFound(problem="More than 50,000 messages wait.")},
            "More than 50,000 messages wait.",
        ),
        ({"results_problem": "The database cannot be reached"}, "The database cannot be reached"),
        (
            {"results": {"t": BackendResult("t", "", problem="It is pickled")}},
            "Its result cannot be read: It is pickled.",
        ),
        ({"gaps": (OPEN,)}, "Events are not read at this time."),
        ({"seen": {OTHER: seen(OTHER)}}, f"Nothing is known of its worker {WEB}."),
        (
            {"results": None, "gaps": (PAST,)},
            "It may have ended while events were missed, and no result backend is known.",
        ),
        (
            {
                "workers": workers(answered=frozenset({WEB, OTHER}), listening=2),
                "seen": {WEB: seen(WEB), OTHER: seen(OTHER)},
            },
            f"It may have ended unnoticed: {WEB} runs on and does not hold it any more.",
        ),
    ],
)
def test_what_is_not_known_leaves_it_as_it_is_and_says_why(changed: dict[str, Any], why: str) -> None:
    found = judge(suspect(), evidence(**changed), missing_before=True)
    assert (found.mark, found.missing, found.unsure) == (None, False, why)


@pytest.mark.parametrize("changed", [{"messages": None}, {"workers": workers(asked_all=False)}])
def test_half_a_look_says_nothing(changed: dict[str, Any]) -> None:
    assert judge(suspect(), evidence(**changed), missing_before=True) == FINE


def test_without_a_result_backend_only_a_death_that_was_watched_is_a_loss() -> None:
    _, reason = said(judge(suspect(), evidence(results=None), missing_before=True).mark)
    assert "it is in no queue. No result backend is known that could tell more." in reason


def test_events_that_were_missed_are_told_with_the_loss() -> None:
    _, reason = said(judge(suspect(), evidence(gaps=(PAST,)), missing_before=True).mark)
    assert "so that it may also have ended unnoticed." in reason


def test_without_any_worker_the_words_fit() -> None:
    nobody = evidence(workers=workers(answered=frozenset(), listening=0), seen={WEB: seen(WEB, -500.0)})
    _, reason = said(judge(suspect(), nobody, missing_before=True).mark)
    assert reason.startswith("No worker is running, it is in no queue")


def test_a_beat_that_listens_is_no_worker_that_keeps_silent() -> None:
    found = evidence(workers=workers(listening=2, beats=frozenset({"celerybeat@host"})))
    assert judge(suspect(), found, missing_before=True).mark is not None


class TestWaiting:
    """Tasks that no worker has received."""

    def test_what_is_in_a_queue_waits(self) -> None:
        found = evidence(messages=MessagesFound({"t": "mail"}, complete=False))
        assert judge(suspect(TaskState.SENT), found, missing_before=True).mark is None

    def test_a_message_that_is_gone_is_lost_where_every_worker_tells_what_it_takes(self) -> None:
        state, _ = said(judge(suspect(TaskState.SENT), evidence(), missing_before=True).mark)
        assert state is TaskState.LOST

    @pytest.mark.parametrize(
        "changed", [{"heard": {}}, {"heard": {OTHER: NOW - 700}}, {"gaps": (PAST,)}, {"results": None}]
    )
    def test_it_may_have_run_unnoticed(self, changed: dict[str, Any]) -> None:
        found = judge(suspect(TaskState.SENT), evidence(**changed), missing_before=True)
        assert found.unsure.startswith("It may have run unnoticed")

    def test_one_that_expired_is_revoked(self) -> None:
        one = suspect(TaskState.SENT, expires=NOW - 60)
        state, reason = said(judge(one, evidence(), missing_before=True).mark)
        assert state is TaskState.REVOKED
        assert reason.startswith("It expired at ")

    def test_nothing_is_said_before_the_queues_were_looked_through(self) -> None:
        found = judge(suspect(TaskState.SENT), evidence(messages=None), missing_before=True)
        assert (found.mark, found.missing, found.unsure) == (None, False, "")


class TestRevoked:
    held = workers(
        held={"t": {OTHER: Hold.SCHEDULED}}, revoked={"t": frozenset({OTHER})}, answered=frozenset({OTHER})
    )

    def test_a_held_one_will_be_dropped(self) -> None:
        one = suspect(TaskState.RECEIVED, eta=NOW + 60)
        state, reason = said(judge(one, evidence(workers=self.held), missing_before=False).mark)
        assert state is TaskState.REVOKED
        assert reason.startswith(f"It was revoked: {OTHER} will drop it instead of running it at ")

    def test_one_that_nobody_holds_will_not_run(self) -> None:
        found = evidence(workers=replace(self.held, held={}))
        _, reason = said(judge(suspect(TaskState.RECEIVED), found, missing_before=False).mark)
        assert reason == f"It was revoked: {OTHER} will not run it, and no worker holds it."

    def test_one_whose_message_may_go_to_a_worker_that_does_not_know_of_it(self) -> None:
        both = replace(self.held, held={}, answered=frozenset({OTHER, "celery@web-3"}), listening=2)
        waiting = MessagesFound({"t": "unacknowledged"}, complete=True)
        found = evidence(workers=both, messages=waiting)
        assert judge(suspect(TaskState.RECEIVED), found, missing_before=False).mark is None
        gone = evidence(workers=both)
        assert judge(suspect(TaskState.RECEIVED), gone, missing_before=False).mark is not None

    def test_a_holder_that_does_not_know_of_it_will_run_it(self) -> None:
        found = evidence(workers=replace(self.held, revoked={"t": frozenset({"celery@web-3"})}))
        assert judge(suspect(TaskState.RECEIVED), found, missing_before=False).mark is None

    def test_one_that_runs_already_runs_on(self) -> None:
        running = replace(self.held, held={"t": {OTHER: Hold.ACTIVE}})
        assert judge(suspect(), evidence(workers=running), missing_before=False).mark is None


class TestResults:
    @pytest.mark.parametrize(
        ("word", "state"),
        [("SUCCESS", TaskState.SUCCEEDED), ("FAILURE", TaskState.FAILED), ("REVOKED", TaskState.REVOKED)],
    )
    def test_an_end_that_the_backend_knows(self, word: str, state: TaskState) -> None:
        stored = BackendResult(
            "t", word, result_text="42", exception="E()", traceback="T", date_done=at(-100), worker=WEB
        )
        mark = judge(suspect(), evidence(results={"t": stored}), missing_before=False).mark
        assert said(mark)[0] is state
        assert mark is not None
        assert mark[5][1:] == [NOW - 100, "42", "E()", "T"]
        assert mark[2] == WEB

    @pytest.mark.parametrize("word", ["STARTED", "RETRY", "PENDING", "PROGRESS"])
    def test_other_words_are_no_end(self, word: str) -> None:
        found = judge(suspect(), evidence(results={"t": BackendResult("t", word)}), missing_before=False)
        assert found.mark is None

    def test_a_result_needs_no_worker_to_answer(self) -> None:
        stored = {"t": BackendResult("t", "SUCCESS", result_text="1")}
        mute = evidence(workers=WorkersSay(problem="No."), results=stored)
        assert said(judge(suspect(), mute, missing_before=False).mark)[0] is TaskState.SUCCEEDED

    def test_what_runs_now_is_not_over(self) -> None:
        running = workers(held={"t": {OTHER: Hold.ACTIVE}})
        stored = {"t": BackendResult("t", "SUCCESS", result_text="1")}
        found = evidence(workers=running, results=stored)
        assert judge(suspect(), found, missing_before=False).mark is None

    def test_a_clock_that_is_ahead_does_not_outlive_what_was_found(self) -> None:
        stored = {"t": BackendResult("t", "SUCCESS", result_text="1")}
        mark = judge(suspect(newest=NOW + 5000), evidence(results=stored), missing_before=False).mark
        assert mark is not None
        assert mark[1] == NOW + 5000


@pytest.mark.parametrize("hold", [Hold.RESERVED, Hold.SCHEDULED, Hold.ACTIVE])
def test_a_lost_task_that_a_worker_holds_is_what_its_events_say(hold: Hold) -> None:
    lost = suspect(state=TaskState.LOST)
    found = evidence(workers=workers(held={"t": {OTHER: hold}}))
    assert said(judge(lost, found, missing_before=True).mark)[0] is None


def test_a_lost_task_whose_message_turns_up_waits_again() -> None:
    lost = suspect(TaskState.RECEIVED, state=TaskState.LOST)
    found = evidence(messages=MessagesFound({"t": "unacknowledged"}, complete=True))
    assert said(judge(lost, found, missing_before=True).mark)[0] is None


def test_a_lost_task_stays_lost_without_being_said_again() -> None:
    found = judge(suspect(state=TaskState.LOST), evidence(), missing_before=True)
    assert (found.mark, found.missing) == (None, True)


def test_a_start_that_was_missed() -> None:
    found = evidence(workers=workers(held={"t": {OTHER: Hold.ACTIVE}}))
    mark = judge(suspect(TaskState.RECEIVED), found, missing_before=False).mark
    assert said(mark) == (
        TaskState.STARTED,
        f"{OTHER} says that it runs it; the event of its start was missed.",
    )
    shown = suspect(TaskState.RECEIVED, state=TaskState.STARTED)
    assert judge(shown, found, missing_before=False).mark is None


def test_an_instant_of_another_day_is_told_with_its_day() -> None:
    long_ago = {WEB: seen(WEB, -86_400.0 * 3), OTHER: seen(OTHER)}
    _, reason = said(
        judge(suspect(quiet_since=NOW - 86_400 * 4), evidence(seen=long_ago), missing_before=True).mark
    )
    assert " on 2026-" in reason
