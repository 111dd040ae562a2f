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
from console.workers.model import Inspected, Tab, TaskInfo

TEXT_LIMIT = 2000
ROWS_LIMIT = 5000
DEFAULT_QUEUE = "celery"
DEFAULT_MULTIPLIER = 4
"""celery.app.defaults: worker_prefetch_multiplier."""
MOST_KIB = 32 * 1024 * 1024
MOST_SECONDS = 1e11


def with_stats(before: Inspected, value: object) -> Inspected:
    """`before` with what a `stats` reply says."""
    stats = _object(value)
    pool = _object(stats.get("pool"))
    scaler = _object(stats.get("autoscaler"))
    low, high = _number(scaler.get("min")), _number(scaler.get("max"))
    totals = [number for number in map(_number, _object(stats.get("total")).values()) if number is not None]
    return replace(
        before,
        pool=_pool_word(pool.get("implementation")),
        concurrency=_places(pool),
        processes=tuple(pid for pid in map(_number, _list(pool.get("processes"))) if pid is not None),
        autoscale=(low, high) if low is not None and high is not None else None,
        processed=sum(totals) if isinstance(stats.get("total"), dict) else None,
        pid=_number(stats.get("pid")),
        uptime_s=_seconds(stats.get("uptime")),
        prefetch=_number(stats.get("prefetch_count")),
        cpu_s=_cpu_s(_object(stats.get("rusage"))),
        memory_bytes=_memory_bytes(_object(stats.get("rusage"))),
        logical_clock=_clock(stats.get("clock")),
        broker=_broker(_object(stats.get("broker"))),
    )


def with_queues(before: Inspected, value: object) -> Inspected:
    """`before` with what an `active_queues` reply says."""
    if not isinstance(value, list):
        return before
    names = [_object(queue).get("name") for queue in value]
    return replace(before, queues=tuple(sorted({name for name in names if isinstance(name, str)})))


def with_settings(before: Inspected, value: object) -> Inspected:
    """`before` with what a `conf` reply (without defaults) says.

    The setting of task events proves only that they are on: a worker started with `-E`, or told to send
    them, does so without it. What else is known (`before`) therefore stays.
    """
    if not isinstance(value, dict):
        return before
    settings = _object(value)
    events = _setting(settings, "worker_send_task_events", "CELERY_SEND_EVENTS")
    multiplier = _setting(settings, "worker_prefetch_multiplier", "CELERYD_PREFETCH_MULTIPLIER")
    queue = _setting(settings, "task_default_queue", "CELERY_DEFAULT_QUEUE")
    return replace(
        before,
        task_events=True if events is True else before.task_events,
        pool_restarts=_setting(settings, "worker_pool_restarts", "CELERYD_POOL_RESTARTS") is True,
        multiplier=DEFAULT_MULTIPLIER if multiplier is None else _number(multiplier),
        default_queue=queue if isinstance(queue, str) and queue else DEFAULT_QUEUE,
    )


def with_registered(before: Inspected, value: object) -> Inspected:
    """`before` with what a `registered` reply says."""
    if not isinstance(value, list):
        return before
    tasks = {info.name: info for info in map(task_info, value) if info is not None}
    return replace(before, registered=tuple(tasks[name] for name in sorted(tasks)))


def task_info(entry: object) -> TaskInfo | None:
    """One entry of a `registered` reply: a name, then its options in brackets ("a.b [rate_limit=10/s]")."""
    if not isinstance(entry, str):
        return None
    name, _, options = entry.partition(" [")
    said = dict(part.split("=", 1) for part in options.removesuffix("]").split(" ") if "=" in part)
    return TaskInfo(
        name,
        said.get("rate_limit", ""),
        _seconds_of_text(said.get("soft_time_limit")),
        _seconds_of_text(said.get("time_limit")),
    )


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


def _statistics_of(value: object) -> Iterator[tuple[str, ...]]:
    """What the worker has processed comes first: it is what people look for."""
    stats = dict(_object(value))
    for name, count in sorted(_object(stats.pop("total", None)).items()):
        yield f"processed › {name}", _text(count)
    yield from _statistics(stats)


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
    Tab.STATISTICS: _statistics_of,
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


def _cpu_s(rusage: dict[str, Any]) -> tuple[float, float] | None:
    user_s, system_s = _seconds(rusage.get("utime")), _seconds(rusage.get("stime"))
    return (user_s, system_s) if user_s is not None and system_s is not None else None


def _memory_bytes(rusage: dict[str, Any]) -> int | None:
    """`maxrss` is in KiB on Linux and in bytes on macOS, and nothing in the reply says which.

    No worker's main process has 32 GiB, and none on macOS less than 32 MiB.
    """
    most = _number(rusage.get("maxrss"))
    if most is None or most <= 0:
        return None
    return most if most >= MOST_KIB else most * 1024


def _clock(value: object) -> int | None:
    """Celery says it as a text."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    return _number(value)


def _broker(broker: dict[str, Any]) -> str:
    transport, host = broker.get("transport"), broker.get("hostname")
    if not isinstance(transport, str) or not isinstance(host, str):
        return ""
    port, place = broker.get("port"), broker.get("virtual_host")
    end = f":{port}" if isinstance(port, int) and not isinstance(port, bool) else ""
    tail = f"/{place.removeprefix('/')}" if isinstance(place, str) else ""
    return redact(f"{transport}://{host}{end}{tail}")[:TEXT_LIMIT]


def _setting(settings: dict[str, Any], name: str, old_name: str) -> object:
    """By its name, by that of celery 3, or by the one that Django's settings give it behind a namespace."""
    for known in (name, old_name):
        if known in settings:
            return settings[known]
    ending = f"_{name.upper()}"
    return next((value for key, value in settings.items() if str(key).endswith(ending)), None)


def _seconds(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        seconds = float(value)
    except OverflowError:
        return None
    return seconds if 0 <= seconds < MOST_SECONDS else None


def _seconds_of_text(text: str | None) -> float | None:
    try:
        return None if text is None else _seconds(float(text))
    except ValueError:
        return None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


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
