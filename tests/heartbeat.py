"""How long the main thread stood still, and where: the measure behind "the window never freezes".

A beat of the event loop every 10 ms; the longest pause between two beats is the stall. The time in which
the thread was ready to run but the machine gave it no core (Linux tells it per thread) is taken off, so that
a busy test machine does not look like a frozen window; waiting for a lock, a disk, a socket or the
interpreter counts. What earlier tests have left in memory is hidden from the garbage collector for as long:
going through all of it takes longer than the limit, and a console has nothing of it.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack
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
    """A pause of the main thread, without the machine's share, and where it was seen standing."""

    seconds: float
    where: str


class Heartbeat:
    """Use as a context on the main thread while its loop runs; then ask `worst` or call `check`."""

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self._limit_s = limit_s
        self._thread = threading.get_ident()
        self._schedstat = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        self._last_s = 0.0
        self._waited_s = 0.0
        self._seen = ""
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="heartbeat", daemon=True)
        self._ours = ExitStack()
        self.beats = 0
        self.stalls: list[Stall] = []
        self.worst_s = 0.0

    def __enter__(self) -> Heartbeat:
        self._ours.enter_context(only_new_garbage())
        self._last_s, self._waited_s = time.monotonic(), self._run_delay_s()
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

    def _run_delay_s(self) -> float:
        try:
            return int(self._schedstat.read_text().split()[1]) / 1e9
        except (OSError, IndexError, ValueError):
            return 0.0

    def _beat(self) -> None:
        now_s, waited_s = time.monotonic(), self._run_delay_s()
        pause_s = now_s - self._last_s - (waited_s - self._waited_s)
        self.beats += 1
        self.worst_s = max(self.worst_s, pause_s)
        if pause_s > self._limit_s:
            self.stalls.append(Stall(pause_s, self._seen))
        self._last_s, self._waited_s, self._seen = now_s, waited_s, ""

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_S):
            if time.monotonic() - self._last_s > self._limit_s / 2:
                frame = sys._current_frames().get(self._thread)
                self._seen = "".join(traceback.format_stack(frame)[-6:]) if frame else ""

    def check(self) -> None:
        """Fail when the main thread stood still for longer than the limit."""
        told = "\n".join(f"{stall.seconds * 1000:.0f} ms at\n{stall.where}" for stall in self.stalls)
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
