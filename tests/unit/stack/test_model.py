"""Words, options, restarts and log lines: the rules that need no process."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.core.errors import ConsoleError
from console.stack.model import (
    LogEntry,
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


BANNER = {
    "worker": """

 -------------- celery@local v5.7.0 (collider)
--- ***** -----
-- ******* ---- Linux-6.18.44-x86_64-with-glibc2.36 2026-11-22 19:31:44
- *** --- * ---
- ** ---------- [config]
- ** ---------- .> app:         bundled_project:0x7fd06fe4fc10
- *** --- * --- .> concurrency: 2 (prefork)
--- ***** -----
 -------------- [queues]
                .> default          exchange=default(direct) key=default

[tasks]
  . bundled_project.shop.tasks.add
""",
    "beat": """celery beat v5.7.0 (collider) is starting.
__    -    ... __   -        _
LocalTime -> 2026-11-22 19:31:44
Configuration ->
    . broker -> redis://:**@127.0.0.1:45011/0

    . logfile -> [stderr]@%INFO
""",
}


def shown(reader: LogReader, line: str, arrived: str) -> LogEntry:
    """The entry of a line that is shown."""
    entry = reader.read(line, arrived)
    assert entry is not None
    return entry


class TestLogReader:
    def test_celery(self) -> None:
        entry = shown(
            LogReader("worker"), "[2026-10-22 14:31:58,204: WARNING/ForkPoolWorker-2] Task x[1] received", "?"
        )
        assert (entry.time, entry.source, entry.level, entry.text, entry.continuation) == (
            "14:31:58.204",
            "worker",
            "WARN",
            "Task x[1] received",
            False,
        )

    def test_valkey(self) -> None:
        entry = shown(
            LogReader("broker"), "9923:M 22 Nov 2026 18:07:11.123 * Ready to accept connections tcp", "?"
        )
        assert (entry.time, entry.level, entry.text) == (
            "18:07:11.123",
            "INFO",
            "Ready to accept connections tcp",
        )
        assert shown(LogReader("broker"), "1:C 02 Jan 2026 08:07:11.123 # Fatal", "?").level == "WARN"

    def test_a_traceback_belongs_to_its_error(self) -> None:
        reader = LogReader("worker")
        reader.read("[2026-10-22 14:32:03,380: ERROR/MainProcess] Task x[1] raised", "?")
        for line in ("Traceback (most recent call last):", '  File "x.py", line 1', "ValueError: on purpose"):
            entry = shown(reader, line, "99:99:99.999")
            assert (entry.level, entry.continuation, entry.time) == ("ERROR", True, "14:32:03.380")

    def test_a_traceback_after_a_warning_ends_with_its_exception(self) -> None:
        reader = LogReader("worker")
        reader.read("[2026-10-22 14:32:03,380: WARNING/MainProcess] Task x[1] reject", "?")
        lines = ("Traceback (most recent call last):", "  raise Reject()", "celery.exceptions.Reject: no")
        assert all(shown(reader, line, "?").continuation for line in lines)
        assert not shown(reader, "printed by somebody", "14:33:00.000").continuation

    def test_a_line_without_a_head_has_its_arrival(self) -> None:
        reader = LogReader("worker")
        lines = ["x.py:893: SecurityWarning: You're running", "absolutely not recommended!", "", "  User"]
        said = [entry for line in lines if (entry := reader.read(line, "14:00:00.000")) is not None]
        assert [(entry.time, entry.level, entry.continuation) for entry in said] == [
            ("14:00:00.000", "INFO", False),
            ("14:00:00.000", "INFO", True),
            ("14:00:00.000", "INFO", True),
        ]
        assert not shown(reader, "said later", "14:00:01.000").continuation

    @pytest.mark.parametrize("source", ["worker", "beat"])
    def test_the_banner_and_blank_lines_are_left_to_the_file(self, source: str) -> None:
        reader = LogReader(source)
        assert [line for line in BANNER[source].splitlines() if reader.read(line, "?") is not None] == []
        shown(reader, "[2026-11-22 19:31:44,365: INFO/MainProcess] celery@local ready.", "?")
        assert reader.read(" ", "?") is None
        assert shown(reader, "- * a task prints", "14:00:00.000").text == "- * a task prints"

    def test_colours_are_removed(self) -> None:
        assert shown(LogReader("worker"), "\x1b[1;31mred\x1b[0m\r", "?").text == "red"

    @given(st.lists(st.text()))
    def test_no_line_breaks_it(self, lines: list[str]) -> None:
        reader = LogReader("worker")
        for line in lines:
            entry = reader.read(line, "14:00:00.000")
            assert entry is None or entry.source == "worker"
