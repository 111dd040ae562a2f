"""The test of a connection on longer ways: Sentinel, an SSH tunnel, both, and schedules through one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from console.app.checker import make_checker
from console.broker.address import BrokerAddress, BrokerKind
from console.broker.tunnel_settings import TunnelSettings
from console.connections.check_model import CheckStep, StepState, all_passed
from console.connections.model import Connection, ResultBackend, Secrets
from console.core.home import Home
from console.core.redaction import Secret
from tests.integration.check.conftest import Check, Steps, connection_to
from tests.sentinel import SentinelGroup
from tests.sshd import SshServer
from tests.valkey import ValkeyServer, free_port


@pytest.fixture
def check(tmp_path: Path, sshd_home: Home) -> Check:
    checker = make_checker(sshd_home)

    async def run(connection: Connection) -> Steps:
        told: list[tuple[CheckStep, ...]] = []
        steps = await checker.check(connection, Secrets(), told.append)
        return {step.key: step for step in steps}

    return run


@pytest.fixture
def sshd_home(tmp_path: Path, sshd: SshServer) -> Home:
    """A home that knows the SSH server's key."""
    home = Home(tmp_path / "home")
    home.prepare()
    home.known_hosts_file.write_text(sshd.known_hosts_line())
    return home


def _tunnel(sshd: SshServer) -> TunnelSettings:
    return TunnelSettings(sshd.host, sshd.port, sshd.user, str(sshd.key.file))


def _sentinel(group: SentinelGroup) -> BrokerAddress:
    endpoints = tuple(("127.0.0.1", port) for port in group.ports)
    return BrokerAddress(
        *endpoints[0],
        kind=BrokerKind.SENTINEL,
        sentinels=endpoints,
        master_name=group.master_name,
        password=Secret(group.password),
        sentinel_password=Secret(group.sentinel_password),
    )


async def test_through_an_ssh_tunnel(own_broker: ValkeyServer, sshd: SshServer, check: Check) -> None:
    connection = connection_to(
        own_broker.address,
        broker_tunnel=_tunnel(sshd),
        results=ResultBackend(redis=own_broker.address),
        results_tunnel=_tunnel(sshd),
    )
    steps = await check(connection)
    assert [step.title for step in steps.values()] == [
        *("SSH tunnel", "TCP", "Login", "Permissions", "Broker version", "Workers", "Result backend"),
    ]
    assert steps["tcp"].says == f"port {own_broker.port} answers through the tunnel"
    assert all_passed(tuple(steps.values())), steps


async def test_what_fails_of_a_tunnel_is_said_at_its_step(
    own_broker: ValkeyServer, sshd: SshServer, check: Check
) -> None:
    good = _tunnel(sshd)
    closed = connection_to(replace(own_broker.address, port=free_port()), broker_tunnel=good)
    steps = await check(closed)
    assert steps["tunnel"].state is StepState.PASSED
    assert steps["tcp"].state is StepState.FAILED
    stranger = replace(good, key_file=str(sshd.stranger_key.file))
    steps = await check(connection_to(own_broker.address, broker_tunnel=stranger))
    assert steps["tunnel"].state is StepState.FAILED
    assert steps["login"].says == "because SSH tunnel failed"
    sshd.kill()
    steps = await check(connection_to(own_broker.address, broker_tunnel=good))
    assert steps["tunnel"].state is StepState.FAILED


async def test_sentinel(sentinel: SentinelGroup, sshd: SshServer, check: Check) -> None:
    address = _sentinel(sentinel)
    steps = await check(connection_to(address))
    assert steps["sentinel"].says == f"primary is 127.0.0.1:{sentinel.primary_port()}"
    assert [*steps][:3] == ["sentinel", "name", "tcp"]
    assert all_passed(tuple(steps.values())), steps
    steps = await check(connection_to(address, broker_tunnel=_tunnel(sshd)))
    assert [*steps][:3] == ["tunnel", "sentinel", "tcp"]
    assert all_passed(tuple(steps.values())), steps
    steps = await check(connection_to(replace(address, master_name="other")))
    assert steps["sentinel"].says == "Sentinel does not know this primary"
    steps = await check(connection_to(replace(address, sentinel_password=Secret("wrong-password"))))
    assert steps["sentinel"].says == "Sentinel refused the login"
    steps = await check(connection_to(replace(address, password=Secret("wrong-password"))))
    assert steps["login"].says == "Broker refused the login"
    plain = replace(
        address, sentinels=(("127.0.0.1", sentinel.servers[0].port),), sentinel_password=Secret("")
    )
    steps = await check(connection_to(plain))
    assert steps["sentinel"].state is StepState.FAILED
