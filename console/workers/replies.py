"""Reading what workers answer. Every answer comes from a network: a wrong type is "unknown", never an error.

Shapes: celery.worker.control (commands), celery.worker.worker.WorkController.stats, the pools' `_get_info`,
celery.worker.request.Request.info.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from console.core.redaction import redact
from console.workers.model import Inspected, Tab

TEXT_LIMIT = 2000
ROWS_LIMIT = 5000


def with_stats(before: Inspected, value: object) -> Inspected:
    """`before` with what a `stats` reply says."""
    stats = _object(value)
    pool = _object(stats.get("pool"))
    scaler = _object(stats.get("autoscaler"))
    low, high = _number(scaler.get("min")), _number(scaler.get("max"))
    totals = [number for number in map(_number, _object(stats.get("total")).values()) if number is not None]
    uptime = stats.get("uptime")
    return replace(
        before,
        pool=_pool_word(pool.get("implementation")),
        concurrency=_places(pool),
        autoscale=(low, high) if low is not None and high is not None else None,
        processed=sum(totals) if isinstance(stats.get("total"), dict) else None,
        pid=_number(stats.get("pid")),
        uptime_s=float(uptime) if isinstance(uptime, int | float) else None,
        prefetch=_number(stats.get("prefetch_count")),
    )


def with_queues(before: Inspected, value: object) -> Inspected:
    """`before` with what an `active_queues` reply says."""
    if not isinstance(value, list):
        return before
    names = [_object(queue).get("name") for queue in value]
    return replace(before, queues=tuple(sorted({name for name in names if isinstance(name, str)})))


def with_settings(before: Inspected, value: object) -> Inspected:
    """`before` with what a `conf` reply says.

    The setting proves only that events are on: a worker started with `-E`, or told to send them, does
    so without it. What else is known (`before`) therefore stays.
    """
    setting = _object(value).get(
        "worker_send_task_events", _object(value).get("CELERY_WORKER_SEND_TASK_EVENTS")
    )
    return replace(before, task_events=True) if setting is True else before


def with_registered(before: Inspected, value: object) -> Inspected:
    """`before` with what a `registered` reply says: names only, without the options in brackets."""
    if not isinstance(value, list):
        return before
    names = {name.split(" [", 1)[0] for name in value if isinstance(name, str)}
    return replace(before, registered=tuple(sorted(names)))


def listing_rows(tab: Tab, value: object) -> tuple[tuple[str, ...], ...]:
    """The rows of a tab from its reply; at most 5,000."""
    return tuple(row for _, row in zip(range(ROWS_LIMIT), _LISTINGS[tab](value), strict=False))


def _active(value: object) -> Iterator[tuple[str, ...]]:
    for request in _items(value):
        yield (*_request(request), _started(request.get("time_start")), _text(request.get("worker_pid")))


def _reserved(value: object) -> Iterator[tuple[str, ...]]:
    for request in _items(value):
        delivery = _object(request.get("delivery_info"))
        yield (*_request(request), _text(delivery.get("routing_key")), _text(delivery.get("priority")))


def _scheduled(value: object) -> Iterator[tuple[str, ...]]:
    for entry in sorted(_items(value), key=lambda item: str(item.get("eta"))):
        request = _object(entry.get("request"))
        delivery = _object(request.get("delivery_info"))
        yield (*_request(request), _text(entry.get("eta")), _text(delivery.get("routing_key")))


def _revoked(value: object) -> Iterator[tuple[str, ...]]:
    for task_id in value if isinstance(value, list) else ():
        if isinstance(task_id, str):
            yield (task_id,)


def _registered(value: object) -> Iterator[tuple[str, ...]]:
    for entry in value if isinstance(value, list) else ():
        if isinstance(entry, str):
            name, _, options = entry.partition(" [")
            yield name, options.removesuffix("]")


def _settings(value: object) -> Iterator[tuple[str, ...]]:
    for key, setting in sorted(_object(value).items()):
        yield str(key), redact(_text(setting))


def _statistics(value: object, path: str = "", depth: int = 0) -> Iterator[tuple[str, ...]]:
    for key, item in _object(value).items():
        name = f"{path}{key}"
        if isinstance(item, dict) and item and depth < 4:
            yield from _statistics(item, f"{name} › ", depth + 1)
        else:
            yield name, redact(_text(item))


_LISTINGS = {
    Tab.ACTIVE: _active,
    Tab.RESERVED: _reserved,
    Tab.SCHEDULED: _scheduled,
    Tab.REVOKED: _revoked,
    Tab.REGISTERED: _registered,
    Tab.SETTINGS: _settings,
    Tab.STATISTICS: _statistics,
}


def _request(request: dict[str, Any]) -> tuple[str, str, str]:
    """Task, id and arguments of a request; the arguments are display text or plain JSON data."""
    args, kwargs = _text(request.get("args")), _text(request.get("kwargs"))
    shown = " ".join(text for text in (args, kwargs) if text not in ("", "[]", "()", "{}", "–"))
    return _text(request.get("name")), _text(request.get("id")), shown or "()"


def _started(value: object) -> str:
    """When a task started. Celery gives seconds since the epoch on the worker's clock."""
    if not isinstance(value, int | float) or isinstance(value, bool) or value < 1e9:
        return "–"
    try:
        return datetime.fromtimestamp(value, UTC).isoformat()
    except (OverflowError, OSError, ValueError):
        return "–"


def _places(pool: dict[str, Any]) -> int | None:
    """How many tasks run at once. Prefork's `max-concurrency` stays what it started with."""
    processes = pool.get("processes")
    if isinstance(processes, list) and processes:
        return len(processes)
    return _number(pool.get("max-concurrency"))


def _pool_word(implementation: object) -> str | None:
    """`celery.concurrency.prefork:TaskPool` is prefork; a pool of somebody's own keeps its whole name."""
    if not isinstance(implementation, str) or not implementation:
        return None
    module = implementation.split(":")[0]
    if not module.startswith("celery.concurrency."):
        return implementation
    word = module.removeprefix("celery.concurrency.")
    return "threads" if word == "thread" else word


def _items(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text(value: object) -> str:
    if value is None:
        return "–"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= TEXT_LIMIT else text[: TEXT_LIMIT - 1] + "…"
