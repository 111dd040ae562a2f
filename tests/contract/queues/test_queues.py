"""One suite for the fake and for the real thing, so that the fake cannot drift."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Protocol

import pytest

from console.broker.errors import broker_errors
from console.broker.kombu_lines import close_celery_app, make_celery_app
from console.broker.redis_client import make_redis_client
from console.core.errors import Cause, ConsoleError
from console.queues.gateway import Queues
from console.queues.model import SEPARATOR, DepthQuestion, buckets_of
from console.queues.redis_gateway import RedisQueues
from tests.unit.queues.fakes import FakeQueues, envelope
from tests.valkey import ValkeyServer


class World(Protocol):
    @property
    def queues(self) -> Queues: ...
    def put(self, queue: str, raw: bytes, *, step: int = 0) -> None: ...
    def hold(self, raw: bytes, /, exchange: str, routing_key: str) -> None: ...
    def bind(self, exchange: str, routing_key: str, queue: str) -> None: ...


class RealWorld:
    """Writes into Redis what kombu would."""

    def __init__(self, broker: ValkeyServer) -> None:
        self.client = make_redis_client(broker.address)
        self.queues: Queues = RedisQueues(lambda: self.client, broker.address)
        self.held = 0

    def put(self, queue: str, raw: bytes, *, step: int = 0) -> None:
        self.client.lpush(f"{queue}{SEPARATOR}{step}" if step else queue, raw)

    def hold(self, raw: bytes, /, exchange: str, routing_key: str) -> None:
        self.held += 1
        value = json.dumps([json.loads(raw), exchange, routing_key])
        self.client.hset("unacked", f"tag-{self.held}", value)

    def bind(self, exchange: str, routing_key: str, queue: str) -> None:
        self.client.sadd(f"_kombu.binding.{exchange}", SEPARATOR.join((routing_key, "", queue)))


class FakeWorld(FakeQueues):
    @property
    def queues(self) -> Queues:
        return self


@pytest.fixture(params=["fake", "real"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "fake":
        yield FakeWorld()
        return
    real = RealWorld(request.getfixturevalue("broker"))
    yield real
    real.client.close()


def test_finds_bound_queues_and_not_those_of_control(world: World) -> None:
    world.bind("celery", "celery", "celery")
    world.bind("shop", "mail.#", "mail")
    found = world.queues.discover()
    assert found.queues == {"celery", "mail"}
    assert found.bindings[("shop", "mail.#")] == {"mail"}
    assert found.cursor == 0


def test_an_empty_broker_is_empty(world: World) -> None:
    assert world.queues.discover().queues == frozenset()
    depths = world.queues.depths(DepthQuestion(queues=("mail", "celery")))
    assert depths.ready == {}
    assert depths.unacked is not None
    assert depths.unacked.total == 0
    assert world.queues.peek("mail") == ((), 0)


def test_counts_every_priority_step(world: World) -> None:
    for step, times in ((0, 3), (3, 1), (9, 2)):
        for _ in range(times):
            world.put("mail", envelope(), step=step)
    world.put("other", envelope())
    key, third, _, ninth = buckets_of("mail")
    for filled in (frozenset[str](), frozenset({key}), frozenset({key, third, ninth, "other"})):
        depths = world.queues.depths(DepthQuestion(queues=("mail", "other"), filled=filled))
        assert depths.ready == {key: 3, third: 1, ninth: 2, "other": 1}
        assert depths.heads == ()


def test_tells_whose_the_held_messages_are(world: World) -> None:
    world.bind("shop", "mail", "mail")
    world.hold(envelope(), "", "celery")
    world.hold(envelope(), "shop", "mail")
    world.hold(envelope(), "shop", "mail")
    bindings = world.queues.discover().bindings
    unacked = world.queues.depths(DepthQuestion(queues=("mail",), unacked=True, bindings=bindings)).unacked
    assert unacked is not None
    assert (unacked.total, unacked.by_queue, unacked.complete) == (3, {"celery": 1, "mail": 2}, True)
    world.hold(envelope(), "fanned", "out")
    unacked = world.queues.depths(DepthQuestion(queues=("mail",), unacked=True, bindings=bindings)).unacked
    assert unacked is not None
    assert (unacked.total, unacked.complete) == (4, False)


def test_heads_are_the_messages_served_next(world: World) -> None:
    world.put("mail", envelope(tag="first", task_id="1"))
    world.put("mail", envelope(tag="second", task_id="2"))
    world.put("mail", envelope(tag="low", task_id="3"), step=9)
    heads = world.queues.depths(DepthQuestion(queues=("mail",), heads=True)).heads
    assert sorted((head.tag, head.task_id) for head in heads) == [("first", "1"), ("low", "3")]


def test_peeks_next_first_and_takes_nothing(world: World) -> None:
    for number in range(60):
        world.put("mail", envelope(args=[number], tag=f"t{number}"), step=3)
    world.put("mail", envelope(args=["urgent"], tag="u"))
    for _ in range(2):
        messages, total = world.queues.peek("mail", count=50)
        assert total == 61
        assert [message.position for message in messages] == list(range(1, 51))
        assert [message.args for message in messages[:3]] == ['["urgent"]', "[0]", "[1]"]
        assert [message.bucket for message in messages[:2]] == [0, 3]
        assert messages[-1].args == "[48]"


def test_peeks_past_garbage(world: World) -> None:
    world.put("mail", b"\xff not a message")
    world.put("mail", envelope())
    messages, total = world.queues.peek("mail")
    assert total == 2
    assert [bool(message.problem) for message in messages] == [True, False]


# Only of the real thing.


def test_reads_what_celery_itself_sends(broker: ValkeyServer) -> None:
    app = make_celery_app(broker.address)
    for priority in (0, 5, 9):
        app.send_task("shop.pay", [7], {"key": "k"}, queue="mail", priority=priority, countdown=60)
    close_celery_app(app)
    client = make_redis_client(broker.address)
    queues = RedisQueues(lambda: client, broker.address)
    depths = queues.depths(DepthQuestion(queues=("mail",)))
    assert sum(depths.ready.values()) == 3
    messages, total = queues.peek("mail")
    assert total == 3
    assert [message.priority for message in messages] == [0, 5, 9]
    assert {(m.task, m.args, m.kwargs, m.problem) for m in messages} == {
        ("shop.pay", "[7]", '{"key": "k"}', "")
    }
    assert all(message.eta and message.id and message.tag for message in messages)
    assert queues.discover().queues == {"mail"}
    client.close()


def test_stops_before_it_reads_too_much(broker: ValkeyServer) -> None:
    with broker.client() as writer:
        big = base64.b64encode(b"x" * 700_000).decode()
        writer.lpush("mail", *[envelope(args=[big, number]) for number in range(40)])
    client = make_redis_client(broker.address)
    messages, total = RedisQueues(lambda: client, broker.address).peek("mail")
    assert total == 40
    assert 8 <= len(messages) <= 25
    client.close()


def test_a_key_of_another_type_hides_nothing(broker: ValkeyServer) -> None:
    with broker.client() as writer:
        writer.hset("mail", "not", "a list")
        writer.set("_kombu.binding.odd", "not a set")
        writer.lpush("other", envelope())
    client = make_redis_client(broker.address)
    queues = RedisQueues(lambda: client, broker.address)
    assert queues.depths(DepthQuestion(queues=("mail", "other"))).ready == {"other": 1}
    assert queues.discover().queues == frozenset()
    client.close()


def test_an_absent_broker_is_said_in_words(own_broker: ValkeyServer) -> None:
    client = make_redis_client(own_broker.address)
    own_broker.kill()
    with pytest.raises(ConsoleError) as raised:
        RedisQueues(lambda: client, own_broker.address).depths(DepthQuestion(queues=("mail",)))
    assert raised.value.cause is Cause.UNREACHABLE
    client.close()
    with broker_errors(own_broker.address):
        pass
