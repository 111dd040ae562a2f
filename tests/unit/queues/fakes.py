"""A broker's queues in memory, and messages as Celery writes them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from console.core.errors import ConsoleError
from console.queues.messages import Message, decode_message, message_head
from console.queues.model import PRIORITY_STEPS, DepthQuestion, Depths, Discovery, Head, Unacked, buckets_of
from console.queues.sent_history import NewlySent


class FakeClock:
    """Time that moves when the test says so."""

    def __init__(self) -> None:
        self.at = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
        self.passed_s = 1000.0

    def now(self) -> datetime:
        return self.at

    def monotonic_s(self) -> float:
        return self.passed_s

    def pass_s(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        self.passed_s += seconds


def envelope(
    task: str = "shop.send_invoice",
    task_id: str = "4b86b8bd-54f0-41c1-8a77-000000018794",
    *,
    args: Any = (88409,),
    kwargs: Any = None,
    queue: str = "mail",
    tag: str = "tag-1",
    priority: int | None = 0,
    **headers: Any,
) -> bytes:
    """One message of protocol 2 as kombu stores it in Redis."""
    embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    body = json.dumps([list(args), kwargs or {}, embed]).encode()
    return json.dumps(
        {
            "body": base64.b64encode(body).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {"lang": "py", "task": task, "id": task_id, "retries": 0, **headers},
            "properties": {
                "correlation_id": task_id,
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": queue},
                "priority": priority,
                "body_encoding": "base64",
                "delivery_tag": tag,
            },
        }
    ).encode()


class FakeHistory:
    """`SentHistory` over a list: one entry (queue, task id, instant) per message sent with an event."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, datetime]] = []
        self.error: ConsoleError | None = None

    def newly_sent(self, after_row: int | None, queues: Sequence[str]) -> NewlySent:
        if self.error is not None:
            raise self.error
        counted: dict[str, int] = {}
        for queue, _, _ in self.rows[len(self.rows) if after_row is None else after_row :]:
            counted[queue] = counted.get(queue, 0) + 1
        return NewlySent(len(self.rows), counted, frozenset(row[0] for row in self.rows) & frozenset(queues))

    def sent_at(self, ids: Sequence[str]) -> dict[str, datetime]:
        if self.error is not None:
            raise self.error
        return {task_id: at for _, task_id, at in self.rows if task_id in ids}

    def queue_names(self) -> frozenset[str]:
        if self.error is not None:
            raise self.error
        return frozenset(queue for queue, _, _ in self.rows)

    def oldest_waiting(self, ready: Mapping[str, int]) -> dict[str, datetime]:
        if self.error is not None:
            raise self.error
        found = {}
        for queue, count in ready.items():
            sent = sorted(at for name, _, at in self.rows if name == queue)
            if len(sent) >= count > 0:
                found[queue] = sent[-count]
        return found


class FakeQueues:
    """`Queues` over lists: index -1 of a bucket is served next, as in Redis."""

    messages_refusal = ""
    tells_missing = False

    def __init__(self) -> None:
        self.note = ""
        self.lists: dict[str, list[bytes]] = {}
        self.held: list[tuple[str, str]] = []
        self.bindings: dict[tuple[str, str], frozenset[str]] = {}
        self.questions: list[DepthQuestion] = []
        self.discoveries = 0
        self.error: ConsoleError | None = None

    def put(self, queue: str, raw: bytes, *, step: int = 0) -> None:
        bucket = buckets_of(queue)[PRIORITY_STEPS.index(step)]
        self.lists.setdefault(bucket, []).insert(0, raw)

    def hold(self, _raw: bytes, /, exchange: str, routing_key: str) -> None:
        self.held.append((exchange, routing_key))

    def bind(self, exchange: str, routing_key: str, queue: str) -> None:
        key = (exchange, routing_key)
        self.bindings[key] = self.bindings.get(key, frozenset()) | {queue}

    def discover(self, cursor: int = 0) -> Discovery:
        self._fail()
        assert cursor == 0, "one call finds everything here"
        self.discoveries += 1
        return Discovery(
            frozenset(queue for queues in self.bindings.values() for queue in queues), dict(self.bindings), 0
        )

    def depths(self, question: DepthQuestion) -> Depths:
        self._fail()
        self.questions.append(question)
        ready = {
            bucket: len(self.lists[bucket])
            for queue in question.queues
            for bucket in buckets_of(queue)
            if self.lists.get(bucket)
        }
        heads = tuple(Head(bucket, *message_head(self.lists[bucket][-1])) for bucket in sorted(ready))
        counts: dict[str, int] = {}
        complete = True
        for exchange, routing_key in self.held:
            owners = {routing_key} if not exchange else question.bindings.get((exchange, routing_key), set())
            if len(owners) == 1:
                owner = next(iter(owners))
                counts[owner] = counts.get(owner, 0) + 1
            else:
                complete = False
        return Depths(
            ready, Unacked(len(self.held), counts, complete), heads if question.heads else (), note=self.note
        )

    def peek(self, queue: str, *, count: int = 100) -> tuple[tuple[Message, ...], int]:
        self._fail()
        waiting = [
            (step, raw)
            for step, bucket in zip(PRIORITY_STEPS, buckets_of(queue), strict=True)
            for raw in reversed(self.lists.get(bucket, []))
        ]
        return tuple(
            decode_message(raw, position=position, bucket=step)
            for position, (step, raw) in enumerate(waiting[:count], start=1)
        ), len(waiting)

    def close(self) -> None:
        """Nothing is open."""

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error
