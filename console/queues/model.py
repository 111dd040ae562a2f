"""What queues are to a person: depth, consumers, age, growth, and the rules that judge them.

Pure rules over plain values, so that "growing" or "no consumer" can be tested without a broker.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from console.core.errors import ConsoleError

PRIORITY_STEPS = (0, 3, 6, 9)
"""kombu's default priority buckets of a Redis queue; 0 is served first."""

SEPARATOR = "\x06\x16"
"""What kombu's Redis transport puts between the name of a queue and its priority step."""

_DELAY_QUEUE = re.compile(r"celery_delayed_\d+")

GROWTH_WINDOW_S = 60.0
GROWTH_MIN_SPAN_S = 10.0
GROWTH_MIN_MESSAGES = 10
SERIES_LENGTH = 60
FLOW_WINDOW_S = 30.0
FLOW_MIN_SPAN_S = 3.0


@dataclass(frozen=True, slots=True)
class Head:
    """The message that a bucket serves next: its delivery tag and its task id ("" if unreadable)."""

    bucket: str
    tag: str
    task_id: str


@dataclass(frozen=True, slots=True)
class Unacked:
    """Messages that workers hold: `total`, and by queue those that were looked at.

    `complete` is False when a bound stopped the look or an owner could not be told.
    """

    total: int
    by_queue: Mapping[str, int]
    complete: bool


