"""Hundreds of random cuts under load: always back to Connected, and nothing leaks.

Several consoles at once, each behind a proxy of its own, because most of a cut is waiting for pauses.
"""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from console.broker.address import BrokerAddress
from console.broker.redis_client import CLIENT_NAME
from console.broker.tls import TlsOptions
from console.broker.url import parse_broker_url
from tests.certificates import Certificates
from tests.heartbeat import LoopHeartbeat
from tests.integration.life.cuts import Line, Reading, read_leaks, times_back
from tests.integration.life.desk import desk, figure
from tests.integration.life.load import (
    Publisher,
    events_to_rabbitmq,
    events_to_redis,
    hold_in_redis,
    reply_traces_in_redis,
    worker,
)
from tests.proxy import Proxy
from tests.rabbitmq import RabbitServer
from tests.valkey import ServerTls, ValkeyServer, valkey_server

SEED = 3
TIMEOUT_S = 0.8
PHASES = 4
GROWTH_MB = 24.0

Counts = Callable[[], Awaitable[tuple[int, list[str]]]]


async def many_cuts(
    folder: Path,
    address: BrokerAddress,
    target: int,
    *,
    consoles: int,
    rounds: int,
    counts: Counts,
    publisher: Publisher,
) -> None:
    """`consoles` consoles at `address` through proxies to port `target`, together `rounds` rounds.

    `counts` tells who is connected to the server by our name, and which reply queues are left in it.
    """
    bugs: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: bugs.append(context))
    async with AsyncExitStack() as stack:
        lines = [
            await _open(stack, folder / f"console-{number}", address, target, SEED + number)
            for number in range(consoles)
        ]
        await asyncio.gather(*(line.settle() for line in lines))
        readings: list[Reading] = []
        each = rounds // consoles // PHASES
        with LoopHeartbeat() as heartbeat:
            for _ in range(PHASES):
                await asyncio.gather(*(_rounds(line, each) for line in lines))
                await asyncio.gather(*(line.settle() for line in lines))
                readings.append(await _read(lines, counts))
        told = [f"{sum(len(s) for line in lines for s in line.back_s.values())} rounds, seed {SEED}"]
        told += [times_back(lines), *(f"  after {n + 1}/{PHASES}: {one}" for n, one in enumerate(readings))]
        told += [
            f"  {line.check_notices()}; {line.operated} operations, {line.refused} refused in words;"
            f" {len(await line.desk.gaps())} gaps; {line.desk.collector.summary.events} events"
            for line in lines
        ]
        missed = [await line.missed(publisher.published) for line in lines]
        told += [
            f"  {number} of {len(publisher.published)} tasks missed, {len(unmarked)} of them in no gap"
            for number, unmarked in missed
        ]
        told.append(f"  longest stall of the loop {heartbeat.worst_s * 1000:.0f} ms")
        figure("\n".join(told))
        heartbeat.check()
        assert [unmarked for _, unmarked in missed] == [[]] * consoles
        for line in lines:
            line.check_lanes()
            gaps = await line.desk.gaps()
            assert gaps
            assert all(gap.end is not None for gap in gaps)
            assert line.desk.collector.restarts == 0
        _check(readings, consoles)
    connections, traces = await counts()
    assert connections == 0
    assert traces == []
    gc.collect()
    assert bugs == []


async def _open(stack: AsyncExitStack, folder: Path, address: BrokerAddress, target: int, seed: int) -> Line:
    proxy = stack.enter_context(Proxy("127.0.0.1", target))
    one = await stack.enter_async_context(desk(folder))
    await one.connect(replace(address, port=proxy.port))
    line = Line(one, proxy, random.Random(seed), address.timeout_s)
    await line.watch()
    return line


async def _rounds(line: Line, number: int) -> None:
    for _ in range(number):
        await line.round()


