"""What the stored content of a result means: Celery's JSON as a `BackendResult`. Pure; trusts nothing."""

from __future__ import annotations

import binascii
import json
import re
import zlib
from base64 import b64decode
from datetime import UTC, datetime
from typing import Any

from console.broker.results import MAX_BYTES, BackendResult
from console.core.text import storable

MAX_CHILDREN = 1_000
# celery/backends/base.py, `compress_payload` of 5.7: marker, content type, NUL, body.
_COMPRESSED = b"\x00celery-compressed\x00"
_GZIP = "application/x-gzip"
_PICKLE = re.compile(rb"\x80[\x02-\x05]")
# The state stands first in what Celery writes, so that it is known of a content that is too long to read.
_STATE = re.compile(rb'\{"status": "([A-Z_]{1,40})"')
_ERRORS = ("FAILURE", "RETRY", "REVOKED", "REJECTED")


def result_of_payload(task_id: str, payload: bytes) -> BackendResult:
    """The content of a key of the Redis backend; at most `MAX_BYTES` + 1 bytes of it were read."""
    if payload.startswith(_COMPRESSED):
        kind, _, body = payload[len(_COMPRESSED) :].partition(b"\0")
        unpacked = _unpacked(kind.decode("latin-1"), body)
        if isinstance(unpacked, str):
            return BackendResult(task_id, "", problem=unpacked)
        payload = unpacked
    if _PICKLE.match(payload):
        return BackendResult(task_id, "", problem="It is pickled, which the console does not read")
    if len(payload) > MAX_BYTES:
        state = _STATE.match(payload)
        return BackendResult(
            task_id, state[1].decode() if state else "", problem="It is larger than 1 MB, too large to show"
        )
    meta = decoded(payload)
    if not isinstance(meta, dict) or not isinstance(meta.get("status"), str):
        return BackendResult(task_id, "", problem="It is not JSON as Celery writes it")
    return result_of_meta(task_id, meta)


def result_of_meta(task_id: str, meta: dict[str, Any], *, problem: str = "") -> BackendResult:
    """Celery's fields by name (`_get_result_meta`), `status` among them."""
    state = storable(str(meta["status"]))
    value = meta.get("result")
    failed = state in _ERRORS
    result_text = None
    if state == "SUCCESS" and not problem:
        result_text = _json(value)
        problem = "" if result_text is not None else "It is nested too deeply to show"
    retries = meta.get("retries")
    return BackendResult(
        task_id,
        state,
        result_text=result_text,
        exception=_exception(value) if failed else None,
        traceback=_text(meta.get("traceback")),
        date_done=read_instant(meta.get("date_done")),
        worker=_text(meta.get("worker")),
        name=_text(meta.get("name")),
        queue=_text(meta.get("queue")),
        retries=retries if type(retries) is int else None,
        parent_id=_text(meta.get("parent_id")),
        group_id=_text(meta.get("group_id")),
        args_text=_json_text(meta.get("args")),
        kwargs_text=_json_text(meta.get("kwargs")),
        children=child_ids(meta.get("children")),
        problem=problem,
    )


def result_of_row(task_id: str, row: dict[str, Any]) -> BackendResult:
    """A row of django-celery-results, columns by name; what an old table lacks is absent."""
    state = row.get("status")
    state = state if isinstance(state, str) else ""
    if row.get("content_type") not in (None, "", "application/json"):
        kind = str(row["content_type"]).removeprefix("application/").removeprefix("x-python-serialize")
        words = f"It is stored as {kind}" if kind else "It is pickled"
        return BackendResult(
            task_id,
            state,
            traceback=_text(row.get("traceback")),
            date_done=read_instant(row.get("date_done")),
            worker=_text(row.get("worker")),
            name=_text(row.get("task_name")),
            problem=f"{words}, which the console does not read",
        )
    result, problem = _column(row.get("result"), binary=row.get("content_encoding") == "binary")
    meta, _ = _column(row.get("meta"), binary=row.get("content_encoding") == "binary")
    known = meta if isinstance(meta, dict) else {}
    return result_of_meta(
        task_id,
        {
            "status": state,
            "result": result,
            "traceback": row.get("traceback"),
            "date_done": row.get("date_done"),
            "worker": row.get("worker"),
            "name": row.get("task_name"),
            "args": _column(row.get("task_args"), binary=False)[0],
            "kwargs": _column(row.get("task_kwargs"), binary=False)[0],
            "children": known.get("children"),
        },
        problem=problem,
    )


def decoded(content: bytes | str) -> Any:
    """JSON as Python values; None when it is none. Large integers and deep nesting raise nothing."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def child_ids(children: Any) -> tuple[str, ...]:
    """Ids in Celery's tuples of results (`as_tuple`): ((id, parent), None), or a group's with its members."""
    found: dict[str, None] = {}
    waiting = list(reversed(children)) if isinstance(children, list) else []
    while waiting and len(found) < MAX_CHILDREN:
        one = waiting.pop()
        if not isinstance(one, list) or len(one) != 2:
            continue
        head, members = one
        if isinstance(members, list):
            waiting.extend(reversed(members))
        elif isinstance(head, list) and head and isinstance(head[0], str):
            found[storable(head[0])] = None
    return tuple(found)


def read_instant(value: Any) -> datetime | None:
    """A stored instant; one without a zone is UTC, as Celery and Django write it by default."""
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if not isinstance(value, datetime):
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except (ValueError, OverflowError):  # the first and the last day there is have no neighbours
        return None


def _column(content: Any, *, binary: bool) -> tuple[Any, str]:
    """A text column's JSON, and why it is not read."""
    if not content:
        return None, ""
    if len(content) > MAX_BYTES:
        return None, "It is larger than 1 MB, too large to show"
    if binary:
        try:
            content = b64decode(content)
        except (binascii.Error, ValueError):
            return None, "It is not JSON as Celery writes it"
    value = decoded(content)
    if value is None and content not in ("null", b"null"):
        return None, "It is not JSON as Celery writes it"
    return value, ""


def _unpacked(kind: str, body: bytes) -> bytes | str:
    """A compressed body, at most `MAX_BYTES` + 1 bytes of it, or why it is not read."""
    if kind != _GZIP:  # kombu's word for zlib, the one way that needs no further library
        return (
            f"It is compressed as {kind.removeprefix('application/x-')[:20]}, which the console does not read"
        )
    try:
        return zlib.decompressobj().decompress(body, MAX_BYTES + 1)
    except zlib.error:
        return "It is compressed and cannot be unpacked"


def _exception(value: Any) -> str | None:
    """Celery stores `{"exc_type": ..., "exc_message": [arguments], "exc_module": ...}`."""
    if not isinstance(value, dict) or not isinstance(value.get("exc_type"), str):
        return _json_text(value)
    given = value.get("exc_message")
    arguments = given if isinstance(given, list) else [] if given is None else [given]
    return storable(f"{value['exc_type']}({', '.join(map(_repr, arguments))})")


def _repr(value: Any) -> str:
    try:
        return repr(value)
    except RecursionError:
        return "…"


def _json_text(value: Any) -> str | None:
    return None if value is None else _json(value)


def _json(value: Any) -> str | None:
    """`value` as JSON; None when it is nested so deeply that it could be read but not written."""
    try:
        return storable(json.dumps(value, ensure_ascii=False))
    except RecursionError:
        return None


def _text(value: Any) -> str | None:
    return storable(value) if isinstance(value, str) and value else None
