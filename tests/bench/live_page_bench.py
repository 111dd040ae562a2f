"""How the Tasks page of a real window holds out while thousands of events a second arrive.

Run by `make bench ARGS=live-page` (or `python -m tests.bench.live_page_bench`) under a display: a script and
no test, because its figures depend on the machine. A whole console opens a real Valkey with its collector on
a history that is full already, another process publishes, and one JSON line per phase tells the gaps between
frames (a timer of 16 ms; `own` without the time in which the machine gave the window no core), the longest
that the main thread was held (`tests.heartbeat`: nor when a thread that may hold the interpreter got none),
how long a marked task takes from the wire to the painted row, and what both processes hold in memory.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import redis
from PySide6.QtCore import QEvent, QObject, QPoint, QPointF, Qt, QTimer
from PySide6.QtGui import QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from console.app.crash import CrashReports
from console.app.event_loop import make_loop, run_until_done
from console.app.settings import Settings
from console.app.wiring import Console
from console.broker.address import BrokerAddress
from console.collector.events import Event, envelope
from console.collector.fold import Fold
from console.connections.gateway import ConnectionsFile
from console.connections.model import Connection
from console.core.connection import Environment
from console.core.home import Home
from console.history.writer import HistoryWriter
from console.tasks.page import TasksPage
from console.widgets.theme import theme
from console.window.main_window import MainWindow
from tests.bench.collector_bench import EVENTS_PER_TASK, PUBLISHER, private_broker
from tests.heartbeat import Heartbeat
from tests.running import until

NAME = "Bench"
FRAME_MS = 16
MARK_EVERY_S = 0.4
PER_BATCH = 20_000
SETTLE_S = 3.0
LONGEST_EXPORT_S = 240.0
QUERY = 'state:failed name:*invoice* -worker:web-2 runtime:>10ms "someone"'


def fill(path: Path, tasks: int) -> None:
    """A history of `tasks` tasks that ended until a minute ago."""
    rng = random.Random(7)
    writer = HistoryWriter(path)
    fold = Fold(writer)
    now = time.time()
    names = [f"shop.tasks.{name}" for name in ("send_invoice", "charge_user", "build_report", "resize_image")]
    starts = range(0, tasks, PER_BATCH // EVENTS_PER_TASK)
    for change, first in enumerate(starts, 1):
        events: list[Event] = []
        for number in range(first, min(first + PER_BATCH // EVENTS_PER_TASK, tasks)):
            task_id, at = str(uuid.UUID(int=rng.getrandbits(128))), now - 60 - (tasks - number) * 0.05
            host: dict[str, Any] = {"hostname": f"celery@web-{number % 4}", "pid": 4000}
            events += [
                Event(type="task-received", uuid=task_id, timestamp=at, name=rng.choice(names),
                      args=f"({number}, 'someone@example.org')", kwargs="{'retry': True}", **host),
                Event(type="task-started", uuid=task_id, timestamp=at + 0.1, **host),
            ]  # fmt: skip
            if number % 25:
                events.append(
                    Event(type="task-succeeded", uuid=task_id, timestamp=at + 0.3, runtime=rng.random() * 3,
                          result="'done'", **host)
                )  # fmt: skip
            else:
                events.append(
                    Event(type="task-failed", uuid=task_id, timestamp=at + 0.3,
                          exception=f"ValueError('no order {number}')", traceback="Traceback", **host)
                )  # fmt: skip
        fold.apply(events, received_at=now)
        writer.commit(fold.batch(change=change, alive=now))
        fold.stored()
    writer.close()


class Frames(QObject):
    """The gaps between the ticks of a timer on the main thread, milliseconds."""

    def __init__(self) -> None:
        super().__init__()
        self.gaps_ms: list[float] = []
        self.own_ms: list[float] = []
        self._last_s = 0.0
        self._delayed_s = 0.0
        self._timer = QTimer(self, interval=FRAME_MS)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._tick)

    def start(self) -> None:
        self.gaps_ms, self.own_ms = [], []
        self._last_s, self._delayed_s = time.perf_counter(), _delayed_s()
        self._timer.start()

    def stop(self) -> dict[str, Any]:
        self._timer.stop()
        return {
            "frames": len(self.gaps_ms),
            "gap_ms": spread(self.gaps_ms),
            "own_gap_ms": spread(self.own_ms),
        }

    def _tick(self) -> None:
        now_s, delayed_s = time.perf_counter(), _delayed_s()
        gap_s = now_s - self._last_s
        self.gaps_ms.append(gap_s * 1000)
        self.own_ms.append(max(0.0, gap_s - (delayed_s - self._delayed_s)) * 1000)
        self._last_s, self._delayed_s = now_s, delayed_s


def _delayed_s() -> float:
    """How long the main thread was ready to run and got no core, so far."""
    return int(Path(f"/proc/self/task/{os.getpid()}/schedstat").read_text().split()[1]) / 1e9


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, 95th and 99th percentile, and the worst."""
    ordered = sorted(values) or [0.0]

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 1)

    return {"p50": at(0.5), "p95": at(0.95), "p99": at(0.99), "worst": round(ordered[-1], 1)}


