"""The test's step about the server: what it tells of itself, and what is wrong with that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import redis

from console.broker.address import BrokerAddress
from console.broker.errors import broker_errors
from console.broker.redis_client import make_redis_client
from console.connections.check_model import Found, StepState
from console.connections.check_words import listed, replica
from console.core.errors import Cause, ConsoleError

OLDEST_REDIS = (6, 2)


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """What a server tells of itself; `policy` is empty where that is not readable."""

    name: str
    version: str
    role: str
    policy: str = ""


def redis_facts(client: redis.Redis) -> RedisFacts:
    """By INFO, or by HELLO, which every user may send."""
    asking: Any = client
    try:
        info: dict[str, Any] = asking.info()
    except redis.ResponseError:
        connection: Any = client.connection_pool.get_connection()
        try:
            connection.send_command("HELLO")
            answer = connection.read_response()
        except redis.ResponseError:
            answer = {}
        finally:
            client.connection_pool.release(connection)
        pairs = answer.items() if isinstance(answer, dict) else zip(answer[::2], answer[1::2], strict=False)
        hello = {text_of(key): text_of(value) for key, value in pairs}
        name = hello.get("server", "redis")
        return RedisFacts(name.capitalize(), hello.get("version", ""), hello.get("role", ""))
    name = str(info.get("server_name", "redis"))
    version = str(info.get(f"{name}_version") or info.get("redis_version", ""))
    return RedisFacts(
        name.capitalize(), version, str(info.get("role", "")), str(info.get("maxmemory_policy", ""))
    )


def redis_version(facts: RedisFacts, address: BrokerAddress) -> Found:
    """The version and role in words, and what is wrong with them."""
    role = {"master": ", primary", "slave": ", replica", "replica": ", replica"}.get(facts.role, "")
    says = f"{facts.name} {facts.version or 'of unknown version'}{role}"
    if role == ", replica":
        return Found(says, StepState.WARNING, replica(address))
    if facts.name == "Redis" and facts.version and _version(facts.version) < OLDEST_REDIS:
        error = ConsoleError(
            "This Redis is too old for current workers",
            detail="kombu 5.7 needs Redis 6.2 or later.",
            remedy="Update the server.",
        )
        return Found(says, StepState.WARNING, error)
    if facts.policy not in ("", "noeviction"):
        error = ConsoleError(
            "Redis may throw tasks away when its memory is full",
            detail=f"maxmemory-policy is {facts.policy}.",
            remedy="Set it to noeviction, and give a cache a server of its own.",
        )
        return Found(f"{says}, {facts.policy}", StepState.WARNING, error)
    return Found(says)


def rabbitmq_alarms(nodes: object, says: str) -> Found:
    """A warning when a node keeps publishers waiting; `nodes` is what the management API answered."""
    known = [node for node in nodes if isinstance(node, dict)] if isinstance(nodes, list) else []
    words = {"mem_alarm": "memory", "disk_free_alarm": "disk space"}
    short = [what for key, what in words.items() if any(node.get(key) is True for node in known)]
    if not short:
        return Found(says)
    error = ConsoleError(
        "RabbitMQ keeps everybody who sends waiting",
        detail=f"An alarm is on: too little {listed(short)}.",
        remedy="Its administrator must give it more, or empty queues.",
        cause=Cause.NO_SPACE,
    )
    return Found(f"{says}, alarm: {listed(short)}", StepState.WARNING, error)


def check_results(address: BrokerAddress) -> Found:
    """A result backend of its own: whether it lets us in. Blocking. Raises `ConsoleError`."""
    client = make_redis_client(address, max_connections=1)
    try:
        with broker_errors(address):
            facts = redis_facts(client)
    finally:
        client.close()
    return Found(f"{facts.name} {facts.version} at {address.place}")


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())


def text_of(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
