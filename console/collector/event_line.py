"""The line to a broker's events: a thread that does nothing but move bytes into memory.

Redis cuts a subscriber whose backlog passes 32 MB, and RabbitMQ drops what its queue cannot hold, so the
socket must be read faster than anything is decoded or stored: this thread moves bytes into memory
(bounded), the collector's own thread takes them from there. It keeps exactly one connection, notices a dead
line and connects again. What is particular to a broker stands in `redis_line` and `amqp_line`, by which way
the bytes come in `line`.
"""

from __future__ import annotations

import logging
import selectors
import socket
import ssl
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from console.broker.address import BrokerAddress
from console.collector.events import Event, EventDecoder
from console.collector.line import FullError, Line
from console.core.clock import boot_s
from console.core.errors import Cause, ConsoleError

log = logging.getLogger(__name__)

HELD_BYTES = 256 * 1024 * 1024
CONNECT_TIMEOUT_S = 5.0
ANSWER_WITHIN_S = 5.0
STOP_WITHIN_S = 1.0
LOOK_S = 1.0
WAKES = 64
SLEPT_S = 3.0
"""Longer than from one look to the next: this process, or the computer, stood still meanwhile."""
LAST_WORDS_S = 0.5
"""How long to wait for more of them; `LONGEST_WORDS_S` for all of them."""
LONGEST_WORDS_S = 3.0
FULL_LOOK_S = 0.05
SOON_S = 1.0
STEADY_S = 1.0
"""A line that stood for so long is made again at once: it may have been cut in the middle of a burst."""
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 2.0
# What is refused is not hammered at: the broker logs each login, and may lock the user out.
LONGEST_REFUSED_PAUSE_S = 30.0
REFUSED_CAUSES = frozenset(
    {Cause.REFUSED_LOGIN, Cause.NOT_PERMITTED, Cause.CERTIFICATE, Cause.PROTOCOL, Cause.INVALID}
)
"""Waiting does not help against these; a person must do something."""
OVERFLOW = "Events came faster than they could be stored"


class StreamEndedError(Exception):
    """The broker said, or wrote by mistake, something after which no more events come; in words."""


class StreamReader(Protocol):
    """Makes events of the bytes that follow a subscription."""

    def read(self, data: bytes, decoder: EventDecoder, events: list[Event]) -> None:
        """Put the events that `data` completes into `events`.

        Raises `StreamEndedError` when there is no going on; what came before it is in `events`.
        """


@dataclass(frozen=True, slots=True)
class Subscribed:
    """From `at` (seconds of the epoch) on every event is read; `reader` reads what follows."""

    at: float
    reader: StreamReader


@dataclass(frozen=True, slots=True)
class Lost:
    """From `at` on events may be missed. `error` says why a connection could not be made."""

    at: float
    reason: str
    error: ConsoleError | None = None


@dataclass(frozen=True, slots=True)
class Missing:
    """Reading goes on, but since `at` the broker throws events away; `Complete` is the end of it."""

    at: float
    reason: str


