"""What the broker's user may do: found out without doing it.

Redis checks a user's rights when a command is queued in a transaction, keys, channels and a replica's refusal
of changes included, and DISCARD then drops the whole (server.c: processCommand; redis.io/docs: Transactions).
So each command is asked about on every version since 6.0 by MULTI, the command, DISCARD, and nothing is ever
carried out. Where MULTI is forbidden, ACL DRYRUN is asked, and without that only what reads is tried.

RabbitMQ has the same in a channel's transaction: the right to publish is checked at once, tx.rollback drops
the message.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

import redis

from console.broker.address import BrokerAddress
from console.broker.errors import broker_errors
from console.broker.needs import DEFAULT_QUEUE, RABBITMQ_EVENT_QUEUE, REDIS_NEEDS, Need, literal, targets
from console.core.connection import Right, Rights

if TYPE_CHECKING:
    from celery import Celery

    from console.broker.session import Session

SELECTORS_SINCE = 7
SEPARATOR = "\x06\x16"
BINDINGS = "_kombu.binding."
SCAN_CALLS = 20
SCAN_COUNT = 1000
MOST_QUEUES = 20
CHANGING = (Right.ASK_WORKERS, Right.SEND_TASKS, Right.CHANGE_QUEUES)
REPLICA_SAYS = "The server is a replica: it takes no changes"


@dataclass(frozen=True, slots=True)
class Refusal:
    """`need` is refused on `target` (empty: the command as such). `replica`: to everybody, not this user."""

    need: Need
    target: str = ""
    replica: bool = False


@dataclass(frozen=True, slots=True)
class Probed:
    """What a probe found: which needs are known, and which of them are refused.

    `selectors`: whether the server's ACL has them (Redis 7 or later).
    """

    known: frozenset[Need] = frozenset()
    refused: tuple[Refusal, ...] = ()
    queues: tuple[str, ...] = field(default=())
    selectors: bool = True

    @property
    def replica(self) -> bool:
        return any(one.replica for one in self.refused)


def probe_rights(session: Session) -> Rights:
    """What the session's user may not do, each with the reason. Blocking. Raises `ConsoleError`.

    What cannot be found out without doing it is absent, as what is permitted.
    """
    if not session.address.kind.is_redis:
        return probe_rabbitmq(session.celery_app(), session.address)
    return redis_rights(probe_redis(session.redis_client(), session.address, session.queue_names))


def redis_rights(probed: Probed) -> Rights:
    """The rights that a probe's refusals leave out."""
    if probed.replica:
        return dict.fromkeys(CHANGING, REPLICA_SAYS)
    found: dict[Right, str] = {}
    for right in Right:
        refused = [one for one in probed.refused if right in one.need.rights]
        # Sending to one queue of several is still sending.
        if right is Right.SEND_TASKS:
            refused = [one for one in refused if one.target == "" or _everywhere(one, probed)]
        if refused:
            found[right] = f"The broker user may not {right}: {_refused_text(refused)}"
    return found


def _everywhere(refusal: Refusal, probed: Probed) -> bool:
    same = [one for one in probed.refused if one.need is refusal.need]
    return len(same) >= len(probed.queues) or refusal.need.place != "a queue"


def _refused_text(refused: Iterable[Refusal]) -> str:
    words = list(dict.fromkeys(f"{one.need.command}{_on(one.target)}" for one in refused))
    shown = words if len(words) <= 3 else [*words[:3], "more"]
    listed = shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
    return f"Redis refuses {listed}"


def _on(target: str) -> str:
    return f" on {target}" if target else ""


def probe_redis(client: redis.Redis, address: BrokerAddress, queues: tuple[str, ...] = ()) -> Probed:
    """Ask Redis about every need in the table. Blocking. Raises `ConsoleError`.

    `queues` are known by name; with those that are bound they are what key patterns are tried on.
    """
    with broker_errors(address):
        names = tuple(dict.fromkeys((*queues, *_bound_queues(client, address))))[:MOST_QUEUES]
        names = names or (DEFAULT_QUEUE,)
        connection: Any = client.connection_pool.get_connection()
        try:
            return _probe(connection, address, names)
        finally:
            # Whatever state it is in (a transaction, a subscription): nobody else gets it.
            connection.disconnect()
            client.connection_pool.release(connection)


