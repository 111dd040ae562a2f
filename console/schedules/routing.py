"""Which queue a run started by hand goes to, when its row names none: the way a project's own beat would.

Stands apart because beat routes with the project's settings, which the console only knows from what a
worker tells of them. Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from console.schedules.model import WorkerSettings


def queue_for(task: str, settings: WorkerSettings) -> str:
    """The queue of the first route that names `task` (exactly, then by pattern), else the default queue."""
    for pattern, queue in settings.routes:
        if pattern == task:
            return queue
    for pattern, queue in settings.routes:
        if fnmatchcase(task, pattern):
            return queue
    return settings.default_queue


def settings_from_conf(conf: Mapping[str, Any]) -> WorkerSettings:
    """`inspect conf` of a worker as `WorkerSettings`; what is not plain data in it is left out."""
    default = conf.get("task_default_queue")
    beat_schedule = conf.get("beat_schedule")
    return WorkerSettings(
        default_queue=default if isinstance(default, str) and default else "celery",
        routes=tuple(_routes(conf.get("task_routes"))),
        code_schedules=frozenset(map(str, beat_schedule))
        if isinstance(beat_schedule, Mapping)
        else frozenset(),
    )


def _routes(routes: Any) -> list[tuple[str, str]]:
    if isinstance(routes, Mapping):
        routes = list(routes.items())
    if not isinstance(routes, Sequence) or isinstance(routes, str):
        return []
    found: list[tuple[str, str]] = []
    for entry in routes:
        if isinstance(entry, Mapping):
            found += _routes(entry)
        elif isinstance(entry, Sequence) and not isinstance(entry, str) and len(entry) == 2:
            pattern, target = entry
            queue = target.get("queue") if isinstance(target, Mapping) else target
            if isinstance(pattern, str) and isinstance(queue, str):
                found.append((pattern, queue))
    return found
