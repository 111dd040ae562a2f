"""A file system that is really full: collecting stops in words, holds what it may, and goes on by itself."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from console.broker.address import BrokerAddress
from console.collector.collector import Collector
from console.collector.event_line import OVERFLOW
from console.collector.redis_line import RedisEventLine
from console.history.model import CollectorState, CollectorSummary, TaskState
from console.history.reader import HistoryReader
from tests.integration.collector.conftest import life, publish
from tests.valkey import ValkeyServer

DISK = "8m"
DEADLINE_S = 30.0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "none", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a small file system (test_collector has a smaller proof)")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Take all the room there is, down to the last page."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (65_536, 4096, 512):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return filler


@contextmanager
def collecting(
    address: BrokerAddress, history_file: Path, held_bytes: int
) -> Iterator[list[CollectorSummary]]:
    """What a collector says that may hold so much."""
    said: list[CollectorSummary] = []
    collector = Collector(
        address=address,
        history_file=history_file,
        tell=lambda summary, _: said.append(summary),
        line=RedisEventLine(address, held_bytes=held_bytes),
    )
    thread = threading.Thread(target=collector.run, name="collector-under-test")
    thread.start()
    try:
        yield said
    finally:
        collector.stop()
        thread.join(DEADLINE_S)


def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def is_full(one: CollectorSummary) -> bool:
    return one.state is CollectorState.FAILED and "No space" in one.error


def is_well(one: CollectorSummary) -> bool:
    return one.state is CollectorState.READING and not one.error


def test_what_comes_meanwhile_is_held_and_stored_when_there_is_room(broker: ValkeyServer, disk: Path) -> None:
    history_file = disk / "h.sqlite3"
    with collecting(broker.address, history_file, 32 << 20) as said:
        until(lambda: bool(said) and is_well(said[-1]))
        filler = fill(disk)
        publish(broker, *[life(f"task-{number}", name="n" * 400) for number in range(300)])
        until(lambda: any(map(is_full, said)))
        publish(broker, *[life(f"held-{number}", name="n" * 400) for number in range(300)])
        filler.unlink()
        until(lambda: is_well(said[-1]) and said[-1].counts[TaskState.SUCCEEDED] == 600)
    with closing(HistoryReader(history_file)) as reader:
        assert reader.totals()[TaskState.SUCCEEDED] == 600
        assert reader.gaps() == []


def test_more_than_may_be_held_is_a_gap(broker: ValkeyServer, disk: Path) -> None:
    history_file = disk / "h.sqlite3"
    with collecting(broker.address, history_file, 1 << 20) as said:
        until(lambda: bool(said) and is_well(said[-1]))
        filler = fill(disk)
        some = [life(f"task-{number}", name="n" * 400) for number in range(300)]
        publish(broker, *some)
        until(lambda: any(map(is_full, said)))
        until(lambda: publish(broker, *some) == 0)  # nobody listens any more
        filler.unlink()
        until(lambda: is_well(said[-1]) and publish(broker, life("after")) == 1)
        until(lambda: said[-1].counts[TaskState.SUCCEEDED] == 301)
    with closing(HistoryReader(history_file)) as reader:
        (gap,) = reader.gaps()
        assert gap.reason == OVERFLOW
        assert gap.end is not None
        assert reader.detail("after") is not None
