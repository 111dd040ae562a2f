"""The queues of the open connection, kept up to date for as little as the broker can be asked.

Idle, one reading of a Redis is two commands (EXISTS over all buckets, HLEN of the held messages); it is taken
more often while tasks move or while somebody looks at changing depths. Peeking happens on demand.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from console.broker.session import Session
from console.core.clock import Clock
from console.core.connection import LinkStatus, Right
from console.core.errors import ConsoleError
from console.core.happening import Happening
from console.core.notices import NoticeBoard
from console.core.spawn import Tasks
from console.history.model import CollectorSummary
from console.queues.gateway import Queues, open_queues
from console.queues.messages import Peek
from console.queues.model import (
    SEPARATOR,
    SERIES_LENGTH,
    Age,
    DepthQuestion,
    Depths,
    Flow,
    Growth,
    HeadWatch,
    QueueRow,
    QueuesSnapshot,
    Unacked,
    buckets_of,
    is_delay_queue,
    is_task_queue,
)
from console.queues.sent_history import SentHistory, SqliteSentHistory

BUSY_S = 1.0
IDLE_S = 4.0
QUIET_S = 8.0
QUIET_AFTER_S = 30.0
TRAFFIC_LASTS_S = 3.0
DISCOVER_S = 120.0
NEW_QUEUES_S = 5.0
SERIES_STEP_S = 4.0
PEEK_COUNT = 100


def open_sqlite_history(session: Session) -> SentHistory:
    """What the collector of a session stores."""
    return SqliteSentHistory(session.history_file)


@dataclass(slots=True)
class _Memory:
    """What is remembered between readings of one connection."""

    names: set[str] = field(default_factory=set)
    bindings: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict)
    found_now: set[str] = field(default_factory=set)
    cursor: int = 0
    discover_at_s: float = 0.0
    filled: frozenset[str] = frozenset()
    unacked: Unacked | None = None
    depths: Depths | None = None
    sent: Mapping[str, datetime] = field(default_factory=dict)
    seen: frozenset[str] = frozenset()
    told: frozenset[str] | None = None
    told_at_s: float = 0.0
    waiting: Mapping[str, datetime] = field(default_factory=dict)
    flow: Flow = field(default_factory=Flow)
    with_events: frozenset[str] = frozenset()
    changed_s: float = 0.0
    moving: bool = False
    growth: dict[str, Growth] = field(default_factory=dict)
    heads: HeadWatch = field(default_factory=HeadWatch)
    series: dict[str, deque[tuple[float | None, float | None]]] = field(default_factory=dict)
    series_s: float = -SERIES_STEP_S


class QueuesService:
    """Queues with depth, consumers, age and growth.

    - `consumers` tells how many live workers consume each queue, None while that is unknown.
    - `known` names queues that exist although nothing is bound to them yet.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        notices: NoticeBoard,
        consumers: Callable[[], Mapping[str, int] | None] = lambda: None,
        known: Callable[[], Iterable[str]] = lambda: (),
        open_queues: Callable[[Session], Queues] = open_queues,
        open_history: Callable[[Session], SentHistory] = open_sqlite_history,
    ) -> None:
        self._clock = clock
        self._notices = notices
        self._consumers = consumers
        self._known = known
        self._open_queues = open_queues
        self._open_history = open_history
        self._session: Session | None = None
        self._queues: Queues | None = None
        self._history: SentHistory | None = None
        self._tasks = Tasks("queues")
        self._wake = asyncio.Event()
        self._disconnect: Callable[[], None] = lambda: None
        self._unlisten: Callable[[], None] = lambda: None
        self._memory = _Memory()
        self._visible = False
        self._refresh_wanted = False
        self._change = -1
        self._traffic_s = -TRAFFIC_LASTS_S
        self.snapshot = QueuesSnapshot()
        self.changed: Happening[QueuesSnapshot] = Happening()

    def attach(self, session: Session) -> None:
        """Follow the queues of `session` until `detach`."""
        self._session = session
        self._queues = self._open_queues(session)
        self._history = self._open_history(session)
        self._memory = _Memory()
        self._change = -1
        self._publish(QueuesSnapshot())
        self._disconnect = session.status_changed.connect(self._on_status)
        self._unlisten = session.rights_changed.connect(lambda _rights: self.refresh())
        self._tasks.start(self._watch(session, self._queues), name="watch")

    async def detach(self) -> None:
        """Stop following and forget."""
        self._disconnect()
        self._unlisten()
        session, queues = self._session, self._queues
        self._session = self._queues = self._history = None
        self._wake.set()  # a lane may swallow the cancellation; the loop then ends by itself
        await self._tasks.aclose()
        if session is not None and queues is not None:
            with contextlib.suppress(ConsoleError):  # a stuck lane: the sockets end with their own timeouts
                await session.queues.run(queues.close, timeout_s=2.0)
        self._memory = _Memory()
        self._publish(QueuesSnapshot())

    @property
    def attached(self) -> bool:
        """Whether a connection is open, up or not."""
        return self._session is not None

    @property
    def away(self) -> bool:
        """Whether a connection is open whose line is down now."""
        return self._session is not None and not self._session.connected

    @property
    def messages_refusal(self) -> str:
        """Why the messages of this broker cannot be looked at; "" when they can."""
        if self._queues is None or self._session is None:
            return ""
        return self._queues.messages_refusal or self._session.rights.get(Right.READ_MESSAGES, "")

    def set_visible(self, visible: bool) -> None:
        """Whether somebody looks at the page."""
        self._visible = visible
        if visible:
            self._wake.set()

    def refresh(self) -> None:
        """Read everything now, and look for new queues."""
        self._refresh_wanted = True
        self._wake.set()

    def on_summary(self, summary: CollectorSummary) -> None:
        """The collector spoke: when the history moved, depths move too."""
        if self._change not in (-1, summary.change):
            if not self._has_traffic():
                self._wake.set()
            self._traffic_s = self._clock.monotonic_s()
        self._change = summary.change

    def on_workers(self) -> None:
        """Consumers changed: show that without asking the broker again."""
        if self._memory.depths is not None and self._session is not None and self._session.connected:
            self._show(self._memory.depths, at_s=None)

    async def peek(self, queue: str) -> Peek:
        """The messages that are served next, at most 100, read without taking them. Raises `ConsoleError`."""
        session, queues = self._session, self._queues
        if session is None or queues is None:
            raise ConsoleError("No connection is open")
        messages, total = await session.queues.run(
            lambda: queues.peek(queue, count=PEEK_COUNT), key=("peek", queue)
        )
        sent = await self._sent([message.id for message in messages if message.id])
        return Peek(queue, messages, total, self._clock.now(), sent)

    # The watch: one coroutine, one reading at a time.

    def _on_status(self, status: LinkStatus) -> None:
        if self._session is not None and self._session.connected:
            self._wake.set()
        elif not self.snapshot.stale:
            self._publish(replace(self.snapshot, stale=True, error=status.error))

    async def _watch(self, session: Session, queues: Queues) -> None:
        while self._session is session:
            self._wake.clear()
            if not session.connected:
                await self._wake.wait()
                continue
            try:
                await self._read(session, queues)
            except ConsoleError as error:
                self._publish(replace(self.snapshot, error=error, stale=True))
            try:
                # Not wait_for: under Python 3.11 it swallows a cancellation that meets the wake-up.
                async with asyncio.timeout(self._period_s()):
                    await self._wake.wait()
            except TimeoutError:
                pass

    def _period_s(self) -> float:
        if self._has_traffic() or (self._visible and self._memory.moving):
            return BUSY_S
        if not self._visible and self._clock.monotonic_s() - self._memory.changed_s > QUIET_AFTER_S:
            return QUIET_S
        return IDLE_S

    def _has_traffic(self) -> bool:
        return self._clock.monotonic_s() - self._traffic_s < TRAFFIC_LASTS_S

    async def _read(self, session: Session, queues: Queues) -> None:
        memory = self._memory
        if await self._a_queue_is_new(session):
            memory.discover_at_s = 0.0
        if self._clock.monotonic_s() >= memory.discover_at_s or self._refresh_wanted:
            self._refresh_wanted = False
            await self._discover(session, queues)
        consumers = self._consumers()
        names = {*memory.names, *memory.seen, *(consumers or ()), *self._known(), *session.queue_names}
        question = DepthQuestion(
            queues=tuple(sorted(name for name in names if is_task_queue(name))),
            filled=memory.filled,
            # A refused head would take the depths with it.
            heads=self._visible and Right.READ_MESSAGES not in session.rights,
            unacked=self._visible,
            unacked_before=memory.unacked,
            bindings=memory.bindings,
        )
        depths = await session.queues.run(lambda: queues.depths(question), key="depths")
        if memory is not self._memory:
            return
        now_s = self._clock.monotonic_s()
        before = memory.depths
        memory.moving = before is not None and (before.ready, before.unacked) != (
            depths.ready,
            depths.unacked,
        )
        if memory.moving or before is None:
            memory.changed_s = now_s
        memory.filled = depths.foreign.union(depths.ready)
        memory.unacked = depths.unacked
        memory.depths = depths
        if self._visible:
            memory.heads.note(depths.heads, now_s)
            memory.sent = await self._sent([head.task_id for head in depths.heads if head.task_id])
            if queues.messages_refusal:
                memory.waiting = await self._waiting(depths)
            await self._note_flow(session, depths, question.queues, now_s)
        elif memory.flow.samples:
            memory.flow = Flow()  # what was not looked at has a gap, not a rate
        self._show(depths, at_s=now_s, names=_shown(depths, question.queues, session.queue_names))

    async def _sent(self, ids: Sequence[str]) -> Mapping[str, datetime]:
        session, history = self._session, self._history
        if session is None or history is None or not ids:
            return {}
        try:
            return await session.history.run(lambda: history.sent_at(ids))
        except ConsoleError:  # the history is away: the age becomes a lower bound, the depth stays true
            return {}

    async def _waiting(self, depths: Depths) -> Mapping[str, datetime]:
        """The sent times of the oldest waiting messages of a broker that does not tell its messages."""
        session, history = self._session, self._history
        if session is None or history is None:
            return {}
        try:
            return await session.history.run(lambda: history.oldest_waiting(depths.ready))
        except ConsoleError:
            return {}

    async def _note_flow(self, session: Session, depths: Depths, names: Sequence[str], now_s: float) -> None:
        memory, history = self._memory, self._history
        if history is None:
            return
        after = memory.flow.last_row
        try:
            newly = await session.history.run(lambda: history.newly_sent(after, names))
        except ConsoleError:  # no history, no rates
            memory.flow, memory.with_events = Flow(), frozenset()
            return
        if after is not None and newly.last_row < after:  # the history was begun anew
            memory.flow = Flow()
        memory.flow.last_row = newly.last_row
        memory.with_events = newly.known
        memory.flow.add(now_s, newly.by_queue, {name: _ready(depths, name) or 0 for name in names})

    async def _discover(self, session: Session, queues: Queues) -> None:
        memory = self._memory
        cursor = memory.cursor
        if queues.tells_missing:
            memory.seen = await self._seen(session)
        found = await session.queues.run(lambda: queues.discover(cursor), key="discover")
        memory.found_now |= found.queues
        memory.bindings |= found.bindings
        memory.names |= found.queues
        memory.cursor = found.cursor
        if found.cursor == 0:  # a whole round: what it did not find is no longer bound
            memory.names, memory.found_now = memory.found_now, set()
            memory.discover_at_s = self._clock.monotonic_s() + DISCOVER_S
        else:
            memory.discover_at_s = self._clock.monotonic_s() + IDLE_S

    async def _a_queue_is_new(self, session: Session) -> bool:
        """Whether a task was sent to a queue that none was sent to before: looking for it cannot wait."""
        memory, now_s = self._memory, self._clock.monotonic_s()
        if now_s < memory.told_at_s:
            return False
        memory.told_at_s = now_s + NEW_QUEUES_S
        before, memory.told = memory.told, await self._seen(session)
        return before is not None and not memory.told <= before

    async def _seen(self, session: Session) -> frozenset[str]:
        """Every queue that a task was ever sent to, for a broker that cannot be searched by itself."""
        history = self._history
        try:
            return frozenset() if history is None else await session.history.run(history.queue_names)
        except ConsoleError:  # no history yet
            return frozenset()

    def _show(self, depths: Depths, *, at_s: float | None, names: Sequence[str] | None = None) -> None:
        """Make the rows; `at_s` is the monotonic second of a new reading, None to show the last one again."""
        memory = self._memory
        consumers = self._consumers() if depths.consumers is None else depths.consumers
        names = names if names is not None else [row.name for row in self.snapshot.rows]
        ages = self._ages(depths)
        rows = []
        for name in names:
            ready = _ready(depths, name)
            growth = memory.growth.setdefault(name, Growth())
            if at_s is not None and ready is not None:
                growth.add(at_s, ready)
            came, went = self._rates(depths, name)
            series = self._series(name, came, went, at_s)
            unacked = depths.unacked if ready is not None else None
            rows.append(
                QueueRow(
                    name=name,
                    ready=ready,
                    unacked=None if unacked is None else unacked.by_queue.get(name, 0),
                    unacked_at_least=unacked is not None and not unacked.complete,
                    consumers=_consumers_of(depths, consumers, name),
                    oldest=ages.get(name),
                    in_per_s=came,
                    out_per_s=went,
                    growth_per_s=growth.per_s,
                    in_series=tuple(came for came, _ in series),
                    out_series=tuple(went for _, went in series),
                    foreign=_is_foreign(depths, name),
                    missing=name in depths.missing,
                )
            )
        if at_s is not None and at_s - memory.series_s >= SERIES_STEP_S:
            memory.series_s = at_s
        as_of = self._clock.now() if at_s is not None else self.snapshot.as_of
        self._publish(QueuesSnapshot(tuple(rows), as_of, None, stale=False, note=depths.note))

    def _rates(self, depths: Depths, name: str) -> tuple[float | None, float | None]:
        """Messages per second in and out: as the broker counts, else as the history has seen."""
        told = (None, None) if depths.rates is None else depths.rates.get(name, (None, None))
        if told == (None, None) and name in self._memory.with_events:
            return self._memory.flow.rates(name)
        return told

    def _series(
        self, name: str, came: float | None, went: float | None, at_s: float | None
    ) -> deque[tuple[float | None, float | None]]:
        memory = self._memory
        series = memory.series.setdefault(name, deque(maxlen=SERIES_LENGTH))
        due = at_s is not None and at_s - memory.series_s >= SERIES_STEP_S
        if due and (came is not None or went is not None or series):
            series.append((came, went))
        return series

    def _ages(self, depths: Depths) -> dict[str, Age]:
        """The wait of the oldest of each queue's next messages; exact where that message's sending is known.

        Of a broker that tells no message, the history says only what may still wait.
        """
        now, now_s = self._clock.now(), self._clock.monotonic_s()
        known = {name: (at, False) for name, at in self._memory.waiting.items()}
        known |= {name: (at, True) for name, at in depths.oldest.items()}
        ages = {
            name: Age(max(0.0, (now - at).total_seconds()), exact=told, estimated=not told)
            for name, (at, told) in known.items()
            if depths.ready.get(name)
        }
        for head in depths.heads:
            at = self._memory.sent.get(head.task_id)
            at_least_s = self._memory.heads.at_least_s(head.bucket, now_s)
            if at is not None:
                age = Age(max(0.0, (now - at).total_seconds()), exact=True)
            elif at_least_s is not None:
                age = Age(at_least_s, exact=False)
            else:
                continue
            queue = head.bucket.split(SEPARATOR)[0]
            if queue not in ages or age.seconds > ages[queue].seconds:
                ages[queue] = age
        return ages

    def _publish(self, snapshot: QueuesSnapshot) -> None:
        self.snapshot = snapshot
        self.changed.emit(snapshot)


def _shown(depths: Depths, asked: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """The queues of the table: those that exist, and those that a person has named even if they do not."""
    names = set(asked) if depths.queues is None else {*asked, *filter(is_task_queue, depths.queues)}
    return sorted(
        name
        for name in names
        if (name not in depths.missing or name in wanted)
        and (not is_delay_queue(name) or depths.ready.get(name))
    )


def _consumers_of(depths: Depths, consumers: Mapping[str, int] | None, queue: str) -> int | None:
    """Who consumes `queue`; the workers tell of all their queues, a broker leaves out what it cannot tell."""
    if consumers is None or queue in depths.missing:
        return None
    return consumers.get(queue, 0 if depths.consumers is None else None)


def _is_foreign(depths: Depths, queue: str) -> bool:
    return not depths.foreign.isdisjoint(buckets_of(queue))


def _ready(depths: Depths, queue: str) -> int | None:
    """Ready messages of a queue over all its priority steps; None when nobody can tell."""
    if _is_foreign(depths, queue) or queue in depths.unknown or queue in depths.missing:
        return None
    return sum(depths.ready.get(bucket, 0) for bucket in buckets_of(queue))
