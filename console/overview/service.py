"""The overview over time: what other features tell it, and one short reading of the history now and then.

Features do not know each other; the composition root connects their happenings to the `on_...` methods
here, each of which takes a plain value.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from console.broker.session import Session
from console.core.clock import Clock
from console.core.errors import ConsoleError, unexpected
from console.core.happening import Happening
from console.core.spawn import Tasks
from console.history.model import CollectorSummary
from console.overview.alerts import AttentionKeeper, Facts
from console.overview.gateway import HistoryOverview, OverviewHistory
from console.overview.model import (
    Attention,
    HistoryRead,
    QueuesSeen,
    Rates,
    SchedulesSeen,
    Scope,
    Span,
    StreamSeen,
    WorkersSeen,
    rates_of,
)

log = logging.getLogger(__name__)

HIDDEN_S = 30.0
FIRST_HEARTBEAT_S = 10.0
OFFLINE_BEFORE_S = 120.0
"""A worker that was silent for this long when the console started is no news of this run."""
JUDGED_EVERY_S = 1.0
FIGURES_FOLLOW_S = 25.0
"""Figures by name and by queue are stored up to this long after the tasks they count (`ALL_EVERY_S`)."""
WAITING_EVERY_S = 5.0
WAITING_KEPT = 60


@dataclass(frozen=True, slots=True)
class OverviewSnapshot:
    """Everything the page shows. `attached` False: no connection is open, numbers are of the last one.

    `as_of`: when the history was last read with success (aware UTC). `waiting` are the last depths of all
    queues together, oldest first, about one in 5 s. `history` belongs to `span` and `scope` once it was read
    for them; `rates` are of everything.
    """

    attached: bool = False
    as_of: datetime | None = None
    error: ConsoleError | None = None
    span: Span = Span.HOUR
    scope: Scope = field(default_factory=Scope)
    read: bool = False
    rates: Rates = field(default_factory=lambda: Rates(None, None, None, None))
    history: HistoryRead = field(default_factory=HistoryRead)
    workers: WorkersSeen | None = None
    queues: QueuesSeen | None = None
    waiting: tuple[float, ...] = ()
    attention: tuple[Attention, ...] = ()
    offer_stack: bool = False


class OverviewService:
    """One per console."""

    def __init__(self, *, clock: Clock, history: Callable[[Path], OverviewHistory] = HistoryOverview) -> None:
        self._clock = clock
        self._make_history = history
        self.snapshot = OverviewSnapshot()
        self.changed: Happening[OverviewSnapshot] = Happening()
        self._tasks = Tasks("overview")
        self._session: Session | None = None
        self._history: OverviewHistory | None = None
        self._wake = asyncio.Event()
        self._visible = False
        self._schedules: SchedulesSeen | None = None
        self._stream: StreamSeen | None = None
        self._told_workers: WorkersSeen | None = None
        self._left: frozenset[str] = frozenset()
        self._attached_s = 0.0
        self._since = clock.now() - timedelta(seconds=OFFLINE_BEFORE_S)
        self._change: int | None = None
        self._changed_s = float("-inf")
        self._read_change: tuple[int | None, int] | None = None
        self._waiting: deque[float] = deque(maxlen=WAITING_KEPT)
        self._waiting_noted_s = float("-inf")
        self._keeper = AttentionKeeper(0.0)
        self._read_s = float("-inf")

    # --- Following the connection ------------------------------------------------------------------------

    def attach(self, session: Session) -> None:
        """A connection was opened: forget the last one's numbers and read this one's history."""
        self._session = session
        self._history = self._make_history(session.history_file)
        self._wake = asyncio.Event()
        self._schedules = self._stream = self._change = self._read_change = None
        self._told_workers = None
        self._left = frozenset()
        self._attached_s = self._clock.monotonic_s()
        self._waiting.clear()
        self._keeper = AttentionKeeper(self._attached_s)
        self._read_s = float("-inf")
        before = self.snapshot
        self._publish(OverviewSnapshot(attached=True, span=before.span, offer_stack=before.offer_stack))
        self._tasks.start(self._poll(session, self._history), name="poll")

    async def detach(self) -> None:
        """The connection is closed: the numbers stay, marked by their time; nothing needs attention."""
        session, history = self._session, self._history
        self._session = self._history = None
        self._wake.set()
        await self._tasks.aclose()
        if session is not None and history is not None:
            try:
                await session.history.run(history.close, timeout_s=2.0)
            except ConsoleError:
                pass  # a read-only connection that a stuck lane keeps does no harm
        self._publish(replace(self.snapshot, attached=False, workers=None, queues=None, attention=()))

    def set_visible(self, visible: bool) -> None:
        self._visible = visible
        if visible:
            self._read_s = float("-inf")
            self._wake.set()

    def refresh(self) -> None:
        """Read the history now."""
        self._read_change = None
        self._read_s = float("-inf")
        self._wake.set()

    def set_span(self, span: Span) -> None:
        self._publish(replace(self.snapshot, span=span))
        self.refresh()

    def set_scope(self, scope: Scope) -> None:
        """Narrow the charts to one task name or one queue."""
        self._publish(replace(self.snapshot, scope=scope))
        self.refresh()

    # --- What other features tell, connected by the composition root --------------------------------------

    def on_summary(self, summary: CollectorSummary) -> None:
        """The collector has stored something."""
        stream = StreamSeen(
            summary.state, summary.error, summary.malformed, summary.unjudged_tasks, summary.unjudged
        )
        if summary.change != self._change:
            self._change, self._changed_s = summary.change, self._clock.monotonic_s()
        self._left = frozenset(worker.hostname for worker in summary.workers if not worker.online)
        if stream != self._stream:
            self._stream = stream
            self._judge()

    def on_workers(self, workers: WorkersSeen) -> None:
        """Workers by state. None at all is believed only after a while: the first heartbeats take seconds."""
        self._told_workers = workers
        self._believe_workers()

    def _believe_workers(self) -> None:
        told = self._told_workers
        young = self._clock.monotonic_s() - self._attached_s < FIRST_HEARTBEAT_S
        if self._session is None or told is None or (young and not told.known):
            return
        earlier = {name for name, at in told.last_seen if at < self._since}
        told = replace(told, left=(self._left | earlier) & frozenset(told.offline))
        if told != self.snapshot.workers:
            self._judge(workers=told)

    def on_queues(self, queues: QueuesSeen) -> None:
        if self._session is None:
            return
        now_s = self._clock.monotonic_s()
        if queues.waiting is not None and now_s - self._waiting_noted_s >= WAITING_EVERY_S:
            self._waiting.append(float(queues.waiting))
            self._waiting_noted_s = now_s
        elif queues == self.snapshot.queues:
            return
        self._judge(queues=queues)

    def on_schedules(self, schedules: SchedulesSeen | None) -> None:
        """None: nothing can be said of them now."""
        if schedules != self._schedules:
            self._schedules = schedules
            self._judge()

    def offer_stack(self, offer: bool) -> None:
        """Whether the page offers to start the local stack: it is the chosen connection and it is down."""
        self._publish(replace(self.snapshot, offer_stack=offer))

    # --- Reading -----------------------------------------------------------------------------------------

    async def _poll(self, session: Session, history: OverviewHistory) -> None:
        """Look once a second what time alone has made worth saying, and read the history when it is due."""
        while self._session is session:
            self._wake.clear()
            self._believe_workers()
            span, scope = self.snapshot.span, self.snapshot.scope
            every_s = span.every_s if self._visible else HIDDEN_S
            if self._clock.monotonic_s() - self._read_s >= every_s and self._worth_reading():
                await self._read(session, history, span, scope)
            else:
                self._judge(by_time=True)
            try:
                # Not wait_for: under Python 3.11 it swallows a cancellation that meets the wake-up.
                async with asyncio.timeout(JUDGED_EVERY_S):
                    await self._wake.wait()
            except TimeoutError:
                pass

    def _worth_reading(self) -> bool:
        """Whether the history has changed lately, or a new minute has begun since the last reading."""
        key = (self._change, int(self._clock.now().timestamp() // 60))
        settled = self._clock.monotonic_s() - self._changed_s > FIGURES_FOLLOW_S
        if self._change is not None and settled and key == self._read_change:
            return False
        self._read_change = key
        return True

    async def _read(self, session: Session, history: OverviewHistory, span: Span, scope: Scope) -> None:
        self._read_s = self._clock.monotonic_s()
        try:
            read = await session.history.run(history.read, span, scope)
        except ConsoleError as error:
            self._read_change = None
            self._publish(replace(self.snapshot, error=error))
            return
        except Exception as error:  # the next reading may do; and what time makes worth saying goes on
            self._read_change = None
            broken = unexpected("The figures could not be read", error)
            if self.snapshot.error is None or self.snapshot.error.title != broken.title:
                log.exception(broken.title)
                self._publish(replace(self.snapshot, error=broken))
            return
        if (span, scope) != (self.snapshot.span, self.snapshot.scope):
            return  # chosen otherwise meanwhile; the next round reads it
        now = self._clock.now()
        self.snapshot = replace(
            self.snapshot,
            as_of=now,
            error=None,
            read=True,
            rates=rates_of(() if read is None else read.minutes, now),
            history=HistoryRead() if read is None else read,
        )
        self._judge()

    def _judge(
        self,
        *,
        workers: WorkersSeen | None = None,
        queues: QueuesSeen | None = None,
        by_time: bool = False,
    ) -> None:
        """Work out what needs attention, and tell; `by_time`: only when that is something else now."""
        if self._session is None:
            return
        before = self.snapshot
        workers = workers if workers is not None else before.workers
        queues = queues if queues is not None else before.queues
        attention = self._keeper.judge(
            Facts(workers, queues, self._schedules, self._stream, before.history if before.read else None),
            now=self._clock.now(),
            now_s=self._clock.monotonic_s(),
        )
        if by_time and attention == before.attention:
            return
        self.snapshot = replace(
            before, workers=workers, queues=queues, waiting=tuple(self._waiting), attention=attention
        )
        self.changed.emit(self.snapshot)

    def _publish(self, snapshot: OverviewSnapshot) -> None:
        if snapshot != self.snapshot:
            self.snapshot = snapshot
            self.changed.emit(snapshot)
