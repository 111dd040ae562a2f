"""The collector on every way to a Redis: TLS, users, a Unix socket, Sentinel, a tunnel that was dead."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from console.broker.address import BrokerAddress, BrokerKind
from console.broker.tls import TlsOptions
from console.collector.event_line import Chunk, Item, Lost, Subscribed
from console.collector.events import envelope
from console.collector.redis_line import RedisEventLine
from console.core.redaction import Secret
from console.history.model import CollectorState, TaskState
from tests.certificates import Certificates
from tests.integration.collector.conftest import Rig, life, publish
from tests.proxy import Proxy
from tests.sentinel import SentinelGroup
from tests.valkey import ServerTls, ValkeyServer, valkey_server


async def read_one(rig: Rig, server: ValkeyServer, address: BrokerAddress) -> None:
    """A task's life comes through, and what was published before the end is stored at the end."""
    rig.start(address)
    await rig.reading()
    publish(server, life("first"))
    await rig.until(lambda one: one.counts[TaskState.SUCCEEDED] == 1)
    publish(server, *[life(f"t{number}") for number in range(300)])
    await rig.client.aclose()
    assert rig.reader.totals()[TaskState.SUCCEEDED] == 301
    assert rig.reader.gaps() == []


async def test_over_tls_with_a_client_certificate_and_a_user(
    tmp_path: Path, certificates: Certificates, rig: Rig
) -> None:
    client = certificates.issue("client", client=True)
    tls = ServerTls(certificates.issue("server"), client_ca_file=certificates.ca_file, client=client)
    users = ("reader on >secret-word resetchannels &/0.celeryev/* -@all +psubscribe +ping",)
    with valkey_server(tmp_path / "valkey", tls=tls, users=users) as server:
        options = TlsOptions(
            ca_file=str(certificates.ca_file),
            cert_file=str(client.cert_file),
            key_file=str(client.key_file),
        )
        address = BrokerAddress(
            "localhost", server.port, username="reader", password=Secret("secret-word"), tls=options
        )
        await read_one(rig, server, address)


async def test_a_certificate_that_cannot_be_trusted_is_said_and_no_secret_is_logged(
    tmp_path: Path, certificates: Certificates, rig: Rig
) -> None:
    with valkey_server(tmp_path / "valkey", tls=ServerTls(certificates.issue("server"))) as server:
        options = TlsOptions(ca_file=str(certificates.other_ca_file))
        address = BrokerAddress("localhost", server.port, password=Secret("marker-word"), tls=options)
        rig.start(address)
        summary = await rig.until(lambda one: one.state is CollectorState.FAILED)
        assert "certificate" in summary.error
        await rig.client.aclose()
        trusted = replace(address, tls=TlsOptions(ca_file=str(certificates.ca_file)))
        rig.start(trusted)
        await rig.until(lambda one: "refused the login" in one.error)
        await rig.client.aclose()
    written = "".join(file.read_text() for file in rig.log_file.parent.iterdir())
    assert "certificate" in written
    assert "refused the login" in written
    assert "marker-word" not in written


async def test_over_a_unix_socket(tmp_path: Path, rig: Rig) -> None:
    with valkey_server(tmp_path / "valkey", unix_socket=True) as server:
        address = BrokerAddress(
            "",
            0,
            kind=BrokerKind.SOCKET,
            socket_path=str(server.socket_file),
            password=Secret(server.password),
        )
        await read_one(rig, server, address)


def sentinel_address(group: SentinelGroup) -> BrokerAddress:
    endpoints = tuple(("127.0.0.1", port) for port in group.ports)
    return BrokerAddress(
        *endpoints[0],
        kind=BrokerKind.SENTINEL,
        sentinels=endpoints,
        master_name=group.master_name,
        password=Secret(group.password),
        sentinel_password=Secret(group.sentinel_password),
    )


