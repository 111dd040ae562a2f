"""Workers in memory that answer remote control as real ones do."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
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
    """One node. Sizes, queues, limits and events can be changed by commands, as in a real worker.

    `stubborn` takes commands and does nothing; `unlisted` are methods whose answers JSON cannot express.
    """

    pool: str = "prefork"
    places: int = 2
    queues: list[str] = field(default_factory=lambda: ["celery"])
    events: bool = False
    pid: int = 100
    registered: list[str] = field(default_factory=lambda: ["shop.add [rate_limit=10/s]", "shop.wait_for"])
    autoscale: tuple[int, int] | None = None
    restarts: bool = False
    held: dict[str, list[object]] = field(default_factory=dict)
    unlisted: tuple[str, ...] = ()
    mute: bool = False
    stubborn: bool = False
    gone: bool = False

    def answer(self, method: str, arguments: Mapping[str, object]) -> object:
        match method:
            case "ping":
                return {"ok": "pong"}
            case "stats":
                return self._stats()
            case "active_queues":
                return [{"name": name} for name in self.queues]
            case "conf":
                restarts = {"worker_pool_restarts": True} if self.restarts else {}
                return {
                    "broker_url": "redis://:********@h/0",
                    "worker_send_task_events": False,
                    **restarts,
                }
            case "registered":
                return list(self.registered)
            case "active" | "reserved" | "scheduled" | "revoked":
                return self.held.get(method, [])
            case _:
                return self._obey(method, arguments)

    def _stats(self) -> dict[str, object]:
        module = "thread" if self.pool == "threads" else self.pool
        first = self.pid + 1
        processes = (
            {"processes": list(range(first, first + self.places))} if self.pool in ("prefork", "solo") else {}
        )
        scaler = (
            {}
            if self.autoscale is None
            else {"autoscaler": {"min": self.autoscale[0], "max": self.autoscale[1]}}
        )
        return {
            "total": {"shop.add": 3, "shop.wait_for": 1},
            "pid": self.pid,
            "clock": "77",
            "uptime": 60,
            "prefetch_count": 8,
            "rusage": {"utime": 1.5, "stime": 0.5, "maxrss": 65536},
            "broker": {"transport": "redis", "hostname": "h", "port": 6379, "virtual_host": "0"},
            "pool": {
                "implementation": f"celery.concurrency.{module}:TaskPool",
                "max-concurrency": self.places,
                **processes,
            },
            **scaler,
        }

    def _obey(self, method: str, arguments: Mapping[str, object]) -> object:
        if self.stubborn:
            return {"ok": "taken"}
        match method:
            case "pool_grow" | "pool_shrink":
                by = arguments["n"]
                assert isinstance(by, int)
                return self._resize(by if method == "pool_grow" else -by)
            case "autoscale":
                if self.autoscale is None:
                    return {"error": "ValueError('Autoscale not enabled')"}
                low, high = arguments["min"], arguments["max"]
                assert isinstance(low, int)
                assert isinstance(high, int)
                self.autoscale = (low, high)
                return {"ok": f"autoscale now max={high} min={low}"}
            case "pool_restart":
                if not self.restarts:
                    return {"error": "ValueError('Pool restarts not enabled')"}
                self.pid += 1000
                return {"ok": "reload started"}
            case "add_consumer":
                self.queues = sorted({*self.queues, str(arguments["queue"])})
                return {"ok": f"add consumer {arguments['queue']}"}
            case "cancel_consumer":
                self.queues = [name for name in self.queues if name != arguments["queue"]]
                return {"ok": f"no longer consuming from {arguments['queue']}"}
            case "rate_limit":
                limit = f"rate_limit={arguments['rate_limit']}"
                return self._limit(str(arguments["task_name"]), limit)
            case "time_limit":
                limits = [
                    f"{key}={arguments[word]}"
                    for key, word in (("time_limit", "hard"), ("soft_time_limit", "soft"))
                    if arguments[word] is not None
                ]
                return self._limit(str(arguments["task_name"]), " ".join(limits))
            case "enable_events":
                already, self.events = self.events, True
                return {"ok": f"task events {'already ' if already else ''}enabled"}
            case _:
                return {"error": f"KeyError('{method}')"}

    def _limit(self, task: str, options: str) -> object:
        names = [entry.split(" [")[0] for entry in self.registered]
        if task not in names:
            return {"error": "unknown task"}
        self.registered[names.index(task)] = f"{task} [{options}]" if options else task
        return {"ok": "set successfully"}

    def _resize(self, by: int) -> object:
        if self.pool in ("solo", "threads"):
            return {"error": "AttributeError(\"'TaskPool' object has no attribute 'grow'\")"}
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
                    name: Reply(name, node.answer(request.method, request.arguments), timeout_s / 1000)
                    for name, node in self.nodes.items()
                    if self._hears(name, node, request) and request.method not in node.unlisted
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


class FakeDismissals:
    """`Dismissals` in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, datetime] = {}
        self.error: ConsoleError | None = None

    def read(self) -> dict[str, datetime]:
        return dict(self.kept)

    def write(self, dismissed: Mapping[str, datetime]) -> None:
        if self.error is not None:
            raise self.error
        self.kept = dict(dismissed)


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
    offset_s: float | None = 0.012,
) -> WorkerSeen:
    load = (0.5, 0.4, 0.3)
    return WorkerSeen(
        hostname, online, at, interval_s, active, processed, load, pid, "py-celery 5.7.0", offset_s
    )


def summary(
    *workers: WorkerSeen, state: CollectorState = CollectorState.READING, change: int = 1
) -> CollectorSummary:
    return CollectorSummary(state, change, 0, 0.0, None, 0, {}, workers)
