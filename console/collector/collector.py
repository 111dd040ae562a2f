"""The collector's main loop: line -> decoder -> fold -> history -> summary.

One thread does all of it; only the emptying of the socket has its own. Nothing that the outside does
ends this loop: a broker that is away is waited for, a history that cannot be written is tried again
(the line holds the bytes meanwhile, up to its bound), and each time not subscribed becomes a gap.
Of several collectors on one history one writes; the others read along and wait for their turn.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

from console.broker.address import BrokerAddress
from console.collector.event_line import (
    REFUSED_CAUSES,
    Chunk,
    Complete,
    EventLine,
    Item,
    Lost,
    Missing,
    StreamEndedError,
    StreamReader,
    Subscribed,
)
from console.collector.events import Event, EventDecoder
from console.collector.fold import Fold
from console.collector.follow import Followed, HistoryFollower
from console.collector.history_lock import HistoryLock
from console.collector.loss import LossCount
from console.collector.reconcile import Give, Reconciler
from console.collector.report import Reporter, Tell
from console.collector.upkeep import Upkeep, collect_rarely
from console.core.errors import ConsoleError
from console.history.bounds import STANDARD_RETENTION, Retention
from console.history.marks import Mark
from console.history.model import CollectorState, CollectorSummary, TaskState
from console.history.schema import Sign
from console.history.writer import HistoryWriter

log = logging.getLogger(__name__)
T = TypeVar("T")

GATHER_S = 0.1
IDLE_WAIT_S = 0.5
FOLLOW_EVERY_S = 0.25
BYTES_PER_BATCH = 4 * 1024 * 1024
EVENTS_PER_FOLD = 5000
ALIVE_STAMP_S = 2.0
WORKERS_REMEMBERED_S = 86_400.0
RETRY_S = 0.5


def open_line(address: BrokerAddress, *, now: Callable[[], float] = time.time) -> EventLine:
    """The line that reads the events of this kind of broker, not yet started."""
    if address.kind.is_redis:
        from console.collector.redis_line import RedisEventLine

        return RedisEventLine(address, now=now)
    from console.collector.amqp_line import AmqpEventLine

    return AmqpEventLine(address, now=now)


class Collector:
    """Reads the events of `address` into `history_file` until `stop` is called.

    `tell(summary, with_workers)` is called at most about ten times a second and at least every second.
    """

    def __init__(
        self,
        *,
        address: BrokerAddress,
        history_file: Path,
        tell: Tell,
        line: EventLine | None = None,
        open_history: Callable[[Path, Sign], HistoryWriter] = HistoryWriter,
        now: Callable[[], float] = time.time,
        make_reconciler: Callable[[Give], Reconciler] | None = None,
        retention: Retention = STANDARD_RETENTION,
    ) -> None:
        self._history_file = history_file
        self._reporter = Reporter(tell)
        self._open_history = open_history
        self._now = now
        self._line = open_line(address, now=now) if line is None else line
        self._decoder = EventDecoder()
        self._loss = LossCount()
        self._reader: StreamReader | None = None
        self._stopping = threading.Event()
        self._state = CollectorState.CONNECTING
        self._error = ""
        self._store: HistoryWriter | None = None
        self._fold: Fold | None = None
        self._followed = Followed()
        self._change = 0
        self._events = 0
        self._stored_events = 0
        self._stored_malformed = 0
        self._lag_s: float | None = None
        self._subscribed = False
        self._stamped_s = 0.0
        self._make_reconciler = make_reconciler
        self._reconciler: Reconciler | None = None
        self._retention = retention
        self._upkeep: Upkeep | None = None
        self._verdicts: deque[tuple[str, Mark]] = deque()

    def keep(self, retention: Retention) -> None:
        """Other bounds of the history from now on. May be called from any thread."""
        self._retention = retention

    def check(self) -> None:
        """See at once whether the line still lives. May be called from any thread."""
        self._line.check()

    def stop(self) -> None:
        """Store what is held and return from `run`. May be called from any thread, more than once."""
        self._stopping.set()
        self._line.wake()

    def run(self) -> None:
        """Work until stopped."""
        lock = self._wait_for_turn()
        try:
            store = (
                None
                if lock is None
                else self._persistently(partial(self._open_history, self._history_file, self._sign))
            )
            if store is not None:
                self._write(store)
        finally:
            if lock is not None:
                lock.release()
            self._state = CollectorState.STOPPED
            self._report(at_once=True)

    def _wait_for_turn(self) -> HistoryLock | None:
        """Read along as long as another collector writes; the lock, or None when stopped before."""
        follower = HistoryFollower(self._history_file, now=self._now)
        try:
            while not self._stopping.is_set():
                taken = self._persistently(lambda: [HistoryLock.take(self._history_file)])
                if taken is None:
                    return None
                (lock,) = taken
                if lock is not None:
                    self._begin_turn()
                    return lock
                self._followed = followed = follower.look()
                self._state, self._error = followed.state, followed.error
                self._report()
                self._stopping.wait(FOLLOW_EVERY_S)
        finally:
            follower.close()
        return None

    def _sign(self) -> bool:
        """A sign of life while the history is made ready, which can take minutes; False ends that."""
        self._report()
        return not self._stopping.is_set()

    def _begin_turn(self) -> None:
        self._lag_s = self._followed.lag_s
        if self._followed.counts is not None:
            log.info("The collector that wrote this history has ended; this one takes over")
            self._state = CollectorState.RECONNECTING
        self._error = ""

    def _write(self, store: HistoryWriter) -> None:
        self._store = store
        try:
            self._read(store)
        finally:
            self._line.stop()
            self._finish(store)

    def _read(self, store: HistoryWriter) -> None:
        if self._persistently(lambda: self._begin(store)) is None:
            return
        self._line.start()
        reconciler = None if self._make_reconciler is None else self._make_reconciler(self._found)
        self._reconciler = reconciler
        if reconciler is not None:
            reconciler.start()
        try:
            self._follow_line()
        finally:
            self._reconciler = None
            if reconciler is not None:
                reconciler.stop()

    def _found(self, verdicts: Sequence[tuple[str, Mark]]) -> None:
        """What the reconciler tells, in its thread."""
        self._verdicts.extend(verdicts)
        self._line.wake()

    def _follow_line(self) -> None:
        while not self._stopping.is_set():
            upkeep = self._upkeep
            self._line.wait(0.0 if upkeep is not None and upkeep.busy else IDLE_WAIT_S)
            began_s = time.monotonic()
            self._work(self._line.take(BYTES_PER_BATCH))
            if upkeep is not None:
                if upkeep.retention is not self._retention:
                    upkeep.keep(self._retention)
                upkeep.work(self._events)
            self._report()
            # Gathering makes batches of what trickles in; under load the batch itself took longer.
            self._stopping.wait(max(0.0, GATHER_S - (time.monotonic() - began_s)))

    def _begin(self, store: HistoryWriter) -> bool:
        self._change = store.change()
        self._fold = fold = Fold(
            store,
            workers=[
                worker
                for worker in store.workers()
                if self._now() - worker.last_heartbeat.timestamp() < WORKERS_REMEMBERED_S
            ],
        )
        self._upkeep = Upkeep(store, fold, self._retention, now=self._now)
        collect_rarely()
        store.begin_run(datetime.fromtimestamp(self._now(), UTC))
        return True

    def _finish(self, store: HistoryWriter) -> None:
        try:
            while items := self._line.take(BYTES_PER_BATCH):
                self._take_in(items)
                self._commit(store)
            self._commit(store)
            store.close(alive=self._now() if self._subscribed else None)
        except ConsoleError as error:
            log.error("The last batch could not be stored: %s", error)

    def _work(self, items: list[Item]) -> None:
        store = self._store
        if store is None:
            return
        if items:
            self._take_in(items)
        fold = self._fold
        if fold is not None:
            self._take_verdicts(fold)
        due = self._subscribed and time.monotonic() - self._stamped_s >= ALIVE_STAMP_S
        if fold is not None and (fold.waiting or due):
            self._persistently(lambda: self._commit(store))

    def _take_verdicts(self, fold: Fold) -> None:
        while self._verdicts:
            task_id, mark = self._verdicts.popleft()
            self._persistently(partial(_judge, fold, task_id, mark))

    def _take_in(self, items: list[Item]) -> None:
        events: list[Event] = []
        received_at = 0.0
        for item in items:
            if isinstance(item, Chunk):
                received_at = item.at
                self._decode(item.data, events)
                if len(events) < EVENTS_PER_FOLD:
                    continue
            self._fold_in(events, received_at)
            events = []
            match item:
                case Subscribed(at=at, reader=reader):
                    received_at, self._reader = at, reader
                    self._subscribed = True
                    self._state, self._error = CollectorState.READING, ""
                    self._end_gap(at)
                    self._decode(b"", events)  # what came together with the answer
                case Lost(at=at, reason=reason, error=error):
                    self._lost(at, reason, error)
                case Missing(at=at, reason=reason):
                    self._gap(partial(_open_gap, at=at, reason=reason))
                case Complete(at=at):
                    self._end_gap(at)
        self._fold_in(events, received_at)

    def _decode(self, data: bytes, events: list[Event]) -> None:
        reader = self._reader
        if reader is None:
            return
        try:
            reader.read(data, self._decoder, events)
        except StreamEndedError as error:
            log.warning("%s", error)
            self._reader = None
            self._line.reset(str(error))

    def _fold_in(self, events: list[Event], received_at: float) -> None:
        fold = self._fold
        if events and fold is not None:
            self._events += len(events)
            self._persistently(partial(_apply, fold, events, received_at))
            if missed := self._loss.see(events):
                self._gap(lambda store: store.add_lost(missed))

    def _end_gap(self, at: float) -> None:
        self._loss.gap()
        self._gap(partial(_close_gap, at=at))

    def _lost(self, at: float, reason: str, error: ConsoleError | None) -> None:
        was_subscribed, self._subscribed = self._subscribed, False
        self._reader = None
        refused = error is not None and error.cause in REFUSED_CAUSES
        waiting = CollectorState.CONNECTING if self._state is CollectorState.CONNECTING else None
        self._state = CollectorState.FAILED if refused else waiting or CollectorState.RECONNECTING
        if error is not None:
            self._error = str(error)
        if was_subscribed:
            self._error = self._error or reason
            self._gap(partial(_open_gap, at=at, reason=reason))

    def _gap(self, write: Callable[[HistoryWriter], None]) -> None:
        store = self._store
        if store is None:
            return

        def both() -> bool:
            self._commit(store)
            write(store)
            return True

        self._persistently(both)

    def _commit(self, store: HistoryWriter) -> bool:
        fold = self._fold
        if fold is None:
            return True
        now = self._now()
        something = fold.waiting
        batch = fold.batch(change=self._change + int(fold.moves_tasks), alive=now)
        if something and fold.newest_timestamp is not None:
            self._lag_s = max(0.0, now - fold.newest_timestamp)
        if something or self._subscribed:
            events, malformed = self._events, self._malformed
            batch.events, batch.malformed = events - self._stored_events, malformed - self._stored_malformed
            batch.lag_s = self._lag_s
            store.commit(batch)
            self._stored_events, self._stored_malformed = events, malformed
            self._stamped_s = time.monotonic()
        self._change = batch.change
        fold.stored()
        return True

    def _persistently(self, attempt: Callable[[], T]) -> T | None:
        """`attempt()` until the history lets it succeed; None when stopped before."""
        before = self._state, self._error
        while True:
            try:
                value = attempt()
            except ConsoleError as error:
                if self._error != str(error):
                    log.error("%s", error)
                self._state, self._error = CollectorState.FAILED, str(error)
                self._report()
                if self._stopping.wait(RETRY_S):
                    return None
                continue
            if self._state is CollectorState.FAILED and before[0] is not CollectorState.FAILED:
                self._state, self._error = before
            return value

    @property
    def _malformed(self) -> int:
        return self._decoder.malformed + (0 if self._fold is None else self._fold.skipped)

    def _report(self, *, at_once: bool = False) -> None:
        self._reporter.report(self._summary, at_once=at_once)

    def _summary(self) -> CollectorSummary:
        """How things stand, of our own writing or of the other's that is followed."""
        fold, followed = self._fold, self._followed
        counts = followed.counts if fold is None else fold.counts
        unjudged_tasks, unjudged = (0, "") if self._reconciler is None else self._reconciler.unjudged
        return CollectorSummary(
            state=self._state,
            change=followed.change if fold is None else self._change,
            events=followed.events + self._events,
            events_per_s=0.0,
            lag_s=followed.lag_s if fold is None else self._lag_s,
            malformed=followed.malformed + self._malformed,
            counts=dict.fromkeys(TaskState, 0) if counts is None else dict(counts),
            workers=followed.workers if fold is None else tuple(fold.workers.values()),
            error=self._error,
            along=fold is None and followed.counts is not None,
            unjudged_tasks=unjudged_tasks,
            unjudged=unjudged,
        )


def _apply(fold: Fold, events: list[Event], at: float) -> bool:
    fold.apply(events, received_at=at)
    return True


def _judge(fold: Fold, task_id: str, mark: Mark) -> bool:
    fold.verdict(task_id, mark)
    return True


def _open_gap(store: HistoryWriter, *, at: float, reason: str) -> None:
    store.open_gap(datetime.fromtimestamp(at, UTC), reason)


def _close_gap(store: HistoryWriter, *, at: float) -> None:
    store.close_gap(datetime.fromtimestamp(at, UTC))
