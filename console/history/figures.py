"""Figures kept as it goes: counts and durations by time, task name and queue, so that nobody walks the tasks.

The fold counts here, the writer stores what comes out, `figure_reading` reads it. A busy cluster touches
ten thousand counters a minute, so not all are written with each batch. The minutes of everything together
are, and with them the increments as one blob in `figure_steps`. The counters by name and by queue and those
of longer spans follow every few seconds, and the blobs go with the same transaction. A process that is killed
between leaves its blobs behind, and the next one counts them: nothing is lost and nothing is counted twice.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain

from console.history.buckets import bucket_of
from console.history.model import Measure

MINUTE_S = 60
SPANS_S = (60, 900, 3_600, 86_400)
"""The widths of slots that are stored, each a multiple of the one before it (seconds)."""
KEPT_S = {60: 2 * 86_400, 900: 10 * 86_400, 3_600: 90 * 86_400, 86_400: 400 * 86_400}
"""How long slots of each width are worth keeping (seconds)."""
PLAIN = -1
"""The bucket of what has none."""
ROW_BYTES = 24
"""What a row of `figures` takes in the file."""
LEAST_SHARE = 0.001
ALL_EVERY_S = 20.0
FEW_EVERY_S = 1.0
FEW = 500
MANY = 50_000
_FIELDS = 5

FigureKey = tuple[int, int, int, int]
"""Minute of the epoch, word of the task name, word of the queue (0: unknown), measure and bucket in one."""
Counted = tuple[int, str, str, int]
"""The same with the words themselves ("" for unknown)."""
FigureRow = tuple[int, int, int, int, int, int, int]
"""A row of `figures`: span (s), slot (epoch // span), kind, word, measure, bucket, n."""

KEPT_STEPS = "SELECT counts FROM figure_steps ORDER BY number"
"""The blobs that a run left behind when it was killed."""
_ADD = "INSERT INTO figures VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n"


class FigureKind(IntEnum):
    """What a row of `figures` counts: all tasks (word 0), those of one name, those of one queue."""

    ALL = 0
    NAME = 1
    QUEUE = 2


@dataclass(frozen=True, slots=True)
class FigureBatch:
    """What one transaction stores: increments as rows, and the blob to keep (None: none).

    `forget`: the rows hold everything that blobs were kept for, and those go.
    """

    rows: tuple[FigureRow, ...] = ()
    step: bytes | None = None
    forget: bool = False


NO_FIGURES = FigureBatch()


class FigureCounters:
    """Counts of a run of the collector; belongs to the thread of the fold.

    `name_number` and `queue_number` give the number of a word and may raise `ConsoleError`; they are asked
    when something is taken, not when it is counted. `kept` are the blobs that a run before left behind
    (`KEPT_STEPS`).
    """

    def __init__(
        self,
        name_number: Callable[[str], int],
        queue_number: Callable[[str], int],
        *,
        kept: Iterable[bytes] = (),
    ) -> None:
        self._name_number = name_number
        self._queue_number = queue_number
        self._fresh: defaultdict[Counted, int] = defaultdict(int)
        self._held: defaultdict[FigureKey, int] = defaultdict(int)
        self._stored_s = float("-inf")
        self._taken = FigureBatch()
        self._taken_fresh: dict[FigureKey, int] = {}
        self._taken_s = 0.0
        for step in kept:
            _add_step(self._held, step)

    def count(self, measure: Measure, minute: int, name: str, queue: str, n: int = 1) -> None:
        """`n` events of `measure` in `minute` (of the epoch); -1 takes one back. "" is an unknown word.

        Counts that were made before a queue was known move to it: -1 without it, then 1 with it.
        """
        self._fresh[minute, name, queue, measure << 8] += n

    def add(self, measure: Measure, minute: int, name: str, queue: str, bucket: int, n: int) -> None:
        """The same for what has its bucket already (`PLAIN`: none)."""
        self._fresh[minute, name, queue, (measure << 8) + 1 + bucket] += n

    def time(
        self, measure: Measure, minute: int, name: str, queue: str, duration_s: float, n: int = 1
    ) -> None:
        """The same for a duration: it goes into the bucket it belongs to."""
        self._fresh[minute, name, queue, (measure << 8) + 1 + bucket_of(duration_s)] += n

    @property
    def fresh(self) -> bool:
        """Whether something was counted that is not stored."""
        return bool(self._fresh)

    def take(self, now_s: float, *, everything: bool = False) -> FigureBatch:
        """What is to be stored now; `everything` at the end of a run. Call `stored()` after it was.

        Raises what the numbers of words raise; then, as when storing failed, it can be called again.
        """
        fresh = self._numbered()
        forget = everything or self._due(now_s)
        if forget:
            held = dict(self._held)
            for key, n in fresh.items():
                held[key] = held.get(key, 0) + n
            self._taken = FigureBatch(tuple(_all_rows(held, fresh)), None, forget=True)
        else:
            step = array("q", chain.from_iterable((*key, n) for key, n in fresh.items())).tobytes()
            self._taken = FigureBatch(tuple(_total_rows(fresh)), step or None)
        self._taken_fresh, self._taken_s = fresh, now_s
        return self._taken

    def stored(self) -> None:
        """What was last taken is in the history."""
        if self._taken.forget:
            self._held.clear()
            self._stored_s = self._taken_s
        else:
            for key, n in self._taken_fresh.items():
                self._held[key] += n
        self._fresh.clear()
        self._taken, self._taken_fresh = FigureBatch(), {}

    def _numbered(self) -> dict[FigureKey, int]:
        names: dict[str, int] = {"": 0}
        queues: dict[str, int] = {"": 0}
        numbered: dict[FigureKey, int] = {}
        for (minute, name, queue, code), n in self._fresh.items():
            if not n:
                continue
            if (name_number := names.get(name)) is None:
                name_number = names[name] = self._name_number(name)
            if (queue_number := queues.get(queue)) is None:
                queue_number = queues[queue] = self._queue_number(queue)
            key = minute, name_number, queue_number, code
            numbered[key] = numbered.get(key, 0) + n
        return numbered

    def _due(self, now_s: float) -> bool:
        held = len(self._held) + len(self._fresh)
        if not held:
            return False
        passed_s = abs(now_s - self._stored_s)  # a clock that was set back must not hold anything up
        return passed_s >= (FEW_EVERY_S if held <= FEW else ALL_EVERY_S) or held > MANY


def store_figures(connection: sqlite3.Connection, batch: FigureBatch) -> None:
    """Write `batch` within the caller's transaction. Raises `sqlite3.Error`."""
    if batch.rows:
        connection.executemany(_ADD, batch.rows)
    if batch.step is not None:
        connection.execute("INSERT INTO figure_steps (counts) VALUES (?)", (batch.step,))
    if batch.forget:
        connection.execute("DELETE FROM figure_steps")


def prune_figures(connection: sqlite3.Connection, now_s: float, *, at_most_bytes: int | None = None) -> None:
    """Remove slots older than `KEPT_S`, within the caller's transaction. Raises `sqlite3.Error`.

    With `at_most_bytes` (about) those by name and by queue go sooner where there are too many of them, so
    that the figures of very many names leave room for tasks.
    """
    for span_s, kept_s in KEPT_S.items():
        oldest = int((now_s - kept_s) // span_s)
        connection.execute("DELETE FROM figures WHERE span = ? AND slot < ?", (span_s, oldest))
    if at_most_bytes is None:
        return
    share = 1.0
    while share > LEAST_SHARE and _figures(connection) * ROW_BYTES > at_most_bytes:
        share /= 2
        for span_s, kept_s in KEPT_S.items():
            oldest = int((now_s - kept_s * share) // span_s)
            connection.execute(
                "DELETE FROM figures WHERE span = ? AND slot < ? AND kind != ?",
                (span_s, oldest, FigureKind.ALL),
            )


def _figures(connection: sqlite3.Connection) -> int:
    count: int = connection.execute("SELECT count(*) FROM figures").fetchone()[0]
    return count


def _add_step(counts: defaultdict[FigureKey, int], step: bytes) -> None:
    values = array("q")
    values.frombytes(step[: len(step) // (8 * _FIELDS) * 8 * _FIELDS])
    numbers = iter(values)
    for minute, name, queue, code, n in zip(numbers, numbers, numbers, numbers, numbers, strict=True):
        counts[minute, name, queue, code] += n


def _total_rows(counts: Mapping[FigureKey, int]) -> list[FigureRow]:
    """The minutes of everything together."""
    totals: defaultdict[tuple[int, int], int] = defaultdict(int)
    for (minute, _name, _queue, code), n in counts.items():
        totals[minute, code] += n
    return [
        (MINUTE_S, minute, FigureKind.ALL, 0, code >> 8, (code & 255) - 1, n)
        for (minute, code), n in sorted(totals.items())
        if n
    ]


def _all_rows(held: Mapping[FigureKey, int], fresh: Mapping[FigureKey, int]) -> list[FigureRow]:
    """Every row of `held`, but of the minutes of everything together only what `fresh` adds."""
    minutes: defaultdict[tuple[int, int, int, int], int] = defaultdict(int)
    for (minute, name, queue, code), n in held.items():
        minutes[minute, FigureKind.ALL, 0, code] += n
        if name:
            minutes[minute, FigureKind.NAME, name, code] += n
        if queue:
            minutes[minute, FigureKind.QUEUE, queue, code] += n
    rows = _total_rows(fresh)
    rows += [
        (MINUTE_S, minute, kind, word, code >> 8, (code & 255) - 1, n)
        for (minute, kind, word, code), n in sorted(minutes.items())
        if n and kind
    ]
    for span_s in SPANS_S[1:]:
        slots: defaultdict[tuple[int, int, int, int], int] = defaultdict(int)
        per = span_s // MINUTE_S
        for (minute, kind, word, code), n in minutes.items():
            slots[minute // per, kind, word, code] += n
        rows += [
            (span_s, slot, kind, word, code >> 8, (code & 255) - 1, n)
            for (slot, kind, word, code), n in sorted(slots.items())
            if n
        ]
    return rows
