"""The line to RabbitMQ's events: a queue of our own, bound to the exchange on which workers publish.

py-amqp logs in and declares; what comes then is read from its socket as it stands, because py-amqp reads a
message in nine system calls. Sources: AMQP 0-9-1 (frames in 4.2.3, content in 4.2.6, methods by number in its
XML), celery/events/receiver.py (names, exclusive and auto-delete), rabbitmq.com/docs/maxlength and /docs/ttl.
"""

from __future__ import annotations

import logging
import socket
import struct
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from console.broker.address import BrokerAddress
from console.collector.event_line import (
    ANSWER_WITHIN_S,
    CONNECT_TIMEOUT_S,
    HELD_BYTES,
    Complete,
    EventLine,
    Lost,
    Missing,
    StreamEndedError,
    StreamReader,
)
from console.collector.events import MAX_MESSAGE_BYTES, Event, EventDecoder
from console.collector.line import DirectLine, Line, widen
from console.core.errors import Cause, ConsoleError

if TYPE_CHECKING:
    from kombu.connection import Connection

log = logging.getLogger(__name__)

EXCHANGE = "celeryev"
# The broker cuts us when it has heard nothing for about twice as long: a console that was frozen or cut
# off must not leave a queue that fills. The question is what it hears.
HEARTBEAT_S = 20
ASK_AFTER_S = 8.0
EXCHANGE_EVERY_S = 10.0
EXPIRES_MS = 60_000
QUEUED_MESSAGES = 100_000
QUEUED_BYTES = 256 * 1024 * 1024
NEARLY_FULL, CALM = QUEUED_MESSAGES * 8 // 10, QUEUED_MESSAGES // 2
STREAMING_BYTES = 4096
DROPPED = "Events came faster than they could be read, and RabbitMQ dropped some"
MAX_FRAME_BYTES = 16 * 1024 * 1024
MAX_REASON = 200

_HEAD = struct.Struct(">BHI")  # type, channel, size
_METHOD_FRAME, _HEADER_FRAME, _BODY_FRAME = 1, 2, 3
_END = 0xCE
_METHOD = struct.Struct(">HH")  # class, method
_CONNECTION_CLOSE, _CHANNEL_CLOSE, _BASIC_CANCEL = (10, 50), (20, 40), (60, 30)
_QUEUE_DECLARE, _QUEUE_DECLARE_OK = (50, 10), (50, 11)
_CONTENT = struct.Struct(">HHQH")  # class, weight, size of the body, flags of the properties
_HAS_CONTENT_TYPE = 0x8000
_PASSIVE = 1
_COUNT = struct.Struct(">I")


class AmqpReader:
    """Frames into events. A message is a method, a header with the size of its body, and parts of it."""

    def __init__(self) -> None:
        self._rest = b""
        self._content_type = ""
        self._wanted = 0
        self._got = 0
        self._parts: list[bytes] = []

    def read(self, data: bytes, decoder: EventDecoder, events: list[Event]) -> None:
        buffer = self._rest + data
        at, end = 0, len(buffer)
        while end - at > _HEAD.size:
            kind, _, size = _HEAD.unpack_from(buffer, at)
            start = at + _HEAD.size
            if size > MAX_FRAME_BYTES or kind > 8:
                raise StreamEndedError("The stream could not be read")
            if end <= start + size:
                break
            if buffer[start + size] != _END:
                raise StreamEndedError("The stream could not be read")
            frame = buffer[start : start + size]
            at = start + size + 1
            if kind == _BODY_FRAME:
                self._got += size
                if self._wanted <= MAX_MESSAGE_BYTES:
                    self._parts.append(frame)
                if self._got >= self._wanted:
                    self._end_message(decoder, events)
            elif kind == _HEADER_FRAME:
                self._begin_message(frame)
                if not self._wanted:
                    self._end_message(decoder, events)
            elif kind == _METHOD_FRAME:
                _heed(frame)
        self._rest = buffer[at:]

    def _begin_message(self, frame: bytes) -> None:
        try:
            _, _, self._wanted, flags = _CONTENT.unpack_from(frame)
        except struct.error as error:
            raise StreamEndedError("The stream could not be read") from error
        self._content_type = _short_text(frame[_CONTENT.size :]) if flags & _HAS_CONTENT_TYPE else ""
        self._got, self._parts = 0, []

    def _end_message(self, decoder: EventDecoder, events: list[Event]) -> None:
        parts, self._parts = self._parts, []
        events += decoder.decode_body(self._content_type, parts[0] if len(parts) == 1 else b"".join(parts))


def _heed(frame: bytes) -> None:
    """Notice the methods after which nothing comes."""
    method = tuple(_METHOD.unpack_from(frame)) if len(frame) >= _METHOD.size else ()
    if method == _BASIC_CANCEL:
        raise StreamEndedError("The broker ended the subscription")
    if method in (_CONNECTION_CLOSE, _CHANNEL_CLOSE):
        said = _short_text(frame[_METHOD.size + 2 :])
        raise StreamEndedError(f"The broker closed the connection ({said or 'no reason given'})")


def _short_text(data: bytes) -> str:
    text = data[1 : 1 + data[0]].decode("utf-8", "replace") if data else ""
    return "".join(one if one.isprintable() else " " for one in text[:MAX_REASON])


