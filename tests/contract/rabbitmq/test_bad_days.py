"""RabbitMQ goes away and comes back, or its line falls silent: said in time, and all well afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from console.broker.errors import broker_errors
from console.broker.kombu_lines import close_celery_app, make_celery_app
from console.core.errors import Cause, ConsoleError
from console.queues.amqp_gateway import AmqpQueues
from console.queues.model import DepthQuestion
from console.tasks.gateway import CeleryTaskControl
from console.tasks.model import SendRequest
from console.workers.gateway import CeleryControl
from console.workers.model import Request
from tests.contract.rabbitmq.conftest import until
from tests.contract.rabbitmq.places import Place
from tests.proxy import Proxy

MAIL = DepthQuestion(queues=("mail",))


def cause_of(act: Callable[[], object]) -> Cause:
    with pytest.raises(ConsoleError) as raised:
        act()
    return raised.value.cause


def test_a_restart_under_way(
    place: Place, open_queues: Callable[[Place], AmqpQueues], open_control: Callable[[Place], CeleryControl]
) -> None:
    place.declare("mail", "1")
    queues, declaring, control = (
        open_queues(place),
        open_queues(place.without_management),
        open_control(place),
    )
    tasks = CeleryTaskControl(control._app, place.address)
    until(lambda: queues.depths(MAIL).ready == {"mail": 1})
    assert declaring.depths(MAIL).ready == {"mail": 1}
    control.ask([Request("ping")], timeout_s=0.1)
    place.server.stop_app()
    try:
        for act in (
            lambda: queues.depths(MAIL),
            lambda: declaring.depths(MAIL),
            lambda: control.ask([Request("ping")], timeout_s=0.1),
            lambda: tasks.send("id", SendRequest("a", "mail", [], {})),
            lambda: tasks.tell(["id"], signal=None, expected=None),
        ):
            assert cause_of(act) is Cause.UNREACHABLE
    finally:
        place.server.start_app()
    # Messages of the administrator's are transient; the queue is durable.
    until(lambda: queues.depths(MAIL).queues == frozenset({"mail"}))
    depths = queues.depths(MAIL)
    assert depths.note == "", "the API is asked again at once when the whole broker had been away"
    assert declaring.depths(MAIL).missing == frozenset()
    assert control.ask([Request("ping")], timeout_s=0.1).by_request == ({},)
    tasks.send("id", SendRequest("a", "mail", [], {}))


def test_a_line_that_falls_silent(place: Place) -> None:
    place.declare("mail", "1")
    with Proxy("127.0.0.1", place.server.port) as proxy:
        address = replace(place.without_management.address, port=proxy.port, timeout_s=0.6)
        app = make_celery_app(address)
        control = CeleryControl(lambda: app, address)
        clock = iter(range(0, 10_000, 100))
        queues = AmqpQueues(lambda: app, address, clock_s=lambda: float(next(clock)))
        with broker_errors(address):
            control.ask([Request("ping")], timeout_s=0.1)
            queues.depths(MAIL)
        proxy.half_open()
        for act in (lambda: control.ask([Request("ping")], timeout_s=0.1), lambda: queues.depths(MAIL)):
            started_s = time.monotonic()
            assert cause_of(act) is Cause.TIMEOUT
            assert time.monotonic() - started_s < 1.2
        assert control.ask([Request("ping")], timeout_s=0.1).by_request == ({},)
        assert queues.depths(MAIL).ready == {"mail": 1}
        control.close()
        queues.close()
        close_celery_app(app)
