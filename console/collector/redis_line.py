"""The line to a Redis broker's event channels: a subscription to a pattern, kept by pings."""

from __future__ import annotations

import logging
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import hiredis

from console.broker.address import BrokerAddress, BrokerKind, Endpoint, endpoint_text
from console.broker.stream import ask, command, find_primary, login_words, open_endpoint, open_stream
from console.collector.event_line import (
    ANSWER_WITHIN_S,
    HELD_BYTES,
    STOP_WITHIN_S,
    EventLine,
    StreamEndedError,
    StreamReader,
)
from console.collector.events import Event, EventDecoder
from console.collector.line import Drain, Line, widen
from console.collector.sealed import Sealed
from console.core.errors import ConsoleError
from console.core.redaction import redact

log = logging.getLogger(__name__)

ASK_AFTER_S = 15.0
ASK_SENTINEL_S = 2.0
PENDING_BYTES = 64 * 1024 * 1024
REMEMBERED_MESSAGES = 1000
PONG = b"*2\r\n$4\r\npong\r\n$0\r\n\r\n"
CLIENT_NAME = "celery-console-events"


def event_patterns(address: BrokerAddress) -> tuple[str, ...]:
    """The channels on which kombu publishes events in this database, with glob characters escaped.

    Behind Sentinel a kombu before 5.4 writes the `{db}` of its prefix as it stands (FACTS, 5.1); kombu 5.7
    publishes on both channels when its option `sentinel_fanout_compat` is set.
    """
    prefix = re.sub(r"([*?\[\]\\])", r"\\\1", address.key_prefix)
    pattern = f"{prefix}/{address.database}.celeryev/*"
    if address.kind is not BrokerKind.SENTINEL:
        return (pattern,)
    return pattern, f"{prefix}/{{db}}.celeryev/*"


class RedisReader:
    """Pushed messages in Redis's protocol, behind an answer that `parser` may hold the rest of.

    With `copies` the same message may come on two channels. Each has a delivery tag of its own, so equal
    bytes are one message (kombu tells them apart by the tag, `SentinelChannel`, among as many).
    """

    def __init__(self, parser: hiredis.Reader, *, sealed: Sealed | None = None, copies: bool = False) -> None:
        self._parser = parser
        self._sealed = sealed
        self._copies = copies
        self._recent: dict[int, None] = {}

    def read(self, data: bytes, decoder: EventDecoder, events: list[Event]) -> None:
        parser = self._parser
        try:
            if data and self._sealed is not None:
                data = self._sealed.open(data)
            if data:
                parser.feed(data)
            while (message := parser.gets()) is not False:
                if not isinstance(message, list) or len(message) != 4 or message[0] != b"pmessage":
                    continue
                if not self._copies or self._is_new(message[3]):
                    events += decoder.decode(message[3])
        except (hiredis.HiredisError, ssl.SSLError) as error:
            # Not Redis's protocol any more: nothing after this can be trusted until a new subscription.
            decoder.malformed += 1
            raise StreamEndedError(f"The stream could not be read ({error})") from error
        if parser.len() > PENDING_BYTES:
            decoder.malformed += 1
            raise StreamEndedError(f"A message of more than {PENDING_BYTES} bytes was not read")

    def _is_new(self, message: bytes) -> bool:
        mark = hash(message)
        if mark in self._recent:
            return False
        self._recent[mark] = None
        if len(self._recent) > REMEMBERED_MESSAGES:
            del self._recent[next(iter(self._recent))]
        return True


