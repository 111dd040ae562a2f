"""From a message on the event channel to typed events: the only place where foreign bytes are read.

The envelope is JSON whose base64 body is one event or a list of events (FACTS, section 1). Whatever
is not that is counted and skipped; nothing is evaluated or unpickled, and fields that are not known
are not even built.
"""

from __future__ import annotations

import base64
import json
import logging
import math
import uuid
from typing import Any

import msgspec

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
LOGGED_MALFORMED = 20
SHOWN_CHARACTERS = 120
MAX_DIGITS = 300
JSON_CONTENT = "application/json"


class Event(msgspec.Struct, gc=False):
    """The fields of all event types that the history keeps; a field that an event lacks is None."""

    type: str
    uuid: str | None = None
    hostname: str | None = None
    timestamp: float | None = None
    pid: int | None = None
    name: str | None = None
    args: str | None = None
    kwargs: str | None = None
    root_id: str | None = None
    parent_id: str | None = None
    retries: int | None = None
    eta: str | None = None
    expires: str | None = None
    queue: str | None = None
    exchange: str | None = None
    routing_key: str | None = None
    result: str | None = None
    exception: str | None = None
    traceback: str | None = None
    runtime: float | None = None
    terminated: bool | None = None
    signum: int | str | None = None
    expired: bool | None = None
    requeue: bool | None = None
    freq: float | None = None
    active: int | None = None
    processed: int | None = None
    loadavg: list[float] | None = None
    sw_ident: str | None = None
    sw_ver: str | None = None


class _Envelope(msgspec.Struct, gc=False):
    body: bytes  # msgspec reads base64 text into bytes by itself
    content_type: str = msgspec.field(name="content-type", default=JSON_CONTENT)


class _PlainEnvelope(msgspec.Struct, gc=False):
    body: str


class _Typed(msgspec.Struct, gc=False):
    type: str
    uuid: Any = None


class MalformedError(ValueError):
    """A message or a part of it that is not an event; the text says why, for the log."""


TASK_TYPES = frozenset(
    "task-" + kind
    for kind in (
        "sent", "received", "started", "succeeded", "failed", "retried", "revoked", "rejected", "cancelled",
    )
)  # fmt: skip
# What is only shown; a type, an id or a name that is no text is no event.
SHOWN_TEXTS = frozenset({"args", "kwargs", "eta", "expires", "result", "exception", "traceback"})
WORKER_TYPES = frozenset({"worker-online", "worker-heartbeat", "worker-offline"})
KNOWN_TYPES = TASK_TYPES | WORKER_TYPES


