"""Hosts that swallow what they are sent: each attempt ends in the set timeout, and nobody waits for it."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from console.broker.address import BrokerAddress
from console.broker.database import parse_database_url
from console.broker.tls import TlsOptions
from console.broker.url import parse_broker_url
from console.core.connection import LinkState, LinkStatus
from console.core.errors import Cause, ConsoleError
from console.schedules.django_setup import CONNECT_TIMEOUT_S
from tests.heartbeat import LoopHeartbeat
from tests.integration.life.desk import Desk, desk, figure
from tests.proxy import Proxy
from tests.valkey import ValkeyServer, free_port

TIMEOUT_S = 1.0
LATE = 1.2
MACHINE_S = 0.15
"""What a busy machine may add to a measured time."""
DISCONNECT_S = 0.5
CLOSED_S = 1.0
"""How long after its timeout an attempt may still hold a thread or a socket."""

BlackHole = Callable[[], AbstractContextManager[int]]


@contextmanager
def never_answers() -> Iterator[int]:
    """A port where connections are taken and nothing is ever said."""
    with Proxy("127.0.0.1", free_port()) as proxy:
        proxy.accept_silently()
        yield proxy.port


@contextmanager
def never_accepts() -> Iterator[int]:
    """A port whose queue of connections is full: the packets of one more are dropped, as by a firewall."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        place = listener.getsockname()
        waiting = []
        try:
            for _ in range(4):
                one = socket.socket()
                one.setblocking(False)
                one.connect_ex(place)
                waiting.append(one)
            yield place[1]
        finally:
            for one in waiting:
                one.close()


BLACK_HOLES = [pytest.param(never_answers, id="silent"), pytest.param(never_accepts, id="dropped")]


def address(url: str, port: int) -> BrokerAddress:
    made = replace(parse_broker_url(url.replace("PORT", str(port))), timeout_s=TIMEOUT_S)
    return replace(made, tls=TlsOptions(verify=False)) if made.tls is not None else made


@pytest.mark.parametrize("black_hole", BLACK_HOLES)
@pytest.mark.parametrize(
    "url",
    [
        "redis://:x@127.0.0.1:PORT/0",
        "rediss://:x@127.0.0.1:PORT/0",
        "sentinel://:x@127.0.0.1:PORT/0?master_name=mymaster",
        "amqp://u:x@127.0.0.1:PORT//",
        "amqps://u:x@127.0.0.1:PORT//",
    ],
    ids=lambda url: url.split(":")[0],
)
async def test_each_attempt_ends_in_time_and_disconnect_at_once(
    tmp_path: Path, black_hole: BlackHole, url: str
) -> None:
    with black_hole() as port:
        ours = _lines_to(port)
        async with desk(tmp_path / "home") as one:
            # Importing kombu is no attempt of anybody's: 0.3 s the first time in a process.
            await asyncio.to_thread(_import_kombu)
            tries = _Tries(one)
            await one.connect(address(url, port))
            tries.watch()
            with LoopHeartbeat() as heartbeat:
                await one.until(lambda: len(tries.took_s) >= 2, 8 * TIMEOUT_S, "two attempts")
                await one.until(lambda: tries.trying, 3, "a third attempt")
                pressed_s = time.monotonic()
                leaving = asyncio.ensure_future(one.connections.disconnect())
                await one.until(lambda: one.state is LinkState.DISCONNECTED, DISCONNECT_S, "Disconnected")
                disconnected_s = time.monotonic() - pressed_s
                await leaving
                closed_s = time.monotonic() - pressed_s
                gone_s = await one.until(
                    lambda: _lines_to(port) <= ours and not _session_threads(),
                    TIMEOUT_S + CLOSED_S,
                    "nothing is left",
                )
            heartbeat.check()
        figure(
            f"{url.split(':', maxsplit=1)[0]:9} {black_hole.__name__:14} attempts"
            f" {', '.join(f'{took_s:.2f}' for took_s in tries.took_s)} s, Disconnected after"
            f" {disconnected_s * 1000:.0f} ms, all let go after {closed_s:.2f} s, last thread and socket"
            f" {gone_s:.2f} s later, stall {heartbeat.worst_s * 1000:.0f} ms"
        )
        assert max(tries.took_s) <= TIMEOUT_S * LATE + MACHINE_S
        assert {error.cause for error in tries.errors} == {Cause.TIMEOUT}


