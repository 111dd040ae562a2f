"""Words, options, restarts and log lines: the rules that need no process."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.core.errors import ConsoleError
from console.stack.model import (
    LogReader,
    Outcome,
    Pool,
    RestartPolicy,
    WorkerOptions,
    parse_queues,
)
from console.stack.traffic import FASTEST_PER_S, per_second


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Outcome(signal=9), "killed by SIGKILL"),
        (Outcome(signal=15), "killed by SIGTERM"),
        (Outcome(signal=250), "killed by signal 250"),
        (Outcome(code=1), "exited with status 1"),
        (Outcome(code=0), "ended by itself"),
        (Outcome(error="No such file or directory"), "could not be started: No such file or directory"),
        (Outcome(unwatched=True), "ended together with its watcher, which was killed"),
    ],
)
def test_an_outcome_in_words(outcome: Outcome, words: str) -> None:
    assert outcome.words == words


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (WorkerOptions(queues=("default", "mail")), "2 processes, prefork, queues default, mail"),
        (WorkerOptions(1, Pool.THREADS, ("mail",)), "1 thread, threads, queue mail"),
        (WorkerOptions(4, Pool.SOLO, ("mail",)), "1 task at a time, solo, queue mail"),
        (WorkerOptions(8, Pool.GEVENT, ("mail",)), "8 greenlets, gevent, queue mail"),
    ],
)
def test_worker_options_in_words(options: WorkerOptions, words: str) -> None:
    assert options.words == words
    assert options.short_words == words.split(", queue", 1)[0]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (WorkerOptions(concurrency=0), "1 to 64"),
        (WorkerOptions(concurrency=65), "1 to 64"),
        (WorkerOptions(queues=()), "at least one"),
        (WorkerOptions(queues=("a", "a")), "twice"),
        (WorkerOptions(queues=("--purge me",)), "not a queue name"),
        (WorkerOptions(queues=("",)), "not a queue name"),
    ],
)
def test_wrong_worker_options_say_what_is_wrong(options: WorkerOptions, says: str) -> None:
    with pytest.raises(ConsoleError) as raised:
        options.check()
    assert says in raised.value.detail


def test_the_usual_options_are_right() -> None:
    WorkerOptions().check()


def test_queues_as_a_person_types_them() -> None:
    assert parse_queues(" default,mail  reports,, ") == ("default", "mail", "reports")


def test_restarts_wait_longer_and_end_in_a_loop() -> None:
    policy = RestartPolicy()
    exits = [0.0, 1.0, 3.0, 6.0, 12.0]
    pauses = [policy.pause_s(exits[: n + 1], exits[n]) for n in range(5)]
    assert pauses == [0.5, 1.0, 2.0, 4.0, None]


def test_an_exit_a_minute_later_begins_anew() -> None:
    policy = RestartPolicy()
    assert policy.pause_s([0.0, 1.0, 2.0, 3.0, 100.0], 100.0) == 0.5


@pytest.mark.parametrize(
    ("rate", "per_s"), [("off", 0.0), ("1/s", 1.0), ("10/s", 10.0), ("as fast as possible", FASTEST_PER_S)]
)
def test_rates_of_demo_traffic(rate: str, per_s: float) -> None:
    assert per_second(rate) == per_s


def test_a_rate_that_is_not_offered() -> None:
    with pytest.raises(ConsoleError):
        per_second("1000000/s")


class TestLogReader:
    def test_celery(self) -> None:
        entry = LogReader("worker").read(
            "[2026-10-22 14:31:58,204: WARNING/ForkPoolWorker-2] Task x[1] received", "?"
        )
        assert (entry.time, entry.source, entry.level, entry.text, entry.continuation) == (
            "14:31:58.204",
            "worker",
            "WARN",
            "Task x[1] received",
            False,
        )

    def test_valkey(self) -> None:
        entry = LogReader("broker").read(
            "9923:M 22 Nov 2026 18:07:11.123 * Ready to accept connections tcp", "?"
        )
        assert (entry.time, entry.level, entry.text) == (
            "18:07:11.123",
            "INFO",
            "Ready to accept connections tcp",
        )
        assert LogReader("broker").read("1:C 02 Jan 2026 08:07:11.123 # Fatal", "?").level == "WARN"

    def test_a_traceback_belongs_to_its_error(self) -> None:
        reader = LogReader("worker")
        reader.read("[2026-10-22 14:32:03,380: ERROR/MainProcess] Task x[1] raised", "?")
        for line in ("Traceback (most recent call last):", '  File "x.py", line 1', "ValueError: on purpose"):
            entry = reader.read(line, "99:99:99.999")
            assert (entry.level, entry.continuation, entry.time) == ("ERROR", True, "14:32:03.380")

    def test_a_traceback_after_a_warning_ends_with_its_exception(self) -> None:
        reader = LogReader("worker")
        reader.read("[2026-10-22 14:32:03,380: WARNING/MainProcess] Task x[1] reject", "?")
        lines = ("Traceback (most recent call last):", "  raise Reject()", "celery.exceptions.Reject: no")
        assert all(reader.read(line, "?").continuation for line in lines)
        assert not reader.read("printed by somebody", "14:33:00.000").continuation

    def test_a_line_without_a_head_has_its_arrival(self) -> None:
        entry = LogReader("worker").read(" -------------- local@vm v5.7.0", "14:00:00.000")
        assert (entry.time, entry.level, entry.continuation) == ("14:00:00.000", "INFO", False)

    def test_colours_are_removed(self) -> None:
        assert LogReader("worker").read("\x1b[1;31mred\x1b[0m\r", "?").text == "red"

    @given(st.lists(st.text()))
    def test_no_line_breaks_it(self, lines: list[str]) -> None:
        reader = LogReader("worker")
        for line in lines:
            assert reader.read(line, "14:00:00.000").source == "worker"
