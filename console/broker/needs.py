"""What the console sends to a Redis, as data: which command on which keys or channels, and what it serves.

One table for three readers: the probe of a user's rights, the ACL rules that ship, and the connection's test.
It was taken down from a server's MONITOR while the pages' gateways worked; a test holds it to that.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from enum import StrEnum

from console.broker.address import BrokerAddress, BrokerKind
from console.core.connection import Right

DEFAULT_QUEUE = "celery"
LOGIN_COMMANDS = ("select", "ping", "role", "client|setname")
"""What every connection sends beside AUTH and HELLO (which Redis lets everybody send)."""


class Place(StrEnum):
    """What a command works on. The names are kombu's (kombu.transport.redis), before the key prefix."""

    NOTHING = ""
    QUEUE = "a queue"
    BINDINGS = "_kombu.binding.*"
    PERMANENT_BINDINGS = "_kombu.binding_permanent.*"
    HELD = "unacked"
    REPLIES = "*.reply.celery.pidbox"
    EVENTS = "celeryev"
    CONTROL = "celery.pidbox"

    @property
    def is_channel(self) -> bool:
        return self in (Place.EVENTS, Place.CONTROL)


@dataclass(frozen=True, slots=True)
class Need:
    """`command` on `place` serves `rights`; `shows` are what a person misses without it.

    `words` stand behind the key or channel in a probe, and do nothing even if they were carried out on a
    key that does not exist; a change is never carried out by a probe.
    """

    command: str
    place: Place
    rights: tuple[Right, ...]
    shows: tuple[str, ...]
    words: tuple[str, ...] = ()
    changes: bool = False


_DEPTHS, _MESSAGES, _EVENTS = ("Queues",), ("Messages on Queues",), ("events (Tasks, Workers, Overview)",)
_FINDING, _HELD = ("finding queues by themselves",), ("Unacknowledged on Queues",)
_OLDEST = ("Oldest waiting on Queues",)
_ASKING, _SENDING, _CHANGING = ("asking and telling workers",), ("sending tasks",), ("changing queues",)
_TRANSACTION = (Right.ASK_WORKERS, Right.SEND_TASKS, Right.CHANGE_QUEUES)
_READS, _PEEKS, _HEARS = (Right.READ_QUEUES,), (Right.READ_MESSAGES,), (Right.READ_EVENTS,)
_ASKS, _SENDS, _EMPTIES = (Right.ASK_WORKERS,), (Right.SEND_TASKS,), (Right.CHANGE_QUEUES,)
_BINDS = (Right.ASK_WORKERS, Right.SEND_TASKS)

REDIS_NEEDS = (
    Need("scan", Place.NOTHING, _READS, _FINDING, ("0", "COUNT", "1")),
    Need("smembers", Place.BINDINGS, (Right.READ_QUEUES, Right.SEND_TASKS), _FINDING),
    Need("exists", Place.QUEUE, _READS, _DEPTHS),
    Need("llen", Place.QUEUE, (*_READS, *_PEEKS, *_SENDS, *_EMPTIES), _DEPTHS),
    Need("hlen", Place.HELD, _READS, _HELD),
    Need("hscan", Place.HELD, _READS, _HELD, ("0", "COUNT", "1")),
    Need("lindex", Place.QUEUE, _PEEKS, _OLDEST, ("-1",)),
    Need("lrange", Place.QUEUE, _PEEKS, _MESSAGES, ("-1", "-1")),
    Need("psubscribe", Place.EVENTS, _HEARS, _EVENTS),
    Need("multi", Place.NOTHING, _TRANSACTION, (*_ASKING, *_SENDING), changes=True),
    Need("exec", Place.NOTHING, _TRANSACTION, (*_ASKING, *_SENDING), changes=True),
    Need("publish", Place.CONTROL, _ASKS, _ASKING, ("",), changes=True),
    Need("llen", Place.REPLIES, _ASKS, _ASKING),
    Need("brpop", Place.REPLIES, _ASKS, _ASKING, ("1",), changes=True),
    Need("del", Place.REPLIES, _ASKS, _ASKING, changes=True),
    Need("sadd", Place.BINDINGS, _BINDS, _ASKING, ("",), changes=True),
    Need("sadd", Place.PERMANENT_BINDINGS, _BINDS, _ASKING, ("",), changes=True),
    Need("srem", Place.BINDINGS, _ASKS, _ASKING, ("",), changes=True),
    Need("srem", Place.PERMANENT_BINDINGS, _ASKS, _ASKING, ("",), changes=True),
    Need("lpush", Place.QUEUE, _SENDS, _SENDING, ("",), changes=True),
    Need("publish", Place.EVENTS, _SENDS, _SENDING, ("",), changes=True),
    Need("del", Place.QUEUE, _EMPTIES, _CHANGING, changes=True),
)


def channel(address: BrokerAddress, place: Place, routing_key: str = "") -> str:
    """The name of a channel in this database and under this prefix, as kombu publishes on it."""
    tail = f"/{routing_key}" if routing_key else ""
    return f"{address.key_prefix}/{address.database}.{place}{tail}"


def targets(need: Need, address: BrokerAddress, queues: tuple[str, ...]) -> tuple[str, ...]:
    """The keys or channels on which `need` is probed: real names, so that patterns of an ACL count."""
    prefix = address.key_prefix
    match need.place:
        case Place.NOTHING:
            return ()
        case Place.QUEUE:
            return tuple(f"{prefix}{queue}" for queue in queues or (DEFAULT_QUEUE,))
        case Place.BINDINGS | Place.PERMANENT_BINDINGS:
            exchange = "reply.celery.pidbox" if need.changes else (queues or (DEFAULT_QUEUE,))[0]
            return (prefix + need.place.replace("*", exchange),)
        case Place.HELD:
            return (prefix + need.place,)
        case Place.REPLIES:
            return (prefix + need.place.replace("*", str(uuid.uuid4())),)
        case Place.CONTROL:
            return (channel(address, need.place),)
        case Place.EVENTS:
            # A subscription must be allowed letter by letter as a pattern.
            if need.command != "psubscribe":
                return (channel(address, need.place, "task.sent"),)
            sentinel = address.kind is BrokerKind.SENTINEL
            return event_patterns(address.key_prefix, address.database, sentinel=sentinel)


def event_patterns(key_prefix: str, database: int, *, sentinel: bool) -> tuple[str, ...]:
    """The patterns of the channels on which events come, with glob characters of the prefix escaped.

    Behind Sentinel a kombu before 5.4 writes the `{db}` of its prefix as it stands (FACTS, 5.1).
    """
    databases = (str(database), "{db}") if sentinel else (str(database),)
    return tuple(f"{literal(key_prefix)}/{one}.{Place.EVENTS}/*" for one in databases)


def key_pattern(place: Place, key_prefix: str) -> str:
    """The ACL's glob for the keys of `place`. A queue may have any name."""
    prefix = literal(key_prefix)
    match place:
        case Place.QUEUE:
            return f"{prefix}*"
        case Place.REPLIES:
            return f"{prefix}{place}*"  # kombu has a list per priority: the name, and the name with a step
        case _:
            return prefix + place


def literal(text: str) -> str:
    """`text` as a literal part of a Redis glob."""
    return re.sub(r"([*?\[\]\\^])", r"\\\1", text)


RABBITMQ_EVENT_QUEUE = "celeryev.receiver."
"""How the console's own queue for events begins in RabbitMQ; workers' go on with an identifier at once."""