async def _read(lines: list[Line], counts: Counts) -> Reading:
    """When it is quiet: a look at workers or queues that is under way has its own sockets and reply queue."""
    deadline_s = asyncio.get_running_loop().time() + 5
    while True:
        connections, traces = await counts()
        reading = read_leaks(lines, at_server=connections, reply_traces=len(traces))
        if not traces or asyncio.get_running_loop().time() > deadline_s:
            return reading
        await asyncio.sleep(0.1)


def _check(readings: list[Reading], consoles: int) -> None:
    first, last = readings[0], readings[-1]
    slack = 2 * consoles  # what a look under way has open
    assert last.threads <= first.threads + 2
    assert last.files <= first.files + 2 * slack
    assert last.tasks <= first.tasks + slack
    assert last.at_server <= first.at_server + slack
    assert last.through_proxies <= first.through_proxies + slack
    assert last.reply_traces <= consoles
    assert last.rss_mb <= first.rss_mb + GROWTH_MB


def counts_of_redis(server: ValkeyServer) -> Counts:
    def read() -> tuple[int, list[str]]:
        with server.client() as client:
            ours = [one for one in client.client_list() if str(one["name"]).startswith(CLIENT_NAME)]
            return len(ours), reply_traces_in_redis(client)

    return lambda: asyncio.to_thread(read)


@pytest.mark.timeout(300)
async def test_200_cuts_of_redis(own_broker: ValkeyServer, tmp_path: Path) -> None:
    hold_in_redis(own_broker)
    with worker(own_broker.url, tmp_path / "worker"), events_to_redis(own_broker) as publisher:
        await many_cuts(
            tmp_path,
            replace(own_broker.address, timeout_s=TIMEOUT_S),
            own_broker.port,
            consoles=4,
            rounds=208,
            counts=counts_of_redis(own_broker),
            publisher=publisher,
        )


@pytest.mark.timeout(180)
async def test_40_cuts_of_redis_with_tls(tmp_path: Path, certificates: Certificates) -> None:
    tls = ServerTls(certificates.issue("valkey"))
    with valkey_server(tmp_path / "valkey", tls=tls) as server:
        hold_in_redis(server)
        address = replace(
            parse_broker_url(server.url),
            timeout_s=TIMEOUT_S,
            tls=TlsOptions(ca_file=str(certificates.ca_file)),
        )
        url = f"{server.url}?ssl_cert_reqs=none"
        with worker(url, tmp_path / "worker"), events_to_redis(server) as publisher:
            await many_cuts(
                tmp_path,
                address,
                server.port,
                consoles=3,
                rounds=48,
                counts=counts_of_redis(server),
                publisher=publisher,
            )


def counts_of_rabbitmq(server: RabbitServer, vhost: str) -> Counts:
    def read() -> tuple[int, list[str]]:
        found = server.manage("GET", f"/api/queues/{vhost}?columns=name")
        traces = [one["name"] for one in found if one["name"].endswith("reply.celery.pidbox")]
        ours = [one for one in server.connections() if one["vhost"] == vhost and one["user"] == "desk"]
        return len(ours), traces

    return lambda: asyncio.to_thread(read)


@pytest.mark.timeout(240)
async def test_40_cuts_of_rabbitmq(tmp_path: Path, rabbitmq: RabbitServer, rabbitmq_vhost: str) -> None:
    rabbitmq.add_user("desk", "desk's own", vhost=rabbitmq_vhost)
    address = replace(
        parse_broker_url(rabbitmq.url(rabbitmq_vhost, user="desk")),
        timeout_s=TIMEOUT_S,
        management_url="",
    )
    with (
        worker(rabbitmq.url(rabbitmq_vhost), tmp_path / "worker"),
        events_to_rabbitmq(rabbitmq, rabbitmq_vhost) as publisher,
    ):
        await many_cuts(
            tmp_path,
            address,
            rabbitmq.port,
            consoles=3,
            rounds=48,
            counts=counts_of_rabbitmq(rabbitmq, rabbitmq_vhost),
            publisher=publisher,
        )
