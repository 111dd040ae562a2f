"""The collector on a real RabbitMQ: events, garbage, what is refused or missing, and a line that dies."""

from __future__ import annotations

import json
import pickle
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import amqp
import pytest

from console.broker.address import BrokerAddress, BrokerKind
from console.broker.tls import TlsOptions
from console.broker.url import parse_broker_url
from console.collector.amqp_line import DROPPED, AmqpEventLine, AmqpReader
from console.collector.event_line import Complete, Item, Lost, Missing, StreamEndedError, Subscribed
from console.collector.events import Event, EventDecoder
from console.core.redaction import Secret
from console.history.model import CollectorState, TaskState
from console.history.query import parse_query
from tests.certificates import Certificates
from tests.integration.collector.conftest import Rig, life
from tests.proxy import Proxy
from tests.rabbitmq import ADMIN, RabbitServer


@pytest.fixture
def address(rabbitmq: RabbitServer, rabbitmq_vhost: str) -> BrokerAddress:
    return parse_broker_url(rabbitmq.url(rabbitmq_vhost))


def connect(rabbitmq: RabbitServer, vhost: str) -> amqp.Connection:
    connection = amqp.Connection(
        f"127.0.0.1:{rabbitmq.port}", ADMIN, rabbitmq.passwords[ADMIN], virtual_host=vhost, connect_timeout=5
    )
    connection.connect()
    return connection


def send(rabbitmq: RabbitServer, vhost: str, *messages: Any, content_type: str = "application/json") -> None:
    """Publish each as kombu does: events as JSON, bytes as they are."""
    with connect(rabbitmq, vhost) as connection:
        channel = connection.channel()
        channel.confirm_select()
        for message in messages:
            body = message if isinstance(message, bytes) else json.dumps(message).encode()
            channel.basic_publish_confirm(
                amqp.Message(body, content_type=content_type, content_encoding="utf-8"),
                exchange="celeryev",
                routing_key="task.multi",
            )


def queues(rabbitmq: RabbitServer, vhost: str) -> list[str]:
    return rabbitmq.control("list_queues", "-p", vhost, "name", "--no-table-headers").split()


async def test_events_become_rows_and_the_queue_goes_with_us(
    rabbitmq: RabbitServer, rabbitmq_vhost: str, address: BrokerAddress, rig: Rig
) -> None:
    rig.start(address)
    await rig.reading()
    (queue,) = queues(rabbitmq, rabbitmq_vhost)
    assert queue.startswith("celeryev.receiver.")
    big = "x" * 300_000  # more than one frame
    send(rabbitmq, rabbitmq_vhost, life("a"), *life("b"), life("c", kwargs=big), {"type": "own-kind"})
    summary = await rig.until(lambda one: one.events == 9)
    assert summary.counts[TaskState.SUCCEEDED] == 3
    assert summary.malformed == 0
    await rig.client.aclose()
    assert queues(rabbitmq, rabbitmq_vhost) == []
    assert rig.reader.gaps() == []


async def test_what_was_published_before_the_end_is_stored(
    rabbitmq: RabbitServer, rabbitmq_vhost: str, address: BrokerAddress, rig: Rig
) -> None:
    rig.start(address)
    await rig.reading()
    send(rabbitmq, rabbitmq_vhost, *[life(f"t{number}") for number in range(300)])
    await rig.client.aclose()
    assert rig.reader.totals()[TaskState.SUCCEEDED] == 300


async def test_only_json_is_read(
    rabbitmq: RabbitServer, rabbitmq_vhost: str, address: BrokerAddress, rig: Rig
) -> None:
    rig.start(address)
    await rig.reading()
    pickled = pickle.dumps({"type": "task-sent", "uuid": "x"})
    send(rabbitmq, rabbitmq_vhost, pickled, content_type="application/x-python-serialize")
    send(rabbitmq, rabbitmq_vhost, {"type": "task-sent", "uuid": "y"}, content_type="application/x-yaml")
    send(rabbitmq, rabbitmq_vhost, b"", b"\xff\xfe", b"[" * 5000, b"x" * 5_000_000, life("good"))
    summary = await rig.until(lambda one: one.counts[TaskState.SUCCEEDED] == 1)
    assert summary.malformed == 6
    assert summary.state is CollectorState.READING