@dataclass(frozen=True, slots=True)
class Complete:
    """From `at` on every event is read again."""

    at: float


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes as they came from the socket at `at`."""

    at: float
    data: bytes


Item = Subscribed | Lost | Missing | Complete | Chunk


class EventLine(ABC):
    """`take()` gives what came since the last call, in its order; `wait()` until there is something.

    After `ask_after_s` the broker is asked something; when nothing at all comes for `answer_within_s` after
    that, the line is dead.
    """

    def __init__(
        self,
        address: BrokerAddress,
        *,
        ask_after_s: float,
        held_bytes: int = HELD_BYTES,
        answer_within_s: float = ANSWER_WITHIN_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._address = address
        self._limit = held_bytes
        self._ask_after_s = ask_after_s
        self._answer_within_s = answer_within_s
        self._connect_timeout_s = min(CONNECT_TIMEOUT_S, address.timeout_s)
        self._now = now
        self._items: deque[Item] = deque()
        self._received = 0
        self._taken = 0
        self._something = threading.Event()
        self._stop = threading.Event()
        self._cut = ""
        self._checking = False
        self._heard_at = 0.0
        # Whether we have slept since: what is read first came at nobody knows which time.
        self._doubted = False
        self._wakes, self._waker = socket.socketpair()
        self._waker.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="event-line", daemon=True)

    def prepare(self) -> None:  # noqa: B027 - not every line has something to prepare
        """Start what should have the priority that this process has now. Raises `ConsoleError`."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the connection and the thread; what was published before stays to be taken.

        The broker answers in its order: behind the answer to a last question is nothing that we should
        have heard.
        """
        self._stop.set()
        self._interrupt()
        if self._thread.is_alive():
            # It may sit in a connect for longer; it is a daemon and holds nothing that is missed.
            self._thread.join(LONGEST_WORDS_S + STOP_WITHIN_S)
        if not self._thread.is_alive():
            self._wakes.close()
            self._waker.close()

    def reset(self, reason: str) -> None:
        """End this connection; another is made, and a gap tells of the time between."""
        self._cut = reason
        self._interrupt()

    def check(self) -> None:
        """Ask the broker now: somebody has reason to think that the line is dead."""
        self._checking = True
        self._interrupt()

    def wait(self, timeout_s: float) -> None:
        """Return when there is something to take, or after `timeout_s`."""
        self._something.wait(timeout_s)
        self._something.clear()

    def wake(self) -> None:
        """Make a `wait` return now."""
        self._something.set()

    def take(self, at_most_bytes: int) -> list[Item]:
        """What came, oldest first, up to about `at_most_bytes`."""
        taken: list[Item] = []
        size = 0
        while self._items and size < at_most_bytes:
            item = self._items.popleft()
            taken.append(item)
            if isinstance(item, Chunk):
                size += len(item.data)
        self._taken += size
        if self._items:
            self._something.set()
        return taken

    @property
    def held(self) -> int:
        """Bytes read and not taken."""
        return self._received - self._taken

    @abstractmethod
    def _connect(self) -> tuple[Line, StreamReader]:
        """A line on which events come. Raises `ConsoleError`; closes what it opened when it fails."""

    @abstractmethod
    def _question(self) -> bytes:
        """What the broker answers behind everything that it sent before."""

    @abstractmethod
    def _waiting(self, data: bytes) -> int | None:
        """How many messages wait behind the answer to the question; None when `data` has no answer."""

    def _farewell(self) -> bytes:
        """What is said before the socket is closed."""
        return b""

    def _heard(self, _data: bytes) -> bool:
        """Whether to ask within a second of the last question, because of `_data`."""
        return False

    def _missed_since(self) -> float:
        """Since when events may be missed, now that the line is lost, in seconds of the epoch.

        Not since now: a line that is half-open, or that was cut while this computer slept, has brought
        nothing since it was last heard, whatever was sent.
        """
        return self._heard_at

    def _put(self, item: Item) -> None:
        self._items.append(item)
        self._something.set()

    def _interrupt(self) -> None:
        try:
            self._waker.send(b"!")
        except OSError:
            log.debug("The line has its wake already, or has ended")

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stop.is_set():
            try:
                line, reader = self._connect()
            except ConsoleError as error:
                pause_s = self._failed(error, pause_s)
                continue
            except Exception:
                log.exception("Connecting failed in a way that is not known")
                pause_s = self._failed(ConsoleError("The reader of events failed"), pause_s)
                continue
            pause_s = FIRST_PAUSE_S
            self._cut = ""
            self._heard_at = self._now()
            self._put(Subscribed(self._heard_at, reader))
            began_s = time.monotonic()
            try:
                reason = self._drain(line)
            finally:
                line.close()
            if not self._stop.is_set():
                log.info("The line to the events was lost: %s", reason)
                self._put(Lost(self._missed_since(), reason))
                if time.monotonic() - began_s < STEADY_S:
                    self._stop.wait(pause_s)
            while self.held > self._limit // 2 and not self._stop.is_set():
                self._stop.wait(0.05)

    def _failed(self, error: ConsoleError, pause_s: float) -> float:
        """Tell why there is no line and wait; how long to wait after the next failure."""
        log.info("No line to the events: %s", error)
        self._put(Lost(self._now(), "The broker could not be reached", error))
        refused = error.cause in REFUSED_CAUSES
        pause_s = max(pause_s, LONGEST_PAUSE_S) if refused else min(pause_s, LONGEST_PAUSE_S)
        self._stop.wait(pause_s)
        return min(pause_s * 2, LONGEST_REFUSED_PAUSE_S if refused else LONGEST_PAUSE_S)

    def _drain(self, line: Line) -> str:
        """Move bytes into memory until the line is lost; returns why, in words."""
        watch = _Watch(self._ask_after_s, min(self._answer_within_s, self._address.timeout_s))
        self._doubted = self._checking = False
        awake_s = boot_s()
        with selectors.DefaultSelector() as ready:
            ready.register(line, selectors.EVENT_READ)
            ready.register(self._wakes, selectors.EVENT_READ)
            while True:
                full = line.waits and self.held > self._limit
                if full:
                    self._stop.wait(FULL_LOOK_S)
                else:
                    self._wait_for(ready, watch)
                before_s, awake_s = awake_s, boot_s()
                if awake_s - before_s > SLEPT_S:
                    self._doubted = True
                    watch.hurry()
                if self._stop.is_set():
                    return self._last_words(line)
                if self._cut:
                    return self._cut
                if full:
                    watch.heard(soon=False)  # nobody listened
                elif lost := self._move(line, watch):
                    return lost
                if watch.is_due():
                    if not line.say(self._question(), self._answer_within_s):
                        return "The connection broke"
                    watch.asked()

    def _move(self, line: Line, watch: _Watch) -> str:
        """Take in what is there; why the line is lost, or nothing."""
        try:
            data = line.receive()
        except (BlockingIOError, ssl.SSLWantReadError):
            self._doubted = False
            return "The broker did not answer" if watch.is_dead() else ""
        except FullError:
            return OVERFLOW
        except OSError as error:
            return f"The connection broke ({error.strerror or 'no reason given'})"
        if not data:
            return "The broker closed the connection"
        self._keep(data, line.arrived_s)
        watch.heard(soon=self._heard(data))
        return OVERFLOW if self.held > self._limit and not line.waits else ""

    def _wait_for(self, ready: selectors.BaseSelector, watch: _Watch) -> None:
        """Return when something may be there to read, when somebody wakes us, or after a second."""
        seen = ready.select(min(watch.wait_s(), LOOK_S))
        if any(key.fileobj is self._wakes for key, _ in seen):
            self._wakes.recv(WAKES)  # one that is left there would wake us for ever
        if self._checking:
            self._checking = False
            watch.hurry()

    def _keep(self, data: bytes, arrived_s: float) -> None:
        self._received += len(data)
        at = self._now() - max(0.0, time.monotonic() - arrived_s)
        if not self._doubted:
            self._heard_at = at
        self._put(Chunk(at, data))

    def _last_words(self, line: Line) -> str:
        """Read what is still on its way, then part from the broker as it likes it."""
        deadline_s = time.monotonic() + LONGEST_WORDS_S
        asking, more = True, True
        while more:
            if asking and not line.say(self._question(), LAST_WORDS_S):
                break
            try:
                data = line.receive_within(LAST_WORDS_S)
            except OSError:
                break
            except FullError:
                data = b""
            if not data or time.monotonic() > deadline_s:
                self._put(Lost(self._missed_since(), "The reading was ended before all was read"))
                break
            self._keep(data, line.arrived_s)
            waiting = self._waiting(data)
            asking, more = waiting is not None, waiting != 0
        line.say(self._farewell(), LAST_WORDS_S)
        return "The reading was ended"


class _Watch:
    """When to ask the broker something, and when nothing came for too long after it."""

    def __init__(self, ask_after_s: float, answer_within_s: float) -> None:
        self._ask_after_s = ask_after_s
        self._answer_within_s = answer_within_s
        self._asked_s = time.monotonic()
        self._ask_s = self._asked_s + ask_after_s
        self._dead_s = 0.0

    def wait_s(self) -> float:
        return max(0.0, (min(self._dead_s, self._ask_s) if self._dead_s else self._ask_s) - time.monotonic())

    def heard(self, *, soon: bool) -> None:
        self._dead_s = 0.0
        if soon:
            self._ask_s = min(self._ask_s, self._asked_s + SOON_S)

    def hurry(self) -> None:
        """Ask now."""
        self._ask_s = time.monotonic()

    def is_dead(self) -> bool:
        return bool(self._dead_s) and time.monotonic() >= self._dead_s

    def is_due(self) -> bool:
        return time.monotonic() >= self._ask_s

    def asked(self) -> None:
        self._asked_s = time.monotonic()
        self._ask_s = self._asked_s + self._ask_after_s
        self._dead_s = self._dead_s or self._asked_s + self._answer_within_s
