"""The test of a connection against a real RabbitMQ."""

from __future__ import annotations

import shlex
import time
from dataclasses import replace
from typing import Any

import pytest

from console.broker.acl import AclKind, rabbitmq_permissions
from console.broker.address import BrokerAddress
from console.broker.tls import TlsOptions
from console.broker.url import parse_broker_url
from console.connections.check_model import CheckStep, StepState, all_passed
from console.core.connection import Mode
from console.core.errors import Cause
from console.core.redaction import Secret
from tests.certificates import Certificates
from tests.integration.check.conftest import Check, connection_to
from tests.integration.check.test_redis import EVERY_CHARACTER, listening
from tests.proxy import Proxy
from tests.rabbitmq import RabbitServer


@pytest.fixture
def address(rabbitmq: RabbitServer, rabbitmq_vhost: str) -> BrokerAddress:
    return parse_broker_url(rabbitmq.url(rabbitmq_vhost))


def _definitions(server: RabbitServer, vhost: str) -> dict[str, Any]:
    """Everything of a virtual host that outlives a connection, and every queue with its messages."""
    found: dict[str, Any] = server.manage("GET", f"/api/definitions/{vhost}")
    queues = server.manage("GET", f"/api/queues/{vhost}?columns=name,messages")
    exchanges = server.manage("GET", f"/api/exchanges/{vhost}?columns=name,type")
    return {**found, "queues now": queues, "exchanges now": exchanges}


async def test_a_healthy_broker_passes_in_words(address: BrokerAddress, check: Check) -> None:
    steps = await check(connection_to(address))
    assert [step.title for step in steps.values()] == [
        *("Name resolution", "TCP", "Login", "Permissions", "Broker version", "Workers"),
    ]
    assert all_passed(tuple(steps.values())), steps
    assert steps["login"].says == "as console, password from the keyring"
    assert steps["permissions"].says == "events, asking workers and sending tasks are allowed"
    assert steps["version"].says.startswith("RabbitMQ 3.")
    assert steps["workers"].says == "none answered"


async def test_the_management_api_tells_of_alarms(
    rabbitmq: RabbitServer, address: BrokerAddress, check: Check
) -> None:
    async def version() -> CheckStep:
        return (await check(connection_to(address)))["version"]

    elsewhere = await version()
    assert elsewhere.says.endswith(", management API not reachable")
    address = replace(address, management_url=rabbitmq.management_url)
    assert (await version()).says.endswith(", management API answers")
    rabbitmq.control("set_vm_memory_high_watermark", "0.000001")
    try:
        deadline_s = time.monotonic() + 20
        while (low := await version()).state is not StepState.WARNING:
            assert time.monotonic() < deadline_s, low
    finally:
        rabbitmq.control("set_vm_memory_high_watermark", "0.6")
    assert low.says.endswith(", alarm: memory")
    rabbitmq.add_user("plain", "pass-word", vhost=address.vhost)
    plain = replace(address, username="plain", password=Secret("pass-word"))
    steps = await check(connection_to(plain))
    assert steps["version"].says.endswith(", management API not for this user")


@pytest.mark.parametrize(
    ("mode", "says", "title"),
    [
        (Mode.READ_ONLY, "events are allowed", ""),
        (Mode.FULL, "2 of 3 rights missing", "Asking workers and sending tasks are not allowed"),
    ],
)
async def test_the_shipped_user_who_only_reads_passes_where_only_reading_is_wanted(
    rabbitmq: RabbitServer, address: BrokerAddress, check: Check, mode: Mode, says: str, title: str
) -> None:
    await check(connection_to(address))  # makes the exchanges, as workers do
    text = rabbitmq_permissions(AclKind.READ_ONLY, user="reads", vhost=address.vhost)
    configure, write, read = shlex.split(text)[-3:]
    rabbitmq.add_user("reads", "pass-word", vhost=address.vhost, configure=configure, write=write, read=read)
    reader = replace(address, username="reads", password=Secret("pass-word"))
    permissions = (await check(connection_to(reader, mode=mode)))["permissions"]
    assert permissions.says == says
    assert (permissions.state is StepState.PASSED) is (not title)
    assert (permissions.error.title if permissions.error is not None else "") == title


