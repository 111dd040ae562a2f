"""Queues of a Redis broker, read with the fewest commands; nothing here takes or changes a message.

Keys and shapes are those of kombu's Redis transport (kombu.transport.redis): a queue is one list per
priority step, unacknowledged messages of all queues are one hash, bindings are one set per exchange.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import redis

from console.broker.address import BrokerAddress
from console.broker.errors import broker_errors
from console.core.errors import Cause, ConsoleError
from console.queues.messages import LARGE_BYTES, Message, decode_message, message_head
from console.queues.model import (
    PRIORITY_STEPS,
    SEPARATOR,
    DepthQuestion,
    Depths,
    Discovery,
    Head,
    Unacked,
    buckets_of,
    is_task_exchange,
    is_task_queue,
)

BINDING_KEY = "_kombu.binding."
PEEK_BYTES = 8 * 1024 * 1024
PEEK_CHUNK = 25
UNACKED_MESSAGES = 2000
UNACKED_BYTES = 4 * 1024 * 1024
SCAN_COUNT = 1000
SCAN_CALLS = 20
_TAIL = re.compile(rb'"((?:[^"\\]|\\.)*)", "((?:[^"\\]|\\.)*)"\]\s*$')


class RedisQueues:
    """`Queues` over Redis. `client` is called inside each job, so that nothing connects early."""

    messages_refusal = ""
    tells_missing = False

    def __init__(
        self,
        client: Callable[[], redis.Redis],
        address: BrokerAddress,
        *,
        steps: tuple[int, ...] = PRIORITY_STEPS,
        unacked_key: str = "unacked",
    ) -> None:
        self._client = client
        self._address = address
        self._prefix = address.key_prefix
        self._steps = steps
        self._unacked_key = f"{self._prefix}{unacked_key}"
        self._large_heads: dict[str, tuple[int, Head]] = {}

    def discover(self, cursor: int = 0) -> Discovery:
        head = f"{self._prefix}{BINDING_KEY}"
        exchanges: list[str] = []
        with broker_errors(self._address):
            client = self._client()
            for _ in range(SCAN_CALLS):
                found: Any = client.scan(cursor, match=f"{_escaped(head)}*", count=SCAN_COUNT)
                cursor = int(found[0])
                exchanges += [key.decode("utf-8", "replace").removeprefix(head) for key in found[1]]
                if cursor == 0:
                    break
            wanted = sorted({name for name in exchanges if is_task_exchange(name)})
            pipe = client.pipeline(transaction=False)
            for exchange in wanted:
                pipe.smembers(f"{head}{exchange}")
            tables: list[Any] = _answers(pipe) if wanted else []
        bindings: dict[tuple[str, str], set[str]] = {}
        for exchange, members in zip(wanted, tables, strict=True):
            for routing_key, queue in _bound(members):
                bindings.setdefault((exchange, routing_key), set()).add(queue)
        return Discovery(
            queues=frozenset(queue for queues in bindings.values() for queue in queues),
            bindings={key: frozenset(queues) for key, queues in bindings.items()},
            cursor=cursor,
        )

    def depths(self, question: DepthQuestion) -> Depths:
        keys = [bucket for queue in question.queues for bucket in buckets_of(queue, self._steps)]
        filled = [key for key in keys if key in question.filled]
        others = [key for key in keys if key not in question.filled]
        with broker_errors(self._address):
            client = self._client()
            pipe = client.pipeline(transaction=False)
            if others:
                pipe.exists(*(self._prefix + key for key in others))
            for key in filled:
                pipe.llen(self._prefix + key)
            pipe.hlen(self._unacked_key)
            # A key of another type (somebody's own hash named like a queue) must not hide the rest.
            answers: list[Any] = _answers(pipe)
            held = answers.pop()
            newly_filled = _count(answers.pop(0)) if others else 0
            lengths = dict(zip(filled, answers, strict=True))
            if newly_filled:
                pipe = client.pipeline(transaction=False)
                for key in others:
                    pipe.llen(self._prefix + key)
                lengths |= dict(zip(others, _answers(pipe), strict=True))
            foreign = frozenset(key for key, length in lengths.items() if _is_of_another_type(length))
            ready = {key: _count(length) for key, length in lengths.items() if _count(length)}
            heads = self._heads(client, ready) if question.heads else ()
            unacked = None if _is_of_another_type(held) else self._unacked(client, _count(held), question)
        return Depths(ready=ready, unacked=unacked, heads=heads, foreign=foreign)

    def _heads(self, client: redis.Redis, ready: Mapping[str, int]) -> tuple[Head, ...]:
        """The next message of each bucket. A large one is not fetched again while the depth is the same."""
        large = {key: kept for key, kept in self._large_heads.items() if ready.get(key) == kept[0]}
        buckets = sorted(ready.keys() - large)
        pipe = client.pipeline(transaction=False)
        for bucket in buckets:
            pipe.lindex(self._prefix + bucket, -1)
        raws: list[Any] = _answers(pipe) if buckets else []
        heads = [head for _, head in large.values()]
        for bucket, raw in zip(buckets, raws, strict=True):
            if isinstance(raw, bytes):
                heads.append(Head(bucket, *message_head(raw)))
                if len(raw) > LARGE_BYTES:
                    large[bucket] = (ready[bucket], heads[-1])
        self._large_heads = large
        return tuple(heads)

    def _unacked(self, client: redis.Redis, total: int, question: DepthQuestion) -> Unacked:
        before = question.unacked_before
        if total == 0:
            return Unacked(0, {}, complete=True)
        if before is not None and before.total == total and not question.unacked:
            return before
        counts: dict[str, int] = {}
        seen = seen_bytes = cursor = 0
        complete = True
        while True:
            page: Any = client.hscan(self._unacked_key, cursor, count=200)
            cursor = int(page[0])
            for value in page[1].values():
                seen += 1
                seen_bytes += len(value)
                owners = _owners(value, question.bindings)
                if len(owners) != 1:
                    complete = False
                    continue
                counts[owners[0]] = counts.get(owners[0], 0) + 1
            if cursor == 0:
                return Unacked(total, counts, complete)
            if seen >= UNACKED_MESSAGES or seen_bytes >= UNACKED_BYTES:
                return Unacked(total, counts, complete=False)

    def close(self) -> None:
        """The client is the session's."""

    def peek(self, queue: str, *, count: int = 100) -> tuple[tuple[Message, ...], int]:
        with broker_errors(self._address):
            client = self._client()
            buckets = buckets_of(queue, self._steps)
            pipe = client.pipeline(transaction=False)
            for bucket in buckets:
                pipe.llen(self._prefix + bucket)
            lengths: list[Any] = _answers(pipe)
            if any(map(_is_of_another_type, lengths)):
                raise ConsoleError(
                    f"{queue} is not a queue",
                    detail="The key of that name holds something else than a list of messages.",
                    remedy="Look at it with redis-cli TYPE; workers cannot consume it either.",
                    cause=Cause.INVALID,
                )
            depths = [_count(answer) for answer in lengths]
            raws: list[tuple[int, bytes]] = []
            room = PEEK_BYTES
            for step, bucket, depth in zip(self._steps, buckets, depths, strict=True):
                if depth and room > 0 and len(raws) < count:
                    part = self._next_of(client, bucket, min(depth, count - len(raws)), room)
                    room -= sum(map(len, part))
                    raws += [(step, raw) for raw in part]
        messages = tuple(
            decode_message(raw, position=position, bucket=step)
            for position, (step, raw) in enumerate(raws, start=1)
        )
        return messages, sum(depths)

    def _next_of(self, client: redis.Redis, bucket: str, count: int, room_bytes: int) -> list[bytes]:
        """The `count` messages served next; read in small parts, because one message may be huge."""
        taken: list[bytes] = []
        known: set[bytes] = set()  # the list moves while it is read: the same message may come twice
        for start in range(0, count, PEEK_CHUNK):
            stop = min(start + PEEK_CHUNK, count)
            part: Any = client.lrange(self._prefix + bucket, -stop, -start - 1)
            fresh = [raw for raw in reversed(part) if raw not in known]
            taken += fresh
            known.update(fresh)
            if not part or sum(map(len, taken)) >= room_bytes:
                break
        return taken


