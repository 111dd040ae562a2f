"""Queues of a real RabbitMQ: by its management API, and by AMQP where that cannot be used."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from console.broker.address import BrokerAddress
from console.broker.kombu_lines import close_celery_app, make_celery_app
from console.broker.management import ManagementApi, management_endpoint, management_url
from console.broker.sending import send_task
from console.broker.tls import TlsOptions
from console.core.errors import Cause, ConsoleError
from console.core.redaction import Secret
from console.queues.amqp_gateway import AmqpQueues
from console.queues.model import DepthQuestion, Depths
from tests.certificates import Certificates
from tests.contract.rabbitmq.conftest import NODE, until
from tests.contract.rabbitmq.places import Place

Open = Callable[[Place], AmqpQueues]


def ask(queues: AmqpQueues, *names: str) -> Depths:
    return queues.depths(DepthQuestion(queues=names))


def test_the_management_api_tells_everything(place: Place, open_queues: Open) -> None:
    place.declare("mail", "1", "2", "3")
    place.declare("slow / ü?&#", "1", **{"x-queue-type": "quorum"})
    place.declare("empty")
    queues = open_queues(place)
    until(lambda: ask(queues).ready == {"mail": 3, "slow / ü?&#": 1})
    depths = ask(queues, "mail", "nobody's")
    assert depths.queues == frozenset({"mail", "slow / ü?&#", "empty"})
    assert depths.missing == {"nobody's"}
    assert depths.unacked is not None
    assert (depths.unacked.total, depths.unacked.by_queue["mail"], depths.unacked.complete) == (0, 0, True)
    assert depths.consumers == {"mail": 0, "slow / ü?&#": 0, "empty": 0}
    assert depths.rates is not None
    assert depths.rates.keys() == depths.queues
    assert depths.note == ""


def test_rates_are_rabbitmqs_own(place: Place, open_queues: Open) -> None:
    place.declare("mail")
    queues = open_queues(place)

    def rate() -> float:
        place.declare("mail", *"12345")
        rates = ask(queues).rates
        assert rates is not None
        return rates["mail"][0] or 0.0 if "mail" in rates else 0.0

    until(lambda: rate() > 0)


def test_what_a_busy_worker_holds(
    shop: Place, open_queues: Open, tmp_path_factory: pytest.TempPathFactory
) -> None:
    done = tmp_path_factory.mktemp("busy") / "done"
    app = make_celery_app(shop.address)
    queues = open_queues(shop)
    declared = open_queues(shop.without_management)
    try:
        for _ in range(20):
            send_task(app, shop.address, "shop.wait_for", [str(done)], queue="mail")

        def held() -> tuple[int, int]:
            depths = ask(queues)
            assert depths.unacked is not None
            return depths.ready.get("mail", 0), depths.unacked.by_queue.get("mail", 0)

        # 2 run and are acknowledged with that; 4 for each place are taken in advance.
        until(lambda: held() == (10, 8))
        depths = ask(declared, "mail", "celery", "nobody's")
        assert depths.ready == {"mail": 10}
        assert depths.consumers == {"mail": 1, "celery": 1}
        assert depths.missing == {"nobody's"}
        assert depths.unacked is None
    finally:
        done.touch()
        close_celery_app(app)
    until(lambda: sum(held()) == 0)


def test_queues_of_control_and_events_are_there_but_not_for_the_page(shop: Place, open_queues: Open) -> None:
    from console.queues.model import is_task_queue

    queues = open_queues(shop)
    names = ask(queues).queues or frozenset()
    assert f"{NODE}.celery.pidbox" in names
    assert set(filter(is_task_queue, names)) == {"mail", "celery"}


def test_without_the_plugin_it_declares_passively_and_makes_nothing(place: Place, open_queues: Open) -> None:
    place.declare("mail", "1", "2")
    place.declare("empty")
    queues = open_queues(place.without_management)
    depths = ask(queues, "mail", "missing", "empty", "gone")
    assert depths.ready == {"mail": 2}
    assert depths.missing == {"missing", "gone"}
    assert depths.consumers == {"mail": 0, "empty": 0}
    assert (depths.queues, depths.unacked, depths.rates) == (None, None, None)
    assert depths.note == (
        "RabbitMQ's management API cannot be reached (127.0.0.1:1: Connection refused): "
        "unacknowledged messages are not known."
    )
    place.declare("gone", "1")
    assert ask(queues, "gone", "mail").ready == {"gone": 1, "mail": 2}
    assert place.queues().keys() == {"mail", "empty", "gone"}


def test_a_user_without_the_tag_sees_depths_by_amqp(place: Place, open_queues: Open) -> None:
    place.declare("mail", "1")
    plain = place.as_user("plain", configure="", write="", read="")
    try:
        depths = ask(open_queues(plain), "mail")
        assert depths.ready == {"mail": 1}
        assert depths.note.startswith("RabbitMQ's management API cannot be used (")
        assert "this user is not let in; it needs the tag monitoring or management" in depths.note
        assert plain.server.passwords["plain"] not in depths.note
    finally:
        place.server.delete_user("plain")


def test_a_user_with_the_tag_sees_everything(place: Place, open_queues: Open) -> None:
    place.declare("mail", "1")
    watcher = place.as_user("watcher", tags="monitoring", configure="", write="", read="")
    try:
        queues = open_queues(watcher)
        until(lambda: ask(queues).ready == {"mail": 1})
        assert ask(queues).unacked is not None
    finally:
        place.server.delete_user("watcher")


def test_somebodys_exclusive_queue_hides_nothing(place: Place, open_queues: Open) -> None:
    place.declare("mail", "1")
    app = make_celery_app(place.address)
    with app.connection_for_write() as connection:
        connection.channel().queue_declare("private", exclusive=True)
        depths = ask(open_queues(place.without_management), "private", "mail")
        assert depths.unknown == {"private"}
        assert depths.ready == {"mail": 1}
    close_celery_app(app)


def test_a_line_that_the_server_closed_is_replaced(place: Place, open_queues: Open) -> None:
    place.declare("mail", "1")
    queues = open_queues(place.without_management)
    assert ask(queues, "mail").ready == {"mail": 1}
    place.close_connections()
    assert ask(queues, "mail").ready == {"mail": 1}


def test_over_tls(place: Place, certificates: Certificates) -> None:
    place.declare("mail", "1")
    trusting = replace(
        place.address,
        host="localhost",
        port=place.server.tls_port,
        tls=TlsOptions(ca_file=str(certificates.ca_file)),
        management_url=place.server.management_tls_url,
    )
    api = ManagementApi(trusting)
    until(lambda: [queue.ready for queue in api.queues().queues] == [1])
    api.close()
    app = make_celery_app(trusting)
    queues = AmqpQueues(lambda: app, replace(trusting, management_url="https://localhost:1"))
    assert ask(queues, "mail").ready == {"mail": 1}
    queues.close()
    close_celery_app(app)
    with pytest.raises(ConsoleError, match="unknown authority"):
        ManagementApi(replace(trusting, tls=TlsOptions())).queues()


def test_the_kept_connection_is_replaced_when_the_server_closed_it(place: Place) -> None:
    place.declare("mail")
    api = ManagementApi(place.address)
    until(lambda: len(api.queues().queues) == 1)
    assert api._line is not None
    api._line.sock.shutdown(socket.SHUT_RDWR)
    assert len(api.queues().queues) == 1
    api.close()


class Answering:
    """Something that listens and gives one answer to each connection."""

    def __init__(self, answer: bytes) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.heard = b""
        self._answer = answer
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            with line:
                self.heard += line.recv(65536)
                try:
                    line.sendall(self._answer)
                except OSError:
                    continue

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "not followed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<html", "not JSON"),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"no":"x"}', "another form"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 9_000_000, "too large"),
        (b"HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n", "status 503"),
        (b"AMQP\x00\x00\x09\x01", "another protocol"),
        (b"", "closed"),
    ],
)
def test_what_is_no_management_api_is_said_in_words(answer: bytes, words: str) -> None:
    server = Answering(answer)
    address = BrokerAddress(
        "127.0.0.1", 1, password=Secret("marker"), management_url=f"http://127.0.0.1:{server.port}"
    )
    api = ManagementApi(address)
    try:
        with pytest.raises(ConsoleError, match=words) as raised:
            api.queues()
        assert "marker" not in str(raised.value)
        assert b"marker" not in server.heard
        assert b"Authorization: Basic" in server.heard
    finally:
        api.close()
        server.close()


def test_a_black_hole_fails_within_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        address = BrokerAddress("127.0.0.1", 1, timeout_s=0.3, management_url=f"http://127.0.0.1:{port}")
        started_s = time.monotonic()
        with pytest.raises(ConsoleError) as raised:
            ManagementApi(address).queues()
        assert raised.value.cause is Cause.TIMEOUT
        assert time.monotonic() - started_s < 1.0


def test_where_the_api_is() -> None:
    plain = BrokerAddress("rabbit.example", 5672)
    assert management_url(plain) == "http://rabbit.example:15672"
    assert management_url(replace(plain, host="fd00::1", tls=TlsOptions())) == "https://[fd00::1]:15671"
    assert management_endpoint(replace(plain, host="Rabbit.Example")) == ("Rabbit.Example", 15672)
    other = replace(plain, management_url="https://user:secret@admin.example/rabbit/")
    assert management_endpoint(other) == ("admin.example", 443)
    for wrong in ("ftp://x", "http://", "http://x:99999", "rabbit"):
        with pytest.raises(ConsoleError) as raised:
            management_endpoint(replace(plain, management_url=wrong))
        assert raised.value.cause is Cause.INVALID


def test_a_password_goes_nowhere_but_through_the_tunnel() -> None:
    tunnelled = BrokerAddress(
        "127.0.0.1",
        5672,
        routes=((("127.0.0.1", 5672), ("127.0.0.1", 1)),),
        management_url="http://127.0.0.1:2",
    )
    with pytest.raises(ConsoleError, match="not reached through the SSH tunnel"):
        ManagementApi(tunnelled).queues()
