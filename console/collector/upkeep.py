"""What the collector does between two batches: keep the history in bounds, and its own memory small."""

from __future__ import annotations

import ctypes
import gc
import logging
import time
from collections.abc import Callable

from console.collector.fold import Fold
from console.core.errors import ConsoleError
from console.history.bounds import Retention
from console.history.writer import HistoryWriter

log = logging.getLogger(__name__)

WORK_S = 0.04
QUIET_S = 1.0
LOOK_EVERY_S = 2.0
AFTER_ERROR_S = 15.0
MANY_EVENTS = 20_000


class Upkeep:
    """Belongs to the thread of the fold. `busy`: there is more to do, so waiting for long would be a pity."""

    def __init__(
        self,
        store: HistoryWriter,
        fold: Fold,
        retention: Retention,
        *,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._fold = fold
        self.retention = retention
        self._trimming = store.trimming(retention)
        self._now = now
        self._clock = clock
        self._next_s = clock()
        self._events = self._released_at = 0
        self._moved_s = clock()
        self.busy = False

    def keep(self, retention: Retention) -> None:
        """Other bounds from now on."""
        self.retention = retention
        self._trimming = self._store.trimming(retention)
        self._next_s = self._clock()

    def work(self, events: int) -> None:
        """Do what is due for about `WORK_S` at most; `events` are those folded so far."""
        began_s = self._clock()
        if began_s >= self._next_s and not self._fold.waiting:
            try:
                self._trim(began_s)
            except ConsoleError as error:
                log.warning("The history could not be trimmed: %s", error)
                self.busy, self._next_s = False, began_s + AFTER_ERROR_S
        if events != self._events:
            self._events, self._moved_s = events, began_s
        elif events - self._released_at >= MANY_EVENTS and began_s - self._moved_s >= QUIET_S:
            self._released_at = events
            self._store.release_memory()
            release_memory()

    def _trim(self, began_s: float) -> None:
        while True:
            removed = self._trimming.step(self._now())
            self._fold.removed(removed)
            self.busy = removed.more
            if not self.busy:
                self._next_s = began_s + LOOK_EVERY_S
                return
            if self._clock() - began_s >= WORK_S:
                return


def collect_rarely() -> None:
    """Have Python look for cycles among objects less often: there are many here, and hardly any cycles.

    At its own pace that is a seventh of all the time a burst takes. What is there now is not looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def release_memory() -> None:
    """Give memory that is free after a burst back to the system, where the allocator can be told to."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):  # another C library than glibc
        log.debug("This allocator gives memory back by itself")
