"""A line that breaks while workers are asked: they are asked once, and nothing is left in the broker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from celery import Celery

from console.broker.address import BrokerAddress
from console.broker.kombu_lines import close_celery_app, make_celery_app
from console.broker.sending import delete_owed_reply_queues
from console.core.errors import Cause, ConsoleError
from console.workers.gateway import CeleryControl
from console.workers.model import Request
from tests.integration.life.load import reply_traces_in_redis
from tests.proxy import Proxy
from tests.valkey import ValkeyServer

ANSWER_S = 3.0


@pytest.fixture
def proxy(broker: ValkeyServer) -> Iterator[Proxy]:
    with Proxy("127.0.0.1", broker.port) as proxy:
        yield proxy


@pytest.fixture
def address(broker: ValkeyServer, proxy: Proxy) -> BrokerAddress:
    return replace(broker.address, port=proxy.port, timeout_s=2.0)


@pytest.fixture
def app(address: BrokerAddress) -> Iterator[Celery]:
    app = make_celery_app(address)
    yield app
    close_celery_app(app)


def cut_when_asked(broker: ValkeyServer, proxy: Proxy, ask: Callable[[], object]) -> tuple[int, ConsoleError]:
    """How often a question went out whose line is cut while answers are waited for, and what was said."""
    failures: list[ConsoleError] = []

    def work() -> None:
        try:
            ask()
        except ConsoleError as error:
            failures.append(error)

    with broker.client() as client, client.pubsub() as heard:
        heard.psubscribe("*celery.pidbox")
        assert heard.get_message(timeout=5) is not None
        asking = threading.Thread(target=work)
        asking.start()
        assert heard.get_message(timeout=5) is not None
        questions = 1
        deadline_s = time.monotonic() + 2 * ANSWER_S
        clients: list[dict[str, str]] = []
        while not any(one["cmd"] == "brpop" for one in clients):
            assert time.monotonic() < deadline_s, "nobody waits for answers"
            clients = client.client_list()
        proxy.cut()
        more = True
        while more or asking.is_alive():
            more = heard.get_message(timeout=0.2) is not None
            questions += more
            assert time.monotonic() < deadline_s, "it does not end"
        asking.join()
    assert len(failures) == 1, f"asked {questions} times, and no failure"
    return questions, failures[0]


def traces(broker: ValkeyServer) -> list[str]:
    with broker.client() as client:
        return reply_traces_in_redis(client)


def test_a_question_to_workers_is_never_asked_twice(
    broker: ValkeyServer, proxy: Proxy, address: BrokerAddress, app: Celery
) -> None:
    """Growing a pool twice would be wrong, however idle the line was before."""
    control = CeleryControl(lambda: app, address)
    try:
        control.ask([Request("ping")], timeout_s=0.1)
        grow = Request("pool_grow", {"n": 1}, destination=("one@test",), expected=frozenset({"one@test"}))
        questions, said = cut_when_asked(broker, proxy, lambda: control.ask([grow], timeout_s=ANSWER_S))
        assert questions == 1
        assert said.cause is Cause.UNREACHABLE
        assert traces(broker)
        control.ask([Request("ping")], timeout_s=0.1)
        assert traces(broker) == []
    finally:
        control.close()


def test_an_idle_line_that_was_cut_is_replaced_unseen(
    proxy: Proxy, address: BrokerAddress, app: Celery
) -> None:
    control = CeleryControl(lambda: app, address)
    try:
        for _ in range(3):
            control.ask([Request("ping")], timeout_s=0.1)
            proxy.cut()
    finally:
        control.close()


def test_what_a_cut_left_in_the_broker_is_deleted_at_the_end(
    broker: ValkeyServer, proxy: Proxy, address: BrokerAddress, app: Celery
) -> None:
    control = CeleryControl(lambda: app, address)
    grow = Request("pool_grow", {"n": 1}, destination=("one@test",), expected=frozenset({"one@test"}))
    cut_when_asked(broker, proxy, lambda: control.ask([grow], timeout_s=ANSWER_S))
    control.close()
    assert traces(broker)
    delete_owed_reply_queues(app, address)
    assert traces(broker) == []