Words = tuple[str, ...]


def _probe(connection: Any, address: BrokerAddress, queues: tuple[str, ...]) -> Probed:
    selectors = _version(connection) >= SELECTORS_SINCE
    questions = [(need, target) for need in REDIS_NEEDS for target in targets(need, address, queues) or ("",)]
    asked = [
        (need, (need.command, *((target,) if target else ()), *need.words)) for need, target in questions
    ]
    known: set[Need] = set()
    refused: list[Refusal] = []
    for (need, target), answer in zip(questions, _ask(connection, address, asked), strict=True):
        refusal = _refusal(need, target, answer) if isinstance(answer, redis.RedisError) else None
        if answer is True or refusal is not None:
            known.add(need)
        if refusal is not None and refusal not in refused:
            refused.append(refusal)
    return Probed(frozenset(known), tuple(refused), queues, selectors)


def _version(connection: Any) -> int:
    """The server's major version by HELLO, which every user may send; 0 from one too old to tell so."""
    said = _answers(connection, [("HELLO",)])[0]
    if isinstance(said, list):
        said = dict(zip(said[::2], said[1::2], strict=False))
    told = said.get(b"version") or said.get("version") if isinstance(said, dict) else None
    text = told.decode() if isinstance(told, bytes) else str(told)
    major = text.partition(".")[0]
    return int(major) if major.isascii() and major.isdecimal() else 0


Answer = redis.RedisError | bool | None
"""True for a command that is taken, the error with which it is refused, None for not known."""


def _ask(connection: Any, address: BrokerAddress, asked: list[tuple[Need, Words]]) -> list[Answer]:
    """About each command, in the way that this user may use."""
    multi = _answers(connection, [("MULTI",)])[0]
    if not isinstance(multi, redis.RedisError):
        return _queue(connection, asked)
    user = address.username or "default"
    if not isinstance(_answers(connection, [("ACL", "DRYRUN", user, "PING")])[0], redis.RedisError):
        return _dry_run(connection, user, asked)
    answers = iter(_answers(connection, [words for need, words in asked if _is_harmless(need)]))
    refusals: dict[str, Answer] = {"multi": multi}
    return [
        _tried(next(answers)) if _is_harmless(need) else refusals.get(need.command) for need, _words in asked
    ]


def _is_harmless(need: Need) -> bool:
    """Whether it may be carried out. A subscription changes what a connection is, and how it is answered."""
    return not need.changes and need.command != "psubscribe"


def _queue(connection: Any, asked: list[tuple[Need, Words]]) -> list[Answer]:
    """Inside the transaction that has just begun; it is dropped before EXEC is asked about, on an empty one.

    All are sent at once: from MULTI's answer to DISCARD the server carries nothing out.
    """
    inner = [words for need, words in asked if need.command not in ("multi", "exec")]
    answers = iter(_answers(connection, inner))
    dropped, _begun, ended = _answers(connection, [("DISCARD",), ("MULTI",), ("EXEC",)])
    transaction: dict[str, Answer] = {"multi": True, "exec": True}
    if isinstance(ended, redis.RedisError):
        # An EXEC that is refused ends the transaction as well, and says so in a form of its own (EXECABORT).
        transaction["exec"] = redis.exceptions.NoPermissionError(str(ended))
    if isinstance(dropped, redis.RedisError):
        transaction["exec"] = None
    return [
        transaction[need.command] if need.command in transaction else _queued(next(answers))
        for need, _words in asked
    ]


def _queued(answer: Any) -> Answer:
    if isinstance(answer, redis.RedisError):
        return answer
    return True if answer in (b"QUEUED", "QUEUED") else None


def _dry_run(connection: Any, user: str, asked: list[tuple[Need, Words]]) -> list[Answer]:
    """By ACL DRYRUN (Redis 7): OK, or why not as a text."""
    found: list[Answer] = []
    for answer in _answers(connection, [("ACL", "DRYRUN", user, *words) for _need, words in asked]):
        if isinstance(answer, redis.RedisError):
            found.append(None)
        elif answer in (b"OK", "OK", True):
            found.append(True)
        else:
            said = answer.decode() if isinstance(answer, bytes) else str(answer)
            found.append(redis.exceptions.NoPermissionError(said))
    return found


