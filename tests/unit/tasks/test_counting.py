"""Counting beside the page: the newest question wins, and nobody waits for an older one."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from console.core.clock import SystemClock
from console.core.errors import Cause, ConsoleError
from console.history.model import Counts, TaskState
from console.history.query import TaskQuery, parse_query
from console.history.reader import HistoryReader
from console.tasks.counting import Counting

DEADLINE_S = 10.0


class SlowReader(HistoryReader):
    """Counts until it is let go or interrupted."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.asked: list[str] = []
        self.go = threading.Event()
        self.interrupted = threading.Event()

    def interrupt(self) -> None:
        self.interrupted.set()

    def counts(self, query: TaskQuery) -> Counts:
        self.interrupted.clear()
        self.asked.append(query.text)
        deadline_s = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline_s:
            if self.interrupted.wait(0.005):
                raise ConsoleError("It took too long", cause=Cause.TIMEOUT)
            if self.go.is_set():
                return Counts({TaskState.FAILED: len(self.asked)})
        raise AssertionError("never let go")


class Desk:
    def __init__(self, folder: Path) -> None:
        self.reader = SlowReader(folder / "none")
        self.said: list[tuple[str, int]] = []
        self.counting = Counting(
            clock=SystemClock(),
            open_history=lambda _: self.reader,
            counted=lambda query, counts: self.said.append((query.text, counts.total)),
        )
        self.counting.open(folder / "none")


async def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline_s:
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came to that")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    await desk.counting.aclose()


async def test_a_newer_question_ends_the_count_of_an_older_one(desk: Desk) -> None:
    desk.counting.want(parse_query("name:one"))
    await until(lambda: desk.reader.asked == ["name:one"])
    desk.counting.want(parse_query("name:two"))
    await until(lambda: desk.reader.asked == ["name:one", "name:two"])
    desk.reader.go.set()
    await until(lambda: desk.said == [("name:two", 2)])


async def test_the_same_is_counted_again_only_when_it_is_worth_it(desk: Desk) -> None:
    desk.counting.want(parse_query("name:one"))
    await until(lambda: len(desk.reader.asked) == 1)
    await asyncio.to_thread(desk.reader.interrupted.wait, 0.2)  # the count costs a fifth of a second
    desk.reader.go.set()
    await until(lambda: len(desk.said) == 1)
    for _ in range(20):
        desk.counting.want(parse_query("name:one"))
        await asyncio.sleep(0.005)
    assert len(desk.reader.asked) == 1
    desk.counting.want(parse_query("name:other"))
    await until(lambda: desk.reader.asked[-1] == "name:other")


async def test_closing_ends_the_count_that_runs(desk: Desk) -> None:
    desk.counting.want(parse_query("name:one"))
    await until(lambda: len(desk.reader.asked) == 1)
    async with asyncio.timeout(2.0):
        await desk.counting.aclose()
    assert desk.said == []
