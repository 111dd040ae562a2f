"""RabbitMQ for one test (`place`), and one with a worker for this folder (`shop`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from console.broker.kombu_lines import close_celery_app, make_celery_app
from console.queues.amqp_gateway import AmqpQueues
from console.workers.gateway import CeleryControl
from tests.contract.rabbitmq.places import Place
from tests.contract.workers.conftest import worker
from tests.rabbitmq import RabbitServer

NODE = "one@rabbit"
VHOST = "shop/eu"


def until(condition: Callable[[], bool], *, within_s: float = 15.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


@pytest.fixture
def place(rabbitmq: RabbitServer, rabbitmq_vhost: str) -> Place:
    return Place(rabbitmq, rabbitmq_vhost)


@pytest.fixture(scope="module")
def shop(rabbitmq: RabbitServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A vhost with a slash in its name and a prefork worker of two places, `one@rabbit`, without events."""
    rabbitmq.add_vhost(VHOST)
    place = Place(rabbitmq, VHOST)
    folder = tmp_path_factory.mktemp("shop")
    with worker(place, folder, NODE, "--pool", "prefork", "-c", "2", "-Q", "mail,celery"):
        yield place
    rabbitmq.delete_vhost(VHOST)


@pytest.fixture
def open_queues() -> Iterator[Callable[[Place], AmqpQueues]]:
    """Queues of a place as the console reads them, closed at the end."""
    closing: list[Callable[[], None]] = []

    def open_place(place: Place) -> AmqpQueues:
        app = make_celery_app(place.address)
        # Every look in these tests is a new one.
        clock = iter(range(0, 10**9, 1000))
        queues = AmqpQueues(lambda: app, place.address, clock_s=lambda: float(next(clock)))
        closing.extend((queues.close, lambda: close_celery_app(app)))
        return queues

    yield open_place
    for close in closing:
        close()


@pytest.fixture
def open_control() -> Iterator[Callable[[Place], CeleryControl]]:
    """Remote control of a place, closed at the end."""
    closing: list[Callable[[], None]] = []

    def open_place(place: Place) -> CeleryControl:
        app = make_celery_app(place.address)
        control = CeleryControl(lambda: app, place.address)
        closing.extend((control.close, lambda: close_celery_app(app)))
        return control

    yield open_place
    for close in closing:
        close()
