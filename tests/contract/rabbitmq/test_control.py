"""What RabbitMQ adds to remote control: reply queues that go, lines that break, users who may not."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from console.broker.kombu_lines import close_celery_app, make_celery_app
from console.core.errors import Cause, ConsoleError
from console.tasks.gateway import CeleryTaskControl
from console.workers.gateway import CeleryControl
from console.workers.model import Request
from tests.contract.rabbitmq.conftest import NODE, until
from tests.contract.rabbitmq.places import Place

Open = Callable[[Place], CeleryControl]
PING = Request("ping", expected=frozenset({NODE}))


def replies_of(place: Place) -> set[str]:
    return {name for name in place.queues() if ".reply." in name}


def test_nobody_has_ever_worked_here(place: Place, open_control: Open) -> None:
    control = open_control(place)
    assert control.ask([Request("ping")], timeout_s=0.2).by_request == ({},)
    control.tell(Request("enable_events"))
    assert place.queues() == {}


def test_a_round_leaves_no_queue(shop: Place, open_control: Open) -> None:
    control = open_control(shop)
    for _ in range(3):
        assert set(control.ask([PING, PING], timeout_s=5.0).by_request[0]) == {NODE}
    assert replies_of(shop) == set()


def test_the_reply_queue_of_a_killed_console_goes_with_its_line(shop: Place, open_control: Open) -> None:
    control = open_control(shop)

    def waits() -> None:
        with contextlib.suppress(ConsoleError):
            control.ask([Request("ping", expected=frozenset({NODE, "never@test"}))], timeout_s=20.0)

    asking = threading.Thread(target=waits)
    asking.start()
    until(lambda: bool(replies_of(shop)))
    (name,) = replies_of(shop)
    assert shop.queues()[name]["exclusive"]
    control._connection.connection.sock.shutdown(socket.SHUT_RDWR)
    asking.join()
    until(lambda: name not in replies_of(shop))


def test_a_line_that_the_server_closed_is_replaced(shop: Place, open_control: Open) -> None:
    control = open_control(shop)
    assert set(control.ask([PING], timeout_s=5.0).by_request[0]) == {NODE}
    shop.close_connections()
    until(lambda: set(control.ask([PING], timeout_s=1.0).by_request[0]) == {NODE})


def test_a_channel_error_is_said_and_the_next_round_works(shop: Place, open_control: Open) -> None:
    control = open_control(shop)
    control.ask([PING], timeout_s=5.0)
    with pytest.raises(ConsoleError) as raised:
        control._with_channel(lambda: control._channel.queue_declare("nobody's", passive=True))
    assert raised.value.cause is Cause.NOT_FOUND
    assert set(control.ask([PING], timeout_s=5.0).by_request[0]) == {NODE}


def test_a_user_without_permissions_is_told_so(shop: Place, open_control: Open) -> None:
    nobody = shop.as_user("nobody", configure="", write="", read="")
    try:
        with pytest.raises(ConsoleError) as raised:
            open_control(nobody).ask([PING], timeout_s=1.0)
        assert raised.value.cause is Cause.NOT_PERMITTED
        assert raised.value.title == "The broker user may not do this"
    finally:
        shop.server.delete_user("nobody")


def test_a_wrong_password_and_a_wrong_vhost(shop: Place, open_control: Open) -> None:
    for wrong, cause in (
        (replace(shop, vhost="nowhere"), Cause.REFUSED_LOGIN),
        (replace(shop, user="nobody"), Cause.REFUSED_LOGIN),
    ):
        shop.server.passwords["nobody"] = "wrong"
        with pytest.raises(ConsoleError) as raised:
            open_control(wrong).ask([PING], timeout_s=1.0)
        assert raised.value.cause is cause
        del shop.server.passwords["nobody"]


def test_a_server_that_accepts_and_never_answers(shop: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = replace(shop.address, port=listener.getsockname()[1], timeout_s=0.5)
        app = make_celery_app(address)
        for act in (
            lambda: CeleryControl(lambda: app, address).ask([PING], timeout_s=0.2),
            lambda: CeleryTaskControl(lambda: app, address).tell(["x"], signal=None, expected=None),
        ):
            started_s = time.monotonic()
            with pytest.raises(ConsoleError) as raised:
                act()
            assert raised.value.cause is Cause.TIMEOUT
            assert time.monotonic() - started_s < 1.5
        close_celery_app(app)
