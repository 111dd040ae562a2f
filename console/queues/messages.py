"""A message of a Redis queue as data: decoded, never executed.

Stands apart from the gateway because it is a rule about bytes: the envelope of kombu and the body of
Celery's message protocol 2 (and 1). Only JSON is read; a pickled body is named, not opened.
Source: kombu.transport.virtual (envelope), celery.app.amqp.as_task_v2 (headers and body).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec

TEXT_LIMIT = 4000
LARGE_BYTES = 1_000_000
"""A message of more is not taken apart: a parser that makes millions of objects stops the whole window."""
NOT_READABLE = "not shown: not a message of Celery"


class _LargeHeaders(msgspec.Struct):
    task: str | None = None
    id: str | None = None
    eta: str | None = None
    expires: str | None = None
    retries: int | None = None
    origin: str | None = None


class _LargeProperties(msgspec.Struct):
    delivery_tag: str | None = None
    correlation_id: str | None = None
    priority: int | None = None


class _LargeEnvelope(msgspec.Struct):
    """What is read of a large message; msgspec passes over the rest without making anything of it."""

    headers: _LargeHeaders = msgspec.field(default_factory=_LargeHeaders)
    properties: _LargeProperties = msgspec.field(default_factory=_LargeProperties)


@dataclass(frozen=True, slots=True)
class Message:
    """One waiting message.

    `position` counts from 1 (served next); `bucket` is the priority step it waits in. `args`, `kwargs`
    and `embed` are JSON texts, None when `problem` says why they are not shown. `priority` is None if
    the message has none.
    """

    position: int
    bucket: int
    tag: str
    task: str | None
    id: str | None
    args: str | None
    kwargs: str | None
    embed: str | None
    priority: int | None
    eta: datetime | None
    expires: datetime | None
    redelivered: bool
    origin: str | None
    retries: int | None
    problem: str
    size_bytes: int

    @property
    def arguments(self) -> str:
        """Both kinds of arguments on one line, as a table shows them."""
        if self.problem:
            return self.problem
        shown = [text for text, empty in ((self.args, "[]"), (self.kwargs, "{}")) if text and text != empty]
        return " ".join(shown) or "[]"


@dataclass(frozen=True, slots=True)
class Peek:
    """What waits in a queue, next first; `total` wait in all. `sent` tells when, by task id, where known."""

    queue: str
    messages: tuple[Message, ...]
    total: int
    as_of: datetime
    sent: Mapping[str, datetime] = field(default_factory=dict)


def decode_message(raw: bytes, *, position: int, bucket: int) -> Message:
    """`raw` as a `Message`; what cannot be read becomes a message with a `problem`, never an error."""
    envelope = _envelope(raw)
    if envelope is None:
        return _unreadable(raw, position, bucket)
    properties = _object(envelope.get("properties"))
    headers = _object(envelope.get("headers"))
    delivery = _object(properties.get("delivery_info"))
    if len(raw) > LARGE_BYTES:
        body, problem = None, f"not shown: {len(raw) / 1_000_000:,.1f} MB in one message"
    else:
        body, problem = _body(envelope, properties)
    if "task" in headers:
        task, task_id = _text(headers.get("task")), _text(headers.get("id"))
        args, kwargs, embed = _protocol_2(body)
    elif isinstance(body, dict) and "task" in body:  # message protocol 1: everything is in the body
        headers = body
        task, task_id = _text(body.get("task")), _text(body.get("id"))
        args, kwargs, embed = body.get("args", []), body.get("kwargs", {}), None
    else:
        task = task_id = args = kwargs = embed = None
        problem = problem or NOT_READABLE
    if not problem and args is None:
        problem = NOT_READABLE
    return Message(
        position=position,
        bucket=bucket,
        tag=_text(properties.get("delivery_tag")) or "",
        task=task,
        id=task_id or _text(properties.get("correlation_id")),
        args=None if problem else _shown(args),
        kwargs=None if problem else _shown(kwargs),
        embed=None if problem or embed is None else _shown(embed),
        priority=_number(properties.get("priority")),
        eta=_instant(headers.get("eta")),
        expires=_instant(headers.get("expires")),
        redelivered=headers.get("redelivered") is True or delivery.get("redelivered") is True,
        origin=_text(headers.get("origin")),
        retries=_number(headers.get("retries")),
        problem=problem,
        size_bytes=len(raw),
    )


def message_head(raw: bytes) -> tuple[str, str]:
    """The delivery tag and the task id of a message; empty where they cannot be read."""
    envelope = _envelope(raw)
    if envelope is None:
        return "", ""
    properties = _object(envelope.get("properties"))
    task_id = _object(envelope.get("headers")).get("id") or properties.get("correlation_id")
    return _text(properties.get("delivery_tag")) or "", _text(task_id) or ""


def _body(envelope: dict[str, Any], properties: dict[str, Any]) -> tuple[Any, str]:
    """The parsed body, and why it is not shown ("" when it is)."""
    content_type = _text(envelope.get("content-type")) or "unknown content"
    headers = _object(envelope.get("headers"))
    if content_type != "application/json":
        return None, f"not shown: {_content_word(content_type)}"
    if headers.get("compression"):
        return None, "not shown: compressed"
    body = envelope.get("body")
    try:
        if properties.get("body_encoding") == "base64":
            body = base64.b64decode(body or "", validate=True)
        return json.loads(body or ""), ""
    except (ValueError, TypeError, binascii.Error, RecursionError):
        return None, "not shown: the body is not JSON"


def _content_word(content_type: str) -> str:
    """`application/x-python-serialize` is what kombu calls a pickle."""
    if content_type == "application/x-python-serialize":
        return "pickle"
    return content_type.removeprefix("application/").removeprefix("x-")[:40]


def _protocol_2(body: Any) -> tuple[Any, Any, Any]:
    if isinstance(body, list) and len(body) == 3:
        return body[0], body[1], body[2]
    return None, None, None


def _unreadable(raw: bytes, position: int, bucket: int) -> Message:
    return Message(
        position, bucket, "", None, None, None, None, None, None, None, None, False, None, None,
        NOT_READABLE, len(raw),
    )  # fmt: skip


def _envelope(raw: bytes) -> dict[str, Any] | None:
    if len(raw) <= LARGE_BYTES:
        return _json_object(raw)
    try:
        large: dict[str, Any] = msgspec.to_builtins(msgspec.json.decode(raw, type=_LargeEnvelope))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return large


def _json_object(raw: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        return None
    return value if isinstance(value, dict) else None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _instant(value: Any) -> datetime | None:
    """An ISO instant of a header in UTC; one without a zone is UTC by Celery's rule."""
    if not isinstance(value, str):
        return None
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        return None
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= TEXT_LIMIT else text[: TEXT_LIMIT - 1] + "…"