@dataclass(frozen=True, slots=True)
class DepthQuestion:
    """What to read: the queues, which buckets had messages last time, and how deep to look.

    `heads` asks for the next message of each bucket, `unacked` whose the held messages are (else only
    when their number is no longer `unacked_before`).
    """

    queues: tuple[str, ...]
    filled: frozenset[str] = frozenset()
    heads: bool = False
    unacked: bool = False
    unacked_before: Unacked | None = None
    bindings: Mapping[tuple[str, str], frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Discovery:
    """Bound queues found by one bounded scan. `cursor` continues it; 0 means the round is complete."""

    queues: frozenset[str]
    bindings: Mapping[tuple[str, str], frozenset[str]]
    cursor: int


@dataclass(frozen=True, slots=True)
class Depths:
    """One reading of a broker. `ready` is by bucket key (a queue has one per priority step); absent is 0.

    What only some brokers tell has a value that means "not told":
    - `foreign` are bucket keys that hold something else than a list: nobody can tell what waits there.
    - `queues` are all queues there are (None: those that were asked about), `missing` those that were asked
      about and do not exist, `unknown` those that exist and whose depth the broker does not tell.
    - `consumers` of each queue, and `rates` in and out in messages per second.
    - `oldest` is when the next message of a queue was made.
    - `note` says what of this kind of broker could not be read, in one sentence for the page.
    """

    ready: Mapping[str, int]
    unacked: Unacked | None
    heads: tuple[Head, ...] = ()
    foreign: frozenset[str] = frozenset()
    queues: frozenset[str] | None = None
    missing: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()
    consumers: Mapping[str, int] | None = None
    rates: Mapping[str, tuple[float | None, float | None]] | None = None
    oldest: Mapping[str, datetime] = field(default_factory=dict)
    note: str = ""


def buckets_of(queue: str, steps: Sequence[int] = PRIORITY_STEPS) -> tuple[str, ...]:
    """The keys of `queue`, that which is served first in front."""
    return tuple(f"{queue}{SEPARATOR}{step}" if step else queue for step in steps)


class Alert(StrEnum):
    """What a queue's badge warns of."""

    NO_CONSUMER = "No consumer"
    GROWING = "Growing"
    NOT_A_QUEUE = "Not a queue"
    MISSING = "Does not exist"
    DELAYED = "Delayed"


@dataclass(frozen=True, slots=True)
class Age:
    """How long the next message has waited; when that is not `exact`, it is at least that long.

    `estimated`: worked out from the history of events, and as likely too long as too short.
    """

    seconds: float
    exact: bool
    estimated: bool = False

    @property
    def mark(self) -> str:
        """What stands before the time where it is not exact."""
        if self.exact:
            return ""
        return "≈ " if self.estimated else "≥ "


@dataclass(frozen=True, slots=True)
class QueueRow:
    """One queue as the table shows it; None is unknown. Rates are messages per second.

    `foreign`: a key of this name holds something else than a list of messages. `missing`: the connection
    names this queue, and RabbitMQ does not have it.
    """

    name: str
    ready: int | None
    unacked: int | None
    unacked_at_least: bool
    consumers: int | None
    oldest: Age | None
    in_per_s: float | None
    out_per_s: float | None
    growth_per_s: float | None
    in_series: tuple[float | None, ...] = ()
    out_series: tuple[float | None, ...] = ()
    foreign: bool = False
    missing: bool = False

    @property
    def alert(self) -> Alert | None:
        """Waiting work that nobody takes is worse than work that comes faster than it goes."""
        if self.foreign:
            return Alert.NOT_A_QUEUE
        if self.missing:
            return Alert.MISSING
        if is_delay_queue(self.name):
            return Alert.DELAYED
        if self.ready and self.consumers == 0:
            return Alert.NO_CONSUMER
        if self.growth_per_s is not None and (self.ready or 0) >= GROWTH_MIN_MESSAGES:
            return Alert.GROWING
        return None


@dataclass(frozen=True, slots=True)
class QueuesSnapshot:
    """What the page shows. `as_of` is the last reading, `stale` whether the line is down since.

    `note` says what of this broker cannot be read.
    """

    rows: tuple[QueueRow, ...] = ()
    as_of: datetime | None = None
    error: ConsoleError | None = None
    stale: bool = True
    note: str = ""

    @property
    def ready(self) -> int | None:
        """All ready messages; None while no queue's are known."""
        return self._sum([row.ready for row in self.rows])

    @property
    def unacked(self) -> int | None:
        return self._sum([row.unacked for row in self.rows])

    def _sum(self, counts: Sequence[int | None]) -> int | None:
        known = [count for count in counts if count is not None]
        return sum(known) if known or (self.as_of is not None and not counts) else None


def is_task_queue(name: str) -> bool:
    """Whether a bound queue carries tasks: not events, not remote control, not replies to it."""
    return bool(name) and not (
        name.startswith("celeryev") or name.endswith(".pidbox") or ".reply." in name or name == "celeryev"
    )


def is_delay_queue(name: str) -> bool:
    """Whether RabbitMQ keeps tasks with an ETA there until they are due (kombu's native delayed delivery).

    Nobody consumes it: each hands its messages on when their time is up. Source:
    kombu.transport.native_delayed_delivery, `celery_delayed_0` to `celery_delayed_27`.
    """
    return bool(_DELAY_QUEUE.fullmatch(name))


def is_task_exchange(name: str) -> bool:
    """Whether the bindings of an exchange can name task queues."""
    return not (name == "celeryev" or name.endswith(".pidbox") or name.startswith("reply."))


@dataclass(slots=True)
class Growth:
    """The last minute of a queue's depth, and whether it grows.

    Slope between the oldest and the newest reading of the window; half of the window must agree, so
    that one burst does not raise an alarm that the next reading takes back.
    """

    samples: deque[tuple[float, int]] = field(default_factory=deque)

    def add(self, at_s: float, ready: int) -> None:
        """Note `ready` messages at monotonic second `at_s`."""
        self.samples.append((at_s, ready))
        while self.samples and at_s - self.samples[0][0] > GROWTH_WINDOW_S:
            self.samples.popleft()

    @property
    def per_s(self) -> float | None:
        """Messages per second by which it grows; None when it does not, or is not yet known to."""
        if len(self.samples) < 3:
            return None
        (first_s, first), (last_s, last) = self.samples[0], self.samples[-1]
        middle = self.samples[len(self.samples) // 2][1]
        span_s = last_s - first_s
        if span_s < GROWTH_MIN_SPAN_S or not first < middle < last:
            return None
        return (last - first) / span_s


@dataclass(slots=True)
class HeadWatch:
    """Since when each bucket's next message has been seen to be the next.

    Redis keeps no time of a message, so without its sent time this gives a lower bound only.
    """

    seen: dict[str, tuple[str, float]] = field(default_factory=dict)

    def note(self, heads: Iterable[Head], at_s: float) -> None:
        """`heads` are the next messages now, at monotonic second `at_s`."""
        now: dict[str, tuple[str, float]] = {}
        for head in heads:
            before = self.seen.get(head.bucket)
            now[head.bucket] = before if before and before[0] == head.tag else (head.tag, at_s)
        self.seen = now

    def at_least_s(self, bucket: str, at_s: float) -> float | None:
        """Seconds that the next message of `bucket` has waited at least; None if that says nothing."""
        before = self.seen.get(bucket)
        waited_s = at_s - before[1] if before else 0.0
        return waited_s if waited_s >= 1.0 else None


@dataclass(slots=True)
class Flow:
    """Messages per second into and out of each queue over the last half minute.

    In is what was sent; what came in and does not wait has gone out: Out is In minus the growth.
    """

    samples: deque[tuple[float, Mapping[str, int], Mapping[str, int]]] = field(default_factory=deque)
    sent: dict[str, int] = field(default_factory=dict)
    last_row: int | None = None

    def add(self, at_s: float, newly_sent: Mapping[str, int], ready: Mapping[str, int]) -> None:
        """Note what was sent since the last time, and how much waits, at monotonic second `at_s`."""
        for queue, number in newly_sent.items():
            self.sent[queue] = self.sent.get(queue, 0) + number
        self.samples.append((at_s, dict(self.sent), dict(ready)))
        while at_s - self.samples[0][0] > FLOW_WINDOW_S and len(self.samples) > 2:
            self.samples.popleft()

    def rates(self, queue: str) -> tuple[float | None, float | None]:
        """In and out of `queue`; None while too little has been seen to tell."""
        if len(self.samples) < 2:
            return None, None
        (first_s, sent_before, ready_before), (last_s, sent, ready) = self.samples[0], self.samples[-1]
        span_s = last_s - first_s
        if span_s < FLOW_MIN_SPAN_S:
            return None, None
        came = sent.get(queue, 0) - sent_before.get(queue, 0)
        went = came - (ready.get(queue, 0) - ready_before.get(queue, 0))
        # Fewer than none: somebody sends without events (or messages were given back), so nobody can tell.
        return (None, None) if went < -2 else (came / span_s, max(0, went) / span_s)
