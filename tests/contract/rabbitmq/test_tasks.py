"""Sending, revoking and terminating over RabbitMQ: nothing declared, nothing lost in silence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from console.broker.kombu_lines import close_celery_app, make_celery_app
from console.broker.session import Session
from console.core.clock import SystemClock
from console.core.connection import ConnectionInfo, Environment
from console.core.errors import Cause, ConsoleError
from console.resend.gateway import Message, send_message
from console.schedules.celery_broker import CeleryScheduleBroker
from console.tasks.gateway import CeleryTaskControl
from console.tasks.model import SendRequest
from console.workers.gateway import CeleryControl
from console.workers.model import Request
from tests.contract.rabbitmq.conftest import NODE, until
from tests.contract.rabbitmq.places import Place
from tests.unit.schedules.samples import schedule


@pytest.fixture
def app(request: pytest.FixtureRequest) -> Iterator[Celery]:
    place: Place = request.getfixturevalue("shop" if "shop" in request.fixturenames else "place")
    made = make_celery_app(place.address)
    yield made
    close_celery_app(made)


def test_a_task_to_a_queue_that_does_not_exist_is_an_error(place: Place, app: Celery) -> None:
    tasks = CeleryTaskControl(lambda: app, place.address)
    with pytest.raises(ConsoleError) as raised:
        tasks.send("id-1", SendRequest("shop.add", "typo", [1, 2], {}))
    assert raised.value.cause is Cause.NOT_FOUND
    assert raised.value.title == "The broker has no queue for this message"
    assert place.queues() == {}


def test_a_task_arrives_as_celery_would_send_it(place: Place, app: Celery) -> None:
    # Declared otherwise than Celery would: declaring it once more would be refused.
    place.declare("mail", **{"x-max-priority": 7})
    CeleryTaskControl(lambda: app, place.address).send("id-1", SendRequest("shop.add", "mail", [1, 2], {}))
    (message,) = place.messages("mail")
    assert json.loads(message["payload"])[:2] == [[1, 2], {}]
    headers = message["properties"]["headers"]
    assert (headers["id"], headers["task"], headers["argsrepr"]) == ("id-1", "shop.add", "(1, 2)")
    assert message["properties"]["delivery_mode"] == 2


def test_a_full_queue_that_refuses_is_an_error(place: Place, app: Celery) -> None:
    place.declare("full", "1", **{"x-max-length": 1, "x-overflow": "reject-publish"})
    with pytest.raises(ConsoleError, match="did not take the message"):
        CeleryTaskControl(lambda: app, place.address).send("id", SendRequest("a", "full", [], {}))


def test_a_user_who_may_not_write(place: Place) -> None:
    place.declare("mail")
    reader = place.as_user("reader", configure="", write="", read=".*")
    app = make_celery_app(reader.address)
    with pytest.raises(ConsoleError) as raised:
        CeleryTaskControl(lambda: app, reader.address).send("id", SendRequest("a", "mail", [], {}))
    assert raised.value.cause is Cause.NOT_PERMITTED
    close_celery_app(app)
    place.server.delete_user("reader")


@pytest.fixture
async def session(place: Place, tmp_path: Path) -> Session:
    return Session(
        info=ConnectionInfo("c", "Shop", Environment.STAGING),
        address=place.address,
        schedules=None,
        history_file=tmp_path / "h.sqlite3",
        clock=SystemClock(),
    )


async def test_resend_and_run_now_declare_nothing(place: Place, session: Session) -> None:
    nightly = schedule(name="Nightly", task="shop.report", args="[1]")
    broker = CeleryScheduleBroker(session)
    message = Message("id-2", "shop.resend", "mail", {"user_id": 7})
    try:
        for send in (
            lambda: send_message(session, message),
            lambda: broker.run_now(nightly, queue="mail"),
        ):
            with pytest.raises(ConsoleError) as raised:
                await session.queues.run(send)
            assert raised.value.cause is Cause.NOT_FOUND
        assert place.queues() == {}
        place.declare("mail")
        await session.queues.run(send_message, session, message)
        await session.queues.run(lambda: broker.run_now(nightly, queue="mail"))
        found = [one["properties"]["headers"] for one in place.messages("mail")]
        assert [headers["task"] for headers in found] == ["shop.resend", "shop.report"]
        assert found[1]["periodic_task_name"] == "Nightly"
    finally:
        await session.aclose()


def test_revoke_and_terminate(shop: Place, app: Celery, tmp_path: Path) -> None:
    tasks = CeleryTaskControl(lambda: app, shop.address)
    control = CeleryControl(lambda: app, shop.address)

    def active() -> set[str]:
        replies = control.ask([Request("active", {"safe": True}, expected=frozenset({NODE}))], timeout_s=2.0)
        reply = replies.by_request[0].get(NODE)
        held = reply.value if reply is not None else []
        return {task["id"] for task in held} if isinstance(held, list) else set()

    tasks.send("runs", SendRequest("shop.wait_for", "mail", [str(tmp_path / "never")], {}))
    until(lambda: active() == {"runs"})
    (answer,) = tasks.tell(["later"], signal=None, expected=1)
    assert (answer.hostname, answer.ok) == (NODE, True)
    (answer,) = tasks.tell(["runs"], signal="SIGTERM", expected=1)
    assert answer.ok
    assert "unknown" not in answer.text
    until(lambda: not active())
    control.close()
    assert not {name for name in shop.queues() if ".reply." in name}


async def test_a_worker_tells_its_settings(shop: Place, tmp_path: Path) -> None:
    session = Session(
        info=ConnectionInfo("c", "Shop", Environment.STAGING),
        address=shop.address,
        schedules=None,
        history_file=tmp_path / "h.sqlite3",
        clock=SystemClock(),
    )
    settings = await session.control.run(CeleryScheduleBroker(session).worker_settings)
    await session.aclose()
    assert settings is not None
    assert settings.default_queue == "celery"
    assert not {name for name in shop.queues() if ".reply." in name}
