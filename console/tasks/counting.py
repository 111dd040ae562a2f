"""The numbers on the chips: counted on a lane and by a reader of their own, so that no page waits for them.

A count of a million tasks may take some tenths of a second. The newest question wins, and ends the count of
an older one; the same question is asked again no oftener than its answer is worth.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

from console.core.clock import Clock
from console.core.errors import ConsoleError
from console.core.lanes import Lane
from console.core.spawn import Tasks
from console.history.model import Counts
from console.history.query import TaskQuery
from console.history.reader import HistoryReader

log = logging.getLogger(__name__)

SHARE = 20.0
"""Counting gets a twentieth of the time at most."""
LANE_S = 20.0
END_S = 1.0

Counted = Callable[[TaskQuery, Counts], None]


class Counting:
    """`counted(query, counts)` is called on the loop for the last query that was asked for."""

    def __init__(
        self, *, clock: Clock, open_history: Callable[[Path], HistoryReader], counted: Counted
    ) -> None:
        self._clock = clock
        self._open_history = open_history
        self._counted = counted
        self._tasks = Tasks("counting")
        self._lane: Lane | None = None
        self._reader: HistoryReader | None = None
        self._wake = asyncio.Event()
        self._query: TaskQuery | None = None
        self._answered: TaskQuery | None = None
        self._next_s = 0.0
        self._busy = False

    def open(self, history: Path) -> None:
        """Count in `history` until `aclose`."""
        self._lane = Lane("task counts", timeout_s=LANE_S)
        self._reader = self._open_history(history)
        self._query = self._answered = None
        self._wake = asyncio.Event()
        self._tasks.start(self._run(self._lane, self._reader), name="count")

    async def aclose(self) -> None:
        """End the count that runs, and forget."""
        lane, reader = self._lane, self._reader
        self._lane = self._reader = None
        if reader is not None:
            reader.interrupt()
        await self._tasks.aclose()
        if lane is not None and reader is not None:
            with contextlib.suppress(ConsoleError):  # a stuck lane: the file goes with the reader
                await lane.run(reader.close, timeout_s=END_S)
            await lane.aclose(wait_s=0.2)

    def want(self, query: TaskQuery) -> None:
        """Something has changed: count what fits `query`, now or when it is worth it again."""
        before, self._query = self._query, query
        if before is not None and before.expr != query.expr and self._busy and self._reader is not None:
            self._reader.interrupt()
        self._wake.set()

    def forget(self) -> None:
        """Count anew at the next question, whatever the last count cost."""
        self._answered = None

    async def _run(self, lane: Lane, reader: HistoryReader) -> None:
        while self._reader is reader:
            await self._wake.wait()
            self._wake.clear()
            query = self._query
            if query is None:
                continue
            if self._answered is not None and self._answered.expr == query.expr:
                await self._patience()
                query = self._query or query
            await self._count(lane, reader, query)

    async def _patience(self) -> None:
        """Wait until counting the same again is worth it, or something else is asked."""
        while (left_s := self._next_s - self._clock.monotonic_s()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._wake.wait()
                    self._wake.clear()
            query, answered = self._query, self._answered
            if answered is None or (query is not None and query.expr != answered.expr):
                return

    async def _count(self, lane: Lane, reader: HistoryReader, query: TaskQuery) -> None:
        began_s = self._clock.monotonic_s()
        counts: Counts | None = None
        self._busy = True
        try:
            counts = await lane.run(reader.counts, query)
        except ConsoleError:
            pass  # ended for a newer question, or it took too long, or there is no history yet
        except Exception:
            log.exception("Counting the tasks failed")  # the numbers stay; the next count may do
        finally:
            self._busy = False
        now_s = self._clock.monotonic_s()
        self._answered, self._next_s = query, now_s + (now_s - began_s) * SHARE
        if counts is not None and self._query is not None and self._query.expr == query.expr:
            self._counted(query, counts)
