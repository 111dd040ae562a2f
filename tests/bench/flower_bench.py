"""Flower beside our collector: the same recorded events, one after the other in one run.

Run by `python -m tests.bench.flower_bench`. Flower is installed into `build/flower`, at the versions of
celery and redis that we have. Prints one JSON line each for Flower and for the collector, and the ratio.
Rate: from the first published event until the last one counts (Flower: in memory, `flower_events_total`;
ours: in the durable, searchable history). CPU is that of the process alone.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from tests.bench.collector_bench import EVENTS_PER_TASK, PUBLISHER, free_port, private_broker, scenario

FLOWER = "flower==2.2.0"
FOLDER = Path("build/flower")
START_S = 60.0
QUIET_S = 15.0
SEARCHES = ("state:FAILURE", "name:send_invoice", "args:someone", "state:SUCCESS worker:web")
_COUNT = re.compile(r"^flower_events_total\{[^}]*type=\"task-[^}]*\} ([0-9.e+]+)$", re.MULTILINE)


def installed() -> Path:
    """Flower's program; it is installed where it is not yet."""
    program = FOLDER / "bin" / "flower"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", str(FOLDER)], check=True)
        # kombu imports packaging for Redis and does not say so.
        versions = (f"{name}=={version(name)}" for name in ("celery", "kombu", "redis"))
        wanted = [FLOWER, "packaging", *versions]
        pip = [str(FOLDER / "bin" / "python"), "-m", "pip", "install", "-qq"]
        subprocess.run([*pip, "--disable-pip-version-check", *wanted], check=True)
    return FOLDER / "bin" / "celery"


@contextmanager
def flower(broker_port: int, *, max_tasks: int) -> Iterator[tuple[psutil.Process, str]]:
    """Flower's process and where it answers."""
    port = free_port()
    process = subprocess.Popen(
        [
            *(str(installed()), f"--broker=redis://127.0.0.1:{broker_port}/0", "flower"),
            *(f"--port={port}", "--address=127.0.0.1", f"--max_tasks={max_tasks}", "--logging=error"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "FLOWER_UNAUTHENTICATED_API": "true"},
    )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline_s = time.monotonic() + START_S
        while answer(f"{url}/metrics") is None:
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError("Flower did not start")
            time.sleep(0.1)
        time.sleep(2.0)  # it subscribes some time after it answers, and says nothing of it
        yield psutil.Process(process.pid), url
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def answer(url: str) -> str | None:
    """What `url` says; None when nobody does."""
    try:
        with urllib.request.urlopen(url, timeout=60) as reply:  # noqa: S310 - our own address on loopback
            text: str = reply.read().decode()
            return text
    except (urllib.error.URLError, OSError):
        return None


def counted(url: str) -> int:
    return round(sum(float(found) for found in _COUNT.findall(answer(f"{url}/metrics") or "")))


def flower_takes(broker_port: int, tasks: int) -> dict[str, Any]:
    """Flower takes the events of `tasks` tasks, published as fast as the broker takes them."""
    wanted = tasks * EVENTS_PER_TASK
    with flower(broker_port, max_tasks=max(tasks, 10_000)) as (process, url):
        publisher = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.bench.collector_bench"),
                *(PUBLISHER, str(broker_port), str(tasks), "0", str(tasks)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert publisher.stdin
        assert publisher.stdout
        publisher.stdout.readline()
        cpu_before, before = sum(process.cpu_times()[:2]), counted(url)
        publisher.stdin.write(b"go\n")
        publisher.stdin.flush()
        began_s = progress_s = time.monotonic()
        events = 0
        while events < wanted and time.monotonic() - progress_s < QUIET_S:
            time.sleep(0.2)  # asking costs it some milliseconds each time
            now = counted(url) - before
            if now > events:
                events, progress_s = now, time.monotonic()
        cpu_s = sum(process.cpu_times()[:2]) - cpu_before
        publisher.communicate()
        searches_ms = [searched_ms(url, text) for text in SEARCHES for _ in range(3)]
        return {
            "who": FLOWER,
            "events": events,
            "lost": wanted - events,
            "events_per_s": round(events / max(progress_s - began_s, 0.001)),
            "cpu_us_per_event": round(cpu_s / max(events, 1) * 1e6, 1),
            "rss_mib": round(process.memory_info().rss / 2**20),
            "search_median_ms": round(statistics.median(searches_ms), 1),
        }


def searched_ms(url: str, text: str) -> float:
    """How long a first page of 200 takes through its own interface."""
    began_s = time.perf_counter()
    answer(f"{url}/api/tasks?limit=200&search={urllib.parse.quote(text)}")
    return (time.perf_counter() - began_s) * 1000


def main(arguments: Sequence[str] | None = None) -> None:
    """Both, `--rounds` times in turn; medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=7500, help="tasks (4 events each) that Flower takes")
    parser.add_argument("--ours", type=int, default=75_000, help="tasks that the collector takes")
    parser.add_argument("--burst", type=int, default=75_000, help="tasks of Flower's burst; 0: none")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    theirs: list[dict[str, Any]] = []
    ours: list[dict[str, Any]] = []
    with private_broker() as port:
        for _ in range(options.rounds):
            theirs.append(said(flower_takes(port, options.tasks)))
            ours.append(said(scenario("the same events", port, options.ours, 0.0, seed=options.tasks)))
        if options.burst:
            said({"scenario": "Flower's burst", **flower_takes(port, options.burst)})
    figures = ("events_per_s", "cpu_us_per_event")
    flowers, collectors = (
        {figure: statistics.median(one[figure] for one in rounds) for figure in figures}
        for rounds in (theirs, ours)
    )
    said(
        {
            "flower": flowers,
            "collector": collectors,
            "times_as_fast": round(collectors["events_per_s"] / max(flowers["events_per_s"], 1), 1),
            "limits": {"events_per_s": 30_000, "times_as_fast": 12, "cpu_us_per_event": 30},
        }
    )


def said(figures: dict[str, Any]) -> dict[str, Any]:
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()
    return figures


if __name__ == "__main__":
    main()
