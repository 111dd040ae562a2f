"""How long the main thread stood still, and where: the measure behind "the window never freezes".

A beat of the event loop every 10 ms; the longest pause between two beats is the stall. The time in which
the thread was ready to run but the machine gave it no core (Linux tells it per thread) is taken off, so that
a busy test machine does not look like a frozen window; so is the time it slept while another thread of ours,
which may hold the interpreter, was kept waiting for a core. Waiting for a lock, a disk, a socket or the
interpreter counts otherwise. What earlier tests have left in memory is hidden from the garbage collector
meanwhile: going through all of it takes longer than the limit, and a console has nothing of it.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from PySide6.QtCore import QTimer

from tests.own_time import only_new_garbage

BEAT_MS = 10
LOOK_S = 0.02
LIMIT_S = 0.1


@dataclass(frozen=True)
class Stall:
    """A pause of the main thread, without the machine's share, how long it computed itself, and where."""

    seconds: float
    computing_s: float
    where: str


class Heartbeat:
    """Use as a context on the main thread while its loop runs; then ask `worst` or call `check`."""

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self._limit_s = limit_s
        self._thread = threading.get_ident()
        self._task = str(threading.get_native_id())
        self._last_s = 0.0
        self._computed_s = 0.0
        self._waited_s: dict[str, float] = {}
        self._seen = ""
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="heartbeat", daemon=True)
        self._ours = ExitStack()
        self.beats = 0
        self.stalls: list[Stall] = []
        self.worst_s = 0.0

    def __enter__(self) -> Heartbeat:
        self._ours.enter_context(only_new_garbage())
        self._last_s, self._computed_s, self._waited_s = time.monotonic(), time.thread_time(), _run_delays_s()
        self._ours.callback(self._start_beating())
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._watcher.join()
        self._ours.close()

    def _start_beating(self) -> Callable[[], object]:
        """Have `_beat` called every 10 ms; gives how to end it."""
        timer = QTimer()
        timer.setInterval(BEAT_MS)
        timer.timeout.connect(self._beat)
        timer.start()
        return timer.stop

    def _beat(self) -> None:
        now_s, computed_s, waited_s = time.monotonic(), time.thread_time(), _run_delays_s()
        computing_s = computed_s - self._computed_s
        delays_s = {task: total_s - self._waited_s.get(task, 0.0) for task, total_s in waited_s.items()}
        own_delay_s = delays_s.pop(self._task, 0.0)
        awake_s = now_s - self._last_s - own_delay_s
        pause_s = awake_s - min(max(awake_s - computing_s, 0.0), max(delays_s.values(), default=0.0))
        self.beats += 1
        self.worst_s = max(self.worst_s, pause_s)
        if pause_s > self._limit_s:
            self.stalls.append(Stall(pause_s, computing_s, self._seen))
        self._last_s, self._computed_s, self._waited_s, self._seen = now_s, computed_s, waited_s, ""

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_S):
            if time.monotonic() - self._last_s > self._limit_s / 2:
                frame = sys._current_frames().get(self._thread)
                self._seen = "".join(traceback.format_stack(frame)[-6:]) if frame else ""

    def check(self) -> None:
        """Fail when the main thread stood still for longer than the limit."""
        told = "\n".join(
            f"{one.seconds * 1000:.0f} ms, {one.computing_s * 1000:.0f} ms of them computing, at\n{one.where}"
            for one in self.stalls
        )
        assert not self.stalls, f"the main thread stood still:\n{told}"
        assert self.beats > 0, "the heartbeat never beat"


class LoopHeartbeat(Heartbeat):
    """The same for asyncio's own loop, without Qt."""

    def _start_beating(self) -> Callable[[], object]:
        async def beat() -> None:
            while True:
                await asyncio.sleep(BEAT_MS / 1000)
                self._beat()

        return asyncio.ensure_future(beat()).cancel


def _run_delays_s() -> dict[str, float]:
    """How long each thread of this process has waited for a core so far; empty where nobody tells."""
    delays_s = {}
    with suppress(OSError):
        for task in os.listdir("/proc/self/task"):
            with suppress(OSError, IndexError, ValueError):
                stat = Path(f"/proc/self/task/{task}/schedstat").read_text()
                delays_s[task] = int(stat.split()[1]) / 1e9
    return delays_s
