"""Looking for the messages of tasks in the broker without taking or changing any.

Redis: the lists of all queues and the hash of what is not acknowledged, read in parts up to a bound (FACTS,
5.1 and 5.3). RabbitMQ shows no message without consuming it, only how many are ready in a queue; what is
unacknowledged there is with a worker that is connected, and those are asked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, Protocol

import redis

from console.broker.address import BrokerAddress
from console.broker.errors import broker_errors
from console.broker.needs import Place, literal
from console.broker.redis_client import make_redis_client
from console.collector.reconcile_evidence import MessagesFound, Suspect

BINDINGS = "_kombu.binding."
SEPARATOR = "\x06\x16"
# Priority steps are the workers' setting; 0 to 9 are all that are in use.
STEPS = range(1, 10)
MOST_MESSAGES = 50_000
MOST_BYTES = 128 * 1024 * 1024
MOST_QUEUES = 2000
TOO_MANY_QUEUES = f"There are more than {MOST_QUEUES:,} queues."
SCAN_COUNT = 2000
SCAN_CALLS = 25
PART_BYTES = 512 * 1024
FIRST_PART = 10
LARGEST_PART = 500
NOT_TASKS = ("celeryev", "celery.pidbox", "reply.celery.pidbox")
UNACKNOWLEDGED = "unacknowledged"
# In a message the id stands in the headers and again as the correlation id; in its arguments it is base64.
_ID = re.compile(rb'"(?:correlation_id|id)": ?"((?:[^"\\]|\\.)*)"')


class Messages(Protocol):
    """Looks for messages. Blocking, bounded; raises `ConsoleError`."""

    def look(
        self, suspects: Sequence[Suspect], queues: Iterable[str], transports: Sequence[Mapping[str, object]]
    ) -> MessagesFound:
        """Where messages of `suspects` are. `queues` are known names, `transports` options of workers."""
        ...


class RedisMessages:
    """Over one connection, closed after each look. Queues are found by their bindings, over several looks
    when the database holds very many keys; before that a look is not complete.
    """

    def __init__(
        self,
        address: BrokerAddress,
        *,
        most_messages: int = MOST_MESSAGES,
        connect: Callable[[BrokerAddress], redis.Redis] = lambda address: make_redis_client(
            address, max_connections=1
        ),
    ) -> None:
        self._address = address
        self._prefix = address.key_prefix
        self._most = most_messages
        self._connect = connect
        self._cursor = 0
        self._all_found = False
        self._bound: set[str] = set()

    def look(
        self, suspects: Sequence[Suspect], queues: Iterable[str], transports: Sequence[Mapping[str, object]]
    ) -> MessagesFound:
        wanted = {suspect.id for suspect in suspects}
        with broker_errors(self._address):
            client = self._connect(self._address)
            try:
                problem = self._discover(client)
                names = sorted({*queues, *self._bound, *(one.queue for one in suspects)} - {""})
                if len(names) > MOST_QUEUES:
                    problem = problem or TOO_MANY_QUEUES
                return self._search(client, wanted, names[:MOST_QUEUES], transports, problem)
            finally:
                client.close()

    def _discover(self, client: redis.Redis) -> str:
        """Learn the names of queues; why not all are known, "" when they are."""
        head = self._prefix + BINDINGS
        exchanges: list[bytes] = []
        for _ in range(SCAN_CALLS):
            page: Any = client.scan(self._cursor, match=f"{literal(head)}*", count=SCAN_COUNT)
            self._cursor = int(page[0])
            exchanges += page[1]
            if self._cursor == 0:
                self._all_found = True
                break
        for key in exchanges:
            if key.decode("utf-8", "replace").removeprefix(head) in NOT_TASKS:
                continue
            members: Any = client.smembers(key)
            for member in members:
                parts = member.decode("utf-8", "replace").split(SEPARATOR)
                if len(parts) != 3:
                    return "Queues are named in a way that the console does not know."
                self._bound.add(parts[2])
        if len(self._bound) > MOST_QUEUES:
            return TOO_MANY_QUEUES
        return "" if self._all_found else "Not all queues are known yet."

    def _search(
        self,
        client: redis.Redis,
        wanted: set[str],
        queues: Sequence[str],
        transports: Sequence[Mapping[str, object]],
        problem: str,
    ) -> MessagesFound:
        steps, separators, held_keys = _customs(transports)
        buckets = [
            (queue, self._prefix + bucket)
            for queue in queues
            for bucket in _buckets(queue, steps, separators)
        ]
        asking = client.pipeline(transaction=False)
        for _, key in buckets:
            asking.llen(key)
        for key in held_keys:
            asking.hlen(self._prefix + key)
        lengths = [_count(answer) for answer in asking.execute(raise_on_error=False)]
        if sum(lengths) > self._most:
            return MessagesFound(problem=f"More than {self._most:,} messages wait in the broker.")
        places: dict[str, str] = {}
        room = _Room(MOST_BYTES)
        filled = any(lengths[: len(buckets)])
        for (queue, key), length in zip(buckets, lengths, strict=False):
            if length:
                self._search_list(client, key, queue, wanted, places, room)
        # After the lists: what is delivered meanwhile moves from there to here.
        for key, length in zip(held_keys, lengths[len(buckets) :], strict=True):
            if length or filled:
                self._search_hash(client, self._prefix + key, wanted, places, room)
        if room.left <= 0:
            problem = f"More than {MOST_BYTES // 2**20} MiB wait in the broker."
        return MessagesFound(places=places, complete=not problem, problem=problem)

    def _search_list(
        self,
        client: Any,
        key: str,
        queue: str,
        wanted: set[str],
        places: dict[str, str],
        room: _Room,
    ) -> None:
        """From its end where messages come in, so that none moves past us: others then come later."""
        at, part, read = 0, FIRST_PART, 0
        while room.left > 0 and read <= self._most:
            raws = client.lrange(key, at, at + part - 1)
            for raw in raws:
                for task_id in wanted.intersection(_ids_in(raw)):
                    places[task_id] = queue
            size = sum(map(len, raws))
            room.left -= size
            read += len(raws)
            if len(raws) < part:
                return
            at += part
            part = min(LARGEST_PART, max(1, part * PART_BYTES // max(size, 1)), part * 4)

    def _search_hash(
        self, client: Any, key: str, wanted: set[str], places: dict[str, str], room: _Room
    ) -> None:
        cursor = read = 0
        while room.left > 0 and read <= self._most:
            page = client.hscan(key, cursor, count=200)
            cursor = int(page[0])
            for raw in page[1].values():
                room.left -= len(raw)
                for task_id in wanted.intersection(_ids_in(raw)):
                    places.setdefault(task_id, UNACKNOWLEDGED)
            read += len(page[1])
            if cursor == 0:
                return


class AmqpMessages:
    """How many messages are ready in the suspects' queues; it cannot tell of those whose queue is unknown."""

    def __init__(self, address: BrokerAddress) -> None:
        self._address = address

    def look(
        self,
        suspects: Sequence[Suspect],
        queues: Iterable[str],  # noqa: ARG002 - the protocol's
        transports: Sequence[Mapping[str, object]],  # noqa: ARG002
    ) -> MessagesFound:
        names = sorted({suspect.queue for suspect in suspects})
        if not all(names):
            return MessagesFound(problem="RabbitMQ does not tell which messages wait.")
        from console.broker.kombu_lines import close_celery_app, make_celery_app
        from console.broker.sending import line_of_its_own

        app = make_celery_app(self._address)
        try:
            with line_of_its_own(app, self._address) as connection:
                filled = [name for name in names if _ready(connection, name)]
        finally:
            close_celery_app(app)
        if filled:
            return MessagesFound(problem="RabbitMQ does not tell which messages wait, and some do.")
        return MessagesFound(complete=True)


