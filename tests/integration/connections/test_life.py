"""The life of a line against real servers: every end in the right state within the timeout."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from console.broker.address import BrokerAddress, BrokerKind
from console.broker.session import Session
from console.broker.tls import TlsOptions
from console.broker.url import parse_broker_url
from console.connections.model import Connection, Purpose, Secrets
from console.core.connection import Environment, LinkState, Right, Rights
from console.core.errors import Cause
from console.core.redaction import Secret
from tests.certificates import Certificates
from tests.integration.connections.world import Setup, broker_secret, shop
from tests.proxy import Proxy
from tests.sentinel import SentinelGroup
from tests.valkey import ServerTls, ValkeyServer, valkey_server

TIMEOUT_S = 1.0


def figure(text: str) -> None:
    """Shown with `pytest -s`: what was measured."""
    sys.stdout.write(f"{text}\n")


def at(broker: BrokerAddress) -> Connection:
    return Connection("shop", "Shop", Environment.STAGING, broker)


@contextmanager
def black_hole() -> Iterator[int]:
    """A port whose queue of new connections is full: the kernel drops what knocks."""
    with contextlib.ExitStack() as stack:
        deaf = stack.enter_context(socket.socket())
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _ in range(4):
            knocking = stack.enter_context(socket.socket())
            knocking.setblocking(False)
            knocking.connect_ex(deaf.getsockname())
        yield deaf.getsockname()[1]


def addresses(port: int) -> dict[str, BrokerAddress]:
    plain = BrokerAddress("127.0.0.1", port, timeout_s=TIMEOUT_S)
    sentinels = (("127.0.0.1", port),) * 3
    return {
        "redis": plain,
        "rediss": replace(plain, tls=TlsOptions()),
        "sentinel": replace(plain, kind=BrokerKind.SENTINEL, sentinels=sentinels, master_name="m"),
        "amqp": replace(plain, kind=BrokerKind.RABBITMQ),
        "amqps": replace(plain, kind=BrokerKind.RABBITMQ, tls=TlsOptions()),
    }


@pytest.mark.parametrize("kind", addresses(1))
@pytest.mark.parametrize("where", ["black hole", "silent"])
async def test_who_never_answers_ends_each_attempt_within_the_timeout(
    setup: Setup, kind: str, where: str
) -> None:
    with contextlib.ExitStack() as stack:
        if where == "silent":
            proxy = stack.enter_context(Proxy("127.0.0.1", 1))
            proxy.accept_silently()
            port = proxy.port
        else:
            port = stack.enter_context(black_hole())
        if kind.startswith("amqp"):
            import console.broker.kombu_lines  # noqa: F401 - celery's import is not the network's time
        await setup.service.save(at(addresses(port)[kind]), Secrets())
        began_s = time.monotonic()
        await setup.service.connect("shop")
        worst_s = 0.0
        while setup.state is LinkState.CONNECTING:
            tick_s = time.monotonic()
            await asyncio.sleep(0.005)
            worst_s = max(worst_s, time.monotonic() - tick_s)
            assert tick_s - began_s < TIMEOUT_S + 1.5
        took_s = time.monotonic() - began_s
        assert setup.state is LinkState.RECONNECTING
        status = setup.service.status
        assert status.error is not None
        assert status.error.cause is Cause.TIMEOUT
        assert status.retry_at is not None
        await setup.until(lambda: setup.service.status.retry_at is None)
        began_s = time.monotonic()
        await setup.service.disconnect()
        left_s = time.monotonic() - began_s
        assert setup.service.session is None
        figure(f"{kind}, {where}: {took_s:.2f} s; disconnect {left_s * 1000:.0f} ms; loop {worst_s:.3f} s")
        assert took_s < TIMEOUT_S + 0.6
        assert left_s < 0.3
        assert worst_s < 0.25


async def test_an_attempt_has_one_deadline_however_slow_each_step_is(
    setup: Setup, broker: ValkeyServer
) -> None:
    with Proxy("127.0.0.1", broker.port) as proxy:
        proxy.delay(0.3)
        address = replace(parse_broker_url(f"redis://127.0.0.1:{proxy.port}/1"), timeout_s=TIMEOUT_S)
        await setup.service.save(at(address), broker_secret(broker.password))
        began_s = time.monotonic()
        await setup.service.connect("shop")
        await setup.until(lambda: setup.state is LinkState.RECONNECTING)
        assert time.monotonic() - began_s < TIMEOUT_S + 0.6
        proxy.heal()
        await setup.connected(within_s=6.0)
        await setup.service.disconnect()
        await setup.until(lambda: not setup.service._endings)


async def test_tls_then_a_certificate_that_expired_under_way_is_final(
    setup: Setup, certificates: Certificates, tmp_path: Path
) -> None:
    with valkey_server(tmp_path / "tls", tls=ServerTls(certificates.issue("broker"))) as server:
        tls = TlsOptions(ca_file=str(certificates.ca_file))
        await setup.service.save(
            at(BrokerAddress("127.0.0.1", server.port, tls=tls)), broker_secret(server.password)
        )
        await setup.service.connect("shop")
        await setup.connected()
        server.renew_certificate(certificates.issue("broker", expired=True))
        with server.client() as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await setup.until(lambda: setup.service.refused is not None)
        assert setup.service.refused is not None
        assert setup.service.refused.cause is Cause.CERTIFICATE
        assert setup.state is LinkState.DISCONNECTED


async def test_a_unix_socket_and_a_user_who_may_do_next_to_nothing(setup: Setup, tmp_path: Path) -> None:
    users = ("narrow on >narrow-password ~* +get",)
    with valkey_server(tmp_path / "acl", users=users, unix_socket=True) as server:
        narrow = parse_broker_url(f"redis+socket://narrow@{server.socket_file}")
        await setup.service.save(at(narrow), broker_secret("narrow-password"))
        await setup.service.connect("shop")
        await setup.connected()
        server.set_user("narrow", "reset")
        with server.client() as client:
            client.execute_command("CLIENT", "KILL", "USER", "narrow")
        await setup.until(lambda: setup.service.refused is not None)
        assert setup.service.refused is not None
        assert setup.service.refused.cause is Cause.REFUSED_LOGIN


async def test_sentinel_fails_over_and_the_console_follows(setup: Setup, sentinel: SentinelGroup) -> None:
    address = BrokerAddress(
        "127.0.0.1",
        sentinel.ports[0],
        kind=BrokerKind.SENTINEL,
        sentinels=tuple(("127.0.0.1", port) for port in sentinel.ports),
        master_name=sentinel.master_name,
        timeout_s=2.0,
    )
    secrets = broker_secret(sentinel.password).with_secret(
        Purpose.SENTINEL, Secret(sentinel.sentinel_password)
    )
    await setup.service.save(at(address), secrets)
    await setup.service.connect("shop")
    await setup.connected()
    await asyncio.to_thread(sentinel.fail_over)
    promoted_s = time.monotonic()
    with sentinel.primary().client() as client:
        await setup.until(lambda: _seen(client), within_s=15.0)
    figure(f"Sentinel, primary killed: connected {time.monotonic() - promoted_s:.2f} s after the promotion")
    await setup.connected()
    old = await asyncio.to_thread(sentinel.restart_old_primary)
    await asyncio.to_thread(sentinel.wait_until_replica, old)
    await asyncio.to_thread(sentinel.switch_over)
    promoted_s = time.monotonic()
    with sentinel.primary().client() as client:
        await setup.until(lambda: _seen(client), within_s=15.0)
    await setup.connected()
    figure(f"Sentinel, switched over: connected {time.monotonic() - promoted_s:.2f} s after the promotion")


def _seen(client: object) -> bool:
    """Whether the console is connected to that server."""
    from typing import cast

    import redis

    names = [one["name"] for one in cast(redis.Redis, client).client_list()]
    return "celery-console" in names


async def test_a_primary_that_is_made_a_replica_is_left_and_asked_again(
    setup: Setup, broker: ValkeyServer, own_broker: ValkeyServer
) -> None:
    await setup.service.save(shop(own_broker), broker_secret(own_broker.password))
    await setup.service.connect("shop")
    await setup.connected()
    with own_broker.client() as client:
        client.execute_command("REPLICAOF", "127.0.0.1", str(broker.port))
        await setup.until(lambda: setup.state is LinkState.RECONNECTING)
        error = setup.service.status.error
        assert error is not None
        assert error.title == "The server has become a replica"
        client.execute_command("REPLICAOF", "NO", "ONE")
    await setup.connected(within_s=6.0)


async def test_after_a_sleep_the_old_lines_are_dropped_and_the_broker_asked_at_once(
    setup: Setup, broker: ValkeyServer
) -> None:
    await setup.service.save(shop(broker), broker_secret(broker.password))
    await setup.service.connect("shop")
    await setup.connected()
    session = setup.session
    await session.link.run(lambda: session.redis_client().ping())
    watch = setup.service._watch
    assert watch is not None
    with broker.client() as client:
        before = {one["id"] for one in client.client_list() if one["name"] == "celery-console"}
        assert len(before) == 2
        slept_s = time.monotonic() + 3600
        watch._boot_s = lambda: slept_s
        await setup.until(lambda: not before & {one["id"] for one in client.client_list()}, within_s=5.0)
    assert setup.state is LinkState.CONNECTED


async def test_trying_now_skips_the_pause_and_the_countdown_is_told(
    setup: Setup, own_broker: ValkeyServer
) -> None:
    own_broker.kill()
    await setup.service.save(shop(own_broker), broker_secret(own_broker.password))
    await setup.service.connect("shop")
    watch = setup.service._watch
    assert watch is not None
    await setup.until(lambda: watch._failures >= 4 and setup.service.status.retry_at is not None, 12.0)
    status = setup.service.status
    assert status.retry_at is not None
    assert 3.0 < (status.retry_at - setup.session.clock.now()).total_seconds() <= 4.0
    own_broker.start()
    setup.service.try_now()
    await setup.connected(within_s=1.0)


async def test_what_may_not_be_done_is_asked_once_connected(setup: Setup, broker: ValkeyServer) -> None:
    heard: list[Rights] = []

    def probe(session: Session) -> Rights:
        session.redis_client().ping()
        return {Right.SEND_TASKS: "The broker user may not send tasks."}

    setup.service._probe = probe

    def listen(session: Session) -> None:
        session.rights_changed.connect(heard.append)

    setup.service.opened.connect(listen)
    await setup.service.save(shop(broker), broker_secret(broker.password))
    await setup.service.connect("shop")
    await setup.until(lambda: bool(heard))
    assert setup.session.rights == {Right.SEND_TASKS: "The broker user may not send tasks."}


async def test_switching_takes_less_than_a_second(
    setup: Setup, broker: ValkeyServer, own_broker: ValkeyServer
) -> None:
    await setup.service.save(shop(broker), broker_secret(broker.password))
    await setup.service.save(
        replace(shop(own_broker), id="other", name="Other"), broker_secret(own_broker.password)
    )
    took: list[float] = []
    for number in range(10):
        began_s = time.monotonic()
        await setup.service.connect(("shop", "other")[number % 2])
        await setup.connected()
        took.append(time.monotonic() - began_s)
    figure(f"switch: median {sorted(took)[5] * 1000:.0f} ms, worst {max(took) * 1000:.0f} ms")
    assert max(took) < 1.0


async def test_fifty_cycles_leave_nothing_behind(
    setup: Setup, broker: ValkeyServer, own_broker: ValkeyServer
) -> None:
    await setup.service.save(shop(broker), broker_secret(broker.password))
    await setup.service.save(
        replace(shop(own_broker), id="other", name="Other"), broker_secret(own_broker.password)
    )

    async def cycle(number: int) -> None:
        await setup.service.connect(("shop", "other")[number % 2])
        if number % 3:
            await setup.connected()
            session = setup.session
            await session.queues.run(lambda: session.redis_client().ping())
            await session.control.run(lambda: session.celery_app().control.ping(timeout=0.01))
        if number % 5 == 0:
            await setup.service.disconnect()

    async def settled() -> tuple[int, int]:
        await setup.service.disconnect()
        await setup.until(lambda: not setup.service._endings)
        gc.collect()  # kombu's transport holds its epoll in a cycle
        return threading.active_count(), len(os.listdir("/proc/self/fd"))

    for number in range(5):
        await cycle(number)
    before = await settled()
    for number in range(50):
        await cycle(number)
    after = await settled()
    figure(f"50 cycles: threads and files before {before}, after {after}")
    assert after == before
    for server in (broker, own_broker):
        with server.client() as client:
            assert [key for key in client.scan_iter() if b"reply" in key or b"pidbox" in key] == []
            watching = 2 if server is broker else 1  # this client, and the fixture's own
            assert len(client.client_list()) == watching


async def test_random_cuts_always_end_connected(setup: Setup, broker: ValkeyServer) -> None:
    """A seeded handful for every day; `CUTS=200` for the whole of it."""
    chance = random.Random(3)
    cuts = int(os.environ.get("CUTS", "12"))
    with Proxy("127.0.0.1", broker.port) as proxy:
        address = replace(parse_broker_url(f"redis://127.0.0.1:{proxy.port}/0"), timeout_s=0.5)
        await setup.service.save(at(address), broker_secret(broker.password))
        await setup.service.connect("shop")
        await setup.connected()
        session = setup.session
        before = threading.active_count()
        worst_s = 0.0
        for _ in range(cuts):
            order = chance.choice((proxy.cut, proxy.reset, proxy.half_open, lambda: proxy.delay(0.8)))
            order()
            await asyncio.sleep(chance.random() * 0.1)
            setup.service.suspect()
            await setup.until(lambda: setup.state is LinkState.RECONNECTING)
            proxy.heal()
            began_s = time.monotonic()
            await setup.connected(within_s=6.0)
            worst_s = max(worst_s, time.monotonic() - began_s)
        figure(f"{cuts} cuts: back after {worst_s:.2f} s at worst")
        assert setup.service.session is session
        assert threading.active_count() == before
        assert proxy.connections <= 3
        await setup.service.disconnect()
        await setup.until(lambda: not setup.service._endings)