async def test_it_leaves_nothing_behind(
    rabbitmq: RabbitServer, rabbitmq_vhost: str, address: BrokerAddress, check: Check
) -> None:
    await check(connection_to(address))  # the exchanges of questions and answers are made once, as by workers
    before = _definitions(rabbitmq, rabbitmq_vhost)
    assert before["queues now"] == []
    await check(connection_to(address))
    assert _definitions(rabbitmq, rabbitmq_vhost) == before


async def test_wrong_password_unknown_user_and_vhosts(
    rabbitmq: RabbitServer, address: BrokerAddress, check: Check
) -> None:
    for wrong in (address.with_password(Secret("wrong-password")), replace(address, username="nobody")):
        steps = await check(connection_to(wrong))
        assert steps["login"].says == "Broker refused the login"
        assert "wrong-password" not in repr(steps)
    rabbitmq.add_user("elsewhere", "pass-word", vhost="/")
    for vhost, user in (("missing", "console"), ("mis/sing", "console"), (address.vhost, "elsewhere")):
        password = Secret(rabbitmq.passwords[user])
        wrong = replace(address, vhost=vhost, username=user, password=password)
        steps = await check(connection_to(wrong))
        assert steps["login"].says == "The vhost cannot be used", steps["login"]
        assert steps["permissions"].says == "because Login failed"


async def test_a_vhost_with_a_slash_and_a_password_with_every_character(
    rabbitmq: RabbitServer, check: Check
) -> None:
    rabbitmq.add_vhost("a/b c")
    try:
        rabbitmq.add_user("ödd user", EVERY_CHARACTER, vhost="a/b c")
        address = parse_broker_url(rabbitmq.url("a/b c", user="ödd user"))
        steps = await check(connection_to(address))
        assert all_passed(tuple(steps.values())), steps
        assert steps["login"].says == "as ödd user, password from the keyring"
    finally:
        rabbitmq.delete_vhost("a/b c")
        rabbitmq.delete_user("ödd user")


async def test_tls(
    rabbitmq: RabbitServer, rabbitmq_vhost: str, certificates: Certificates, check: Check
) -> None:
    url = rabbitmq.url(rabbitmq_vhost, tls=True, host="localhost")
    address = replace(parse_broker_url(url), tls=TlsOptions(ca_file=str(certificates.ca_file)))
    steps = await check(connection_to(address))
    assert all_passed(tuple(steps.values())), steps
    assert steps["tls"].says.startswith("1.")
    assert "certificate matches, " in steps["tls"].says
    unknown = await check(connection_to(replace(address, tls=TlsOptions())))
    assert unknown["tls"].says == "The server's certificate comes from an unknown authority"
    plain = await check(connection_to(replace(address, port=rabbitmq.port, timeout_s=1.5)))
    assert plain["tls"].state is StepState.FAILED
    assert plain["tls"].error is not None
    assert plain["tls"].error.cause is Cause.PROTOCOL
    without = await check(connection_to(replace(address, tls=None, timeout_s=1.5)))
    assert without["login"].state is StepState.FAILED


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
        b"-ERR unknown command\r\n",
    ],
    ids=["http", "ssh", "redis"],
)
async def test_the_port_of_something_else(answer: bytes, check: Check) -> None:
    with listening(answer) as port:
        address = parse_broker_url(f"amqp://user:secret@127.0.0.1:{port}/x")
        steps = await check(connection_to(replace(address, timeout_s=1.5)))
    assert steps["login"].error is not None
    assert steps["login"].error.cause is Cause.PROTOCOL, steps["login"].error
    assert "secret" not in str(steps["login"].error)


async def test_a_black_hole_ends_within_the_timeout(
    rabbitmq: RabbitServer, address: BrokerAddress, check: Check
) -> None:
    with Proxy("127.0.0.1", rabbitmq.port) as proxy:
        proxy.accept_silently()
        steps = await check(connection_to(replace(address, port=proxy.port, timeout_s=0.5)))
    login = steps["login"]
    assert login.state is StepState.FAILED
    assert login.error is not None
    assert login.error.cause is Cause.TIMEOUT, login.error
    assert login.took_s is not None
    assert login.took_s < 2
