"""The collector's main loop: line -> decoder -> fold -> history -> summary.

One thread does all of it; only the emptying of the socket has its own. Nothing that the outside does
ends this loop: a broker that is away is waited for, a history that cannot be written is tried again
(the line holds the bytes meanwhile, up to its bound), and each time not subscribed becomes a gap.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

import hiredis

from console.broker.address import BrokerAddress
from console.collector.event_line import Chunk, EventLine, Item, Lost, Subscribed
from console.collector.events import Event, EventDecoder
from console.collector.fold import Fold
from console.core.errors import Cause, ConsoleError
from console.history.model import CollectorState, CollectorSummary, TaskState
from console.history.writer import HistoryWriter

log = logging.getLogger(__name__)
T = TypeVar("T")

GATHER_S = 0.1
IDLE_WAIT_S = 0.5
BYTES_PER_BATCH = 8 * 1024 * 1024
LIVENESS_S = 1.0
ALIVE_STAMP_S = 2.0
WORKERS_EVERY_S = 1.0
RATE_SPAN_S = 3.0
WORKERS_REMEMBERED_S = 86_400.0
RETRY_S = 0.5
REFUSED_CAUSES = frozenset({Cause.REFUSED_LOGIN, Cause.NOT_PERMITTED})
PENDING_BYTES = 64 * 1024 * 1024

Tell = Callable[[CollectorSummary, bool], None]


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
        open_history: Callable[[Path], HistoryWriter] = HistoryWriter,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._history_file = history_file
        self._tell = tell
        self._open_history = open_history
        self._now = now
        self._line = EventLine(address, now=now) if line is None else line
        self._decoder = EventDecoder()
        self._reader: hiredis.Reader | None = None
        self._stopping = threading.Event()
        self._state = CollectorState.CONNECTING
        self._error = ""
        self._store: HistoryWriter | None = None
        self._fold: Fold | None = None
        self._change = 0
        self._events = 0
        self._lag_s: float | None = None
        self._subscribed = False
        self._rates: deque[tuple[float, int]] = deque()
        self._told_s = 0.0
        self._told_workers_s = 0.0
        self._workers_told: object = None
        self._stamped_s = 0.0
        self._last: CollectorSummary | None = None

    def stop(self) -> None:
        """Store what is held and return from `run`. May be called from any thread, more than once."""
        self._stopping.set()
        self._line.wake()

    def run(self) -> None:
        """Work until stopped."""
        store = self._persistently(lambda: self._open_history(self._history_file))
        if store is None:
            return
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
        while not self._stopping.is_set():
            self._line.wait(IDLE_WAIT_S)
            began_s = time.monotonic()
            self._work(self._line.take(BYTES_PER_BATCH))
            self._report()
            # Gathering makes batches of what trickles in; under load the batch itself took longer.
            self._stopping.wait(max(0.0, GATHER_S - (time.monotonic() - began_s)))

    def _begin(self, store: HistoryWriter) -> bool:
        self._change = store.change()
        self._fold = Fold(
            store.load,
            next_rowid=store.next_rowid(),
            counts=store.counts(),
            words=store.words(),
            workers=[
                worker
                for worker in store.workers()
                if self._now() - worker.last_heartbeat.timestamp() < WORKERS_REMEMBERED_S
            ],
        )
        store.begin_run(datetime.fromtimestamp(self._now(), UTC))
        return True

    def _finish(self, store: HistoryWriter) -> None:
        self._state = CollectorState.STOPPED
        try:
            while items := self._line.take(BYTES_PER_BATCH):
                self._take_in(items)
            self._commit(store)
            store.close(alive=self._now() if self._subscribed else None)
        except ConsoleError as error:
            log.error("The last batch could not be stored: %s", error)
        self._report(at_once=True)

    def _work(self, items: list[Item]) -> None:
        store = self._store
        if store is None:
            return
        if items:
            self._take_in(items)
        fold = self._fold
        due = self._subscribed and time.monotonic() - self._stamped_s >= ALIVE_STAMP_S
        if fold is not None and (fold.waiting or due):
            self._persistently(lambda: self._commit(store))

    def _take_in(self, items: list[Item]) -> None:
        for item in items:
            match item:
                case Chunk(at=at, data=data):
                    self._take_chunk(data, at)
                case Subscribed(at=at, reader=reader):
                    self._reader = reader
                    self._subscribed = True
                    self._state, self._error = CollectorState.READING, ""
                    self._gap(partial(_close_gap, at=at))
                    self._take_chunk(b"", at)
                case Lost(at=at, reason=reason, error=error):
                    self._lost(at, reason, error)

    def _take_chunk(self, data: bytes, at: float) -> None:
        reader, fold = self._reader, self._fold
        if reader is None or fold is None:
            return
        events: list[Event] = []
        try:
            if data:
                reader.feed(data)
            while (message := reader.gets()) is not False:
                if isinstance(message, list) and len(message) == 4 and message[0] == b"pmessage":
                    events += self._decoder.decode(message[3])
        except hiredis.HiredisError as error:
            # Not Redis's protocol any more: nothing after this can be trusted until a new subscription.
            log.warning("The stream cannot be read: %s", error)
            self._give_up_reader()
        if reader.len() > PENDING_BYTES:
            log.warning("A message of more than %d bytes is not read", PENDING_BYTES)
            self._give_up_reader()
        if events:
            self._events += len(events)
            self._persistently(partial(_apply, fold, events, at))

    def _give_up_reader(self) -> None:
        self._decoder.malformed += 1
        self._reader = None
        self._line.reset()

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
        if something or self._subscribed:
            store.commit(batch)
            self._stamped_s = time.monotonic()
        self._change = batch.change
        fold.stored()
        if something and fold.newest_timestamp is not None:
            self._lag_s = max(0.0, now - fold.newest_timestamp)
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

    def _report(self, *, at_once: bool = False) -> None:
        now_s = time.monotonic()
        if not at_once and now_s - self._told_s < GATHER_S * 0.9:
            return
        workers = () if self._fold is None else tuple(self._fold.workers.values())
        changed = workers != self._workers_told and now_s - self._told_workers_s >= WORKERS_EVERY_S
        summary = CollectorSummary(
            state=self._state,
            change=self._change,
            events=self._events,
            events_per_s=self._rate(now_s),
            lag_s=self._lag_s,
            malformed=self._decoder.malformed + (0 if self._fold is None else self._fold.skipped),
            counts=dict.fromkeys(TaskState, 0) if self._fold is None else dict(self._fold.counts),
            workers=workers,
            error=self._error,
        )
        if not at_once and not changed and now_s - self._told_s < LIVENESS_S and not self._news(summary):
            return
        if changed:
            self._workers_told, self._told_workers_s = workers, now_s
        self._told_s = now_s
        self._last = summary
        self._tell(summary, changed or at_once)

    def _news(self, summary: CollectorSummary) -> bool:
        last = self._last
        return last is None or (last.state, last.change, last.error, last.malformed) != (
            summary.state,
            summary.change,
            summary.error,
            summary.malformed,
        )

    def _rate(self, now_s: float) -> float:
        rates = self._rates
        rates.append((now_s, self._events))
        while len(rates) > 2 and now_s - rates[0][0] > RATE_SPAN_S:
            rates.popleft()
        span_s = now_s - rates[0][0]
        return (self._events - rates[0][1]) / span_s if span_s > 0.05 else 0.0


def _apply(fold: Fold, events: list[Event], at: float) -> bool:
    fold.apply(events, received_at=at)
    return True


def _open_gap(store: HistoryWriter, *, at: float, reason: str) -> None:
    store.open_gap(datetime.fromtimestamp(at, UTC), reason)


def _close_gap(store: HistoryWriter, *, at: float) -> None:
    store.close_gap(datetime.fromtimestamp(at, UTC))
