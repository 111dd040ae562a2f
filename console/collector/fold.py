"""The fold: events become rows, whatever their order and however often they come.

Holds the tasks touched lately in memory (they are touched again soon) and takes others back from the
history. A batch of events is applied first and each touched row is derived once, so a task that is
received, started and succeeded within one batch costs one insert.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any, Protocol

from console.collector.events import Event
from console.collector.folded_task import MAX_WORD, FoldedTask, one_line, restored, shared
from console.collector.tally import FUTURE_S, tally
from console.history.errors import fingerprint
from console.history.figures import FigureCounters
from console.history.ids import StoredId, pack_id, pack_optional
from console.history.marks import (
    CANCELLED,
    FAILED,
    MAX_MARKS,
    RECEIVED,
    REJECTED,
    RETRIED,
    REVOKED,
    SENT,
    STARTED,
    STATE_CODES,
    SUCCEEDED,
    Mark,
    derive,
    encode_marks,
    newest,
    sane_instant,
    with_verdict,
)
from console.history.model import TaskState, WorkerSeen
from console.history.retention import Removed
from console.history.schema import WordKind
from console.history.words import CountedWords, WordNumbers, WordStore
from console.history.writer import Batch

KEPT_TASKS = 20_000
KEPT_AFTER_DROPPING = 12_000
MAX_TEXT = 16_384
MAX_TRACEBACK = 65_536
MAX_HOSTNAME = 255
MAX_WORKERS = 2000
BIGGEST_INTEGER = 2**53
DEFAULT_INTERVAL_S = 2.0

_KINDS = {
    "task-sent": SENT,
    "task-received": RECEIVED,
    "task-started": STARTED,
    "task-retried": RETRIED,
    "task-cancelled": CANCELLED,
    "task-succeeded": SUCCEEDED,
    "task-failed": FAILED,
    "task-revoked": REVOKED,
    "task-rejected": REJECTED,
}


class FoldStore(WordStore, Protocol):
    """What a fold asks of the history. All raise `ConsoleError`."""

    def load(self, ids: Sequence[StoredId]) -> list[tuple[Any, ...]]:
        """The stored tasks among `ids`, as tuples in the order of `LOADED_COLUMNS`."""

    def next_rowid(self) -> int: ...

    def counts(self) -> dict[TaskState, int]: ...

    def figure_steps(self) -> list[bytes]:
        """What a run before has counted and not stored everywhere."""


class Fold:
    """Rows out of events, for the history `store`; `workers` are those known from before.

    `counts` are all tasks by state. `skipped` counts events that name no task and no worker that there
    can be.
    """

    def __init__(self, store: FoldStore, *, workers: Sequence[WorkerSeen] = ()) -> None:
        self._store = store
        self._next_rowid = store.next_rowid()
        self.counts = store.counts()
        self.workers = {worker.hostname: worker for worker in workers}
        self.newest_timestamp: float | None = None
        self.skipped = 0
        self._tasks: dict[str, FoldedTask] = {}
        self._dirty: dict[str, FoldedTask] = {}
        self._words = WordNumbers(store)
        number = CountedWords(self._words).number
        self._figures = FigureCounters(
            partial(number, WordKind.NAME), partial(number, WordKind.QUEUE), kept=store.figure_steps()
        )
        self._dirty_workers: set[str] = set()
        self._inserted: set[str] = set()
        self._packed: list[tuple[FoldedTask, bytes]] = []

    @property
    def waiting(self) -> bool:
        """Whether something is folded that is not stored."""
        return bool(self._dirty or self._dirty_workers or self._figures.fresh)

    @property
    def moves_tasks(self) -> bool:
        """Whether tasks are among what is not stored; heartbeats alone change no row that a page shows."""
        return bool(self._dirty)

    def apply(self, events: Sequence[Event], *, received_at: float) -> None:
        """Fold `events`, received at `received_at` (seconds of the epoch, our clock).

        Raises `ConsoleError` when a stored task cannot be read; then nothing of `events` is folded.
        """
        self._fetch(
            {
                event.uuid
                for event in events
                if event.uuid and event.type in _KINDS and len(event.uuid) <= MAX_WORD
            }
        )
        for event in events:
            stamp = event.timestamp
            if stamp is not None and stamp < received_at + FUTURE_S:
                self.newest_timestamp = stamp
            kind = _KINDS.get(event.type)
            if kind is None and _is_hostname(event.hostname):
                self._heartbeat(event, received_at)
            elif kind is not None and event.uuid and len(event.uuid) <= MAX_WORD:
                self._mark(kind, event, received_at)
            else:
                self.skipped += 1

    def verdict(self, task_id: str, mark: Mark) -> bool:
        """Fold what was found out about a task; False when the history does not have it.

        Raises `ConsoleError` when the stored task cannot be read.
        """
        self._fetch({task_id})
        task = self._opened(task_id)
        if task is None:
            return False
        if mark not in task.marks:
            self._dirty[task_id] = task
            task.marks = with_verdict(task.marks, mark)
        return True

    def batch(self, *, change: int, alive: float) -> Batch:
        """What is to be stored now. Call `stored()` after it was, or this again when it could not be.

        Raises `ConsoleError` when the numbers of words cannot be read; then call it again, too.
        """
        batch = Batch(change=change, alive=alive)
        self._packed.clear()
        for task in self._dirty.values():
            self._add(batch, task, change)
        batch.counts = dict(self.counts)
        batch.figures = self._figures.take(alive)
        for hostname in self._dirty_workers:
            self._words.number(WordKind.WORKER, hostname)
        batch.workers = [self.workers[hostname] for hostname in self._dirty_workers]
        batch.words = self._words.rows()
        return batch

    def stored(self) -> None:
        """The last batch is in the history."""
        for task, packed in self._packed:
            task.pack(packed)
        self._packed.clear()
        self._dirty.clear()
        self._inserted.clear()
        self._figures.stored()
        self._words.stored()
        self._dirty_workers.clear()
        if len(self._tasks) > KEPT_TASKS:
            self._drop()

    def _drop(self) -> None:
        """Let go of tasks that are over, then of those nothing has happened to for longest."""
        over = [task.id for task in self._tasks.values() if STATE_CODES[task.state].is_final]
        for task_id in over[: len(self._tasks) - KEPT_AFTER_DROPPING]:
            del self._tasks[task_id]
        for task_id in list(islice(self._tasks, max(0, len(self._tasks) - KEPT_AFTER_DROPPING))):
            del self._tasks[task_id]

    def removed(self, removed: Removed) -> None:
        """What has been removed from the history; nothing may be waiting to be stored meanwhile."""
        for task_id in removed.ids:
            self._tasks.pop(task_id, None)
        for state, count in removed.by_state.items():
            self.counts[state] -= count
        if removed.words:
            self._words.forget()

    def _fetch(self, ids: set[str]) -> None:
        """Take back those of `ids` that are stored and not in memory."""
        missing = ids - self._tasks.keys()
        if missing:
            for row in self._store.load([pack_id(task_id) for task_id in missing]):
                task = restored(row)
                self._tasks[task.id] = task

    def _opened(self, task_id: str) -> FoldedTask | None:
        """A task that is in memory, with its marks at hand; it is the last to be let go of."""
        task = self._tasks.get(task_id)
        if task is not None and task.open():
            del self._tasks[task_id]
            self._tasks[task_id] = task
        return task

    def _mark(self, kind: int, event: Event, received_at: float) -> None:
        task_id = event.uuid or ""
        task = self._opened(task_id) or self._tasks.setdefault(task_id, FoldedTask(task_id))
        when = sane_instant(event.timestamp) if event.timestamp is not None else 0.0
        host = shared(event.hostname) or ""
        filed = task.files
        first, second = self._texts(kind, event, task, when, host)
        pid = event.pid or 0
        mark: Mark = (kind, when, host, pid if 0 <= pid < BIGGEST_INTEGER else 0, first, second)
        self._dirty[task_id] = task
        if mark in task.marks:
            return
        before, task.marks = task.marks, [*task.marks, mark]
        if len(task.marks) > MAX_MARKS:
            task.marks = newest(task.marks)
            if mark not in task.marks:
                return
        files = task.files
        tally(
            self._figures,
            mark,
            before,
            filed=filed if before else files,
            files=files,
            received_at=received_at,
        )

    def _texts(self, kind: int, event: Event, task: FoldedTask, when: float, host: str) -> tuple[Any, Any]:
        """The two values of the mark; groups of texts move to the task when this event owns them."""
        if kind in (SENT, RECEIVED):
            retries = event.retries or 0
            retries = retries if 0 <= retries < BIGGEST_INTEGER else 0
            knows = (2 if event.name else 0) | (1 if event.args is not None else 0)
            self._identify(task, event, (knows, retries, kind, when))
            if kind == SENT:
                route = (
                    shared(event.queue),
                    shared(event.exchange),
                    shared(event.routing_key),
                    host or None,
                )
                key = (retries, when)
                if key > task.route_key or (key == task.route_key and _ties(route) > _ties(task.route)):
                    task.route, task.route_key = route, key
            return retries, knows
        if kind == SUCCEEDED:
            result_key = (when,)
            result = _text(event.result)
            if result_key > task.result_key or (
                result_key == task.result_key and _ties((result,)) > _ties((task.result,))
            ):
                task.result, task.result_key = result, result_key
            runtime = event.runtime
            known = runtime is not None and math.isfinite(runtime) and runtime >= 0.0
            return (runtime if known else None), None
        if kind in (RETRIED, FAILED):
            return _text(event.exception), _text(event.traceback, MAX_TRACEBACK)
        if kind == REVOKED:
            how = "expired" if event.expired else "terminated" if event.terminated else "revoked"
            return how, None if event.signum is None else str(event.signum)[:MAX_WORD]
        return (bool(event.requeue), None) if kind == REJECTED else (None, None)

    @staticmethod
    def _identify(task: FoldedTask, event: Event, key: tuple[Any, ...]) -> None:
        if task.identity_key > key:
            return
        identity = (
            shared(event.name),
            _text(event.args),
            _text(event.kwargs),
            one_line(event.root_id) if event.root_id != task.id else None,
            one_line(event.parent_id),
            one_line(event.eta),
            one_line(event.expires),
        )
        if key > task.identity_key or _ties(identity) > _ties(task.identity):
            task.identity, task.identity_key = identity, key

    def _add(self, batch: Batch, task: FoldedTask, change: int) -> None:
        """The row and the texts of `task`, and what is searched where that changed."""
        row = derive(task.marks)
        name, args, kwargs, root, parent, eta, expires = task.identity
        queue, exchange, routing_key, client = task.route
        number = self._words.number
        error = number(WordKind.ERROR, fingerprint(row.exception)[:MAX_WORD]) if row.exception else 0
        values = (
            row.state, number(WordKind.NAME, name), number(WordKind.WORKER, row.worker),
            number(WordKind.QUEUE, queue), row.at, row.sent, row.received, row.started, row.ended, row.waited,
            row.runtime, row.retries, change, error,
        )  # fmt: skip
        if task.state != row.state:
            if task.state >= 0:
                self.counts[STATE_CODES[task.state]] -= 1
            self.counts[STATE_CODES[row.state]] += 1
            task.state = row.state
        if task.rowid and task.id not in self._inserted:
            batch.updates.append((*values, task.rowid))
        else:
            self._inserted.add(task.id)
            if not task.rowid:
                task.rowid = self._next_rowid
                self._next_rowid += 1
            batch.inserts.append((task.rowid, pack_id(task.id), *values))
        result = row.result if task.result is None else task.result
        marks = encode_marks(task.marks)
        batch.texts.append(
            (
                task.rowid, row.pid, args, kwargs, result, row.exception, pack_optional(root),
                pack_optional(parent), eta, expires, routing_key, exchange, client,
                row.reason, marks,
            )
        )  # fmt: skip
        self._packed.append((task, marks))
        task.derived = (args, kwargs, result, row.exception)
        _index(batch, task)

    def _heartbeat(self, event: Event, received_at: float) -> None:
        hostname = event.hostname or ""
        before = self.workers.get(hostname)
        now = datetime.fromtimestamp(received_at, UTC)
        interval_s = event.freq if event.freq is not None and 0.0 < event.freq < FUTURE_S else None
        kept = before.interval_s if before is not None else DEFAULT_INTERVAL_S
        software = " ".join(part for part in (event.sw_ident, event.sw_ver) if part)[:MAX_WORD]
        self.workers[hostname] = WorkerSeen(
            hostname=hostname,
            online=event.type != "worker-offline",
            last_heartbeat=now,
            interval_s=interval_s if interval_s is not None else kept,
            active=_integer(event.active),
            processed=_integer(event.processed),
            load=tuple(value for value in event.loadavg or () if math.isfinite(value))[:3],
            pid=_integer(event.pid),
            software=software or (before.software if before is not None else ""),
            clock_offset_s=(
                received_at - sane_instant(event.timestamp)
                if event.timestamp is not None and sane_instant(event.timestamp)
                else before.clock_offset_s
                if before is not None
                else None
            ),
        )
        if len(self.workers) > MAX_WORKERS:
            del self.workers[min(self.workers, key=lambda name: self.workers[name].last_heartbeat)]
            self._dirty_workers &= self.workers.keys()
        self._dirty_workers.add(hostname)


def _index(batch: Batch, task: FoldedTask) -> None:
    """What the search has to forget and to learn of `task`; a pair without any text is not indexed."""
    if task.derived == task.stored:
        return
    rowid, before, now = task.rowid, task.stored, task.derived
    if before[:2] != now[:2]:
        if before[0] is not None or before[1] is not None:
            batch.forget_call.append((rowid, before[0], before[1]))
        if now[0] is not None or now[1] is not None:
            batch.call.append((rowid, now[0], now[1]))
    if before[2:] != now[2:]:
        if before[2] is not None or before[3] is not None:
            batch.forget_outcome.append((rowid, before[2], before[3]))
        if now[2] is not None or now[3] is not None:
            batch.outcome.append((rowid, now[2], now[3]))


def _ties(texts: tuple[str | None, ...]) -> tuple[tuple[bool, str], ...]:
    """An order among texts that decides when two events are of the same instant."""
    return tuple((text is not None, text or "") for text in texts)


def _text(text: str | None, limit: int = MAX_TEXT) -> str | None:
    if text is None or len(text) <= limit:
        return text
    return f"{text[:limit]}…"


def _is_hostname(text: str | None) -> bool:
    """Whether a worker can have this name; anything else would be a row of a worker that is none."""
    return bool(text) and text is not None and len(text) <= MAX_HOSTNAME and text.isprintable()


def _integer(number: int | None) -> int | None:
    return number if number is not None and 0 <= number < BIGGEST_INTEGER else None
