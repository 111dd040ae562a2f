"""The users that ship in packaging/acl, with what the console really asks of a RabbitMQ."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from console.broker.kombu_lines import close_celery_app, make_celery_app
from console.core.errors import Cause, ConsoleError
from console.queues.amqp_gateway import AmqpQueues
from console.queues.model import DepthQuestion
from console.tasks.gateway import CeleryTaskControl
from console.tasks.model import SendRequest
from console.workers.gateway import CeleryControl
from console.workers.model import Request
from tests.contract.rabbitmq.conftest import NODE, until
from tests.contract.rabbitmq.places import Place

FOLDER = Path(__file__).parents[3] / "packaging" / "acl"
PING = Request("ping", expected=frozenset({NODE}))


def shipped(place: Place, file: str) -> Place:
    """`place` entered as the user that `file` makes."""
    words = shlex.split((FOLDER / file).read_text())
    after = words.index("set_permissions") + 1
    _option, _vhost, user, configure, write, read = words[after : after + 6]
    tag = words[words.index("set_user_tags") + 2]
    return place.as_user(user, tags=tag, configure=configure, write=write, read=read)


@pytest.fixture
def operator(shop: Place) -> Iterator[Place]:
    made = shipped(shop, "rabbitmq-operate.sh")
    yield made
    shop.server.delete_user(made.user)


@pytest.fixture
def reader(shop: Place) -> Iterator[Place]:
    made = shipped(shop, "rabbitmq-read-only.sh")
    yield made
    shop.server.delete_user(made.user)


def test_the_operator_asks_workers_revokes_and_sends(
    operator: Place,
    open_control: Callable[[Place], CeleryControl],
    open_queues: Callable[[Place], AmqpQueues],
) -> None:
    control = open_control(operator)
    assert set(control.ask([PING], timeout_s=5.0).by_request[0]) == {NODE}
    app = make_celery_app(operator.address)
    tasks = CeleryTaskControl(lambda: app, operator.address)
    (answer,) = tasks.tell(["nobody's"], signal=None, expected=1)
    assert answer.ok
    tasks.send("id", SendRequest("shop.add", "mail", [1, 2], {}))
    with pytest.raises(ConsoleError, match="no queue for this message"):
        tasks.send("id", SendRequest("shop.add", "typo", [1, 2], {}))
    close_celery_app(app)
    queues = open_queues(operator)
    until(lambda: {"mail", "celery"} <= (queues.depths(DepthQuestion(queues=())).queues or frozenset()))


def test_the_reader_sees_queues_and_changes_nothing(
    reader: Place, open_control: Callable[[Place], CeleryControl], open_queues: Callable[[Place], AmqpQueues]
) -> None:
    queues = open_queues(reader)
    until(lambda: queues.depths(DepthQuestion(queues=())).unacked is not None)
    declared = open_queues(reader.without_management).depths(DepthQuestion(queues=("mail",)))
    assert declared.consumers == {"mail": 1}
    app = make_celery_app(reader.address)
    tasks = CeleryTaskControl(lambda: app, reader.address)
    for act in (
        lambda: open_control(reader).ask([PING], timeout_s=1.0),
        lambda: tasks.tell(["id"], signal=None, expected=1),
        lambda: tasks.send("id", SendRequest("shop.add", "mail", [1, 2], {})),
    ):
        with pytest.raises(ConsoleError) as raised:
            act()
        assert raised.value.cause is Cause.NOT_PERMITTED
    close_celery_app(app)