@pytest.mark.parametrize("black_hole", BLACK_HOLES)
async def test_a_schedules_database_that_swallows(
    tmp_path: Path, broker: ValkeyServer, black_hole: BlackHole
) -> None:
    """The broker is up: everything else works, and the page of schedules says why it does not."""
    with black_hole() as port:
        ours = _lines_to(port)
        async with desk(tmp_path / "home") as one:
            await asyncio.to_thread(_import_django)
            schedules = parse_database_url(f"postgresql://u:x@127.0.0.1:{port}/shop")
            with LoopHeartbeat() as heartbeat:
                await one.connect(replace(broker.address, timeout_s=TIMEOUT_S), schedules=schedules)
                began_s = time.monotonic()
                await one.until(lambda: one.session.connected, 2, "Connected")
                await one.until(
                    lambda: one.schedules.snapshot.error is not None, CONNECT_TIMEOUT_S * LATE + 1, "told"
                )
                told_s = time.monotonic() - began_s
                one.schedules.refresh()
                await asyncio.sleep(0.2)
                pressed_s = time.monotonic()
                leaving = asyncio.ensure_future(one.connections.disconnect())
                await one.until(lambda: one.state is LinkState.DISCONNECTED, DISCONNECT_S, "Disconnected")
                disconnected_s = time.monotonic() - pressed_s
                await leaving
                closed_s = time.monotonic() - pressed_s
                gone_s = await one.until(
                    lambda: _lines_to(port) <= ours and not _session_threads(),
                    CONNECT_TIMEOUT_S + CLOSED_S,
                    "nothing is left",
                )
            heartbeat.check()
        figure(
            f"postgres  {black_hole.__name__:14} told after {told_s:.2f} s, Disconnected after"
            f" {disconnected_s * 1000:.0f} ms, all let go after {closed_s:.2f} s, last thread and socket"
            f" {gone_s:.2f} s later, stall {heartbeat.worst_s * 1000:.0f} ms"
        )
        error = one.schedules.snapshot.error
        assert error is not None
        assert error.cause is Cause.TIMEOUT


class _Tries:
    """How long each attempt to reach the broker took, from its begin to its failure."""

    def __init__(self, one: Desk) -> None:
        self._one = one
        self._began_s = time.monotonic()
        self.took_s: list[float] = []
        self.errors: list[ConsoleError] = []
        self.trying = True

    def watch(self) -> None:
        self._began_s = time.monotonic()
        self._one.session.status_changed.connect(self._on_status)

    def _on_status(self, status: LinkStatus) -> None:
        if status.retry_at is not None:
            self.took_s.append(time.monotonic() - self._began_s)
            assert status.error is not None
            self.errors.append(status.error)
            self.trying = False
        else:
            self._began_s = time.monotonic()
            self.trying = True


def _import_kombu() -> None:
    import console.broker.kombu_lines  # noqa: F401


def _import_django() -> None:
    from console.schedules.django_setup import set_up_django

    set_up_django()


def _session_threads() -> list[str]:
    lanes = tuple(f"lane-{name}-" for name in ("link", "control", "queues", "database", "history"))
    return [one.name for one in threading.enumerate() if one.name.startswith(lanes)]


def _lines_to(port: int) -> set[object]:
    """Where sockets of this process and its children begin that lead, or try to, to `port`."""
    found: set[object] = set()
    own = psutil.Process()
    for process in (own, *own.children(recursive=True)):
        with suppress(psutil.Error):
            found |= {line.laddr for line in process.net_connections() if line.raddr[1:] == (port,)}
    return found
