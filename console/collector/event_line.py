"""The line to a Redis broker's event channel: a thread that does nothing but empty the socket.

Redis cuts a subscriber whose backlog passes 32 MB, so the socket must be read faster than anything
is decoded or stored: this thread moves bytes into memory (bounded), the collector's own thread takes
them from there. It keeps exactly one connection, notices a dead line and connects again.
"""

from __future__ import annotations

import logging
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import hiredis

from console.broker.address import BrokerAddress
from console.broker.stream import ask, command, open_stream
from console.core.errors import Cause, ConsoleError
from console.core.redaction import redact

log = logging.getLogger(__name__)

HELD_BYTES = 256 * 1024 * 1024
CHUNK_BYTES = 1024 * 1024
CONNECT_TIMEOUT_S = 5.0
IDLE_BEFORE_PING_S = 15.0
PONG_WITHIN_S = 5.0
STOP_WITHIN_S = 1.0
LAST_WORDS_S = 0.5
PONG = b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 2.0
# A login that is refused is not hammered at: the broker logs each, and may lock the user out.
LONGEST_REFUSED_PAUSE_S = 30.0
CLIENT_NAME = "celery-console-events"
REFUSED_CAUSES = frozenset({Cause.REFUSED_LOGIN, Cause.NOT_PERMITTED, Cause.CERTIFICATE})
OVERFLOW = "Events came faster than they could be stored"


@dataclass(frozen=True, slots=True)
class Subscribed:
    """From `at` (seconds of the epoch) on every event is read; `reader` parses what follows."""

    at: float
    reader: hiredis.Reader


@dataclass(frozen=True, slots=True)
class Lost:
    """From `at` on events may be missed. `error` says why a connection could not be made."""

    at: float
    reason: str
    error: ConsoleError | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes as they came from the socket at `at`."""

    at: float
    data: bytes


Item = Subscribed | Lost | Chunk


def event_pattern(address: BrokerAddress) -> str:
    """The channels on which kombu publishes events in this database, with glob characters escaped."""
    prefix = re.sub(r"([*?\[\]\\])", r"\\\1", address.key_prefix)
    return f"{prefix}/{address.database}.celeryev/*"


class EventLine:
    """`take()` gives what came since the last call, in its order; `wait()` until there is something."""

    def __init__(
        self,
        address: BrokerAddress,
        *,
        held_bytes: int = HELD_BYTES,
        ping_after_s: float = IDLE_BEFORE_PING_S,
        pong_within_s: float = PONG_WITHIN_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._address = address
        self._limit = held_bytes
        self._ping_after_s = ping_after_s
        self._pong_within_s = pong_within_s
        self._now = now
        self._items: deque[Item] = deque()
        self._received = 0
        self._taken = 0
        self._something = threading.Event()
        self._stop = threading.Event()
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="event-line", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the connection and the thread; what was published before stays to be taken.

        The broker answers in its order: behind the answer to this PING is nothing that we should have heard.
        """
        self._stop.set()
        line = self._socket
        if self._thread.is_alive() and line is not None and not self._address.tls:
            try:
                line.sendall(command("PING"))
                self._thread.join(LAST_WORDS_S)
            except OSError:
                log.debug("The line was gone before its end")
        self.reset()
        if self._thread.is_alive():
            # It may sit in a connect for longer; it is a daemon and holds nothing that is missed.
            self._thread.join(STOP_WITHIN_S)

    def reset(self) -> None:
        """End this connection; another is made, and a gap tells of the time between."""
        line = self._socket
        if line is not None:
            try:
                line.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

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

    def _put(self, item: Item) -> None:
        self._items.append(item)
        self._something.set()

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stop.is_set():
            try:
                reader = self._connect()
            except (OSError, hiredis.HiredisError, _RefusedError, ConsoleError) as error:
                said = self._in_words(error)
                self._put(Lost(self._now(), "The broker could not be reached", said))
                self._close()
                refused = said.cause in REFUSED_CAUSES
                pause_s = max(pause_s, LONGEST_PAUSE_S) if refused else min(pause_s, LONGEST_PAUSE_S)
                self._stop.wait(pause_s)
                pause_s = min(pause_s * 2, LONGEST_REFUSED_PAUSE_S if refused else LONGEST_PAUSE_S)
                continue
            pause_s = FIRST_PAUSE_S
            self._put(Subscribed(self._now(), reader))
            reason = self._drain()
            self._close()
            if not self._stop.is_set():
                self._put(Lost(self._now(), reason))
                self._stop.wait(pause_s)
            while self.held > self._limit // 2 and not self._stop.is_set():
                self._stop.wait(0.05)

    def _connect(self) -> hiredis.Reader:
        address = self._address
        line = open_stream(address, timeout_s=min(CONNECT_TIMEOUT_S, address.timeout_s))
        self._socket = line
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        reader = hiredis.Reader()
        password = address.password.reveal()
        if password:
            user = (address.username,) if address.username else ()
            self._ask(line, reader, "AUTH", *user, password)
        self._ask(line, reader, "CLIENT", "SETNAME", CLIENT_NAME, refusable=True)
        self._ask(line, reader, "PSUBSCRIBE", event_pattern(address))
        return reader

    def _ask(self, line: socket.socket, reader: hiredis.Reader, *words: str, refusable: bool = False) -> None:
        answer = ask(line, reader, *words, timeout_s=CONNECT_TIMEOUT_S)
        if isinstance(answer, hiredis.ReplyError) and not refusable:
            raise _RefusedError(str(answer))

    def _drain(self) -> str:
        """Move bytes into memory until the line is lost; returns why, in words."""
        line = self._socket
        if line is None:
            return "The connection was closed"
        pinged = False
        line.settimeout(self._ping_after_s)
        while True:
            try:
                data = line.recv(CHUNK_BYTES)
                if not data:
                    return "The broker closed the connection"
                self._received += len(data)
                self._put(Chunk(self._now(), data))
                if pinged:
                    pinged = False
                    line.settimeout(self._ping_after_s)
                if self._stop.is_set() and PONG in data:
                    return "The reading was ended"
                if self.held > self._limit:
                    return OVERFLOW
            except TimeoutError:
                if pinged:
                    return "The broker did not answer"
                pinged = True
                try:
                    line.sendall(command("PING"))
                except OSError:
                    return "The connection broke"
                line.settimeout(self._pong_within_s)
            except OSError as error:
                return f"The connection broke ({error.strerror or 'no reason given'})"

    def _close(self) -> None:
        line, self._socket = self._socket, None
        if line is not None:
            line.close()

    def _in_words(self, error: Exception) -> ConsoleError:
        # redis-py is only needed for its words, so it is not loaded as long as all is well.
        import redis

        from console.broker.errors import redis_error

        if isinstance(error, ConsoleError):
            return error
        text = redact(str(error))
        kind: Any = redis.ConnectionError
        if isinstance(error, _RefusedError):
            kind = redis.exceptions.NoPermissionError if text.startswith("NOPERM") else redis.ResponseError
        elif isinstance(error, hiredis.HiredisError):
            kind = redis.InvalidResponse
        elif isinstance(error, TimeoutError):
            kind = redis.TimeoutError
        elif isinstance(error, OSError):
            text = error.strerror or text
        return redis_error(kind(text), self._address)


class _RefusedError(Exception):
    """The broker answered with an error."""
