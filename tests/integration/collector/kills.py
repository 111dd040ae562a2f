"""Killing a collector again and again while events arrive, and proving what its history is worth after it.

The small size runs with the tests (`test_kills`), the full size is `tests.bench.kills_bench`.
"""

from __future__ import annotations

import os
import random
import select
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from console.broker.address import BrokerAddress
from console.collector.events import envelope
from console.collector.folded_task import restored
from console.collector.wire import CollectorConfig, LineSplitter, decode_summary, encode_config
from console.history.marks import STATE_CODES, derive
from console.history.model import CollectorState, CollectorSummary, Gap
from console.history.writer import HistoryWriter
from tests.valkey import ValkeyServer

DEADLINE_S = 60.0
LIVES_PER_MESSAGE = 4
KILLED = "The reader of events ended unexpectedly"


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What `kill_again_and_again` has seen: tasks published and stored, gaps, seconds to read again."""

    published: int
    stored: int
    gaps: list[Gap]
    again_s: list[float]


class RunningCollector:
    """One life of a collector, without a window."""

    def __init__(self, address: BrokerAddress, history_file: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "console.collector"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._splitter = LineSplitter()
        assert self.process.stdin
        config = CollectorConfig(address, history_file, history_file.with_suffix(".log"))
        self.process.stdin.write(encode_config(config))
        self.process.stdin.flush()

    def until(self, condition: Callable[[CollectorSummary], bool]) -> CollectorSummary:
        """The first summary from now on that fits."""
        assert self.process.stdout
        deadline_s = time.monotonic() + DEADLINE_S
        while select.select([self.process.stdout], [], [], max(0.0, deadline_s - time.monotonic()))[0]:
            data = os.read(self.process.stdout.fileno(), 65_536)
            for line in self._splitter.feed(data):
                summary = decode_summary(line)
                if condition(summary):
                    return summary
            assert data, "it ended by itself"
        raise AssertionError("never said")

    def reading(self, *, change: int = 0) -> CollectorSummary:
        return self.until(lambda one: one.state is CollectorState.READING and one.change >= change)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self._over()

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self._over()

    def _over(self) -> None:
        self.process.wait(DEADLINE_S)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe
            pipe.close()


def kill_again_and_again(broker: ValkeyServer, history_file: Path, *, kills: int, seed: int) -> Aftermath:
    """Kill a collector `kills` times at random moments under load; each time the next one goes on."""
    moments = random.Random(seed)
    again_s: list[float] = []
    with _load(broker) as published:
        for _ in range(kills):
            began_s = time.monotonic()
            collector = RunningCollector(broker.address, history_file)
            reading = collector.reading()
            again_s.append(time.monotonic() - began_s)
            collector.reading(change=reading.change + moments.randrange(1, 4))
            time.sleep(moments.random() * 0.1)  # anywhere in a batch
            collector.kill()
        collector = RunningCollector(broker.address, history_file)
        reading = collector.reading()
        collector.reading(change=reading.change + 1)
    collector.close()
    with closing(HistoryWriter(history_file)) as store:
        gaps, stored = store.gaps(), sum(store.counts().values())
    return Aftermath(published[0], stored, gaps, again_s)


@contextmanager
def _load(broker: ValkeyServer) -> Iterator[list[int]]:
    """Task lives in pieces until the end, some of them twice; how many tasks so far."""
    stop, published = threading.Event(), [0]

    def publish() -> None:
        channel, half = "/0.celeryev/task.multi", 0
        with broker.client() as client:
            while not stop.wait(0.005):
                lives = [_life() for _ in range(LIVES_PER_MESSAGE)]
                published[0] += len(lives)
                first = envelope([event for one in lives for event in one[:2]])
                client.publish(channel, first)
                client.publish(channel, envelope([event for one in lives for event in one[2:]]))
                half += 1
                if half % 3 == 0:
                    client.publish(channel, first)

    thread = threading.Thread(target=publish, name="load")
    thread.start()
    try:
        yield published
    finally:
        stop.set()
        thread.join(DEADLINE_S)


def _life() -> list[dict[str, Any]]:
    now, end = time.time(), random.choice(("succeeded", "failed", "retried"))
    worker = {"uuid": str(uuid.uuid4()), "hostname": "celery@web", "pid": 3}
    text = {"name": "shop.send", "args": "(1,)", "kwargs": "{}"}
    last = {"result": "1", "runtime": 0.1} if end == "succeeded" else {"exception": "ValueError('no')"}
    return [
        {"type": "task-sent", "timestamp": now, **text, **worker, "hostname": "gen1@api", "queue": "mail"},
        {"type": "task-received", "timestamp": now + 0.01, **text, **worker},
        {"type": "task-started", "timestamp": now + 0.02, **worker},
        {"type": f"task-{end}", "timestamp": now + 0.12, **last, **worker},
    ]


def check_history(history_file: Path) -> int:
    """Nothing is damaged, doubled or half folded; how many rows were looked at."""
    columns = "state, sent, received, started, ended, waited, runtime, retries"
    with closing(sqlite3.connect(history_file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        total, distinct = connection.execute("SELECT count(*), count(DISTINCT id) FROM tasks").fetchone()
        assert total == distinct
        by_state = dict(connection.execute("SELECT state, count(*) FROM tasks GROUP BY state"))
        counted = {state: n for state, n in connection.execute("SELECT state, n FROM counts") if n}
        assert counted == by_state
        rows = {row[0]: row[1:] for row in connection.execute(f"SELECT rowid, {columns} FROM tasks")}
        ids = [one for (one,) in connection.execute("SELECT id FROM tasks")]
    with closing(HistoryWriter(history_file)) as store:
        assert {state: n for state, n in store.counts().items() if n} == {
            STATE_CODES[code]: n for code, n in by_state.items()
        }
        loaded = store.load(ids)
    assert len(loaded) == total
    for values in loaded:
        task = restored(values)
        row = derive(task.marks)
        derived = (
            row.state, row.sent, row.received, row.started, row.ended, row.waited, row.runtime, row.retries,
        )  # fmt: skip
        assert derived == rows[task.rowid]
    return int(total)
