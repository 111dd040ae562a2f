"""The fold: events become rows, whatever their order and however often they come.

Holds the tasks touched lately in memory (they are touched again soon) and takes others back from the
history. A batch of events is applied first and each touched row is derived once, so a task that is
received, started and succeeded within one batch costs one insert.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from console.collector.events import Event
from console.history.buckets import bucket_of
from console.history.ids import StoredId, pack_id, pack_optional, unpack_id, unpack_optional
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
    decode_marks,
    derive,
    encode_marks,
    newest,
    sane_instant,
)
from console.history.model import Measure, TaskState, WorkerSeen
from console.history.writer import Batch, MinuteKey

Load = Callable[[Sequence[StoredId]], list[tuple[Any, ...]]]

KEPT_TASKS = 40_000
DROPPED_TASKS = 10_000
MAX_TEXT = 16_384
MAX_TRACEBACK = 65_536
MAX_WORD = 512
MAX_WORDS = 50_000
MAX_HOSTNAME = 255
MAX_WORKERS = 2000
FUTURE_S = 3600.0
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
_MEASURES = {
    SENT: Measure.SENT,
    RECEIVED: Measure.RECEIVED,
    SUCCEEDED: Measure.SUCCEEDED,
    FAILED: Measure.FAILED,
    RETRIED: Measure.RETRIED,
    REVOKED: Measure.OTHER,
    REJECTED: Measure.OTHER,
}
_NO_KEY: tuple[Any, ...] = ()


class _Task:
    """One task as it is folded: its marks, and three groups of texts each taken whole from one event.

    A group belongs to the event with the greatest key among those that carry it, ties decided by the
    texts themselves; the keys can be computed again from the marks.
    """

    __slots__ = (
        "id", "identity", "identity_key", "marks", "result", "result_key", "route", "route_key",
        "rowid", "state",
    )  # fmt: skip

    def __init__(self, task_id: str) -> None:
        self.id = task_id
        self.rowid = 0
        self.state = -1
        self.marks: list[Mark] = []
        self.identity: tuple[str | None, ...] = (None,) * 7  # name args kwargs root parent eta expires
        self.identity_key = _NO_KEY
        self.route: tuple[str | None, ...] = (None,) * 4  # queue exchange routing_key client
        self.route_key = _NO_KEY
        self.result: str | None = None
        self.result_key = _NO_KEY


class Fold:
    """Rows out of events. `load` reads stored tasks by id; `counts` are all tasks by state now.

    `skipped` counts events that name no task and no worker that there can be.
    """

    def __init__(
        self,
        load: Load,
        *,
        next_rowid: int,
        counts: dict[TaskState, int],
        words: set[tuple[str, str]],
        workers: Sequence[WorkerSeen] = (),
    ) -> None:
        self._load = load
        self._next_rowid = next_rowid
        self.counts = dict(counts)
        self.workers = {worker.hostname: worker for worker in workers}
        self.newest_timestamp: float | None = None
        self.skipped = 0
        self._tasks: dict[str, _Task] = {}
        self._dirty: dict[str, _Task] = {}
        self._words = set(words)
        self._new_words: set[tuple[str, str]] = set()
        self._minutes: defaultdict[MinuteKey, int] = defaultdict(int)
        self._dirty_workers: set[str] = set()
        self._inserted: set[str] = set()

    @property
    def waiting(self) -> bool:
        """Whether something is folded that is not stored."""
        return bool(self._dirty or self._dirty_workers or self._minutes)

    @property
    def moves_tasks(self) -> bool:
        """Whether tasks are among what is not stored; heartbeats alone change no row that a page shows."""
        return bool(self._dirty)

    def apply(self, events: Sequence[Event], *, received_at: float) -> None:
        """Fold `events`, received at `received_at` (seconds of the epoch, our clock).

        Raises `ConsoleError` when a stored task cannot be read; then nothing of `events` is folded.
        """
        self._fetch(events)
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

    def batch(self, *, change: int, alive: float) -> Batch:
        """What is to be stored now. Call `stored()` after it was, or this again when it could not be."""
        batch = Batch(change=change, alive=alive)
        for task in self._dirty.values():
            before = task.state
            values = self._row(task, change)
            if task.state != before:
                if before >= 0:
                    self.counts[STATE_CODES[before]] -= 1
                self.counts[STATE_CODES[task.state]] += 1
            if task.rowid and task.id not in self._inserted:
                batch.updates.append((*values[2:], task.rowid))
            else:
                self._inserted.add(task.id)
                if not task.rowid:
                    task.rowid = self._next_rowid
                    self._next_rowid += 1
                batch.inserts.append((task.rowid, *values[1:]))
        batch.counts = dict(self.counts)
        batch.minutes = dict(self._minutes)
        batch.words = tuple(self._new_words)
        batch.workers = [self.workers[hostname] for hostname in self._dirty_workers]
        return batch

    def stored(self) -> None:
        """The last batch is in the history."""
        self._dirty.clear()
        self._inserted.clear()
        self._minutes.clear()
        self._new_words.clear()
        self._dirty_workers.clear()
        if len(self._tasks) > KEPT_TASKS:
            for task_id in list(self._tasks)[:DROPPED_TASKS]:
                del self._tasks[task_id]

    def _fetch(self, events: Sequence[Event]) -> None:
        tasks = self._tasks
        missing = {
            event.uuid
            for event in events
            if event.uuid and event.uuid not in tasks and event.type in _KINDS and len(event.uuid) <= MAX_WORD
        }
        if not missing:
            return
        for row in self._load([pack_id(task_id) for task_id in missing]):
            task = _restored(row)
            tasks[task.id] = task

    def _mark(self, kind: int, event: Event, received_at: float) -> None:
        task_id = event.uuid or ""
        task = self._tasks.get(task_id)
        if task is None:
            task = self._tasks[task_id] = _Task(task_id)
        when = sane_instant(event.timestamp) if event.timestamp is not None else 0.0
        host = _word(event.hostname) or ""
        first, second = self._texts(kind, event, task, when, host)
        pid = event.pid or 0
        mark: Mark = (kind, when, host, pid if 0 <= pid < BIGGEST_INTEGER else 0, first, second)
        self._dirty[task_id] = task
        if mark in task.marks:
            return
        task.marks.append(mark)
        if len(task.marks) > MAX_MARKS:
            task.marks = newest(task.marks)
            if mark not in task.marks:
                return
        self._count(kind, event, task, when, received_at)

    def _texts(self, kind: int, event: Event, task: _Task, when: float, host: str) -> tuple[Any, Any]:
        """The two values of the mark; groups of texts move to the task when this event owns them."""
        if kind in (SENT, RECEIVED):
            retries = event.retries or 0
            retries = retries if 0 <= retries < BIGGEST_INTEGER else 0
            knows = (2 if event.name else 0) | (1 if event.args is not None else 0)
            self._identify(task, event, (knows, retries, kind, when))
            if kind == SENT:
                route = (
                    _word(event.queue),
                    _word(event.exchange),
                    _word(event.routing_key),
                    _word(host),
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
    def _identify(task: _Task, event: Event, key: tuple[Any, ...]) -> None:
        if task.identity_key > key:
            return
        identity = (
            _word(event.name),
            _text(event.args),
            _text(event.kwargs),
            _word(event.root_id) if event.root_id != task.id else None,
            _word(event.parent_id),
            _word(event.eta),
            _word(event.expires),
        )
        if key > task.identity_key or _ties(identity) > _ties(task.identity):
            task.identity, task.identity_key = identity, key

    def _count(self, kind: int, event: Event, task: _Task, when: float, received_at: float) -> None:
        measure = _MEASURES.get(kind)
        if measure is None and kind != STARTED:
            return
        minute = _minute(when, received_at)
        name = _word(event.name) or task.identity[0] or ""
        if kind in (FAILED, REJECTED) and self._is_one_end(kind, task, name, received_at):
            return
        if measure is not None:
            self._minutes[(minute, name, int(measure), -1)] += 1
        if kind == SUCCEEDED and event.runtime is not None and 0.0 <= event.runtime < math.inf:
            self._minutes[(minute, name, int(Measure.RUNTIME), bucket_of(event.runtime))] += 1
        if kind == STARTED and when:
            waits = [mark for mark in task.marks if mark[0] == STARTED]
            if len(waits) == 1:
                since = [mark[1] for mark in task.marks if mark[0] == SENT] or [
                    mark[1] for mark in task.marks if mark[0] == RECEIVED
                ]
                if since and min(since) > 0.0:
                    wait = max(when - min(since), 0.0)
                    self._minutes[(minute, name, int(Measure.WAIT), bucket_of(wait))] += 1

    def _is_one_end(self, kind: int, task: _Task, name: str, received_at: float) -> bool:
        """Whether a refusal is the failure that was counted; a refusal counted before it is taken back."""
        refused = [one for one in task.marks if one[0] == REJECTED and not one[4]]
        if kind == REJECTED:
            return bool(refused) and any(one[0] == FAILED for one in task.marks)
        if refused:
            minute = _minute(refused[0][1], received_at)
            self._minutes[(minute, name, int(Measure.OTHER), -1)] -= 1
        return False

    def _row(self, task: _Task, change: int) -> tuple[Any, ...]:
        row = derive(task.marks)
        task.state = row.state
        name, args, kwargs, root, parent, eta, expires = task.identity
        queue, exchange, routing_key, client = task.route
        self._learn("task", name)
        self._learn("worker", row.worker)
        self._learn("queue", queue)
        return (
            task.rowid, pack_id(task.id), name or "", row.state, row.worker, queue or "", row.at, row.sent,
            row.received, row.started, row.ended, row.waited, row.runtime, row.retries, change, row.pid,
            args, kwargs, task.result, row.exception,
            pack_optional(root), pack_optional(parent), eta, expires,
            routing_key, exchange, client, encode_marks(task.marks),
        )  # fmt: skip

    def _learn(self, kind: str, word: str | None) -> None:
        if word and (kind, word) not in self._words and len(self._words) < MAX_WORDS:
            self._words.add((kind, word))
            self._new_words.add((kind, word))

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
        )
        if len(self.workers) > MAX_WORKERS:
            del self.workers[min(self.workers, key=lambda name: self.workers[name].last_heartbeat)]
            self._dirty_workers &= self.workers.keys()
        self._dirty_workers.add(hostname)
        self._learn("worker", hostname)


def _restored(row: tuple[Any, ...]) -> _Task:
    """A task as it was when its row was stored."""
    (
        rowid, stored_id, name, state, _worker, queue, _at, _sent, _received, _started, _ended, _waited,
        _runtime, _retries, _change, _pid, args, kwargs, result, _exception, root_id, parent_id, eta, expires,
        routing_key, exchange, client, blob,
    ) = row  # fmt: skip
    task = _Task(unpack_id(stored_id))
    task.rowid, task.state, task.marks = rowid, state, decode_marks(blob)
    for kind, when, _host, _process, first, second in task.marks:
        if kind in (SENT, RECEIVED):
            task.identity_key = max(task.identity_key, (second, first, kind, when))
        if kind == SENT:
            task.route_key = max(task.route_key, (first, when))
        if kind == SUCCEEDED:
            task.result_key = max(task.result_key, (when,))
    relatives = unpack_optional(root_id), unpack_optional(parent_id)
    task.identity = (name or None, args, kwargs, *relatives, eta, expires)
    task.route = (queue or None, exchange, routing_key, client)
    task.result = result
    return task


def _ties(texts: tuple[str | None, ...]) -> tuple[tuple[bool, str], ...]:
    """An order among texts that decides when two events are of the same instant."""
    return tuple((text is not None, text or "") for text in texts)


def _text(text: str | None, limit: int = MAX_TEXT) -> str | None:
    if text is None or len(text) <= limit:
        return text
    return f"{text[:limit]}…"


def _word(text: str | None) -> str | None:
    """A name as it can be shown on one line: control characters and reversals of the writing are replaced."""
    if not text:
        return None
    word = text[:MAX_WORD]
    return word if word.isprintable() else "".join(one if one.isprintable() else "\ufffd" for one in word)


def _is_hostname(text: str | None) -> bool:
    """Whether a worker can have this name; anything else would be a row of a worker that is none."""
    return bool(text) and text is not None and len(text) <= MAX_HOSTNAME and text.isprintable()


def _minute(when: float, received_at: float) -> int:
    """The minute of an event; a clock that is ahead must not put bars into the future of the charts."""
    return int((when if 0.0 < when < received_at + FUTURE_S else received_at) // 60)


def _integer(number: int | None) -> int | None:
    return number if number is not None and 0 <= number < BIGGEST_INTEGER else None