def _answers(pipe: Any) -> list[Any]:
    """What the commands gave. A key of another type is one of the answers; any other error is raised.

    Swallowed, a right that is missing or a broker that still loads would be a depth of 0.
    """
    answers: list[Any] = pipe.execute(raise_on_error=False)
    for answer in answers:
        if isinstance(answer, Exception) and not _is_of_another_type(answer):
            raise answer
    return answers


def _count(answer: Any) -> int:
    return answer if isinstance(answer, int) else 0


def _is_of_another_type(answer: Any) -> bool:
    """Whether Redis refused, because the key is not of the type that kombu makes."""
    return isinstance(answer, redis.ResponseError) and str(answer).startswith("WRONGTYPE")


def _escaped(text: str) -> str:
    """`text` as a literal part of a Redis glob."""
    return re.sub(r"([*?\[\]\\^])", r"\\\1", text)


def _bound(members: Any) -> Iterable[tuple[str, str]]:
    """Routing key and queue of each binding; a member of another shape is not one."""
    if not isinstance(members, set | list | tuple | frozenset):
        return
    for member in members:
        parts = member.decode("utf-8", "replace").split(SEPARATOR)
        if len(parts) == 3 and is_task_queue(parts[2]):
            yield parts[0], parts[2]


def _owners(value: bytes, bindings: Mapping[tuple[str, str], frozenset[str]]) -> tuple[str, ...]:
    """The queues that a held message can have come from; `value` is JSON [message, exchange, routing key]."""
    found = _TAIL.search(value[-2048:])
    try:
        exchange, routing_key = (
            (json.loads(b'"' + part + b'"') for part in found.groups()) if found else json.loads(value)[1:3]
        )
    except (ValueError, TypeError, IndexError, KeyError, RecursionError):
        return ()
    if not isinstance(routing_key, str):
        return ()
    if not exchange:
        return (routing_key,)
    return tuple(bindings.get((exchange, routing_key), ()))