@pytest.mark.parametrize("how", ["kill", "switch"])
async def test_sentinel_fails_over_and_the_reading_goes_on(
    sentinel: SentinelGroup, rig: Rig, how: str
) -> None:
    rig.start(sentinel_address(sentinel))
    await rig.reading()
    old = sentinel.primary()
    publish(old, life("new"))
    publish(old, life("old"), channel="/{db}.celeryev/task.multi")  # of a kombu before 5.4
    await rig.until(lambda one: one.events == 6)
    if how == "kill":
        sentinel.fail_over()
    else:
        sentinel.switch_over()
    await rig.until(lambda _: any(gap.end is not None for gap in rig.reader.gaps()))
    await rig.reading()
    primary = sentinel.primary()
    assert primary.port != old.port
    publish(primary, life("after"))
    await rig.until(lambda one: one.counts[TaskState.SUCCEEDED] == 3)
    assert rig.client.summary.events == 9


def test_an_old_primary_that_does_not_know_it_yet_is_left(sentinel: SentinelGroup) -> None:
    old = sentinel.primary()
    with (
        old.client() as client
    ):  # as it is for up to ten seconds: nobody can tell it, and it hangs up on nobody
        client.execute_command(
            "ACL", "SETUSER", "default", "-replicaof", "-slaveof", "-multi", "-client|kill"
        )
    line = RedisEventLine(sentinel_address(sentinel), ask_sentinel_s=0.05)
    line.start()
    items: list[Item] = []

    def until(kinds: list[type[Item]]) -> None:
        deadline = time.monotonic() + 15
        while [type(item) for item in items] != kinds:
            assert time.monotonic() < deadline, items
            line.wait(1)
            items.extend(line.take(1 << 20))

    try:
        until([Subscribed])
        before = time.time()
        sentinel.switch_over()
        until([Subscribed, Lost, Subscribed])
        assert publish(sentinel.primary(), life("after")) == 1
        until([Subscribed, Lost, Subscribed, Chunk])
    finally:
        line.stop()
    lost = items[1]
    assert isinstance(lost, Lost)
    assert "another primary" in lost.reason
    assert before - 1 < lost.at < time.time()
    with old.client() as client:
        assert client.execute_command("ROLE")[0] == b"master"


async def test_the_same_message_on_both_channels_counts_once(sentinel: SentinelGroup, rig: Rig) -> None:
    rig.start(sentinel_address(sentinel))
    await rig.reading()
    message = envelope(life("twice"))
    publish(sentinel.primary(), message)
    publish(sentinel.primary(), message, channel="/{db}.celeryev/task.multi")
    publish(sentinel.primary(), life("last"))
    await rig.until(lambda one: one.counts[TaskState.SUCCEEDED] == 2)
    assert rig.client.summary.events == 6


async def test_a_tunnel_that_is_dead_for_a_while_recovers(broker: ValkeyServer, rig: Rig) -> None:
    with Proxy("127.0.0.1", broker.port) as near:
        route = (("broker.invalid", 6379), ("127.0.0.1", near.port))
        address = BrokerAddress("broker.invalid", 6379, password=Secret(broker.password), routes=(route,))
        near.refuse()
        rig.start(address)
        await rig.until(lambda one: "broker.invalid:6379" in one.error)
        near.heal()
        await rig.reading()
        near.refuse()
        near.reset()
        await rig.until(lambda one: one.state is CollectorState.RECONNECTING)
        near.heal()
        await rig.reading()
        publish(broker, life("after"))
        await rig.until(lambda one: one.counts[TaskState.SUCCEEDED] == 1)
        await rig.client.aclose()
    (gap,) = rig.reader.gaps()[-1:]
    assert gap.end is not None


def test_a_server_that_accepts_and_never_answers_ends_within_the_timeout(broker: ValkeyServer) -> None:
    with Proxy("127.0.0.1", broker.port) as proxy:
        proxy.accept_silently()
        address = BrokerAddress("127.0.0.1", proxy.port, password=Secret(broker.password), timeout_s=0.3)
        line = RedisEventLine(address)
        began_s = time.monotonic()
        line.start()
        line.wait(5)
        took_s = time.monotonic() - began_s
        (lost,) = line.take(1 << 20)
        line.stop()
    assert isinstance(lost, Lost)
    assert lost.error is not None
    assert "in time" in str(lost.error)
    assert took_s < 1.5
