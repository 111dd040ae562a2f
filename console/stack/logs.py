"""The logs of the stack in memory: bounded per source, told in batches.

Stands between processes and pages, so that neither a flood of lines nor a page that is not there matters.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from heapq import merge
from operator import itemgetter
from pathlib import Path

from console.core.errors import Cause, ConsoleError
from console.core.happening import Happening
from console.stack.model import LogEntry, LogReader

KEPT_LINES = 20_000
TAIL_LINES = 200
BATCH_S = 0.1


class LogBook:
    """The last `KEPT_LINES` entries of each source. `added` carries new entries, at most 10 times a second.

    Used on the loop only.
    """

    def __init__(self) -> None:
        self.added: Happening[list[LogEntry]] = Happening()
        self._entries: dict[str, deque[tuple[int, LogEntry]]] = {}
        self._number = 0
        self._readers: dict[str, LogReader] = {}
        self._tails: dict[str, deque[str]] = {}
        self._new: list[LogEntry] = []
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, source: str) -> None:
        """A new process writes from now on: the tail for a diagnosis begins anew."""
        self._tails[source] = deque(maxlen=TAIL_LINES)
        self._readers[source] = LogReader(source)

    def add(self, source: str, lines: Sequence[str]) -> None:
        """Take lines as the process wrote them."""
        if source not in self._readers:
            self.begin(source)
        arrived = datetime.now().astimezone().strftime("%H:%M:%S.%f")[:-3]
        reader = self._readers[source]
        entries = [entry for line in lines if (entry := reader.read(line, arrived)) is not None]
        kept = self._entries.setdefault(source, deque(maxlen=KEPT_LINES))
        kept.extend(enumerate(entries, self._number))
        self._number += len(entries)
        self._tails[source].extend(lines)
        self._new += entries
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(BATCH_S, self._tell)

    def note_dropped(self, source: str, lines: int) -> None:
        """Lines came faster than the window could show them; the file has them."""
        noun = "line is" if lines == 1 else "lines are"
        self.add(source, [f"… {lines:,} more {noun} in the log file"])

    def entries(self, source: str | None = None) -> list[LogEntry]:
        """The entries of `source`, or of all, in the order in which they came."""
        if source is not None:
            return [entry for _, entry in self._entries.get(source, ())]
        return [entry for _, entry in merge(*self._entries.values(), key=itemgetter(0))]

    def tail(self, source: str) -> list[str]:
        """The last raw lines of the process that writes as `source`, or wrote last."""
        return list(self._tails.get(source, ()))

    def close(self) -> None:
        """Tell what has not been told yet."""
        if self._timer is not None:
            self._timer.cancel()
            self._tell()

    def _tell(self) -> None:
        self._timer = None
        new, self._new = self._new, []
        if new:
            self.added.emit(new)


class LineWatch:
    """Waits for a line that matches a pattern; lines fed since the last `reset` count."""

    def __init__(self, pattern: str) -> None:
        self._pattern = re.compile(pattern)
        self._seen = asyncio.Event()

    def reset(self) -> None:
        self._seen.clear()

    def feed(self, lines: Sequence[str]) -> None:
        if not self._seen.is_set() and any(self._pattern.search(line) for line in lines):
            self._seen.set()

    async def wait(self) -> None:
        await self._seen.wait()


def save_log(path: Path, entries: Sequence[LogEntry]) -> None:
    """Write entries as text. Blocking. Raises `ConsoleError`."""
    try:
        with path.open("w", encoding="utf-8") as file:
            for entry in entries:
                head = "" if entry.continuation else f"{entry.time} {entry.source} {entry.level} "
                file.write(f"{head}{entry.text}\n")
    except OSError as error:
        raise ConsoleError(
            "The log could not be saved",
            detail=f"{path}: {error.strerror or error}.",
            remedy="Choose another folder.",
            cause=Cause.NOT_PERMITTED,
        ) from error
