"""Looking for messages in a real broker, and hearing who listens there: bounds, odd keys, foreign answers."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import pytest
import redis

from console.broker.acl import AclKind, redis_acl_command
from console.broker.address import BrokerAddress
from console.broker.kombu_lines import close_celery_app, make_celery_app
from console.broker.sending import send_task
from console.collector.reconcile_evidence import MessagesFound, Suspect
from console.collector.reconcile_messages import RedisMessages
from console.collector.reconcile_workers import RedisWorkers
from console.core.errors import ConsoleError
from console.core.redaction import Secret
from console.history.model import TaskState
from tests.valkey import ValkeyServer


@pytest.fixture
def address(broker: ValkeyServer) -> Iterator[BrokerAddress]:
    with broker.client() as client:
        client.flushdb()
    yield broker.address
    with broker.client() as client:
        client.flushdb()


def suspect(task_id: str, queue: str = "") -> Suspect:
    return Suspect(task_id, TaskState.SENT, TaskState.SENT, "", queue, 0.0, 0.0, 1)


def send(address: BrokerAddress, *task_ids: str, queue: str = "mail", **options: Any) -> None:
    app = make_celery_app(address)
    try:
        for task_id in task_ids:
            send_task(app, address, "shop.send", ("text",), task_id=task_id, queue=queue, **options)
    finally:
        close_celery_app(app)


def look(
    address: BrokerAddress, *task_ids: str, transports: tuple[dict[str, object], ...] = (), **options: Any
) -> MessagesFound:
    suspects = [suspect(task_id) for task_id in task_ids]
    return RedisMessages(address, **options).look(suspects, (), transports)


def deliver(broker: ValkeyServer, queue: str, *, key: str = "unacked") -> None:
    """Move the next message to where kombu keeps it until it is acknowledged."""
    with broker.client() as client:
        raw: Any = client.rpop(queue)
        client.hset(key, "tag", json.dumps([json.loads(raw), "", queue]))


def test_messages_are_found_wherever_kombu_keeps_them(broker: ValkeyServer, address: BrokerAddress) -> None:
    send(address, "held")
    deliver(broker, "mail")
    send(address, "plain")
    send(address, "urgent", priority=9)
    send(address, "elsewhere", queue="bulk")
    send(address, 'odd "id"\\ é')
    found = look(address, "held", "plain", "urgent", "elsewhere", "gone", 'odd "id"\\ é')
    assert found.complete
    assert found.places == {
        "held": "unacknowledged",
        "plain": "mail",
        "urgent": "mail",
        "elsewhere": "bulk",
        'odd "id"\\ é': "mail",
    }


def test_a_prefix_and_the_workers_own_names_are_followed(
    broker: ValkeyServer, address: BrokerAddress
) -> None:
    prefixed = replace(address, key_prefix="app[1]:")
    send(prefixed, "one")
    assert look(prefixed, "one").places == {"one": "mail"}
    assert look(address, "one").places == {}
    send(address, "two")
    deliver(broker, "mail", key="mine")
    assert look(address, "two").places == {}
    assert look(address, "two", transports=({"unacked_key": "mine"},)).places == {"two": "unacknowledged"}
    send(address, "three")
    with broker.client() as client:
        client.rename("mail", "mail:12")
    own: dict[str, object] = {"sep": ":", "priority_steps": [0, 12]}
    assert look(address, "three", transports=(own,)).places == {"three": "mail"}


def test_many_messages_are_read_in_parts_and_too_many_not_at_all(
    broker: ValkeyServer, address: BrokerAddress
) -> None:
    send(address, "needle")
    with broker.client() as client:
        (raw,) = client.lrange("mail", 0, 0)
        hay = [raw.replace(b"needle", b"hay-%06d" % number) for number in range(3000)]
        client.lpush("mail", *hay)
    assert look(address, "needle", "hay-000000", "hay-002999").places.keys() == {
        "needle",
        "hay-000000",
        "hay-002999",
    }
    found = look(address, "needle", most_messages=2000)
    assert (found.complete, found.places) == (False, {})
    assert found.problem == "More than 2,000 messages wait in the broker."


def test_keys_that_are_no_queues_and_messages_that_are_none(
    broker: ValkeyServer, address: BrokerAddress
) -> None:
    send(address, "one")
    with broker.client() as client:
        client.set("bulk", "somebody's own")
        client.sadd("_kombu.binding.bulk", "bulk\x06\x16\x06\x16bulk")
        client.lpush("mail", b"\xff\xfe not json", b'{"correlation_id": 5}', b"")
    found = look(address, "one")
    assert (found.complete, found.places) == (True, {"one": "mail"})


def test_bindings_that_cannot_be_understood_leave_it_open(
    broker: ValkeyServer, address: BrokerAddress
) -> None:
    with broker.client() as client:
        client.sadd("_kombu.binding.celery", "celery::celery")
    found = look(address, "one")
    assert (found.complete, found.problem) == (
        False,
        "Queues are named in a way that the console does not know.",
    )


def test_what_the_user_may_not_read_is_said(broker: ValkeyServer, address: BrokerAddress) -> None:
    with broker.client() as client:
        client.acl_setuser("blind", enabled=True, passwords=["+word"], commands=["+ping", "+scan", "+select"])
    with pytest.raises(ConsoleError, match="may not"):
        look(replace(address, username="blind", password=Secret("word")), "one")


@contextmanager
def answering(broker: ValkeyServer, *answers: bytes, times: int = 1) -> Iterator[None]:
    """Somebody who listens where workers do, and puts `answers` into the reply list of each question."""

    def listen(pubsub: Any, client: redis.Redis) -> None:
        heard = 0
        for message in pubsub.listen():
            if message["type"] != "message":
                continue
            body = json.loads(base64.b64decode(json.loads(message["data"])["body"]))
            oid, ticket = body["reply_to"]["routing_key"], body["ticket"]
            for answer in answers:
                client.lpush(f"{oid}.reply.celery.pidbox", answer.replace(b"TICKET", ticket.encode()))
            heard += 1
            if heard == times:
                return

    with broker.client() as client, client.pubsub() as pubsub:
        pubsub.subscribe("/0.celery.pidbox")
        pubsub.get_message(timeout=5)
        thread = threading.Thread(target=listen, args=(pubsub, client))
        thread.start()
        yield
        thread.join(10)


def reply(worker: str, value: object, ticket: str = "TICKET") -> bytes:
    body = json.dumps({worker: value})
    return json.dumps({"body": body, "headers": {"ticket": ticket}, "properties": {}}).encode()


def test_answers_that_are_none_are_passed_over(broker: ValkeyServer, address: BrokerAddress) -> None:
    answers = [
        b"\xff",
        b"[]",
        b'{"body": 5}',
        reply("celery@late", {}, ticket="another"),
        reply("celery@web", {"a": ["active", {}], "b": 5, "c": ["odd", {}], "d": ["reserved", {}]}),
    ]
    with answering(broker, *answers):
        said = RedisWorkers(address, answer_s=2.0).ask(["a", "b", "c"], everything=False)
    assert said.held == {"a": {"celery@web": "active"}, "c": {"celery@web": "ready"}}
    assert said.answered == {"celery@web"}
    assert said.listening == 1
    with broker.client() as client:
        assert client.keys("*") == []


def test_what_a_cut_leaves_behind_goes_with_the_next_question(
    broker: ValkeyServer, address: BrokerAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = RedisWorkers(address, answer_s=1.0)
    with monkeypatch.context() as cut:
        # The line breaks while answers are waited for, and cannot be made again.
        cut.setattr(RedisWorkers, "_collect", lambda _, client, *__: client.shutdown_everything())
        cut.setattr(redis.Redis, "shutdown_everything", broken, raising=False)
        with pytest.raises(ConsoleError):
            asking.ask(["a"], everything=False)
    with broker.client() as client:
        assert client.keys("*") != []
        asking.ask(["a"], everything=False)
        assert client.keys("*") == []


def broken(client: redis.Redis) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise redis.ConnectionError("Connection refused")

    client.pipeline = refuse  # type: ignore[method-assign, assignment]
    refuse()


def test_a_worker_that_fails_at_a_question_has_not_answered(
    broker: ValkeyServer, address: BrokerAddress
) -> None:
    with answering(broker, reply("celery@web", {"error": "EncodeError"}), times=7):
        said = RedisWorkers(address, answer_s=2.0).ask(["a"], everything=True)
    assert said.answered == frozenset()
    with answering(broker, times=1):
        said = RedisWorkers(address, answer_s=1.0).ask(["a"], everything=False)
    assert (said.answered, said.listening) == (frozenset(), 1)


@pytest.mark.parametrize(("prefix", "database"), [("", 0), ("shop:", 3)])
def test_the_rules_that_ship_for_operating_are_enough(
    broker: ValkeyServer, address: BrokerAddress, prefix: str, database: int
) -> None:
    asking = replace(address, key_prefix=prefix, database=database)
    send(asking, "one")
    words = redis_acl_command(AclKind.OPERATE, user="limited", key_prefix=prefix, database=database)
    with broker.client() as client:
        client.execute_command("ACL", "SETUSER", "limited", *words.split()[3:], ">word")
        client.acl_log_reset()
    limited = replace(asking, username="limited", password=Secret("word"))
    assert look(limited, "one").places == {"one": "mail"}
    said = RedisWorkers(limited, answer_s=1.0).ask(["one"], everything=True)
    assert (said.answered, said.listening) == (frozenset(), 0)
    with broker.client() as client:
        refused = {entry["object"] for entry in cast("list[dict[str, object]]", client.acl_log())}
        client.acl_deluser("limited")
        client.flushall()
    assert not {str(one) for one in refused} - {"client|setname", "b'client|setname'"}


def test_more_queues_than_can_be_looked_through_leave_it_open(
    address: BrokerAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.collector.reconcile_messages.MOST_QUEUES", 3)
    send(address, "last", queue="z")
    found = RedisMessages(address).look([suspect("last")], ("a", "b", "c"), ())
    assert (found.complete, found.problem != "") == (False, True)