class EventDecoder:
    """Decodes messages and counts what it could not read.

    `malformed`: messages or single events that were skipped; `custom`: events of types that are not
    Celery's own (they are allowed, and of no meaning here).
    """

    def __init__(self) -> None:
        self.malformed = 0
        self.custom = 0
        self._envelope = msgspec.json.Decoder(_Envelope)
        self._plain = msgspec.json.Decoder(_PlainEnvelope)
        self._one = msgspec.json.Decoder(Event)
        self._loose = msgspec.json.Decoder(Event, strict=False)
        self._many = msgspec.json.Decoder(list[Event])
        self._raw = msgspec.json.Decoder(list[msgspec.Raw])
        self._typed = msgspec.json.Decoder(_Typed)

    def decode(self, message: bytes) -> list[Event]:
        """The events in `message` whose type is known, in their order; empty for what cannot be read.

        `message` is the envelope in which kombu puts an event on Redis.
        """
        try:
            body = self._body(message)
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            self._skip(error, message)
            return []
        return self._events(body, message)

    def decode_body(self, content_type: str, body: bytes) -> list[Event]:
        """The same for a message of AMQP, whose envelope is the protocol's own."""
        if content_type != JSON_CONTENT or len(body) > MAX_MESSAGE_BYTES:
            self._skip(MalformedError(f"{len(body)} bytes of {content_type[:40]} are not read"), body)
            return []
        return self._events(body.lstrip() if body[:1] not in (b"{", b"[") else body, body)

    def _events(self, body: bytes, message: bytes) -> list[Event]:
        try:
            many = body[:1] == b"["
            try:
                events = self._many.decode(body) if many else [self._one.decode(body)]
            except (msgspec.MsgspecError, RecursionError):
                events = self._one_by_one(body)
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            self._skip(error, message)
            return []
        known = [event for event in events if event.type in KNOWN_TYPES]
        self.custom += len(events) - len(known)
        return known

    def _body(self, message: bytes) -> bytes:
        if len(message) > MAX_MESSAGE_BYTES:
            raise MalformedError(f"{len(message)} bytes in one message")
        try:
            envelope = self._envelope.decode(message)
            content, body = envelope.content_type, envelope.body
        except msgspec.ValidationError:
            # An event transport without body encoding puts the JSON text itself in the envelope.
            content, body = JSON_CONTENT, self._plain.decode(message).body.encode()
        if content != JSON_CONTENT:
            raise MalformedError(f"content type {content[:40]} is not read")
        return body.lstrip() if body[:1] not in (b"{", b"[") else body

    def _one_by_one(self, body: bytes) -> list[Event]:
        """The slow way, for a message in which something is wrong: keep what is right."""
        if body[:1] == b"[":
            try:
                parts = [bytes(raw) for raw in self._raw.decode(body)]
            except msgspec.DecodeError:
                parts = [_repaired(one) for one in _lenient(body)]
        else:
            parts = [body]
        events: list[Event] = []
        for part in parts:
            try:
                events.append(self._one.decode(part))
            except msgspec.ValidationError as error:
                self._keep_what_fits(part, error, events)
            except (msgspec.MsgspecError, RecursionError):
                try:
                    events.append(self._one.decode(_repaired(_lenient(part))))
                except (msgspec.MsgspecError, RecursionError, ValueError) as error:
                    self._skip(error, part)
        return events

    def _keep_what_fits(self, part: bytes, error: Exception, events: list[Event]) -> None:
        """An event of a program that writes numbers as text or texts as lists; custom ones as they like."""
        try:
            if self._typed.decode(part).type not in KNOWN_TYPES:
                self.custom += 1
            else:
                events.append(self._loose.decode(_repaired(_with_texts(json.loads(part)))))
        except (msgspec.MsgspecError, RecursionError, ValueError):
            self._skip(error, part)

    def _skip(self, error: Exception, message: bytes) -> None:
        self.malformed += 1
        if self.malformed <= LOGGED_MALFORMED:
            start = message[:SHOWN_CHARACTERS].decode("utf-8", "replace")
            log.warning("Skipped what is no event: %s; it begins %r", _short(error), start)


def _with_texts(event: Any) -> Any:
    """`event` with what is shown as text made one."""
    for name in SHOWN_TEXTS.intersection(event):
        value = event[name]
        if value is not None and not isinstance(value, str):
            event[name] = json.dumps(value, ensure_ascii=False)
    return event


def _lenient(body: bytes) -> Any:
    """`body` by Python's own JSON reader, which knows what Python writes. Senseless numbers become None."""
    text = body.decode("utf-8", "replace")
    return json.loads(text, parse_constant=lambda _: None, parse_float=_finite, parse_int=_sensible)


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None


def _sensible(digits: str) -> int | None:
    return int(digits) if len(digits) <= MAX_DIGITS else None


def _repaired(value: Any) -> bytes:
    """`value` as JSON. Half a surrogate pair (Python's reading of odd file names) becomes a question mark."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")


def _short(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


def envelope(events: Any) -> bytes:
    """`events` (one mapping or a list) as kombu publishes them; for tests, benches and replays."""
    body = base64.b64encode(json.dumps(events).encode()).decode()
    return json.dumps(
        {
            "body": body,
            "content-encoding": "utf-8",
            "content-type": JSON_CONTENT,
            "headers": {},
            "properties": {
                "delivery_mode": 1,
                "delivery_info": {"exchange": "celeryev", "routing_key": "task.multi"},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": str(uuid.uuid4()),
            },
        }
    ).encode()