def open_messages(address: BrokerAddress) -> Messages:
    """The way to look for messages in this broker."""
    return RedisMessages(address) if address.kind.is_redis else AmqpMessages(address)


class _Room:
    """How many bytes may still be read."""

    def __init__(self, left: int) -> None:
        self.left = left


def _ready(connection: Any, queue: str) -> bool:
    """Whether messages are ready in `queue`; one that does not exist has none."""
    amqp: Any = import_module("amqp.exceptions")
    channel = connection.channel()
    try:
        return bool(channel.queue_declare(queue, passive=True).message_count)
    except amqp.NotFound:
        return False  # the broker has closed the channel
    finally:
        if channel.is_open:
            channel.close()


def _ids_in(raw: bytes) -> set[str]:
    return {_decoded(found) for found in _ID.findall(raw)}


def _decoded(found: bytes) -> str:
    text = found.decode("utf-8", "replace")
    if "\\" not in text:
        return text
    try:
        return str(json.loads(f'"{text}"'))
    except ValueError:
        return text


def _customs(transports: Sequence[Mapping[str, object]]) -> tuple[set[int], set[str], list[str]]:
    """Priority steps, separators and keys of unacknowledged messages: the usual ones and the workers' own."""
    steps, separators, held = set(STEPS), {SEPARATOR}, {str(Place.HELD)}
    for options in transports:
        told = options.get("priority_steps")
        steps |= {step for step in told if isinstance(step, int)} if isinstance(told, list) else set()
        for name, known in (("sep", separators), ("unacked_key", held)):
            value = options.get(name)
            if isinstance(value, str) and value:
                known.add(value)
    return steps - {0}, separators, sorted(held)


def _buckets(queue: str, steps: set[int], separators: set[str]) -> list[str]:
    return [queue, *(f"{queue}{separator}{step}" for separator in separators for step in sorted(steps))]


def _count(answer: Any) -> int:
    """A length; a key that holds something else is no queue. Raises what else Redis answered."""
    if isinstance(answer, redis.ResponseError) and str(answer).startswith("WRONGTYPE"):
        return 0
    if isinstance(answer, Exception):
        raise answer
    return int(answer)
