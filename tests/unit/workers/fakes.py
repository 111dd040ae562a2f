"""Workers in memory that answer remote control as real ones do."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase

from console.core.activity import ActivityEntry, Outcome
from console.core.errors import Cause, ConsoleError
from console.history.model import CollectorState, CollectorSummary, WorkerSeen
from console.workers.model import BEAT_PREFIX, Replies, Reply, Request
from console.workers.task_history import SeenInHistory


@dataclass
class FakeWorker:
    """One node. Sizes, queues and events can be changed by commands, as in a real worker."""

    pool: str = "prefork"
    places: int = 2
    queues: list[str] = field(default_factory=lambda: ["celery"])
    events: bool = False
    pid: int = 100
    registered: list[str] = field(default_factory=lambda: ["shop.add [rate_limit=10/s]", "shop.wait_for"])
    mute: bool = False
    stubborn: bool = False
    gone: bool = False

    def answer(self, method: str) -> object:
        match method:
            case "ping":
                return {"ok": "pong"}
            case "stats":
                module = "thread" if self.pool == "threads" else self.pool
                processes = (
                    {"processes": list(range(self.places))} if self.pool in ("prefork", "solo") else {}
                )
                return {
                    "total": {"shop.add": 3, "shop.wait_for": 1},
                    "pid": self.pid,
                    "uptime": 60,
                    "prefetch_count": 8,
                    "pool": {
                        "implementation": f"celery.concurrency.{module}:TaskPool",
                        "max-concurrency": self.places,
                        **processes,
                    },
                }
            case "active_queues":
                return [{"name": name} for name in self.queues]
            case "conf":
                return {"broker_url": "redis://:********@h/0", "worker_send_task_events": False}
            case "registered":
                return list(self.registered)
            case "active" | "reserved" | "scheduled" | "revoked":
                return []
            case "pool_grow" | "pool_shrink":
                return self._resize(1 if method == "pool_grow" else -1)
            case "enable_events":
                already, self.events = self.events, True
                return {"ok": f"task events {'already ' if already else ''}enabled"}
            case _:
                return {"error": f"KeyError('{method}')"}

    def _resize(self, by: int) -> object:
        if self.pool in ("solo", "threads"):
            return {"error": "AttributeError(\"'TaskPool' object has no attribute 'grow'\")"}
        if not self.stubborn:
            self.places += by
        return {"ok": "pool will grow" if by > 0 else "pool will shrink"}


class FakeControl:
    """`Control` over `FakeWorker`s; nodes named celerybeat@… answer a ping only."""

    def __init__(self, **workers: FakeWorker) -> None:
        self.nodes: dict[str, FakeWorker] = {name.replace("_", "@"): one for name, one in workers.items()}
        self.asked: list[tuple[Request, ...]] = []
        self.error: ConsoleError | None = None
        self.closed = False
        self.malformed = 0
        self._lock = threading.Lock()

    def ask(self, requests: Sequence[Request], *, timeout_s: float = 1.0) -> Replies:
        with self._lock:
            if self.error is not None:
                raise self.error
            self.asked.append(tuple(requests))
            answers = tuple(
                {
                    name: Reply(name, node.answer(request.method), timeout_s / 1000)
                    for name, node in self.nodes.items()
                    if self._hears(name, node, request)
                }
                for request in requests
            )
            return Replies(answers, self.malformed)

    def leave(self) -> None:
        """Nobody is waited for here."""

    def tell(self, request: Request) -> None:
        for name, node in self.nodes.items():
            if request.method == "shutdown" and self._hears(name, node, request) and not node.stubborn:
                node.gone = True

    def close(self) -> None:
        self.closed = True

    def methods(self) -> list[str]:
        """All methods asked so far."""
        return [request.method for requests in self.asked for request in requests]

    def _hears(self, name: str, node: FakeWorker, request: Request) -> bool:
        if node.mute or node.gone or (name.startswith(BEAT_PREFIX) and request.method != "ping"):
            return False
        if request.destination is not None:
            return name in request.destination
        return request.pattern is None or fnmatchcase(name, request.pattern)


class FakeWorkerHistory:
    """`WorkerHistory` that says what the test put in; nothing put in is no history."""

    def __init__(self) -> None:
        self.failed: dict[str, int] | None = None
        self.heard: set[str] = set()

    def seen(self, workers: Sequence[str], *, since: datetime) -> SeenInHistory:
        assert since.tzinfo is not None
        if self.failed is None:
            raise ConsoleError("There is no task history yet", cause=Cause.NOT_FOUND)
        return SeenInHistory(self.failed, frozenset(self.heard) & frozenset(workers))


class FakeActivity:
    """An activity log in a list."""

    def __init__(self) -> None:
        self.entries: list[ActivityEntry] = []
        self.outcomes: list[tuple[Outcome, str]] = []

    async def begin(self, entry: ActivityEntry) -> int:
        self.entries.append(entry)
        return len(self.entries)

    async def finish(self, number: int, outcome: Outcome, said: str) -> None:
        assert number == len(self.entries)
        self.outcomes.append((outcome, said))


def seen(
    hostname: str,
    at: datetime,
    *,
    online: bool = True,
    interval_s: float = 2.0,
    active: int | None = 0,
    pid: int = 100,
    processed: int = 7,
) -> WorkerSeen:
    return WorkerSeen(
        hostname, online, at, interval_s, active, processed, (0.5, 0.4, 0.3), pid, "py-celery 5.7.0"
    )


def summary(
    *workers: WorkerSeen, state: CollectorState = CollectorState.READING, change: int = 1
) -> CollectorSummary:
    return CollectorSummary(state, change, 0, 0.0, None, 0, {}, workers)
