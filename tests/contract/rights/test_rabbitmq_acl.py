"""The permissions that ship for RabbitMQ, with real users of a real server, and the probe of rights there."""

from __future__ import annotations

import shlex
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import amqp
import pytest

from console.broker.acl import AclKind, rabbitmq_permissions
from console.broker.address import BrokerAddress
from console.broker.management import ManagementApi
from console.broker.rights import probe_rights
from console.broker.url import parse_broker_url
from console.collector.amqp_line import AmqpEventLine
from console.collector.event_line import Subscribed
from console.core.connection import Right
from tests.contract.rights.conftest import ask_workers, send_tasks, session_of
from tests.rabbitmq import RabbitServer

QUEUE = "orders"
PASSWORD = "a password of tests"


@pytest.fixture
def vhost(rabbitmq: RabbitServer, rabbitmq_vhost: str) -> str:
    """With a queue that holds a message, and the exchanges that workers have made."""
    with _channel(rabbitmq, rabbitmq_vhost, "console") as channel:
        channel.queue_declare(QUEUE, durable=True, auto_delete=False)
        channel.confirm_select()
        channel.basic_publish_confirm(amqp.Message("x", delivery_mode=2), exchange="", routing_key=QUEUE)
        channel.exchange_declare("celeryev", "topic", durable=True, auto_delete=False)
        channel.exchange_declare("celery.pidbox", "fanout", durable=False, auto_delete=False)
        channel.exchange_declare("reply.celery.pidbox", "direct", durable=False, auto_delete=False)
    return rabbitmq_vhost


@contextmanager
def _channel(server: RabbitServer, vhost: str, user: str) -> Iterator[Any]:
    connection = amqp.Connection(
        f"127.0.0.1:{server.port}", userid=user, password=server.passwords[user], virtual_host=vhost
    )
    connection.connect()
    try:
        yield connection.channel()
    finally:
        connection.close()


def _user(server: RabbitServer, vhost: str, kind: AclKind) -> BrokerAddress:
    """The user that the shipped commands make; through the API, as rabbitmqctl takes a second each."""
    add, tags, permissions = (
        shlex.split(line) for line in rabbitmq_permissions(kind, user="limited", vhost=vhost).splitlines()
    )
    assert add == ["rabbitmqctl", "add_user", "limited"]
    assert permissions[:5] == ["rabbitmqctl", "set_permissions", "--vhost", vhost, "limited"]
    configure, write, read = permissions[5:]
    server.add_user("limited", PASSWORD, tags[-1], vhost=vhost, configure=configure, write=write, read=read)
    address = parse_broker_url(server.url(vhost, user="limited"))
    return replace(address, management_url=server.management_url)


def _events_work(address: BrokerAddress) -> bool:
    line = AmqpEventLine(address)
    line.start()
    try:
        for _ in range(100):
            line.wait(0.1)
            for item in line.take(1 << 20):
                if isinstance(item, Subscribed):
                    return True
                if getattr(item, "error", None) is not None:
                    return False
        return False
    finally:
        line.stop()


@pytest.mark.parametrize("kind", AclKind)
async def test_the_user_can_do_what_the_pages_need_and_the_probe_says_so(
    rabbitmq: RabbitServer, vhost: str, kind: AclKind
) -> None:
    address = _user(rabbitmq, vhost, kind)
    assert _events_work(address)
    api = ManagementApi(address)
    try:
        assert QUEUE in {one.name for one in api.queues().queues}
    finally:
        api.close()
    session = session_of(address)
    try:
        session.ping()
        refused = probe_rights(session)
        if kind is AclKind.OPERATE:
            assert refused == {}
            ask_workers(session)
            send_tasks(session)
        else:
            assert set(refused) == {Right.ASK_WORKERS, Right.SEND_TASKS}
            assert "the exchange celery.pidbox" in refused[Right.ASK_WORKERS]
    finally:
        await session.aclose()


Do = Callable[[Any], object]
ALWAYS_REFUSED: dict[str, Do] = {
    "declare a queue": lambda channel: channel.queue_declare("other"),
    "delete a queue": lambda channel: channel.queue_delete(QUEUE),
    "purge a queue": lambda channel: channel.queue_purge(QUEUE),
    "get a message": lambda channel: channel.basic_get(QUEUE),
    "consume": lambda channel: channel.basic_consume(QUEUE),
    "bind a queue": lambda channel: channel.queue_bind(QUEUE, "celeryev", "#"),
    "declare an exchange": lambda channel: channel.exchange_declare("other", "fanout"),
    "delete an exchange": lambda channel: channel.exchange_delete("amq.topic"),
    "delete a worker's queue of events": lambda channel: channel.queue_delete(f"celeryev.{uuid.uuid4()}"),
    "take a worker's orders": lambda channel: channel.queue_declare("celery@web.celery.pidbox"),
}
REFUSED_TO_READERS: dict[str, Do] = {
    "send a task": lambda channel: _publish(channel, "", QUEUE),
    "tell workers": lambda channel: _publish(channel, "celery.pidbox", ""),
    "write an event": lambda channel: _publish(channel, "celeryev", "task.sent"),
    "delete the exchange of events": lambda channel: channel.exchange_delete("celeryev"),
}


def _refused(act: Do, channel: Any) -> bool:
    try:
        act(channel)
    except amqp.exceptions.AccessRefused:
        return True
    return False


def _publish(channel: Any, exchange: str, routing_key: str) -> None:
    channel.confirm_select()
    channel.basic_publish_confirm(amqp.Message("x"), exchange=exchange, routing_key=routing_key)


@pytest.mark.parametrize("kind", AclKind)
def test_everything_else_is_refused_and_the_queue_stays(
    rabbitmq: RabbitServer, vhost: str, kind: AclKind
) -> None:
    _user(rabbitmq, vhost, kind)
    tried = ALWAYS_REFUSED | (REFUSED_TO_READERS if kind is AclKind.READ_ONLY else {})
    with _channel(rabbitmq, vhost, "limited") as channel:
        for what, act in tried.items():
            with channel.connection.channel() as one:
                assert _refused(act, one), f"{what} was not refused"
    with _channel(rabbitmq, vhost, "console") as channel:
        assert channel.queue_declare(QUEUE, passive=True).message_count == 1


async def test_a_user_without_any_permission(rabbitmq: RabbitServer, vhost: str) -> None:
    rabbitmq.add_user("nothing", PASSWORD, vhost=vhost, configure="", write="", read="")
    session = session_of(parse_broker_url(rabbitmq.url(vhost, user="nothing")))
    try:
        refused = probe_rights(session)
    finally:
        await session.aclose()
    assert set(refused) == {Right.ASK_WORKERS, Right.SEND_TASKS, Right.READ_EVENTS}


@pytest.mark.parametrize("kind", AclKind)
def test_the_files_that_ship_are_these_texts(kind: AclKind) -> None:
    file = Path(__file__).parents[3] / "packaging" / "acl" / f"rabbitmq-{kind}.sh"
    assert file.read_text(encoding="utf-8") == rabbitmq_permissions(kind, user=kind.user)


def test_names_are_quoted_for_the_shell() -> None:
    text = rabbitmq_permissions(AclKind.READ_ONLY, user="it's", vhost="a b/c")
    words = shlex.split(text.splitlines()[2])
    assert words[3:5] == ["a b/c", "it's"]
