"""From real last lines to cause and remedy."""

from __future__ import annotations

import pytest

from console.stack.diagnosis import SHOWN_LINES, diagnose
from console.stack.model import Outcome

EXITED = Outcome(code=1)


@pytest.mark.parametrize(
    ("lines", "cause", "remedy"),
    [
        (
            ["Traceback (most recent call last):", "ModuleNotFoundError: No module named 'shop.tasks'"],
            "The Python module shop.tasks was not found.",
            "Install it",
        ),
        (
            [
                "Error: Invalid value for '-A' / '--app':",
                "Unable to load celery application.",
                "The module nope was not found.",
            ],
            "The Celery application nope was not found.",
            "can be imported",
        ),
        (
            ["ModuleNotFoundError: No module named 'gevent'"],
            "The gevent pool is chosen, but gevent is not installed.",
            "another pool",
        ),
        (
            ["django.db.utils.OperationalError: database is locked"],
            "Another program holds the database.",
            "Close the program",
        ),
        (
            ["django.db.utils.OperationalError: attempt to write a readonly database"],
            "The database file cannot be written.",
            "right to write",
        ),
        (
            ["django.db.utils.OperationalError: no such column: shop_user.nickname"],
            "The database refused: no such column: shop_user.nickname.",
            "delete the database file",
        ),
        (["sqlite3.OperationalError: database or disk is full"], "The disk is full.", "Make room"),
        (["OSError: [Errno 28] No space left on device"], "The disk is full.", "Make room"),
        (
            [
                "ERROR: Pidfile (/x/celerybeat.pid) already exists.",
                "Seems we're already running? (pid: 4711)",
            ],
            "A pid file of an earlier run names process 4711, which runs.",
            "delete /x/celerybeat.pid",
        ),
        (
            ["PermissionError: [Errno 13] Permission denied: '/srv/x'"],
            "A file or folder cannot be used: permission denied /srv/x",
            "right to read",
        ),
        (
            ["# Bad file format reading the append only file: make a backup"],
            "The broker's data on disk is damaged.",
            "aside",
        ),
        (
            [
                "Usage: celery worker [OPTIONS]",
                "Try 'celery worker --help' for help.",
                "",
                "Error: No such option: --x",
            ],
            "It does not understand its options: No such option: --x.",
            "worker options",
        ),
        (["SyntaxError: invalid syntax (tasks.py, line 3)"], "The project's code does not load", "Correct"),
        (
            ["Error 111 connecting to 127.0.0.1:1. Connection refused."],
            "It could not reach the broker.",
            "log",
        ),
        (["something else"], "It exited with status 1.", "The last lines"),
    ],
)
def test_the_cause_is_read_from_the_log(lines: list[str], cause: str, remedy: str) -> None:
    failure = diagnose("Worker", EXITED, lines)
    assert failure.title == "Worker did not start"
    assert failure.cause.startswith(cause)
    assert remedy in failure.remedy
    assert failure.lines == tuple(line for line in lines if line)


def test_a_taken_port_names_the_process() -> None:
    lines = [
        "# Warning: Could not create server TCP listening socket 127.0.0.1:6379: bind: Address already in use"
    ]
    failure = diagnose("Broker", EXITED, lines, port=6379, port_owner=lambda _: "redis-server (process 812)")
    assert failure.cause == "Port 6379 on 127.0.0.1 is taken by redis-server (process 812)."
    failure = diagnose("Broker", EXITED, lines, port=6379, port_owner=lambda _: "")
    assert failure.cause == "Port 6379 on 127.0.0.1 is taken by another process."


def test_the_last_error_counts() -> None:
    lines = ["ImportError: first", "retrying", "ImportError: second"]
    assert "second" in diagnose("Worker", EXITED, lines).cause


def test_without_a_log_the_outcome_speaks() -> None:
    assert "SIGKILL" in diagnose("Broker", Outcome(signal=9), []).cause
    assert "out-of-memory" in diagnose("Broker", Outcome(signal=9), []).remedy
    assert "watcher" in diagnose("Broker", Outcome(unwatched=True), []).cause
    assert "could not be started" in diagnose("Broker", Outcome(error="No such file or directory"), []).cause
    assert diagnose("Beat", None, [], seconds=30.0).cause == "It runs, but did not become ready within 30 s."


def test_only_the_last_lines_are_shown() -> None:
    assert len(diagnose("Worker", EXITED, [f"line {n}" for n in range(100)]).lines) == SHOWN_LINES