def _tried(answer: Any) -> Answer:
    return answer if isinstance(answer, redis.exceptions.NoPermissionError) else True


def _answers(connection: Any, commands: list[Words]) -> list[Any]:
    """One answer for each, an error as a value; a broken line is raised."""
    connection.send_packed_command(connection.pack_commands(commands), check_health=False)
    found: list[Any] = []
    for _ in commands:
        try:
            found.append(connection.read_response())
        except redis.ResponseError as error:
            found.append(error)
    return found


def _refusal(need: Need, target: str, answer: redis.RedisError) -> Refusal | None:
    said = str(answer)
    if isinstance(answer, redis.exceptions.ReadOnlyError) or said.startswith("READONLY"):
        return Refusal(need, replica=True)
    if not isinstance(answer, redis.exceptions.NoPermissionError):
        return None  # out of memory, still loading: nothing about this user
    # Redis 6 to 8 and Valkey: "... access a key", "... one of the keys", "... one of the channels".
    return Refusal(need, target if "key" in said or "channel" in said else "")


def _bound_queues(client: redis.Redis, address: BrokerAddress) -> list[str]:
    """The queues that exchanges are bound to, in a bounded part of the key space."""
    head = f"{address.key_prefix}{BINDINGS}"
    found: list[str] = []
    cursor = 0
    try:
        for _ in range(SCAN_CALLS):
            page: Any = client.scan(cursor, match=f"{literal(head)}*", count=SCAN_COUNT)
            cursor = int(page[0])
            for key in page[1]:
                if not key.endswith((b".pidbox", b"celeryev")):
                    members: Any = client.smembers(key)
                    found += [one.decode("utf-8", "replace").split(SEPARATOR)[-1] for one in members]
            if cursor == 0:
                break
    except redis.ResponseError:
        return found  # the probe itself says that it is refused
    return found


def probe_rabbitmq(app: Celery, address: BrokerAddress) -> Rights:
    """What a RabbitMQ user may not do, by transactions that are rolled back. Blocking.

    Reading and emptying a queue cannot be asked about without a queue's messages: they are left out.
    """
    found: dict[Right, str] = {}
    with broker_errors(address):
        connection = app.connection_for_write()
        try:
            connection.connect()
            for right, exchange, routing_key in (
                (Right.SEND_TASKS, "", f"celery-console.{id(connection)}"),
                (Right.ASK_WORKERS, "celery.pidbox", ""),
            ):
                if not _may_publish(connection, exchange, routing_key):
                    where = f"the exchange {exchange or 'amq.default'}"
                    found[right] = f"The broker user may not {right}: RabbitMQ refuses to publish to {where}"
            if (refused := _event_refusal(connection)) is not None:
                found[Right.READ_EVENTS] = f"The broker user may not {Right.READ_EVENTS}: {refused}"
        finally:
            connection.collect(socket_timeout=address.timeout_s)
    return found


def _may_publish(connection: Any, exchange: str, routing_key: str) -> bool:
    """Whether the user may publish to `exchange`; True as well when there is no such exchange yet."""
    amqp: Any = import_module("amqp")
    channel = connection.channel()
    try:
        channel.tx_select()
        channel.basic_publish(amqp.Message(""), exchange=exchange, routing_key=routing_key)
        channel.tx_rollback()
    except amqp.exceptions.AccessRefused:
        return False
    except amqp.exceptions.NotFound:
        return True
    channel.close()
    return True


def _event_refusal(connection: Any) -> str | None:
    """Why events cannot be read, by a queue of our own that goes with the channel's connection."""
    amqp: Any = import_module("amqp")
    channel = connection.channel()
    name = f"{RABBITMQ_EVENT_QUEUE}{uuid.uuid4()}"
    try:
        channel.queue_declare(name, exclusive=True, auto_delete=True)
        channel.queue_bind(name, "celeryev", "#")
        # Events may come before the consuming is cancelled; py-amqp calls what it was given with each.
        tag = channel.basic_consume(name, no_ack=True, callback=lambda _event: None)
        channel.basic_cancel(tag)
        channel.queue_delete(name)
    except amqp.exceptions.AccessRefused as error:
        return f"RabbitMQ says {str(error.reply_text).partition(' - ')[2] or 'access refused'}"
    except amqp.exceptions.NotFound:
        return None  # no worker has sent an event yet
    channel.close()
    return None
