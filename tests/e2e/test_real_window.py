"""The program as a person has it: its own process, its real window, driven through the accessibility tree."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.atspi import Bus, Node, NotThereError, wait_until
from tests.e2e.processes import described, processes_of

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bus() -> Iterator[Bus]:
    bus = Bus()
    yield bus
    bus.close()


@contextmanager
def console(home: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """The running program; ended hard, with all of its processes, if the test did not end it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "console", "--home", str(home), *arguments],
        cwd=ROOT,
        env={**os.environ, "QT_LINUX_ACCESSIBILITY_ALWAYS_ON": "1"},
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        for left in processes_of(home):
            left.kill()


def go_to(window: Node, title: str) -> None:
    """Choose a page in the sidebar."""
    pages = window.find("Pages", "list")
    pages.find(title, "list item").press()


def rows_of(window: Node, table: str) -> list[str]:
    return window.find(table, "table").cells()


def wait_for_row(window: Node, table: str, words: str, within_s: float) -> float:
    """Seconds until a cell of `table` says `words`; an empty page has no table yet."""

    def says() -> bool:
        try:
            return words in rows_of(window, table)
        except NotThereError:
            return False

    return wait_until(says, within_s, f"{words} in {table}")


def close(process: subprocess.Popen[bytes]) -> None:
    """As the end of a session or Ctrl+C does it: nothing is asked, everything ends."""
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) == 0


def test_one_click_to_a_succeeded_task_and_nothing_left(tmp_path: Path, bus: Bus) -> None:
    home = tmp_path / "home"
    with console(home) as process:
        window = bus.application(process.pid)
        button = window.find("Start local stack", "push button", within_s=10)
        button.press()
        window.find("Connected", within_s=15)
        go_to(window, "Tasks")
        wait_for_row(window, "Tasks", "Succeeded", 20)
        go_to(window, "Workers")
        wait_for_row(window, "Workers", "Online", 10)
        go_to(window, "Queues")
        wait_for_row(window, "Queues", "default", 10)
        go_to(window, "Schedules")
        wait_for_row(window, "Schedules", "Flush Redis counters to DB", 10)
        go_to(window, "Local stack")
        window.find("Stop local stack", "push button").press()
        window.find("Disconnected", within_s=10)
        wait_until(
            lambda: not [one for one in processes_of(home) if one.pid != process.pid],
            10,
            "the end of the stack",
        )
        go_to(window, "Activity")
        wait_for_row(window, "Activity", "Stop local stack", 5)
        close(process)
    assert described(processes_of(home)) == []


def test_a_killed_console_leaves_no_process(tmp_path: Path, bus: Bus) -> None:
    home = tmp_path / "home"
    with console(home, "--start-stack") as process:
        window = bus.application(process.pid)
        window.find("Connected", within_s=20)
        wait_until(lambda: len(processes_of(home)) > 4, 20, "the processes of the stack")
        process.kill()
        process.wait()
        started_s = time.monotonic()
        wait_until(lambda: not processes_of(home), 10, "the end of everything")
        assert time.monotonic() - started_s < 10, described(processes_of(home))


def test_a_console_killed_while_the_stack_starts_leaves_no_process(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with console(home, "--start-stack") as process:
        wait_until(lambda: len(processes_of(home)) > 2, 20, "the first processes of the stack")
        process.kill()
        process.wait()
        wait_until(lambda: not processes_of(home), 10, "the end of everything")


def test_a_second_start_brings_the_first_window_forward(tmp_path: Path, bus: Bus) -> None:
    home = tmp_path / "home"
    with console(home) as first:
        bus.application(first.pid).find("Start local stack", "push button", within_s=10)
        second = subprocess.run(
            [sys.executable, "-m", "console", "--home", str(home)], cwd=ROOT, timeout=20, check=False
        )
        assert second.returncode == 0
        assert first.poll() is None


def test_the_stack_can_be_closed_with_the_window_and_started_again(tmp_path: Path, bus: Bus) -> None:
    home = tmp_path / "home"
    for _ in range(2):
        with console(home, "--start-stack") as process:
            window = bus.application(process.pid)
            window.find("Connected", within_s=20)
            go_to(window, "Tasks")
            wait_for_row(window, "Tasks", "Succeeded", 20)
            close(process)
        assert described(processes_of(home)) == []


def test_a_home_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    done = subprocess.run(
        [sys.executable, "-m", "console", "--home", str(blocked / "home")],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "DISPLAY"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 1
    assert "The home folder cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_version_needs_no_display() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "console", "--version"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    assert done.stdout.startswith("Celery Console 0.")
