"""The local stack: click to Succeeded on the screen, stop to nothing left, idle cost; in the real window."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import redis

from tests.e2e.atspi import Bus, Node, wait_until
from tests.e2e.processes import processes_of

ROOT = Path(__file__).parents[2]
ROUNDS = 4
IDLE_S = 30.0
SETTLE_S = 15.0


def start(home: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "console", "--home", str(home)],
        cwd=ROOT,
        env={**os.environ, "QT_LINUX_ACCESSIBILITY_ALWAYS_ON": "1"},
    )


def go_to(window: Node, title: str) -> None:
    window.find("Pages", "list").find(title, "list item").press()


def succeeded_rows(window: Node) -> int:
    found = [node for node in window.find_all("Tasks", "table") if node.showing]
    return found[0].cells().count("Succeeded") if found else 0


def one_round(home: Path, bus: Bus, before: int) -> tuple[float, float, int]:
    """Seconds from the click to one more task shown as Succeeded than `before`, seconds from Stop to no
    process left, and how many were shown at the end.
    """
    process = start(home)
    try:
        window = bus.application(process.pid)
        button = window.find("Start local stack", "push button", within_s=15)
        clicked_s = time.monotonic()
        button.press()
        go_to(window, "Tasks")
        wait_until(lambda: succeeded_rows(window) > before, 30, "Succeeded")
        succeeded_s = time.monotonic() - clicked_s
        time.sleep(2)  # idle: the first task and its mail are done
        rows = succeeded_rows(window)
        go_to(window, "Local stack")
        stop = window.find("Stop local stack", "push button", within_s=15)
        wait_until(lambda: stop.enabled, 10, "the stack can be stopped")
        stop.press()
        stopped_s = wait_until(
            lambda: not [one for one in processes_of(home) if one.pid != process.pid], 20, "nothing left"
        )
        return succeeded_s, stopped_s, rows
    finally:
        process.kill()
        process.wait()


def collector_of(process: subprocess.Popen[bytes]) -> psutil.Process:
    below = psutil.Process(process.pid).children(recursive=True)
    return next(one for one in below if "console.collector" in one.cmdline())


def idle(home: Path) -> None:
    """What an open, idle console costs: broker commands and connections, CPU, memory. No accessibility."""
    process = subprocess.Popen(
        [sys.executable, "-m", "console", "--home", str(home), "--start-stack"], cwd=ROOT
    )
    try:
        url = wait_for_broker(home)
        time.sleep(SETTLE_S)
        window, collector = psutil.Process(process.pid), collector_of(process)
        with redis.Redis.from_url(url) as client:
            cpu_before, before = (window.cpu_times(), collector.cpu_times()), own_clients(client, process.pid)
            began_s = time.monotonic()
            time.sleep(IDLE_S)
            took_s, after = time.monotonic() - began_s, own_clients(client, process.pid)
            spent = sum(number - before.get(name, 0) for name, number in after.items()) / took_s
            cpu = [
                (now.user + now.system - old.user - old.system) / took_s * 100
                for now, old in zip((window.cpu_times(), collector.cpu_times()), cpu_before, strict=True)
            ]
        print(f"idle: {max(len(before), len(after))} connections of the console (limit 8)")
        print(f"idle: {spent:.2f} commands/s of the console (limit 2)")
        print(f"idle: window {cpu[0]:.1f} % of a core (limit 3), collector {cpu[1]:.1f} %")
        memory = [one.memory_info().rss / 2**20 for one in (window, collector)]
        print(f"idle: window {memory[0]:.0f} MiB, collector {memory[1]:.0f} MiB resident")
    finally:
        process.kill()
        process.wait()
        wait_until(lambda: not processes_of(home), 15, "nothing left")


def wait_for_broker(home: Path) -> str:
    """The stack's broker URL, read from the environment of its own worker (the only place it is in)."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for one in processes_of(home):
            try:
                url = one.environ().get("CELERY_BROKER_URL")
            except psutil.Error:
                continue
            if url:
                return url
        time.sleep(0.1)
    raise RuntimeError("no broker")


def own_clients(client: redis.Redis, pid: int) -> dict[str, int]:
    """Commands so far of each connection of the window and its collector, told apart by local ports."""
    below = psutil.Process(pid).children()
    mine = [pid, *(one.pid for one in below if "console.collector" in one.cmdline())]
    ports = {
        line.laddr.port
        for one in mine
        for line in psutil.Process(one).net_connections(kind="tcp")
        if line.status == psutil.CONN_ESTABLISHED
    }
    return {
        str(one["id"]): int(one["tot-cmds"])
        for one in client.client_list()
        if int(str(one["addr"]).rpartition(":")[2]) in ports
    }


def main() -> None:
    bus = Bus()
    with tempfile.TemporaryDirectory() as folder:
        rounds: list[tuple[float, float, int]] = []
        for _ in range(ROUNDS):
            rounds.append(one_round(Path(folder) / "home", bus, rounds[-1][2] if rounds else 0))
        first, later = rounds[0], rounds[1:]
        print(f"click to Succeeded: first run {first[0]:.1f} s (limit 8)")
        print(f"click to Succeeded: later runs {statistics.median(one[0] for one in later):.1f} s (limit 5)")
        print(f"stop, idle, to nothing left: {statistics.median(one[1] for one in rounds):.1f} s (limit 6)")
        idle(Path(folder) / "home")
    bus.close()
