"""The tests' own RabbitMQ really does what the tests of connections take for granted."""

from __future__ import annotations

import ssl
import time

import amqp
import psutil
import pytest

from tests.certificates import Certificates
from tests.rabbitmq import RabbitServer

PATIENCE_S = 10.0


def _login(server: RabbitServer, vhost: str, user: str) -> amqp.Connection:
    return amqp.Connection(
        f"127.0.0.1:{server.port}", user, server.passwords[user], virtual_host=vhost, connect_timeout=5
    )


def test_everything_listens_on_loopback_only(rabbitmq: RabbitServer) -> None:
    assert rabbitmq.process is not None
    listening = {
        one.laddr.ip
        for one in psutil.Process(rabbitmq.process.pid).net_connections()
        if one.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_tls_is_spoken_and_checked(
    rabbitmq: RabbitServer, rabbitmq_vhost: str, certificates: Certificates
) -> None:
    def login(ca_file: str) -> amqp.Connection:
        return amqp.Connection(
            f"localhost:{rabbitmq.tls_port}",
            "console",
            rabbitmq.passwords["console"],
            virtual_host=rabbitmq_vhost,
            ssl={"ca_certs": ca_file, "cert_reqs": ssl.CERT_REQUIRED, "server_hostname": "localhost"},
            connect_timeout=5,
        )

    with login(str(certificates.ca_file)) as connection:
        assert connection.connected
    with pytest.raises(ssl.SSLCertVerificationError):
        login(str(certificates.other_ca_file)).connect()


def test_a_user_may_do_what_it_was_given(rabbitmq: RabbitServer, rabbitmq_vhost: str) -> None:
    rabbitmq.add_user("reader", "p@ss/wörd", vhost=rabbitmq_vhost, configure="", write="", read=".*")
    with _login(rabbitmq, rabbitmq_vhost, "reader") as connection, pytest.raises(amqp.AccessRefused):
        connection.channel().queue_declare("one")
    rabbitmq.delete_user("reader")


def test_connections_are_listed_and_closed(rabbitmq: RabbitServer, rabbitmq_vhost: str) -> None:
    connection = _login(rabbitmq, rabbitmq_vhost, "console")
    connection.connect()
    deadline = time.monotonic() + PATIENCE_S
    while not any(one.get("vhost") == rabbitmq_vhost for one in rabbitmq.connections()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    rabbitmq.close_all_connections()
    with pytest.raises((amqp.ConnectionForced, OSError)):
        connection.drain_events(timeout=5)
    connection.collect()


def test_a_restart_keeps_what_is_durable(rabbitmq: RabbitServer, rabbitmq_vhost: str) -> None:
    with _login(rabbitmq, rabbitmq_vhost, "console") as connection:
        connection.channel().queue_declare("kept", durable=True, auto_delete=False)
    rabbitmq.restart()
    with _login(rabbitmq, rabbitmq_vhost, "console") as connection:
        assert connection.channel().queue_declare("kept", passive=True).queue == "kept"