class Marked(QObject):
    """Publishes tasks that stand at the top of the list, and sees when the table has painted them."""

    def __init__(self, page: TasksPage, port: int) -> None:
        super().__init__()
        self._table = page._table
        self._client = redis.Redis(port=port)
        self._sent_s: dict[str, float] = {}
        self._number = 0
        self.took_ms: list[float] = []
        self._timer = QTimer(self, interval=round(MARK_EVERY_S * 1000))
        self._timer.timeout.connect(self._send)
        self._table.viewport().installEventFilter(self)

    def start(self) -> None:
        self.took_ms, self._sent_s = [], {}
        self._timer.start()

    def stop(self) -> dict[str, Any]:
        self._timer.stop()
        return {
            "marked": len(self.took_ms),
            "unseen": len(self._sent_s),
            "wire_to_row_ms": spread(self.took_ms),
        }

    def close(self) -> None:
        self._table.viewport().removeEventFilter(self)
        self._client.close()

    def _send(self) -> None:
        self._number += 1
        task_id = str(uuid.uuid4())
        # Later than all others, so that it is the first row of the list.
        at = time.time() + 3600 + self._number
        event = {
            "type": "task-received", "uuid": task_id, "timestamp": at, "utcoffset": 0, "clock": self._number,
            "hostname": "celery@web-1", "pid": 1, "name": "shop.tasks.marked", "args": "()", "kwargs": "{}",
        }  # fmt: skip
        self._sent_s[task_id] = time.perf_counter()
        self._client.publish("/0.celeryev/task.received", envelope([event]))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Paint and self._sent_s:
            # The filter is asked before the paint; what stands behind it in the queue comes after.
            QTimer.singleShot(0, self._look)
        return False

    def _look(self) -> None:
        now_s = time.perf_counter()
        for row in self._table.rows()[:20]:
            sent_s = self._sent_s.pop(row.key, None)
            if sent_s is not None:
                self.took_ms.append((now_s - sent_s) * 1000)


@contextmanager
def publishing(port: int, rate: int, seconds: float) -> Iterator[None]:
    """Another process publishes `rate` events a second."""
    tasks = round(rate * seconds / EVENTS_PER_TASK)
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.bench.collector_bench",
            PUBLISHER,
            str(port),
            str(tasks),
            str(rate),
            "5",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin
    assert process.stdout
    process.stdout.readline()
    process.stdin.write(b"go\n")
    process.stdin.flush()
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)
        process.stdin.close()
        process.stdout.close()


async def measure(console: Console, port: int, rate: int, seconds: float, *, export: bool) -> int:
    """All phases, one JSON line each."""
    running = asyncio.ensure_future(console.run(connection=NAME, start_stack=False))
    await until(lambda: console.window.page("tasks") is not None, 20, "the page is there")
    console.window.show_page("tasks")
    page = console.window.page("tasks")
    assert isinstance(page, TasksPage)
    await until(lambda: bool(page._table.rows()), 30, "rows are there")
    await asyncio.sleep(SETTLE_S)
    frames, marked = Frames(), Marked(page, port)
    tell(console, "idle", await phase(frames, seconds / 3))
    publisher = publishing(port, rate, seconds * 9 + (LONGEST_EXPORT_S if export else 0))
    await asyncio.get_running_loop().run_in_executor(None, publisher.__enter__)
    try:
        await asyncio.sleep(SETTLE_S)
        marked.start()
        found = await phase(frames, seconds)
        tell(console, f"{rate}/s arriving", {**found, **marked.stop()})
        tell(console, "scrolling", await phase(frames, seconds, lambda: wheel(page)))
        page._to_newest()
        tell(console, "typing", await phase(frames, seconds, typing(page)))
        page.open_query("")
        page._table.selectAll()
        tell(console, "all selected", await phase(frames, seconds / 2))
        page._table.clearSelection()
        console.tasks_view.set_columns(("state", "task", "id", "args", "result", "error", "root"))
        tell(console, "texts shown", await phase(frames, seconds / 2))
        console.tasks_view.reset_columns()
        console.tasks_view.group(True)
        tell(console, "errors shown", await phase(frames, seconds / 2))
        console.tasks_view.group(False)
        if export:
            tell(console, "exporting", {**await exporting(console, frames), "rate": export_rate(console)})
        worst_ms = {
            "live": await held(seconds),
            "scrolling": await held(seconds, lambda: wheel(page)),
            "typing": await held(seconds, typing(page)),
        }
        tell(console, "held at most, ms", worst_ms)
    finally:
        publisher.__exit__(None, None, None)
        marked.close()
    await console.close(ask=False)
    return await running


