"""Connections behind a jump host, a real sshd: the broker, Sentinel and the schedules database."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from dataclasses import replace

import psutil
import pytest

from console.broker.address import BrokerAddress, BrokerKind
from console.broker.database import parse_database_url
from console.broker.tunnel_settings import TunnelSettings
from console.connections.model import Connection, Purpose
from console.core.connection import Environment, LinkState
from console.core.redaction import Secret
from tests.integration.connections.world import Person, Setup, broker_secret, shop, typed
from tests.sentinel import SentinelGroup
from tests.sshd import SshServer
from tests.valkey import ValkeyServer, free_port


def figure(text: str) -> None:
    """Shown with `pytest -s`: what was measured."""
    sys.stdout.write(f"{text}\n")


def through(sshd: SshServer, *, locked: bool = False) -> TunnelSettings:
    key = sshd.locked_key if locked else sshd.key
    return TunnelSettings(sshd.host, sshd.port, sshd.user, str(key.file))


def trusted(setup: Setup, sshd: SshServer) -> None:
    setup.home.known_hosts_file.write_text(sshd.known_hosts_line())


def left_behind() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("tunnel-")]


async def gone(setup: Setup) -> None:
    await setup.service.disconnect()
    await setup.until(lambda: not setup.service._endings)
    assert left_behind() == []
    listening = [one for one in psutil.Process().net_connections("tcp") if one.status == psutil.CONN_LISTEN]
    assert listening == []


async def test_a_broker_and_its_database_behind_one_jump_host(
    setup: Setup, sshd: SshServer, broker: ValkeyServer
) -> None:
    trusted(setup, sshd)
    database = parse_database_url(f"postgresql://c@127.0.0.1:{free_port()}/shop")
    tunnel = through(sshd)
    connection = replace(shop(broker), schedules=database, broker_tunnel=tunnel, schedules_tunnel=tunnel)
    await setup.service.save(connection, broker_secret(broker.password))
    began_s = time.monotonic()
    await setup.service.connect("shop")
    await setup.connected()
    figure(f"through a tunnel: connected after {time.monotonic() - began_s:.2f} s")
    session = setup.session
    assert session.address.near(("127.0.0.1", broker.port)) != ("127.0.0.1", broker.port)
    assert session.address.place == f"127.0.0.1:{broker.port}", "people read where it is"
    assert session.schedules is not None
    assert session.schedules.near is not None
    assert len(left_behind()) == 1, "equal settings share one tunnel"
    sshd.cut()
    await asyncio.sleep(0)
    setup.service.suspect()
    await setup.until(lambda: setup.state is LinkState.RECONNECTING)
    await setup.connected(within_s=6.0)
    await gone(setup)


async def test_a_server_that_is_not_known_is_trusted_with_one_click(
    setup: Setup, sshd: SshServer, broker: ValkeyServer
) -> None:
    await setup.service.save(
        replace(shop(broker), broker_tunnel=through(sshd)), broker_secret(broker.password)
    )
    await setup.service.connect("shop")
    assert setup.service.refused is not None
    assert "SHA256:" in setup.service.refused.detail
    assert setup.state is LinkState.DISCONNECTED
    action = setup.notice("The SSH server is not known to this computer").action
    assert action is not None
    assert action.text == "Trust this key"
    action.run()
    await setup.connected()
    assert setup.home.known_hosts_file.stat().st_mode & 0o777 == 0o600
    await gone(setup)


async def test_the_passphrase_of_the_key_is_asked_for_until_it_is_right(
    setup: Setup, sshd: SshServer, broker: ValkeyServer
) -> None:
    pytest.importorskip("bcrypt")
    trusted(setup, sshd)
    person = Person({Purpose.BROKER_TUNNEL: typed(sshd.locked_key.passphrase, keep=True)})
    setup.service.ask_secret = person.ask
    await setup.service.save(
        replace(shop(broker), broker_tunnel=through(sshd, locked=True)), broker_secret(broker.password)
    )
    await setup.service.connect("shop")
    await setup.connected()
    assert [one.purpose for one in person.asked] == [Purpose.BROKER_TUNNEL]
    assert setup.keyring.kept["shop:broker-tunnel"] == sshd.locked_key.passphrase
    await gone(setup)


async def test_a_jump_host_that_is_down_is_waited_for_and_can_be_left(
    setup: Setup, sshd: SshServer, broker: ValkeyServer
) -> None:
    trusted(setup, sshd)
    sshd.kill()
    await setup.service.save(
        replace(shop(broker), broker_tunnel=through(sshd)), broker_secret(broker.password)
    )
    connecting = setup.service._tasks.start(setup.service.connect("shop"))
    await setup.until(lambda: setup.service.status.retry_at is not None)
    assert setup.service.status.state is LinkState.CONNECTING
    assert setup.service.status.error is not None
    await setup.service.disconnect()
    await connecting
    assert setup.service.status.retry_at is None
    assert not setup.service.resolving
    connecting = setup.service._tasks.start(setup.service.connect("shop"))
    await setup.until(lambda: setup.service.status.retry_at is not None)
    sshd.start()
    setup.service.try_now()
    await setup.connected(within_s=3.0)
    await connecting
    await gone(setup)


async def test_schedules_whose_tunnel_fails_do_not_keep_the_broker_away(
    setup: Setup, sshd: SshServer, broker: ValkeyServer
) -> None:
    trusted(setup, sshd)
    sshd.kill()
    connection = replace(
        shop(broker),
        schedules=parse_database_url("postgresql://c@127.0.0.1:5432/shop"),
        schedules_tunnel=through(sshd),
    )
    await setup.service.save(connection, broker_secret(broker.password))
    await setup.service.connect("shop")
    await setup.connected()
    assert setup.session.schedules_problem is not None
    sshd.start()
    await setup.until(lambda: setup.session.schedules_problem is None)
    assert setup.session.schedules is not None
    assert setup.session.schedules.near is not None
    await gone(setup)


async def test_sentinel_behind_a_jump_host_fails_over(
    setup: Setup, sshd: SshServer, sentinel: SentinelGroup
) -> None:
    trusted(setup, sshd)
    address = BrokerAddress(
        "127.0.0.1",
        sentinel.ports[0],
        kind=BrokerKind.SENTINEL,
        sentinels=tuple(("127.0.0.1", port) for port in sentinel.ports),
        master_name=sentinel.master_name,
    )
    secrets = broker_secret(sentinel.password).with_secret(
        Purpose.SENTINEL, Secret(sentinel.sentinel_password)
    )
    connection = Connection("shop", "Shop", Environment.STAGING, address, broker_tunnel=through(sshd))
    await setup.service.save(connection, secrets)
    await setup.service.connect("shop")
    await setup.connected()
    ports = {far[1] for far, _near in setup.session.address.routes}
    assert ports == {*sentinel.ports, *(server.port for server in sentinel.servers)}
    await asyncio.to_thread(sentinel.fail_over)
    with sentinel.primary().client() as client:
        await setup.until(
            lambda: "celery-console" in [one["name"] for one in client.client_list()], within_s=15.0
        )
    await setup.connected()
    # A primary that was no replica when the tunnel was opened gets a way of its own.
    session = setup.session
    known = {far: near for far, near in session.address.routes if far[1] != sentinel.primary_port()}
    object.__setattr__(session.address, "routes", tuple(known.items()))
    assert await setup.service._rerouted(session)
    await setup.until(lambda: setup.service.session is not session)
    await setup.connected()
    await gone(setup)


async def test_a_database_that_the_tunnel_does_not_reach_is_no_reason_to_leave_the_broker(
    setup: Setup, sshd: SshServer, broker: ValkeyServer
) -> None:
    trusted(setup, sshd)
    connection = replace(
        shop(broker),
        broker_tunnel=through(sshd),
        schedules=parse_database_url(f"postgresql://console@127.0.0.1:{free_port()}/shop"),
        schedules_tunnel=through(sshd),
    )
    await setup.service.save(connection, broker_secret(broker.password))
    await setup.service.connect("shop")
    await setup.connected()
    schedules = setup.session.schedules
    assert schedules is not None
    assert schedules.near is not None
    reader, writer = await asyncio.open_connection(*schedules.near)
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    (tunnels,) = setup.session.tunnels
    assert tunnels.failure is None


async def test_opening_and_leaving_tunnels_leaves_nothing_behind(
    setup: Setup, sshd: SshServer, broker: ValkeyServer
) -> None:
    trusted(setup, sshd)
    await setup.service.save(
        replace(shop(broker), broker_tunnel=through(sshd)), broker_secret(broker.password)
    )

    async def cycle(number: int) -> None:
        connecting = setup.service._tasks.start(setup.service.connect("shop"))
        if number % 2:
            await setup.connected()
        else:
            await asyncio.sleep(0.01 * (number % 7))
        await setup.service.disconnect()
        await connecting

    await cycle(1)
    await gone(setup)
    before = len(os.listdir("/proc/self/fd"))
    for number in range(12):
        await cycle(number)
    await gone(setup)
    assert len(os.listdir("/proc/self/fd")) == before
