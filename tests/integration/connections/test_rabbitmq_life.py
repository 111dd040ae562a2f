"""The life of a line to a real RabbitMQ, in the clear and with TLS."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import replace

import pytest

from console.broker.tls import TlsOptions
from console.broker.url import parse_broker_url
from console.connections.model import Connection, Secrets, without_secrets
from console.core.connection import Environment, LinkState
from console.core.errors import Cause
from tests.certificates import Certificates
from tests.integration.connections.world import Setup
from tests.proxy import Proxy
from tests.rabbitmq import RabbitServer


def figure(text: str) -> None:
    """Shown with `pytest -s`: what was measured."""
    sys.stdout.write(f"{text}\n")


def rabbit(url: str, ca_file: str = "") -> tuple[Connection, Secrets]:
    broker = parse_broker_url(url)
    if broker.tls is not None:
        broker = replace(broker, tls=TlsOptions(ca_file=ca_file))
    broker = replace(broker, timeout_s=2.0)
    return without_secrets(Connection("shop", "Shop", Environment.STAGING, broker))


@pytest.mark.parametrize("tls", [False, True])
async def test_up_cut_and_back(
    setup: Setup, rabbitmq: RabbitServer, rabbitmq_vhost: str, certificates: Certificates, tls: bool
) -> None:
    with Proxy("127.0.0.1", rabbitmq.tls_port if tls else rabbitmq.port) as proxy:
        connection, secrets = rabbit(rabbitmq.url(rabbitmq_vhost, tls=tls), str(certificates.ca_file))
        assert connection.broker is not None
        through = replace(connection, broker=replace(connection.broker, port=proxy.port))
        await setup.service.save(through, secrets)
        began_s = time.monotonic()
        await setup.service.connect("shop")
        await setup.connected()
        figure(f"RabbitMQ{' with TLS' if tls else ''}: connected after {time.monotonic() - began_s:.2f} s")
        for order in (proxy.cut, proxy.reset, proxy.half_open):
            order()
            await setup.until(lambda: setup.state is LinkState.RECONNECTING)
            proxy.heal()
            await setup.connected(within_s=6.0)
        await setup.service.disconnect()
        await setup.until(lambda: not setup.service._endings)


async def test_a_password_changed_under_way_and_a_vhost_that_is_not_there(
    setup: Setup, rabbitmq: RabbitServer, rabbitmq_vhost: str
) -> None:
    rabbitmq.add_user("changing", "first-password", vhost=rabbitmq_vhost)
    try:
        connection, secrets = rabbit(rabbitmq.url(rabbitmq_vhost, user="changing"))
        await setup.service.save(connection, secrets)
        await setup.service.connect("shop")
        await setup.connected()
        rabbitmq.add_user("changing", "second-password", vhost=rabbitmq_vhost)
        await asyncio.to_thread(rabbitmq.control, "close_all_connections", "--global", "a test")
        await setup.until(lambda: setup.service.refused is not None, within_s=15.0)
        assert setup.service.refused is not None
        assert setup.service.refused.cause is Cause.REFUSED_LOGIN
        assert setup.state is LinkState.DISCONNECTED
        connection, secrets = rabbit(rabbitmq.url("missing", user="changing"))
        await setup.service.save(connection, secrets)
        await setup.service.connect("shop")
        await setup.until(lambda: setup.service.refused is not None)
        assert setup.service.refused.title == "The vhost cannot be used"
    finally:
        rabbitmq.delete_user("changing")