async def test_over_tls(
    rabbitmq: RabbitServer, rabbitmq_vhost: str, certificates: Certificates, rig: Rig
) -> None:
    address = BrokerAddress(
        "localhost", rabbitmq.tls_port, kind=BrokerKind.RABBITMQ, username=ADMIN, vhost=rabbitmq_vhost,
        password=Secret(rabbitmq.passwords[ADMIN]), tls=TlsOptions(ca_file=str(certificates.ca_file)),
    )  # fmt: skip
    rig.start(address)
    await rig.reading()
    send(rabbitmq, rabbitmq_vhost, *[life(f"t{number}") for number in range(300)])
    await rig.client.aclose()
    assert rig.reader.totals()[TaskState.SUCCEEDED] == 300


async def test_a_refused_login_and_a_missing_right_are_said_in_words(
    rabbitmq: RabbitServer, rabbitmq_vhost: str, address: BrokerAddress, rig: Rig
) -> None:
    rig.start(address.with_password(Secret("marker-word")))
    summary = await rig.until(lambda one: one.state is CollectorState.FAILED)
    assert "refused the login" in summary.error
    await rig.client.aclose()
    assert "refused the login" in rig.log_file.read_text()
    assert "marker-word" not in rig.log_file.read_text()
    rabbitmq.add_user("narrow", "marker-narrow", vhost=rabbitmq_vhost, configure="", write="", read="")
    try:
        rig.start(parse_broker_url(rabbitmq.url(rabbitmq_vhost, user="narrow")))
        # It may not make the exchange, which is no failure: a worker makes it.
        await rig.until(lambda one: "No events yet" in one.error)
        assert rig.client.summary.state is CollectorState.CONNECTING
        await rig.client.aclose()
        with connect(rabbitmq, rabbitmq_vhost) as connection:
            connection.channel().exchange_declare("celeryev", "topic", durable=True, auto_delete=False)
        rig.start(parse_broker_url(rabbitmq.url(rabbitmq_vhost, user="narrow")))
        summary = await rig.until(lambda one: one.state is CollectorState.FAILED)
        assert "may not do this" in summary.error
        assert "marker-narrow" not in rig.log_file.read_text()
    finally:
        await rig.client.aclose()
        rabbitmq.delete_user("narrow")


def collect(line: AmqpEventLine, enough: Callable[[list[Item]], bool]) -> list[Item]:
    items: list[Item] = []
    deadline = time.monotonic() + 20
    while not enough(items):
        assert time.monotonic() < deadline, items
        line.wait(0.05)
        items += line.take(1 << 30)
    return items


def subscriptions(items: list[Item]) -> int:
    return sum(isinstance(one, Subscribed) for one in items)


def test_an_exchange_that_comes_later_is_waited_for(rabbitmq: RabbitServer, rabbitmq_vhost: str) -> None:
    rabbitmq.add_user("reader", "secret-word", vhost=rabbitmq_vhost, configure="^celeryev\\.receiver\\.")
    line = AmqpEventLine(parse_broker_url(rabbitmq.url(rabbitmq_vhost, user="reader")), exchange_every_s=0.05)
    line.start()
    try:
        (lost,) = collect(line, bool)
        assert isinstance(lost, Lost)
        with connect(rabbitmq, rabbitmq_vhost) as connection:
            connection.channel().exchange_declare("celeryev", "topic", durable=True, auto_delete=False)
        assert isinstance(collect(line, bool)[0], Subscribed)
    finally:
        line.stop()
        rabbitmq.delete_user("reader")