class RedisEventLine(EventLine):
    """An `EventLine` to any Redis that `open_stream` reaches.

    Behind Sentinel a thread of its own asks who is primary: until it is told so, for up to ten seconds, an
    old primary keeps its subscribers, who hear nothing of what is published to the new one.
    """

    def __init__(
        self,
        address: BrokerAddress,
        *,
        held_bytes: int = HELD_BYTES,
        ask_after_s: float = ASK_AFTER_S,
        answer_within_s: float = ANSWER_WITHIN_S,
        ask_sentinel_s: float = ASK_SENTINEL_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(
            address,
            held_bytes=held_bytes // 2,
            ask_after_s=ask_after_s,
            answer_within_s=answer_within_s,
            now=now,
        )
        self._drain_holds = held_bytes - held_bytes // 2
        self._emptying: Drain | None = None
        self._sealed: Sealed | None = None
        self._ask_sentinel_s = ask_sentinel_s
        self._primary: Endpoint | None = None
        self._primary_at = 0.0  # when a sentinel last said so
        self._asking: threading.Thread | None = None
        if address.kind is BrokerKind.SENTINEL:
            self._asking = threading.Thread(target=self._ask_sentinels, name="event-sentinel", daemon=True)

    def prepare(self) -> None:
        self._ready_drain()

    def _ready_drain(self) -> Drain:
        drain = self._emptying
        if drain is None or not drain.is_alive:
            drain = self._emptying = Drain(self._drain_holds)
        return drain

    def start(self) -> None:
        super().start()
        if self._asking is not None:
            self._asking.start()

    def stop(self) -> None:
        super().stop()
        if self._asking is not None and self._asking.is_alive():
            self._asking.join(STOP_WITHIN_S)
        if self._emptying is not None:
            self._emptying.close()

    def _ask_sentinels(self) -> None:
        while not self._stop.wait(self._ask_sentinel_s):
            followed, at = self._primary, self._now()
            if followed is None:
                continue
            try:
                named = find_primary(self._address, timeout_s=self._connect_timeout_s)
            except ConsoleError:
                named = followed  # without a sentinel nobody is promoted
            if followed is not self._primary:
                continue  # connected anew meanwhile
            if named == followed:
                self._primary_at = at
            else:
                self._primary = None
                self.reset("Sentinel names another primary")

    def _missed_since(self) -> float:
        at = super()._missed_since()
        return at if self._asking is None else min(at, self._primary_at)

    def _connect(self) -> tuple[Line, StreamReader]:
        self._primary = None
        try:
            asked_at = self._now()
            endpoint, line = self._open()
            try:
                widen(line)
                tls = self._address.tls
                shown = endpoint_text(endpoint)
                self._sealed = None if tls is None else Sealed(line, tls, endpoint[0], shown=shown)
                reader = self._subscribe(cast(socket.socket, self._sealed or line))
                drained = self._ready_drain().take(line)
                self._primary, self._primary_at = endpoint, asked_at
                return drained, reader
            except BaseException:
                line.close()
                raise
        except (OSError, hiredis.HiredisError, _RefusedError) as error:
            raise self._in_words(error) from error

    def _open(self) -> tuple[Endpoint, socket.socket]:
        """`open_stream` without its TLS, which is put on apart."""
        address, limit_s = self._address, self._connect_timeout_s
        plain = replace(address, tls=None)
        if address.kind is BrokerKind.SOCKET:
            return ("", 0), open_stream(plain, timeout_s=limit_s)
        endpoint = (address.host, address.port)
        if address.kind is BrokerKind.SENTINEL:
            endpoint = find_primary(address, timeout_s=limit_s)
        return endpoint, open_endpoint(plain, endpoint, timeout_s=limit_s)

    def _subscribe(self, line: socket.socket) -> RedisReader:
        address, parser = self._address, hiredis.Reader()
        if login := login_words(address.username, address.password):
            self._ask(line, parser, *login)
        self._ask(line, parser, "CLIENT", "SETNAME", CLIENT_NAME, refusable=True)
        # In one command: after the first of two a message could stand where an answer is expected.
        first, *others = event_patterns(address)
        if others and self._ask(line, parser, "PSUBSCRIBE", first, *others, refusable=True):
            return RedisReader(parser, sealed=self._sealed, copies=True)
        self._ask(line, parser, "PSUBSCRIBE", first)
        return RedisReader(parser, sealed=self._sealed)

    def _ask(self, line: socket.socket, parser: hiredis.Reader, *words: str, refusable: bool = False) -> bool:
        """Whether the broker does it; a refusal is an error unless it is `refusable`."""
        answer = ask(line, parser, *words, timeout_s=self._connect_timeout_s)
        refused = isinstance(answer, hiredis.ReplyError)
        if refused and not refusable:
            raise _RefusedError(str(answer))
        return not refused

    def _question(self) -> bytes:
        question = command("PING")
        return question if self._sealed is None else self._sealed.seal(question)

    def _waiting(self, data: bytes) -> int | None:
        # Sealed, the answer cannot be seen here: the last words then take the time they are given.
        return 0 if PONG in data else None

    def _in_words(self, error: Exception) -> ConsoleError:
        # redis-py is only needed for its words, so it is not loaded as long as all is well.
        import redis

        from console.broker.errors import redis_error

        text = redact(str(error))
        kind: type[redis.RedisError] = redis.ConnectionError
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