def _method_frame(channel: int, method: tuple[int, int], arguments: bytes) -> bytes:
    payload = _METHOD.pack(*method) + arguments
    return _HEAD.pack(_METHOD_FRAME, channel, len(payload)) + payload + bytes((_END,))


def _short(text: str) -> bytes:
    data = text.encode()
    return bytes((len(data),)) + data


class AmqpEventLine(EventLine):
    """An `EventLine` to RabbitMQ. Its queue is bounded, and gone as soon as the connection is."""

    def __init__(
        self,
        address: BrokerAddress,
        *,
        held_bytes: int = HELD_BYTES,
        ask_after_s: float = ASK_AFTER_S,
        answer_within_s: float = ANSWER_WITHIN_S,
        exchange_every_s: float = EXCHANGE_EVERY_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(
            address, held_bytes=held_bytes, ask_after_s=ask_after_s, answer_within_s=answer_within_s, now=now
        )
        self._exchange_every_s = exchange_every_s
        self._kombu: Connection | None = None
        self._connection: Any = None  # kept: py-amqp closes the socket of one that is collected
        self._asking = b""
        self._mark = b""
        self._tail = b""
        self._dropping = False
        self._calm_at = 0.0

    def _connect(self) -> tuple[Line, StreamReader]:
        from console.broker.errors import broker_errors

        with broker_errors(self._address):
            connection = self._kombu_connection().transport.establish_connection()
            try:
                self._subscribe(connection)
                line: socket.socket = connection.transport.sock
                widen(line)
            except BaseException:
                connection.collect()
                raise
        self._connection = connection
        return DirectLine(line), AmqpReader()

    def _kombu_connection(self) -> Connection:
        if self._kombu is None:
            from dataclasses import replace

            from console.broker.kombu_lines import make_celery_app

            address = replace(self._address, timeout_s=min(CONNECT_TIMEOUT_S, self._address.timeout_s))
            self._kombu = make_celery_app(address).connection_for_read(heartbeat=HEARTBEAT_S)
        return self._kombu

    def _subscribe(self, connection: Any) -> None:
        channel = self._with_exchange(connection)
        queue = f"celeryev.receiver.{uuid.uuid4()}"
        channel.queue_declare(
            queue,
            durable=False,
            exclusive=True,
            auto_delete=True,
            arguments={
                "x-queue-type": "classic",
                "x-expires": EXPIRES_MS,
                "x-max-length": QUEUED_MESSAGES,
                "x-max-length-bytes": QUEUED_BYTES,
                "x-overflow": "drop-head",
            },
        )
        channel.queue_bind(queue, EXCHANGE, "#")
        # A passive declaration tells how many messages wait; its arguments: reserved, name, flags, table.
        asked = b"\0\0" + _short(queue) + bytes((_PASSIVE,)) + _COUNT.pack(0)
        self._asking = _method_frame(channel.channel_id, _QUEUE_DECLARE, asked)
        self._mark = _METHOD.pack(*_QUEUE_DECLARE_OK) + _short(queue)
        self._tail, self._dropping, self._calm_at = b"", False, self._now()
        channel.basic_consume(queue, no_ack=True, exclusive=True)

    def _with_exchange(self, connection: Any) -> Any:
        """A channel, once there is the exchange of events: made as celery does if we may, else waited for."""
        from amqp import AccessRefused, NotFound

        channel = connection.channel()
        tried = False
        while True:
            try:
                channel.exchange_declare(EXCHANGE, "topic", passive=True)
            except NotFound:
                channel = connection.channel()
            else:
                return channel
            if not tried:
                tried = True
                try:
                    channel.exchange_declare(EXCHANGE, "topic", durable=True, auto_delete=False)
                except AccessRefused:
                    channel = connection.channel()
                else:
                    return channel
                self._put(Lost(self._now(), "There is nothing to read yet", _no_exchange()))
            if self._stop.wait(self._exchange_every_s):
                raise _no_exchange()

    def _question(self) -> bytes:
        return self._asking

    def _farewell(self) -> bytes:
        return _method_frame(0, _CONNECTION_CLOSE, struct.pack(">H", 200) + _short("") + b"\0\0\0\0")

    def _heard(self, data: bytes) -> bool:
        waiting = self._waiting(data)
        if waiting is not None:
            self._watch(waiting)
        # Only while events stream can the queue fill.
        return len(data) > STREAMING_BYTES

    def _waiting(self, data: bytes) -> int | None:
        window = self._tail + data
        self._tail = window[-(len(self._mark) + _COUNT.size - 1) :]
        found = window.rfind(self._mark)
        at = found + len(self._mark)
        if found < 0 or len(window) < at + _COUNT.size:
            return None
        count: int = _COUNT.unpack_from(window, at)[0]
        return count

    def _watch(self, waiting: int) -> None:
        """Say when the queue is so full that its oldest messages are dropped, and when it is empty enough."""
        if waiting >= NEARLY_FULL and not self._dropping:
            self._dropping = True
            self._put(Missing(self._calm_at, DROPPED))
        elif self._dropping and waiting < CALM:
            self._dropping = False
            self._put(Complete(self._now()))
        if not self._dropping:
            self._calm_at = self._now()


def _no_exchange() -> ConsoleError:
    return ConsoleError(
        "No events yet",
        detail=f"The exchange {EXCHANGE} does not exist, and this user may not make it.",
        remedy="The first worker that sends events makes it.",
        cause=Cause.NOT_FOUND,
        retryable=True,
    )