@pytest.mark.parametrize("what", ["half-open", "cut", "reset"])
def test_a_line_that_dies_is_noticed_and_made_again(address: BrokerAddress, what: str) -> None:
    with Proxy("127.0.0.1", address.port) as proxy:
        route = (((address.host, address.port), ("127.0.0.1", proxy.port)),)
        line = AmqpEventLine(replace(address, routes=route), ask_after_s=0.2, answer_within_s=0.3)
        line.start()
        try:
            collect(line, lambda items: subscriptions(items) == 1)
            {"half-open": proxy.half_open, "cut": proxy.cut, "reset": proxy.reset}[what]()
            items = collect(line, lambda items: any(isinstance(one, Lost) for one in items))
            said = next(one.reason for one in items if isinstance(one, Lost))
            assert ("did not answer" in said) == (what == "half-open")
            proxy.heal()
            collect(line, lambda items: subscriptions(items) >= 1)
        finally:
            line.stop()


def test_a_cancel_from_the_broker_ends_the_stream() -> None:
    reader, events = AmqpReader(), list[Event]()
    cancel = b"\x00\x3c\x00\x1e" + b"\x03tag" + b"\x01"
    frame = b"\x01\x00\x01" + len(cancel).to_bytes(4, "big") + cancel + b"\xce"
    reader.read(frame[:9], EventDecoder(), events)
    with pytest.raises(StreamEndedError, match="ended the subscription"):
        reader.read(frame[9:], EventDecoder(), events)


def test_a_full_queue_is_a_gap_until_it_is_empty_again(
    rabbitmq: RabbitServer, rabbitmq_vhost: str, address: BrokerAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("console.collector.amqp_line.QUEUED_MESSAGES", 1000)
    monkeypatch.setattr("console.collector.amqp_line.NEARLY_FULL", 800)
    monkeypatch.setattr("console.collector.amqp_line.CALM", 500)
    monkeypatch.setattr("console.collector.event_line.SOON_S", 0.05)
    monkeypatch.setattr("console.collector.amqp_line.widen", lambda _line: None)
    hold = threading.Event()
    line = AmqpEventLine(address, ask_after_s=0.05, answer_within_s=10)
    keep = line._keep
    monkeypatch.setattr(line, "_keep", lambda *got: (keep(*got), hold.wait(10))[0])
    line.start()
    try:
        collect(line, lambda items: subscriptions(items) == 1)
        # Large enough that the sockets' buffers do not take all of it.
        send(rabbitmq, rabbitmq_vhost, *[{"type": "own", "text": "x" * 20_000} for _ in range(3000)])
        hold.set()
        items = collect(line, lambda items: any(isinstance(one, Complete) for one in items))
    finally:
        hold.set()
        line.stop()
    marks = [one for one in items if isinstance(one, (Missing, Complete))]
    assert isinstance(marks[0], Missing)
    assert marks[0].reason == DROPPED
    assert isinstance(marks[1], Complete)
    assert marks[1].at > marks[0].at


async def test_a_broker_that_restarts_leaves_a_gap(
    rabbitmq: RabbitServer, rabbitmq_vhost: str, address: BrokerAddress, rig: Rig
) -> None:
    rig.start(address)
    await rig.reading()
    send(rabbitmq, rabbitmq_vhost, life("before"))
    await rig.until(lambda one: one.counts[TaskState.SUCCEEDED] == 1)
    rabbitmq.stop_app()
    try:
        await rig.until(lambda one: one.state is CollectorState.RECONNECTING)
    finally:
        rabbitmq.start_app()
    await rig.reading()
    send(rabbitmq, rabbitmq_vhost, life("after"))
    await rig.until(lambda one: one.counts[TaskState.SUCCEEDED] == 2)
    (gap,) = rig.reader.gaps()
    assert gap.end is not None
    assert "connection" in gap.reason
    assert len(rig.reader.page(parse_query(""))) == 2