async def phase(frames: Frames, seconds: float, act: Any = None) -> dict[str, Any]:
    """The frames while `act` is done again and again."""
    frames.start()
    await go_on(seconds, act)
    return frames.stop()


async def held(seconds: float, act: Any = None) -> float:
    """The longest that the main thread was held meanwhile, milliseconds.

    Last of all: it begins with a collection of garbage, and ends what the console has kept from being one.
    """
    with Heartbeat() as heart:
        await go_on(seconds, act)
    return round(heart.worst_s * 1000, 1)


async def go_on(seconds: float, act: Any) -> None:
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        if act is not None:
            act()
        await asyncio.sleep(0.06)


async def exporting(console: Console, frames: Frames) -> dict[str, Any]:
    """Everything as CSV while the page is live."""
    from console.tasks.export import Format

    target = console.home.root / "bench.csv"
    console.tasks_view.export(target, Format.CSV, selected=False, all_columns=True)
    frames.start()
    await until(lambda: not console.tasks_view.exporter.running, 600, "the export has ended")
    return frames.stop()


def export_rate(console: Console) -> int:
    state = console.tasks_view.exporter.state
    return round(state.rate) if state is not None else 0


def wheel(page: TasksPage) -> None:
    """Three notches down, as a hand does."""
    viewport = page._table.viewport()
    place = QPointF(200, 200)
    event = QWheelEvent(
        place, viewport.mapToGlobal(place), QPoint(), QPoint(0, -360), Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(viewport, event)


def typing(page: TasksPage) -> Any:
    """One letter of a query at each call; begins again when it is whole."""
    letters = iter("")

    def step() -> None:
        nonlocal letters
        letter = next(letters, None)
        if letter is None:
            page._search.clear()
            letters = iter(QUERY)
            return
        QTest.keyClicks(page._search, letter)

    return step


def tell(console: Console, name: str, figures: dict[str, Any]) -> None:
    own = psutil.Process().memory_info().rss
    pid = console.collector.pid
    collector = psutil.Process(pid).memory_info().rss if pid is not None else 0
    memory = {"window_mib": round(own / 2**20), "collector_mib": round(collector / 2**20)}
    sys.stdout.write(json.dumps({"phase": name, **figures, **memory}) + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """`arguments` are those of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--history", type=int, default=1_000_000, help="tasks that are there already")
    parser.add_argument("--rate", type=int, default=5_000, help="events a second")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each phase")
    parser.add_argument(
        "--from-file", type=Path, help="a history to begin with; made there when it is missing"
    )
    parser.add_argument("--no-export", action="store_true", help="leave out the phase that takes longest")
    options = parser.parse_args(arguments)
    app = QApplication.instance() or QApplication([])
    assert isinstance(app, QApplication)
    app.setQuitOnLastWindowClosed(False)
    with private_broker() as port, tempfile.TemporaryDirectory() as root:
        home = Home(Path(root) / "home")
        home.prepare()
        made = options.from_file or Path(root) / "full.sqlite3"
        if not made.exists():
            fill(made, options.history)
        shutil.copy(made, home.history_file("bench"))
        address = BrokerAddress("127.0.0.1", port)
        ConnectionsFile(home.connections_file).write(
            [Connection("bench", NAME, Environment.DEVELOPMENT, address)]
        )
        theme().apply(app, scheme="light")
        window = MainWindow()
        window.resize(1280, 800)
        window.show()
        settings = Settings(home.settings_file, scheme="light")
        crash = CrashReports(home.logs)
        loop = make_loop(app)
        crash.watch(loop)
        console = Console(home=home, window=window, settings=settings, crash=crash)
        return run_until_done(
            loop, measure(console, port, options.rate, options.seconds, export=not options.no_export)
        )


if __name__ == "__main__":
    sys.exit(main())
