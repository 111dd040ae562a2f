"""Asking all workers at once which tasks they hold, with the fewest commands and no key left behind.

For Redis the mailbox protocol is spoken here (kombu.pidbox.Mailbox and its Redis transport): celery would
cost the collector 10 MiB, and drops what PUBLISH answers, the number of workers that have to answer.
For RabbitMQ the collector has kombu anyway.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from types import MappingProxyType
from typing import Any, Protocol
from urllib.parse import SplitResult, urlsplit

import redis

from console.broker.address import DEFAULT_PORTS, BrokerAddress, BrokerKind
from console.broker.errors import broker_errors
from console.broker.needs import Place, channel
from console.broker.redis_client import make_redis_client
from console.collector.reconcile_evidence import Hold, WorkersSay

REPLIES = "reply.celery.pidbox"
BINDING = f"_kombu.binding.{REPLIES}"
PERMANENT_BINDING = f"_kombu.binding_permanent.{REPLIES}"
SEPARATOR = "\x06\x16"
BEAT = "celerybeat@"
SHORTEST_TIMEOUT_S = 3.0
AMQP_ANSWER_S = 1.0
MOST_KNOWN = 200
MOST_REPLY_BYTES = 64 * 1024 * 1024
# Whoever holds what; the lists may be long, so they are asked for when the ids alone were not enough.
# Until 5.6 a worker does not know its waiting ETA tasks by id. `active` can do without arguments that no JSON
# holds, `scheduled` cannot (FACTS 0, 9).
LISTS: tuple[tuple[str, dict[str, object]], ...] = (
    ("active", {"safe": True}),
    ("scheduled", {}),
    ("revoked", {}),
    ("stats", {}),
    ("conf", {"with_defaults": False}),
)

NOBODY: Mapping[str, float] = MappingProxyType({})
Replies = dict[str, dict[str, Any]]
"""By method: what each worker answered."""


class Workers(Protocol):
    """Asks them. Blocking, bounded; raises `ConsoleError`."""

    def ask(
        self, task_ids: Sequence[str], *, everything: bool, known: Mapping[str, float] = NOBODY
    ) -> WorkersSay:
        """Who holds `task_ids`; with `everything` by the workers' lists too, revoked tasks among them.

        `known`: workers that may be there though they are silent, the most important first, and when each was
        last heard (seconds of the epoch).
        """
        ...


class RedisWorkers:
    """Over one connection, which is closed after each round: rounds are rare."""

    def __init__(
        self,
        address: BrokerAddress,
        *,
        answer_s: float,
        connect: Callable[[BrokerAddress], redis.Redis] = lambda address: make_redis_client(
            address, max_connections=1
        ),
    ) -> None:
        # It must outlast the wait for an answer.
        self._address = replace(address, timeout_s=max(address.timeout_s, SHORTEST_TIMEOUT_S))
        self._answer_s = answer_s
        self._connect = connect
        self._owed: set[str] = set()  # oids of rounds whose line broke, maybe before their keys were deleted

    def ask(
        self,
        task_ids: Sequence[str],
        *,
        everything: bool,
        known: Mapping[str, float] = NOBODY,  # noqa: ARG002 - Redis tells how many listen
    ) -> WorkersSay:
        methods = questions(task_ids, everything=everything)
        if everything:
            methods["ping"] = {}  # beat answers to it, and counts among those who listen
        with broker_errors(self._address):
            client = self._connect(self._address)
            try:
                replies, listening = self._round(client, methods)
            finally:
                client.close()
        return what_they_say(task_ids, replies, listening=listening, asked_all=everything)

    def _round(self, client: redis.Redis, methods: Mapping[str, object]) -> tuple[Replies, int]:
        oid = str(uuid.uuid4())
        queue, member = _reply_place(oid)
        self._owed.add(oid)
        prefix = self._address.key_prefix
        tickets = {str(uuid.uuid4()): method for method in methods}
        try:
            asking = client.pipeline(transaction=False)
            asking.sadd(prefix + BINDING, member)
            asking.sadd(prefix + PERMANENT_BINDING, member)
            for ticket, method in tickets.items():
                to = channel(self._address, Place.CONTROL)
                asking.publish(to, _question(method, methods[method], ticket=ticket, oid=oid))
            listening = min(asking.execute()[2:])
            return self._collect(client, prefix + queue, tickets, listening), listening
        finally:
            leaving = client.pipeline(transaction=False)
            for queue, member in map(_reply_place, self._owed):
                leaving.srem(prefix + BINDING, member)
                leaving.srem(prefix + PERMANENT_BINDING, member)
                leaving.delete(prefix + queue)
            leaving.execute()
            self._owed.clear()

    def _collect(self, client: Any, key: str, tickets: Mapping[str, str], listening: int) -> Replies:
        replies: Replies = {method: {} for method in tickets.values()}
        read_bytes = 0
        deadline_s = time.monotonic() + self._answer_s
        while not _complete(replies, listening) and time.monotonic() < deadline_s:
            answer = client.brpop(key, timeout=1)  # Redis 5 takes whole seconds
            if answer is None:
                continue
            read_bytes += len(answer[1])
            if read_bytes > MOST_REPLY_BYTES:
                break
            ticket, body = _reply(answer[1])
            if ticket in tickets and isinstance(body, dict):
                replies[tickets[ticket]] |= body
        return replies


class AmqpWorkers:
    """Through celery's control, one connection per question. RabbitMQ does not tell how many listen, so that
    each question takes its whole time; but whether one that is silent is connected, its queue tells.
    """

    def __init__(self, address: BrokerAddress, *, answer_s: float) -> None:
        self._address = address
        self._answer_s = min(answer_s, AMQP_ANSWER_S)
        self._gone: dict[str, float] = {}

    def ask(
        self, task_ids: Sequence[str], *, everything: bool, known: Mapping[str, float] = NOBODY
    ) -> WorkersSay:
        from console.broker.kombu_lines import close_celery_app, make_celery_app
        from console.broker.sending import ask_workers, delete_owed_reply_queues, line_of_its_own

        replies: Replies = {}
        app = make_celery_app(self._address)
        try:
            for method, arguments in questions(task_ids, everything=everything).items():
                answers = ask_workers(app, self._address, method, arguments, timeout_s=self._answer_s)
                replies[method] = {
                    name: value for one in answers if isinstance(one, dict) for name, value in one.items()
                }
            said = what_they_say(task_ids, replies, listening=None, asked_all=everything)
            with line_of_its_own(app, self._address) as connection:
                unheard = self._unheard(connection, known, said.answered)
        finally:
            try:
                delete_owed_reply_queues(app, self._address)
            finally:
                close_celery_app(app)
        return replace(said, unheard=unheard)

    def _unheard(
        self, connection: Any, known: Mapping[str, float], answered: frozenset[str]
    ) -> frozenset[str]:
        """Who of `known` receives commands and did not answer.

        The broker logs each name that it does not know: who is gone is looked for again once it was heard.
        """
        found: set[str] = set()
        for name in list(known)[:MOST_KNOWN]:
            if self._gone.get(name) == known[name] and name not in answered:
                continue
            number = _listening(connection, name)
            if not number:
                self._gone[name] = known[name]
            if number > int(name in answered):
                found.add(name)
        return frozenset(found)


def _listening(connection: Any, worker: str) -> int:
    """How many receive commands under the name of `worker`, by its queue of them (kombu's `Mailbox`)."""
    amqp: Any = import_module("amqp.exceptions")
    channel = connection.channel()
    try:
        return int(channel.queue_declare(f"{worker}.celery.pidbox", passive=True).consumer_count)
    except amqp.NotFound:
        return 0
    except amqp.ResourceLocked:  # the queue of nobody but its worker (`control_queue_exclusive`)
        return 1
    finally:
        if channel.is_open:
            channel.close()


def open_workers(address: BrokerAddress, *, answer_s: float) -> Workers:
    """The way to ask the workers of this broker."""
    way = RedisWorkers if address.kind.is_redis else AmqpWorkers
    return way(address, answer_s=answer_s)


def questions(task_ids: Sequence[str], *, everything: bool) -> dict[str, dict[str, object]]:
    """The commands of a round with their arguments."""
    asked: dict[str, dict[str, object]] = {"query_task": {"ids": list(task_ids)}}
    return asked | dict(LISTS) if everything else asked


def what_they_say(
    task_ids: Sequence[str], replies: Replies, *, listening: int | None, asked_all: bool
) -> WorkersSay:
    """The answers as far as they are what workers answer; a worker that failed at one has not answered."""
    wanted = frozenset(task_ids)
    beats = frozenset(name for name in replies.pop("ping", {}) if name.startswith(BEAT))
    held: dict[str, dict[str, Hold]] = {}
    for worker, known in replies.get("query_task", {}).items():
        for task_id, hold in _by_id(known):
            if task_id in wanted:
                held.setdefault(task_id, {})[worker] = hold
    for method, hold in (("scheduled", Hold.SCHEDULED), ("active", Hold.ACTIVE)):
        for worker, listed in replies.get(method, {}).items():
            for task_id in wanted.intersection(_ids(listed)):
                if hold is Hold.ACTIVE or worker not in held.get(task_id, {}):
                    held.setdefault(task_id, {})[worker] = hold
    revoked: dict[str, set[str]] = {}
    for worker, listed in replies.get("revoked", {}).items():
        for task_id in wanted.intersection(_texts(listed)):
            revoked.setdefault(task_id, set()).add(worker)
    stats = replies.get("stats", {})
    answered = [{name for name, value in one.items() if not _failed(value)} for one in replies.values()]
    return WorkersSay(
        held=held,
        revoked={task_id: frozenset(names) for task_id, names in revoked.items()},
        answered=frozenset(set.intersection(*answered)) if answered else frozenset(),
        beats=beats,
        listening=listening,
        asked_all=asked_all,
        up_s={worker: up_s for worker, told in stats.items() if (up_s := _up_s(told)) is not None},
        transports=tuple(map(_transport, stats.values())),
        results_database=_results_database(list(replies.get("conf", {}).values())),
    )


def _reply_place(oid: str) -> tuple[str, str]:
    """The queue of answers to `oid`, and the binding that leads to it."""
    queue = f"{oid}.{REPLIES}"
    return queue, SEPARATOR.join((oid, "", queue))


def _complete(replies: Replies, listening: int) -> bool:
    beats = sum(1 for name in replies.get("ping", {}) if name.startswith(BEAT))
    return all(
        len(answers) >= (listening if method == "ping" else listening - beats)
        for method, answers in replies.items()
    )


def _question(method: str, arguments: object, *, ticket: str, oid: str) -> bytes:
    body = {
        "method": method,
        "arguments": arguments,
        "destination": None,
        "pattern": None,
        "matcher": None,
        "ticket": ticket,
        "reply_to": {"exchange": REPLIES, "routing_key": oid},
    }
    return json.dumps(
        {
            "body": base64.b64encode(json.dumps(body).encode()).decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {"clock": 0, "expires": 0},
            "properties": {
                "delivery_mode": 1,
                "delivery_info": {"exchange": "celery.pidbox", "routing_key": ""},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": str(uuid.uuid4()),
            },
        }
    ).encode()


def _reply(raw: bytes) -> tuple[str, Any]:
    """Ticket and body of an answer; ("", None) for what is none."""
    try:
        message = json.loads(raw)
        body = message["body"]
        if message["properties"].get("body_encoding") == "base64":
            body = base64.b64decode(body)
        return str(message["headers"]["ticket"]), json.loads(body)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "", None


def _failed(value: object) -> bool:
    return isinstance(value, dict) and set(value) == {"error"}


def _by_id(known: object) -> list[tuple[str, Hold]]:
    """What `query_task` answers: by id the word for its state and its details."""
    if not isinstance(known, dict):
        return []
    words = {hold.value: hold for hold in Hold}
    return [
        (task_id, words.get(found[0], Hold.READY))
        for task_id, found in known.items()
        if isinstance(found, list) and found and isinstance(found[0], str)
    ]


def _ids(listed: object) -> set[str]:
    """The ids in what `active` (tasks) or `scheduled` (entries with a task each) answers."""
    found: set[str] = set()
    for one in listed if isinstance(listed, list) else []:
        if isinstance(one, dict):
            task = one.get("request", one)
            task_id = task.get("id") if isinstance(task, dict) else None
            if isinstance(task_id, str):
                found.add(task_id)
    return found


def _texts(listed: object) -> set[str]:
    return {one for one in listed if isinstance(one, str)} if isinstance(listed, list) else set()


def _up_s(stats: object) -> float | None:
    told = stats.get("uptime") if isinstance(stats, dict) else None
    return float(told) if type(told) is int and told >= 0 else None


def _results_database(settings: Sequence[object]) -> int | None:
    """The database of the broker's own Redis in which all workers keep their results; None where they do not.

    Passwords are masked in what they tell, and so is a prefix of the keys, with which nothing can be found.
    """
    found = {_database_beside_broker(one) if isinstance(one, dict) else None for one in settings}
    return found.pop() if len(found) == 1 else None


def _database_beside_broker(settings: Mapping[str, Any]) -> int | None:
    options = settings.get("result_backend_transport_options")
    urls = settings.get("result_backend"), settings.get("broker_read_url") or settings.get("broker_url")
    if options or not all(isinstance(url, str) for url in urls):
        return None
    try:
        results, broker = (urlsplit(str(url)) for url in urls)
        if results.scheme not in ("redis", "rediss") or _server(results) != _server(broker):
            return None
        return int(results.path.strip("/") or 0)
    except ValueError:
        return None


def _server(url: SplitResult) -> tuple[str, str | None, int]:
    return url.scheme, url.hostname, url.port or DEFAULT_PORTS[BrokerKind.REDIS]


def _transport(stats: object) -> Mapping[str, object]:
    broker = stats.get("broker") if isinstance(stats, dict) else None
    options = broker.get("transport_options") if isinstance(broker, dict) else None
    return options if isinstance(options, dict) else {}
